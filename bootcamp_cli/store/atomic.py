"""Replacing a file so that a reader, or a restart after a crash, sees the old or the new content, never a part."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bootcamp_cli.errors import disk_error

_PREFIX = ".tmp-"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place, synced to disk, when the block ends without error.

    Raises:
        DiskError: the file cannot be written; `path` is then unchanged.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, f"write {path}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of a process that was killed while replacing; its lock must be held."""
    try:
        for path in directory.glob(f"{_PREFIX}*"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, f"tidy {directory}") from error


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically."""
    with replacing(path) as file:
        file.write(content)


def replace_json(path: Path, value: Any) -> None:
    """Replace `path` by an indented JSON document, non-ASCII text as it is."""
    try:
        content = json.dumps(value, ensure_ascii=False, indent=2).encode()
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 cannot hold
        content = json.dumps(value, indent=2).encode("ascii")
    replace_bytes(path, content + b"\n")


def sync_directory(directory: Path) -> None:
    """Make a rename or a new name in `directory` survive a power cut; silently nothing where the system cannot."""
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
    """The process's umask, read once: reading it means setting it, which no other thread should see twice."""
    if not _UMASK:
        current = os.umask(0o022)
        os.umask(current)
        _UMASK.append(current)
    return _UMASK[0]
