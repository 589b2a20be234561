"""The lines of a test file, read a few at a time, counted and hashed on the way."""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is no row but a broken file (a hole full of zeros, a missing line feed)."""

_BOM = b"\xef\xbb\xbf"


class LineReader:
    """Reads the lines of a binary file in batches.

    Lines come with their line feed and without a byte order mark; a line above MAX_LINE_BYTES comes cut to one byte
    more than that. `n_read` and `digest()` speak of the bytes up to the end of the batch that came last. Reading ends
    with the file or after `n_bytes`.
    """

    def __init__(self, file: BinaryIO, *, n_bytes: int | None = None) -> None:
        self.n_read = 0
        self._file = file
        self._n_bytes = n_bytes
        self._sha256 = hashlib.sha256()

    def batches(self, n_bytes: int) -> Iterator[list[bytes]]:
        """Lists of lines, about `n_bytes` together, at least one line."""
        is_first = True
        while lines := self._read_batch(n_bytes):
            if is_first and lines[0].startswith(_BOM):
                lines[0] = lines[0].removeprefix(_BOM)
            is_first = False
            yield lines

    def digest(self) -> str:
        """The SHA-256 (hex) of the bytes read so far."""
        return self._sha256.hexdigest()

    def _read_batch(self, n_bytes: int) -> list[bytes]:
        if self._n_bytes is not None:
            n_bytes = min(n_bytes, self._n_bytes - self.n_read)
        block = self._file.read(n_bytes)
        self._count(block)
        lines = block.splitlines(keepends=True) if b"\r" not in block else _split(block)
        if lines and not block.endswith(b"\n"):
            lines[-1] = (lines[-1] + self._read())[: MAX_LINE_BYTES + 1]
        return lines

    def _read(self) -> bytes:
        line = chunk = self._read_chunk()
        while len(chunk) > MAX_LINE_BYTES and not chunk.endswith(b"\n"):
            chunk = self._read_chunk()
        return line

    def _read_chunk(self) -> bytes:
        n_wanted = MAX_LINE_BYTES + 1
        if self._n_bytes is not None:
            n_wanted = min(n_wanted, self._n_bytes - self.n_read)
        chunk = self._file.readline(n_wanted)
        self._count(chunk)
        return chunk

    def _count(self, chunk: bytes) -> None:
        self.n_read += len(chunk)
        self._sha256.update(chunk)


def _split(block: bytes) -> list[bytes]:
    """The lines of a block, each with its line feed; a carriage return ends none."""
    lines = [line + b"\n" for line in block.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
