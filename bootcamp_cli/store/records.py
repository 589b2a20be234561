"""Lines of details and failures as typed records: the one place that says what is wrong with a line.

A line is read in one of two ways. Whole batches are decoded by msgspec into exact types. A batch in which even one line
is not of these types is read again line by line, by the slower standard library: harmless deviations (NaN, lone
surrogates) are accepted, a torn last line is left out, and anything else is refused with file, line and value.

In a foreign file a line may hold several records. Where JSON cannot hold what was extracted (a set), run_eval.py is
stopped in the middle of its record, and writes the next one behind that, in the same line.
"""

import codecs
import contextlib
import functools
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, filterfalse
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import fields, replace

from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.run_dir import content_of
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import (
    MAX_LEN,
    MAX_ROW,
    Answer,
    FailureRecord,
    OutputLength,
    Record,
    RepeatNumber,
    RowNumber,
    Sample,
    Verdict,
    decode,
    verified_text,
)

_BATCH_BYTES = 1024 * 1024
_MAX_SCORE = 10**308


def make_record(
    sample: Sample,
    answer: Answer,
    verdict: Verdict,
    *,
    attempts: int,
    latency_s: float,
    retries: tuple[str, ...] = (),
    endpoint: str | None = None,
) -> Record:
    """The record of an answered sample; an estimated `output_len` is marked as such."""
    n_tokens = answer.completion_tokens
    return Record(
        id=sample.id,
        prompt=sample.prompt,
        output=answer.text,
        output_len=_estimated_length(answer) if n_tokens is None else n_tokens,
        ground_truth=sample.ground_truth,
        score=verdict.score,
        extracted_output=verdict.extracted,
        data_source=sample.data_source,
        row=sample.row,
        finish_reason=answer.finish_reason,
        reasoning_content=answer.reasoning,
        usage=answer.usage,
        model=answer.model,
        attempts=attempts,
        retries=retries,
        latency_s=round(latency_s, 4),
        output_len_estimated=n_tokens is None,
        failure=verdict.failure,
        failure_message=verdict.error if verdict.failure else None,
        repeat=sample.repeat,
        max_tokens=answer.max_tokens,
        endpoint=endpoint,
    )


def output_length(answer: Answer) -> int:
    """The server's token count of an answer.

    Without one it is an estimate: the number of pieces of a stream that carried text, else of words of the verified
    text.
    """
    n_tokens = answer.completion_tokens
    return _estimated_length(answer) if n_tokens is None else n_tokens


def _estimated_length(answer: Answer) -> int:
    return n_words(answer.text, answer.reasoning) if answer.n_pieces is None else answer.n_pieces


def n_words(output: str, reasoning: str | None) -> int:
    """The number of words of the text that is verified: its length where the server does not count tokens."""
    return len(verified_text(output, reasoning).split())


def with_verdict(record: Record, verdict: Verdict) -> Record:
    """The same record with another verdict."""
    return replace(
        record,
        score=verdict.score,
        extracted_output=verdict.extracted,
        failure=verdict.failure,
        failure_message=verdict.error if verdict.failure else None,
    )


class BriefHead(msgspec.Struct, kw_only=True, gc=False):
    """The fields of a record that tell where it belongs and how it counts: two thirds of the time of a RecordHead."""

    id: Any = None
    output_len: OutputLength | None = None
    score: float | None
    data_source: str | None = None
    row: RowNumber
    failure: str | None = None
    repeat: RepeatNumber = 0


class UsageHead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The counts of a usage as the server sent them, whatever they are."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None
    reasoning_tokens: Any = None
    completion_tokens_details: Any = None


