"""What the lines of a test file add up to: its rows, counted, and what is wrong with it.

A file is taken in stretches of lines, one after another, or each by a tally of its own that is added to the last.
"""

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from bootcamp_cli.dataset.draw import Places
from bootcamp_cli.dataset.files import matches_name
from bootcamp_cli.dataset.rows import ChatRow, InvalidRowError, Row, is_scalar, lines_of, parse_heads, parse_row
from bootcamp_cli.text import visible
from bootcamp_cli.types import IdRule

MAX_PROBLEMS_SHOWN = 20
"""How many problems are shown one by one; the rest are counted."""


Block = tuple[bytes, bytes]
"""Some lines as `LineReader.block` gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a test file: `line` is 1-based, `str()` is `file:line: what`."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{visible(self.file)}:{self.line}: {self.what}"


@dataclass(slots=True)
class FileSelection:
    """The rows of one test file that the patterns select.

    A row is selected where its file's name (with or without `.jsonl`) or its data source matches an `include` pattern,
    or there is none, and neither matches an `exclude` pattern. Patterns are case-sensitive shell globs. `known` has
    every data source asked about.
    """

    file: str
    include: Sequence[str]
    exclude: Sequence[str]
    known: dict[str, bool] = field(default_factory=dict)

    @property
    def is_included(self) -> bool:
        """Whether all rows are selected that no `exclude` pattern matches."""
        return not self.include or matches_name(self.file, self.include)

    def selects(self, data_source: str) -> bool:
        """Whether rows of this data source are selected."""
        known = self.known.get(data_source)
        if known is None:
            wanted = self.is_included or _matches(data_source, self.include)
            known = self.known[data_source] = wanted and not _matches(data_source, self.exclude)
        return known


def _matches(data_source: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(data_source, pattern) for pattern in patterns)


@dataclass(slots=True)
class OwnIds:
    """Takes the `id` of every row of a file and tells in the end whether they can serve as ids.

    They can if every row has one, all are scalars of one type (string, integer, float, boolean), and no two are the
    same. It keeps an 8-byte hash per row, not the ids: a file of a million rows costs 8 MB. The chance of mistaking two
    different ids for the same is 1 in 37 million, and then the rows are merely numbered.
    """

    kind: type | None = None
    usable: bool = True
    hashes: "array[int]" = field(default_factory=lambda: array("Q"))

    def take(self, ids: Iterable[Any]) -> None:
        """Take what the next rows have as `id`; None where one has none."""
        for own_id in ids if self.usable else ():
            self.kind = self.kind or type(own_id)
            if type(own_id) is not self.kind or not is_scalar(own_id):
                self._give_up()
                return
            content = own_id if isinstance(own_id, str) else repr(own_id)
            self.hashes.append(int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big"))

    def extend(self, following: "OwnIds") -> None:
        """Take what others took of the rows that follow."""
        self.kind = self.kind or following.kind
        if not (self.usable and following.usable) or following.kind not in (None, self.kind):
            self._give_up()
        else:
            self.hashes.extend(following.hashes)

    def rule(self) -> IdRule:
        """`own` where the ids seen can serve, else `row`."""
        if not self.usable or not self.hashes:
            return "row"
        return "row" if any(a == b for a, b in pairwise(sorted(self.hashes))) else "own"

    def _give_up(self) -> None:
        self.usable = False
        self.hashes = array("Q")


@dataclass(slots=True, kw_only=True)
class Tally:
    """What lines of a test file add up to, from line `first` (counted from 0) on.

    `counts` has the selected rows by data source, in order of first appearance, `in_shard` those of them that are on a
    line in `shard_rows`, `places` where they are, if it is wanted. Blank lines are a problem only where a row follows:
    `n_blank` of the `n_lines`, at their end, are none so far. `problems` are the first MAX_PROBLEMS_SHOWN of
    `n_problems`.
    """

    selection: FileSelection
    first: int = 0
    shard_rows: range | None = None
    places: Places | None = None
    n_lines: int = 0
    n_blank: int = 0
    n_rows: int = 0
    n_chats: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    in_shard: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    n_problems: int = 0
    ids: OwnIds = field(default_factory=OwnIds)

    def take(self, lines: Sequence[bytes], *, limit: int | None = None) -> None:
        """Take the next lines; rows count as selected until there are `limit`, which none of several may exceed."""
        heads = parse_heads(lines)
        if heads is not None:
            self._end_blank()
            self._take_rows(heads, limit)
            self.n_lines += len(lines)
            return
        for line in lines:
            if not line or line.isspace():
                self.n_blank += 1
            else:
                self._end_blank()
                try:
                    row = parse_row(line)
                except InvalidRowError as error:
                    self.add_problem(self.first + self.n_lines + 1, str(error))
                else:
                    self._take_rows([row], limit, is_chat=isinstance(row, ChatRow))
            self.n_lines += 1

    def add(self, following: "Tally") -> None:
        """Add what the lines add up to that follow these."""
        if following.n_blank == following.n_lines:
            self.n_blank += following.n_blank
        else:
            self._end_blank()
            self.n_blank = following.n_blank
        self.n_lines += following.n_lines
        self.n_rows += following.n_rows
        self.n_chats += following.n_chats
        for counts, others in ((self.counts, following.counts), (self.in_shard, following.in_shard)):
            for data_source, n in others.items():
                counts[data_source] = counts.get(data_source, 0) + n
        self.selection.known.update(following.selection.known)
        if self.places is not None and following.places is not None:
            self.places.extend(following.places)
        self.problems += following.problems[: MAX_PROBLEMS_SHOWN - len(self.problems)]
        self.n_problems += following.n_problems
        self.ids.extend(following.ids)

    def following(self, first: int) -> "Tally":
        """An empty tally for lines of the same file from line `first` on."""
        return Tally(
            selection=replace(self.selection, known={}),
            first=first,
            shard_rows=self.shard_rows,
            places=None if self.places is None else Places(),
        )

    def add_problem(self, line: int, what: str) -> None:
        """Count what is wrong with a line, counted from 1."""
        if len(self.problems) < MAX_PROBLEMS_SHOWN:
            self.problems.append(Problem(file=self.selection.file, line=line, what=what))
        self.n_problems += 1

    def _end_blank(self) -> None:
        """Count the blank lines at the end as problems: a row, or what should be one, follows."""
        end = self.first + self.n_lines
        for line in range(end - self.n_blank, end):
            self.add_problem(line + 1, "blank line")
        self.n_blank = 0

    def _take_rows(self, rows: Sequence[Row], limit: int | None, *, is_chat: bool = False) -> None:
        """Take the rows of the next lines."""
        self.ids.take([row.id for row in rows])
        if limit is not None and self.n_rows >= limit:
            return
        counts = Counter([row.data_source for row in rows]) if len(rows) > 1 else {rows[0].data_source: 1}
        for data_source, n in counts.items():
            if self.selection.selects(data_source):
                self.counts[data_source] = self.counts.get(data_source, 0) + n
                self.n_rows += n
                self.n_chats += n * is_chat
        if self.places is None and self.shard_rows is None:
            return
        for line, row in enumerate(rows, start=self.first + self.n_lines):
            if self.selection.selects(row.data_source):
                if self.places is not None:
                    self.places.add(line, row.data_source, is_chat=is_chat)
                if self.shard_rows is not None and line in self.shard_rows:
                    self.in_shard[row.data_source] = self.in_shard.get(row.data_source, 0) + 1


def main() -> None:
    """Tally block after block for another process, as they come, until that is through."""
    import pickle  # noqa: PLC0415 - nobody else needs it

    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError):
        while True:
            tally, blocks = pickle.load(requests)  # noqa: S301 - of the process that started this one
            for block in blocks:
                tally.take(lines_of(*block))
            pickle.dump(tally, replies)
            replies.flush()
