"""The samples and failures of a run directory as pandas DataFrames.

Samples, one row each, in the order of file, row and repeat. The texts come only where they are named.

    file                  category   name of the test file
    row                   int64      0-based line of the question in it; else, place of the record in details
    repeat                int64      0-based number of the answer to the question
    id                    int64      the row's own id, else its number; object where not every id is an integer
    data_source           category   names the bootcamp; NaN where nothing tells it
    score                 float64    NaN without a verdict
    failure               category   why there is no score: pending, unscored, ...; NaN where there is one
    failure_message       string     what the verifier said then
    output_len            Int64      tokens; where estimated, pieces of the stream or words
    output_len_estimated  bool       the server sent no token count
    finish_reason         category   stop, length, ...
    prompt_tokens         Int64      as the server counted them
    completion_tokens     Int64      as the server counted them
    model                 category   the model's name in the reply
    attempts              Int64      requests that it took
    latency_s             float64    seconds from the last attempt's start to the end of its reply
    prompt                string     text
    output                string     text: the answer without its reasoning
    reasoning_content     string     text: the reasoning, where the server separates it
    ground_truth          string     text: JSON
    extracted_output      string     text: JSON

Failures, one row for each sample without an answer, in the same order.

    file                  category   name of the test file
    row                   int64      0-based line of the question in it
    repeat                int64      0-based number of the answer to the question
    id                    int64      the row's own id, else its number; object where not every id is an integer
    data_source           category   names the bootcamp; NaN where nothing tells it
    kind                  category   timeout, connection, http_400, ...
    last_error            string     what went wrong last
    attempts              int64      requests that were made

Text is of pandas' own `string` type, whether pyarrow is installed or not. What a record lacks, as those of the
reference script do, or has of another type, is NaN or NA.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, cast

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import UNSET, Raw, UnsetType

from bootcamp_cli.errors import UsageError
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.records import HeadLine, RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import MAX_LEN, MAX_ROW, TO_BE_VERIFIED, FailureRecord, SampleKey, decode

Dtype = Literal["category", "int64", "Int64", "float64", "bool", "string", "id"]
"""What a column holds; `id` is int64 where every value fits, else object."""

_BATCH_BYTES = 1024 * 1024


def samples_frame(run_dir: RunDir, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The answered samples; by default all columns but the texts, else those that are named, in that order.

    Of a sample with two lines, an answer that waited for its verdict and the same with it, the later one counts, as in
    the reports. 1,000,000 records take under 500 MB without the texts.

    Raises:
        UsageError: there is no such column; the message lists them.
        RunDirectoryError: a line of details is not a record, or does not belong to the run, or its sample already has a
            record; the message names it.
    """
    chosen = _chosen(columns)
    buffers = {column.name: _BUFFERS[column.dtype]() for column in chosen}
    places = _Places()
    kind = _head_of(chosen)
    details = RunDetails(run_dir)
    for path in details.files()[0]:
        for batch in _batches(path.name, details.heads(path, kind)):
            places.add(batch)
            for column in chosen:
                buffers[column.name].extend(column.values(batch))
        places.end_file()
    order = places.order()
    return pd.DataFrame(
        {name: buffer.column(order) for name, buffer in buffers.items()}, index=pd.RangeIndex(len(order)), copy=False
    )


def failures_frame(run_dir: RunDir) -> pd.DataFrame:
    """The samples that ended without an answer and have none since; of several failures of a sample the last one.

    Raises:
        RunDirectoryError: a line of failures or details is not what was written, or does not belong to the run; the
            message names it.
    """
    failures = _failures(RunDetails(run_dir))
    order = np.arange(len(failures))
    made = {}
    for name, dtype in FAILURE_COLUMNS.items():
        buffer = _BUFFERS[dtype]()
        values = [getattr(failure, name) for failure in failures]
        buffer.extend(values if name != "attempts" else [_count(value) or 0 for value in values])
        made[name] = buffer.column(order)
    return pd.DataFrame(made, index=pd.RangeIndex(len(order)), copy=False)


def sample_batches(run_dir: RunDir, columns: Sequence[str] | None = None) -> Iterator[dict[str, list[Any]]]:
    """The values of columns, by default all, in batches of about 1 MB of details; None for a missing value.

    The answered samples come as they stand in details (a finished file is in the order of row and repeat), then those
    that ended without an answer; of these `failure` is the kind and `failure_message` the last error. No sample comes
    twice, also while a run writes.

    Raises:
        UsageError: there is no such column; the message lists them.
        RunDirectoryError: a line of details or failures cannot be read or does not belong to the run.
    """
    chosen = _chosen(tuple(SAMPLE_COLUMNS) if columns is None else columns)
    kind = _head_of(chosen)
    details = RunDetails(run_dir)
    for path in details.files()[0]:
        for batch in _batches(path.name, _latest_lines(partial(details.heads, path), kind)):
            yield {column.name: list(column.values(batch)) for column in chosen}
    failures = _failures(details)
    if failures:
        yield {column.name: [_of_failure(failure, column.name) for failure in failures] for column in chosen}


