"""What is refused to a sample, and what to the whole run."""

from collections.abc import Sequence

import anyio
import pytest

from bootcamp_cli.engine.breaker import Refusals
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Event, Warned
from bootcamp_cli.server.failures import AttemptFailed, is_refusal

pytestmark = pytest.mark.anyio


def refusal(status: int = 400, message: str = "max_tokens is too large") -> AttemptFailed:
    """An attempt refused with `status`."""
    return AttemptFailed(kind=f"http_{status}", message=message, status=status, retryable=False)


TROUBLE = AttemptFailed(kind="http_500", message="oops", status=500)
"""A failure that is no refusal."""


class Neutral:
    """A server that is asked neutrally: what it says one after the other, the last for ever; how often it was asked.

    Until `may_answer` is set, it is silent.
    """

    def __init__(self, *ends: AttemptFailed | ServerUnavailableError | None) -> None:
        self.ends = ends
        self.n_asked = 0
        self.n_at_once = 0
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def __call__(self) -> AttemptFailed | None:
        """Ask it."""
        self.n_asked += 1
        self.n_at_once += 1
        assert self.n_at_once == 1
        await self.may_answer.wait()
        self.n_at_once -= 1
        end = self.ends[min(self.n_asked, len(self.ends)) - 1]
        if isinstance(end, ServerUnavailableError):
            raise end
        return end


def refusals(
    neutral: Neutral, n_slots: int = 1, *, keep_going: bool = False, events: list[Event] | None = None
) -> Refusals:
    """The refusals of a run at such a server."""
    return Refusals(n_slots, ask=neutral, emit=([] if events is None else events).append, keep_going=keep_going)


async def ends(run: Refusals, failures: Sequence[AttemptFailed]) -> list[ServerUnavailableError | None]:
    """What comes of these failures one after the other."""
    return [await run.failed(failure) for failure in failures]


@pytest.mark.parametrize(("n_slots", "limit"), [(1, 32), (32, 32), (128, 128)])
async def test_the_run_stops_when_even_a_neutral_request_is_refused(n_slots: int, limit: int) -> None:
    """The last of the first max(32, slots) equal refusals brings the error where a neutral request is refused, too."""
    neutral = Neutral(refusal(422, "no such parameter"))
    *others, last = await ends(refusals(neutral, n_slots), [refusal()] * limit)
    assert others == [None] * (limit - 1)
    assert neutral.n_asked == 1
    assert isinstance(last, ServerUnavailableError)
    assert f"all of the first {limit} requests were refused alike, and so was a short neutral one" in str(last)
    assert "max_tokens is too large" in str(last)
    assert "no such parameter" in str(last)


@pytest.mark.parametrize("neutral", [Neutral(None), Neutral(TROUBLE)])
async def test_refusals_are_the_samples_own_where_a_neutral_request_is_not_refused(neutral: Neutral) -> None:
    """Once a neutral request ends in anything but a refusal, nothing stops the run, and it is not asked again."""
    run = refusals(neutral)
    assert await ends(run, [refusal()] * 200) == [None] * 200
    assert await run.all_ended() is None
    assert neutral.n_asked == 1


async def test_that_a_neutral_request_was_answered_is_told_once() -> None:
    """One warning says what was refused though a neutral request was answered, for refusals alike and for 403."""
    events: list[Event] = []
    await ends(refusals(Neutral(None), events=events), [refusal()] * 40)
    await ends(refusals(Neutral(None), events=events), [refusal(403, "flagged")] * 80)
    [alike, forbidden] = [event.message for event in events if isinstance(event, Warned)]
    assert "max_tokens is too large" in alike
    assert "flagged" in forbidden


@pytest.mark.parametrize("other", ["answer", "other status", "trouble"])
async def test_one_other_end_lets_the_run_go_on(other: str) -> None:
    """An answer, a failure that is no refusal, or a refusal with another status: the run goes on without a question."""
    neutral = Neutral(refusal())
    run = refusals(neutral)
    await run.failed(refusal())
    if other == "answer":
        run.answered()
    else:
        await run.failed(refusal(413) if other == "other status" else TROUBLE)
    assert await ends(run, [refusal()] * 64) == [None] * 64
    assert await run.all_ended() is None
    assert neutral.n_asked == 0


