"""The fixed number of requests in flight. A slot has a number, so that each can keep a connection of its own."""

import anyio


class Slots:
    """`n` slots, handed out first come, first served; and room for `n` answers that have no record yet.

    An answer keeps its slot until there is room for it. So a kill loses at most twice `n` requests.
    """

    def __init__(self, n: int) -> None:
        self._free = list(range(n - 1, -1, -1))
        self._semaphore = anyio.Semaphore(n, fast_acquire=True)
        self._room = anyio.Semaphore(n, fast_acquire=True)

    async def acquire(self) -> int:
        """Wait for a free slot and take it; returns its number."""
        await self._semaphore.acquire()
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)
        self._semaphore.release()

    async def await_room(self) -> None:
        """Wait until an answer may give its slot back."""
        await self._room.acquire()

    def recorded(self) -> None:
        """Make room again: an answer has its record."""
        self._room.release()
