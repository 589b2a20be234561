"""Which files a test dir has, what they are called, and how they are opened, compressed or not.

A test file is `x.jsonl` or `x.jsonl.gz`; in a run either is `x.jsonl`.
"""

import io
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, BinaryIO

from bootcamp_cli.errors import DatasetError
from bootcamp_cli.text import listed, visible

_ROWS = ".jsonl"
_COMPRESSED = ".gz"
_SUFFIXES = (_ROWS, _ROWS + _COMPRESSED)
_CHUNK_BYTES = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A test file: `path` is where its bytes are on this machine, `shown` what messages call the place.

    `path` is None for one that was not fetched, as it is excluded by its name, which `name` is, with suffixes.
    """

    name: str
    path: Path | None
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Test data from elsewhere, with copies of its files on this machine, as a directory or a file is there anyway.

    `shown` is its URL without secrets, `place` a path with its name; `skipped` names what else a folder holds.
    """

    shown: str
    place: Path
    is_file: bool
    files: tuple[FoundFile, ...]
    skipped: tuple[str, ...] = ()


Input = Path | Fetched


def find_test_files(inputs: Sequence[Input]) -> tuple[list[FoundFile], list[str]]:
    """The test files of some inputs, each a directory or a file, and the names of what else the directories hold.

    Both are in name order. Files are directly in a directory; hidden ones do not count there, as in the shell.

    Raises:
        DatasetError: an input is neither, or holds no test file.
    """
    files: list[FoundFile] = []
    skipped: list[str] = []
    for place in inputs:
        if isinstance(place, Fetched):
            files += place.files
            skipped += place.skipped
        elif is_test_file_name(place.name) and place.is_file():
            files.append(_found(place))
        else:
            found, others = _list_directory(place)
            files += map(_found, found)
            skipped += others
    return sorted(files, key=lambda file: (_name_in_run(file.name), file.shown)), sorted(skipped)


def _found(path: Path) -> FoundFile:
    return FoundFile(name=path.name, path=path, shown=str(path))


def refuse_same_names(files: Iterable[FoundFile]) -> None:
    """Refuse test files that a run could not tell apart.

    Raises:
        DatasetError: two have the same name, be one of them compressed.
    """
    by_name: dict[str, FoundFile] = {}
    for file in files:
        name = _name_in_run(file.name)
        if (other := by_name.setdefault(name, file)) is not file:
            both = f"{visible(other.shown)} and {visible(file.shown)}"
            hint = "rename one of them, or leave one out"
            if other.shown == file.shown or (other.path and file.path and other.path.resolve() == file.path.resolve()):
                hint = "it is the same file: give it once"
            elif other.name != file.name:
                hint = f"leave one out, for example with --exclude {visible(file.name)}"
            raise DatasetError(f"two test files have the name {visible(name)} in a run: {both}", hint=hint)


def is_test_file_name(name: str) -> bool:
    """Whether a file of this name is a test file."""
    return name.endswith(_SUFFIXES)


def matches_name(file_name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the name of a test file, with or without `.jsonl` and `.gz`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names_of(file_name))


def test_file_name(path: Path) -> str:
    """What a test file is called in a run: `x.jsonl`, compressed or not."""
    return _name_in_run(path.name)


def _name_in_run(file_name: str) -> str:
    return file_name.removesuffix(_COMPRESSED)


test_file_name.__test__ = False  # type: ignore[attr-defined] # not a test, despite its name


def names_of(file_name: str) -> tuple[str, ...]:
    """What patterns may call a test file: `x.jsonl.gz`, `x.jsonl` or `x`."""
    plain = file_name.removesuffix(_COMPRESSED) if file_name.endswith(_SUFFIXES[1]) else file_name
    return tuple(dict.fromkeys((file_name, plain, plain.removesuffix(_ROWS))))


def is_compressed(path: Path) -> bool:
    """Whether the rows of a test file have to be unpacked."""
    return path.name.endswith(_COMPRESSED)


