"""The heartbeat of a display: wait a while, or until there is something to do, or until the run ended."""

import anyio


class Ticker:
    """One waiting task, woken from the same event loop. A wake-up while nobody waits is kept, not lost."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._is_woken = False
        self._is_ended = False

    async def wait(self, seconds: float) -> bool:
        """Wait until the time is over or `wake` or `end` is called. False once it ended."""
        if not self._is_woken and not self._is_ended:
            self._event = anyio.Event()
            with anyio.move_on_after(max(0.0, seconds)):
                await self._event.wait()
            self._event = None
        self._is_woken = False
        return not self._is_ended

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._is_woken = True
        if self._event is not None:
            self._event.set()

    def end(self) -> None:
        """Make this and every further wait return False."""
        self._is_ended = True
        self.wake()
