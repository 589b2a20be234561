"""Server-sent events: from bytes in any portions to the events in them; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")

_PIECE_BYTES = 8 * 1024
"""So much is split into lines at once: no thread lets another run meanwhile, and lines may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event: its name (empty for the usual kind) and its data, lines joined by a newline."""

    name: str
    data: bytes


class EventDecoder:
    """Takes the bytes of a stream as they come; lines may end in LF, CRLF or CR, comments are skipped.

    So is a byte order mark at the beginning.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self) -> None:
        self._open_line = bytearray()
        self._at_start = True
        self._after_cr = False
        self._name = ""
        self._data = bytearray()

    @property
    def n_pending_bytes(self) -> int:
        """Bytes of the event that is not complete."""
        return len(self._open_line) + len(self._data)

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that are complete with these bytes."""
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield from self._piece(chunk[start : start + _PIECE_BYTES])

    def close(self) -> Iterator[ServerEvent]:
        """The event that the end of the stream completes, where the server left out the last blank line."""
        yield from self._line(self._closed_line(b""))
        yield from self._line(b"")

    def _piece(self, chunk: bytes) -> Iterator[ServerEvent]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        for line in ended:
            yield from self._line(self._closed_line(line) if self._open_line else line)
        self._open_line += rest

    def _closed_line(self, end: bytes) -> bytes:
        """The line that was open so far, with its end."""
        self._open_line += end
        line = bytes(self._open_line)
        self._open_line.clear()
        return line

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            if self._data:
                del self._data[-1]
                yield ServerEvent(name=self._name, data=bytes(self._data))
                self._data.clear()
            self._name = ""
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data += value
            self._data += b"\n"
        elif field == b"event":
            self._name = value.decode("utf-8", errors="replace")
