"""Events -> live bars at the foot of a terminal, with warnings above them.

Frames are drawn at a fixed rate, however many events come. A frame is one write: up over the old frame, erase, lines
that are new above, new frame. The cursor is never hidden and rests below the frame, so a run that is killed leaves a
sane terminal. rich styles the text; its Live is not used, because it miscounts the old frame's rows after a resize.
"""

import io
import os
from collections.abc import Callable, Mapping
from typing import TextIO

import anyio
from rich.console import Console
from rich.text import Text

from bootcamp_cli.engine.events import Event, RunEnded
from bootcamp_cli.progress.frame import frame_lines, summary_lines
from bootcamp_cli.progress.notices import notice_line, warning_line
from bootcamp_cli.progress.output import Output
from bootcamp_cli.progress.state import ProgressState
from bootcamp_cli.progress.ticker import Ticker

_REDRAW_S = 0.2
_ROWS_ABOVE = 4
"""Rows left to the lines above the frame and to the cursor."""


class LiveDisplay:
    """Bars of the run and of the files in work, five times a second.

    `size` tells the terminal's size before each frame; by default the stream is asked.
    """

    def __init__(
        self,
        stream: TextIO,
        state: ProgressState,
        *,
        env: Mapping[str, str],
        size: Callable[[], os.terminal_size] | None = None,
    ) -> None:
        self._output = Output(stream)
        self._styled = io.StringIO()
        self._console = Console(file=self._styled, force_terminal=True, _environ=env)
        self._size = size or (lambda: _terminal_size(stream))
        self.state = state
        self._ticker = Ticker()
        self._above: list[Text] = []
        self._drawn: list[int] = []

    def handle(self, event: Event) -> None:
        """Take the next event; returns at once."""
        if isinstance(event, RunEnded):
            self._ticker.end()
        elif line := notice_line(event):
            self._above.append(Text(line, style="yellow" if warning_line(event) else ""))

    async def run(self) -> None:
        """Draw until `RunEnded`; the overall bar stays."""
        try:
            while await self._ticker.wait(_REDRAW_S):
                await self._output.write_aside(self.next_frame())
            await self._output.write_aside(self.next_frame(is_last=True))
        except anyio.get_cancelled_exc_class():
            self._output.write(self.next_frame(is_last=True))
            raise

    def next_frame(self, *, is_last: bool = False) -> str:
        """What to write to replace the frame drawn before; the last one has no files."""
        columns, rows = self._size()
        n_rows_drawn = sum(max(1, -(-cells // columns)) for cells in self._drawn)
        lines = self._frame(columns, rows, is_last=is_last)
        self._drawn = [line.cell_len for line in lines]
        erase = f"\r\x1b[{n_rows_drawn}A\x1b[J" if n_rows_drawn else "\r\x1b[J"
        for line in (*self._above, *lines):
            self._console.print(line, soft_wrap=True, highlight=False)
        self._above.clear()
        styled = self._styled.getvalue()
        self._styled.seek(0)
        self._styled.truncate()
        return erase + styled

    def _frame(self, columns: int, rows: int, *, is_last: bool) -> list[Text]:
        if not self.state.files:
            return []
        width = max(1, columns - 1)  # a full last column makes some terminals wrap
        height = rows - _ROWS_ABOVE if rows > 4 * _ROWS_ABOVE else max(1, rows - 1)
        if is_last:
            return summary_lines(self.state, width=width, is_unicode=self._output.is_unicode)
        return frame_lines(self.state, width=width, height=height, is_unicode=self._output.is_unicode)


def _terminal_size(stream: TextIO) -> os.terminal_size:
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        width, height = 80, 24
    return os.terminal_size((width or 80, height or 24))
