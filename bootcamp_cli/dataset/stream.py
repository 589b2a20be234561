"""Test file -> samples, lazily: the second pass, after the scan found everything in order."""

from collections.abc import Callable, Iterator
from itertools import chain

from bootcamp_cli.dataset.rows import InvalidRowError, LineReader, Row, parse_known_row, parse_row
from bootcamp_cli.dataset.scan import TestFile
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.text import visible
from bootcamp_cli.types import Sample

_BATCH_BYTES = 64 * 1024


def iter_samples(
    test_file: TestFile, *, n_repeats: int = 1, skip: Callable[[int, int], bool] | None = None
) -> Iterator[Sample]:
    """The samples of the selected rows in order of row, then repeat, never more than a few rows in memory.

    Samples for which `skip(row, repeat)` is true are left out, and rows without any other are not parsed; rows that the
    scan left out stay out, silently. Rows appended since the scan are not read.

    Raises:
        DatasetError: the file cannot be read, or its content is not what was scanned (noticed at once if it became
            shorter, else after the last sample).
    """
    shown = visible(test_file.name)
    repeats = range(n_repeats)
    selected = {data_source for data_source, _ in test_file.data_sources}
    try:
        with test_file.path.open("rb") as file:
            if file.seek(0, 2) < test_file.span_bytes:
                raise _changed(shown)
            file.seek(0)
            reader = LineReader(file, n_bytes=test_file.span_bytes)
            parse = parse_row if test_file.n_invalid else parse_known_row
            for row, line in enumerate(chain.from_iterable(reader.batches(_BATCH_BYTES))):
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
            if reader.digest() != test_file.span_digest:
                raise _changed(shown)
    except OSError as error:
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
    )


def _changed(shown: str) -> DatasetError:
    hint = "restore the file, or start a new run"
    return DatasetError(f"test file {shown} changed while the run was reading it", hint=hint)
