"""Ending a run early: a first signal drains it, a second one ends it at once, an error stops it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from bootcamp_cli.engine.events import Draining, Emit
from bootcamp_cli.errors import BootcampError

GRACE_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Shutdown:
    """Knows which tasks are waiting and which have a request in flight, and cancels them when the run ends early.

    `interrupted` is set by a signal, `error` by what affects the whole run (a refused key, a server that is gone).
    """

    emit: Emit
    interrupted: bool = False
    error: BootcampError | None = None
    _ended: anyio.Event = field(default_factory=anyio.Event)
    _open: set[anyio.CancelScope] = field(default_factory=set)
    _in_flight: set[anyio.CancelScope] = field(default_factory=set)

    @property
    def ending(self) -> bool:
        """Whether no new request may be sent."""
        return self.interrupted or self.error is not None

    @contextmanager
    def scope(self) -> Iterator[anyio.CancelScope]:
        """The scope of a task that works for samples without an answer; cancelled when the run ends early."""
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            if self.ending:
                scope.cancel()
            try:
                yield scope
            finally:
                self._open.discard(scope)

    def request_started(self, scope: anyio.CancelScope) -> None:
        """A request is sent in this scope: while the run drains, it gets the grace period."""
        self._in_flight.add(scope)

    def request_ended(self, scope: anyio.CancelScope, *, failed: bool) -> None:
        """The request is over. One that failed while the run ends is not repeated."""
        self._in_flight.discard(scope)
        if failed and self.ending:
            scope.cancel()

    def stop(self, error: BootcampError) -> None:
        """End the run at once because of `error`; answers that arrived are still verified and recorded."""
        if self.error is None:
            self.error = error
        self._ended.set()
        self._cancel(self._open)

    async def watch_signals(self, run: anyio.CancelScope) -> None:
        """Drain at the first SIGINT or SIGTERM, cancel `run` at the second."""
        with _handlers_restored(), anyio.open_signal_receiver(*_SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                async for _ in signals:
                    if self.interrupted:
                        run.cancel()
                        return
                    self.interrupted = True
                    self._ended.set()
                    self.emit(Draining(grace_s=GRACE_S))
                    self._cancel(self._open - self._in_flight)
                    tasks.start_soon(self._end_grace)

    async def wait_for_grace(self) -> None:
        """Return when the run is ending and its grace period is over."""
        await self._ended.wait()
        await anyio.sleep(GRACE_S)

    async def _end_grace(self) -> None:
        await anyio.sleep(GRACE_S)
        self._cancel(self._open)

    @staticmethod
    def _cancel(scopes: set[anyio.CancelScope]) -> None:
        for scope in list(scopes):
            scope.cancel()


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Put back the signal handlers that the event loop replaces with the defaults."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
