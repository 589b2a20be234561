"""Reading a journal back: records with their place, and the state of every row."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from bootcamp_cli.encoding import decode
from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.records import REVERIFIABLE
from bootcamp_cli.store.belonging import FileRows
from bootcamp_cli.store.torn import is_torn

MISSING, SCORED, REVERIFY, UNSCORED = range(4)
"""State of a row: no record; a score; a verifier failure to verify again; no verifier (waits for `rescore`)."""

_MAX_ROW = 1_000_000_000
_BATCH_BYTES = 1024 * 1024
_FINAL = frozenset({SCORED, UNSCORED})
_MAX_SCORE = 10**308
_RAW = frozenset({"output", "reasoning_content", "ground_truth"})
_START = {str: b'""', type(None): b"null"}


class RecordHead(msgspec.Struct, gc=False):
    """The fields of a record that count; None, but UNSET for the score and what is verified, where it lacks one.

    What is verified is there as it is written, not decoded. A score that is no finite number (NaN) is the verifier's
    failure.
    """

    id: Any = None
    row: Any = None
    data_source: Any = None
    score: Any = UNSET
    failure: Any = None
    output_len: Any = None
    output_len_estimated: Any = None
    finish_reason: Any = None
    output: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    ground_truth: Raw | UnsetType = UNSET


class DetailLine(NamedTuple):
    """One complete line of a details file: 1-based number, byte offset and length (newline included), the record."""

    number: int
    offset: int
    length: int
    record: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class DetailIndex:
    """Where each record of a details file stands, and the state of each row; in the order of the lines.

    Costs about 25 bytes a record. A row that is verified again has two lines until the file is put in order: the later
    one counts.
    """

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    n_rows: int = 0
    n_scored: int = 0
    score_sum: float = 0.0
    len_sum: int = 0
    size_bytes: int = 0

    def state(self, row: int) -> int:
        """MISSING, SCORED, REVERIFY or UNSCORED."""
        return self.states[row] if row < len(self.states) else MISSING

    def add(self, row: int, score: float | None, failure: str | None, length: int, output_len: Any = None) -> None:
        """Take note of a record that stands, or is about to stand, at the end of the file."""
        states = self.states
        if row >= len(states):
            states.extend(bytes(row + 1 - len(states)))
        if states[row] == MISSING:
            self.n_rows += 1
            self.len_sum += output_len if type(output_len) is int else 0
        if score is not None:
            self.n_scored += 1
            self.score_sum += score
            states[row] = SCORED
        else:
            states[row] = REVERIFY if failure in REVERIFIABLE else UNSCORED
        self.rows.append(row)
        self.offsets.append(self.size_bytes)
        self.lengths.append(length)
        self.size_bytes += length

    def in_order(self) -> bool:
        """Whether every row stands once and in ascending order."""
        rows = self.rows
        return all(rows[i] < rows[i + 1] for i in range(len(rows) - 1))

    def latest_in_row_order(self) -> list[int]:
        """Line indexes in row order, of each row the latest line alone."""
        rows = self.rows
        order = sorted(range(len(rows)), key=rows.__getitem__)
        return [
            i for position, i in enumerate(order) if position + 1 == len(order) or rows[order[position + 1]] != rows[i]
        ]


def read_details(path: Path) -> Iterator[DetailLine]:
    """Stream the complete records of a details file; a torn last line is left out.

    Raises:
        RunDirectoryError: a line is no record; the message names `file:line`. Nothing is changed.
    """
    for number, offset, line in _numbered(path):
        record = _record(path, number, line)
        if record is None:
            return
        yield DetailLine(number, offset, len(line), record)


def read_heads(path: Path) -> Iterator[tuple[int, int, RecordHead]]:
    """As `read_details`, several times as fast: 1-based number, length and head of each complete line.

    Prompts, outputs and ground truths are passed over, and whole batches decoded at once.
    """
    number = 0
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_BATCH_BYTES):
                heads = _heads(lines) or _heads_one_by_one(path, number + 1, lines)
                for line, head in zip(lines, heads, strict=False):
                    number += 1
                    yield number, len(line), head
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def replay(path: Path, rows: FileRows | None = None) -> DetailIndex:
    """The index of a details file; an empty one where there is no file. `rows` is what is known of the test file.

    Raises:
        RunDirectoryError: a line is no record, or of no row of the test file, or a row has two that both count.
    """
    index = DetailIndex()
    if not path.exists():
        return index
    for number, length, head in read_heads(path):
        take(index, path, number, length, head, rows)
    return index


def take(
    index: DetailIndex, path: Path, number: int, length: int, head: RecordHead, rows: FileRows | None = None
) -> None:
    """Add a line of the details file at `path` to its index; `rows` is what is known of the test file.

    Raises:
        RunDirectoryError: it is no record, or of no row of the test file, or its row has one already.
    """
    row, score = head.row, head.score
    place = f"details/{path.name}"
    if type(row) is not int or not 0 <= row < _MAX_ROW:
        raise _damaged(place, number, f"row is {row!r}, not a row number")
    if score is not None and not _is_number(score):
        raise _damaged(place, number, f"score is {'' if score is UNSET else score!r}, not a number or null")
    if head.failure is not None and not isinstance(head.failure, str):
        raise _damaged(place, number, f"failure is {head.failure!r}, not a text or null")
    if index.state(row) in _FINAL:
        raise _damaged(place, number, f"row {row} already has a record")
    if rows is not None and (objection := rows.objection(row, head.data_source, head.id)):
        raise _damaged(place, number, objection)
    if score is None and head.failure in REVERIFIABLE and (key := _not_verifiable(head)):
        raise _damaged(place, number, f"{key} is missing or of the wrong type, and the record is to be verified again")
    index.add(row, score, head.failure, length, head.output_len)


def _is_number(score: Any) -> bool:
    """Whether it is a number that a float can hold."""
    return type(score) is float or (type(score) is int and abs(score) < _MAX_SCORE)


def _not_verifiable(head: RecordHead) -> str | None:
    """The first field without which a record cannot be verified again; None where all are there."""
    for key, is_fine in (
        ("output", _starts(head.output, b'"')),
        ("reasoning_content", head.reasoning_content is UNSET or _starts(head.reasoning_content, b"null", b'"')),
        ("data_source", isinstance(head.data_source, str)),
        ("ground_truth", head.ground_truth is not UNSET),
    ):
        if not is_fine:
            return key
    return None


def _starts(raw: Raw | UnsetType, *starts: bytes) -> bool:
    """Whether a value as it is written starts like this."""
    return isinstance(raw, Raw) and bytes(memoryview(raw)[:4]).startswith(starts)


def _numbered(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file with their 1-based numbers and byte offsets."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, offset, line
                offset += len(line)
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def _record(path: Path, number: int, line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is torn."""
    try:
        record = decode(line)
    except (ValueError, RecursionError) as error:
        if is_torn(line):
            return None
        raise _damaged(f"details/{path.name}", number, f"not readable as JSON ({error})") from error
    if not isinstance(record, dict):
        raise _damaged(f"details/{path.name}", number, "not a JSON object")
    return record


