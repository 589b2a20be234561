"""Test file -> samples, lazily: the second pass, after the scan found everything in order."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from bootcamp_cli.dataset.files import open_test_file
from bootcamp_cli.dataset.rows import ChatRow, InvalidRowError, LineReader, Row, parse_known_row, parse_row
from bootcamp_cli.dataset.scan import TestFile
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.text import visible
from bootcamp_cli.types import Sample

_BATCH_BYTES = 64 * 1024


def iter_samples(
    test_file: TestFile, *, n_repeats: int = 1, skip: Callable[[int, int], bool] | None = None
) -> Iterator[Sample]:
    """The samples of the selected rows in order of row, then repeat, never more than a few rows in memory.

    Samples for which `skip(row, repeat)` is true are left out, and rows without any other are not parsed, nor are rows
    that were not drawn or are of other shards; rows that the scan left out stay out, silently. Rows appended since the
    scan are not read.

    Raises:
        DatasetError: the file cannot be read, or its content is not what was scanned (noticed with the next lines
            that are read if it became shorter, else after the last sample).
    """
    repeats = range(n_repeats)
    selected = {data_source for data_source, _ in test_file.data_sources}
    parse = parse_row if test_file.n_invalid else parse_known_row
    reader = LineReader(n_bytes=test_file.span_bytes)
    unpacked = open_test_file(test_file.path) if test_file.is_compressed else None
    n_lines = 0
    while lines := _next_lines(test_file, reader, unpacked):
        for row, line in _taken(lines, n_lines, test_file):
            owed = repeats if skip is None else [repeat for repeat in repeats if not skip(row, repeat)]
            if not owed:
                continue
            try:
                parsed = parse(line)
            except InvalidRowError:
                continue
            if parsed.data_source in selected:
                for repeat in owed:
                    yield _sample(test_file, row, repeat, parsed)
        n_lines += len(lines)
    if reader.digest() != test_file.span_digest:
        raise _changed(test_file)


def _taken(lines: list[bytes], start: int, test_file: TestFile) -> Iterable[tuple[int, bytes]]:
    """The lines that count, each with its number; `start` is that of the first."""
    drawn, shard_rows = test_file.drawn, test_file.shard_rows
    if drawn is None and shard_rows is None:
        return enumerate(lines, start=start)
    rows: Iterable[int] = range(start, start + len(lines))
    if drawn is not None:
        rows = drawn[bisect_left(drawn, start) : bisect_left(drawn, start + len(lines))]
    if shard_rows is not None:
        rows = (row for row in rows if row in shard_rows)
    return ((row, lines[row - start]) for row in rows)


def _next_lines(test_file: TestFile, reader: LineReader, unpacked: BinaryIO | None) -> list[bytes]:
    """The next batch of lines, none at the end of the span; `unpacked` are the contents of a compressed file.

    The file is open only here: a run has one stream per test file, and there may be more of these than a process may
    open files.
    """
    if reader.n_read == test_file.span_bytes:
        return []
    try:
        if unpacked is not None:
            return reader.batch(unpacked, _BATCH_BYTES)
        with test_file.path.open("rb") as file:
            if file.seek(0, 2) < test_file.span_bytes:
                raise _changed(test_file)
            file.seek(reader.n_read)
            return reader.batch(file, _BATCH_BYTES)
    except OSError as error:
        shown = visible(test_file.name)
        raise DatasetError(f"cannot read test file {shown}: {error.strerror or error}") from error


def _sample(test_file: TestFile, row: int, repeat: int, parsed: Row) -> Sample:
    return Sample(
        file=test_file.name,
        row=row,
        repeat=repeat,
        id=row if test_file.id_rule == "row" or parsed.own_id is None else parsed.own_id,
        data_source=parsed.data_source,
        prompt=parsed.prompt,
        ground_truth=parsed.ground_truth,
        messages=parsed.messages if isinstance(parsed, ChatRow) else None,
    )


def _changed(test_file: TestFile) -> DatasetError:
    hint = "restore the file, or start a new run"
    shown = visible(test_file.name)
    return DatasetError(f"test file {shown} changed while the run was reading it", hint=hint)
