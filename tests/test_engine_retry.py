"""Retries: which failures, how often, how long between."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from stamina.instrumentation import get_on_retry_hooks

from bootcamp_cli.engine.generate import RetryPolicy, retries
from bootcamp_cli.server.failures import AttemptFailed

WAITS: list[float] = []
"""The waits since it was cleared, in seconds."""


@pytest.fixture(autouse=True, scope="module")
def no_waiting() -> Iterator[None]:
    """Waits between attempts are recorded, not slept."""

    async def checkpoint(wait_s: float) -> None:
        WAITS.append(wait_s)
        await anyio.lowlevel.checkpoint()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stamina._core._smart_sleep", checkpoint)
        yield


def failure(**fields: Any) -> AttemptFailed:
    """A failed try, retryable unless said otherwise."""
    return AttemptFailed(**({"kind": "connection", "message": "lost"} | fields))


def attempts_of(policy: RetryPolicy, failures: list[Exception]) -> tuple[int, list[float], Exception | None]:
    """Number of attempts, the recorded waits, and the result, where the attempts fail in this way one by one."""
    WAITS.clear()
    n = 0

    async def scenario() -> None:
        nonlocal n
        async for attempt in retries(policy):
            with attempt:
                n += 1
                if n <= len(failures):
                    raise failures[n - 1]
                return

    try:
        anyio.run(scenario)
    except Exception as error:  # noqa: BLE001 - what comes out is the result
        return n, [*WAITS], error
    return n, [*WAITS], None


def test_a_failure_that_can_mend_is_retried() -> None:
    """Two failed attempts and a good one: the waits double from one second, with up to a second of jitter."""
    n, waits, error = attempts_of(RetryPolicy(max_retries=5, max_delay_s=60), [failure(), failure()])
    assert (n, error) == (3, None)
    assert 1 <= waits[0] <= 2
    assert 2 <= waits[1] <= 3


def test_the_last_failure_comes_out() -> None:
    """After max_retries retries the failure of the last try is raised, itself."""
    failures: list[Exception] = [failure() for _ in range(4)]
    n, waits, error = attempts_of(RetryPolicy(max_retries=3, max_delay_s=60), failures)
    assert (n, len(waits)) == (4, 3)
    assert error is failures[3]


@pytest.mark.parametrize("error", [failure(retryable=False), ValueError("a bug")])
def test_what_cannot_mend_is_not_retried(error: Exception) -> None:
    """A failure that is not retryable, and any other exception, comes out of the first try."""
    assert attempts_of(RetryPolicy(max_retries=5, max_delay_s=60), [error]) == (1, [], error)


def test_no_retries() -> None:
    """With max_retries 0 there is one try."""
    error = failure()
    assert attempts_of(RetryPolicy(max_retries=0, max_delay_s=60), [error]) == (1, [], error)


@given(
    max_delay_s=st.floats(0, 100),
    asked=st.none() | st.floats(0, 1e12),
    n=st.integers(1, 6),
)
def test_every_wait_is_capped(max_delay_s: float, asked: float | None, n: int) -> None:
    """No wait is longer than max_delay_s, and a Retry-After below it is kept to."""
    policy = RetryPolicy(max_retries=n, max_delay_s=max_delay_s)
    _, waits, _ = attempts_of(policy, [failure(retry_after_s=asked) for _ in range(n)])
    assert len(waits) == n
    for wait_s in waits:
        assert wait_s <= max_delay_s + 1e-6
        if asked:
            assert wait_s == pytest.approx(min(asked, max_delay_s), abs=1e-6)


def test_a_cancelled_try_is_not_retried() -> None:
    """Cancellation within an attempt ends the attempts."""

    async def scenario() -> int:
        n = 0
        with anyio.move_on_after(0) as scope:
            async for attempt in retries(RetryPolicy(max_retries=5, max_delay_s=0)):
                with attempt:
                    n += 1
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
        return n

    assert anyio.run(scenario) == 1


def test_the_hooks_of_the_process_stay() -> None:
    """Stamina's hooks, which belong to the process, are left as they are."""
    before = get_on_retry_hooks()
    attempts_of(RetryPolicy(max_retries=1, max_delay_s=0), [failure()])
    assert get_on_retry_hooks() == before
    assert stamina.is_active()
