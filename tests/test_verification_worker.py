"""What a worker process is: limited, quiet, alone, and gone when the pool is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.scoring import MAX_DEPTH
from bootcamp_cli.bootcamps.time_limits import MOST_S
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.process import WorkerLimits, plan_workers
from bootcamp_cli.verification.protocol import (
    Loaded,
    Ready,
    Task,
    Verified,
    WireError,
    decode_batch,
    decode_reply,
    encode_reply,
    encode_sample,
    encode_truth,
    join_batch,
)
from tests.bootcamps_builder import ECHO, verify_all, write_bootcamp

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FAILURES = st.sampled_from(["verifier_crash", "verifier_error"])
VERDICTS = st.builds(
    Verdict, score=st.floats(allow_nan=False, allow_infinity=False), extracted=JSON_VALUES
) | st.builds(
    Verdict,
    score=st.none(),
    extracted=JSON_VALUES,
    failure=FAILURES,
    error=st.text(),
)  # fmt: skip


@contextmanager
def worker(directory: Path, timeout_s: float = 10) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A worker started by hand, ready, with our end of its channel; ended at the end."""
    limits = WorkerLimits(memory_mib=1024, timeout_s=timeout_s, load_limit_s=10, start_limit_s=10)
    plan = plan_workers(limits, {})
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                plan.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=theirs.fileno(),
                cwd=directory,
                env=dict(plan.environment),
                start_new_session=True,
            )
        with process:
            try:
                assert ours.recv(100) == b'["ready"]\n'
                yield process, ours
            finally:
                process.kill()


@given(st.lists(st.tuples(st.text(), JSON_VALUES), max_size=5))
def test_batches_round_trip(samples: list[tuple[str, Any]]) -> None:
    """What the pool sends is what the worker gets, on one line of UTF-8, with ground truths of their own."""
    ref = BootcampRef(data_source="x\n", origin="upstream", target="a:b", path="/p q")
    tasks = [Task(id=n, ref=ref, output=output, ground_truth=truth) for n, (output, truth) in enumerate(samples)]
    line = join_batch(encode_sample(task.id, task.ref, task.output, encode_truth(task.ground_truth)) for task in tasks)
    assert line.decode()
    assert line.index(b"\n") == len(line) - 1
    assert decode_batch(line) == tasks


@given(
    st.just(Ready())
    | st.builds(Loaded, id=st.integers(), time_limit_s=st.none() | st.floats(0, MOST_S, exclude_min=True))
    | st.builds(
        Loaded, id=st.integers(), failure=st.builds(Verdict, score=st.none(), failure=FAILURES, error=st.text())
    )
    | st.builds(Verified, id=st.integers(), verdict=VERDICTS, retire=st.booleans())
)
def test_replies_round_trip(reply: Ready | Loaded | Verified) -> None:
    """What the worker says is what the pool understands, on one line of UTF-8."""
    line = encode_reply(reply)
    assert line.decode()
    assert line.index(b"\n") == len(line) - 1
    assert decode_reply(line) == reply


PYTHONS_VALUES = st.recursive(
    st.none() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)


@given(PYTHONS_VALUES, st.text(st.characters(exclude_categories=())))
def test_values_of_pythons_json_arrive_in_both_directions(value: Any, output: str) -> None:
    """NaN, infinities and lone surrogates of ground truths, outputs and extracted values are those that were sent."""
    ref = BootcampRef(data_source="x", origin="builtin", target="x")
    [task] = decode_batch(join_batch([encode_sample(1, ref, output, encode_truth(value))]))
    assert repr((task.output, task.ground_truth)) == repr(as_json_reads((output, value)))
    verified = Verified(id=1, verdict=Verdict(score=1.0, extracted=value), retire=False)
    line = encode_reply(verified)
    assert line.index(b"\n") == len(line) - 1
    got = decode_reply(line)
    assert isinstance(got, Verified)
    assert repr(got.verdict.extracted) == repr(as_json_reads((value,))[0])


