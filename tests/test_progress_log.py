"""progress.log: its lines, and how it is written."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from bootcamp_cli.events import (
    Event,
    FileTotal,
    RequestStarted,
    RunEnded,
    RunStarted,
    SampleFailed,
    SampleRecorded,
)
from bootcamp_cli.progress.log import ProgressLog, progress_text
from bootcamp_cli.progress.state import ProgressState


def started(*names: str) -> RunStarted:
    """A run of files of 10 samples each."""
    files = tuple(FileTotal(name=name, n_samples=10, n_done_before=0) for name in names)
    return RunStarted(run_dir="out", model_name="m", files=files, n_slots=4)


def recorded(file: str) -> SampleRecorded:
    """A sample's record."""
    return SampleRecorded(file=file, score=1.0, failure=None, output_len=5)


def test_exact_lines() -> None:
    """The first line is over all samples, the others are the same per file; unknown times are dashes."""
    now = 0.0
    state = ProgressState(lambda: now)
    state.handle(started("a.jsonl", "b.jsonl"))
    state.handle(RequestStarted(file="a.jsonl"))
    for _ in range(5):
        now += 12
        state.handle(recorded("a.jsonl"))
    assert progress_text(state) == (
        "Main Progress: 5/20 [#######-----------------------] 25.0% Elapsed: 0:01:00 Remaining: 0:03:00\n"
        "a.jsonl: 5/10 [###############---------------] 50.0% Elapsed: 0:01:00 Remaining: 0:01:00\n"
        "b.jsonl: 0/10 [------------------------------] 0.0% Elapsed: 0:00:00 Remaining: -:--:--\n"
    )


def test_failures_stand_at_the_end_of_the_line() -> None:
    """Samples without an answer are not counted as done: they are named behind the line."""
    state = ProgressState(lambda: 0.0)
    state.handle(started("a.jsonl"))
    state.handle(SampleFailed(file="a.jsonl", kind="timeout"))
    assert progress_text(state).splitlines()[0].endswith("0:00:00 Remaining: -:--:-- Failed: 1")


def test_odd_names_keep_to_their_line() -> None:
    """A line feed or an escape in a file name is shown, so that every file has one line."""
    state = ProgressState(lambda: 0.0)
    state.handle(started("a\nMain Progress: 9/9.jsonl", "\x1b[2J\udcff.jsonl"))
    lines = progress_text(state).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(r"a\nMain Progress: 9/9.jsonl: 0/10 [")
    assert lines[2].startswith(r"\x1b[2J\xff.jsonl: 0/10 [")


def see(log: ProgressLog, event: Event) -> None:
    """Count an event and hand it to the log."""
    log.state.handle(event)
    log.handle(event)


def run_log(log: ProgressLog, *events: Event) -> None:
    """Run the log's task and hand it these events."""

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.run)
                for event in events:
                    see(log, event)
                    await anyio.lowlevel.checkpoint()

    anyio.run(main)


def test_last_state_is_kept(tmp_path: Path) -> None:
    """After RunEnded the file has the last state, nothing else lies beside it, and the task has ended."""
    path = tmp_path / "progress.log"
    run_log(ProgressLog(path, ProgressState(lambda: 0.0)), started("a"), *[recorded("a")] * 10, RunEnded())
    assert path.read_text().startswith("Main Progress: 10/10 [##############################] 100.0% Elapsed: 0:00:00")
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.log"]


def test_first_state_comes_at_once(tmp_path: Path) -> None:
    """The file is there as soon as the run has started, without waiting for the first second to pass."""
    path = tmp_path / "progress.log"

    async def main() -> None:
        log = ProgressLog(path, ProgressState(lambda: 0.0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.run)
            see(log, started("a"))
            with anyio.fail_after(10):
                while not path.exists():  # noqa: ASYNC110 - another thread makes it
                    await anyio.sleep(0.001)
            see(log, RunEnded())

    anyio.run(main)


def test_full_disk_is_told_once(tmp_path: Path) -> None:
    """A log that cannot be written is one warning and no exception."""
    warnings: list[str] = []
    log = ProgressLog(tmp_path / "gone" / "progress.log", ProgressState(lambda: 0.0), warn=warnings.append)

    async def main() -> None:
        see(log, started("a"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.run)
            while not warnings:  # noqa: ASYNC110 - another thread writes
                await anyio.sleep(0.001)
            see(log, RunEnded())

    anyio.run(main)
    assert len(warnings) == 1
    assert "progress.log: No such file or directory; the run continues" in warnings[0]


def test_cancelled_log_leaves_the_file_alone(tmp_path: Path) -> None:
    """A log that is cancelled (its run directory may be another's by then) writes nothing more."""
    path = tmp_path / "progress.log"

    async def main() -> None:
        log = ProgressLog(path, ProgressState(lambda: 0.0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.run)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert not path.exists()


@pytest.mark.parametrize("n_files", [1, 200])
def test_one_line_per_file(n_files: int) -> None:
    """However many files there are, each has its line, in the order of the run."""
    state = ProgressState(lambda: 0.0)
    state.handle(started(*(f"{i:03}.jsonl" for i in range(n_files))))
    lines = progress_text(state).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [f"{i:03}.jsonl" for i in range(n_files)]