@pytest.mark.parametrize("passes", ["answer", "neutral request"])
async def test_no_more_than_the_first_samples_are_admitted_until_one_passed(passes: str) -> None:
    """Sample max(32, slots) + 1 waits until one was not refused, or a neutral request was answered."""
    run = refusals(Neutral(None), 40)
    for _ in range(40):
        await run.admit()
    admitted = anyio.Event()

    async def one_more() -> None:
        await run.admit()
        admitted.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one_more)
        await ends(run, [refusal()] * 39)
        await anyio.wait_all_tasks_blocked()
        assert not admitted.is_set()
        if passes == "answer":
            run.answered()
        else:
            await run.failed(refusal())
    assert admitted.is_set()


async def test_short_runs_that_were_refused_throughout_end_in_the_error() -> None:
    """Where there are fewer samples than that, the end of the run asks, and brings the error."""
    assert await refusals(Neutral(refusal())).all_ended() is None
    for neutral, stops in ((Neutral(refusal(422)), True), (Neutral(None), False)):
        run = refusals(neutral, 128)
        assert await run.failed(refusal(422, "bad sampling")) is None
        error = await run.all_ended()
        assert (error is not None) == stops
        assert not stops or "the only request was refused, and so was a short neutral one: bad sampling" in str(error)
        assert neutral.n_asked == 1


async def test_keep_going_asks_nothing_and_stops_for_nothing() -> None:
    """With keep_going every refusal is the sample's own, from the first to the last, and samples wait for nothing."""
    neutral = Neutral(refusal())
    run = refusals(neutral, keep_going=True)
    for _ in range(100):
        await run.admit()
    assert await ends(run, [refusal(), refusal(403)] * 50) == [None] * 100
    assert await run.all_ended() is None
    assert neutral.n_asked == 0


async def test_a_403_asks_at_first_and_then_after_as_many_as_slots() -> None:
    """The first 403 asks, and each further max(32, slots)-th without an answer in between; an answer starts anew."""
    neutral = Neutral(None)
    run = refusals(neutral, 40)
    asked: list[int] = []
    for n in range(1, 122):
        assert await run.failed(refusal(403)) is None
        asked += [n] * (neutral.n_asked - len(asked))
    assert asked == [1, 41, 81, 121]
    for _ in range(10):
        await ends(run, [refusal(403)] * 39)
        run.answered()
    assert neutral.n_asked == 4


async def test_a_403_stops_the_run_where_a_neutral_request_is_refused() -> None:
    """At the first 403 or at a later one that asks: the error quotes the 403 and says what the neutral request got."""
    run = refusals(Neutral(None, refusal(401, "expired")))
    assert await ends(run, [refusal(403)] * 32) == [None] * 32
    assert "no rights (the neutral one: expired)" in str(await run.failed(refusal(403, "no rights")))
    at_once = await refusals(Neutral(refusal(403, "no rights"))).failed(refusal(403, "no rights"))
    assert "a request was forbidden, and so was a short neutral one: no rights;" in str(at_once)


async def test_many_403_at_once_ask_once_and_share_the_outcome() -> None:
    """While a neutral request is under way, further 403s ask nothing: all get the error, or all are their own."""
    for end in (refusal(403), None, ServerUnavailableError("gone")):
        neutral = Neutral(end)
        neutral.may_answer = anyio.Event()
        run = refusals(neutral, 4)
        found: list[ServerUnavailableError | None] = []

        async def fail(run: Refusals = run, found: list[ServerUnavailableError | None] = found) -> None:
            found.append(await run.failed(refusal(403)))

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(fail)
            await anyio.wait_all_tasks_blocked()
            assert found == []
            neutral.may_answer.set()
        assert [error is not None for error in found] == [end is not None] * 100
        assert (await run.failed(refusal(403)) is not None) == (end is not None), "a late one"
        assert neutral.n_asked == 1


async def test_no_403_waits_for_a_request_that_was_cancelled() -> None:
    """Where the sample whose 403 asked is cancelled, those that wait for the outcome end."""
    neutral = Neutral(None)
    neutral.may_answer = anyio.Event()
    run = refusals(neutral)
    scope = anyio.CancelScope()

    async def ask() -> None:
        with scope:
            await run.failed(refusal(403))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(run.failed, refusal(403))
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
    assert neutral.n_asked == 1


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [("http_400", 400, True), ("rate_limited", 429, False), ("http_500", 500, False), ("timeout", None, False)],
)
async def test_what_counts_as_refused(kind: str, status: int | None, expected: bool) -> None:  # noqa: FBT001 - a case
    """Only a 4xx that is not retried is a refusal of the request itself."""
    assert is_refusal(AttemptFailed(kind=kind, message="", status=status)) is expected
