"""Where each record of a run directory stands, and what is needed to find and list it, without any of its texts.

The index is made in one pass over the details and kept in the user's cache, so that looking at a run of a million
samples a second time starts at once. Details are appended to, or replaced as a whole: a file that only grew is read
from where the index ends, any other that changed is read again. A cache that cannot be read is made anew, one that
cannot be written is done without.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bootcamp_cli.errors import BootcampError, disk_error
from bootcamp_cli.store.atomic import replacing
from bootcamp_cli.store.journal import OWED, SCORED, UNSCORED, UNVERIFIED
from bootcamp_cli.store.records import ENDS, RecordHead, read_batches
from bootcamp_cli.types import MAX_ROW, TO_BE_VERIFIED

ENTRY = np.dtype(
    [
        ("offset", "<u8"),
        ("length", "<u4"),
        ("row", "<u4"),
        ("repeat", "<u4"),
        ("score", "<f8"),
        ("output_len", "<i8"),
        ("source", "<i4"),
        ("kind", "<i4"),
        ("end", "u1"),
        ("state", "u1"),
    ]
)
"""An entry: 46 bytes. `score` is NaN without one, `output_len` -1; `source` and `kind` (of the failure) number names,
-1 is none; `end` numbers `ENDS`; `state` is one of the journal's."""

Entries = npt.NDArray[np.void]

MAX_CACHE_BYTES = 1024**3
"""How much all kept indexes may take; the least recently used ones are removed."""

_VERSION = 1
_MAX_LENGTH = 2**32 - 1
_TAIL_BYTES = 4096

Progress = Callable[[int, int], object]
"""Is told how many bytes of how many are indexed."""


class StoppedError(Exception):
    """Nobody waits for the index any more; what was read so far is kept."""


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """By what a details file is known again: the same bytes at the same place, or these and more behind them.

    `end` and `n_lines` tell how far it was indexed, `tail` digests what stands before that end.
    """

    inode: int
    size: int
    mtime_ns: int
    end: int
    n_lines: int
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIndex:
    """The records of one details file, in the order of the lines, in chunks that are never changed."""

    state: FileState | None = None
    chunks: tuple[Entries, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.chunks))


