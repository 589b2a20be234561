"""From a sample to its answer, over as many attempts as it takes.

stamina decides when a failed attempt is repeated; it is told here what our failures mean.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
import stamina

from bootcamp_cli.analysis.drift import Token
from bootcamp_cli.engine.breaker import CircuitBreaker, Refusals
from bootcamp_cli.engine.limiter import Limiter, Patience, Start
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.events import Emit, RequestEnded, RequestStarted, RetryScheduled, Warned
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.health import PROBE_PROMPT, probe
from bootcamp_cli.server.provenance import Fingerprints
from bootcamp_cli.templates.template import Template
from bootcamp_cli.text import shortened
from bootcamp_cli.types import KNOWN_ENDS, Answer, Sample

FIRST_WAIT_S = 1.0
"""The wait after the first failed attempt; it doubles with each further one, and up to a second of jitter is added."""

_MIN_JUDGED = 100
"""A prompt that needs fewer tokens says nothing of the server's context length."""

_MAX_NAMES = 8
"""After this many different model names in replies, another one gets no warning."""
_MAX_NAME_CHARS = 80


@dataclass(slots=True, eq=False)
class Attempts:
    """A sample and its attempts: how many counted, how long the last one took.

    `retries` has the kind of each attempt that was repeated, whether it counted or not; `empty` is an empty answer,
    which is asked for once more. `endpoint` is the base URL of the server that answered, `watched` what `DriftAlarm`
    knows the sample by.
    """

    sample: Sample
    n: int = 0
    latency_s: float = 0.0
    retries: tuple[str, ...] = ()
    empty: Answer | None = None
    endpoint: str | None = None
    watched: Token | None = None
    patience: Patience = field(default_factory=Patience)

    def repeated(self, kind: str) -> None:
        """An attempt that ended like this is followed by another one."""
        self.retries += (kind,)