def as_json_reads(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values as they come back from Python's json: two halves of a surrogate pair become one character."""
    return tuple(json.loads(json.dumps(values)))


def test_replies_are_bounded_in_depth() -> None:
    """A worker cannot send what is nested deeper than extracted values are; brackets in texts are no nesting."""
    deep: Any = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    for extracted in (deep, "[" * 9000):
        verified = Verified(id=1, verdict=Verdict(score=1.0, extracted=extracted), retire=False)
        assert decode_reply(encode_reply(verified)) == verified
    with pytest.raises(WireError, match="nested too deeply"):
        decode_reply(encode_reply(Verified(id=1, verdict=Verdict(score=1.0, extracted=[deep]), retire=False)))


PATCHING = """
import json, json.decoder, json.encoder, json.scanner, math, msgspec, msgspec.json

def forged(*_, **__):
    return '["verdict",2,0.25,"forged",null,null,false]'

class Forged:
    def __init__(self, *_, **__): pass
    def __call__(self, *_, **__): return forged()
    def __getattr__(self, name): return forged

def extract_output(output):
    for module in (json, json.decoder, json.encoder, json.scanner, msgspec, msgspec.json):
        for name in [name for name in vars(module) if not name.startswith("__")]:
            value = getattr(module, name)
            if isinstance(value, type) and not issubclass(value, Exception):
                for method in ("encode", "decode", "raw_decode", "iterencode", "default"):
                    try:
                        setattr(value, method, forged)
                    except (TypeError, AttributeError):
                        pass
                setattr(module, name, Forged)
            elif callable(value) and not isinstance(value, type):
                setattr(module, name, forged)
    math.isfinite = math.isnan = lambda _: True
    return output

def check(solution, truth): return 0.5
"""
"""Replaces what of json, msgspec and math can be replaced, while its sample is verified."""


def test_replaced_functions_of_libraries_reach_no_other_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a verifier has replaced json's functions, the same worker's next samples have their own verdicts."""
    monkeypatch.syspath_prepend(tmp_path)
    patching = write_bootcamp(tmp_path, "patching", PATCHING)
    source = "def extract_output(output): return {1: [output, float('nan'), float('-inf'), None], float('nan'): 0}\n"
    source += "def check(solution, truth): return repr(truth) == '[nan, None]' and solution[1][0] == 'token'\n"
    honest = write_bootcamp(tmp_path, "honest", source)
    text = write_bootcamp(tmp_path, "text", ECHO)
    truth = [float("nan"), None]
    verdicts = verify_all(
        [
            (honest, "token", truth),
            (patching, "x", None),
            *[(honest, "token", truth)] * 40,
            (text, "\ud800 \u00e9", None),
            (honest, "\ud800", truth),
        ]
    )
    extracted = {"1": ["token", float("nan"), float("-inf"), None], "NaN": 0}
    for verdict in (verdicts[0], *verdicts[2:42]):
        assert (verdict.score, repr(verdict.extracted)) == (1.0, repr(extracted))
    assert verdicts[1] == Verdict(score=0.5, extracted="x")
    assert verdicts[42].extracted == "\ud800 \u00e9"
    assert (verdicts[43].score, verdicts[43].extracted["1"][0]) == (0.0, "\ud800")


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_nonsense_is_refused(line: bytes) -> None:
    """Anything but a message is a WireError, whatever it holds."""
    with pytest.raises(WireError):
        decode_reply(line)


@pytest.mark.parametrize(
    "line",
    [
        '["verdict", 1, NaN, null, null, null, false]',
        '["verdict", 1, 1e999, null, null, null, false]',
        '["verdict", 1, 1.0, [1e999], null, null, false]',
        '["verdict", 1, 1.0, null, "verifier_error", "x", false]',
        '["verdict", 1, null, null, null, null, false]',
        '["verdict", 1, null, null, "verifier_timeout", "x", false]',
        '["verdict", "1", 1.0, null, null, null, false]',
        '["verdict", 1, 1.0, null, null, null]',
        '["loaded", 1, 301.0, null, null, null]',
        '["loaded", 1, 0.0, null, null, null]',
        '["loaded", 1, 1.0, "verifier_error", "x", null]',
        '["loaded", 1, null, "verifier_timeout", "x", null]',
        '["loaded", 1, null, null, null, ""]',
        '["loaded", 1, null, null, null, 7]',
        "[" * 100_000,
    ],
    ids=range(15),
)
def test_forged_verdicts_are_refused(line: str) -> None:
    """A score that is no finite number, a failure with a score or of an unknown kind, missing parts: no message."""
    with pytest.raises(WireError):
        decode_reply(line.encode())


def test_entry_points_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, a class, an instance and an attribute of one serve as entry points, of both protocols."""
    monkeypatch.syspath_prepend(tmp_path)
    source = """
def extract_output(output): return output
def check(solution, ground_truth): return solution == ground_truth
class Class:
    extract_output = staticmethod(extract_output)
    @classmethod
    def verify_score(cls, output, ground_truth, short_penalty=True): return 0.25 if short_penalty else 0.75
class Instance:
    inner = Class
    def extract_output(self, output): return output
    def check(self, solution, ground_truth): return 0.5
instance = Instance()
nothing = None
"""
    write_bootcamp(tmp_path, "forms", source)
    targets = [
        "forms",
        "forms:Class",
        "forms:instance",
        "forms : instance.inner [extra]",
        "forms:nothing",
        "forms:gone",
    ]
    refs = [BootcampRef(data_source="x", origin="entry_point", target=target) for target in targets]
    verdicts = verify_all([(ref, "x", "x") for ref in refs])
    assert [verdict.score for verdict in verdicts] == [1.0, 0.75, 0.5, 0.75, None, None]
    assert {verdict.failure for verdict in verdicts[4:]} == {"verifier_error"}


def test_limits_and_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has its memory limit, writes no core, and the programs a verifier starts do not inherit the channel."""
    monkeypatch.syspath_prepend(tmp_path)
    source = """
import resource, subprocess, sys
def extract_output(output):
    code = 'import os; print([fd for fd in range(3, 200) if os.path.exists(f"/dev/fd/{fd}")])'
    run = subprocess.run([sys.executable, '-I', '-c', code], stdout=subprocess.PIPE, text=True, close_fds=False)
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]
    return [*limits, run.stdout]
