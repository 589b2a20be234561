"""What the command line does to its process when the requests of a run begin: file limit, collector, display."""

import gc
import os
import resource
import sys
from typing import TYPE_CHECKING

from bootcamp_cli.cli.console import Console

if TYPE_CHECKING:
    from bootcamp_cli.api import StartDisplay
    from bootcamp_cli.progress.display import Display
    from bootcamp_cli.progress.state import ProgressState

_DESCRIPTORS_BESIDE_CONNECTIONS = 256


def run_display(console: Console, *, n_connections: int) -> "StartDisplay":
    """A function that prepares this process for that many connections and returns the display that fits stderr."""

    def start(state: "ProgressState") -> "Display":
        from bootcamp_cli.progress.display import choose_display

        if warning := raise_open_file_limit(n_connections + _DESCRIPTORS_BESIDE_CONNECTIONS):
            console.warn(warning)
        slow_garbage_collection()
        return choose_display(state, stream=sys.stderr, quiet=console.quiet, env=os.environ)

    return start


def raise_open_file_limit(needed: int) -> str | None:
    """Raise the soft limit of open files of this process to `needed`; a warning where the system allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (ValueError, OSError):  # macOS: an unlimited hard limit cannot be used in full
        allowed = soft
    if allowed >= needed:
        return None
    return (
        f"only {allowed} files can be open at once, {needed} are needed: "
        "lower max_concurrent_requests or raise `ulimit -n`"
    )


def slow_garbage_collection() -> None:
    """Make the garbage collector run rarely: samples hold no cycles, and walking them costs a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