class Generator:
    """Makes the attempts of samples; what a failure says about all of them pauses or stops the run.

    `template` is None in chat mode. `fingerprints` counts those of the answers. `clock` gives seconds for latencies.
    """

    def __init__(  # noqa: PLR0913 - all that one attempt meets
        self,
        client: CompletionClient,
        *,
        template: Template | None,
        breaker: CircuitBreaker,
        limiter: Limiter,
        refusals: Refusals,
        shutdown: Shutdown,
        emit: Emit,
        fingerprints: Fingerprints | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._template = template
        self._breaker = breaker
        self._limiter = limiter
        self._refusals = refusals
        self._shutdown = shutdown
        self._emit = emit
        self._fingerprints = fingerprints or Fingerprints()
        self._clock = clock
        self._models: list[str] = []
        self._told_of_unknown_end = False
        self._told_of_cut_prompt = False

    async def attempt(self, attempts: Attempts, scope: anyio.CancelScope) -> Answer:
        """One attempt that counts.

        One that fails because the server or the model is away is repeated without counting, and so is, once, one that
        brings an empty answer; where the next one brings nothing, the empty answer stands.

        `scope` is the calling task's.

        Raises:
            AttemptFailed: there is no answer.
            ServerUnavailableError: the run cannot go on.
        """
        sample = attempts.sample
        prompt = self._template.render(sample.prompt) if self._template else sample.prompt
        attempts.n += 1
        first = attempts.n > 1
        while True:
            if not self._breaker.is_closed:
                await self._breaker.wait_until_closed()
            start = await self._limiter.start(first=first)
            try:
                answer = await self._send(attempts, prompt, scope, start)
            except AttemptFailed as failure:
                if failure.is_limit:
                    self._breaker.replied()
                    first = True
                    if self._limiter.refused(start, failure, attempts.patience):
                        attempts.repeated(failure.kind)
                        continue
                    failure.retryable = False
                    raise
                self._limiter.accepted(start)
                if await self._breaker.is_free(failure):
                    attempts.repeated(failure.kind)
                    continue
                if error := await self._refusals.failed(failure):
                    raise error from failure
                if attempts.empty is None:
                    raise
                return attempts.empty
            self._limiter.answered(start)
            attempts.endpoint = self._client.endpoint.base_url
            self._learn(answer)
            self._mind_length(prompt, answer)
            if attempts.empty is not None or not answer.is_empty:
                return answer
            await self._ask_once_more(attempts, answer, scope)

    async def _ask_once_more(self, attempts: Attempts, empty: Answer, scope: anyio.CancelScope) -> None:
        """Note an empty answer; in a run that ends its sample stays owed."""
        attempts.empty = empty
        attempts.repeated("empty")
        self._emit(RetryScheduled(file=attempts.sample.file, kind="empty"))
        if self._shutdown.ending:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    async def _send(self, attempts: Attempts, prompt: str, scope: anyio.CancelScope, start: Start) -> Answer:
        sample = attempts.sample
        file, messages = sample.file, None if self._template else sample.messages
        started = self._clock()
        answer = None
        self._emit(RequestStarted(file=file))
        self._shutdown.request_started(scope)
        try:
            answer = await self._client.complete(prompt, sample.repeat, messages)
        except anyio.get_cancelled_exc_class():
            self._limiter.given_up(start)
            raise
        else:
            return answer
        finally:
            self._shutdown.request_ended(scope, failed=answer is None)
            attempts.latency_s = self._clock() - started
            self._emit(RequestEnded(file=file, n_tokens=(answer and answer.completion_tokens) or 0))

    def _learn(self, answer: Answer) -> None:
        """Note that the server works, and which model it claims to be and on what configuration."""
        self._breaker.answered()
        self._refusals.answered()
        self._fingerprints.add(answer.system_fingerprint)
        if answer.finish_reason not in KNOWN_ENDS and not self._told_of_unknown_end:
            self._told_of_unknown_end = True
            end = "no finish_reason" if answer.finish_reason is None else f"finish_reason {answer.finish_reason}"
            self._emit(Warned(message=f"a reply has {shortened(end, _MAX_NAME_CHARS)}: it is taken as a whole answer"))
        name = shortened(answer.model or "", _MAX_NAME_CHARS)
        if name and name not in self._models and len(self._models) < _MAX_NAMES:
            if self._models:
                self._emit(
                    Warned(message=f"the server's replies name the model {name}, earlier ones {self._models[-1]}")
                )
            self._models.append(name)

    def _mind_length(self, prompt: str, answer: Answer) -> None:
        """Warn once where the server read far less than it was sent: some cut long prompts without a word."""
        n_read = answer.prompt_tokens
        if self._told_of_cut_prompt or not n_read or len(prompt) <= 8 * n_read:
            return
        n_needed = tokens_at_least(prompt)
        if n_needed >= _MIN_JUDGED and n_needed > 2 * n_read:
            self._told_of_cut_prompt = True
            text = f"the server read {n_read:,} tokens of a prompt that has at least {n_needed:,}"
            length = f"{len(prompt):,} characters"
            self._emit(Warned(message=f"{text} ({length}): it may cut prompts silently; see its context length"))


def tokens_at_least(text: str) -> int:
    """A number of tokens that hardly a tokenizer stays below: one for each word, or for four wide characters."""
    n_further_bytes = len(text.encode("utf-8", "replace")) - len(text)
    return max(len(text.split()), n_further_bytes // 8)


def neutral_prompt(template: Template | None) -> str:
    """The prompt of a request that no server has a reason to refuse, as the run would send it."""
    return template.render(PROBE_PROMPT) if template else PROBE_PROMPT


async def ask_neutrally(
    client: CompletionClient, template: Template | None, breaker: CircuitBreaker, limiter: Limiter
) -> AttemptFailed | None:
    """Request a short, harmless completion with the run's own parameters; returns how it failed, None if it did not.

    Raises:
        ServerUnavailableError: the run cannot go on.
    """
    prompt = neutral_prompt(template)
    patience = Patience()
    while True:
        await breaker.wait_until_closed()
        start = await limiter.start(first=True)
        try:
            await probe(client, prompt)
        except AttemptFailed as failure:
            if failure.is_limit:
                breaker.replied()
                if limiter.refused(start, failure, patience):
                    continue
                return failure
            limiter.accepted(start)
            if not await breaker.is_free(failure):
                return failure
        except BaseException:
            limiter.given_up(start)
            raise
        else:
            limiter.answered(start)
            breaker.replied()
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a sample is sent: `max_retries` after the first attempt, no wait longer than `max_delay_s`."""

    max_retries: int
    max_delay_s: float


def retries(policy: RetryPolicy) -> AsyncIterator[stamina.Attempt]:
    """Yield the attempts of one sample, for `async for attempt in ...: with attempt: ...` within one task.

    A retryable AttemptFailed leads to another attempt, after the server's Retry-After or else an exponentially growing
    wait; any other exception, and the last AttemptFailed, leaves the loop. stamina's own instrumentation (logging,
    structlog, prometheus) is left as the process has it.
    """

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
