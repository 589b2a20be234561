"""Digests that tell whether a test file is the one of an earlier run, or that file with rows appended."""

import hashlib
from pathlib import Path

from bootcamp_cli.errors import DatasetError
from bootcamp_cli.visible import visible

_CHUNK_BYTES = 2**20


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of the whole file.

    Raises:
        DatasetError: where the file cannot be read.
    """
    return _digest(path, None)


def digest_of_prefix(path: Path, n_bytes: int) -> str:
    """The SHA-256 (hex) of the first `n_bytes` bytes: equal to an earlier file's digest where rows were only appended.

    Raises:
        DatasetError: where the file cannot be read or is shorter than that.
    """
    return _digest(path, n_bytes)


def _digest(path: Path, n_bytes: int | None) -> str:
    sha256 = hashlib.sha256()
    left = n_bytes
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES)):
                sha256.update(chunk)
                left = None if left is None else left - len(chunk)
    except OSError as error:
        raise DatasetError(f"cannot read {visible(str(path))}: {error.strerror or error}") from error
    if left:
        raise DatasetError(f"{visible(str(path))} is shorter than {n_bytes} bytes")
    return sha256.hexdigest()
