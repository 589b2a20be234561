"""Events -> plain lines, for when stderr is not a terminal or the user asked for quiet."""

from typing import TextIO

import anyio

from bootcamp_cli.events import Event, FileFinished, RunEnded
from bootcamp_cli.progress.output import Output, Ticker, figures, h_mm_ss, notice_line, percent, score, warning_line
from bootcamp_cli.progress.state import ProgressState
from bootcamp_cli.text import visible

INTERVAL_S = 30.0


class PlainDisplay:
    """One line every 30 s, at each finished file, at pauses, interruptions and warnings."""

    def __init__(self, stream: TextIO, state: ProgressState) -> None:
        self._lines = LineWriter(stream)
        self._clock = state.clock
        self._state = state

    def handle(self, event: Event) -> None:
        """Take the next event; returns at once."""
        if isinstance(event, FileFinished):
            if (file := self._state.files.get(event.file)) is not None and file.is_finished:
                self._lines.add(finished_line(self._state, event.file))
        elif isinstance(event, RunEnded):
            self._lines.end()
        elif line := notice_line(event):
            self._lines.add(line)

    async def run(self) -> None:
        """Write until `RunEnded`."""
        due = self._clock() + INTERVAL_S
        while await self._lines.wait(due - self._clock()):
            if self._clock() >= due:
                due = self._clock() + INTERVAL_S
                self._lines.add(status_line(self._state))
            self._lines.flush()
        self._lines.flush()


class QuietDisplay:
    """Warnings and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        self._lines = LineWriter(stream)

    def handle(self, event: Event) -> None:
        """Take the next event; returns at once."""
        if isinstance(event, RunEnded):
            self._lines.end()
        elif line := warning_line(event):
            self._lines.add(line)

    async def run(self) -> None:
        """Write until `RunEnded`."""
        while await self._lines.wait(INTERVAL_S):
            self._lines.flush()
        self._lines.flush()


class LineWriter:
    """Lines on their way to a stream, written together where they come together.

    If the task is cancelled, the waiting lines are written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._output = Output(stream)
        self._ticker = Ticker()
        self._pending: list[str] = []

    def add(self, line: str) -> None:
        """Add a line that is written soon."""
        self._pending.append(line)
        self._ticker.wake()

    def end(self) -> None:
        """No more lines will come."""
        self._ticker.end()

    async def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for a line to write. False after the end."""
        try:
            return await self._ticker.wait(seconds)
        except anyio.get_cancelled_exc_class():
            self._output.write(self._take())
            raise

    def flush(self) -> None:
        """Write the waiting lines."""
        if self._pending:
            self._output.write(self._take())

    def _take(self) -> str:
        text = "".join(f"{line}\n" for line in self._pending)
        self._pending.clear()
        return text


def status_line(state: ProgressState) -> str:
    """Where the run stands, in one line."""
    times = f"elapsed {h_mm_ss(state.elapsed_s())}, remaining {h_mm_ss(state.remaining_s())}"
    mean = f"mean score {score(state.totals.mean_score)}"
    return ", ".join((_share(state.totals.n_done, state.totals.n_samples), *figures(state), mean, times))


def finished_line(state: ProgressState, name: str) -> str:
    """The outcome of one test file, and how many files are finished."""
    file = state.files[name]
    failed = f", {file.n_failed:,} failed" if file.n_failed else ""
    files = f"{state.n_files_finished:,} of {len(state.files):,} files finished"
    done = f"{file.n_done:,} of {file.n_samples:,} done"
    return f"{visible(name)}: {done}{failed}, mean score {score(file.mean_score)} ({files})"


def _share(current: int, total: int) -> str:
    return f"{current:,} of {total:,} samples done ({percent(current, total)})"
