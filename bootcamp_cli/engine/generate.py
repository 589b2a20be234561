"""From a sample to its answer, over as many attempts as it takes.

When a failed attempt is made again, and after how long, is stamina's, told what our failures mean.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import anyio
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from bootcamp_cli.engine.breaker import Probation, ServerGate, is_refusal
from bootcamp_cli.engine.events import Emit, RequestEnded, RequestStarted, RetryScheduled, Warned
from bootcamp_cli.engine.signals import Shutdown
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.templates.template import Template
from bootcamp_cli.text import shortened
from bootcamp_cli.types import Answer, RequestFailure, Sample

FIRST_WAIT_S = 1.0
"""The wait after the first failed try; it doubles with each further one, and up to a second of jitter is added."""

OnRetry: TypeAlias = Callable[[AttemptFailed, float], None]
"""Takes a failure and the seconds until the next try, before the wait begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a sample is tried: `max_retries` after the first try, no wait longer than `max_delay_s`."""

    max_retries: int
    max_delay_s: float


def attempts(policy: RetryPolicy, on_retry: OnRetry | None = None) -> AsyncIterator[stamina.Attempt]:
    """Yield the tries of one sample, for `async for attempt in ...: with attempt: ...` within one task.

    A retryable AttemptFailed leads to another attempt, after the Retry-After of the server or else an exponential wait;
    any other exception, and the last AttemptFailed, comes out of the loop. stamina's hooks are set here to one that
    calls `on_retry` and nothing else; this holds for the whole process and switches its logging, structlog and
    prometheus hooks off.
    """
    set_on_retry_hooks([_tell])
    _on_retry.set(on_retry)

    def wait(failure: Exception) -> bool | float:
        if not isinstance(failure, AttemptFailed) or not failure.retryable:
            return False
        return min(failure.retry_after_s, policy.max_delay_s) if failure.retry_after_s else True

    return stamina.retry_context(
        on=wait,
        attempts=policy.max_retries + 1,
        timeout=None,
        wait_initial=FIRST_WAIT_S,
        wait_max=policy.max_delay_s,
        wait_jitter=FIRST_WAIT_S,
    ).__aiter__()


_on_retry: ContextVar[OnRetry | None] = ContextVar("_on_retry", default=None)


def _tell(details: RetryDetails) -> None:
    """Hand a scheduled retry to the `on_retry` of the task in which it happens."""
    on_retry = _on_retry.get()
    if on_retry is not None and isinstance(details.caused_by, AttemptFailed):
        on_retry(details.caused_by, details.wait_for)


_End = TypeVar("_End", Answer, RequestFailure)
_MAX_NAMES = 8
"""After so many names of models in replies no further one is worth a warning."""
_MAX_NAME_CHARS = 80


@dataclass(slots=True, eq=False)
class Tries:
    """A sample and its tries: how many counted, how long the last one took."""

    sample: Sample
    n: int = 0
    latency_s: float = 0.0


class Generator:
    """Makes the tries of samples and learns from them what concerns all: it pauses or stops the run.

    `template` is None in chat mode. `clock` gives seconds for latencies.
    """

    def __init__(
        self,
        client: CompletionClient,
        *,
        template: Template | None,
        policy: RetryPolicy,
        gate: ServerGate,
        probation: Probation,
        shutdown: Shutdown,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._template = template
        self._policy = policy
        self._gate = gate
        self._probation = probation
        self._shutdown = shutdown
        self._emit = emit
        self._clock = clock
        self._models: list[str] = []

    async def first_try(
        self, tries: Tries, lane: int, scope: anyio.CancelScope
    ) -> Answer | RequestFailure | AttemptFailed:  # noqa: E501
        """The end of a sample after one try, or the failure after which others are to be made."""
        try:
            tries.n = 1
            return self._judged(await self._try(tries, lane, scope))
        except AttemptFailed as failure:
            return failure if failure.retryable and self._policy.max_retries else self._judged(_given_up(failure))

    async def further_tries(
        self,
        tries: Tries,
        failed: AttemptFailed,
        borrowed_lane: Callable[[], AbstractAsyncContextManager[int]],
        scope: anyio.CancelScope,
    ) -> Answer | RequestFailure:
        """The end of a sample whose first try `failed`; a lane is borrowed for each try, none is held in between."""

        def scheduled(failure: AttemptFailed, wait_s: float) -> None:
            self._emit(RetryScheduled(file=tries.sample.file, kind=failure.kind, wait_s=wait_s))

        try:
            async for attempt in attempts(self._policy, scheduled):
                with attempt:
                    if attempt.num == 1:
                        raise failed
                    tries.n += 1
                    async with borrowed_lane() as lane:
                        return self._judged(await self._try(tries, lane, scope))
        except AttemptFailed as failure:
            return self._judged(_given_up(failure))
        raise AssertionError("the last attempt either returns or raises")

    async def _try(self, tries: Tries, lane: int, scope: anyio.CancelScope) -> Answer:
        """One try that counts: tries that fail because server or model are away are made again for free."""
        sample = tries.sample
        prompt = self._template.render(sample.prompt) if self._template else sample.prompt
        while True:
            if not self._gate.is_open:
                await self._gate.passable()
            try:
                return await self._send(tries, prompt, lane, scope)
            except AttemptFailed as failure:
                if not await self._is_free(failure):
                    raise

    async def _send(self, tries: Tries, prompt: str, lane: int, scope: anyio.CancelScope) -> Answer:
        file = tries.sample.file
        started = self._clock()
        answer = None
        self._emit(RequestStarted(file=file))
        self._shutdown.depart(scope)
        try:
            answer = await self._client.complete(prompt, lane)
            return answer
        finally:
            self._shutdown.land(scope, failed=answer is None)
            tries.latency_s = self._clock() - started
            self._emit(RequestEnded(file=file, n_tokens=(answer and answer.completion_tokens) or 0))

    async def _is_free(self, failure: AttemptFailed) -> bool:
        """Deal with what concerns the whole run; True where the failed try is made again without counting."""
        if failure.scope == "connect":
            return await self._gate.connection_failed(failure)
        self._gate.reached()
        if failure.scope == "run_stop":
            raise ServerUnavailableError(failure.message, hint="mend that, then `bootcamp resume`") from failure
        if failure.scope == "model_missing":
            return await self._gate.model_missing()
        if failure.kind == "rate_limited" and failure.retry_after_s is not None:
            self._gate.hold(failure.retry_after_s)
        if failure.retryable:
            self._probation.passed()
        return False

    def _judged(self, outcome: _End) -> _End:
        """The end of a sample, from which is learned about the server."""
        if isinstance(outcome, RequestFailure):
            if not is_refusal(outcome):
                self._probation.passed()
            elif error := self._probation.refused(outcome):
                self._shutdown.stop(error)
            return outcome
        self._gate.reached()
        self._probation.passed()
        name = shortened(outcome.model or "", _MAX_NAME_CHARS)
        if name and name not in self._models and len(self._models) < _MAX_NAMES:
            if self._models:
                self._emit(Warned(message=f"the server's replies name the model {name}, before {self._models[-1]}"))
            self._models.append(name)
        return outcome


def _given_up(failure: AttemptFailed) -> RequestFailure:
    return RequestFailure(kind=failure.kind, message=failure.message, status=failure.status)
