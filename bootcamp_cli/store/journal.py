"""The journal: details and failures as whole lines, appended by one writer, replayed, repaired, ordered at the end.

A killed writer leaves behind the last newline the start of a line of ours, and nothing else.
"""

import codecs
import json
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.atomic import Check, no_check, remove, replacing, sync_directory
from bootcamp_cli.store.lock import RunLock, tidy
from bootcamp_cli.store.run_dir import RunDir, files_of
from bootcamp_cli.types import REVERIFIABLE, Answer, Sample, Verdict, decode, encode_line, verified_text


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRows:
    """What is known of the rows of a test file that a run takes.

    `n_rows`: they are the first so many; None where rows in between are left out. `id_is_row`: the id of a record is
    its row.
    """

    data_sources: frozenset[str]
    n_rows: int | None = None
    id_is_row: bool = False

    def objection(self, row: int, data_source: Any, id_: Any) -> str | None:
        """Why a record or failure is of no row of this file; None where it may be."""
        if self.n_rows is not None and row >= self.n_rows:
            return f"row {row} is none of the run: it takes the rows 0 to {self.n_rows - 1}"
        if data_source is not None and not (isinstance(data_source, str) and data_source in self.data_sources):
            return f"data_source is {_shown(data_source)}, which the test file does not have"
        if self.id_is_row and id_ is not None and id_ != row:
            return f"id is {_shown(id_)} where the id is the row, {row}: a record of other data"
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def rows_by_file(manifest: Mapping[str, Any], path: Path) -> dict[str, FileRows]:
    """What the manifest at `path` tells of the rows of each test file.

    Raises:
        RunDirectoryError: it does not tell the test files.
    """
    identity = manifest.get("identity", {})
    all_selected = not identity.get("include") and not identity.get("exclude")
    return {
        file["name"]: FileRows(
            data_sources=frozenset(name for name, _ in file["data_sources"]),
            n_rows=file["n_rows"] if all_selected and file.get("n_invalid") == 0 else None,
            id_is_row=file["id_rule"] == "row",
        )
        for file in files_of(manifest, path)
    }


REFERENCE_FIELDS = ("id", "prompt", "output", "output_len", "ground_truth", "score", "extracted_output")


def make_record(sample: Sample, answer: Answer, verdict: Verdict, *, attempts: int, latency_s: float) -> dict[str, Any]:
    """The record of an answered sample.

    `output_len` is the server's token count; without one the number of words of the judged text, marked as estimated.
    """
    n_tokens = answer.completion_tokens
    record: dict[str, Any] = {
        "id": sample.id,
        "prompt": sample.prompt,
        "output": answer.text,
        "output_len": n_tokens,
        "ground_truth": sample.ground_truth,
        "score": None,
        "extracted_output": None,
        "data_source": sample.data_source,
        "row": sample.row,
        "finish_reason": answer.finish_reason,
        "reasoning_content": answer.reasoning,
        "usage": answer.usage,
        "model": answer.model,
        "attempts": attempts,
        "latency_s": round(latency_s, 4),
    }
    if n_tokens is None:
        record["output_len"] = len(verified_text(answer.text, answer.reasoning).split())
        record["output_len_estimated"] = True
    return with_verdict(record, verdict)


