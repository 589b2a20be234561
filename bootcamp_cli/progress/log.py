"""Events -> progress.log: the state of the run as text, for `cat`, `watch` and people who are not at the terminal."""

from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from bootcamp_cli.errors import DiskError, RunDirectoryError
from bootcamp_cli.events import Event, RunEnded, RunStarted
from bootcamp_cli.progress.output import Ticker, bar, h_mm_ss, percent
from bootcamp_cli.progress.state import Counts, ProgressState
from bootcamp_cli.store.atomic import Check, no_check, replacing
from bootcamp_cli.text import visible

_INTERVAL_S = 1.0
_BAR_WIDTH = 30


class ProgressLog:
    """Keeps `path` up to date while `run` runs: replaced whole, at most once a second, in another thread.

    A write that fails (disk full) is reported to `warn` once and repeated; the run does not depend on it. After
    `RunEnded` the last state is written and stays; if `run` is cancelled, or `check` raises because the run directory
    no longer belongs to this process, nothing more is written.
    """

    def __init__(
        self,
        path: Path,
        state: ProgressState,
        *,
        check: Check = no_check,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._path = path
        self._check = check
        self.state = state
        self._warn = warn
        self._ticker = Ticker()

    def handle(self, event: Event) -> None:
        """Take the next event; returns at once."""
        if isinstance(event, RunStarted):
            self._ticker.wake()
        elif isinstance(event, RunEnded):
            self._ticker.end()

    async def run(self) -> None:
        """Write until `RunEnded`."""
        while await self._ticker.wait(_INTERVAL_S):
            if self.state.files:
                await self._write()
        await self._write()

    async def _write(self) -> None:
        try:
            await anyio.to_thread.run_sync(self._replace, progress_text(self.state).encode())
        except DiskError as error:
            if self._warn is not None:
                self._warn(f"{visible(error.message)}; the run continues")
                self._warn = None
        except RunDirectoryError:
            return  # the run itself ends with that error

    def _replace(self, content: bytes) -> None:
        with replacing(self._path, self._check, durable=False) as file:
            file.write(content)


def progress_text(state: ProgressState) -> str:
    """The content of progress.log: one line over all samples, then one per test file."""
    lines = [_line("Main Progress", state.totals, elapsed_s=state.elapsed_s(), remaining_s=state.remaining_s())]
    lines += [
        _line(
            visible(file.name),
            file,
            elapsed_s=state.file_elapsed_s(file),
            remaining_s=state.file_remaining_s(file),
        )
        for file in state.files.values()
    ]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, counts: Counts, *, elapsed_s: float, remaining_s: float | None) -> str:
    current, total = counts.n_done, counts.n_samples
    progress = f"{current}/{total} [{bar(current, total, width=_BAR_WIDTH)}] {percent(current, total)}"
    failed = f" Failed: {counts.n_failed}" if counts.n_failed else ""
    return f"{name}: {progress} Elapsed: {h_mm_ss(elapsed_s)} Remaining: {h_mm_ss(remaining_s)}{failed}"
