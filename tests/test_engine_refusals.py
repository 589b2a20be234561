"""A run whose every request is refused alike."""

import anyio
import pytest

from bootcamp_cli.engine.breaker import EarlyRefusals
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.server.failures import is_refusal
from bootcamp_cli.types import RequestFailure


def refusal(status: int = 400, message: str = "max_tokens is too large") -> RequestFailure:
    """A sample refused with `status`."""
    return RequestFailure(kind=f"http_{status}", message=message, status=status)


@pytest.mark.parametrize(("n_slots", "limit"), [(1, 32), (32, 32), (128, 128)])
def test_the_run_stops_when_all_of_the_first_samples_are_refused_alike(n_slots: int, limit: int) -> None:
    """The last of the first max(32, slots) equal refusals brings the error, with the server's message."""
    refusals = EarlyRefusals(n_slots)
    errors = [refusals.refused(refusal()) for _ in range(limit)]
    assert errors[:-1] == [None] * (limit - 1)
    assert isinstance(errors[-1], ServerUnavailableError)
    assert "max_tokens is too large" in str(errors[-1])


def test_one_other_end_lets_the_run_go_on() -> None:
    """An answer, or a refusal with another status, lets the run go on for good."""
    for other in ("passed", "other status"):
        refusals = EarlyRefusals(1)
        refusals.refused(refusal())
        if other == "passed":
            refusals.accepted()
        else:
            refusals.refused(refusal(413))
        assert [refusals.refused(refusal()) for _ in range(64)] == [None] * 64
        assert refusals.error() is None


def test_no_more_than_the_first_samples_are_admitted_until_one_passed() -> None:
    """Sample max(32, slots) + 1 waits until one was not refused."""

    async def main() -> None:
        refusals = EarlyRefusals(40)
        for _ in range(40):
            await refusals.admit()
        admitted = anyio.Event()

        async def one_more() -> None:
            await refusals.admit()
            admitted.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one_more)
            await anyio.wait_all_tasks_blocked()
            assert not admitted.is_set()
            refusals.accepted()

        assert admitted.is_set()

    anyio.run(main)


def test_short_runs_that_were_refused_throughout_end_in_the_error() -> None:
    """Where there are fewer samples than that, the end of the run brings the error."""
    refusals = EarlyRefusals(128)
    assert refusals.error() is None
    refusals.refused(refusal(422, "bad sampling"))
    error = refusals.error()
    assert error is not None
    assert "bad sampling" in str(error)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [("http_400", 400, True), ("rate_limited", 429, False), ("http_500", 500, False), ("timeout", None, False)],
)
def test_what_counts_as_refused(kind: str, status: int | None, expected: bool) -> None:  # noqa: FBT001 - a case
    """Only a 4xx that is not retried is a refusal of the request itself."""
    assert is_refusal(RequestFailure(kind=kind, message="", status=status)) is expected