def with_verdict(record: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The same record with another verdict."""
    changed = record | {"score": verdict.score, "extracted_output": verdict.extracted}
    for key, value in (("failure", verdict.failure), ("failure_message", verdict.error)):
        if value is None or verdict.failure is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def encode_record(record: dict[str, Any]) -> bytes:
    """The record as one line, newline included."""
    return encode_line(record)


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


_OPEN_AT_ONCE = 32
"""Details files that one look at the lock is for."""


class Journal:
    """Appends records and failures to a locked run directory.

    `details` holds an index per test file, kept up to date with what is on disk. All methods block and belong into a
    thread; none may run beside another.
    """

    def __init__(self, run_dir: RunDir, lock: RunLock, details: dict[str, DetailIndex]) -> None:
        self.run_dir = run_dir
        self.lock = lock
        self.details = details
        self._dirty: set[Path] = set()

    def append(self, batch: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Append records, given with the name of their test file, whole lines in one write per file.

        Raises:
            DiskError: the file system refuses; what was written before stays valid.
            LockLostError: another process took the run directory over; nothing more was written.
            RunDirectoryError: a file is not as this journal left it; nothing more was written.
        """
        lines: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
        for file, record in batch:
            lines.setdefault(file, []).append((record, encode_record(record)))
        files = list(lines)
        for start in range(0, len(files), _OPEN_AT_ONCE):
            self._append_lines({file: lines[file] for file in files[start : start + _OPEN_AT_ONCE]})

    def append_failures(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Append samples that ended without an answer."""
        if failures:
            path = self.run_dir.failures
            with self._opened(path, may_be_new=True) as descriptor:
                self.lock.check()
                self._append_bytes(descriptor, path, b"".join(map(encode_line, failures)))

    def read_record(self, file: str, position: int) -> dict[str, Any]:
        """The record at a line index of a details file.

        Raises:
            LockLostError: it is not there, because another process took the run directory over.
            RunDirectoryError: it is not there, because someone else changed the file.
        """
        index = self.details[file]
        path = self.run_dir.details / file
        try:
            with path.open("rb") as details:
                details.seek(index.offsets[position])
                line = details.read(index.lengths[position])
        except OSError as error:
            raise disk_error(error, f"read {path}") from error
        try:
            record: dict[str, Any] = json.loads(line)
            if record["row"] == index.rows[position]:
                return record
        except (ValueError, KeyError, TypeError):
            pass
        self.lock.check()
        raise _moved(path, index.rows[position])

    def sync(self) -> None:
        """Make everything appended so far survive a power cut."""
        try:
            for path in self._dirty:
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise disk_error(error, f"sync {self.run_dir.path}") from error
        if self._dirty:
            sync_directory(self.run_dir.details)
        self._dirty.clear()

    def put_in_order(self, file: str) -> None:
        """Put the details of one test file in row order, one line per row, by an atomic replacement.

        Raises:
            RunDirectoryError: a record is not where this journal left it; the file stays as it is.
        """
        index = self.details[file]
        if index.in_order():
            return
        path = self.run_dir.details / file
        ordered = DetailIndex(
            states=index.states,
            n_rows=index.n_rows,
            n_scored=index.n_scored,
            score_sum=index.score_sum,
            len_sum=index.len_sum,
        )
        try:
            with path.open("rb", buffering=0) as source, replacing(path, self.lock.check) as target:
                self._require_as_left(file, source.fileno())
                for i in index.latest_in_row_order():
                    line = os.pread(source.fileno(), index.lengths[i], index.offsets[i])
                    if line.find(b"\n") != index.lengths[i] - 1:
                        self.lock.check()
                        raise _moved(path, index.rows[i])
                    target.write(line)
                    ordered.rows.append(index.rows[i])
                    ordered.offsets.append(ordered.size_bytes)
                    ordered.lengths.append(index.lengths[i])
                    ordered.size_bytes += index.lengths[i]
        except OSError as error:
            raise disk_error(error, f"order {path}") from error
        self._dirty.discard(path)
        self.details[file] = ordered

    def settle_failures(self) -> list[dict[str, Any]]:
        """Keep in failures.jsonl the last line of each sample that still has no record, in order; return them."""
        last = {
            (failure["file"], failure["row"]): failure
            for failure in read_failures(self.run_dir)
            if (index := self.details.get(failure["file"])) is None or not index.state(failure["row"])
        }
        failures = [last[key] for key in sorted(last)]
        if failures:
            with replacing(self.run_dir.failures, self.lock.check) as file:
                file.writelines(map(encode_line, failures))
        else:
            remove(self.run_dir.failures, self.lock.check)
        self._dirty.discard(self.run_dir.failures)
        return failures

    def _require_as_left(self, file: str, descriptor: int) -> None:
        """Refuse a details file that is not what this journal left: the index would not be true any more."""
        path, expected = self.run_dir.details / file, self.details[file].size_bytes
        if (found := os.fstat(descriptor).st_size) != expected:
            self.lock.check()
            raise RunDirectoryError(
                f"{path} has {found} bytes where this run left {expected}: nothing more is written",
                hint="whoever else changed it must stop, then `bootcamp resume`",
            )

    def _append_lines(self, lines: Mapping[str, Sequence[tuple[dict[str, Any], bytes]]]) -> None:
        """Append to some details files, which are opened before the one look at the lock."""
        with ExitStack() as stack:
            opened = {}
            for file in lines:
                may_be_new = not self.details[file].size_bytes
                opened[file] = stack.enter_context(self._opened(self.run_dir.details / file, may_be_new=may_be_new))
            self.lock.check()
            for file, descriptor in opened.items():
                self._require_as_left(file, descriptor)
            for file, entries in lines.items():
                self._append_bytes(opened[file], self.run_dir.details / file, b"".join(line for _, line in entries))
                index = self.details[file]
                for record, line in entries:
                    index.add(record["row"], record["score"], record.get("failure"), len(line), record["output_len"])

    @contextmanager
    def _opened(self, path: Path, *, may_be_new: bool) -> Iterator[int]:
        """A file opened for appending, made where it may be new; errors of the block are its own."""
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            if may_be_new and not path.exists():
                self.lock.check()
                flags |= os.O_CREAT
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise disk_error(error, f"write {path}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _append_bytes(self, descriptor: int, path: Path, content: bytes) -> None:
        self._dirty.add(path)
        try:
            start = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        except OSError as error:
            raise disk_error(error, f"write {path}") from error


def open_journal(
    run_dir: RunDir, lock: RunLock, files: Iterable[str], rows: Mapping[str, FileRows] | None = None
) -> Journal:
    """Tidy up after a killed process, replay what is there and mend torn last lines.

    `rows` is what is known of the test files.

    Raises:
        RunDirectoryError: a file is a link, or holds what no bootcamp wrote, or not for these rows; then none is
            changed.
    """
    tidy(run_dir.path)
    known = rows or {}
    paths = {file: run_dir.details / file for file in files}
    for path in (*paths.values(), run_dir.failures):
        if path.is_symlink():
            raise RunDirectoryError(
                f"{path} is a symbolic link, which is never written through", hint="put the file itself in its place"
            )
    details = {file: replay(path, known.get(file)) for file, path in paths.items()}
    read_failures(run_dir, rows)
    for file, path in paths.items():
        mend_tail(path, lock.check)
        if details[file].size_bytes != _size_bytes(path):
            details[file] = replay(path)
    mend_tail(run_dir.failures, lock.check)
    return Journal(run_dir, lock, details)


def read_failures(run_dir: RunDir, rows: Mapping[str, FileRows] | None = None) -> list[dict[str, Any]]:
    """The lines of failures.jsonl, a torn last one left out; empty where there is no such file.

    `rows` is what is known of the test files.

    Raises:
        RunDirectoryError: a line is no failure, or of no row of the test files; the message names it.
    """
    try:
        content = run_dir.failures.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error(error, f"read {run_dir.failures}") from error
    failures = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            failure = json.loads(line.decode())
            if not isinstance(failure, dict) or type(failure["row"]) is not int or type(failure["file"]) is not str:
                raise TypeError("not the object of a failed sample")  # noqa: TRY301 - one message for all that is odd
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if is_torn(line):
                break
            raise RunDirectoryError(
                f"failures.jsonl:{number}: not readable ({error})", hint="mend or remove that line"
            ) from error
        if objection := _objection(failure, rows):
            raise RunDirectoryError(f"failures.jsonl:{number}: {objection}", hint="mend or remove that line")
        failures.append(failure)
    return failures


def _objection(failure: Mapping[str, Any], rows: Mapping[str, FileRows] | None) -> str | None:
    """Why a failure is of no sample; None where it may be."""
    file, row = failure["file"], failure["row"]
    if row < 0:
        return f"row is {row}, not a row number"
    if rows is None:
        return None
    if file not in rows:
        return f"{file!r} is no test file of the run"
    return rows[file].objection(row, failure.get("data_source"), failure.get("id"))


def _moved(path: Path, row: int) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path}: the record of row {row} is not where this run left it: nothing more is written",
        hint="whoever else changed it must stop, then `bootcamp resume`",
    )


def _size_bytes(path: Path) -> int:
    """The size of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise disk_error(error, f"look at {path}") from error


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_GOING_ON = re.compile(r"\.|(\.\d+)?[eE][+-]?")
_ESCAPE_GOING_ON = re.compile(r"\\?u[0-9a-fA-F]{0,4}")


def mend_tail(path: Path, check: Check = no_check) -> bool:
    """Cut off a torn last line, or end it where the record is whole; True where something was cut.

    Only the holder of the lock may call it, whose `check` is asked once the file is open.

    Raises:
        RunDirectoryError: what stands behind the last newline is no line of ours; nothing was changed.
    """
    try:
        with path.open("r+b") as file:
            check()
            size = file.seek(0, os.SEEK_END)
            start = _last_line_start(file, size)
            file.seek(start)
            tail = file.read()
            if not tail:
                return False
            if _is_object(tail):
                file.write(b"\n")
                return False
            if not is_torn(tail):
                raise RunDirectoryError(
                    f"{path}: the last line, which has no end, is not the start of a record",
                    hint="mend or remove that line; nothing was changed",
                )
            file.truncate(start)
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise disk_error(error, f"mend {path}") from error


def _last_line_start(file: Any, size: int) -> int:
    """The offset behind the last newline."""
    end = size
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + int(newline) + 1
        end = start
    return 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except (ValueError, RecursionError):
        return False


def is_torn(tail: bytes) -> bool:
    """Whether `tail` is a line of ours that was cut off: the start of a JSON object in UTF-8, no whole one.

    After a power cut NULs may stand where the rest was to be written. Anything else was put there by someone else, and
    must not be cut off. A line with its newline was not cut off either.
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
    """Whether a text that is no whole JSON document could become one by what follows."""
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
