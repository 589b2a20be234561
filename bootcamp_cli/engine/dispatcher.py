"""Which server the next request goes to, and when: of those that may take it now, the one with the fewest outstanding.

All waiting is here, in one queue for all servers: a request that no server may take now goes to the first that may, not
to one that it was given to before. Servers are kept sorted by what they have outstanding, so that a request costs the
same at hundreds of them as at a few.
"""

import asyncio
import time
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

    Whatever changes what a lane may take, or its load, is told by `serve`. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lanes: dict[L, float | None] = {}
        """Each with the load that it is sorted in by, None where it takes nothing for now. `add` and `remove` them."""
        self._by_load: dict[float, dict[L, None]] = {}
        """Those that may take a request, in the order in which they came to that load."""
        self._shut: dict[L, float] = {}
        """Those that take nothing before a time, unless they change."""
        self._opens_s = inf
        """When the first of those opens, or earlier."""
        self._clock = clock
        self._waiting: deque[asyncio.Future[tuple[L, Start]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, lane: L) -> None:
        """Send requests to a lane, too."""
        self.lanes[lane] = None
        self._sort_in(lane)

    def remove(self, lane: L) -> None:
        """Send nothing more to a lane, if anything was."""
        if lane in self.lanes:
            self._take_out(lane)
            del self.lanes[lane]

    async def start(self, *, first: bool) -> tuple[L, Start]:
        """Wait until a request may start, before all others where it is `first`; its end must be told to the lane."""
        if not self._waiting:
            now = self._clock()
            lane = self._chosen(now)
            if lane is not None:
                return lane, self._started(lane, now)
        place: asyncio.Future[tuple[L, Start]] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        self._serve()
        try:
            return await place
        except BaseException:
            if place.done() and not place.cancelled():
                lane, start = place.result()
                lane.given_up(start)
                self.serve(lane)
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def serve(self, changed: L | None = None) -> None:
        """Start those who may, and come back when the next one may. Any lane may be another than before, or this."""
        if changed is None:
            for lane in self.lanes:
                self._sort_in(lane)
        elif changed in self.lanes:
            self._sort_in(changed)
        self._serve()

    def _serve(self) -> None:
        if not self._waiting:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        while self._waiting:
            lane = self._chosen(now)
            if lane is None:
                if self._opens_s < inf:
                    self._timer = asyncio.get_running_loop().call_later(self._opens_s - now, self._serve)
                return
            place = self._waiting.popleft()
            if not place.done():  # it is done where the task was cancelled
                place.set_result((lane, self._started(lane, now)))

    def _started(self, lane: L, now: float) -> Start:
        start = lane.started(now)
        self._sort_in(lane)
        return start

    def _chosen(self, now: float) -> L | None:
        """The lane for a request now, those of equal load in turn."""
        if self._opens_s <= now:
            for lane in [lane for lane, opens_s in self._shut.items() if opens_s <= now]:
                self._sort_in(lane)
            self._opens_s = min(self._shut.values(), default=inf)
        while self._by_load:
            lane = next(iter(self._by_load[min(self._by_load)]))
            opens_s = lane.opens_at(now)
            if opens_s <= now:
                return lane
            self._take_out(lane)
            self._shut[lane] = opens_s
            self._opens_s = min(self._opens_s, opens_s)
        return None

    def _sort_in(self, lane: L) -> None:
        """Put a lane behind those that have the same load, unless it had it before."""
        if len(self.lanes) == 1 and self.lanes[lane] is not None:
            return  # there is nothing to sort
        load = lane.load
        if load == self.lanes[lane]:
            return
        self._take_out(lane)
        self.lanes[lane] = load
        self._by_load.setdefault(load, {})[lane] = None

    def _take_out(self, lane: L) -> None:
        load = self.lanes[lane]
        if load is None:
            self._shut.pop(lane, None)
            return
        self.lanes[lane] = None
        alike = self._by_load[load]
        del alike[lane]
        if not alike:
            del self._by_load[load]
