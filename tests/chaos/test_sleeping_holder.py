"""A holder that is suspended at any file operation, whose lock is taken over, and who wakes: it writes nothing more."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootcamp_cli.store.lock import STALE_S, acquire
from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.holders import SkippedTime, as_if_elsewhere, files_of, holder_pid
from tests.chaos.runs import Evaluation, Left, assert_undisturbed, finish, records_of
from tests.chaos.templates import interrupted

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to know the files of descriptors")


SHUT_OUT = (
    "was taken over by another process: nothing more is written",
    "was locked by another process at the same moment",
)


TIDYING = (" .lock/", "os.remove .tmp-")
"""Operations behind which a run that has written everything may end as if nothing had happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeper:
    """A resume of an interrupted run that is suspended just before one of its file operations."""

    evaluation: Evaluation
    run_dir: Path
    log: Path

    def start(self, at: int, on: str | None = None) -> subprocess.Popen[str]:
        """Start it; it stops itself before operation `at` (of a kind), where it gets that far."""
        self.log.unlink(missing_ok=True)
        strike = {"STRIKE_BELOW": str(self.run_dir), "STRIKE_AT": str(at), "STRIKE_HOW": "stop"}
        words = [sys.executable, "-m", "tests.chaos.strike", *self.resume()]
        kind = {} if on is None else {"STRIKE_ON": on}
        return self.evaluation.start(words, {**strike, **kind, "STRIKE_LOG": str(self.log)})

    def resume(self) -> list[str]:
        """The words of the resume."""
        return ["resume", str(self.run_dir), "--quiet", "--url", self.evaluation.server.url]

    def n_operations(self) -> int:
        """How many operations the last one made."""
        return self.log.read_text(encoding="utf-8").count("\n")

    def last_operation(self) -> str:
        """The operation before which it stopped."""
        return self.log.read_text(encoding="utf-8").splitlines()[-1]


def stops(process: subprocess.Popen[str]) -> bool:
    """Wait until the process is suspended or has ended; whether it is suspended."""
    state = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    assert state is not None
    return state.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED)


def taken_over_while_asleep(
    sleeper: Sleeper, expected: Left, at: int, on: str | None = None, *, in_real_time: bool = False
) -> str | None:
    """Suspend the holder before operation `at`, have another process finish the run, wake the holder.

    Returns the operation at which a holder was shut out, None where it did not hold the lock or had ended.
    """
    shutil.rmtree(sleeper.run_dir, ignore_errors=True)
    interrupted(expected.run_dir, sleeper.run_dir)
    process = sleeper.start(at, on)
    if not stops(process):
        assert finish(process).code == 0
        return None
    operation = sleeper.last_operation()
    held = holder_pid(sleeper.run_dir) == process.pid
    if held:
        as_if_elsewhere(sleeper.run_dir)
        if not in_real_time:
            watched = SkippedTime()
            acquire(sleeper.run_dir, sleep=watched.sleep, clock=watched.clock).release()
            assert watched.now >= STALE_S
    done = sleeper.evaluation.finish(*sleeper.resume())
    assert done.code == 0, (operation, done.stderr)
    assert_undisturbed(sleeper.run_dir, expected, sleeper.evaluation.test_dir)
    before = files_of(sleeper.run_dir)
    process.send_signal(signal.SIGCONT)
    woken = finish(process)
    if held:
        assert files_of(sleeper.run_dir) == before, operation
        if woken.code:
            assert woken.code == 1, (operation, woken.stderr)
            assert any(words in woken.stderr.splitlines()[-1] for words in SHUT_OUT), (operation, woken.stderr)
        else:
            assert any(words in operation for words in TIDYING), f"{operation}: there was something left to be written"
    else:
        assert woken.code in (0, 1), (operation, woken.stderr)
        assert records_of(sleeper.run_dir) == expected.records, operation
    return operation if held and woken.code else None


def test_a_holder_that_wakes_after_a_takeover_writes_nothing_more(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Suspended before any operation, between its look at the lock and its write too, a holder that wakes stops."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    expected = undisturbed(evaluation)
    sleeper = Sleeper(evaluation=evaluation, run_dir=evaluation.output / "run", log=tmp_path / "log")
    evaluation.output.mkdir()
    shut_out = [taken_over_while_asleep(sleeper, expected, 1, "os.write", in_real_time=long_form)]
    assert shut_out[0] is not None, "between its look at the lock and its write"
    if long_form:
        interrupted(expected.run_dir, evaluation.output / "calm")
        calm = replace(sleeper, run_dir=evaluation.output / "calm")
        done = finish(calm.start(0))
        assert done.code == 0, done.stderr
        every = range(1, calm.n_operations() + 1)
        shut_out += [taken_over_while_asleep(sleeper, expected, at) for at in every]
    n_shut_out = sum(operation is not None for operation in shut_out)
    tell(f"sleeping holders: woken at {len(shut_out)} operations, {n_shut_out} of them shut out, none wrote any more")
