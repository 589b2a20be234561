"""When a failed try is made again, and after how long: stamina, told what our failures mean."""

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from bootcamp_cli.client.failures import TryFailed

FIRST_WAIT_S = 1.0
"""The wait after the first failed try; it doubles with each further one, and up to a second of jitter is added."""

OnRetry: TypeAlias = Callable[[TryFailed, float], None]
"""Takes a failure and the seconds until the next try, before the wait begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a sample is tried: `max_retries` after the first try, no wait longer than `max_delay_s`."""

    max_retries: int
    max_delay_s: float


def attempts(policy: RetryPolicy, on_retry: OnRetry | None = None) -> AsyncIterator[stamina.Attempt]:
    """Yield the tries of one sample, for `async for attempt in ...: with attempt: ...` within one task.

    A retryable TryFailed leads to another try, after the Retry-After of the server or else an exponential wait; any
    other exception, and the TryFailed of the last try, comes out of the loop. stamina's hooks are set here to one that
    calls `on_retry` and nothing else; this holds for the whole process and switches its logging, structlog and
    prometheus hooks off.
    """
    set_on_retry_hooks([_tell])
    _on_retry.set(on_retry)

    def wait(failure: Exception) -> bool | float:
        if not isinstance(failure, TryFailed) or not failure.retryable:
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
    if on_retry is not None and isinstance(details.caused_by, TryFailed):
        on_retry(details.caused_by, details.wait_for)
