"""Which server the next request goes to, and when: of those that may take it now, the one with the fewest outstanding.

All waiting is here, in one queue for all servers: a request that no server may take now goes to the first that may, not
to one that it was given to before.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Generic, Protocol, TypeVar

from bootcamp_cli.engine.limiter import Start


class Lane(Protocol):
    """Where requests go."""

    @property
    def load(self) -> float:
        """Requests in flight, as they count against those of others."""
        ...

    def opens_at(self, now: float) -> float:
        """When the next request may start: now or earlier, later, or `inf` for not before something has changed."""
        ...

    def started(self, now: float) -> Start:
        """A request starts now."""
        ...

    def given_up(self, start: Start) -> None:
        """The request was cancelled."""
        ...


L = TypeVar("L", bound=Lane)


class Dispatcher(Generic[L]):
    """Lets tasks start requests at lanes, in the order in which they came; whoever was refused goes to the front.

    Whatever changes what a lane may take is told by `serve`. `clock` gives seconds, by default those of the event loop.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.lanes: list[L] = []
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._waiting: deque[asyncio.Future[tuple[L, Start]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    async def start(self, *, first: bool) -> tuple[L, Start]:
        """Wait until a request may start, before all others where it is `first`; its end must be told to the lane."""
        if not self._waiting:
            now = self._clock()
            lane, _ = self._chosen(now)
            if lane is not None:
                return lane, lane.started(now)
        place: asyncio.Future[tuple[L, Start]] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        self.serve()
        try:
            return await place
        except BaseException:
            if place.done() and not place.cancelled():
                lane, start = place.result()
                lane.given_up(start)
                self.serve()
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def serve(self) -> None:
        """Start those who may, and come back when the next one may."""
        if not self._waiting:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        while self._waiting:
            lane, at_s = self._chosen(now)
            if lane is None:
                if at_s < inf:
                    self._timer = asyncio.get_running_loop().call_later(at_s - now, self.serve)
                return
            place = self._waiting.popleft()
            if not place.done():  # it is done where the task was cancelled
                place.set_result((lane, lane.started(now)))

    def _chosen(self, now: float) -> tuple[L | None, float]:
        """The lane for a request now, those of equal load in turn; without one, when there may be."""
        lanes = self.lanes
        if len(lanes) == 1:
            at_s = lanes[0].opens_at(now)
            return (lanes[0], now) if at_s <= now else (None, at_s)
        chosen, least, soonest = -1, inf, inf
        n, first = len(lanes), self._next
        for i in range(first, first + n):
            lane = lanes[i % n]
            load = lane.load
            if load >= least:
                continue
            at_s = lane.opens_at(now)
            if at_s <= now:
                chosen, least = i % n, load
                if not load:
                    break
            elif at_s < soonest:
                soonest = at_s
        if chosen < 0:
            return None, soonest
        self._next = (chosen + 1) % n
        return lanes[chosen], now
