"""Who sends next: samples read ahead for the slots, and tries that are made again after their wait."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from bootcamp_cli.records import Sample


@dataclass(slots=True, eq=False)
class LaneLoan:
    """A task that wants the lane of a slot for one try: it waits for the lane, the slot waits for its return."""

    lane: int | None = None
    granted: anyio.Event = field(default_factory=anyio.Event)
    returned: anyio.Event = field(default_factory=anyio.Event)

    async def lend(self, lane: int) -> None:
        """Hand the lane over and wait until it comes back."""
        self.lane = lane
        self.granted.set()
        await self.returned.wait()


class Turns:
    """What the slots take one after another: tries that are made again go first, then samples in their order.

    At most `read_ahead` samples wait here, so that their order is still worth it. `take` gives None to every slot once
    all samples were put and `answered` was called for each; `n_unanswered` is the number of those that it was not yet.
    """

    def __init__(self, read_ahead: int) -> None:
        self.read_ahead = read_ahead
        self._samples: deque[Sample] = deque()
        self._loans: deque[LaneLoan] = deque()
        self._available = anyio.Semaphore(0, fast_acquire=True)
        self._room: anyio.Event | None = None
        self.n_unanswered = 0
        self._is_last = False

    async def put(self, sample: Sample) -> None:
        """Add a sample when there is room."""
        while len(self._samples) >= self.read_ahead:
            self._room = anyio.Event()
            await self._room.wait()
        self._samples.append(sample)
        self.n_unanswered += 1
        self._available.release()

    def put_last(self) -> None:
        """No more samples will come."""
        self._is_last = True
        self._end_if_done()

    def answered(self) -> None:
        """A sample that was taken needs no further try."""
        self.n_unanswered -= 1
        self._end_if_done()

    async def take(self) -> Sample | LaneLoan | None:
        """Wait for the next turn; None where none will come."""
        await self._available.acquire()
        while self._loans:
            loan = self._loans.popleft()
            if not loan.returned.is_set():
                return loan
        if self._samples:
            sample = self._samples.popleft()
            if self._room is not None and 2 * len(self._samples) <= self.read_ahead:
                self._room.set()
                self._room = None
            return sample
        if self._is_done:
            self._available.release()  # for the next slot
            return None
        return await self.take()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[int]:
        """Borrow the lane of a slot, before new samples get one."""
        loan = LaneLoan()
        self._loans.append(loan)
        self._available.release()
        try:
            await loan.granted.wait()
            assert loan.lane is not None  # noqa: S101 - granted with a lane
            yield loan.lane
        finally:
            loan.returned.set()

    @property
    def _is_done(self) -> bool:
        return self._is_last and self.n_unanswered == 0

    def _end_if_done(self) -> None:
        if self._is_done:
            self._available.release()
