"""Standard streams that never make a command wait for whoever reads them.

A terminal that was stopped (Ctrl-S) and a full pipe take nothing more, and a write to them does not return. So a thread
of its own does the writing, one for each file behind the streams: what two streams write to one terminal stays in its
order. Only at its end a command waits until all is read; one that has its results on disk gives up when nothing was
taken for a moment. stdout of a command that does nothing but show is left as it is: the reader sets the pace.

A reader that is gone (closed pipe, vanished terminal) is no error: what was for it is dropped.
"""

import errno
import io
import os
import select
import signal
import stat
import sys
import threading
from queue import SimpleQueue
from typing import BinaryIO, TextIO

READ_WITHIN_S = 5.0
"""How long nothing may be taken before the rest of an output is given up that also stands on disk."""

_CHUNK_BYTES = 4096
_MAX_WAITING_BYTES = 1 << 20
_READER_GONE = frozenset({errno.EPIPE, errno.EIO, errno.ENXIO, errno.ENOTCONN, errno.ECONNRESET})


def unblock() -> tuple["UnblockedStream", "UnblockedStream"]:
    """Unblock stderr from here on, for a process that ends when its command does; stdout can be unblocked later."""
    channels: dict[tuple[int, int], _Channel] = {}

    def unblocked(stream: TextIO, *, droppable: bool) -> UnblockedStream:
        stream.flush()
        file = os.fstat(stream.fileno())
        channel = channels.setdefault((file.st_dev, file.st_ino), _Channel())
        return UnblockedStream(stream, channel, droppable=droppable)

    stdout, stderr = unblocked(sys.stdout, droppable=False), unblocked(sys.stderr, droppable=True)
    stdout.is_direct = True
    sys.stdout, sys.stderr = stdout, stderr
    return stdout, stderr


def read_within_a_moment(patience_s: float = READ_WITHIN_S) -> None:
    """From here on nobody who does not read is waited for: what this process prints also stands on disk."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, UnblockedStream):
            stream.is_direct = False
            stream.patience_s = patience_s


class UnblockedStream(io.TextIOBase):
    """Stands in for a text stream on a descriptor; writing returns at once and never fails.

    `patience_s` is how long nothing may be taken at the end before the rest is given up; None waits as long as the
    reader needs, as any tool does before a pager. Of what is `droppable`, up to a mebibyte waits for a reader that
    stalls; beyond that it is counted, and the count told when the reader goes on. While `is_direct`, everything is as
    with the stream itself, after what was written before.
    """

    def __init__(self, stream: TextIO, channel: "_Channel", *, droppable: bool) -> None:
        self._stream = stream
        self._channel = channel
        self._descriptor = stream.fileno()
        self._droppable = droppable
        self.is_direct = False
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.patience_s: float | None = None
        self._n_dropped = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self._stream.encoding or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream."""
        return self._stream.errors

    @property
    def is_behind(self) -> bool:
        """Whether something that was written is not with the reader yet."""
        return self._channel.n_waiting > 0

    def fileno(self) -> int:
        """The descriptor of the stream."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    @property
    def buffer(self) -> BinaryIO:
        """That of the stream, for bytes; only while it is direct."""
        return self._stream.buffer

    def flush(self) -> None:
        """Write what is in the buffer."""
        if self.is_direct:
            self._stream.flush()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Have the text written soon."""
        if self.is_direct:
            self._channel.finish(None)
            self._stream.write(text)
            self._stream.flush()
            return len(text)
        data = text.encode(self.encoding, self.errors or "strict")
        if self._droppable and self._channel.n_droppable + len(data) > _MAX_WAITING_BYTES:
            self._n_dropped += 1
            return len(text)
        if self._n_dropped:
            data = f"[{self._n_dropped} messages were dropped while nobody read]\n".encode() + data
            self._n_dropped = 0
        self._channel.put(self._descriptor, data, droppable=self._droppable)
        return len(text)

    def failure(self) -> OSError | None:
        """What kept the stream from being written, unless nobody was there to read."""
        error = self._channel.errors.get(self._descriptor)
        is_gone = error is not None and error.errno in _READER_GONE and not self._is_file
        return None if is_gone else error

    def finish(self, patience_s: float | None = None) -> bool:
        """Wait until all is read; False where nothing was taken for so long (by default its own patience)."""
        return self._channel.finish(self.patience_s if patience_s is None else patience_s)


_Piece = tuple[int, bytes, bool]
"""What to write, and where; whether it need not be."""


class _Channel:
    """What waits to be written to one open file, and the thread that writes it."""

    def __init__(self) -> None:
        self.errors: dict[int, OSError] = {}
        self._queue: SimpleQueue[_Piece | threading.Event] = SimpleQueue()
        self._n_put = 0
        self._n_taken = 0
        self._n_droppable_put = 0
        self._n_droppable_taken = 0
        self._is_given_up = False
        self._thread: threading.Thread | None = None

    @property
    def n_waiting(self) -> int:
        """Bytes that are not written yet."""
        return self._n_put - self._n_taken

    @property
    def n_droppable(self) -> int:
        """How many of them need not be written."""
        return self._n_droppable_put - self._n_droppable_taken

    def put(self, descriptor: int, data: bytes, *, droppable: bool) -> None:
        """Have it written to the descriptor, after all that came before."""
        if self._thread is None:  # a daemon: one that hangs in a write does not keep the process from ending
            self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
            self._thread.start()
        self._n_put += len(data)
        self._n_droppable_put += len(data) * droppable
        self._queue.put((descriptor, data, droppable))

    def finish(self, patience_s: float | None) -> bool:
        """Wait until nothing waits; False where nothing was taken for `patience_s`, now or before."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._queue.put(done)
        while not self._is_given_up:
            n_taken = self._n_taken
            if done.wait(patience_s):
                return True
            self._is_given_up = self._n_taken == n_taken
        return False

    def _write_all(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            descriptor, data, droppable = item
            rest = memoryview(data)
            while rest:
                n = self._written(descriptor, rest[:_CHUNK_BYTES])
                self._n_taken += n
                self._n_droppable_taken += n * droppable
                rest = rest[n:]

    def _written(self, descriptor: int, data: memoryview) -> int:
        """Write some of it; all of it counts as written where the descriptor failed before."""
        if descriptor in self.errors:
            return len(data)
        try:
            return os.write(descriptor, data)
        except BlockingIOError:  # another process that has the terminal open made it non-blocking
            select.select([], [descriptor], [])
            return 0
        except OSError as error:
            self.errors[descriptor] = error
            return len(data)
