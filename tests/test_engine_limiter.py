"""What the limiter learns of servers that limit requests, by a clock that the tests turn."""

import heapq
from collections import deque
from collections.abc import Callable
from math import ceil, inf
from random import Random

import anyio
import pytest

from bootcamp_cli.engine.dispatcher import Dispatcher
from bootcamp_cli.engine.limiter import Limiter, Pace, Patience, Start
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Event, ServerLimits
from bootcamp_cli.server.failures import AttemptFailed

N = 20
N_SAMPLES = 400

Server = Callable[[float], float | None]
"""Takes a request at a time, or tells after how many seconds it would take one."""


def dice() -> Random:
    """The same draws each time."""
    return Random(0)  # noqa: S311 - no secret


def fixed(window_s: float, offset_s: float = 0.0) -> Server:
    """N requests in each window of a wall clock."""
    counts: dict[int, int] = {}

    def take(now: float) -> float | None:
        window = int((now + offset_s) / window_s)
        counts[window] = counts.get(window, 0) + 1
        return None if counts[window] <= N else (window + 1) * window_s - offset_s - now

    return take


def sliding(window_s: float) -> Server:
    """N requests in any time as long as a window."""
    taken: deque[float] = deque()

    def take(now: float) -> float | None:
        while taken and taken[0] <= now - window_s:
            taken.popleft()
        if len(taken) == N:
            return taken[0] + window_s - now
        taken.append(now)
        return None

    return take


def bucket(window_s: float) -> Server:
    """A bucket of N tokens that is refilled at N per window."""
    level, since = float(N), 0.0

    def take(now: float) -> float | None:
        nonlocal level, since
        level, since = min(N, level + (now - since) * N / window_s), now
        if level < 1:
            return (1 - level) * window_s / N
        level -= 1
        return None

    return take


def simulated(take: Server, wish: Callable[[float], float | None], *, latency_s: float = 0.1) -> tuple[float, float]:
    """Seconds until all samples are answered through 128 slots, and requests per answer."""
    random = dice()
    pace = Pace(128, 60.0, dice())
    now, n_left, n_done, n_sent = 0.0, N_SAMPLES, 0, 0
    ends: list[tuple[float, int, Start, float | None]] = []
    while n_done < N_SAMPLES:
        while n_left and pace.n_in_flight < 128 and pace.opens_at(now) <= now:
            start = pace.started(now)
            n_left, n_sent = n_left - 1, n_sent + 1
            wait_s = take(now)
            at_s = now + (latency_s * random.uniform(0.5, 1.5) if wait_s is None else 0.005)
            heapq.heappush(ends, (at_s, n_sent, start, wait_s))
        opens_s = max(pace.opens_at(now), now + 1e-6) if n_left and pace.n_in_flight < 128 else inf
        now = min(opens_s, ends[0][0] if ends else inf)
        assert now < inf, "it waits for nothing"
        while ends and ends[0][0] <= now:
            _, _, start, wait_s = heapq.heappop(ends)
            if wait_s is None:
                pace.accepted(start)
                n_done += 1
            else:
                pace.refused(start, now, wish(wait_s))
                n_left += 1
    return now, n_sent / N_SAMPLES


WISHES: dict[str, Callable[[float], float | None]] = {
    "nothing": lambda _: None,
    "seconds": lambda wait_s: round(wait_s, 2),
    "whole seconds": lambda wait_s: float(ceil(wait_s)),
}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("window_s", [10.0, 60.0])
@pytest.mark.parametrize(
    "server",
    [fixed, lambda window_s: fixed(window_s, 0.7 * window_s), sliding, bucket],
    ids=["fixed", "late", "sliding", "bucket"],
)
def test_what_the_server_allows_is_used(server: Callable[[float], Server], window_s: float, wish: str) -> None:
    """Whatever the server says of the time: 90 % of what it allows is answered, with fewer than 2 requests each."""
    seconds, requests = simulated(server(window_s), WISHES[wish])
    assert N_SAMPLES / (seconds * N / window_s) >= 0.9
    assert requests < 1.5


@pytest.mark.parametrize("latency_s", [0.5, 20.0])
def test_a_bound_on_requests_in_flight_is_found(latency_s: float) -> None:
    """A server that takes 8 at once is used to two thirds and more, and refuses few."""
    running: list[float] = []

    def take(now: float) -> float | None:
        running[:] = [end for end in running if end > now]
        if len(running) >= 8:
            return 1.0
        running.append(now + latency_s)
        return None

    seconds, requests = simulated(take, WISHES["nothing"], latency_s=latency_s)
    assert N_SAMPLES * latency_s / 8 / seconds > 0.66
    assert requests < 1.3


def test_without_refusals_nothing_waits() -> None:
    """The first requests go out within a moment, all others at once."""
    pace = Pace(128, 60.0, dice())
    started = [0.0]
    now = 0.0
    while pace.n_in_flight < 128:
        now = max(now, pace.opens_at(now))
        pace.started(now)
        started.append(now)
    assert started[16] == 0.0
    assert now < 0.1
    assert pace.opens_at(now) == now


