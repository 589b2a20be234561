"""What displays have in common.

The lines for single events, times and rates as text, the stream that may fail without stopping the run, the ticker.
"""

from typing import TextIO

import anyio

from bootcamp_cli.events import Draining, Event, Noted, RunPaused, RunResumed, RunStarted, ServerLimits, Warned
from bootcamp_cli.progress.state import ProgressState
from bootcamp_cli.text import counted, score_text, visible

UNKNOWN_TIME = "-:--:--"


def warning_line(event: Event) -> str | None:
    """`warning: ...` for a warning or a pause, which even a quiet run shows; None for every other event."""
    match event:
        case Warned():
            return f"warning: {visible(event.message)}"
        case RunPaused():
            return f"warning: paused, no new requests: {visible(event.reason)}"
        case _:
            return None


def notice_line(event: Event) -> str | None:
    """The line for the start, a message, a warning, a pause or its end, an interruption; None for every other event."""
    match event:
        case RunStarted():
            return _started(event)
        case Noted():
            return visible(event.message)
        case RunResumed():
            return f"continuing after a pause of {h_mm_ss(event.paused_s)}"
        case ServerLimits():
            return f"{limits(event)}: {visible(event.message)}"
        case Draining():
            return f"interrupted: no new requests, those in flight get up to {event.grace_s:g} s (again: stop at once)"
        case _:
            return warning_line(event)


def limits(event: ServerLimits) -> str:
    """That the server limits requests, and to what."""
    if event.per_s is None:
        return "the server limits requests; finding out to how many"
    per_s = event.per_s
    pace = f"{per_s:.1f} requests/s" if per_s >= 1 else f"{60 * per_s:.1f} requests/min"
    return f"the server limits requests; sending {pace}"


def _started(event: RunStarted) -> str:
    """What begins: model, files, samples, and what an earlier process has already done."""
    n_samples = sum(file.n_samples for file in event.files)
    n_before = sum(file.n_done_before for file in event.files)
    before = f", {n_before:,} of them already done" if n_before else ""
    samples, files = counted(n_samples, "sample"), counted(len(event.files), "file")
    return f"evaluating {visible(event.model_name)}: {samples} in {files}{before}"


def h_mm_ss(seconds: float | None) -> str:
    """A duration as `h:mm:ss`, `-:--:--` where it is unknown."""
    if seconds is None:
        return UNKNOWN_TIME
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"


def percent(current: int, total: int) -> str:
    """The share as `12.3%`, rounded down: `100.0%` means all of them."""
    tenths = 1000 * current // total if total else 1000
    return f"{tenths // 10}.{tenths % 10}%"


def bar(current: int, total: int, *, width: int) -> str:
    """A bar of `width` characters, filled in proportion; full only when all is done."""
    n_full = n_filled(current, total, width=width)
    return "#" * n_full + "-" * (width - n_full)


def n_filled(current: int, total: int, *, width: int) -> int:
    """How many of a bar's `width` cells are filled."""
    return width * current // total if total else width


def rate(per_s: float) -> str:
    """A number of samples per second, or per minute where they are slow."""
    return f"{per_s:.1f} samples/s" if per_s >= 1 or per_s == 0 else f"{60 * per_s:.1f} samples/min"


def score(mean: float | None) -> str:
    """A mean score with three digits, `-` before the first score."""
    return "-" if mean is None else score_text(mean, 3)


def figures(state: ProgressState) -> list[str]:
    """What the run is doing, one figure each: rate, tokens/s, in flight, retries, failures."""
    totals = state.totals
    retries = "1 retry" if state.n_retries == 1 else f"{state.n_retries:,} retries"
    return [
        rate(state.samples_per_s()),
        f"{state.tokens_per_s():,.0f} tok/s",
        f"{totals.n_in_flight:,} in flight",
        retries,
        f"{totals.n_failed:,} failed",
    ]


class Output:
    """Writes to a stream until that fails (terminal gone, pipe closed); from then on nothing is written.

    The stream is one that does not block, as those of the command line (`bootcamp_cli.progress.streams`).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._is_broken = False

    @property
    def is_unicode(self) -> bool:
        """Whether more than ASCII can be shown."""
        return self._encoding.lower().replace("-", "").startswith("utf")

    @property
    def is_behind(self) -> bool:
        """Whether the reader has not taken yet what was written: a frame would be out of date when it is shown."""
        return getattr(self._stream, "is_behind", False)

    def write(self, text: str) -> None:
        """Write and flush; characters that the encoding lacks are shown as `?`."""
        if self._is_broken:
            return
        try:
            self._stream.write(text.encode(self._encoding, "replace").decode(self._encoding))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._is_broken = True


class Ticker:
    """One waiting task, woken from the same event loop. A wake-up while nothing is waiting is kept, not lost."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._is_woken = False
        self._is_ended = False

    async def wait(self, seconds: float) -> bool:
        """Wait until the time is up, or `wake` or `end` is called. False once it has ended."""
        if not self._is_woken and not self._is_ended:
            self._event = anyio.Event()
            with anyio.move_on_after(max(0.0, seconds)):
                await self._event.wait()
            self._event = None
        self._is_woken = False
        return not self._is_ended

    def wake(self) -> None:
        """End the current wait, or else the next one."""
        self._is_woken = True
        if self._event is not None:
            self._event.set()

    def end(self) -> None:
        """Make this and every further wait return False."""
        self._is_ended = True
        self.wake()
