"""One pass over one test file: every row checked, the selected ones counted, the bytes hashed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bootcamp_cli.dataset.ids import OwnIds
from bootcamp_cli.dataset.lines import LineReader
from bootcamp_cli.dataset.rows import InvalidRowError, Row, parse_heads, parse_row
from bootcamp_cli.dataset.selection import FileSelection
from bootcamp_cli.dataset.testset import Problem, TestFile

MAX_PROBLEMS_KEPT = 20
"""Problems shown one by one; the rest is counted."""

_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScan:
    """The findings of one test file.

    `test_file` is None where no row is selected. `problems` are the first MAX_PROBLEMS_KEPT of `n_problems`.
    """

    test_file: TestFile | None
    is_readable: bool
    problems: tuple[Problem, ...]
    n_problems: int


def scan_file(path: Path, selection: FileSelection, *, limit: int | None) -> FileScan:
    """Read a test file once, row by row. What is wrong with it is part of the result, not an exception."""
    problems = _Problems(path.name)
    try:
        test_file = _read(path, selection, limit, problems)
    except OSError as error:
        problems.add(1, f"cannot be read: {error.strerror or error}")
        return FileScan(test_file=None, is_readable=False, problems=tuple(problems.first), n_problems=problems.n)
    return FileScan(test_file=test_file, is_readable=True, problems=tuple(problems.first), n_problems=problems.n)


class _Problems:
    """The problems of one file: the first of them, and their number."""

    def __init__(self, file: str) -> None:
        self.first: list[Problem] = []
        self.n = 0
        self._file = file

    def add(self, line: int, what: str) -> None:
        if len(self.first) < MAX_PROBLEMS_KEPT:
            self.first.append(Problem(file=self._file, line=line, what=what))
        self.n += 1

    def add_blank(self, last_line: int, n_blank: int) -> None:
        """Add the blank lines that end with `last_line`."""
        for line in range(last_line - n_blank + 1, last_line + 1):
            self.add(line, "blank line")


def _read(path: Path, selection: FileSelection, limit: int | None, problems: _Problems) -> TestFile | None:
    ids = OwnIds()
    counts: dict[str, int] = {}
    n_rows = 0
    span: tuple[str, int] | None = None
    with path.open("rb") as file:
        reader = LineReader(file)
        for row in _rows(reader, problems, n_bytes=_BATCH_BYTES if limit is None else 1):
            ids.add(row.own_id)
            if selection.selects(row.data_source) and (limit is None or n_rows < limit):
                n_rows += 1
                counts[row.data_source] = counts.get(row.data_source, 0) + 1
                if n_rows == limit:
                    span = reader.digest(), reader.n_read
    if n_rows == 0:
        return None
    span_digest, span_bytes = span or (reader.digest(), reader.n_read)
    return TestFile(
        name=path.name,
        path=path,
        digest=reader.digest(),
        size_bytes=reader.n_read,
        span_digest=span_digest,
        span_bytes=span_bytes,
        n_rows=n_rows,
        data_sources=tuple(counts.items()),
        id_rule=ids.rule(),
        n_invalid=problems.n,
    )


def _rows(reader: LineReader, problems: _Problems, *, n_bytes: int) -> Iterator[Row]:
    """The valid rows, read `n_bytes` at a time. Blank lines are a problem only where a row follows."""
    n_lines = n_blank = 0
    for lines in reader.batches(n_bytes):
        if (heads := parse_heads(lines)) is not None:
            problems.add_blank(n_lines, n_blank)
            n_blank = 0
            n_lines += len(lines)
            yield from heads
            continue
        for line in lines:
            n_lines += 1
            if not line or line.isspace():
                n_blank += 1
                continue
            problems.add_blank(n_lines - 1, n_blank)
            n_blank = 0
            try:
                row = parse_row(line)
            except InvalidRowError as error:
                problems.add(n_lines, str(error))
            else:
                yield row
    if n_lines == n_blank:
        problems.add(1, "the file is empty" if n_lines == 0 else "the file holds nothing but blank lines")