def _latest_lines(lines: "_Lines", kind: type[RecordHead]) -> Iterator[HeadLine]:
    """The lines of a details file but those of answers that waited for the verdict which a later line has.

    What is written after they were looked for is left out: it may be such a verdict.
    """
    superseded: set[int] | None = None
    n_lines: int | None = None
    for line in lines(kind):
        number, _, head = line
        if superseded is None and head.row is not None and head.failure in TO_BE_VERIFIED:
            superseded, n_lines = _superseded_lines(lines)
        if n_lines is not None and number > n_lines:
            return
        if superseded is None or number not in superseded:
            yield line


def _superseded_lines(lines: "_Lines") -> tuple[set[int], int]:
    """The numbers of the lines that later ones supersede, and that of the last line."""
    superseded: set[int] = set()
    pending: dict[tuple[int, int], int] = {}
    number = 0
    for number, _, head in lines(RecordHead):
        if head.row is None:
            continue
        before = pending.pop((head.row, head.repeat), None)
        if before is not None:
            superseded.add(before)
        if head.failure in TO_BE_VERIFIED:
            pending[head.row, head.repeat] = number
    return superseded, number


def _failures(details: RunDetails) -> list[FailureRecord]:
    """The last failure of each sample that has no answer since, in the order of file, row and repeat."""
    last = {failure.key: failure for failure in details.failures()}
    if last:
        for path in details.files()[0]:
            for _, _, head in details.heads(path):
                if head.row is not None:
                    last.pop(SampleKey(path.name, head.row, head.repeat), None)
    return [last[key] for key in sorted(last)]


def _of_failure(failure: FailureRecord, column: str) -> Any:
    """The value of a column of samples for a sample without an answer."""
    match column:
        case "failure":
            return failure.kind
        case "failure_message":
            return failure.last_error
        case "output_len_estimated":
            return False
        case "attempts":
            return _count(failure.attempts)
        case _:
            return getattr(failure, column, None)


def _chosen(names: Sequence[str] | None) -> "list[Column]":
    if names is None:
        return [column for column in SAMPLE_COLUMNS.values() if not column.is_text]
    named = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    if unknown := [name for name in named if name not in SAMPLE_COLUMNS]:
        raise UsageError(
            f"samples have no column {', '.join(map(repr, unknown))}",
            hint=f"the columns are {', '.join(SAMPLE_COLUMNS)}",
        )
    return [SAMPLE_COLUMNS[name] for name in named]


def _head_of(columns: "Iterable[Column]") -> type[RecordHead]:
    """What is decoded of a record: what counts in any case, and the keys that the columns need beyond that."""
    further = {key: type_ for column in columns for key, type_ in column.reads.items()}
    if not further:
        return RecordHead
    kind = msgspec.defstruct(
        "RecordColumns",
        [(key, type_ | UnsetType, UNSET) for key, type_ in further.items()],
        bases=(RecordHead,),
        frozen=True,
        kw_only=True,
        gc=False,
    )
    return cast("type[RecordHead]", kind)


_Lines = Callable[[type[RecordHead]], Iterator[HeadLine]]
"""Reads a details file from the start, its heads of a kind."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some records of a details file: their 1-based numbers, and the heads, whose further fields only msgspec knows."""

    file: str
    numbers: Sequence[int]
    heads: Sequence[Any]

    def rows(self) -> list[int]:
        """The row of each sample; of a record without a usable one, its 0-based number."""
        return [
            number - 1 if head.row is None or not 0 <= head.row < MAX_ROW else head.row
            for number, head in zip(self.numbers, self.heads, strict=True)
        ]


def _batches(file: str, lines: Iterable[HeadLine]) -> Iterator[_Batch]:
    """The lines in batches of about 1 MB: heads may keep their whole lines in memory."""
    numbers: list[int] = []
    heads: list[RecordHead] = []
    n_bytes = 0
    for number, length, head in lines:
        numbers.append(number)
        heads.append(head)
        n_bytes += length
        if n_bytes >= _BATCH_BYTES:
            yield _Batch(file, numbers, heads)
            numbers, heads, n_bytes = [], [], 0
    if heads:
        yield _Batch(file, numbers, heads)


