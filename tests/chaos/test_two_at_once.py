"""Several processes on one run directory, also a holder that sleeps while its lock is taken over."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcamp_cli.store import lock as lock_module
from bootcamp_cli.store.lock import acquire
from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.holders import as_if_elsewhere
from tests.chaos.runs import Evaluation, assert_undisturbed, ended_within, finish
from tests.chaos.templates import interrupted


def wait_for_records(evaluation: Evaluation, process: subprocess.Popen[str], n: int) -> None:
    """Return when `n` records are on disk."""
    while sum(path.read_bytes().count(b"\n") for path in evaluation.output.glob("*/details/*.jsonl")) < n:
        assert not ended_within(process, 0.01), finish(process)


def test_others_are_refused_whatever_path_they_take(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    """While a run holds it, resumes by symlink, relative path or `eval --resume` are refused at once, naming it."""
    evaluation = start_evaluation(rows=4, latency=0.3, files=6)
    running = evaluation.start()
    wait_for_records(evaluation, running, 1)
    os.killpg(running.pid, signal.SIGSTOP)
    run_dir = evaluation.run_dir()
    link = tmp_path / "link"
    link.symlink_to(run_dir)
    relative = os.path.relpath(run_dir, evaluation.output.parent)
    tool = [sys.executable, "-m", "bootcamp_cli", "resume", "--quiet", "--url", evaluation.server.url]
    others = {
        "symlink": [*tool, str(link)],
        "relative path": [*tool, f"./{relative}/../{run_dir.name}"],
        "eval --resume": evaluation.command(),
    }
    started = {name: evaluation.start(words) for name, words in others.items()}
    for name, process in started.items():
        done = finish(process)
        assert done.code == 1, (name, done)
        assert done.stderr.splitlines()[-1].startswith("bootcamp: error: "), (name, done)
        assert f"is in use by process {running.pid} on " in done.stderr, (name, done)
    os.killpg(running.pid, signal.SIGCONT)
    done = finish(running)
    assert done.code == 0, done.stderr
    assert evaluation.n_requests() == evaluation.n_samples()
    assert_undisturbed(run_dir, undisturbed(evaluation), evaluation.test_dir)
    tell(f"two at once: {len(others)} of {len(others)} other paths to a running directory refused")


def test_another_host_name_does_not_open_the_lock(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Where the lock seems to be held on another host, its beats alone keep others from a directory in use."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    run_dir = evaluation.output / "run"
    evaluation.output.mkdir()
    n_owed = interrupted(undisturbed(evaluation).run_dir, run_dir)
    tool = [sys.executable, "-m", "bootcamp_cli", "resume", "--quiet", "--url", evaluation.server.url, str(run_dir)]
    pace_s = lock_module.HEARTBEAT_S if long_form else 0.1
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", pace_s)
    n_rounds = 3 if long_form else 1
    with acquire(run_dir):
        for _ in range(n_rounds):
            as_if_elsewhere(run_dir)
            done = evaluation.finish(*tool[3:])
            assert done.code == 1, done
            assert f"is in use by process {os.getpid()} on " in done.stderr.splitlines()[-1], done
    assert evaluation.n_requests() == 0
    done = evaluation.finish(*tool[3:])
    assert done.code == 0, done.stderr
    assert evaluation.n_requests() == n_owed
    tell(f"two at once: {n_rounds} of {n_rounds} refused by the beats of a holder elsewhere, {pace_s:g} s apart")


def test_of_resumes_at_the_same_moment_one_writes(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Of resumes started together one works off what is owed; the others are refused or come when it is done."""
    evaluation = start_evaluation(rows=4, latency=0.1, files=2)
    expected = undisturbed(evaluation)
    evaluation.output.mkdir()
    n_refused = n_rounds = 0
    for number in range(12 if long_form else 1):
        run_dir = evaluation.output / f"run{number}"
        n_owed = interrupted(expected.run_dir, run_dir)
        before = evaluation.n_requests()
        tool = [sys.executable, "-m", "bootcamp_cli", "resume", "--quiet", "--url", evaluation.server.url]
        processes = [evaluation.start([*tool, str(run_dir)]) for _ in range(8 if long_form else 2)]
        ends = [finish(process) for process in processes]
        assert {end.code for end in ends} <= {0, 1}, ends
        assert any(end.code == 0 for end in ends), ends
        refused = [end for end in ends if end.code == 1]
        assert all("is in use by" in end.stderr or "at the same moment" in end.stderr for end in refused), refused
        assert evaluation.n_requests() - before == n_owed
        assert_undisturbed(run_dir, expected, evaluation.test_dir)
        n_refused, n_rounds = n_refused + len(refused), n_rounds + 1
    tell(f"two at once: in {n_rounds} rounds one process wrote, {n_refused} others were refused, no sample sent twice")