def open_test_file(path: Path) -> BinaryIO:
    """The rows of a test file as bytes, from the start; what reading raises about a broken one is an OSError."""
    return io.BufferedReader(Unpacked(path), _CHUNK_BYTES) if is_compressed(path) else path.open("rb")


class Unpacked(io.RawIOBase):
    """The contents of a gzip file, read from front to back; the file itself is open only while it is read.

    A run reads all of its test files side by side, and there may be more of them than a process may open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._packed = b""
        self._engine = zlib.decompressobj(_GZIP)
        self._is_within = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as the next piece goes; 0 at the end.

        Raises:
            OSError: the file cannot be read, is cut off, or is not a gzip file.
        """
        while True:
            if not self._is_within and not self._begin_member():
                return 0
            try:
                piece = self._engine.decompress(self._packed, len(buffer))
            except zlib.error as error:
                raise BadGzipFile(f"not a whole gzip file ({error})") from None
            self._packed = self._engine.unconsumed_tail
            if self._engine.eof:
                self._is_within, self._packed = False, self._engine.unused_data
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if self._is_within and not self._packed and not self._read_on():
                raise BadGzipFile("the gzip file is cut off")

    def _begin_member(self) -> bool:
        """Go to the next member of the file, past the padding before it; False at the end."""
        while not (packed := self._packed.lstrip(b"\0")):
            if not self._read_on():
                if not self._offset:
                    raise BadGzipFile("not a gzip file, it is empty")
                return False
        self._packed, self._engine, self._is_within = packed, zlib.decompressobj(_GZIP), True
        return True

    def _read_on(self) -> bool:
        """Read the next piece of the file; False at its end."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._offset)
            self._packed = file.read(_CHUNK_BYTES)
        self._offset += len(self._packed)
        return bool(self._packed)


def _list_directory(directory: Path) -> tuple[list[Path], list[str]]:
    """The test files of a directory, and the names of its other entries."""
    shown = visible(str(directory))
    try:
        with os.scandir(directory) as entries:
            found: Mapping[str, bool] = {entry.name: _is_test_file(entry) for entry in entries}
    except FileNotFoundError:
        raise DatasetError(f"test dir {shown} does not exist") from None
    except NotADirectoryError:
        raise _no_directory(directory) from None
    except OSError as error:
        raise DatasetError(f"test dir {shown} cannot be read: {error.strerror or error}") from error
    skipped = sorted(name for name, is_test_file in found.items() if not is_test_file)
    if len(skipped) == len(found):
        raise no_test_file(shown, skipped)
    return [directory / name for name, is_test_file in found.items() if is_test_file], skipped


def no_test_file(shown: str, skipped: Sequence[str]) -> DatasetError:
    """A directory or folder, as messages show it, that holds nothing but these names."""
    others = f": only {listed([*map(visible, skipped)], 3)}" if skipped else ", it is empty"
    hint = "test files end in .jsonl or .jsonl.gz and are directly in the directory"
    return DatasetError(f"test dir {shown} holds no test file{others}", hint=hint)


def _no_directory(path: Path) -> DatasetError:
    """A file that is not a test file, or something that cannot be read twice."""
    shown = visible(str(path))
    if _holds_array(path):
        return DatasetError(
            f"test dir {shown} is not a directory, but a file with a JSON array",
            hint="write one row per line into a file whose name ends in .jsonl (jq -c '.[]' FILE > FILE.jsonl)",
        )
    return DatasetError(
        f"test dir {shown} is not a directory, nor a file whose name ends in .jsonl or .jsonl.gz",
        hint="give such a file, or the directory that holds it; --include NAME selects one file",
    )


def _holds_array(path: Path) -> bool:
    """Whether something is a file that begins as a JSON array does."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(64).lstrip().startswith(b"[")
    except OSError:
        pass
    return False


def _is_test_file(entry: os.DirEntry[str]) -> bool:
    if not is_test_file_name(entry.name) or entry.name.startswith("."):
        return False
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True  # unreadable: the scan reports it
