"""Which display a run gets: live bars in a terminal, plain lines elsewhere, only warnings when quiet."""

from collections.abc import Mapping
from typing import Protocol, TextIO

from bootcamp_cli.events import (
    Event,
    RequestEnded,
    RequestStarted,
    SampleRecorded,
)
from bootcamp_cli.progress.state import ProgressState

ONLY_COUNTED = frozenset({RequestStarted, RequestEnded, SampleRecorded})
"""What happens to every sample: displays see these only through the state."""


class Display(Protocol):
    """Shows a run. `handle` and `run` belong to the same event loop."""

    def handle(self, event: Event) -> None:
        """Take the next event that is more than a count, after the state; returns at once, never raises."""

    async def run(self) -> None:
        """Draw or write until `RunEnded` has been handled."""


def choose_display(state: ProgressState, *, stream: TextIO, quiet: bool, env: Mapping[str, str]) -> Display:
    """The display for this stream; only what it needs is imported."""
    if stream.isatty() and not quiet and env.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        from bootcamp_cli.progress.live import LiveDisplay  # noqa: PLC0415 - rich takes 50 ms to import

        return LiveDisplay(stream, state, env=env)
    from bootcamp_cli.progress.plain import PlainDisplay, QuietDisplay  # noqa: PLC0415 - as above, anyio

    return QuietDisplay(stream) if quiet else PlainDisplay(stream, state)
