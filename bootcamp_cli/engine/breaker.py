"""What a failure says about all samples: the circuit breaker before every request, and the stop where all are refused.

The breaker opens while the server or the model is away.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import anyio

from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Emit, RunPaused, RunResumed, Warned
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed, is_refusal
from bootcamp_cli.server.request import way_around
from bootcamp_cli.types import RequestFailure

_FIRST_POLL_S = 1.0
_MAX_ALIKE = 16


class CircuitBreaker:
    """Pauses the run instead of spending retries when the trouble affects all samples.

    `n_in_work` tells how many samples have requests in flight or attempts to come: when that many in a row (at most 16)
    fail to connect, the server is away. `wait_s` bounds the time without any reply to a completion request,
    `poll_interval_s` the time between two checks, which starts at one second and doubles.
    """

    def __init__(
        self,
        client: CompletionClient,
        *,
        model_name: str,
        n_in_work: Callable[[], int],
        wait_s: float,
        poll_interval_s: float,
        emit: Emit,
    ) -> None:
        self._client = client
        self._model_name = model_name
        self._n_in_work = n_in_work
        self._wait_s = wait_s
        self._poll_interval_s = poll_interval_s
        self._emit = emit
        self._paused: anyio.Event | None = None
        self._n_unreached = 0
        self._away_since: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether a request may be sent at once."""
        return self._paused is None

    async def wait_until_closed(self) -> None:
        """Return when a request may be sent."""
        while self._paused is not None:
            await self._paused.wait()

    def replied(self) -> None:
        """A completion request got a reply, good or bad."""
        self._n_unreached = 0
        self._away_since = None

    async def is_free(self, failure: AttemptFailed) -> bool:
        """Deal with what affects the whole run; True where the failed attempt is repeated without counting.

        Raises:
            ServerUnavailableError: the run cannot go on.
        """
        if failure.scope == "connect":
            return await self._connection_failed(failure)
        self.replied()
        if failure.scope == "run_stop":
            raise ServerUnavailableError(failure.message, hint="fix that and run `bootcamp resume`") from failure
        if failure.scope == "model_missing":
            return await self._model_missing()
        return False

    async def _connection_failed(self, failure: AttemptFailed) -> bool:
        """Wait for the server when every recent request failed to connect; True once it is back: the attempt is free.

        Raises:
            ServerUnavailableError: it did not come back in time.
        """
        self._n_unreached += 1
        if self._n_unreached < min(self._n_in_work(), _MAX_ALIKE) and self._paused is None:
            return False
        await self._pause(f"the server cannot be reached ({failure.message})", self._server_answers)
        return True

    async def _model_missing(self) -> bool:
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


@dataclass(slots=True, eq=False)
class _Look:
    """A neutral completion under way; once it is `over`, `error` is what its refusal means for the run."""

    over: anyio.Event = field(default_factory=anyio.Event)
    error: ServerUnavailableError | None = None


class Refusals:
    """Tells what the server refuses to a sample from what it refuses to the whole run.

    A refusal is the sample's own, unless the server refuses a neutral completion as well. `ask` requests one and
    returns how it failed, None where it was answered. It is called

    - when the first max(32, slots) samples were refused with the same status, or all samples of a shorter run; until it
      is over no others are sent;
    - after the first 403, which may be a key without rights or the moderation of one prompt, and after each further
      max(32, slots) of them without an answer in between. Who is refused with 403 meanwhile shares its outcome.

    With `keep_going` nothing is asked, and no refusal stops the run.
    """

    def __init__(
        self, n_slots: int, *, ask: Callable[[], Awaitable[AttemptFailed | None]], emit: Emit, keep_going: bool
    ) -> None:
        self.limit = max(32, n_slots)
        self._ask = ask
        self._emit = emit
        self._keep_going = keep_going
        self._over = anyio.Event()
        self._n_admitted = 0
        self._n_refused = 0
        self._first: RequestFailure | None = None
        self._n_forbidden = 0
        self._max_forbidden = 1
        self._look: _Look | None = None
        self._error: ServerUnavailableError | None = None
        if keep_going:
            self._over.set()

    async def admit(self) -> None:
        """Wait until one more sample may start."""
        if self._n_admitted >= self.limit and not self._over.is_set():
            await self._over.wait()
        self._n_admitted += 1

    def answered(self) -> None:
        """A sample was answered."""
        self._n_forbidden = 0
        self._over.set()

    async def failed(self, failure: AttemptFailed) -> ServerUnavailableError | None:
        """An attempt failed. Returns the error that stops the run where the server refuses every request."""
        if not is_refusal(failure):
            self._over.set()
        elif self._error is not None:
            return self._error
        elif failure.status == HTTPStatus.FORBIDDEN and not self._keep_going:
            return await self._forbidden(failure)
        elif not self._over.is_set():
            return await self._refused(failure)
        return None

    async def all_ended(self) -> ServerUnavailableError | None:
        """Every sample has ended. Returns the error of a short run, all of whose samples were refused alike."""
        return None if self._over.is_set() else await self._refused_alike()

    async def _refused(self, failure: AttemptFailed) -> ServerUnavailableError | None:
        self._first = self._first or failure.end
        if self._first.status != failure.status:
            self._over.set()
            return None
        self._n_refused += 1
        return await self._refused_alike() if self._n_refused >= self.limit else None

    async def _refused_alike(self) -> ServerUnavailableError | None:
        if self._first is None:
            return None
        n = self._n_refused
        what = "the only request was refused" if n == 1 else f"all of the first {n} requests were refused alike"
        return await self._ask_neutrally(what, self._first)

    async def _forbidden(self, failure: AttemptFailed) -> ServerUnavailableError | None:
        self._n_forbidden += 1
        if self._look is not None:
            look = self._look
            await look.over.wait()
            return look.error
        if self._n_forbidden < self._max_forbidden:
            return None
        is_first, self._max_forbidden = self._max_forbidden == 1, self.limit
        return await self._ask_neutrally("a request was forbidden", failure.end, tell=is_first)

    async def _ask_neutrally(
        self, what: str, failure: RequestFailure, *, tell: bool = True
    ) -> ServerUnavailableError | None:
        """The error where a neutral completion is refused, too. Any other end of it lets the run go on."""
        self._look = look = _Look()
        try:
            refusal = await self._ask()
            if refusal is not None and is_refusal(refusal):
                look.error = _refusal_of_all(what, failure, refusal)
            else:
                self.answered()
                if refusal is None and tell:
                    answered = "but a short neutral one was answered: the run continues"
                    self._emit(Warned(message=f"{what}, {answered}: {failure.message}"))
        except ServerUnavailableError as error:
            look.error = error
        finally:
            self._look, self._error = None, look.error
            look.over.set()
        return look.error


def _refusal_of_all(what: str, failure: RequestFailure, neutral: AttemptFailed) -> ServerUnavailableError:
    other = f" (the neutral one: {neutral.message})" if neutral.message != failure.message else ""
    flag = way_around(f"{failure.message} {neutral.message}") or "other parameters"
    return ServerUnavailableError(
        f"{what}, and so was a short neutral one: {failure.message}{other}",
        hint=f"fix that and run `bootcamp resume`, start a new run with {flag}, or add --keep-going",
    )
