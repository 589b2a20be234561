"""The live display: what a frame holds, and what a terminal shows after a series of them."""

import io
import os
import re
from collections.abc import Callable, Mapping
from typing import TextIO

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bootcamp_cli.events import (
    Draining,
    Event,
    FileFinished,
    FileTotal,
    RequestStarted,
    RunEnded,
    RunPaused,
    RunStarted,
    SampleRecorded,
    Warned,
)
from bootcamp_cli.progress.live import LiveDisplay, frame_lines
from bootcamp_cli.progress.state import ProgressState


def started(names: list[str]) -> RunStarted:
    """A run of files of 10 samples each."""
    files = tuple(FileTotal(name=name, n_samples=10, n_done_before=0) for name in names)
    return RunStarted(run_dir="out", model_name="m", files=files, n_slots=128)


def state_of(n_files: int, *, n_in_work: int, n_finished: int = 0, name: str = "korLogic{}.jsonl") -> ProgressState:
    """A run in which the first files are finished and the next ones in work."""
    names = [name.format(i) for i in range(n_files)]
    state = ProgressState(lambda: 0.0)
    state.handle(started(names))
    for file in names[: n_finished + n_in_work]:
        state.handle(RequestStarted(file=file))
    for file in names[:n_finished]:
        state.handle(FileFinished(file=file))
    return state


def plain_lines(state: ProgressState, *, width: int = 79, height: int = 20) -> list[str]:
    """The text of a frame's lines."""
    return [line.plain for line in frame_lines(state, width=width, height=height, is_unicode=True)]


class Screen:
    """As much of a terminal as the display uses: it wraps, scrolls, goes up and erases."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        """Show what was written."""
        for token in re.findall(r"\x1b\[\d*[A-Za-z]|[^\x1b\n\r]+|\n|\r", re.sub(r"\x1b\[[\d;]*m", "", text)):
            if token == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif token == "\x1b[J":
                assert self.row or self.rows > len(self.lines), "tmux would keep the whole screen in its scrollback"
                self.lines[self.row :] = [""]
            elif token == "\x1b[K":
                self.lines[self.row] = ""
            elif token == "\x1b[B":
                self.row = min(self.row + 1, max(len(self.lines), self.rows) - 1)
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif token.endswith("A"):
                top_of_screen = max(0, len(self.lines) - self.rows)
                self.row = max(top_of_screen, self.row - int(token[2:-1] or 1))
            elif token != "\r":
                assert not self.lines[self.row], "text is written to empty lines only"
                assert cell_len(token) < self.columns or "warning" in token
                self.lines[self.row] = token


def display(
    stream: TextIO,
    *,
    env: Mapping[str, str] | None = None,
    size: Callable[[], os.terminal_size] = lambda: os.terminal_size((80, 24)),
) -> LiveDisplay:
    """A display of a terminal of 24 rows."""
    env = {"TERM": "xterm-256color"} if env is None else env
    return LiveDisplay(stream, ProgressState(lambda: 0.0), env=env, size=size)


def see(live: LiveDisplay, event: Event) -> None:
    """Count an event and hand it to the display."""
    live.state.handle(event)
    live.handle(event)


def test_120_files_fit_in_24_rows() -> None:
    """With 120 files in work at 80 columns the frame fits, shows the first begun, and counts the others."""
    live = display(io.StringIO())
    see(live, started([f"korLogic{i}.jsonl" for i in range(120)]))
    for i in range(110):
        see(live, RequestStarted(file=f"korLogic{i}.jsonl"))
    screen = Screen(80, 24)
    screen.feed(live.next_frame())
    assert len(screen.lines) <= 24
    assert screen.lines[1].startswith("0/1,200 ─")
    assert "110 in flight" in screen.lines[2]
    shown = [line.split()[0] for line in screen.lines if line.startswith("korLogic")]
    assert shown == [f"korLogic{i}" for i in range(len(shown))]
    n_rest = 120 - len(shown)
    assert f"... and {n_rest} more files: {n_rest - 10} in progress, 10 waiting" in screen.lines


def test_rich_console_shows_the_frame_unwrapped() -> None:
    """Printed by a rich console of 80 columns, a frame of 120 files has no line that wraps."""
    lines = frame_lines(state_of(120, n_in_work=120), width=79, height=20, is_unicode=True)
    console = Console(width=80, height=24, file=io.StringIO())
    for line in lines:
        console.print(line)
    assert isinstance(console.file, io.StringIO)
    assert len(console.file.getvalue().splitlines()) == len(lines) == 20


def test_finished_files_leave_the_frame() -> None:
    """Finished files are counted, files in work have bars, and without more files there is no counting line."""
    lines = plain_lines(state_of(5, n_finished=2, n_in_work=1))
    assert [line.split()[0] for line in lines[-2:]] == ["korLogic2", "..."]
    assert lines[-1] == "... and 4 more files: 2 finished, 2 waiting"
    assert plain_lines(state_of(3, n_in_work=3))[-1].startswith("korLogic2 ")
    assert plain_lines(state_of(3, n_finished=3, n_in_work=0))[-1] == "3 files: 3 finished"


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    n_files=st.integers(1, 40),
    n_in_work=st.integers(0, 40),
    name=st.sampled_from(["{}", "谜题" * 30 + "{}", "\x1b[2J{}\n", "long" * 50 + "{}"]),
    reason=st.none() | st.text(),
)
def test_frame_never_exceeds_the_terminal(
    *, width: int, height: int, n_files: int, n_in_work: int, name: str, reason: str | None
) -> None:
    """Whatever size and names, a frame has at most that many lines of at most that many cells, all printable."""
    state = state_of(n_files, n_in_work=n_in_work, name=name)
    if reason is not None:
        state.handle(RunPaused(reason=reason))
    lines = plain_lines(state, width=width, height=height)
    assert 1 <= len(lines) <= height
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)


def test_long_names_keep_both_ends() -> None:
    """A name that is too long loses its middle, because names of one family differ at their ends."""
    lines = plain_lines(state_of(2, n_in_work=2, name="korLogic" + "x" * 50 + "End{}.jsonl"))
    names = [line.split()[0] for line in lines[-2:]]
    assert [name.startswith("korLogic") and name.endswith(f"End{i}") for i, name in enumerate(names)] == [True, True]


def test_pause_and_interruption_are_shown() -> None:
    """A pause shows its reason as long as it lasts; an interruption shows what is waited for."""
    state = state_of(1, n_in_work=1)
    state.handle(RunPaused(reason="connection refused"))
    assert "paused: connection refused" in plain_lines(state)
    state.handle(Draining(grace_s=10))
    assert "interrupted: waiting for the requests in flight" in plain_lines(state)
    state.handle(RunEnded())
    assert "interrupted: waiting for the requests in flight" not in plain_lines(state), "nothing is waited for"


def test_warnings_stand_above_the_bars() -> None:
    """Warnings between frames stay above, once and whole; each frame replaces the one before."""
    live = display(io.StringIO())
    screen = Screen(80, 24)
    see(live, started(["a.jsonl"]))
    for i in range(5):
        see(live, RequestStarted(file="a.jsonl"))
        see(live, Warned(message=f"number {i}\x1b[2J"))
        screen.feed(live.next_frame())
        screen.feed(live.next_frame())
    assert screen.lines[1:6] == [rf"warning: number {i}\x1b[2J" for i in range(5)]
    assert sum("in flight" in line for line in screen.lines) == 1
    assert any("5 in flight" in line for line in screen.lines)


def test_narrowed_terminal_is_erased_whole() -> None:
    """Where the terminal became narrower and wrapped the old frame, the next frame goes up over all its rows."""
    columns = 80
    live = display(io.StringIO(), env={"TERM": "xterm"}, size=lambda: os.terminal_size((columns, 24)))
    see(live, started(["a.jsonl"]))
    live.next_frame()
    drawn = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", live.next_frame()).strip("\r").splitlines()
    columns = 20
    n_rows = sum(-(-max(1, cell_len(line)) // columns) for line in drawn)
    assert live.next_frame().startswith(f"\r\x1b[{n_rows}A\x1b[K\x1b[B\x1b[J\x1b[A")


@pytest.mark.parametrize(("env", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color(env: dict[str, str], *, has_colour: bool) -> None:
    """With NO_COLOR frames carry no colour, and the two parts of a bar still differ."""
    live = display(io.StringIO(), env={"TERM": "xterm-256color", **env})
    see(live, started(["a.jsonl"]))
    see(live, SampleRecorded(file="a.jsonl", score=1.0, failure=None, output_len=1))
    see(live, Warned(message="careful"))
    frame = live.next_frame()
    assert bool(re.search(r"\x1b\[[\d;]*[349]\dm", frame)) is has_colour
    assert "━" in frame
    assert "─" in frame


def test_ascii_terminal() -> None:
    """On a stream that has only ASCII bars are drawn with it and other characters are replaced, not raised."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    live = display(stream, env={"TERM": "xterm"})
    run(live, started(["谜.jsonl"]), Warned(message="谜"), RunEnded())
    assert b"0/10 ---" in re.sub(rb"\x1b\[[\d;]*m", b"", raw.getvalue())
    assert b"warning: ?" in raw.getvalue()


