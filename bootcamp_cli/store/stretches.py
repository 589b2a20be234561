"""Files that tell what went on in a run over time, a line for each stretch: for pictures of speed and slowness.

No result rests on them: what cannot be read is left out, and a power cut may take the end. Stretches begin at
multiples of their length since 1970 and are lengthened where there are too many, so that a file stays small however
long a run takes and however often it is resumed.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from bootcamp_cli.errors import DiskError
from bootcamp_cli.store.atomic import Check, no_check, replacing

Count = Annotated[int, Meta(ge=0, le=1 << 60)]

_LONGEST_S = 1 << 40


class StretchOfTime(msgspec.Struct, kw_only=True):
    """What is said of `seconds` seconds from `start` (since 1970)."""

    start: Count
    seconds: Annotated[int, Meta(ge=1, le=_LONGEST_S)]


S = TypeVar("S", bound=StretchOfTime)

Merge = Callable[[Iterable[S], int], list[S]]
"""Puts stretches together to some of one length, in the order of time."""


def read_stretches(path: Path, kind: type[S], *, max_bytes: int) -> list[S]:
    """What can be read of the beginning of a file; nothing where it is none."""
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            lines = file.read(max_bytes).splitlines()
    except OSError:
        return []
    decoder, found = msgspec.json.Decoder(kind), []
    for line in lines:
        try:
            found.append(decoder.decode(line))
        except (ValueError, RecursionError):
            continue
    return found


def longest_s(stretches: Iterable[StretchOfTime], *, least: int) -> int:
    """The length of the longest, which all can be put together to."""
    return max((stretch.seconds for stretch in stretches), default=least)


def thinned(stretches: Iterable[S], merge: Merge[S], seconds: int, *, most: int) -> list[S]:
    """The stretches put together to some of `seconds`, or of twice, four times... as much; the last ones if need be."""
    while len(merged := merge(stretches, seconds)) > most and 2 * seconds < _LONGEST_S:
        stretches, seconds = merged, 2 * seconds
    return merged[-most:]


def write_stretches(
    path: Path, stretches: Iterable[StretchOfTime], check: Check = no_check, *, durable: bool = True
) -> None:
    """Replace a file.

    Raises:
        DiskError: it cannot be written.
    """
    with replacing(path, check, durable=durable) as file:
        file.write(msgspec.json.Encoder().encode_lines(stretches))


class StretchFile:
    """A file that is written while a run goes on; where the disk refuses, it is kept for the next time."""

    def __init__(self, path: Path, check: Check) -> None:
        self._path = path
        self._check = check
        self.is_stale = False

    def save(self, stretches: Iterable[StretchOfTime]) -> None:
        """Write the stretches, if there is something new."""
        if not self.is_stale:
            return
        try:
            write_stretches(self._path, stretches, self._check, durable=False)
        except DiskError:
            return
        self.is_stale = False