def test_a_hold_has_no_exception() -> None:
    """Until the time that the server asked for, within the cap, no request starts; then a single one."""
    pace = Pace(128, 60.0, dice())
    starts = [pace.started(0.0) for _ in range(3)]
    pace.refused(starts[0], 0.1, 30.0)
    pace.refused(starts[1], 0.1, 1e9)
    assert 60.1 <= pace.opens_at(0.2) <= 61.3
    pace.started(61.3)
    assert pace.opens_at(61.3) > 61.3


@pytest.mark.parametrize("wish", WISHES)
def test_long_answers_are_no_bound_on_requests_in_flight(wish: str) -> None:
    """Where answers take as long as a window, the rate is used all the same."""
    seconds, requests = simulated(fixed(60.0), WISHES[wish], latency_s=60.0)
    assert N_SAMPLES / ((seconds - 60) * N / 60) >= 0.9
    assert requests < 1.5


def limit(wish_s: float | None = 0.0) -> AttemptFailed:
    """A refusal for too many requests."""
    return AttemptFailed(kind="rate_limited", message="HTTP 429: slow down", status=429, retry_after_s=wish_s)


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class PacedLane(Pace):
    """A lane that only the pace of a server bounds."""

    @property
    def load(self) -> int:
        """Requests in flight."""
        return self.n_in_flight


class Limited(Dispatcher[PacedLane]):
    """A dispatcher of one server of four slots, told of replies."""

    def __init__(self, clock: Clock, events: list[Event], *, wait_s: float = 10.0) -> None:
        super().__init__(clock)
        lane = PacedLane(4, 60.0, dice())
        self.limiter = Limiter(lane, wait_s=wait_s, max_retries=3, emit=events.append, clock=clock)
        self.add(lane)

    async def begin(self, *, first: bool = False) -> Start:
        """Start a request."""
        _, start = await self.start(first=first)
        return start

    def answered(self, start: Start) -> None:
        """It was answered."""
        self.limiter.answered(start)
        self.serve()

    def refused(self, start: Start, failure: AttemptFailed, patience: Patience) -> bool:
        """It was refused."""
        is_free = self.limiter.refused(start, failure, patience)
        self.serve()
        return is_free


def test_refusals_are_free_until_nothing_was_answered_for_the_wait() -> None:
    """Then the run stops with the server's words; the display was told once."""

    async def main() -> None:
        clock, events = Clock(), list[Event]()
        limits = Limited(clock, events, wait_s=100.0)
        for second in range(9):
            clock.now = 10.0 * second
            assert limits.refused(await limits.begin(), limit(), Patience())
        clock.now = 145.0
        start = await limits.begin()
        with pytest.raises(ServerUnavailableError, match="answered none for 100 s: HTTP 429: slow down"):
            limits.refused(start, limit(), Patience())
        assert [event.message for event in events if isinstance(event, ServerLimits)] == ["HTTP 429: slow down"]

    anyio.run(main)


def test_a_sample_that_alone_is_refused_fails() -> None:
    """More than 16 refusals with answers to others in between are the sample's own; without answers they are not."""

    async def main() -> None:
        clock, alone, together = Clock(), Patience(), Patience()
        limits = Limited(clock, [], wait_s=inf)
        results = []
        for _ in range(20):
            clock.now = 100 + 8 * clock.now
            limits.answered(await limits.begin())
            clock.now = 100 + 8 * clock.now
            results.append(limits.refused(await limits.begin(first=True), limit(), alone))
            clock.now = 100 + 8 * clock.now
            assert limits.refused(await limits.begin(first=True), limit(), together) or len(results) > 16
        assert results == [True] * 16 + [False] * 4
        quiet = Patience()
        for _ in range(40):
            clock.now = 100 + 8 * clock.now
            assert limits.refused(await limits.begin(first=True), limit(), quiet)

    anyio.run(main)


def test_who_was_refused_goes_first_and_who_is_cancelled_keeps_nobody() -> None:
    """While the server holds requests back, the refused one is ahead of those who came before it."""

    async def main() -> None:
        clock, order = Clock(), list[str]()
        limits = Limited(clock, [])
        refused = await limits.begin()
        other = await limits.begin()
        limits.refused(refused, limit(30.0), Patience())

        async def wait(name: str, *, first: bool) -> None:
            start = await limits.begin(first=first)
            order.append(name)
            clock.now += 1000
            limits.answered(start)

        async with anyio.create_task_group() as tasks, anyio.create_task_group() as cancelled:
            tasks.start_soon(lambda: wait("new", first=False))
            cancelled.start_soon(lambda: wait("cancelled", first=True))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(lambda: wait("refused", first=True))
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
            clock.now = 40.0
            limits.answered(other)
        assert order == ["refused", "new"]

    anyio.run(main)