def run(live: LiveDisplay, *events: Event) -> None:
    """Run the display's task and hand it these events."""

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(live.run)
                for event in events:
                    see(live, event)
                    await anyio.lowlevel.checkpoint()

    anyio.run(main)


def test_end_leaves_the_summary() -> None:
    """After RunEnded the task ends, and on the screen remain the notices, the overall bar and the figures."""
    stream = io.StringIO()
    run(display(stream), started(["a", "b"]), RequestStarted(file="a"), Warned(message="careful"), RunEnded())
    screen = Screen(80, 24)
    screen.feed(stream.getvalue())
    assert screen.lines[0] == "evaluating m: 20 samples in 2 files"
    assert screen.lines[1] == "warning: careful"
    assert screen.lines[2].startswith("0/20 ")
    assert [line for line in screen.lines[2:] if line.startswith(("a ", "b ", "..."))] == []


def test_notices_survive_cancellation() -> None:
    """What was to be shown is shown even where the run fails before its end."""
    stream = io.StringIO()
    live = display(stream)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live.run)
            await anyio.wait_all_tasks_blocked()
            see(live, Warned(message="the lock is gone"))
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert "warning: the lock is gone" in stream.getvalue()


def test_lost_terminal_does_not_stop_the_run() -> None:
    """A stream that was closed takes no more frames, and that is all."""
    stream = io.StringIO()
    stream.close()
    live = LiveDisplay(stream, ProgressState(lambda: 0.0), env={"TERM": "xterm"})
    run(live, started(["a"]), Warned(message="careful"), RunEnded())


def test_a_terminal_that_stalls_gets_no_frames() -> None:
    """While the reader is behind no frame is written but the last, with the notices of that time."""

    class Stalled(io.StringIO):
        is_behind = True

    stream = Stalled()
    display = LiveDisplay(stream, ProgressState(lambda: 0.0), env={"TERM": "xterm"})

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(display.run)
            display.handle(Warned(message="careful"))
            await anyio.sleep(0.5)
            assert not stream.getvalue()
            display.handle(RunEnded())

    anyio.run(main)
    assert stream.getvalue().count("careful") == 1
