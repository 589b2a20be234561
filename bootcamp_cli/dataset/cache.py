"""Copies of remote test files on this machine, which runs share and nobody has to tidy.

    ROOT/files/DIGEST/x.jsonl   a copy, below the SHA-256 of its bytes: what a run reads never changes under it
    ROOT/files/DIGEST/.lock     locked (shared) by whoever reads the copy; its time is that of the last use
    ROOT/urls/KEY.json          which copy the file at a URL was last, and by what the server told that version

A copy is taken again only where the server still has the version of which it was made, and its digest is right. What
nobody uses is removed after 30 days, and before that, the longest unused first, while the copies take more than 20 GiB.
Where the file system has no locks, nothing is removed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bootcamp_cli.errors import DiskError

MAX_BYTES = 20 * 2**30
MAX_UNUSED_S = 30 * 24 * 3600.0

_LOCK = ".lock"
_PREFIX = ".tmp-"
_MAX_WRITTEN_S = 24 * 3600.0
"""A file that has been written to for longer than this belongs to a process that was killed."""

_CHUNK_BYTES = 2**20

Version = Mapping[str, Any]
"""What a server tells of a version of a file: size and ETag, or size and time of the last change."""


class Hold:
    """Keeps a copy from being removed for as long as this object lasts."""

    def __init__(self, descriptor: int) -> None:
        self._close = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Let go at once."""
        self._close()


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFile:
    """A copy that is kept while `hold` lasts."""

    path: Path
    hold: Hold


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

    def find(self, url: str, name: str, version: Version) -> CachedFile | None:
        """The copy of a file at a URL, if it is of this version and whole."""
        try:
            entry = json.loads(self._entry(url).read_bytes())
            digest, before = str(entry["digest"]), entry["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        path = self._files / digest / name
        if before != dict(version) or not _is_digest(digest) or not path.is_file():
            return None
        try:
            hold = self._hold(digest)
            if _digest_of(path) == digest:
                return CachedFile(path=path, hold=hold)
        except OSError:
            return None
        hold.release()
        return None

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A temporary file for the bytes of a copy, which is removed unless it is kept.

        Raises:
            DiskError: it cannot be made.
        """
        try:
            for folder in (self._root, self._files, self._urls):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._root, delete=False)  # noqa: SIM115 - below
        except OSError as error:
            raise _disk_error(error, self._root) from error
        try:
            with file:
                yield Incoming(file.file)  # type: ignore[arg-type] # a BufferedRandom
        finally:
            Path(file.name).unlink(missing_ok=True)

    def keep(self, incoming: Incoming, url: str, name: str, version: Version) -> CachedFile:
        """Make a copy of what came in, and remember of which version it is.

        Raises:
            DiskError: the disk is full, or fails.
        """
        digest = incoming.digest
        path = self._files / digest / name
        try:
            incoming.file.flush()
            hold = self._hold(digest)
            Path(incoming.file.name).replace(path)
            entry = tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._urls, delete=False)  # noqa: SIM115 - below
            with entry:
                entry.write(json.dumps({"digest": digest, "version": dict(version)}).encode())
            Path(entry.name).replace(self._entry(url))
        except OSError as error:
            raise _disk_error(error, self._root) from error
        return CachedFile(path=path, hold=hold)

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
        """Remove what nobody uses: see above. What cannot be removed stays."""
        now = time.time() if now is None else now
        copies = []
        with suppress(OSError):
            for folder in self._files.iterdir():
                with suppress(OSError):
                    copies.append(((folder / _LOCK).stat().st_mtime, _size(folder), folder))
        n_bytes = sum(size for _, size, _ in copies)
        for used, size, folder in sorted(copies):
            if (n_bytes > max_bytes or now - used > MAX_UNUSED_S) and _remove_unused(folder):
                n_bytes -= size
        with suppress(OSError):
            for entry in self._urls.iterdir():
                with suppress(OSError, ValueError, KeyError, TypeError):
                    is_old = now - entry.stat().st_mtime > MAX_UNUSED_S
                    if is_old or not (self._files / json.loads(entry.read_bytes())["digest"]).exists():
                        entry.unlink()
        for folder in (self._root, self._urls):
            with suppress(OSError):
                for left in folder.glob(f"{_PREFIX}*"):
                    if now - left.stat().st_mtime > _MAX_WRITTEN_S:
                        left.unlink()

    def _entry(self, url: str) -> Path:
        return self._urls / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def _hold(self, digest: str) -> Hold:
        """Keep the folder of a copy, which is made if need be, from being removed, and note that it is used."""
        folder = self._files / digest
        while True:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # removed at this very moment
                continue
            try:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
                os.utime(descriptor)
                if _is_at(folder / _LOCK, descriptor):
                    return Hold(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_unused(folder: Path) -> bool:
    """Remove a copy unless somebody holds it; whether it is gone."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == _LOCK):  # the lock last
            path.unlink()
        folder.rmdir()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _is_digest(text: str) -> bool:
    return len(text) == 64 and text.isalnum()


def _digest_of(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()


_HINT = "free some space, or set XDG_CACHE_HOME to a directory that has it"


def _disk_error(error: OSError, place: Path) -> DiskError:
    return DiskError(f"cannot keep test data in {place}: {error.strerror or error}", hint=_HINT)