class _Places:
    """Where each record belongs in the order of the samples, and which are superseded: 20 bytes per record."""

    def __init__(self) -> None:
        self._files = array("i")
        self._rows = array("q")
        self._repeats = array("q")
        self._superseded: list[int] = []
        self._pending: dict[tuple[int, int], int] = {}
        self._n_files = 0

    def add(self, batch: _Batch) -> None:
        """Add the records of a batch, and find those whose sample had a record that waited for its verdict."""
        if self._pending or any(head.failure in TO_BE_VERIFIED for head in batch.heads):
            for place, head in enumerate(batch.heads, start=len(self._rows)):
                self._supersede(head, place)
        self._files.extend([self._n_files] * len(batch.heads))
        self._rows.extend(batch.rows())
        self._repeats.extend([head.repeat for head in batch.heads])

    def _supersede(self, head: RecordHead, place: int) -> None:
        if head.row is None:
            return
        before = self._pending.pop((head.row, head.repeat), None)
        if before is not None:
            self._superseded.append(before)
        if head.failure in TO_BE_VERIFIED:
            self._pending[head.row, head.repeat] = place

    def end_file(self) -> None:
        """What follows is of the next file."""
        self._n_files += 1
        self._pending.clear()

    def order(self) -> "_Order":
        """The places of the records that count, in the order of file, row and repeat."""
        order = np.lexsort((_integers(self._repeats), _integers(self._rows), np.array(self._files, dtype=np.int32)))
        counts = np.ones(len(order), dtype=bool)
        counts[self._superseded] = False
        return order[counts[order]]


_Order = npt.NDArray[np.intp]


class _Buffer(Protocol):
    """Takes the values of a column in compact form and makes an array of pandas or numpy of them."""

    def extend(self, values: Iterable[Any]) -> None:
        """Add values; None is a missing one."""

    def column(self, order: _Order) -> Any:
        """The column, with the values in this order."""


class _Int64:
    def __init__(self) -> None:
        self._values = array("q")

    def extend(self, values: Iterable[int]) -> None:
        self._values.extend(values)

    def column(self, order: _Order) -> Any:
        return _integers(self._values)[order]


class _NullableInt64:
    def __init__(self) -> None:
        self._values = array("q")
        self._is_missing = bytearray()

    def extend(self, values: Iterable[int | None]) -> None:
        values = list(values)
        self._values.extend([0 if value is None else value for value in values])
        self._is_missing.extend([value is None for value in values])

    def column(self, order: _Order) -> Any:
        is_missing = np.array(self._is_missing, dtype=bool)
        return pd.arrays.IntegerArray(_integers(self._values)[order], is_missing[order])


class _Float64:
    def __init__(self) -> None:
        self._values = array("d")

    def extend(self, values: Iterable[float | None]) -> None:
        self._values.extend([math.nan if value is None else value for value in values])

    def column(self, order: _Order) -> Any:
        return np.array(self._values, dtype=np.float64)[order]


class _Bool:
    def __init__(self) -> None:
        self._values = bytearray()

    def extend(self, values: Iterable[bool]) -> None:
        self._values.extend(values)

    def column(self, order: _Order) -> Any:
        return np.array(self._values, dtype=bool)[order]


class _Codes(dict[str | None, int]):
    """Numbers texts in the order in which they come, each once; None is -1."""

    def __init__(self) -> None:
        super().__init__({None: -1})

    def __missing__(self, text: str | None) -> int:
        code = self[text] = len(self) - 1
        return code

    def texts(self) -> list[str]:
        return [text for text in self if text is not None]


class _Texts:
    """Texts, of which equal ones are kept once, as codes."""

    def __init__(self) -> None:
        self._codes = _Codes()
        self._values = array("i")

    def extend(self, values: Iterable[str | None]) -> None:
        self._values.extend(map(self._codes.__getitem__, values))

    def codes(self, order: _Order) -> Any:
        return np.array(self._values, dtype=np.int32)[order]


class _Category(_Texts):
    """Texts that repeat; the categories are sorted, whatever came first."""

    def column(self, order: _Order) -> Any:
        texts = self._codes.texts()
        ranks = {text: rank for rank, text in enumerate(sorted(texts))}
        by_code = np.array([*(ranks[text] for text in texts), -1], dtype=np.int32)
        codes = by_code[self.codes(order)]
        return pd.Categorical.from_codes(codes, categories=pd.Index(sorted(texts), dtype=object))


class _String(_Texts):
    """Texts of any kind."""

    def column(self, order: _Order) -> Any:
        by_code = np.array([*self._codes.texts(), pd.NA], dtype=object)
        # pandas' own storage: pyarrow's cannot hold lone surrogates
        return pd.array(by_code[self.codes(order)], dtype=pd.StringDtype("python"))