class RecordHead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a record that count; None, or UNSET, for what it lacks.

    The texts that are verified are kept as written, not decoded. A score that is not a finite number (NaN) is the
    verifier's failure. A subclass adds fields that do not count: they need defaults, which stand where a record has
    none or one of the wrong type.
    """

    id: Any = None
    row: RowNumber | None = None
    repeat: RepeatNumber = 0
    data_source: str | None = None
    score: float | UnsetType | None = UNSET
    failure: str | None = None
    output_len: OutputLength | None = None
    output_len_estimated: bool | None = None
    finish_reason: str | UnsetType | None = UNSET
    usage: UsageHead | None = None
    output: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    ground_truth: Raw | UnsetType = UNSET

    @property
    def is_empty(self) -> bool:
        """Whether the answer has neither text nor reasoning."""
        return _lacks_text(self.output) and _lacks_text(self.reasoning_content)

    @property
    def end(self) -> "End":
        """How the answer ended, the first that fits: it counts under one end only."""
        if self.finish_reason == "length":
            return "truncated"
        if self.is_empty and self.output is not UNSET:
            return "empty"
        return "filtered" if self.finish_reason == "content_filter" else "plain"

    def without_texts(self) -> "RecordHead":
        """The same without the parts that keep the whole line in memory."""
        return replace(self, output=UNSET, reasoning_content=UNSET, ground_truth=UNSET)

    def lacks_for_verification(self) -> str | None:
        """The first missing field without which the record cannot be verified again; None if none is missing."""
        for key, is_fine in (
            ("output", _starts(self.output, b'"')),
            ("reasoning_content", self.reasoning_content is UNSET or _starts(self.reasoning_content, b"null", b'"')),
            ("data_source", self.data_source is not None),
            ("ground_truth", self.ground_truth is not UNSET),
        ):
            if not is_fine:
                return key
        return None


H = TypeVar("H", RecordHead, BriefHead)

End = Literal["plain", "truncated", "empty", "filtered"]
"""How an answer ended: by itself, at the token limit, without any text, by the server's content filter."""

ENDS: tuple[End, ...] = get_args(End)
"""The ends of answers, as columns number them."""


def _starts(raw: Raw | UnsetType, *starts: bytes) -> bool:
    """Whether a value, as written, starts with one of these."""
    return isinstance(raw, Raw) and bytes(memoryview(raw)[:4]).startswith(starts)


def _lacks_text(raw: Raw | UnsetType) -> bool:
    """Whether a text, as written, has no characters, or there is none."""
    return not isinstance(raw, Raw) or raw in _NO_TEXTS


_NO_TEXTS = (Raw(b'""'), Raw(b"null"))


