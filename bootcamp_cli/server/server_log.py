"""The log of a server of one's own: bounded, without secrets, its last lines at hand."""

import re
import shutil
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bootcamp_cli.text import Secrets, shortened

MAX_LOG_BYTES = 64 * 1024 * 1024
"""A log that is longer becomes `server.log.1`, in place of an earlier one, so that twice this is kept at most."""

_N_LAST_LINES = 12
_MAX_LINE_CHARS = 300
_MAX_LINE_BYTES = 1 << 20


class ServerLog:
    """The output of the server: in a file of bounded length, without secrets, its last lines at hand.

    It begins beside the run directories, as the run's own exists only when the server has answered; `move` takes it
    there. What cannot be written is left out: a full disk must not stop the server.
    """

    def __init__(self, path: Path, secrets: Secrets, *, max_bytes: int = MAX_LOG_BYTES) -> None:
        self.path = path
        self._secrets = secrets
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._n_bytes = 0
        self._rest = b""
        self._last: deque[str] = deque(maxlen=_N_LAST_LINES)
        self._lock = threading.RLock()

    def open(self) -> None:
        """Begin the file, or go on with it.

        Raises:
            OSError: it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        self._n_bytes = self._file.tell()

    def take(self, data: bytes) -> None:
        """Take a piece of output; whole lines are written, also those that a carriage return ends."""
        with self._lock:
            *lines, self._rest = re.split(rb"(?<=[\r\n])", self._rest + data)
            if len(self._rest) > _MAX_LINE_BYTES:
                lines, self._rest = [*lines, self._rest], b""
            self._write(lines)

    def say(self, text: str) -> None:
        """Write a line of this tool's own between those of the server."""
        with self._lock:
            self.finish()
            self._put(f"--- bootcamp, {time.strftime('%Y-%m-%d %H:%M:%S')}: {text}\n".encode(errors="replace"))

    def finish(self) -> None:
        """Write the last line, which may have no end."""
        with self._lock:
            rest, self._rest = self._rest, b""
            self._write([rest + b"\n"] if rest else [])

    def last_lines(self) -> tuple[str, ...]:
        """The last lines, each in a form that may be shown."""
        return tuple(self._last)

    def begin(self) -> None:
        """Begin the last lines anew, for another process."""
        self.say("starting the server")
        self._last.clear()

    def move(self, path: Path) -> None:
        """Go on in another file: behind what it holds, or in its place; where that fails, the log stays where it is."""
        with self._lock, suppress(OSError):
            self.close()
            try:
                if path.exists():
                    with self.path.open("rb") as source, path.open("ab") as target:
                        shutil.copyfileobj(source, target)
                    self.path.unlink()
                else:
                    shutil.move(self.path, path)
                self.path = path
            finally:
                self.open()

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        text = self._secrets.redact(b"".join(lines).decode("utf-8", "replace"))
        for line in re.split(r"[\r\n]+", text):
            if shown := _plain(line):
                self._last.append(shown)
        self._put(text.encode("utf-8", "replace"))

    def _put(self, data: bytes) -> None:
        try:
            if self._n_bytes + len(data) > self._max_bytes and self._n_bytes:
                self.close()
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                self.open()
            if self._file is not None:
                self._file.write(data)
                self._file.flush()
                self._n_bytes += len(data)
        except OSError:
            pass


_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
"""Colours, movements and titles of a terminal."""


def _plain(line: str) -> str:
    """A line of output as one that may be shown, without colours."""
    return shortened(" ".join(_ESCAPES.sub("", line).split()), _MAX_LINE_CHARS)
