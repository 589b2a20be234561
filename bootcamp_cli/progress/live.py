"""Events -> live bars at the foot of a terminal, with warnings above them.

Frames are drawn at a fixed rate, however many events arrive. A frame is one write: move up over the old frame, erase
it, write new lines above, write the new frame. The cursor is never hidden and rests below the frame, so a run that is
killed leaves a sane terminal. rich styles the text; its Live is not used, because it miscounts the old frame's rows
after a resize.
"""

import io
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO

import anyio
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from bootcamp_cli.events import Event, RunEnded
from bootcamp_cli.progress.output import (
    Output,
    Ticker,
    figures,
    h_mm_ss,
    limits,
    n_filled,
    notice_line,
    percent,
    score,
    warning_line,
)
from bootcamp_cli.progress.state import Counts, FileProgress, ProgressState
from bootcamp_cli.text import visible

_REDRAW_S = 0.2
_ROWS_ABOVE = 4
"""Rows left for the lines above the frame and for the cursor."""
_MAX_ABOVE = 1000
"""Lines that are kept for a terminal that takes no frame (Ctrl-S); the latest count."""
_MAX_BAR_WIDTH = 60
_MIN_BAR_WIDTH = 4
_MAX_NAME_WIDTH = 40
_WIDTH_FOR_SCORES = 60
_UNICODE_BAR = ("━", "─")  # distinguishable without colour
_ASCII_BAR = ("#", "-")


class LiveDisplay:
    """Bars of the run and of the files in progress, five times a second.

    `size` returns the terminal's size before each frame; by default it is that of the stream.
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
        self._above: deque[Text] = deque(maxlen=_MAX_ABOVE)
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
                if not self._output.is_behind:
                    self._output.write(self.next_frame())
            self._output.write(self.next_frame(is_last=True))
        except anyio.get_cancelled_exc_class():
            self._output.write(self.next_frame(is_last=True))
            raise

    def next_frame(self, *, is_last: bool = False) -> str:
        """What to write to replace the previous frame; the last one shows no files."""
        columns, rows = self._size()
        n_rows_drawn = sum(max(1, -(-cells // columns)) for cells in self._drawn)
        lines = self._frame(columns, rows, is_last=is_last)
        self._drawn = [line.cell_len for line in lines]
        # in two steps: what is erased from the very first cell on, tmux keeps in its scrollback, frame by frame
        erase = f"\r\x1b[{n_rows_drawn}A\x1b[K\x1b[B\x1b[J\x1b[A" if n_rows_drawn else "\r\x1b[J"
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
        width = max(1, columns - 1)  # text in the last column makes some terminals wrap
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


def frame_lines(state: ProgressState, *, width: int, height: int, is_unicode: bool) -> list[Text]:
    """The overall bar, the run's figures and bars of the files in progress: at most `height` lines of `width` cells.

    Files come in the order in which they were begun; those that do not fit are counted in a last line.
    """
    strokes = _UNICODE_BAR if is_unicode else _ASCII_BAR
    lines = summary_lines(state, width=width, is_unicode=is_unicode)
    files = [file for file in state.started if file.is_in_work]
    room = height - len(lines)
    shown = files if len(files) == len(state.files) <= room else files[: max(0, room - 1)]
    name_width = max((cell_len(_name(file)) for file in shown), default=0)
    name_width = min(name_width, _MAX_NAME_WIDTH, max(8, width // 2 - 10))
    current_width = max((len(_current(file)) for file in shown), default=0)
    for file in shown:
        name = _cut(_name(file), name_width)
        right = f" {percent(file.n_done, file.n_samples):>6}"
        if width >= _WIDTH_FOR_SCORES:
            right += f"  mean {score(file.mean_score):>5}"
        lines.append(_bar_line(f"{name} {_current(file):>{current_width}} ", file, right, width=width, strokes=strokes))
    if len(shown) < len(state.files):
        lines.append(Text(_rest(state, shown), style="dim"))
    return _cropped(lines[: max(1, height)], width)


def summary_lines(state: ProgressState, *, width: int, is_unicode: bool) -> list[Text]:
    """The overall bar and the figures of the run, and the reason if it is paused."""
    strokes = _UNICODE_BAR if is_unicode else _ASCII_BAR
    totals = state.totals
    times = f" {h_mm_ss(state.elapsed_s())} ETA {h_mm_ss(state.remaining_s())}"
    right = f" {percent(totals.n_done, totals.n_samples):>6}{times}"
    lines = [_bar_line(f"{totals.n_done:,}/{totals.n_samples:,} ", totals, right, width=width, strokes=strokes)]
    lines += [Text(line) for line in _wrapped([*figures(state), f"mean {score(totals.mean_score)}"], width)]
    if state.is_draining and not state.has_ended:
        lines.append(Text("interrupted: waiting for the requests in flight", style="yellow"))
    elif state.paused_reason is not None:
        lines.append(Text(f"paused: {visible(state.paused_reason)}", style="yellow"))
    elif state.limits is not None:
        lines.append(Text(limits(state.limits), style="yellow"))
    return _cropped(lines, width)


def _bar_line(left: str, counts: Counts, right: str, *, width: int, strokes: tuple[str, str]) -> Text:
    line = Text(left, no_wrap=True)
    bar_width = min(_MAX_BAR_WIDTH, width - cell_len(left) - len(right))
    if bar_width >= _MIN_BAR_WIDTH:
        full, empty = strokes
        n_full = n_filled(counts.n_done, counts.n_samples, width=bar_width)
        line.append(full * n_full, style="green").append(empty * (bar_width - n_full), style="bright_black")
    return line.append(right)


def _wrapped(parts: list[str], width: int) -> list[str]:
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(part)
    return lines


def _cropped(lines: list[Text], width: int) -> list[Text]:
    for line in lines:
        line.truncate(width, overflow="crop")
    return lines


def _name(file: FileProgress) -> str:
    return visible(file.name.removesuffix(".jsonl"))


def _cut(name: str, width: int) -> str:
    """The name in exactly `width` cells; longer ones lose their middle, as names differ at both ends."""
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    n_tail = (width - 2) // 2
    tail = name[-n_tail:]
    while cell_len(tail) > n_tail:
        tail = tail[1:]
    return f"{set_cell_size(name, width - 2 - cell_len(tail))}..{tail}"


def _current(file: FileProgress) -> str:
    return f"{file.n_done:,}/{file.n_samples:,}"


def _rest(state: ProgressState, shown: list[FileProgress]) -> str:
    n_rest = len(state.files) - len(shown)
    n_in_work = sum(file.is_in_work for file in state.started) - len(shown)
    n_waiting = n_rest - n_in_work - state.n_files_finished
    counts = [(state.n_files_finished, "finished"), (n_in_work, "in progress"), (n_waiting, "waiting")]
    detail = ", ".join(f"{n:,} {what}" for n, what in counts if n > 0)
    and_more = "... and {} more" if shown else "{}"
    return f"{and_more.format(f'{n_rest:,}')} {'file' if n_rest == 1 else 'files'}: {detail}"
