"""Questions drawn: a few of a test file's rows, spread evenly over it, always the same for the same seed.

The rows that a run would take are put into a circle, the last beside the first, and cut into as many arcs of
neighbouring rows as questions are wanted; one row is drawn from each arc. Arcs differ by a row where the numbers do not
divide, and a row of a shorter one is more likely to be drawn: so the place of the first cut is drawn as well, and each
row has the same chance. Any stretch of the file gets its share, give or take two rows.

What is drawn depends on the seed, the file's name and the number of its rows: not on other files, nor on their order.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How many questions are drawn from each file, by which seed."""

    n: int
    seed: int

    def positions(self, file_name: str, n_rows: int) -> "array[int]":
        """Positions among `n_rows` rows of a file, ascending and all different; all of them where no more are wanted.

        Takes about a microsecond and 8 bytes for each.
        """
        if self.n >= n_rows:
            return array("q", range(n_rows))
        start = self._number(file_name, "start", n_rows)
        drawn = (
            (start + first + self._number(file_name, arc, end - first)) % n_rows
            for arc, (first, end) in enumerate(_arcs(n_rows, self.n))
        )
        return array("q", sorted(drawn))

    def _number(self, file_name: str, about: int | str, n: int) -> int:
        """A number below `n`, the same on every machine."""
        subject = f"{self.seed} {about} {file_name}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(subject, digest_size=8).digest(), "big") * n >> 64


def _arcs(n_rows: int, n: int) -> Iterator[tuple[int, int]]:
    return ((arc * n_rows // n, (arc + 1) * n_rows // n) for arc in range(n))


@dataclass(slots=True)
class Places:
    """Where the rows are that a run would take, as stretches of neighbouring lines that are alike.

    A file of one data source without gaps is a single stretch, however long; at worst a row takes 24 bytes. Two rows
    are alike that have the same data source and the same form of prompt.
    """

    n_rows: int = 0
    _firsts: "array[int]" = field(default_factory=lambda: array("q"))
    _lines: "array[int]" = field(default_factory=lambda: array("q"))
    _kinds: "array[int]" = field(default_factory=lambda: array("q"))
    _numbers: dict[tuple[str, bool], int] = field(default_factory=dict)
    _next: tuple[int, tuple[str, bool]] | None = None

    def add(self, line: int, data_source: str, *, is_chat: bool, n: int = 1) -> None:
        """Take the next row, which stands on this line, counted from 0, or `n` rows on neighbouring lines."""
        kind = data_source, is_chat
        if self._next != (line, kind):
            self._firsts.append(self.n_rows)
            self._lines.append(line)
            self._kinds.append(self._numbers.setdefault(kind, len(self._numbers)))
        self._next = line + n, kind
        self.n_rows += n

    def extend(self, following: "Places") -> None:
        """Take the rows that others took of the lines that follow."""
        for line, n, data_source, is_chat in following.stretches():
            self.add(line, data_source, is_chat=is_chat, n=n)

    def stretches(self) -> Iterator[tuple[int, int, str, bool]]:
        """First line, number of rows, data source and whether they are chats, of each stretch."""
        kinds = list(self._numbers)
        ends = [*self._firsts, self.n_rows][1:]
        for first, end, line, kind in zip(self._firsts, ends, self._lines, self._kinds, strict=True):
            yield line, end - first, *kinds[kind]

    def at(self, positions: Iterable[int]) -> Iterator[tuple[int, str, bool]]:
        """Line, data source and whether it is a chat, of the rows at these positions."""
        kinds = list(self._numbers)
        for position in positions:
            stretch = bisect_right(self._firsts, position) - 1
            yield self._lines[stretch] + position - self._firsts[stretch], *kinds[self._kinds[stretch]]