class _Ids:
    """Integers as such for as long as no other id comes."""

    def __init__(self) -> None:
        self._integers = array("q")
        self._others: list[Any] | None = None

    def extend(self, values: Iterable[Any]) -> None:
        values = list(values)
        if self._others is None:
            if all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
                self._integers.extend(values)
                return
            self._others = self._integers.tolist()
        self._others.extend(values)

    def column(self, order: _Order) -> Any:
        if self._others is None:
            return _integers(self._integers)[order]
        return pd.Series(np.fromiter(self._others, dtype=object, count=len(self._others))[order], dtype=object)


def _integers(values: "array[int]") -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


_BUFFERS: Mapping[Dtype, Callable[[], _Buffer]] = {
    "category": _Category,
    "int64": _Int64,
    "Int64": _NullableInt64,
    "float64": _Float64,
    "bool": _Bool,
    "string": _String,
    "id": _Ids,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of samples: its type, its values in a batch, and what it reads of a record that else is skipped."""

    name: str
    dtype: Dtype
    values: Callable[[_Batch], Iterable[Any]]
    reads: Mapping[str, Any]
    is_text: bool = False


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_LEN else None


def _seconds(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) <= MAX_LEN else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _decoded(raw: Raw | UnsetType) -> str | None:
    """A text that was kept as written; None where it is no text."""
    if not isinstance(raw, Raw):
        return None
    try:
        return _decode_text(raw)
    except ValueError:  # no text, or one that only the standard library reads
        written = bytes(raw)
        return _text(decode(written)) if written.startswith(b'"') else None


_decode_text: Callable[[Raw], str | None] = msgspec.json.Decoder(str | None).decode


def _as_json(raw: Raw | UnsetType) -> str | None:
    """A value as JSON text; None also where it is nested too deeply to be shown."""
    return (str(raw, "utf-8") or None) if isinstance(raw, Raw) else None


def _id(value: Any, row: int) -> Any:
    return value if isinstance(value, (str, int, float)) else row


def _score(head: RecordHead) -> float | None:
    return head.score if isinstance(head.score, float) else None


def _failure(head: RecordHead) -> str | None:
    return None if isinstance(head.score, float) else head.failure or "unscored"


def _tokens(name: str, key: str) -> Column:
    return Column(
        name=name,
        dtype="Int64",
        reads={},
        values=lambda batch: [_count(getattr(head.usage, key, None)) for head in batch.heads],
    )


def _column(
    name: str, dtype: Dtype, value: Callable[[Any], Any], *, reads: Any = None, is_text: bool = False
) -> Column:
    """A column whose value is that of the field of its name, which is read where RecordHead has none."""
    return Column(
        name=name,
        dtype=dtype,
        values=lambda batch: [value(getattr(head, name)) for head in batch.heads],
        reads={} if reads is None else {name: reads},
        is_text=is_text,
    )


def _of_head(name: str, dtype: Dtype, value: Callable[[RecordHead], Any]) -> Column:
    return Column(name=name, dtype=dtype, values=lambda batch: [value(head) for head in batch.heads], reads={})


_COLUMNS = (
    Column(name="file", dtype="category", values=lambda batch: [batch.file] * len(batch.heads), reads={}),
    Column(name="row", dtype="int64", values=_Batch.rows, reads={}),
    _of_head("repeat", "int64", lambda head: head.repeat),
    Column(
        name="id",
        dtype="id",
        values=lambda batch: [_id(head.id, row) for head, row in zip(batch.heads, batch.rows(), strict=True)],
        reads={},
    ),
    _of_head("data_source", "category", lambda head: head.data_source),
    _of_head("score", "float64", _score),
    _of_head("failure", "category", _failure),
    _column("failure_message", "string", _text, reads=Any),
    _of_head("output_len", "Int64", lambda head: head.output_len),
    _of_head("output_len_estimated", "bool", lambda head: head.output_len_estimated is True),
    _of_head("finish_reason", "category", lambda head: head.finish_reason or None),
    _tokens("prompt_tokens", "prompt_tokens"),
    _tokens("completion_tokens", "completion_tokens"),
    _column("model", "category", _text, reads=Any),
    _column("attempts", "Int64", _count, reads=Any),
    _column("latency_s", "float64", _seconds, reads=Any),
    _column("prompt", "string", _decoded, reads=Raw, is_text=True),
    _column("output", "string", _decoded, is_text=True),
    _column("reasoning_content", "string", _decoded, is_text=True),
    _column("ground_truth", "string", _as_json, is_text=True),
    _column("extracted_output", "string", _as_json, reads=Raw, is_text=True),
)

SAMPLE_COLUMNS: Mapping[str, Column] = {column.name: column for column in _COLUMNS}

FAILURE_COLUMNS: Mapping[str, Dtype] = {
    "file": "category",
    "row": "int64",
    "repeat": "int64",
    "id": "id",
    "data_source": "category",
    "kind": "category",
    "last_error": "string",
    "attempts": "int64",
}
