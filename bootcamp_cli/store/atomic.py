"""Replace a file so that a reader, or a restart after a crash, sees the old or the new content, never a part of it."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from bootcamp_cli.errors import DiskError, disk_error

_PREFIX = ".tmp-"

_BUFFER_BYTES = 256 * 1024
"""How much is written at once: each write lets other threads run, which cost more than it does."""

Check = Callable[[], None]
"""Raises if this process may no longer write; called once the temporary name exists, before it takes effect.

A process that takes over a run directory removes the temporary names in it. So a process that is suspended between the
check and the rename, and wakes after it was shut out, finds nothing to rename.
"""


def no_check() -> None:
    """The check for a file that only ever has one writer."""


@contextmanager
def replacing(path: Path, check: Check = no_check, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends without error.

    It is synced to disk first, unless `durable` is false: for files that a power cut may take.

    Raises:
        DiskError: the file cannot be written; `path` is then unchanged.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        with suppress(OSError):  # exFAT and mounts of buckets have permissions of their own
            temporary.chmod(0o666 & ~_umask())
        check()
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            check()
        raise disk_error(error, f"write {path}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def scratch_directory(beside: Path | None) -> Path:
    """A new directory for verifiers, which lasts no longer than they do; whoever asks for it removes it.

    It is in the system's place for temporary files; where that is missing (a read-only root without /tmp), in `beside`,
    with one of the temporary names there: before the working directory, which Python would take last.

    Raises:
        DiskError: there is no place for it.
    """
    try:
        if beside is None or Path(tempfile.gettempdir()) != Path.cwd():
            return Path(tempfile.mkdtemp(prefix="bootcamp-verify-"))
    except OSError as error:
        if beside is None:
            raise DiskError("there is no temporary directory", hint="set TMPDIR to one that can be written") from error
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=beside.absolute()))
    except OSError as error:
        raise disk_error(error, f"make a folder for verifiers in {beside}") from error


def remove_temporaries(directory: Path) -> None:
    """Remove the temporary files of a process that was killed while replacing; its lock must be held."""
    try:
        for path in directory.glob(f"{_PREFIX}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, f"tidy {directory}") from error


def replace_bytes(path: Path, content: bytes, check: Check = no_check) -> None:
    """Replace the content of `path` atomically."""
    with replacing(path, check) as file:
        file.write(content)


def replace_json(path: Path, value: Any, check: Check = no_check) -> None:
    """Replace `path` with an indented JSON document, non-ASCII text unescaped."""
    try:
        content = json.dumps(value, ensure_ascii=False, indent=2).encode()
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 cannot hold
        content = json.dumps(value, indent=2).encode("ascii")
    replace_bytes(path, content + b"\n", check)


def renew(path: Path, check: Check) -> None:
    """Replace `path` with a copy of itself: what another process writes into the file that it has open is not seen."""
    try:
        with path.open("rb") as source, replacing(path, check) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, f"copy {path}") from error


def remove(path: Path, check: Check) -> None:
    """Remove `path`, if it exists, by first renaming it into a temporary directory: see `Check`."""
    folder: Path | None = None
    try:
        if path.exists():
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
            check()
            path.rename(folder / path.name)
    except OSError as error:
        check()
        raise disk_error(error, f"remove {path}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Make a rename or a new name in `directory` survive a power cut; does nothing where the system cannot."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


_UMASK: list[int] = []


def _umask() -> int:
    """The process's umask, read once: reading it means setting it, which other threads could notice."""
    if not _UMASK:
        current = os.umask(0o022)
        os.umask(current)
        _UMASK.append(current)
    return _UMASK[0]
