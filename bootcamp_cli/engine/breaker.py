"""The circuit breaker before every request, and the early stop of a run that is refused from its first request on.

It opens while the server or the model is away, and holds requests back while the server asks for patience.
"""

from collections.abc import Awaitable, Callable

import anyio

from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Emit, RunPaused, RunResumed
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.types import RequestFailure

_FIRST_POLL_S = 1.0
_MAX_ALIKE = 16


class CircuitBreaker:
    """Pauses the run instead of spending retries when the trouble affects all samples.

    `n_in_work` tells how many samples have requests in flight or attempts to come: when that many in a row (at most 16)
    fail to connect, the server is away. `wait_s` bounds the time without any reply to a completion request,
    `poll_interval_s` the time between two checks, which starts at one second and doubles. `max_hold_s` caps what a 429
    with Retry-After may ask for.
    """

    def __init__(
        self,
        client: CompletionClient,
        *,
        model_name: str,
        n_in_work: Callable[[], int],
        wait_s: float,
        poll_interval_s: float,
        max_hold_s: float,
        emit: Emit,
    ) -> None:
        self._client = client
        self._model_name = model_name
        self._n_in_work = n_in_work
        self._wait_s = wait_s
        self._poll_interval_s = poll_interval_s
        self._max_hold_s = max_hold_s
        self._emit = emit
        self._paused: anyio.Event | None = None
        self._held_until = 0.0
        self._n_unreached = 0
        self._away_since: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether a request may be sent at once."""
        return self._paused is None and not self._held_until

    async def wait_until_closed(self) -> None:
        """Return when a request may be sent."""
        while True:
            if self._paused is not None:
                await self._paused.wait()
            elif (held_s := self._held_until - anyio.current_time()) > 0:
                await anyio.sleep(held_s)
            else:
                self._held_until = 0.0
                return

    def replied(self) -> None:
        """A completion request got a reply, good or bad."""
        self._n_unreached = 0
        self._away_since = None

    def hold(self, retry_after_s: float) -> None:
        """A 429 asked for patience: hold back new requests as well."""
        until = anyio.current_time() + min(retry_after_s, self._max_hold_s)
        self._held_until = max(self._held_until, until)

    async def connection_failed(self, failure: AttemptFailed) -> bool:
        """Wait for the server when every recent request failed to connect; True once it is back: the attempt is free.

        Raises:
            ServerUnavailableError: it did not come back in time.
        """
        self._n_unreached += 1
        if self._n_unreached < min(self._n_in_work(), _MAX_ALIKE) and self._paused is None:
            return False
        await self._pause(f"the server cannot be reached ({failure.message})", self._server_answers)
        return True

    async def model_missing(self) -> bool:
        """Wait for the model where the server lists others; True once it is listed again: the attempt is free.

        False where the server lists it or has no list: then the 404 belongs to the sample.

        Raises:
            ServerUnavailableError: it was not listed in time.
        """
        if self._paused is None and await self._model_listed() is not False:
            return False
        await self._pause(f"the server does not list the model {self._model_name}", self._model_back)
        return True

    async def _pause(self, reason: str, is_over: Callable[[], Awaitable[bool]]) -> None:
        if self._paused is not None:
            await self._paused.wait()
            return
        started = anyio.current_time()
        if self._away_since is None:
            self._away_since = started
        self._paused = anyio.Event()
        self._emit(RunPaused(reason=reason))
        try:
            await self._poll(reason, is_over)
        finally:
            self._paused.set()
            self._paused = None
        self._n_unreached = 0
        self._emit(RunResumed(paused_s=anyio.current_time() - started))

    async def _poll(self, reason: str, is_over: Callable[[], Awaitable[bool]]) -> None:
        delay_s = min(_FIRST_POLL_S, self._poll_interval_s)
        deadline = (self._away_since or 0.0) + self._wait_s
        while not await is_over():
            left_s = deadline - anyio.current_time()
            if left_s <= 0:
                raise ServerUnavailableError(
                    f"{reason}; waited {self._wait_s:.0f} s",
                    hint="start the server, then `bootcamp resume`: everything written so far is kept",
                )
            await anyio.sleep(min(delay_s, left_s))
            delay_s = min(delay_s * 2, self._poll_interval_s)

    async def _server_answers(self) -> bool:
        """Whether the server gives any reply but a gateway's 5xx."""
        try:
            await self._client.models()
        except AttemptFailed as failure:
            return failure.status is not None and failure.status < 500
        return True

    async def _model_back(self) -> bool:
        return await self._model_listed() is True

    async def _model_listed(self) -> bool | None:
        """Whether the server lists the model; None where it has no list."""
        try:
            models = await self._client.models()
        except AttemptFailed as failure:
            return None if failure.status in (404, 405) else False
        return any(model.get("id") == self._model_name for model in models)


class EarlyRefusals:
    """Holds the run at its first max(32, slots) samples until one ends in anything but a refusal with the same 4xx."""

    def __init__(self, n_slots: int) -> None:
        self.limit = max(32, n_slots)
        self._over = anyio.Event()
        self._n_admitted = 0
        self._n_refused = 0
        self._first: RequestFailure | None = None

    async def admit(self) -> None:
        """Wait until one more sample may start."""
        if self._n_admitted >= self.limit and not self._over.is_set():
            await self._over.wait()
        self._n_admitted += 1

    def accepted(self) -> None:
        """Some attempt ended in something other than a refusal: the server works for some requests."""
        self._over.set()

    def refused(self, failure: RequestFailure) -> ServerUnavailableError | None:
        """A sample was refused. Returns the error that stops the run once all first samples were refused alike."""
        if self._over.is_set():
            return None
        if self._first is None:
            self._first = failure
        elif self._first.status != failure.status:
            self._over.set()
            return None
        self._n_refused += 1
        return self.error() if self._n_refused >= self.limit else None

    def error(self) -> ServerUnavailableError | None:
        """The error of a run in which every sample so far was refused alike; None where that is not so."""
        if self._over.is_set() or self._first is None:
            return None
        n = self._n_refused
        what = "the only request was refused" if n == 1 else f"all of the first {n} requests were refused alike"
        return ServerUnavailableError(
            f"{what}: {self._first.message}",
            hint="fix the server and `bootcamp resume`, or start a new run with other parameters",
        )
