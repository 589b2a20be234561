"""Which display a run gets: live bars in a terminal, plain lines elsewhere, warnings alone when quiet."""

from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from bootcamp_cli.engine.events import Event


class Display(Protocol):
    """Shows a run. `handle` and `run` belong to the same event loop."""

    def handle(self, event: Event) -> None:
        """Take the next event; returns at once, never raises."""

    async def run(self) -> None:
        """Draw or write until `RunEnded` was handled."""


def choose_display(*, stream: TextIO, quiet: bool, env: Mapping[str, str], run_clock: Callable[[], float]) -> Display:
    """The display for this stream; only what it needs is imported."""
    if stream.isatty() and not quiet and env.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        from bootcamp_cli.progress.live import LiveDisplay  # noqa: PLC0415 - rich takes 50 ms to import

        return LiveDisplay(stream, run_clock, env=env)
    from bootcamp_cli.progress.plain import PlainDisplay, QuietDisplay  # noqa: PLC0415 - as above, anyio

    return QuietDisplay(stream) if quiet else PlainDisplay(stream, run_clock)