HeadLine = tuple[int, int, RecordHead]
"""A complete line of a details file: 1-based number, length (newline included) and the head of its record.

In a foreign file, where a line may hold several records, it is a record and its number.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRecord:
    """The beginning of a record that run_eval.py did not write to its end; it has no output that could be verified.

    `line` is its 1-based line in the details file; `score` and `output_len` are None where it ends before them.
    """

    file: str
    line: int
    id: Any
    score: float | None
    output_len: int | None

    @property
    def place(self) -> str:
        """Where it is: `details/sudoku.jsonl:7`."""
        return f"details/{self.file}:{self.line}"


OnHalf = Callable[[HalfRecord], object]
"""Is told of each half record, before its head comes; one without a score has no head."""


def read_heads(
    path: Path, *, foreign: bool = False, kind: type[RecordHead] = RecordHead, on_half: OnHalf = lambda _: None
) -> Iterator[HeadLine]:
    """Stream the heads of the records of a details file, several hundred MB a second; a torn last line is left out.

    Prompts, outputs and ground truths are skipped, and whole batches decoded at once. In a `foreign` file, one that no
    run of this tool wrote, JSON's true and false are scores of 1 and 0, a number beyond a float's range is the
    verifier's failure, a row may be any integer, and half a record counts where it has its score. `kind` is what the
    heads are: RecordHead, or a subclass that reads further fields.

    Raises:
        RunDirectoryError: a line is not a record; the message names `file:line`.
    """
    number = 0
    for batch in read_batches(path, foreign=foreign, kind=kind, on_half=on_half):
        for _, n_bytes, head in batch.heads:
            number += 1
            yield number, n_bytes, head


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBatch:
    """Some lines of a details file: offset and length of each record in them, and its head.

    `heads` can be gone through once. `end` is the offset after the last line that has its newline, `n_lines` the number
    of lines up to there: what is read later goes on behind them.
    """

    heads: Iterable[tuple[int, int, RecordHead]]
    end: int
    n_lines: int


def read_batches(
    path: Path,
    *,
    foreign: bool = False,
    kind: type[RecordHead] = RecordHead,
    on_half: OnHalf = lambda _: None,
    start: int = 0,
    n_lines: int = 0,
) -> Iterator[HeadBatch]:
    """Stream what `read_heads` does in batches of about 1 MB, from the offset `start`, before which are `n_lines`.

    Raises:
        RunDirectoryError: a line is not a record; the message names `file:line`.
    """
    for lines, is_ascii in read_lines(path, start):
        heads = heads_of(
            path, n_lines + 1, lines, is_ascii=is_ascii, foreign=foreign, kind=kind, on_half=on_half, start=start
        )
        whole = lines if lines[-1].endswith(b"\n") else lines[:-1]
        start += sum(map(len, whole))
        n_lines += len(whole)
        yield HeadBatch(heads=heads, end=start, n_lines=n_lines)


def read_lines(path: Path, start: int = 0) -> Iterator[tuple[list[bytes], bool]]:
    """Stream the lines of a file in batches of about 1 MB, with whether all are ASCII.

    Whole blocks are read, split and looked at, which takes half the time of the file's own `readlines`.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(_BATCH_BYTES):
                lines = io.BytesIO(block).readlines()
                if not block.endswith(b"\n"):
                    lines[-1] += file.readline()
                yield lines, block.isascii() and lines[-1].isascii()
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def heads_of(
    path: Path,
    first: int,
    lines: list[bytes],
    *,
    is_ascii: bool,
    foreign: bool = False,
    kind: type[RecordHead] = RecordHead,
    on_half: OnHalf = lambda _: None,
    start: int = 0,
) -> Iterable[tuple[int, int, RecordHead]]:
    """Offset, length and head of each record in these lines, of which the `first`, counted from 1, is at `start`.

    Raises:
        RunDirectoryError: a line is not a record; the message names `file:line`.
    """
    decoded = whole_heads(lines, kind, is_ascii=is_ascii)
    if decoded is not None:
        lengths = list(map(len, lines))
        return zip(accumulate(lengths[:-1], initial=start), lengths, decoded, strict=True)
    if foreign:
        return _foreign_heads(path, first, lines, kind=kind, on_half=on_half, start=start)
    return _heads_one_by_one(path, first, lines, kind=kind, start=start)


def whole_heads(lines: list[bytes], kind: type[H], *, is_ascii: bool) -> list[H] | None:
    """The heads of whole lines; None if one of them needs a closer look."""
    try:
        for line in () if is_ascii else filterfalse(bytes.isascii, lines):
            line.decode()
        return list(map(_decoder(kind).decode, lines))
    except (ValueError, RecursionError):
        return None


@functools.cache
def _decoder(kind: type[H]) -> msgspec.json.Decoder[H]:
    return msgspec.json.Decoder(kind)


def _heads_one_by_one(
    path: Path, first: int, lines: list[bytes], *, kind: type[RecordHead], start: int
) -> Iterator[tuple[int, int, RecordHead]]:
    """Offsets, lengths and heads of lines of which one is damaged, torn, or refused by msgspec; ends at a torn one."""
    for number, line in enumerate(lines, start=first):
        written = read_object(path, number, line)
        if written is None:
            return
        yield start, len(line), _head_of(written, path, number, foreign=False, kind=kind)
        start += len(line)


def _foreign_heads(
    path: Path, first: int, lines: list[bytes], *, kind: type[RecordHead], on_half: OnHalf, start: int
) -> Iterator[tuple[int, int, RecordHead]]:
    """Offsets, lengths and heads of the records of such lines in a foreign file."""
    for number, line in enumerate(lines, start=first):
        at = start
        for part in foreign_parts(path, number, line):
            place, at = at, at + len(part.content)
            if not part.is_whole:
                half = part.half(path, number)
                on_half(half)
                if half.score is None:
                    continue
            yield place, len(part.content), _head_of(part.written, path, number, foreign=True, kind=kind)
        start += len(line)