@dataclass(slots=True)
class SampleIndex:
    """The records of all details files at `paths`, kept in the folder `cache` if there is one.

    `foreign`: no run of this tool wrote them. One thread at a time may call `load`, `refresh` and `save`; `files` and
    `names` may be read by others meanwhile: what they hold is replaced or appended to, never changed. `version` grows
    with each change.
    """

    directory: Path
    foreign: bool
    cache: Path | None = None
    files: Mapping[str, FileIndex] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    version: int = 0
    _codes: dict[str, int] = field(default_factory=dict)

    def load(self) -> None:
        """Take over what the cache holds; nothing where that cannot be used."""
        path = self._path()
        if path is None:
            return
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            with path.open("rb") as file:
                header = json.loads(file.readline())
                if header["version"] != _VERSION or header["directory"] != str(self.directory):
                    return
                names = msgspec.convert(header["names"], list[str])
                states = msgspec.convert(header["files"], dict[str, tuple[int, FileState]])
                files = {name: _read_chunk(file, n, state, len(names)) for name, (n, state) in states.items()}
                if file.read(1):
                    return
            os.utime(path)  # used: the last to be removed
            self.files, self.names = files, names
            self._codes = {name: code for code, name in enumerate(names)}
            self.version += 1

    def refresh(
        self,
        paths: Sequence[Path],
        on_progress: Progress = lambda *_: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Bring the index up to date with the files at `paths`; whether anything changed.

        Raises:
            RunDirectoryError: a line is not a record, or a file cannot be read; the message names it.
            StoppedError: `stopped` said so.
        """
        before = self.version
        stats = {path: _stat(path) for path in paths}
        known = {path: self._still_valid(path, stat) for path, stat in stats.items()}
        total = sum(stat.st_size for stat in stats.values())
        files = {path.name: index for path, index in known.items()}
        if any(index is not self.files.get(name) for name, index in files.items()) or self.files.keys() - files.keys():
            self.files = files
            self.version += 1
        done = sum(map(_end, files.values()))
        on_progress(done, total)
        for path, stat in stats.items():
            if _is_of(known[path].state, stat):
                continue
            done -= _end(known[path])
            for index in self._read(path, known[path], stat):
                self.files = {**self.files, path.name: index}
                self.version += 1
                on_progress(done + _end(index), total)
                if stopped():
                    raise StoppedError
            done += _end(self.files[path.name])
        return self.version != before

    def save(self) -> None:
        """Keep the index in the cache, if it can be written; the least recently used ones give way."""
        path = self._path()
        if path is None:
            return
        files = {name: index for name, index in self.files.items() if index.state is not None}
        header = {
            "version": _VERSION,
            "directory": str(self.directory),
            "names": self.names,
            "files": {name: (len(index), msgspec.to_builtins(index.state)) for name, index in files.items()},
        }
        with suppress(OSError, BootcampError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with replacing(path, durable=False) as file:
                file.write(json.dumps(header).encode() + b"\n")
                for index in files.values():
                    for chunk in index.chunks:
                        file.write(chunk.tobytes())
            path.chmod(0o600)
            remove_oldest(path.parent, MAX_CACHE_BYTES)

    def _path(self) -> Path | None:
        if self.cache is None:
            return None
        return self.cache / f"{blake2b(os.fsencode(self.directory), digest_size=16).hexdigest()}.index"

    def _still_valid(self, path: Path, stat: os.stat_result) -> FileIndex:
        """What of the index of a file still holds."""
        index = self.files.get(path.name, FileIndex())
        state, chunks = index.state, index.chunks
        if state is None or state.inode != stat.st_ino or stat.st_size < state.end:
            return FileIndex()
        if _is_of(state, stat):
            return index
        if _tail_digest(path, state.end) != state.tail:
            return FileIndex()
        if chunks:  # a line without its newline is read again
            chunks = (*chunks[:-1], chunks[-1][chunks[-1]["offset"] < state.end])
        return replace(index, chunks=chunks)

    def _read(self, path: Path, index: FileIndex, stat: os.stat_result) -> Iterator[FileIndex]:
        """The index of a file as it grows by what follows its end; `stat` is of the file before it is read."""
        chunks, state = index.chunks, index.state
        start, n_lines = (state.end, state.n_lines) if state else (0, 0)
        n = sum(map(len, chunks))
        for batch in read_batches(path, foreign=self.foreign, start=start, n_lines=n_lines):
            entries = [self._entry(offset, length, n + i, head) for i, (offset, length, head) in enumerate(batch.heads)]
            n += len(entries)
            chunks = _joined(chunks, np.array(entries, dtype=ENTRY))
            start, n_lines = batch.end, batch.n_lines
            yield FileIndex(state=self._state(path, stat, start, n_lines, is_whole=False), chunks=chunks)
        yield FileIndex(state=self._state(path, stat, start, n_lines, is_whole=True), chunks=chunks)

    def _state(self, path: Path, stat: os.stat_result, end: int, n_lines: int, *, is_whole: bool) -> FileState:
        """How far a file was read; only one that was read to its end has the size and time that `_is_of` compares."""
        return FileState(
            inode=stat.st_ino,
            size=max(stat.st_size, end) if is_whole else end,
            mtime_ns=stat.st_mtime_ns if is_whole and end <= stat.st_size else 0,
            end=end,
            n_lines=n_lines,
            tail=_tail_digest(path, end),
        )

    def _entry(self, offset: int, length: int, number: int, head: RecordHead) -> tuple[Any, ...]:
        row, score = head.row, head.score
        is_scored = isinstance(score, float)
        failure = None if is_scored else head.failure or "unscored"
        return (
            offset,
            min(length, _MAX_LENGTH),
            number if row is None or not 0 <= row < MAX_ROW else row,
            min(head.repeat, _MAX_LENGTH),
            score if is_scored else np.nan,
            -1 if head.output_len is None else head.output_len,
            self._code(head.data_source),
            self._code(failure),
            ENDS.index(head.end),
            SCORED if is_scored else UNVERIFIED if failure in TO_BE_VERIFIED else UNSCORED,
        )

    def _code(self, name: str | None) -> int:
        if name is None:
            return -1
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
        return code


def _is_of(state: FileState | None, stat: os.stat_result) -> bool:
    """Whether a file is as it was when it was indexed to its end."""
    return state is not None and (state.inode, state.size, state.mtime_ns) == (
        stat.st_ino,
        stat.st_size,
        stat.st_mtime_ns,
    )


def _end(index: FileIndex) -> int:
    return index.state.end if index.state else 0


def _joined(chunks: tuple[Entries, ...], more: Entries) -> tuple[Entries, ...]:
    """The chunks with another one; small ones are joined, so that there are few."""
    if chunks and len(chunks[-1]) < len(more) * 8 and len(chunks[-1]) + len(more) <= 65536:
        return (*chunks[:-1], np.concatenate([chunks[-1], more]))
    return (*chunks, more)


def _read_chunk(file: Any, n: int, state: FileState, n_names: int) -> FileIndex:
    """The entries of a file from the cache.

    Raises:
        ValueError: they are not there, or not what was written.
    """
    content = file.read(n * ENTRY.itemsize)
    if n < 0 or len(content) != n * ENTRY.itemsize:
        raise ValueError("too short")
    entries: Entries = np.frombuffer(content, dtype=ENTRY)
    is_fine = (
        (entries["end"] < len(ENDS))
        & (entries["state"] > OWED)
        & (entries["state"] <= UNSCORED)
        & (entries["source"] < n_names)
        & (entries["kind"] < n_names)
        & (entries["offset"] + entries["length"] <= state.size)
    )
    if not is_fine.all():
        raise ValueError("damaged")
    return FileIndex(state=state, chunks=(entries,))


def remove_oldest(folder: Path, max_bytes: int) -> None:
    """Remove the least recently used indexes until the others take no more than `max_bytes`.

    What a process left behind that was killed while it wrote counts as well.
    """
    kept = 0
    stats = [(path.stat(), path) for path in folder.iterdir()]
    for stat, path in sorted(stats, key=lambda each: each[0].st_mtime_ns, reverse=True):
        kept += stat.st_size
        if kept > max_bytes:
            path.unlink(missing_ok=True)


def read_place(path: Path, offset: int, length: int) -> bytes:
    """The bytes of a record.

    Raises:
        RunDirectoryError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise disk_error(error, f"look at {path}") from error


def _tail_digest(path: Path, end: int) -> str:
    """A digest of the last bytes before an offset."""
    start = max(0, end - _TAIL_BYTES)
    return blake2b(read_place(path, start, end - start), digest_size=16).hexdigest()
