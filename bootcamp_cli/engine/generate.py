"""From a sample to its answer, over as many attempts as it takes.

stamina decides when a failed attempt is repeated; it is told here what our failures mean.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
import stamina

from bootcamp_cli.analysis.drift import Token
from bootcamp_cli.engine.fleet import Fleet, ServerLane
from bootcamp_cli.engine.limiter import Patience, Start
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.events import Emit, RequestEnded, RequestStarted, RetryScheduled, Warned
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.provenance import Fingerprints
from bootcamp_cli.templates.template import Template
from bootcamp_cli.text import shortened
from bootcamp_cli.types import KNOWN_ENDS, Answer, Sample

FIRST_WAIT_S = 1.0
"""The wait after the first failed attempt; it doubles with each further one, and up to a second of jitter is added."""

MAX_DEATHS = 3
"""A sample that was in flight when so many servers went away may be the cause: it is not sent again."""

_MIN_JUDGED = 100
"""A prompt that needs fewer tokens says nothing of the server's context length."""

_MAX_NAMES = 8
"""After this many different model names in replies, another one gets no warning."""
_MAX_NAME_CHARS = 80


@dataclass(slots=True, eq=False)
class Attempts:
    """A sample and its attempts: how many counted, how long the last one took.

    `retries` has the kind of each attempt that was repeated, whether it counted or not; `empty` is an empty answer,
    which is asked for once more. `endpoint` is the base URL of the server that answered, `n_deaths` how many servers
    went away while they worked on it, `watched` what `DriftAlarm` knows the sample by.
    """

    sample: Sample
    n: int = 0
    latency_s: float = 0.0
    retries: tuple[str, ...] = ()
    empty: Answer | None = None
    endpoint: str | None = None
    n_deaths: int = 0
    watched: Token | None = None
    patience: Patience = field(default_factory=Patience)

    def repeated(self, kind: str) -> None:
        """An attempt that ended like this is followed by another one."""
        self.retries += (kind,)


class Generator:
    """Makes the attempts of samples; what a failure says about all of them is dealt with by the server's lane.

    `template` is None in chat mode. `sent` is told which of several servers a sample is sent to, by name.
    `fingerprints` counts those of the answers. `clock` gives seconds for latencies.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        template: Template | None,
        shutdown: Shutdown,
        emit: Emit,
        sent: Callable[[Attempts, str], None] | None = None,
        fingerprints: Fingerprints | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._template = template
        self._shutdown = shutdown
        self._emit = emit
        self._sent = sent if fleet.are_several else None
        self._fingerprints = fingerprints or Fingerprints()
        self._clock = clock
        self._models: list[str] = []
        self._named: str | None = None
        """As the last answer named the model."""
        self._told_of_unknown_end = False
        self._told_of_cut_prompt = False

    async def attempt(self, attempts: Attempts, scope: anyio.CancelScope) -> Answer:
        """One attempt that counts, at whichever server takes it.

        One that fails because its server or the model is away is repeated without counting, and so is, once, one that
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
            lane, start = await self._fleet.start(first=first)
            if self._sent is not None:
                self._sent(attempts, lane.name)
            try:
                answer = await self._send(attempts, prompt, scope, lane, start)
            except AttemptFailed as failure:
                if failure.is_limit:
                    first = True
                    if lane.refused(start, failure, attempts.patience):
                        attempts.repeated(failure.kind)
                        continue
                    failure.retryable = False
                    raise
                lane.failed(start, failure)
                if await lane.is_free(failure):
                    self._count_death(attempts, failure)
                    attempts.repeated(failure.kind)
                    first = True
                    continue
                if attempts.empty is None:
                    raise
                return attempts.empty
            lane.answered(start)
            attempts.endpoint = lane.name
            self._learn(answer)
            self._mind_length(prompt, answer)
            if attempts.empty is not None or not answer.is_empty:
                return answer
            await self._ask_once_more(attempts, answer, scope)

    def _count_death(self, attempts: Attempts, failure: AttemptFailed) -> None:
        """Count the servers that went away while they worked on a sample, as it may be what kills them.

        Where a request found nobody any more, it was sent a moment before that was known: it counts as well. With one
        server all that is in flight dies at once, most of it innocent: there a further death costs a retry.

        Raises:
            AttemptFailed: it was one too many.
        """
        if failure.scope != "abandoned" and failure.kind != "connection":
            return
        attempts.n_deaths += 1
        if self._fleet.are_several and attempts.n_deaths >= MAX_DEATHS:
            raise AttemptFailed(
                kind="server_died",
                message=f"servers went away {MAX_DEATHS} times while they worked on it: {failure.message}",
                retryable=False,
            )
        if attempts.n_deaths > MAX_DEATHS:
            raise failure

    async def _ask_once_more(self, attempts: Attempts, empty: Answer, scope: anyio.CancelScope) -> None:
        """Note an empty answer; in a run that ends its sample stays owed."""
        attempts.empty = empty
        attempts.repeated("empty")
        self._emit(RetryScheduled(file=attempts.sample.file, kind="empty"))
        if self._shutdown.ending:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    async def _send(
        self, attempts: Attempts, prompt: str, scope: anyio.CancelScope, lane: ServerLane, start: Start
    ) -> Answer:
        sample = attempts.sample
        file, messages = sample.file, None if self._template else sample.messages
        started = self._clock()
        answer = None
        self._emit(RequestStarted(file=file))
        self._shutdown.request_started(scope)
        try:
            answer = await lane.client.complete(prompt, sample.repeat, messages, rank=start.rank)
        except anyio.get_cancelled_exc_class():
            lane.given_up(start)
            raise
        else:
            return answer
        finally:
            self._shutdown.request_ended(scope, failed=answer is None)
            attempts.latency_s = self._clock() - started
            self._emit(RequestEnded(file=file, n_tokens=(answer and answer.completion_tokens) or 0))

    def _learn(self, answer: Answer) -> None:
        """Note which model the servers claim to be, and on what configuration."""
        self._fingerprints.add(answer.system_fingerprint)
        if answer.finish_reason not in KNOWN_ENDS and not self._told_of_unknown_end:
            self._told_of_unknown_end = True
            end = "no finish_reason" if answer.finish_reason is None else f"finish_reason {answer.finish_reason}"
            self._emit(Warned(message=f"a reply has {shortened(end, _MAX_NAME_CHARS)}: it is taken as a whole answer"))
        if answer.model == self._named:
            return
        self._named = answer.model
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
