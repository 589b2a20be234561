"""The first stage of a sample: from prompt to answer, over as many tries as it takes."""

from dataclasses import dataclass

import anyio

from bootcamp_cli.client.client import CompletionClient
from bootcamp_cli.client.failures import TryFailed
from bootcamp_cli.client.retry import RetryPolicy, attempts
from bootcamp_cli.engine.events import Emit, RequestEnded, RequestStarted, RetryScheduled, Warned
from bootcamp_cli.engine.gate import ServerGate
from bootcamp_cli.engine.probation import Probation, is_refusal
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.engine.slots import Slots
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.records import Answer, RequestFailure, Sample
from bootcamp_cli.templates.model import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What came of a sample: an answer, or why there is none; `latency_s` is that of the last try."""

    outcome: Answer | RequestFailure
    attempts: int
    latency_s: float


class Generator:
    """Sends prompts within the slots, retries what can succeed, stops or pauses the run where it concerns all samples.

    `template` is None in chat mode.
    """

    def __init__(
        self,
        client: CompletionClient,
        *,
        template: Template | None,
        policy: RetryPolicy,
        slots: Slots,
        gate: ServerGate,
        probation: Probation,
        shutdown: Shutdown,
        emit: Emit,
    ) -> None:
        self._client = client
        self._template = template
        self._policy = policy
        self._slots = slots
        self._gate = gate
        self._probation = probation
        self._shutdown = shutdown
        self._emit = emit
        self._model: str | None = None

    async def generate(self, sample: Sample, slot: int) -> Generated | None:
        """Send a sample until it has an answer or has failed; `slot` is taken already, for the first try.

        None where the run ended before: the sample stays owed.
        """
        prompt = self._template.render(sample.prompt) if self._template else sample.prompt
        tries = _Tries(slot)
        outcome: Answer | RequestFailure | None = None
        try:
            with self._shutdown.sample() as scope:
                outcome = await self._outcome(sample, prompt, tries, scope)
            if isinstance(outcome, Answer):
                await self._slots.await_room()
        except ServerUnavailableError as error:
            self._shutdown.stop(error)
        finally:
            if tries.slot is not None:
                self._slots.release(tries.slot)
        if outcome is None:
            return None
        self._judge(outcome)
        return Generated(outcome=outcome, attempts=tries.n, latency_s=tries.latency_s)

    async def _outcome(
        self, sample: Sample, prompt: str, tries: "_Tries", scope: anyio.CancelScope
    ) -> Answer | RequestFailure:
        def scheduled(failure: TryFailed, wait_s: float) -> None:
            self._emit(RetryScheduled(file=sample.file, kind=failure.kind, wait_s=wait_s))

        try:
            async for attempt in attempts(self._policy, scheduled):
                with attempt:
                    tries.n += 1
                    return await self._until_counted(sample, prompt, tries, scope)
        except TryFailed as failure:
            return RequestFailure(kind=failure.kind, message=failure.message, status=failure.status)
        raise AssertionError("the last attempt either returns or raises")

    async def _until_counted(self, sample: Sample, prompt: str, tries: "_Tries", scope: anyio.CancelScope) -> Answer:
        """One try that counts: tries that fail because server or model are away are made again for free."""
        while True:
            try:
                await self._gate.passable()
                if tries.slot is None:
                    tries.slot = await self._slots.acquire()
                    await self._gate.passable()
                with self._shutdown.in_flight(scope):
                    return await self._send(sample.file, prompt, tries)
            except TryFailed as failure:
                if tries.slot is not None:
                    self._slots.release(tries.slot)
                    tries.slot = None
                if not await self._is_free(failure):
                    raise

    async def _send(self, file: str, prompt: str, tries: "_Tries") -> Answer:
        assert tries.slot is not None  # noqa: S101 - the caller took it
        started = anyio.current_time()
        n_tokens = 0
        self._emit(RequestStarted(file=file))
        try:
            answer = await self._client.complete(prompt, tries.slot)
            n_tokens = answer.completion_tokens or 0
            return answer
        finally:
            tries.latency_s = anyio.current_time() - started
            self._emit(RequestEnded(file=file, n_tokens=n_tokens))

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

    def _judge(self, outcome: Answer | RequestFailure) -> None:
        """Learn about the server from the end of a sample."""
        if isinstance(outcome, RequestFailure):
            if not is_refusal(outcome):
                self._probation.passed()
            elif error := self._probation.refused(outcome):
                self._shutdown.stop(error)
            return
        self._gate.reached()
        self._probation.passed()
        if outcome.model is not None and outcome.model != self._model:
            if self._model is not None:
                self._emit(Warned(message=f"the server's replies name the model {outcome.model}, before {self._model}"))
            self._model = outcome.model


@dataclass(slots=True)
class _Tries:
    """The tries of one sample: the slot that is held at the moment, how many counted, how long the last one took."""

    slot: int | None
    n: int = 0
    latency_s: float = 0.0
