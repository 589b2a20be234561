"""A bound on the time for which the slots keep the event loop from all else."""

import time
from collections.abc import Callable

from anyio.lowlevel import checkpoint

SHARE_S = 0.005
"""So long the slots work before signals, the lock, verdicts and the display get their turn."""


class LoopShare:
    """When hundreds of answers arrive at once, hundreds of requests follow: the slots send them in several rounds.

    Each slot asks for its share before it sends; `clock` gives seconds.
    """

    __slots__ = ("_begun", "_clock", "_round")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._round = 0
        self._begun = clock()

    async def begin(self) -> None:
        """Return at once while the slots have been at work for less than their share, else when all else had a turn."""
        while self._clock() - self._begun >= SHARE_S:
            before = self._round
            await checkpoint()
            if self._round == before:  # the first slot to come back opens the round, for itself in any case
                self._round += 1
                self._begun = self._clock()
                return