def check(solution, truth): return True
"""
    ref = write_bootcamp(tmp_path, "limits", source)
    address_space, core, descriptors = verify_all([(ref, "x", None)], memory_mib=512)[0].extracted
    assert core == 0
    assert descriptors.strip() == "[]"
    if sys.platform != "darwin":
        assert address_space == 512 * 1024 * 1024


def test_worker_imports_only_what_it_meets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker holds the bootcamps of its samples, once each, and neither the client nor any surface of the tool."""
    monkeypatch.syspath_prepend(tmp_path)
    write_bootcamp(tmp_path, "unmet", ECHO)
    note = tmp_path / "note"
    source = f"import sys\nopen({str(note)!r}, 'a').write('x')\n" + ECHO.replace(
        "return output", "return sorted(sys.modules)"
    )
    ref = write_bootcamp(tmp_path, "listing", source)
    modules = verify_all([(ref, "x", None), (ref, "y", None)])[1].extracted
    assert note.read_text() == "x"
    assert {"unmet", "anyio", "httpx", "typer", "rich", "asyncio", "numpy"} & set(modules) == set()
    ours = [name.removeprefix("bootcamp_cli.") for name in modules if name.startswith("bootcamp_cli.")]
    assert ours == [
        *("bootcamps", "bootcamps.registry", "bootcamps.scoring", "bootcamps.time_limits", "bootcamps.upstream"),
        *("errors", "types"),
        *("verification", "verification.protocol", "verification.worker"),
    ]


def test_worker_ends_with_the_pool(tmp_path: Path) -> None:
    """An idle worker whose pool is gone ends by itself, with its group."""
    with worker(tmp_path) as (process, channel):
        channel.close()
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_hanging_worker_ends_without_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs in a verifier when the pool is killed ends by its own alarm, not never."""
    monkeypatch.setattr("bootcamp_cli.verification.process._ALARM_GRACE_S", 0.0)
    monkeypatch.syspath_prepend(tmp_path)
    ref = write_bootcamp(tmp_path, "endless", ECHO.replace("return output", "exec('while True: pass')"))
    with worker(tmp_path, timeout_s=0.1) as (process, channel):
        channel.sendall(join_batch([encode_sample(1, ref, "x", b"null")]))
        assert channel.recv(100) == b'["loaded",1,null,null,null,null]\n'
        channel.close()
        assert process.wait(timeout=30) == -signal.SIGALRM


def test_hanging_worker_of_built_in_bootcamps_ends_without_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does one whose alarm is not set anew for each sample; it does not ring while nothing is to be verified."""
    monkeypatch.setattr("bootcamp_cli.verification.process._ALARM_GRACE_S", 0.0)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hanging.py").write_text(
        "def extract_output(output):\n    while output == 'hang':\n        pass\n    return output\n\n"
        "def check(solution, ground_truth):\n    return solution == ground_truth\n"
    )
    ref = BootcampRef(data_source="x", origin="builtin", target="hanging")

    def sample(number: int, output: str) -> bytes:
        return encode_sample(number, ref, output, b'"a"')

    with worker(tmp_path, timeout_s=0.1) as (process, channel):
        channel.sendall(join_batch([sample(1, "a"), sample(2, "b")]))
        with channel.makefile("rb") as lines:
            assert [next(lines).split(b",")[0] for _ in range(3)] == [b'["loaded"', b'["verdict"', b'["verdict"']
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)  # the alarm was set to 1.2 s
        channel.sendall(join_batch([sample(3, "a"), sample(4, "hang")]))
        assert b'["verdict",3,1.0' in channel.recv(100)
        channel.close()
        assert process.wait(timeout=30) == -signal.SIGALRM


def test_answering_worker_ends_without_the_pool(tmp_path: Path) -> None:
    """A worker that has something to say to a pool that is gone ends, with its group."""
    missing = BootcampRef(data_source="x", origin="builtin", target="missing_module")
    with worker(tmp_path) as (process, channel):
        channel.sendall(join_batch([encode_sample(5, missing, "x", b"null")]))
        channel.close()
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_terminal_interrupt_is_ignored(tmp_path: Path) -> None:
    """SIGINT, also when sent to the worker itself, does not end it."""
    with worker(tmp_path) as (process, channel):
        os.kill(process.pid, signal.SIGINT)
        missing = BootcampRef(data_source="x", origin="builtin", target="missing_module")
        channel.sendall(join_batch([encode_sample(5, missing, "x", b"null")]))
        assert channel.makefile("rb").readline().startswith(b'["loaded",5,null,"verifier_error",')
