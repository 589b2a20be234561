"""A bound on how long the slots keep the event loop from all else."""

from asyncio import Future, get_running_loop
from collections import deque

PER_ROUND = 64
"""Requests that go out before signals, the lock, verdicts and the display get their turn: some 13 ms of work."""


class LoopShare:
    """When hundreds of answers arrive at once, hundreds of requests follow: the slots send them in several rounds.

    A round is one pass of the event loop. Slots ask before they send, and begin in the order in which they ask.
    """

    __slots__ = ("_n_begun", "_waiting")

    def __init__(self) -> None:
        self._n_begun = 0
        self._waiting: deque[Future[None]] = deque()

    async def begin(self) -> None:
        """Return at once where few slots began in this round, else in a later one."""
        if self._n_begun < PER_ROUND:
            if not self._n_begun:
                get_running_loop().call_soon(self._open_round)
            self._n_begun += 1
            return
        place: Future[None] = get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _open_round(self) -> None:
        self._n_begun = min(PER_ROUND, len(self._waiting))
        for _ in range(self._n_begun):
            place = self._waiting.popleft()
            if not place.done():  # as it is where the slot was cancelled
                place.set_result(None)
        if self._n_begun:
            get_running_loop().call_soon(self._open_round)
