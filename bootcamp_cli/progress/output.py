"""A stream that may not be able to take what is written, and must not stop the run for it."""

from typing import TextIO

import anyio
import anyio.to_thread


class Output:
    """Writes to a stream until that fails (terminal gone, pipe closed); from then on nothing is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._is_broken = False

    @property
    def is_unicode(self) -> bool:
        """Whether more than ASCII can be shown."""
        return self._encoding.lower().replace("-", "").startswith("utf")

    async def write_aside(self, text: str) -> None:
        """Write in another thread, so that a reader that stands still does not stop the run."""
        try:
            await anyio.to_thread.run_sync(self.write, text)
        except anyio.get_cancelled_exc_class():  # only before the thread took it
            self.write(text)
            raise

    def write(self, text: str) -> None:
        """Write and flush; what the encoding does not have is shown as `?`."""
        if self._is_broken:
            return
        try:
            self._stream.write(text.encode(self._encoding, "replace").decode(self._encoding))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._is_broken = True