def _head_of(
    written: Mapping[str, Any], path: Path, number: int, *, foreign: bool, kind: type[RecordHead]
) -> RecordHead:
    """The head of a record that was decoded as a whole."""
    if objection := wrong_field(written, _FOREIGN_FORMS if foreign else _FORMS):
        raise damaged(path, number, objection)
    score, failure = written.get("score", UNSET), written.get("failure")
    if isinstance(score, (int, float)):
        score = float(score) if abs(score) < _MAX_SCORE or not isinstance(score, int) else math.inf
        if not math.isfinite(score):
            score, failure = None, failure or "verifier_error"
    finish_reason, repeat = written.get("finish_reason", UNSET), written.get("repeat", 0)
    return kind(
        **_further(written, kind),
        id=written.get("id"),
        row=written.get("row"),
        repeat=repeat if isinstance(repeat, int) and _is_count(repeat) else 0,
        data_source=written.get("data_source"),
        score=score,
        failure=failure,
        output_len=written.get("output_len"),
        output_len_estimated=written.get("output_len_estimated") is True,
        finish_reason=finish_reason if isinstance(finish_reason, str) or finish_reason is UNSET else None,
        usage=_usage_head(written.get("usage")),
        output=_raw(written, "output"),
        reasoning_content=_raw(written, "reasoning_content"),
        ground_truth=_raw(written, "ground_truth"),
    )


def _usage_head(usage: Any) -> UsageHead | None:
    if not isinstance(usage, dict):
        return None
    return UsageHead(**{name: usage[name] for name in UsageHead.__struct_fields__ if name in usage})


def _further(written: Mapping[str, Any], kind: type[RecordHead]) -> dict[str, Any]:
    """The fields that a kind of head has beyond RecordHead, without those of the wrong type."""
    further = {}
    for field in fields(kind)[len(RecordHead.__struct_fields__) :]:
        value = _raw(written, field.name) if field.type == Raw | UnsetType else written.get(field.name, UNSET)
        if value is not UNSET:
            with contextlib.suppress(msgspec.ValidationError):
                further[field.name] = value if isinstance(value, Raw) else msgspec.convert(value, field.type)
    return further


Form = tuple[str, Callable[[Any], bool], str]
"""A key, a check whether a value other than null has the right type, and that type in words."""


def wrong_field(written: Mapping[str, Any], forms: Iterable[Form]) -> str | None:
    """What is wrong with the first value of the wrong type; None if all are fine."""
    for key, is_fine, expected in forms:
        value = written.get(key)
        if value is not None and not is_fine(value):
            return f"{key} is {shortened(repr(value), MAX_VALUE_CHARS)}, not {expected}"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_LEN


def _is_row_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_ROW


def _is_score(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _MAX_SCORE)


_ROW: Form = ("row", _is_row_number, "a row number")
_DATA_SOURCE: Form = ("data_source", _is_text, "a string or null")
_REPEAT: Form = ("repeat", _is_count, "the number of a repeat")
_COMMON_FORMS: tuple[Form, ...] = (
    _DATA_SOURCE,
    ("output_len", _is_count, "a count of tokens or words"),
)
_FAILURE: Form = ("failure", _is_text, "a string or null")
_FORMS: tuple[Form, ...] = (_ROW, ("score", _is_score, "a number or null"), _FAILURE, *_COMMON_FORMS, _REPEAT)
KEPT_FORMS: tuple[Form, ...] = (("row", lambda value: type(value) is int, "a row number"), *_COMMON_FORMS)
"""The fields of a foreign record that a new verdict leaves alone."""
_FOREIGN_FORMS: tuple[Form, ...] = (
    ("score", lambda value: isinstance(value, (int, float)), "a number or null"),
    _FAILURE,
    *KEPT_FORMS,
)


