"""A verdict belongs to its sample whatever signals the workers get."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.figure import tell
from tests.chaos.processes import children_of
from tests.conftest import RunBootcamp, StartBootcamp, StartFaultServer, WriteRows
from tests.test_eval_run_directory import records, run_dir_of

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV, signal.SIGSTOP, signal.SIGCONT)
BOOTCAMPS = ("TokenA", "TokenB", "TokenC")
VERIFIER = """
import os, pathlib, time
(pathlib.Path(__file__).parent / "pids" / str(os.getpid())).touch()
def extract_output(output):
    return output
def verify_score(output, ground_truth):
    time.sleep(0.005)
    return float(output.split()[1]) if ground_truth == output.split()[1] else -1.0
"""


def install(site: Path) -> None:
    """Write verifiers whose verdict is the token of the sample."""
    info = site / "tokens-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "pids").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tokens\nVersion: 1.0\n")
    lines = [f"{name} = tokens_{name.lower()}" for name in BOOTCAMPS]
    (info / "entry_points.txt").write_text("\n".join(["[bootcamp_cli.bootcamps]", *lines, ""]))
    for name in BOOTCAMPS:
        (site / f"tokens_{name.lower()}.py").write_text(VERIFIER)


def signal_workers(process: "subprocess.Popen[str]", site: Path, seeded: random.Random) -> Counter[str]:
    """Send signals to workers that verify, until the run ends; counts those that reached one."""
    sent: Counter[str] = Counter()
    while process.poll() is None:
        busy = children_of(process.pid).intersection(int(note.name) for note in (site / "pids").iterdir())
        if busy:
            number = seeded.choice(SIGNALS)
            try:
                os.kill(seeded.choice(sorted(busy)), number)
            except ProcessLookupError:
                continue
            sent[number.name] += 1
        time.sleep(0.05)
    return sent


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_verdicts_stay_with_their_samples(
    fault_server: StartFaultServer,
    start_bootcamp: StartBootcamp,
    run_bootcamp: RunBootcamp,
    write_rows: WriteRows,
    clean_environment: dict[str, str],
    tmp_path: Path,
    long_form: bool,
) -> None:
    """Workers killed, stopped and signalled at random: each score is that of the sample's token; resume fixes all."""
    n_each = 4000 if long_form else 80
    site = tmp_path / "site"
    install(site)
    for position, name in enumerate(BOOTCAMPS):
        tokens = range(position * n_each, (position + 1) * n_each)
        rows = [
            {"data_source": name, "prompt": f"token {token}?", "ground_truth": str(token), "answer": f"is {token} ."}
            for token in tokens
        ]
        write_rows(tmp_path / "tests" / f"{name}.jsonl", rows)
    server = fault_server(test_dir=tmp_path / "tests")
    environment = {"PYTHONPATH": os.pathsep.join([clean_environment["PYTHONPATH"], str(site)])}
    words = ("--verify-workers", "3", "--verify-timeout", "2", "--quiet")
    process = start_bootcamp(
        *("eval", "--url", server.url, "--test-dir", tmp_path / "tests", "--template", "r1", *words), env=environment
    )
    sent = signal_workers(process, site, random.Random(11))  # noqa: S311 - no secret
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, 3), stderr
    run_dir = run_dir_of(tmp_path / "output")
    failures: Counter[str] = Counter()
    for lines in records(run_dir).values():
        assert [record["row"] for record in lines] == list(range(n_each))
        for record in lines:
            if record["score"] is None:
                failures[record["failure"]] += 1
            else:
                assert (record["score"], record["extracted_output"]) == own(record)
    assert set(failures) <= {"verifier_crash", "verifier_timeout"}
    done = run_bootcamp("resume", run_dir, *words, env=environment)
    assert done.returncode == 0, done.stderr
    for lines in records(run_dir).values():
        assert [(record["score"], record["extracted_output"]) for record in lines] == [own(record) for record in lines]
    assert server.stats()["by_path"]["/v1/completions"] == 3 * n_each + 1, "no answer twice, and bos once"
    tell(
        f"worker kills: {sent.total()} signals to workers ({sent['SIGKILL']} SIGKILL) over {3 * n_each} samples, "
        f"{failures.total()} verdicts failed and were fixed, none on another sample"
    )


def own(record: dict[str, object]) -> tuple[float, object]:
    """Score and extraction that belong to a record."""
    return float(str(record["ground_truth"])), record["output"]
