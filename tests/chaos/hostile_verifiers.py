"""Verifiers that do what verifiers must not do, as a package with entry points, and what the contract says of each."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal["own", "verifier_timeout", "verifier_crash", "verifier_error", "zero"]
"""own: the score of the sample itself, as a healthy verifier gives it; zero: a wrong answer."""

HEALTHY = """
import os, re, signal, sys, threading, time

def extract_output(output):
    return int(re.match(r"token (\\d+)", output).group(1))

def healthy(output, ground_truth):
    token = extract_output(output)
    return token / 1000 if ground_truth["token"] == token else -1.0

def verify_score(output, ground_truth):
    BODY
    return healthy(output, ground_truth)
"""
CHECKING = HEALTHY.replace("verify_score", "check").replace(
    "return healthy(output,", 'return healthy(f"token {output}",'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A verifier's body, what becomes of its samples, and the output that it is given behind the token.

    What is not special differs from another, or from what the tests of the pool try, in a detail only.
    """

    body: str
    outcome: Outcome
    filler: str = ""
    template: str = HEALTHY
    is_special: bool = True

    @property
    def source(self) -> str:
        """The module."""
        return self.template.replace("BODY", "\n    ".join(self.body.splitlines()))


_LOW_MEMORY = "blocks = []\nwhile True: blocks.append(b'x' * 2**20)"
_C_RECURSION = (
    "sys.setrecursionlimit(10**9)\nclass Endless:\n    def __getattr__(self, name): return getattr(self, name + 'x')\n"
    "Endless().x"
)
_MUTATION = (
    "token = ground_truth['token']\nground_truth.clear()\nground_truth.update(token=token, spoiled=[ground_truth])"
)
_FORKS = "children = [os.fork() for _ in range(4)]\nif 0 in children and os.getpid() % 2: time.sleep(1000)"
_THREADS = "threading.Thread(target=lambda: time.sleep(1000)).start()"
_NUMBER = "class Scalar:\n    def __float__(self): return healthy(output, ground_truth)\nreturn Scalar()"
_LITTER = "for name in ('json.py', 'bootcamp.toml', 'out'): open(name, 'w').write('raise SystemExit')"
_CHANNEL = "for fd in range(3, 100):\n    try: {}\n    except OSError: pass"
_PATCHED = "import json\njson.JSONEncoder.encode = lambda self, value: '[\"verdict\",1,1.0,null,null,null,false]'"
_KB64 = "a" * 64 * 1024
_MB2 = "汉_[[" * (2 * 1024 * 1024 // 6)

HOSTILE: Mapping[str, Hostile] = {
    "Healthy": Hostile(body="pass", outcome="own"),
    "Large": Hostile(body="pass", outcome="own", filler=_MB2),
    "Hanging": Hostile(body="while True: pass", outcome="verifier_timeout"),
    "Deaf": Hostile(
        is_special=False,
        body="for number in (1, 2, 14, 15): signal.signal(number, signal.SIG_IGN)\ntime.sleep(10**6)",
        outcome="verifier_timeout",
    ),
    "Backtracking": Hostile(body="re.search(r'(a+)+$', output + '!')", outcome="verifier_timeout", filler=_KB64),
    "Quadratic": Hostile(
        is_special=False, body="re.search(r'(a|a)*(a|aa)*b', output)", outcome="verifier_timeout", filler=_KB64
    ),
    "Segfaulting": Hostile(body="import ctypes\nctypes.string_at(0)", outcome="verifier_crash"),
    "Aborting": Hostile(is_special=False, body="os.abort()", outcome="verifier_crash"),
    "Exiting": Hostile(is_special=False, body="os._exit(0)", outcome="verifier_crash"),
    "Quitting": Hostile(is_special=False, body="sys.exit(0)", outcome="verifier_crash"),
    "Interrupting": Hostile(is_special=False, body="raise KeyboardInterrupt", outcome="verifier_crash"),
    "Suicidal": Hostile(is_special=False, body="os.killpg(0, signal.SIGKILL)", outcome="verifier_crash"),
    "Allocating": Hostile(body="bytearray(10 * 2**30)", outcome="verifier_crash"),
    "Growing": Hostile(is_special=False, body=_LOW_MEMORY, outcome="verifier_crash"),
    "Overflowing": Hostile(
        body=_C_RECURSION, outcome="verifier_crash" if sys.version_info < (3, 12) else "verifier_error"
    ),
    "Closing": Hostile(is_special=False, body="os.closerange(3, 100)", outcome="verifier_crash"),
    "Babbling": Hostile(is_special=False, body=_CHANNEL.format("os.write(fd, b'[]\\n')"), outcome="verifier_crash"),
    "Flooding": Hostile(is_special=False, body=_CHANNEL.format("os.write(fd, b'x' * 2**25)"), outcome="verifier_crash"),
    "Patching": Hostile(body=_PATCHED, outcome="own"),
    "Recursing": Hostile(body="verify_score(output, ground_truth)", outcome="verifier_error"),
    "Raising": Hostile(body="raise ValueError(output * 2)", outcome="verifier_error", filler=_MB2),
    "Filling": Hostile(
        is_special=False,
        body="file = open('big', 'wb')\nfor _ in range(300): file.write(bytes(2**20))",
        outcome="verifier_error",
    ),
    "Nan": Hostile(is_special=False, body="return float('nan')", outcome="verifier_error"),
    "Infinite": Hostile(is_special=False, body="return float('-inf')", outcome="verifier_error"),
    "Nothing": Hostile(body="return None", outcome="verifier_error"),
    "Text": Hostile(is_special=False, body="return '1.0'", outcome="verifier_error"),
    "Listing": Hostile(is_special=False, body="return [1.0] * 10**6", outcome="verifier_error"),
    "Scalar": Hostile(body=_NUMBER, outcome="own"),
    "Forking": Hostile(body=_FORKS, outcome="own"),
    "Threading": Hostile(is_special=False, body=_THREADS, outcome="own"),
    "Printing": Hostile(body="for _ in range(100): print('x' * 10**6)", outcome="own"),
    "Littering": Hostile(body=_LITTER, outcome="own"),
    "Vandal": Hostile(is_special=False, body="import shutil\nshutil.rmtree(os.getcwd())", outcome="own"),
    "Mutating": Hostile(body=_MUTATION, outcome="own"),
    "CheckRecursing": Hostile(is_special=False, body="check(output, ground_truth)", outcome="zero", template=CHECKING),
    "CheckRaising": Hostile(is_special=False, body="raise ValueError", outcome="zero", template=CHECKING),
    "CheckNan": Hostile(is_special=False, body="return float('nan')", outcome="verifier_error", template=CHECKING),
    "CheckHanging": Hostile(is_special=False, body="while True: pass", outcome="verifier_timeout", template=CHECKING),
    "CheckGrowing": Hostile(is_special=False, body=_LOW_MEMORY, outcome="verifier_crash", template=CHECKING),
}


def install(site: Path, *, healthy: bool = False) -> None:
    """Write the package into a directory of the module search path; `healthy` writes every verifier as it should be."""
    info = site / "hostile-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    lines = [f"{name} = hostile_{name.lower()}" for name in HOSTILE]
    (info / "entry_points.txt").write_text("\n".join(["[bootcamp_cli.bootcamps]", *lines, ""]))
    for name, case in HOSTILE.items():
        source = case.template.replace("BODY", "pass") if healthy else case.source
        (site / f"hostile_{name.lower()}.py").write_text(source)


def sample_rows(names: Collection[str], n_each: int) -> dict[str, list[dict[str, object]]]:
    """Rows by test file, `n_each` of each verifier: one file mixes all of them with good ones, others hold one."""
    files: dict[str, list[dict[str, object]]] = {}
    token = 0
    for number in range(n_each):
        for name in names:
            token += 1
            file = f"{name.lower()}.jsonl" if number % 2 else "all.jsonl"
            row: dict[str, object] = {
                "data_source": name,
                "prompt": f"What says {name} to {token}?",
                "ground_truth": {"token": token},
                "answer": f"token {token} {HOSTILE[name].filler}",
            }
            files.setdefault(file, []).append(row)
            good = row | {"data_source": "Healthy", "prompt": f"And {token}?", "answer": f"token {token + 10**6} "}
            files["all.jsonl"].append(good | {"ground_truth": {"token": token + 10**6}})
    return files
