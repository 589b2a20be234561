"""Runs that are killed and signalled at random times, continued until they are done."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from random import Random

from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.processes import children_of, processes_with
from tests.chaos.runs import RESENT_PER_KILL, Evaluation, assert_undisturbed, ended_within, finish, kill_group, seeded

LONG_ROWS = 143
"""Rows of each of the 14 bootcamps that can be generated: 2,002 samples."""

Disturb = Callable[[subprocess.Popen[str], Random], None]


def kill(process: subprocess.Popen[str], _random: Random) -> None:
    """SIGKILL for the whole process group."""
    kill_group(process)


def signal_once(process: subprocess.Popen[str], random: Random) -> None:
    """One SIGINT or SIGTERM: the run drains and ends with 130; at its very start the signal itself may end it."""
    number = random.choice([signal.SIGINT, signal.SIGTERM])
    process.send_signal(number)
    done = finish(process)
    assert done.code in (130, 0, -number), done.stderr
    assert "error" not in done.stderr


def signal_twice(process: subprocess.Popen[str], random: Random) -> None:
    """Two signals, the second some moments later: the run ends at once, wherever that meets it."""
    numbers = [random.choice([signal.SIGINT, signal.SIGTERM]) for _ in range(2)]
    process.send_signal(numbers[0])
    ended_within(process, random.choice([0, random.uniform(0, 0.1)]))
    process.send_signal(numbers[1])
    done = finish(process)
    assert done.code in (130, 0, *(-number for number in numbers)), done.stderr


N_RESENT_EACH: dict[Disturb, int] = {kill: RESENT_PER_KILL, signal_once: 0, signal_twice: RESENT_PER_KILL}
"""How many requests each disturbance may cost: none where the run may drain."""


def ended_in_time(evaluation: Evaluation, process: subprocess.Popen[str], random: Random, stride: int) -> bool:
    """Wait for a random moment, of the clock or of the requests sent; whether the run ended before."""
    if random.random() < 0.25:
        return ended_within(process, random.uniform(0.1, 2))
    until = evaluation.n_requests() + random.randint(1, stride)
    while evaluation.n_requests() < until:
        if ended_within(process, 0.01):
            return True
    return ended_within(process, random.choice([0, random.uniform(0, 0.2)]))


def disturb_until_done(evaluation: Evaluation, random: Random, disturbances: Sequence[Disturb], stride: int) -> int:
    """Start or continue the run and disturb it, by each of the given in rotation, until done; returns how often."""
    n_disturbed = 0
    for disturb in disturbances:
        process = evaluation.start()
        if ended_in_time(evaluation, process, random, stride):
            done = finish(process)
            assert done.code == 0, done.stderr
            return n_disturbed
        disturb(process, random)
        n_disturbed += 1
    done = evaluation.finish()
    assert done.code == 0, done.stderr
    return n_disturbed


def test_disturbed_at_random_times(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """However often a run is killed or signalled, it ends with every id once, equal reports and few requests more."""
    plans: Sequence[tuple[Sequence[Disturb], int]] = (
        [([kill], 220), ([signal_once], 60), ([signal_twice], 60)]
        if long_form
        else [([kill, signal_once, signal_twice], 3)]
    )
    for disturbances, wanted in plans:
        names = ", ".join(disturb.__name__ for disturb in disturbances)
        random = seeded(names)
        n_disturbed = n_runs = n_resent = n_samples = 0
        while n_disturbed < wanted:
            evaluation = start_evaluation(
                rows=LONG_ROWS if long_form else 4, latency=0.05 if long_form else 0.1, name=f"{names}{n_runs}"
            )
            rotation = list(islice(cycle(disturbances), wanted - n_disturbed))
            n_here = disturb_until_done(evaluation, random, rotation, stride=200 if long_form else 15)
            assert_undisturbed(evaluation.run_dir(), undisturbed(evaluation), evaluation.test_dir)
            n_samples = evaluation.n_samples()
            n_again = evaluation.n_requests() - n_samples
            assert 0 <= n_again <= sum(N_RESENT_EACH[disturb] for disturb in rotation[:n_here])
            n_disturbed, n_runs, n_resent = n_disturbed + n_here, n_runs + 1, n_resent + n_again
            evaluation.server.stop()
            wait_for_orphans(evaluation)
        tell(
            f"{names}: {n_disturbed} survived in {n_runs} runs of {n_samples:,} samples, nothing lost or twice, "
            f"reports identical, {n_resent} requests sent again, no process left"
        )


def wait_for_orphans(evaluation: Evaluation) -> None:
    """Wait until the workers of killed runs have ended by themselves, where the system tells whose they are."""
    deadline = time.monotonic() + 60
    while left := processes_with(f"TMPDIR={evaluation.environment['TMPDIR']}/bootcamp-verify"):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_killed_workers_cost_no_answer(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Verifier workers alone may be killed: the run goes on, and resume verifies what they had without any request."""
    random = seeded("workers")
    evaluation = start_evaluation(rows=LONG_ROWS if long_form else 4, latency=0.05 if long_form else 0.1)
    process = evaluation.start()
    n_killed = 0
    while not ended_within(process, random.uniform(0, 0.1)):
        for worker in children_of(process.pid):
            if random.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    n_killed += 1
    done = finish(process)
    assert done.code in (0, 3), done.stderr
    run_dir: Path = evaluation.run_dir()
    resumed = evaluation.finish("resume", str(run_dir), "--quiet")
    assert resumed.code == 0, resumed.stderr
    assert evaluation.n_requests() == evaluation.n_samples(), "no answer was requested twice"
    assert_undisturbed(run_dir, undisturbed(evaluation), evaluation.test_dir)
    tell(f"workers: {n_killed} killed in a run of {evaluation.n_samples():,} samples, no answer requested twice")
