"""The fixed number of requests in flight. A slot has a number, so that each can keep a connection of its own."""

import anyio


class Slots:
    """`n` slots, handed out first come, first served."""

    def __init__(self, n: int) -> None:
        self._free = list(range(n - 1, -1, -1))
        self._semaphore = anyio.Semaphore(n, fast_acquire=True)

    async def acquire(self) -> int:
        """Wait for a free slot and take it; returns its number."""
        await self._semaphore.acquire()
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)
        self._semaphore.release()
