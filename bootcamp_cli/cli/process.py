"""What the command line does around an evaluation: signals, file limit, collector, the library's hooks, the display."""

import gc
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bootcamp_cli.cli.console import Console

if TYPE_CHECKING:
    import anyio
    from anyio.abc import TaskGroup

    from bootcamp_cli import StopRequest
    from bootcamp_cli.api import Run
    from bootcamp_cli.events import Emit, Event
    from bootcamp_cli.progress.state import ProgressState

_DESCRIPTORS_BESIDE_CONNECTIONS = 256
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What ends a run gently: Ctrl-C, `kill`, and what Slurm sends before a job's time is up (`--signal=USR1@120`)."""

Evaluation = Callable[["Emit", "StopRequest"], Awaitable["Run"]]
"""Evaluates, telling what happens, until it is done or asked to stop."""


def run_shown(console: Console, evaluation: Evaluation, *, n_connections: int) -> "Run":
    """Evaluate with the display that fits stderr; once requests are sent, signals stop the run gently.

    From here on nobody who does not read the output is waited for at the end: the results are on disk.
    """
    import anyio

    from bootcamp_cli.progress.streams import read_within_a_moment

    read_within_a_moment()
    silence_retries()
    return anyio.run(_run_shown, console, evaluation, n_connections)


async def _run_shown(console: Console, evaluation: Evaluation, n_connections: int) -> "Run":
    import anyio

    from bootcamp_cli import StopRequest

    stop = StopRequest()
    result: list[Run | Exception] = []
    async with anyio.create_task_group() as tasks:
        stage = _Stage(console, tasks, stop, n_connections)
        try:
            result.append(await evaluation(stage.handle, stop))
        except Exception as error:  # noqa: BLE001 - raised below, not in a group
            result.append(error)
        finally:
            stage.end()
    stage.tell_the_rest()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


class _Stage:
    """Shows an evaluation: messages at once until requests are sent, the display from then to the last, then messages.

    Messages that come while the display draws its last frame are printed below it.
    """

    def __init__(self, console: Console, tasks: "TaskGroup", stop: "StopRequest", n_connections: int) -> None:
        self._console = console
        self._tasks = tasks
        self._stop = stop
        self._n_connections = n_connections
        self._show: Emit | None = None
        self._only_counted: Collection[object] = ()
        self._watching: anyio.CancelScope | None = None
        self._rest: list[Event] = []

    def handle(self, event: "Event") -> None:
        """Take the next event."""
        if self._show is not None:
            if type(event) not in self._only_counted:  # the display sees counts in the progress
                self._show(event)
            return
        from bootcamp_cli.events import RunStarted

        if isinstance(event, RunStarted):
            self._begin(event.progress)
            self.handle(event)
        else:
            self._console.on_event(event)

    def end(self) -> None:
        """No request is in flight any more: signals act as before, and the display draws its last frame."""
        if self._watching is not None:
            self._watching.cancel()
            self._show = self._rest.append

    def _end_after(self, event: "Event") -> None:
        from bootcamp_cli.events import RunEnded

        if isinstance(event, RunEnded):
            self.end()

    def tell_the_rest(self) -> None:
        """Print what came after the display's end."""
        for event in self._rest:
            self._console.on_event(event)

    def _begin(self, progress: "ProgressState") -> None:
        import anyio

        from bootcamp_cli.progress.display import ONLY_COUNTED, choose_display

        if warning := raise_open_file_limit(self._n_connections + _DESCRIPTORS_BESIDE_CONNECTIONS):
            self._console.warn(warning)
        slow_garbage_collection()
        display = choose_display(progress, stream=sys.stderr, quiet=self._console.quiet, env=os.environ)
        self._watching = anyio.CancelScope()
        self._tasks.start_soon(display.run)
        self._tasks.start_soon(_watch_signals, self._stop, self._watching)

        def show(event: "Event") -> None:
            display.handle(event)
            self._end_after(event)

        self._show = show
        self._only_counted = ONLY_COUNTED


async def _watch_signals(stop: "StopRequest", scope: "anyio.CancelScope") -> None:
    """Ask to stop at each signal that ends a run until `scope` is cancelled."""
    import anyio

    with scope, _handlers_restored(), anyio.open_signal_receiver(*ENDING_SIGNALS) as signals:
        async for _ in signals:
            stop.request()


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Put back the signal handlers that the event loop replaces with the defaults."""
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def silence_retries() -> None:
    """Keep stamina from logging each attempt: messages and the display tell of them."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])


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
    """Make the garbage collector run rarely, and leave alone what there is.

    Modules and samples hold no cycles, and walking them costs a tenth of the time of a start and of a run.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def spare_numpy() -> None:
    """Let openpyxl do without numpy, unless it is there already: a tenth of a second and 18 MB at the end of a run.

    openpyxl imports it to know its numbers when it meets them, and reports have none. Nobody else is kept from it; but
    this is for a process of one's own, as openpyxl does not look again.
    """
    sys.meta_path.insert(0, _NotForOpenpyxl())


class _NotForOpenpyxl:
    """Finds no numpy while the module is imported in which openpyxl asks for it, and leaves all else to others."""

    def find_spec(self, fullname: str, path: object, target: object = None, /) -> None:  # noqa: ARG002 - of all finders
        """Raise ModuleNotFoundError in that one case."""
        asking = sys.modules.get("openpyxl.compat.numbers") if fullname == "numpy" else None
        if asking is not None and not hasattr(asking, "NUMPY"):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
