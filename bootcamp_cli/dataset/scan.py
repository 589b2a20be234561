"""Test dir -> test set: every row of every file is checked, counted and hashed before the first request.

The digests later tell whether a test file is the same as in an earlier run, or that file with rows appended.
"""

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bootcamp_cli.dataset.draw import Draw, Places
from bootcamp_cli.dataset.files import (
    Fetched,
    Input,
    find_test_files,
    is_compressed,
    matches_name,
    open_test_file,
    refuse_same_names,
    test_file_name,
)
from bootcamp_cli.dataset.rows import LineReader, array_over_lines
from bootcamp_cli.dataset.tally import MAX_PROBLEMS_SHOWN, FileSelection, Problem, Tally
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.text import counted, listed, visible
from bootcamp_cli.types import IdRule, Shard

if TYPE_CHECKING:
    from bootcamp_cli.dataset.checkers import Checkers

_BATCH_BYTES = 256 * 1024
_MANY_BYTES = 100_000_000
"""What is smaller has been checked by the time that other processes have started."""
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """One test file with at least one selected row.

    `name` is what the run calls it: of `x.jsonl.gz` it is `x.jsonl`, and sizes and digests are those of its contents.
    `digest` is the SHA-256 (hex) of the whole file of `size_bytes`; `span_digest` that of its first `span_bytes`, which
    hold all selected rows (the whole file, or up to the last row that `limit` lets in). `n_rows` counts the selected
    rows, `data_sources` holds their data sources with row counts in order of first appearance, `n_invalid` counts
    the rows that `skip_invalid` leaves out, `n_chats` the selected rows whose prompt is a list of messages. Where rows
    were drawn, these are the selected ones: `drawn` holds their line numbers from 0, ascending, `n_drawn_from` counts
    the rows that they were drawn from. Of these all, a shard takes the lines in `shard_rows`: `in_shard` are their data
    sources with row counts.
    """

    __test__ = False  # not a pytest class, despite its name

    name: str
    path: Path
    digest: str
    size_bytes: int
    span_digest: str
    span_bytes: int
    n_rows: int
    data_sources: tuple[tuple[str, int], ...]
    id_rule: IdRule
    n_invalid: int
    n_chats: int = 0
    drawn: "array[int] | None" = field(default=None, hash=False)
    n_drawn_from: int | None = None
    shard_rows: range | None = None
    in_shard: tuple[tuple[str, int], ...] | None = None

    @property
    def taken(self) -> tuple[tuple[str, int], ...]:
        """The data sources of the rows that are taken: those of the shard, or of all selected ones."""
        return self.data_sources if self.in_shard is None else self.in_shard

    @property
    def n_taken(self) -> int:
        """The number of rows that are taken."""
        return sum(n for _, n in self.taken)

    @property
    def is_compressed(self) -> bool:
        """Whether the file is a gzip file."""
        return is_compressed(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """The selected part of a test dir.

    `inputs` are the directories and files that were given. `files` are in name order; `skipped` names the entries of
    the directories that are not test files; `problems` are the first of the `n_problems` that `skip_invalid` tolerated.
    `warnings` are one line each, ready to print.
    """

    __test__ = False  # not a pytest class, despite its name

    inputs: tuple[Input, ...]
    files: tuple[TestFile, ...]
    skipped: tuple[str, ...]
    n_rows: int
    problems: tuple[Problem, ...]
    n_problems: int
    warnings: tuple[str, ...]


def scan_test_dir(
    *inputs: Input,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
    skip_invalid: bool = False,
    draw: Draw | None = None,
    shard: Shard | None = None,
    sizes: Mapping[str, int] | None = None,
    check: Callable[[], object] = lambda: None,
) -> TestSet:
    """Read every `*.jsonl` and `*.jsonl.gz` file, in name order, and check every row.

    Each of the `inputs` is such a file, or a directory that has some directly in it, or was fetched from elsewhere.
    `include` and `exclude` are shell globs on test file name (with or without `.jsonl`, `.gz`) or data source; `limit`
    admits only the first selected rows of each file; `skip_invalid` leaves out bad rows instead of refusing them;
    `draw` takes some of the rows that all these let in, and `shard` its part of those: a file may have none. A file
    that is excluded by name is not read, and problems in a file that `include` does not select are ignored. Of a file
    that has an entry in `sizes` only that many bytes are read: what was appended since does not exist for the scan.
    Compressed files are always read to their end. `check` is called before anything is read, again and again; what it
    raises ends the scan.

    Raises:
        DatasetError: something cannot be used; `problems` has the first 20 as `file:line: what`.
    """
    found, skipped = find_test_files(inputs)
    selected = [file for file in found if not matches_name(file.name, exclude)]
    refuse_same_names(selected)
    paths = [file.path for file in selected if file.path is not None]
    scans: list[_FileScan] = []
    data_sources: set[str] = set()
    with _others(paths if limit is None else ()) as others:
        for path in paths:
            selection = FileSelection(path.name, include, exclude)
            tally = Tally(
                selection=selection,
                shard_rows=None if shard is None else shard.rows(test_file_name(path)),
                places=None if draw is None else Places(),
            )
            n_bytes = sizes.get(path.name) if sizes and not is_compressed(path) else None
            reader = LineReader(n_bytes=n_bytes, check=check)
            scan = _scan_file(path, reader, tally, others, limit=limit, draw=draw)
            data_sources.update(selection.known)
            scans.append(scan if scan.test_file or selection.is_included else _without_problems(scan))
    n_problems = sum(scan.n_problems for scan in scans)
    if n_problems and not (skip_invalid and all(scan.is_readable for scan in scans)):
        raise _refusal(inputs, scans, skip_invalid=skip_invalid)
    files = tuple(scan.test_file for scan in scans if scan.test_file)
    if not files:
        raise _nothing_selected(inputs, include, exclude, limit=limit, n_problems=n_problems)
    names = [file.name for file in found]
    return TestSet(
        inputs=inputs,
        files=files,
        skipped=tuple(skipped),
        n_rows=sum(file.n_rows for file in files),
        problems=_first_problems(scans),
        n_problems=n_problems,
        warnings=(
            *_idle_warnings("--include", include, names, data_sources),
            *_idle_warnings("--exclude", exclude, names, data_sources),
            *(_invalid_warning(scan) for scan in scans if scan.problems),
        ),
    )


def _others(paths: Sequence[Path]) -> "AbstractContextManager[Checkers | None]":
    """What checks these files on all cores, where they are large enough for that."""
    n_bytes = 0
    with suppress(OSError):  # told when the file is read
        n_bytes = sum(path.stat().st_size for path in paths)
    if n_bytes <= _MANY_BYTES:
        return nullcontext()
    from bootcamp_cli.dataset.checkers import checkers  # noqa: PLC0415 - only where it is needed

    return checkers()


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileScan:
    """The findings of one test file.

    `test_file` is None where no row is selected. `problems` are the first MAX_PROBLEMS_SHOWN of `n_problems`.
    """

    test_file: TestFile | None
    is_readable: bool
    problems: tuple[Problem, ...]
    n_problems: int


def _scan_file(
    path: Path, reader: LineReader, tally: Tally, others: "Checkers | None", *, limit: int | None, draw: Draw | None
) -> _FileScan:
    """Read a test file once, row by row. Its problems are part of the result, not an exception."""
    test_file, is_readable = None, True
    try:
        test_file = _read(path, reader, tally, others, limit=limit, draw=draw)
    except OSError as error:
        is_readable = False
        tally.add_problem(1, f"cannot be read: {error.strerror or error}")
    return _FileScan(
        test_file=test_file, is_readable=is_readable, problems=tuple(tally.problems), n_problems=tally.n_problems
    )


def _read(
    path: Path, reader: LineReader, tally: Tally, others: "Checkers | None", *, limit: int | None, draw: Draw | None
) -> TestFile | None:
    span: tuple[str, int] | None = None
    with open_test_file(path) as file:
        while lines := reader.batch(file, 1 if limit is not None and tally.n_rows < limit else _BATCH_BYTES):
            if not tally.n_lines and (what := array_over_lines(lines[0])):
                raise OSError(f"it is {what}")
            tally.take(lines, limit=limit)
            if span is None and limit == tally.n_rows:
                span = reader.digest(), reader.n_read
            if others:
                others.add(tally, iter(partial(reader.block, file, _BATCH_BYTES), (b"", b"")))
    if tally.n_lines == tally.n_blank:
        tally.add_problem(1, "the file holds nothing but blank lines" if tally.n_lines else "the file is empty")
    if tally.n_rows == 0:
        return None
    span_digest, span_bytes = span or (reader.digest(), reader.n_read)
    test_file = TestFile(
        name=test_file_name(path),
        path=path,
        digest=reader.digest(),
        size_bytes=reader.n_read,
        span_digest=span_digest,
        span_bytes=span_bytes,
        n_rows=tally.n_rows,
        data_sources=tuple(tally.counts.items()),
        id_rule=tally.ids.rule(),
        n_invalid=tally.n_problems,
        n_chats=tally.n_chats,
        shard_rows=tally.shard_rows,
        in_shard=None if tally.shard_rows is None else tuple(tally.in_shard.items()),
    )
    return test_file if draw is None or tally.places is None else _drawn(test_file, draw, tally.places)


def _drawn(test_file: TestFile, draw: Draw, places: Places) -> TestFile:
    """The test file with some of its selected rows in their place."""
    counts: dict[str, int] = {}
    in_shard: dict[str, int] = {}
    lines, n_chats, shard_rows = array("q"), 0, test_file.shard_rows
    for line, data_source, is_chat in places.at(draw.positions(test_file.name, test_file.n_rows)):
        lines.append(line)
        counts[data_source] = counts.get(data_source, 0) + 1
        n_chats += is_chat
        if shard_rows is not None and line in shard_rows:
            in_shard[data_source] = in_shard.get(data_source, 0) + 1
    return replace(
        test_file,
        n_rows=len(lines),
        data_sources=tuple(counts.items()),
        n_chats=n_chats,
        drawn=lines,
        n_drawn_from=test_file.n_rows,
        in_shard=None if shard_rows is None else tuple(in_shard.items()),
    )


def _without_problems(scan: _FileScan) -> _FileScan:
    return replace(scan, problems=(), n_problems=0, is_readable=True)


def _shown(inputs: Sequence[Input]) -> str:
    """The inputs for a message: `test dir tests`, `test file a.jsonl`, `test dirs a, b and 3 more`."""
    names = [visible(place.shown if isinstance(place, Fetched) else str(place)) for place in inputs]
    if len(inputs) > 1:
        return f"test dirs {listed(names, 3)}"
    first = inputs[0]
    is_file = first.is_file if isinstance(first, Fetched) else first.is_file()
    return f"test {'file' if is_file else 'dir'} {names[0]}"


def _refusal(inputs: Sequence[Input], scans: Sequence[_FileScan], *, skip_invalid: bool) -> DatasetError:
    if skip_invalid:
        scans = [scan for scan in scans if not scan.is_readable]
    n_problems = sum(scan.n_problems for scan in scans)
    count = counted(n_problems, "problem")
    if n_problems > MAX_PROBLEMS_SHOWN:
        count += f" (the first {MAX_PROBLEMS_SHOWN} shown)"
    return DatasetError(
        f"{_shown(inputs)} {'have' if len(inputs) > 1 else 'has'} {count}; nothing was started",
        problems=tuple(str(problem) for problem in _first_problems(scans)),
        hint="fix or --exclude the files" if skip_invalid else "fix the rows, or leave them out with --skip-invalid",
    )


def _first_problems(scans: Iterable[_FileScan]) -> tuple[Problem, ...]:
    return tuple(problem for scan in scans for problem in scan.problems)[:MAX_PROBLEMS_SHOWN]


def _nothing_selected(
    inputs: Sequence[Input], include: Sequence[str], exclude: Sequence[str], *, limit: int | None, n_problems: int
) -> DatasetError:
    options = [f"--include {visible(repr(pattern))}" for pattern in include]
    options += [f"--exclude {visible(repr(pattern))}" for pattern in exclude]
    options += [f"--limit {limit}"] if limit is not None and limit < 1 else []
    because = f" with {' '.join(options)}" if options else ""
    because += f": {counted(n_problems, 'invalid row')} left out" if n_problems else ""
    hint = "patterns are matched against test file names and data sources" if include or exclude else None
    return DatasetError(f"no row of {_shown(inputs)} is selected{because}", hint=hint)


def _idle_warnings(
    option: str, patterns: Sequence[str], file_names: Collection[str], data_sources: Collection[str]
) -> list[str]:
    return [
        f"{option} {visible(repr(pattern))} matches no test file name and no data source"
        for pattern in dict.fromkeys(patterns)
        if not any(matches_name(name, (pattern,)) for name in file_names)
        and not any(fnmatchcase(data_source, pattern) for data_source in data_sources)
    ]


def _invalid_warning(scan: _FileScan) -> str:
    first = scan.problems[0]
    if scan.test_file is None:
        return f"{visible(first.file)} is skipped, as no valid row is left: {first}"
    n_invalid = scan.test_file.n_invalid
    rows = counted(n_invalid, "invalid row") + (", the first" if n_invalid > 1 else "")
    return f"{visible(first.file)}: left out {rows}: {first}"


def digest_of_prefix(path: Path, n_bytes: int) -> str:
    """The SHA-256 (hex) of the first `n_bytes` bytes: equal to an earlier file's digest where rows were only appended.

    Raises:
        DatasetError: the file cannot be read or is shorter than that.
    """
    sha256 = hashlib.sha256()
    left = n_bytes
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(min(left, _CHUNK_BYTES)):
                sha256.update(chunk)
                left -= len(chunk)
    except OSError as error:
        raise DatasetError(f"cannot read {visible(str(path))}: {error.strerror or error}") from error
    if left:
        raise DatasetError(f"{visible(str(path))} is shorter than {n_bytes} bytes")
    return sha256.hexdigest()
