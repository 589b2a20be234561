"""What a failure says about all samples: the circuit breaker before every request, and the stop where all are refused.

The breaker opens while the server or the model is away. Where a server is away behind a gateway, only the gateway's
replies tell of it, and they may as well mean a single sample. So when many in a row fail alike, the breaker takes a
*look*: it asks for the model list and for a short, neutral completion.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from bootcamp_cli.errors import KeyRefusedError, ServerUnavailableError, WrongModeError, ungrouped
from bootcamp_cli.events import Emit, Warned
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed, has_no_list, is_of_gateway, is_refusal, refuses_connections
from bootcamp_cli.server.health import probe, refuse_wrong_mode
from bootcamp_cli.server.request import way_around
from bootcamp_cli.text import shown_s
from bootcamp_cli.types import RequestFailure

_FIRST_POLL_S = 1.0
_MAX_ALIKE = 16
_AWAY = "away"
_LOOK_S = 60.0
_SILENCE_S = 60.0
_LOST_TOGETHER_S = 1.0
"""Connections that are lost within this time are looked into once."""

Trouble = Callable[[], Awaitable[str | None]]
"""Looks whether the server is away: what is wrong with it, or None."""


class Owner(Protocol):
    """Whose breaker it is: who is told when it opens and closes."""

    def opened(self, reason: str) -> None:
        """The server is away; nothing may be sent to it."""
        ...

    def closed(self, away_s: float) -> None:
        """It is back, after so many seconds."""
        ...

    def gave_up(self, error: ServerUnavailableError) -> None:
        """It did not come back in time. Raises that error where the run has no other server."""
        ...

    def objection(self, models: Sequence[Mapping[str, Any]]) -> str | None:
        """Why a server that came back with this model list is not the one that went away; None if it is."""
        ...


class CircuitBreaker:
    """Takes no more requests for a server, instead of spending retries, when the trouble affects all samples.

    `n_in_work` tells how many samples have requests in flight or attempts to come: when that many in a row (at most 16)
    find no connection, or get what a gateway says while the server behind it is away, or after earlier answers are
    refused alike, a look decides. `neutral_prompt` is what it asks for a completion of. `has_list` says that the server
    had a model list, so that a 404 for it is an outage. `wait_s` bounds the time without any reply to a completion
    request, `poll_interval_s` the time between two looks, which starts at one second and doubles. With `keep_going`
    refusals are left to the samples.
    """

    def __init__(  # noqa: PLR0913 - what it looks at, for how long, and whom it tells
        self,
        client: CompletionClient,
        *,
        model_name: str,
        neutral_prompt: str,
        has_list: bool,
        n_in_work: Callable[[], int],
        wait_s: float,
        poll_interval_s: float,
        owner: Owner,
        keep_going: bool = False,
    ) -> None:
        self._client = client
        self._model_name = model_name
        self._neutral_prompt = neutral_prompt
        self._has_list = has_list
        self._n_in_work = n_in_work
        self._wait_s = wait_s
        self._poll_interval_s = poll_interval_s
        self._owner = owner
        self._keep_going = keep_going
        self._tasks: TaskGroup | None = None
        self._is_open = False
        self._lost_s = -inf
        self._looking: _Look | None = None
        self._sign: str | None = None
        self._n_alike = 0
        self._growth = 1
        self._has_answered = False
        self._of_mode: _Question | None = None
        self._refused_s = -inf
        self._away_since: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether a request may be sent."""
        return not self._is_open

    def answered(self) -> None:
        """A completion request was answered."""
        self._has_answered = True
        self._growth = 1
        self.replied()

    def replied(self) -> None:
        """A completion request got a reply, good or bad, that no gateway gave in the server's stead."""
        self._sign = None
        self._away_since = None

    async def is_free(self, failure: AttemptFailed) -> bool:  # noqa: PLR0911 - one for each kind of failure
        """Deal with what affects all samples; True where the failed attempt is repeated without counting.

        Raises:
            ServerUnavailableError: nothing more can be had from this server.
        """
        if failure.scope == "abandoned":
            return True
        if failure.scope == "run_stop":
            kind = KeyRefusedError if failure.status == HTTPStatus.UNAUTHORIZED else ServerUnavailableError
            raise kind(failure.message, hint="fix that and run `bootcamp resume`") from failure
        if has_no_list(failure) and not self._has_answered:
            await self._refuse_wrong_mode(failure)
        if failure.scope == "model_missing" and await self._is_over(self._trouble_with_model):
            return True
        if failure.kind == "connection" and await self._is_death():
            return True
        sign = self._sign_of(failure)
        if sign is None:
            if failure.status is not None:
                self.replied()
            return False
        if not self._is_due(sign):
            return False
        if failure.scope == "connect" and self._looking is None:
            self._open(f"the server cannot be reached ({failure.message})", self._trouble, first_s=0.0)
            return True
        return await self._is_over(partial(self._trouble, sign))

    async def _is_death(self) -> bool:
        """Whether nobody listens any more where a connection was lost or not made; one look is for all at once."""
        if self._is_open:
            return True
        if self._looking is None:
            now_s = time.monotonic()
            if now_s - self._lost_s < _LOST_TOGETHER_S:
                return False
            self._lost_s = now_s
        reason = await self._looked(self._unlistening, is_of_samples=False)
        if reason is not None:
            self._open(reason, self._trouble, first_s=_FIRST_POLL_S)
        return reason is not None

    async def _unlistening(self) -> str | None:
        """What is wrong where nobody listens."""
        try:
            await self._client.models()
        except AttemptFailed as failure:
            if failure.scope == "connect":
                return self._unreached(failure)
        return None

    def lose(self, error: ServerUnavailableError) -> None:
        """Take no more requests until a neutral completion is answered: this server refuses every one, for now."""
        self._open(error.message, self._trouble_with_completion, first_s=_FIRST_POLL_S)

    async def _trouble_with_completion(self) -> str | None:
        try:
            await probe(self._client, self._neutral_prompt)
        except AttemptFailed as failure:
            return f"the server refuses a short neutral request ({failure.message})"
        return None

    async def _refuse_wrong_mode(self, failure: AttemptFailed) -> None:
        """Stop a run of an api_mode whose path the server does not know; looked at once, before the first answer."""
        if self._of_mode is None:
            self._of_mode = question = _Question()
            try:
                await refuse_wrong_mode(self._client, failure)
            except WrongModeError as error:
                question.error = error
            finally:
                question.over.set()
        await self._of_mode.over.wait()
        if self._of_mode.error is not None:
            raise self._of_mode.error

    def _sign_of(self, failure: AttemptFailed) -> str | None:
        """What failures in a row have in common where it may be an outage; None for what is of one sample."""
        if failure.scope == "connect" or is_of_gateway(failure):
            return _AWAY
        is_known = failure.status == HTTPStatus.FORBIDDEN  # it is asked about in another way
        if self._has_answered and not self._keep_going and not is_known and is_refusal(failure):
            return failure.kind
        return None

    def _is_due(self, sign: str) -> bool:
        """Whether this failure makes a row that is long enough, or the one before is being looked into."""
        if self._is_open or self._looking is not None:
            return True
        if sign != self._sign:
            self._sign, self._n_alike = sign, 0
        self._n_alike += 1
        n_alike = min(self._n_in_work(), _MAX_ALIKE) * self._growth
        # a single refusal is the sample's own
        return self._n_alike >= (min(n_alike, _MAX_ALIKE) if sign == _AWAY else max(2, n_alike))

    async def _is_over(self, trouble: Trouble) -> bool:
        """Look whether the server is away, and open. False where it is not: the failure was the sample's own."""
        if self._is_open:
            return True
        reason = await self._looked(trouble)
        if reason is None:
            return False
        self._open(reason, trouble, first_s=_FIRST_POLL_S)
        return True

    async def _looked(self, trouble: Trouble, *, is_of_samples: bool = True) -> str | None:
        """What a look finds; whoever asks while one is under way shares it.

        Where failures that may be of single samples turn out to be, the next look comes later.
        """
        if self._looking is not None:
            look = self._looking
            await look.over.wait()
            return look.trouble
        self._looking = look = _Look()
        try:
            look.trouble = await trouble()
        finally:
            self._looking = None
            look.over.set()
        if look.trouble is None and is_of_samples:
            self._sign = None
            self._growth *= 2  # these were the samples' own failures, and more of them are likely to come
        return look.trouble

    def _open(self, reason: str, trouble: Trouble, *, first_s: float) -> None:
        """Take no more requests until there is no trouble any more."""
        if self._is_open or self._tasks is None:
            return
        if self._away_since is None:
            self._away_since = anyio.current_time()
        self._is_open = True
        self._owner.opened(reason)
        self._tasks.start_soon(self._close_when_back, reason, trouble, first_s)

    async def _close_when_back(self, reason: str, trouble: Trouble, first_s: float) -> None:
        started = anyio.current_time()
        await self._poll(reason, trouble, first_s)
        self._is_open = False
        self._sign = None
        self._owner.closed(anyio.current_time() - started)

    async def _poll(self, reason: str, trouble: Trouble, first_s: float) -> None:
        """Look again and again; told once when the time is up, after which it may still come back.

        Raises:
            ServerUnavailableError: the time is up, and the run has no other server.
        """
        delay_s = min(_FIRST_POLL_S, self._poll_interval_s)
        deadline = (self._away_since or 0.0) + self._wait_s
        await anyio.sleep(min(first_s, delay_s, self._wait_s))
        while await trouble() is not None:
            left_s = deadline - anyio.current_time()
            if left_s <= 0:
                deadline = inf
                self._owner.gave_up(
                    ServerUnavailableError(
                        f"{reason}; waited {shown_s(self._wait_s)}",
                        hint="start the server, then `bootcamp resume`: everything written so far is kept",
                    )
                )
                continue
            await anyio.sleep(min(delay_s, left_s))
            delay_s = min(delay_s * 2, self._poll_interval_s)

    async def _trouble_with_model(self) -> str | None:
        """What is wrong where the server does not know the model: it lists others, or it is away altogether.

        None where it lists the model, or never had a list nor an answer: then the 404 belongs to the sample.
        """
        try:
            models = await self._client.models()
        except AttemptFailed as failure:
            if has_no_list(failure) and not (self._has_list or self._has_answered):
                return None
            return await self._trouble()
        if any(model.get("id") == self._model_name for model in models):
            return None
        return f"the server does not list the model {self._model_name}"

    async def _trouble(self, sign: str | None = None) -> str | None:
        """What is wrong with a server that gives neither its model list nor a completion; None where it is there.

        A refusal counts where it is of the kind `sign`. One that is busy may leave a look without an answer, but not
        all other requests as well.
        """
        began_s = time.monotonic()
        with anyio.move_on_after(_LOOK_S):
            return await self._trouble_now(sign)
        is_heard = self._client.heard_s >= began_s
        return None if is_heard else f"the server gave no short completion within {_LOOK_S:.0f} s"

    async def _trouble_now(self, sign: str | None) -> str | None:  # noqa: PLR0911 - one for each trouble
        try:
            models = await self._client.models()
        except AttemptFailed as failure:
            if failure.scope == "connect":
                return self._unreached(failure)
            if failure.status == HTTPStatus.NOT_FOUND and self._has_list:
                return f"the server has no model list any more ({failure.message})"
        else:
            if (objection := self._owner.objection(models)) is not None:
                return objection
        try:
            await probe(self._client, self._neutral_prompt)
        except AttemptFailed as failure:
            if failure.scope == "connect":
                return self._unreached(failure)
            is_lost = failure.status is None and failure.kind in ("timeout", "connection")
            if is_lost or is_of_gateway(failure):
                return f"the server is away ({failure.message})"
            if is_refusal(failure) and failure.kind in (sign, f"http_{HTTPStatus.NOT_FOUND}"):
                return f"the server refuses a short neutral request, too ({failure.message})"
        return None

    def _unreached(self, failure: AttemptFailed) -> str:
        if refuses_connections(failure):
            self._refused_s = time.monotonic()
        return f"the server cannot be reached ({failure.message})"

    async def watch(self) -> None:
        """Look at a server that has been silent for long, as one that ends may keep its connections open for ever.

        Silent for long is longer than a minute, and than the longest answer so far. Only where a connection was
        refused meanwhile, now or in a pause, is what was sent before sent again: nobody is working on it any more.

        Raises:
            ServerUnavailableError: it did not come back in time.
        """
        with ungrouped():
            async with anyio.create_task_group() as self._tasks:
                while True:
                    await anyio.sleep(_SILENCE_S)
                    if not self._is_open and self._client.silent_for_s() > self._long_s:
                        await self._look_for_listener()
                    if not self._is_open:
                        self._client.abandon(before_s=self._refused_s, silent_s=self._long_s)

    @property
    def _long_s(self) -> float:
        return max(_SILENCE_S, self._client.longest_s)

    async def _look_for_listener(self) -> None:
        """Pause while nobody listens."""
        try:
            await self._client.models()
        except AttemptFailed as failure:
            if refuses_connections(failure):
                reason = f"the server is silent; {self._unreached(failure)}"
                self._open(reason, self._trouble, first_s=_FIRST_POLL_S)


