"""Ending a run early: a first request to stop drains it, a second one ends it at once, an error stops it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import anyio

from bootcamp_cli.errors import BootcampError
from bootcamp_cli.events import Draining, Emit

GRACE_S = 10.0


class StopRequest:
    """Asks running evaluations to end early, from any thread, task or signal handler, as Ctrl-C does in a terminal.

    After a first `request` no new request is sent; those in flight get 10 s, and their verdicts 10 s more. A second one
    ends the evaluation at once. Either way everything that arrived is kept, and `resume` goes on from there.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask while its own thread waits
        self._n = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, anyio.Event]] = set()

    def request(self) -> None:
        """Ask once; harmless where nothing runs any more."""
        with self._lock:
            self._n += 1
            waiting = list(self._waiting)
        for loop, event in waiting:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

    async def request_after(self, seconds: float) -> None:
        """Ask in so many seconds, unless it was asked by then: for the second time it would end the run at once."""
        await anyio.sleep(seconds)
        if not self._n:
            self.request()

    async def wait(self, n: int = 1) -> None:
        """Return when it was asked `n` times."""
        while True:
            waiting = asyncio.get_running_loop(), anyio.Event()
            with self._lock:
                self._waiting.add(waiting)
            try:
                if self._n >= n:
                    return
                await waiting[1].wait()
            finally:
                with self._lock:
                    self._waiting.discard(waiting)


@dataclass(slots=True)
class Shutdown:
    """Knows which tasks are waiting and which have a request in flight, and cancels them when the run ends early.

    `interrupted` is set by a request to stop, `error` by what affects the whole run (a refused key, a server that is
    gone).
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

    async def obey(self, stop: StopRequest, run: anyio.CancelScope) -> None:
        """Drain at the first request to stop, cancel `run` at the second."""
        await stop.wait()
        self.interrupted = True
        self._ended.set()
        self.emit(Draining(grace_s=GRACE_S))
        self._cancel(self._open - self._in_flight)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_grace)
            await stop.wait(2)
            run.cancel()

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
