"""Each file operation of a command, one after another: killed there, or refused by the disk."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.runs import (
    RESENT_PER_KILL,
    Evaluation,
    Finished,
    assert_undisturbed,
    finish,
    records_of,
    seeded,
)
from tests.chaos.templates import interrupted

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to know the files of descriptors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An evaluation with a finished run, from which the directories to strike are made."""

    evaluation: Evaluation
    finished: Path

    def prepare(self, command: str) -> tuple[Path, int]:
        """The run directory that a command is to work on, and how many samples it owes."""
        shutil.rmtree(self.evaluation.output, ignore_errors=True)
        self.evaluation.output.mkdir()
        run_dir = self.evaluation.output / self.finished.name
        if command == "eval":
            return run_dir, self.evaluation.n_samples()
        if command == "resume":
            return run_dir, interrupted(self.finished, run_dir)
        shutil.copytree(self.finished, run_dir)
        return run_dir, 0

    def struck(self, command: str, run_dir: Path, *, at: int, how: str, log: Path | None = None) -> Finished:
        """Run a command in which one operation is struck."""
        words = [*self.words(command, run_dir)]
        environment = {"STRIKE_BELOW": str(self.evaluation.output), "STRIKE_AT": str(at), "STRIKE_HOW": how}
        if log is not None:
            environment["STRIKE_LOG"] = str(log)
        return finish(self.evaluation.start([sys.executable, "-m", "tests.chaos.strike", *words], environment))

    def again(self, command: str, run_dir: Path) -> Finished:
        """Run the same command undisturbed."""
        return self.evaluation.finish(*self.words(command, run_dir))

    def words(self, command: str, run_dir: Path) -> list[str]:
        """The command line."""
        if command == "eval":
            return self.evaluation.command()[3:]
        return [command, str(run_dir), "--quiet", *(["--url", self.evaluation.server.url] * (command == "resume"))]

    def n_operations(self, command: str, log: Path) -> int:
        """How many operations a command makes."""
        log.unlink(missing_ok=True)
        run_dir, _ = self.prepare(command)
        done = self.struck(command, run_dir, at=0, how="kill", log=log)
        assert done.code == 0, done.stderr
        return log.read_text(encoding="utf-8").count("\n")


@pytest.fixture
def scene(start_evaluation: StartEvaluation, undisturbed: Undisturbed) -> Scene:
    """A small evaluation, and what it leaves."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    return Scene(evaluation=evaluation, finished=undisturbed(evaluation).run_dir)


COMMANDS = ("eval", "resume", "report", "rescore")
QUICK = {"kill": {"resume": 1}, "disk": {"eval": 1}}
"""How many operations of each command the quick share strikes."""


def points(scene: Scene, command: str, kind: str, log: Path, *, all_of_them: bool) -> list[int]:
    """The numbers of the operations to strike: every one, or a few."""
    n_quick = QUICK[kind].get(command, 0)
    if not all_of_them and not n_quick:
        return []
    n_operations = scene.n_operations(command, log) if all_of_them else 30
    every = range(1, n_operations + 1)
    return list(every) if all_of_them else seeded(f"{kind} {command}").sample(every, n_quick)


def test_killed_at_each_file_operation(
    scene: Scene,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Killed at any file operation of eval, resume, report or rescore, the same command then completes the run."""
    struck: dict[str, int] = {}
    for command in COMMANDS:
        for at in points(scene, command, "kill", tmp_path / "log", all_of_them=long_form):
            run_dir, n_owed = scene.prepare(command)
            n_before = scene.evaluation.n_requests()
            done = scene.struck(command, run_dir, at=at, how="kill")
            assert done.code in (-9, 0), done.stderr
            struck[command] = struck.get(command, 0) + (done.code == -9)
            done = scene.again(command, run_dir)
            assert done.code == 0, (command, at, done.stderr)
            run_dir = scene.evaluation.run_dir()
            assert_undisturbed(run_dir, undisturbed(scene.evaluation), scene.evaluation.test_dir)
            assert scene.evaluation.n_requests() - n_before <= n_owed + RESENT_PER_KILL
    tell(f"killed at file operations: {_listed(struck)}: all completed afterwards with identical reports")


def test_refused_at_each_file_operation(
    scene: Scene,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """When a disk is full or fails at any operation, one line says so, no record is lost, the next run completes."""
    struck: dict[str, int] = {}
    for command in COMMANDS:
        for at in points(scene, command, "disk", tmp_path / "log", all_of_them=long_form):
            how = ("ENOSPC", "EIO")[at % 2]
            run_dir, _ = scene.prepare(command)
            before = records_of(run_dir) if command in ("report", "rescore") else {}
            done = scene.struck(command, run_dir, at=at, how=how)
            assert_told(done, how, f"{command} at {at}")
            struck[command] = struck.get(command, 0) + 1
            assert before == (records_of(run_dir) if before else {})
            done = scene.again(command, run_dir)
            assert done.code == 0, (command, at, how, done.stderr)
            run_dir = scene.evaluation.run_dir()
            assert_undisturbed(run_dir, undisturbed(scene.evaluation), scene.evaluation.test_dir)
    tell(f"ENOSPC from, or EIO at, file operations: {_listed(struck)}: each told in one line, nothing lost")


def assert_told(done: Finished, how: str, where: str) -> None:
    """One line names the refusal; a run that needed nothing of what was refused may be done."""
    lines = done.stderr.splitlines()
    if done.code == 0:
        assert all("cannot" in line and line.startswith("warning: ") for line in lines), (where, done.stderr)
        return
    assert done.code == 1, (where, done)
    last = lines[-1]
    assert last.startswith("bootcamp: error: cannot "), (where, done.stderr)
    assert {"ENOSPC": "No space left on device", "EIO": "Input/output error"}[how] in last, (where, last)
    assert all(line.startswith("warning: cannot write ") for line in lines[:-1]), (where, done.stderr)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} of {command}" for command, n in counts.items())
