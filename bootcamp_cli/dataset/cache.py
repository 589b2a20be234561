"""Copies of remote test files on this machine, which runs share and nobody has to tidy.

    ROOT/files/DIGEST/x.jsonl   a copy, below the SHA-256 of its bytes: what a run reads never changes under it
    ROOT/urls/KEY.json          which copy the file at a URL was last, and by what the server told that version
    ROOT/readers/...            the digests that a process reads; it keeps the file locked for as long as it lives
    ROOT/.lock                  locked while something is put into a place or removed

A copy is taken again only where the server still has the version of which it was made, and its digest is right. What
no process reads is removed 30 days after its last use, and before that, the longest unused first, while the copies take
more than 20 GiB. Where the file system has no locks, nothing is removed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bootcamp_cli.errors import DiskError

MAX_BYTES = 20 * 2**30
MAX_UNUSED_S = 30 * 24 * 3600.0

_PREFIX = ".tmp-"
_MAX_WRITTEN_S = 24 * 3600.0
"""A file that has been written to for longer than this belongs to a process that was killed."""

Version = Mapping[str, Any]
"""What a server tells of a version of a file: size and ETag, or size and time of the last change."""


@dataclass(slots=True)
class Incoming:
    """A copy that is being written: `file` is at the end of what was `add`ed."""

    file: BinaryIO
    n_bytes: int = 0
    _sha256: Any = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of what was added."""
        digest: str = self._sha256.hexdigest()
        return digest

    def add(self, chunk: bytes) -> None:
        """Write the next bytes.

        Raises:
            DiskError: the disk is full, or fails.
        """
        try:
            self.file.write(chunk)
        except OSError as error:
            raise _disk_error(error, Path(self.file.name).parent) from error
        self._sha256.update(chunk)
        self.n_bytes += len(chunk)

    def restart(self) -> None:
        """Forget what was added."""
        self.file.seek(0)
        self.file.truncate()
        self._sha256, self.n_bytes = hashlib.sha256(), 0


class DataCache:
    """The copies below a directory, which is made when the first is written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "files"
        self._urls = root / "urls"
        self._readers = root / "readers"

    def find(self, url: str, name: str, version: Version) -> Path | None:
        """The copy of a file at a URL, if it is of this version and whole; it stays while this process lives."""
        try:
            entry = json.loads(self._entry(url).read_bytes())
            digest, before = str(entry["digest"]), entry["version"]
            path = self._files / digest / name
            if before != dict(version) or not _is_digest(digest):
                return None
            with self._locked():
                if not path.is_file():
                    return None
                self._claim(digest)
            return path if _digest_of(path) == digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A temporary file for the bytes of a copy, which is removed unless it is kept.

        Raises:
            DiskError: it cannot be made.
        """
        try:
            for folder in (self._root, self._files, self._urls, self._readers):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._root, delete=False)  # noqa: SIM115 - below
        except OSError as error:
            raise _disk_error(error, self._root) from error
        try:
            with file:
                yield Incoming(file.file)  # type: ignore[arg-type] # a BufferedRandom
        finally:
            Path(file.name).unlink(missing_ok=True)

    def keep(self, incoming: Incoming, url: str, name: str, version: Version) -> Path:
        """Make a copy of what came in, which stays while this process lives, and remember of which version it is.

        Raises:
            DiskError: the disk is full, or fails.
        """
        digest = incoming.digest
        path = self._files / digest / name
        try:
            incoming.file.flush()
            with self._locked():
                path.parent.mkdir(exist_ok=True, mode=0o700)
                self._claim(digest)
                Path(incoming.file.name).replace(path)
                with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._root, delete=False) as entry:
                    entry.write(json.dumps({"digest": digest, "version": dict(version)}).encode())
                Path(entry.name).replace(self._entry(url))
        except OSError as error:
            raise _disk_error(error, self._root) from error
        return path

    def check_room(self, n_bytes: int) -> None:
        """Check that so many bytes can be written, before the first of them is.

        Raises:
            DiskError: there is less room.
        """
        place = self._root
        while not place.exists() and place != place.parent:
            place = place.parent
        with suppress(OSError):
            if (free := shutil.disk_usage(place).free) < n_bytes:
                what = (
                    f"{n_bytes / 2**30:,.2f} GiB of test data have no room in {self._root}, where {free / 2**30:,.2f}"
                )
                raise DiskError(f"{what} GiB are free", hint=_HINT)

    def prune(self, *, now: float | None = None, max_bytes: int = MAX_BYTES) -> None:
        """Remove what nobody reads: see above. What cannot be removed stays."""
        if self._files.is_dir():
            with suppress(OSError), self._locked():
                self._prune(time.time() if now is None else now, max_bytes)

    def _prune(self, now: float, max_bytes: int) -> None:
        is_read = {digest for reader in self._readers.iterdir() for digest in _read_by(reader)}
        copies = sorted((folder.stat().st_mtime, _size(folder), folder) for folder in self._files.iterdir())
        n_bytes = sum(size for _, size, _ in copies)
        for used, size, folder in copies:
            if folder.name not in is_read and (n_bytes > max_bytes or now - used > MAX_UNUSED_S):
                shutil.rmtree(folder)
                n_bytes -= size
        for entry in self._urls.iterdir():
            if now - entry.stat().st_mtime > MAX_UNUSED_S or not self._has_copy(entry):
                entry.unlink()
        for left in self._root.glob(f"{_PREFIX}*"):
            if now - left.stat().st_mtime > _MAX_WRITTEN_S:
                left.unlink()

    def _has_copy(self, entry: Path) -> bool:
        try:
            return (self._files / str(json.loads(entry.read_bytes())["digest"])).exists()
        except (ValueError, KeyError, TypeError):
            return False

    def _entry(self, url: str) -> Path:
        return self._urls / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def _claim(self, digest: str) -> None:
        """Say that this process reads a copy, and note that it is used; under the lock."""
        os.utime(self._files / digest)
        reader = _THIS_PROCESS.get(self._root)
        if reader is None:
            descriptor, _ = tempfile.mkstemp(dir=self._readers)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            reader = _THIS_PROCESS[self._root] = descriptor
        os.write(reader, f"{digest}\n".encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one, of all processes and threads, who puts something in place or removes it."""
        descriptor = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_THIS_PROCESS: dict[Path, int] = {}
"""The open file, by root, in which this process says what it reads: until it ends."""


def _read_by(reader: Path) -> list[str]:
    """What a process reads; its file is removed where it is gone."""
    descriptor = os.open(reader, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reader.unlink()
    except OSError:  # it lives, or there are no locks
        return reader.read_text(encoding="ascii").split()
    finally:
        os.close(descriptor)
    return []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _is_digest(text: str) -> bool:
    return len(text) == 64 and text.isalnum()


def _digest_of(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_HINT = "free some space, or set XDG_CACHE_HOME to a directory that has it"


def _disk_error(error: OSError, place: Path) -> DiskError:
    return DiskError(f"cannot keep test data in {place}: {error.strerror or error}", hint=_HINT)
