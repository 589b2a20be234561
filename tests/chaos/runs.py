"""Evaluations to disturb: how they are started, continued until they are done, and compared with an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.conftest import FaultServerProcess

REPOSITORY = Path(__file__).resolve().parents[2]
CONCURRENCY = 8
RESENT_PER_KILL = 2 * CONCURRENCY
"""What a kill may cost: requests in flight, and answers that awaited their verdict or their write."""

TOLD_APART = ("latency_s", "attempts", "retries", "endpoint")
"""Fields of a record that tell how its answer came, not what it is: they may differ between two equal runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A test dir, a server that answers it, the directory for the runs, and the environment of the tool."""

    test_dir: Path
    server: FaultServerProcess
    output: Path
    environment: Mapping[str, str]
    options: tuple[str, ...] = ()
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *, module: str = "bootcamp_cli") -> list[str]:
        """`bootcamp eval --resume`: starts a run, or continues the one that is there."""
        return [
            *[sys.executable, "-m", module, "eval", "--url", self.server.url, "--model-name", "demo", "--quiet"],
            *["--test-dir", str(self.test_dir), "--output-dir", str(self.output), "--resume", "--verify-workers", "2"],
            *["--max-concurrent-requests", str(CONCURRENCY), "--max-retrying-delay", "0.1", *self.options],
        ]

    def start(
        self, words: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start the tool in a session of its own, by default with `command`; its stderr is a pipe."""
        process = subprocess.Popen(
            words or self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**self.environment, **(environment or {})},
            cwd=self.output.parent,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def finish(self, *words: str, timeout_s: float = 100) -> "Finished":
        """Run `bootcamp WORDS`, by default `command`, to its end."""
        process = self.start([sys.executable, "-m", "bootcamp_cli", *words] if words else None)
        return finish(process, timeout_s=timeout_s)

    def end(self) -> None:
        """Kill what still runs of what was started."""
        for process in self.started:
            if process.poll() is None:
                kill_group(process)

    def run_dir(self) -> Path:
        """The only run directory that came as far as its manifest."""
        [manifest] = self.output.glob("*/manifest.json")
        return manifest.parent

    def n_requests(self) -> int:
        """The completion requests that the server got."""
        received: int = self.server.stats()["received"]
        return received

    def n_samples(self) -> int:
        """The rows of the test dir."""
        return sum(path.read_bytes().count(b"\n") for path in self.test_dir.glob("*.jsonl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a process ended: its exit code, negative for a signal, and what it said."""

    code: int
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a run leaves that depends on nothing but the answers: records in order, reports to the byte; and where."""

    records: dict[str, list[dict[str, Any]]] = field(repr=False)
    reports: dict[str, bytes] = field(repr=False)
    run_dir: Path = field(compare=False)


def finish(process: subprocess.Popen[str], *, timeout_s: float = 100) -> Finished:
    """Wait for the end of the tool, however long it is: a run that hangs fails here."""
    try:
        _, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise
    return Finished(code=process.returncode, stderr=stderr)


def seeded(name: str) -> Random:
    """Random numbers that are the same each time."""
    return Random(name)  # noqa: S311 - disturbances, not secrets


def ended_within(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process ends by itself before the time is over."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill_group(process: subprocess.Popen[str]) -> Finished:
    """SIGKILL the tool's whole process group, unless it has ended, and reap it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    _, stderr = process.communicate()
    return Finished(code=process.returncode, stderr=stderr)


def records_of(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """The records by details file, in the order of the lines, without what tells how an answer came."""
    found = {}
    for path in sorted((run_dir / "details").glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        found[path.name] = [{key: line[key] for key in line if key not in TOLD_APART} for line in lines]
    return found


def left_by(run_dir: Path) -> Left:
    """What a finished run left; also checks that it is finished and that nothing is left over."""
    assert json.loads((run_dir / "manifest.json").read_bytes())["complete"] is True
    names = {path.name for path in (*run_dir.iterdir(), *(run_dir / "details").iterdir())}
    assert not [name for name in names if (name.startswith(".") and name != ".lock") or "tmp" in name or "part" in name]
    assert "failures.jsonl" not in names
    return Left(
        records=records_of(run_dir),
        reports={name: (run_dir / name).read_bytes() for name in ("meta.jsonl", "demo_scores.xlsx")},
        run_dir=run_dir,
    )


def assert_undisturbed(run_dir: Path, undisturbed: Left, test_dir: Path, *, repeats: int = 1) -> None:
    """Every sample of the test dir exactly once and in order, records and reports those of the undisturbed run."""
    left = left_by(run_dir)
    for path in test_dir.glob("*.jsonl"):
        samples = [(record["row"], record["repeat"]) for record in left.records[path.name]]
        assert samples == [(row, n) for row in range(path.read_bytes().count(b"\n")) for n in range(repeats)]
    assert left.records == undisturbed.records
    assert left.reports == undisturbed.reports