def _raw(written: Mapping[str, Any], key: str) -> Raw | UnsetType:
    """A value as JSON, NaN included; empty where it is nested too deeply to be written."""
    if key not in written:
        return UNSET
    try:
        return Raw(json.dumps(written[key], ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        return Raw(json.dumps(written[key], separators=(",", ":")).encode())
    except RecursionError:
        return Raw()


def decode_record(line: bytes) -> Record | None:
    """The record of a line that is exactly what Record writes, in any order of keys; else None."""
    try:
        return _decode_record(line)
    except (ValueError, RecursionError):
        return None


_decode_record = msgspec.json.Decoder(Record).decode


def read_object(path: Path, number: int, line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line of a details file; None where the line is torn.

    Raises:
        RunDirectoryError: it is anything else; the message names `file:line`.
    """
    try:
        written = decode(line)
    except (ValueError, RecursionError) as error:
        if is_torn(line):
            return None
        raise damaged(path, number, f"not readable as JSON ({error})") from error
    if not isinstance(written, dict):
        raise damaged(path, number, "not a JSON object")
    return written


class LinePart(NamedTuple):
    """A record, or half of one, in a line of a foreign file.

    `content` is its bytes, of a whole record without the line's end, of half a record up to the next one or with the
    line's end; `written` is its fields, of half a record those that end before the cut.
    """

    content: bytes
    written: dict[str, Any]
    is_whole: bool

    def half(self, path: Path, number: int) -> HalfRecord:
        """What counts of half a record in a line of the file at `path`."""
        score, output_len = self.written.get("score"), self.written.get("output_len")
        return HalfRecord(
            file=path.name,
            line=number,
            id=self.written.get("id"),
            score=float(score) if isinstance(score, (int, float)) and abs(score) < _MAX_SCORE else None,
            output_len=output_len if _is_count(output_len) else None,
        )


def foreign_parts(path: Path, number: int, line: bytes) -> list[LinePart]:
    """The records of a line of a foreign file, in their order; none where the line is torn.

    A last line that ends within half a record is torn, unless it ends as run_eval.py leaves it: that has written the
    score by then, but not the output.

    Raises:
        RunDirectoryError: it is anything but records; the message names `file:line`.
    """
    try:
        written = read_object(path, number, line)
    except RunDirectoryError:
        parts = _parts(line)
        if not parts:
            raise
    else:
        if written is not None:
            return [LinePart(line.rstrip(b"\r\n"), written, is_whole=True)]
        parts = _parts(line)
    if parts and not line.endswith(b"\n"):
        last = parts[-1]
        if not last.is_whole and ("output" in last.written or last.half(path, number).score is None):
            parts.pop()
    return parts


def _parts(line: bytes) -> list[LinePart]:
    """The records of a line that is not one JSON object; empty where it is not made of records."""
    text = line.decode("utf-8", "surrogateescape")
    parts: list[LinePart] = []
    start = 0
    while _RECORD.match(text, start):
        end = _end_of_record(text, start)
        is_whole = end is not None
        if end is None:
            following = _RECORD.search(text, start + 1)
            end = following.start() if following else len(text)
        content = text[start:end].encode("utf-8", "surrogateescape")
        try:
            parts.append(LinePart(content, decode(content) if is_whole else _whole_fields(text[start:end]), is_whole))
        except (ValueError, RecursionError):
            return []
        start = end
        if is_whole and not text[end:].strip():
            return parts
    return parts if start == len(text) else []


def _end_of_record(text: str, start: int) -> int | None:
    """Where the JSON object ends that begins here; None where it is cut off."""
    try:
        return int(_DECODER.raw_decode(text, start)[1])
    except (ValueError, RecursionError):
        return None


def _whole_fields(text: str) -> dict[str, Any]:
    """The fields of the beginning of an object; one counts only where another one was about to follow."""
    found: dict[str, Any] = {}
    at = 1
    while key := _KEY.match(text, at):
        try:
            value, at = _DECODER.raw_decode(text, key.end())
        except (ValueError, RecursionError):
            break
        comma = _COMMA.match(text, at)
        if comma is None:
            break
        found[key[1]] = value
        at = comma.end()
    return found


_DECODER = json.JSONDecoder()
_STRING = r'"(?:[^"\\]|\\.)*"'
_RECORD = re.compile(rf'\{{\s*"id"\s*:\s*(?:{_STRING}|[^\s",\[\]{{}}]+)\s*,\s*"prompt"\s*:')
"""Where a record of run_eval.py begins. Within a text, each of these quotes would have a backslash before it."""
_KEY = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*:\s*')
_COMMA = re.compile(r"\s*,")


class FailureLine(NamedTuple):
    """A line of failures.jsonl: its 1-based number, its bytes without the newline, and what it says."""

    number: int
    content: bytes
    failure: FailureRecord


def read_failure_lines(path: Path) -> list[FailureLine]:
    """The lines of failures.jsonl, a torn last one left out; empty where there is no such file.

    Raises:
        RunDirectoryError: a line is not a failure; the message names it.
    """
    found = []
    for number, line in enumerate((content_of(path) or b"").splitlines(keepends=True), start=1):
        try:
            failure = _decode_failure(line)
        except (ValueError, RecursionError):
            failure_or_none = _odd_failure(number, line)
            if failure_or_none is None:
                break
            failure = failure_or_none
        found.append(FailureLine(number, line.rstrip(b"\r\n"), failure))
    return found


_decode_failure = msgspec.json.Decoder(FailureRecord).decode


def _odd_failure(number: int, line: bytes) -> FailureRecord | None:
    """The failure in a line that this tool did not write: `file` and `row` are enough; None where it is torn."""
    try:
        written = decode(line)
        if not isinstance(written, dict) or written.get("row") is None or written.get("file") is None:
            raise TypeError("not the object of a failed sample")  # noqa: TRY301 - one message for all odd lines
    except (ValueError, TypeError, RecursionError) as error:
        if is_torn(line):
            return None
        raise damaged_failure(number, f"not readable ({error})") from error
    if objection := wrong_field(written, _FAILURE_FORMS):
        raise damaged_failure(number, objection)
    own_id, message, attempts = written.get("id"), written.get("last_error"), written.get("attempts")
    return FailureRecord(
        file=written["file"],
        row=written["row"],
        id=own_id if isinstance(own_id, (str, int, float, bool)) else written["row"],
        data_source=written.get("data_source"),
        kind=written.get("kind") or "unknown",
        last_error=message if isinstance(message, str) else "",
        attempts=attempts if type(attempts) is int else 0,
        repeat=written.get("repeat") or 0,
    )


_FAILURE_FORMS: tuple[Form, ...] = (
    ("file", _is_text, "the name of a test file"),
    _ROW,
    ("kind", _is_text, "a string or null"),
    ("id", lambda value: isinstance(value, (str, int, float)), "a string, a number, true or false"),
    _DATA_SOURCE,
    _REPEAT,
)


def damaged(path: Path, number: int, what: str) -> RunDirectoryError:
    """The error about a line of the details file at `path`."""
    return _damaged(f"details/{path.name}", number, what)


def damaged_failure(number: int, what: str) -> RunDirectoryError:
    """The error about a line of failures.jsonl."""
    return _damaged("failures.jsonl", number, what)


def _damaged(place: str, number: int, what: str) -> RunDirectoryError:
    return RunDirectoryError(f"{place}:{number}: {what}", hint="fix or remove that line; nothing was changed")


def is_torn(tail: bytes) -> bool:
    """Whether `tail` is a line of ours that was cut off: the beginning of a JSON object in UTF-8, but not all of it.

    After a power cut there may be NULs in place of the rest. Anything else was put there by another program and must
    not be cut off. A line with its newline was not cut off either.
    """
    if b"\n" in tail:
        return False
    written = tail.rstrip(b"\0")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(written)
    except UnicodeDecodeError:
        return False
    return not text or (text.startswith("{") and _goes_on(text))


def _goes_on(text: str) -> bool:
    """Whether an incomplete JSON document could become a complete one by adding text."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        return (
            not rest.strip()
            or error.msg.startswith("Unterminated string")
            or _ESCAPE_GOING_ON.fullmatch(rest) is not None
            or any(literal.startswith(rest) for literal in _LITERALS)
            or _NUMBER_GOING_ON.fullmatch(rest) is not None
        )
    except (ValueError, RecursionError):
        return False
    return False


_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_GOING_ON = re.compile(r"\.|(\.\d+)?[eE][+-]?")
_ESCAPE_GOING_ON = re.compile(r"\\?u[0-9a-fA-F]{0,4}")