def _heads(lines: list[bytes]) -> list[RecordHead] | None:
    """The heads of whole lines; None where one of them needs a closer look."""
    try:
        for line in lines:
            if not line.isascii():
                line.decode()
        return list(map(_decode_head, lines))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _heads_one_by_one(path: Path, first: int, lines: list[bytes]) -> Iterator[RecordHead]:
    """The heads of lines among which one is damaged, torn, or not what msgspec reads; ends at a torn one."""
    for number, line in enumerate(lines, start=first):
        record = _record(path, number, line)
        if record is None:
            return
        yield head_of(record)


def head_of(record: dict[str, Any]) -> RecordHead:
    """The head of a record that was decoded as a whole."""
    head = RecordHead(**{key: record[key] for key in RecordHead.__struct_fields__ if key in record and key not in _RAW})
    for key in _RAW & record.keys():
        setattr(head, key, Raw(_START.get(type(record[key]), b"0")))
    if isinstance(head.score, float) and not math.isfinite(head.score):
        head.score, head.failure = None, head.failure or "verifier_error"
    return head


def _damaged(place: str, number: int, what: str) -> RunDirectoryError:
    return RunDirectoryError(f"{place}:{number}: {what}", hint="mend or remove that line; nothing was changed")


_decode_head = msgspec.json.Decoder(RecordHead).decode
