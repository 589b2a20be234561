"""The first stage of a sample: from prompt to answer, over as many tries as it takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from bootcamp_cli.client.client import CompletionClient
from bootcamp_cli.client.failures import TryFailed
from bootcamp_cli.client.retry import RetryPolicy, attempts
from bootcamp_cli.engine.events import Emit, RequestEnded, RequestStarted, RetryScheduled, Warned
from bootcamp_cli.engine.gate import ServerGate
from bootcamp_cli.engine.probation import Probation, is_refusal
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.engine.turns import Turns
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.records import Answer, RequestFailure, Sample
from bootcamp_cli.templates.model import Template

_End = TypeVar("_End", Answer, RequestFailure)


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
        self._model: str | None = None

    async def first_try(self, tries: Tries, lane: int, scope: anyio.CancelScope) -> Answer | RequestFailure | TryFailed:
        """The end of a sample after one try, or the failure after which others are to be made."""
        try:
            tries.n = 1
            return self._judged(await self._try(tries, lane, scope))
        except TryFailed as failure:
            return failure if failure.retryable and self._policy.max_retries else self._judged(_given_up(failure))

    async def further_tries(
        self, tries: Tries, failed: TryFailed, turns: Turns, scope: anyio.CancelScope
    ) -> Answer | RequestFailure:
        """The end of a sample whose first try `failed`; no lane is held while it waits."""

        def scheduled(failure: TryFailed, wait_s: float) -> None:
            self._emit(RetryScheduled(file=tries.sample.file, kind=failure.kind, wait_s=wait_s))

        try:
            async for attempt in attempts(self._policy, scheduled):
                with attempt:
                    if attempt.num == 1:
                        raise failed
                    tries.n += 1
                    async with turns.lane() as lane:
                        return self._judged(await self._try(tries, lane, scope))
        except TryFailed as failure:
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
            except TryFailed as failure:
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

    async def _is_free(self, failure: TryFailed) -> bool:
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
        if outcome.model is not None and outcome.model != self._model:
            if self._model is not None:
                self._emit(Warned(message=f"the server's replies name the model {outcome.model}, before {self._model}"))
            self._model = outcome.model
        return outcome


def _given_up(failure: TryFailed) -> RequestFailure:
    return RequestFailure(kind=failure.kind, message=failure.message, status=failure.status)