@dataclass(slots=True, eq=False)
class _Look:
    """A look under way, and what is wrong once it is `over`."""

    over: anyio.Event = field(default_factory=anyio.Event)
    trouble: str | None = None


@dataclass(slots=True, eq=False)
class _Question:
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
        self._question: _Question | None = None
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
        if self._question is not None:
            question = self._question
            await question.over.wait()
            return question.error
        if self._n_forbidden < self._max_forbidden:
            return None
        is_first, self._max_forbidden = self._max_forbidden == 1, self.limit
        return await self._ask_neutrally("a request was forbidden", failure.end, tell=is_first)

    async def _ask_neutrally(
        self, what: str, failure: RequestFailure, *, tell: bool = True
    ) -> ServerUnavailableError | None:
        """The error where a neutral completion is refused, too. Any other end of it lets the run go on."""
        self._question = question = _Question()
        try:
            refusal = await self._ask()
            if refusal is not None and is_refusal(refusal):
                question.error = _refusal_of_all(what, failure, refusal)
            else:
                self.answered()
                if refusal is None and tell:
                    answered = "but a short neutral one was answered: the run continues"
                    self._emit(Warned(message=f"{what}, {answered}: {failure.message}"))
        except ServerUnavailableError as error:
            question.error = error
        finally:
            self._question, self._error = None, question.error
            question.over.set()
        return question.error


def _refusal_of_all(what: str, failure: RequestFailure, neutral: AttemptFailed) -> ServerUnavailableError:
    other = f" (the neutral one: {neutral.message})" if neutral.message != failure.message else ""
    flag = way_around(f"{failure.message} {neutral.message}") or "other parameters"
    return ServerUnavailableError(
        f"{what}, and so was a short neutral one: {failure.message}{other}",
        hint=f"fix that and run `bootcamp resume`, start a new run with {flag}, or add --keep-going",
    )
