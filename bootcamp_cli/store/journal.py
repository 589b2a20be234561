"""The journal: details and failures as whole lines, appended by one writer, replayed, repaired, ordered at the end.

A killed writer leaves the beginning of one of our lines after the last newline, and nothing else.
"""

import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import FileIO
from itertools import accumulate, pairwise, zip_longest
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import UNSET

from bootcamp_cli.errors import BootcampError, RunDirectoryError, disk_error
from bootcamp_cli.store.atomic import Check, no_check, remove, replacing, sync_directory
from bootcamp_cli.store.legacy import encode_onto, typed_record
from bootcamp_cli.store.lock import RunLock, tidy
from bootcamp_cli.store.records import (
    BriefHead,
    HalfRecord,
    HeadLine,
    RecordHead,
    damaged,
    damaged_failure,
    decode_record,
    foreign_parts,
    heads_of,
    is_torn,
    read_failure_lines,
    read_heads,
    read_lines,
    read_object,
    whole_heads,
)
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import (
    TO_BE_VERIFIED,
    FailureRecord,
    Manifest,
    Record,
    SampleKey,
    Shard,
    decode,
    encode_line,
    encode_record,
)

OWED, SCORED, UNVERIFIED, UNSCORED = range(4)
"""The state of a sample: no record; a score; an answer for `resume` to verify; no bootcamp (waits for `rescore`)."""

_AT_ONCE_BYTES = 64 * 2**20

_OPEN_AT_ONCE = 32
"""How many details files one check of the lock covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRows:
    """What is known of the rows of a test file that a run evaluates, each of them `n_repeats` times.

    `n_rows`: they are the first `n_rows` rows; None where rows in between are left out. `max_rows`: the file has no
    more rows than these. `id_is_row`: the id of a record is its row number. `samples`: the run takes only these (row,
    repeat). `shard` and `shard_rows`: it is this part of a run, and takes only these rows.
    """

    data_sources: frozenset[str]
    n_rows: int | None = None
    max_rows: int | None = None
    n_repeats: int = 1
    id_is_row: bool = False
    samples: frozenset[tuple[int, int]] | None = None
    shard: Shard | None = None
    shard_rows: range | None = None

    def objection(  # noqa: PLR0911 - one for each objection
        self, row: int, repeat: int, data_source: str | None, id_: Any
    ) -> str | None:
        """Why a record or failure does not belong to this file; None where it may."""
        if repeat >= self.n_repeats:
            return f"repeat is {repeat}, but this run asks each question {_times(self.n_repeats)}"
        if self.samples is not None and (row, repeat) not in self.samples:
            return f"repeat {repeat} of row {row} is not one that this run redoes"
        if self.shard_rows is not None and row not in self.shard_rows:
            return f"row {row} does not belong to this run, which is shard {self.shard}"
        if self.n_rows is not None and row >= self.n_rows:
            return f"row {row} does not belong to this run, which takes the rows 0 to {self.n_rows - 1}"
        if self.max_rows is not None and row >= self.max_rows:
            return f"row {row} is beyond the end of the test file"
        if data_source is not None and data_source not in self.data_sources:
            return f"data_source is {_shown(data_source)}, which the test file does not have"
        if self.id_is_row and id_ is not None and id_ != row:
            return f"id is {_shown(id_)}, but the id must be the row, {row}: the record is of other data"
        return None

    def admits(self, heads: Sequence[BriefHead]) -> bool:
        """Whether records certainly belong to this file; where it is False, `objection` tells."""
        numbers = [head.row for head in heads]
        ends = [end for end in (self.n_rows, self.max_rows) if end is not None]
        return (
            self.samples is None
            and (not ends or max(numbers) < min(ends))
            and (self.shard_rows is None or all(map(self.shard_rows.__contains__, numbers)))
            and self.data_sources.issuperset([head.data_source for head in heads])
            and (not self.id_is_row or [head.id for head in heads] == numbers)
        )


def _shown(value: Any) -> str:
    return shortened(repr(value), MAX_VALUE_CHARS)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def rows_by_file(manifest: Manifest) -> dict[str, RunRows]:
    """What the manifest tells about the rows of each test file."""
    all_selected = not any(manifest.identity.get(key) for key in ("include", "exclude", "sample"))
    shard = manifest.shard
    return {
        file.name: RunRows(
            data_sources=frozenset(name for name, _ in file.data_sources),
            n_rows=file.n_rows if all_selected and file.n_invalid == 0 else None,
            max_rows=file.size_bytes,
            n_repeats=manifest.repeats,
            id_is_row=file.id_rule == "row",
            samples=None if manifest.redo_of is None else frozenset(manifest.redo_of.samples.get(file.name, ())),
            shard=shard,
            shard_rows=None if shard is None else shard.rows(file.name),
        )
        for file in manifest.files
    }


@dataclass(slots=True, kw_only=True)
class DetailIndex:
    """Where each record of a details file is, in the order of the lines, and the state of each sample.

    A sample of the file is (row, repeat); its place in the order of all samples is `row * n_repeats + repeat`.
    It takes about 25 bytes per record. A sample that was verified later has two lines until the file is put in order:
    the later one counts.
    """

    n_repeats: int = 1
    places: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    n_answered: int = 0
    n_scored: int = 0
    score_sum: float = 0.0
    len_sum: int = 0
    size_bytes: int = 0

    @property
    def n_unverified(self) -> int:
        """Samples whose answer waits for its verdict."""
        return self.states.count(UNVERIFIED)

    def state(self, row: int, repeat: int = 0) -> int:
        """OWED, SCORED, UNVERIFIED or UNSCORED."""
        place = row * self.n_repeats + repeat
        return self.states[place] if place < len(self.states) else OWED

    def sample(self, position: int) -> tuple[int, int]:
        """The row and the repeat whose record is the line at this index."""
        return divmod(self.places[position], self.n_repeats)

    def add(self, record: RecordHead | Record, n_bytes: int) -> None:
        """Add a record that is, or is about to be, at the end of the file."""
        states, score = self.states, record.score
        place = (record.row or 0) * self.n_repeats + record.repeat
        if place >= len(states):
            states.extend(bytes(place + 1 - len(states)))
        if states[place] == OWED:
            self.n_answered += 1
            self.len_sum += record.output_len or 0
        if score is None or score is UNSET:
            states[place] = _without_score(record.failure)
        else:
            self.n_scored += 1
            self.score_sum += score
            states[place] = SCORED
        self.places.append(place)
        self.offsets.append(self.size_bytes)
        self.lengths.append(n_bytes)
        self.size_bytes += n_bytes

    def add_first(self, heads: Sequence[BriefHead], lengths: Sequence[int]) -> bool:
        """Add records that follow in the file; False, and nothing is added, if one is not the first of its sample."""
        states, n_repeats = self.states, self.n_repeats
        if max([head.repeat for head in heads]) >= n_repeats:
            return False
        places = [head.row * n_repeats + head.repeat for head in heads]
        states.extend(bytes(max(0, max(places) + 1 - len(states))))
        if len(set(places)) < len(places) or any(map(states.__getitem__, places)):
            return False
        for place, head in zip(places, heads, strict=True):
            states[place] = SCORED if head.score is not None else _without_score(head.failure)
        scores = [head.score for head in heads if head.score is not None]
        self.n_answered += len(places)
        self.n_scored += len(scores)
        self.score_sum = sum(scores, self.score_sum)
        self.len_sum += sum([head.output_len or 0 for head in heads])
        self.places.fromlist(places)
        self.offsets.extend(accumulate(lengths[:-1], initial=self.size_bytes))
        self.lengths.extend(lengths)
        self.size_bytes += sum(lengths)
        return True

    def in_order(self) -> bool:
        """Whether every sample occurs once and in ascending order."""
        return all(one < next_ for one, next_ in pairwise(self.places))

    def latest_in_order(self) -> list[int]:
        """Line indexes in the order of the samples: only the latest line of each."""
        places = self.places
        order = sorted(range(len(places)), key=places.__getitem__)
        return [i for i, later in zip_longest(order, order[1:]) if later is None or places[later] != places[i]]

    def unverified(self) -> list[int]:
        """Line indexes of the records whose answer waits for its verdict, in the order of the samples."""
        if not self.n_unverified:
            return []
        return [i for i in self.latest_in_order() if self.states[self.places[i]] == UNVERIFIED]


def _without_score(failure: str | None) -> int:
    return UNVERIFIED if failure in TO_BE_VERIFIED else UNSCORED


def open_journal(
    run_dir: RunDir, lock: RunLock, files: Iterable[str], rows: Mapping[str, RunRows] | None = None
) -> "Journal":
    """Clean up after a killed process, replay what is there and repair torn last lines.

    `rows` is what is known of the test files.

    Raises:
        RunDirectoryError: a file is a symbolic link, or holds lines that `bootcamp` did not write or that do not belong
            to these rows; no file is changed then.
    """
    tidy(run_dir.path)
    known = rows or {}
    paths = {file: run_dir.details / file for file in files}
    for path in (*paths.values(), run_dir.failures):
        if path.is_symlink():
            raise RunDirectoryError(
                f"{path} is a symbolic link, and links are never written through",
                hint="put the file itself in its place",
            )
    details = {file: replay(path, known.get(file)) for file, path in paths.items()}
    read_failures(run_dir, rows)
    for file, path in paths.items():
        repair_tail(path, lock.check)
        if details[file].size_bytes != _size_bytes(path):
            details[file] = replay(path, known.get(file))
    repair_tail(run_dir.failures, lock.check)
    return Journal(run_dir, lock, details)


def _size_bytes(path: Path) -> int:
    """The size of a file, 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise disk_error(error, f"look at {path}") from error


class Journal:
    """Appends records and failures to a locked run directory.

    `details` holds an index per test file, kept up to date with what is on disk. All methods block, so call them in a
    thread, and only one at a time.
    """

    def __init__(self, run_dir: RunDir, lock: RunLock, details: dict[str, DetailIndex]) -> None:
        self.run_dir = run_dir
        self.lock = lock
        self.details = details
        self._dirty: set[Path] = set()
        self._written: dict[SampleKey, dict[str, Any]] = {}

    def append(self, batch: Iterable[tuple[str, Record]]) -> None:
        """Append records, each given with the name of its test file: whole lines, in one write per file.

        Raises:
            DiskError: the file system refuses; what was written before remains valid.
            LockLostError: another process took the run directory over; nothing more was written.
            RunDirectoryError: a file is not as this journal left it; nothing more was written.
        """
        lines: dict[str, list[tuple[Record, bytes]]] = {}
        for file, record in batch:
            lines.setdefault(file, []).append((record, self._line(file, record)))
        files = list(lines)
        for start in range(0, len(files), _OPEN_AT_ONCE):
            self._append_lines({file: lines[file] for file in files[start : start + _OPEN_AT_ONCE]})

    def append_failures(self, failures: Sequence[FailureRecord]) -> None:
        """Append samples that ended without an answer."""
        if failures:
            path = self.run_dir.failures
            with self._opened(path, may_be_new=True) as descriptor:
                self.lock.check()
                self._append_bytes(descriptor, path, b"".join(map(encode_line, failures)))

    def read_record(self, file: str, position: int) -> Record:
        """The record at a line index of a details file; other keys of its line are kept when it is appended again.

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
            stored = _stored(path, position + 1, line)
        except BootcampError:
            stored = None
        if stored is None or (stored.record.row, stored.record.repeat) != index.sample(position):
            self.lock.check()
            raise _moved(path, index.sample(position))
        if stored.written is not None:
            self._written[SampleKey(file, *index.sample(position))] = stored.written
        return stored.record

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
        """Put the details of one test file in the order of its samples, one line each, in one atomic replacement.

        Raises:
            RunDirectoryError: a record is not where this journal left it; the file stays as it is.
        """
        index = self.details[file]
        if index.in_order():
            return
        path = self.run_dir.details / file
        ordered = replace(index, places=array("q"), offsets=array("q"), lengths=array("q"), size_bytes=0)
        try:
            with (
                path.open("rb", buffering=0) as source,
                replacing(path, self.lock.check) as target,
                _line_reader(source, index.size_bytes) as read,
            ):
                self._require_as_left(file, source.fileno())
                for i in index.latest_in_order():
                    line = read(index.lengths[i], index.offsets[i])
                    if line.find(b"\n") != index.lengths[i] - 1:
                        self.lock.check()
                        raise _moved(path, index.sample(i))
                    target.write(line)
                    ordered.places.append(index.places[i])
                    ordered.offsets.append(ordered.size_bytes)
                    ordered.lengths.append(index.lengths[i])
                    ordered.size_bytes += index.lengths[i]
        except OSError as error:
            raise disk_error(error, f"order {path}") from error
        self._dirty.discard(path)
        self.details[file] = ordered

    def set_aside(self, file: str, samples: Container[tuple[int, int]], rows: RunRows) -> None:
        """Move the records of these (row, repeat) to the end of redone/{file}; the samples are owed again.

        They are on disk there before they leave the details: a process that is killed in between leaves them in both.

        Raises:
            DiskError: the file system refuses; no record is lost.
            RunDirectoryError: a record is not where this journal left it; the details stay as they are.
        """
        index = self.details[file]
        path, aside = self.run_dir.details / file, self.run_dir.redone / file
        try:
            aside.parent.mkdir(exist_ok=True)
            with path.open("rb", buffering=0) as source, replacing(path, self.lock.check) as kept:
                self._require_as_left(file, source.fileno())
                repair_tail(aside, self.lock.check)
                with self._opened(aside, may_be_new=True) as moved:
                    for i, (offset, length) in enumerate(zip(index.offsets, index.lengths, strict=True)):
                        line = os.pread(source.fileno(), length, offset)
                        if index.sample(i) in samples:
                            _write_all(moved, line)
                        else:
                            kept.write(line)
                    os.fsync(moved)
        except OSError as error:
            raise disk_error(error, f"set records of {path} aside") from error
        sync_directory(aside.parent)
        self._dirty.discard(path)
        self.details[file] = replay(path, rows)

    def settle_failures(self) -> None:
        """Keep only the last line of each sample without a record in failures.jsonl, in order."""
        last = {
            line.failure.key: line.content
            for line in read_failure_lines(self.run_dir.failures)
            if self._is_owed(line.failure.key)
        }
        if last:
            with replacing(self.run_dir.failures, self.lock.check) as file:
                file.writelines(last[key] + b"\n" for key in sorted(last))
        else:
            remove(self.run_dir.failures, self.lock.check)
        self._dirty.discard(self.run_dir.failures)

    def _is_owed(self, key: SampleKey) -> bool:
        index = self.details.get(key.file)
        return index is None or index.state(key.row, key.repeat) == OWED

    def _line(self, file: str, record: Record) -> bytes:
        """The line of a record, with the other keys of the line that it was read from, if any."""
        if self._written and (written := self._written.pop(SampleKey(file, record.row, record.repeat), None)):
            return encode_onto(written, record)
        return encode_record(record)

    def _require_as_left(self, file: str, descriptor: int) -> None:
        """Refuse a details file that is not as this journal left it: the index would be wrong."""
        path, expected = self.run_dir.details / file, self.details[file].size_bytes
        if (found := os.fstat(descriptor).st_size) != expected:
            self.lock.check()
            raise RunDirectoryError(
                f"{path} has {found} bytes, but this run left {expected}: nothing more is written",
                hint="stop whatever else changes it and run `bootcamp resume`",
            )

    def _append_lines(self, lines: Mapping[str, Sequence[tuple[Record, bytes]]]) -> None:
        """Append to some details files, which are opened before a single check of the lock."""
        with ExitStack() as stack:
            opened = {}
            for file in lines:
                may_be_new = not self.details[file].size_bytes
                opened[file] = stack.enter_context(self._opened(self.run_dir.details / file, may_be_new=may_be_new))
            self.lock.check()
            for file, descriptor in opened.items():
                self._require_as_left(file, descriptor)
            for file, entries in lines.items():
                index, content = self.details[file], b"".join(line for _, line in entries)
                self._append_bytes(opened[file], self.run_dir.details / file, content, start=index.size_bytes)
                for record, line in entries:
                    index.add(record, len(line))

    @contextmanager
    def _opened(self, path: Path, *, may_be_new: bool) -> Iterator[int]:
        """A file opened for appending, created where it may be new; errors raised in the block pass through."""
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

    def _append_bytes(self, descriptor: int, path: Path, content: bytes, *, start: int | None = None) -> None:
        """Append to a file, `start` bytes long, all or nothing."""
        self._dirty.add(path)
        try:
            if start is None:
                start = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        except OSError as error:
            raise disk_error(error, f"write {path}") from error


def _moved(path: Path, sample: tuple[int, int]) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path}: the record of row {sample[0]} is not where this run left it; nothing more is written",
        hint="stop whatever else changes it and run `bootcamp resume`",
    )


@contextmanager
def _line_reader(file: FileIO, size_bytes: int) -> Iterator[Callable[[int, int], bytes]]:
    """What gives the bytes of a line by length and offset: of a small file from memory, which saves a call for each.

    The memory is the system's, which gets it back whole; of Python's, holes would stay.
    """
    if 0 < size_bytes <= _AT_ONCE_BYTES:
        with mmap(-1, size_bytes) as memory:
            if file.readinto(memory) == size_bytes:
                yield lambda length, offset: memory[offset : offset + length]
                return
    yield partial(os.pread, file.fileno())


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replay(path: Path, rows: RunRows | None = None) -> DetailIndex:
    """The index of a details file, empty where there is no file. `rows` is what is known of the test file.

    Raises:
        RunDirectoryError: a line is not a record or does not belong to the test file, or a sample has two that count.
    """
    index = empty_index(rows)
    n_lines = 0
    for lines, is_ascii in read_lines(path) if path.exists() else ():
        if not _added_at_once(lines, index, rows, is_ascii=is_ascii):
            heads = heads_of(path, n_lines + 1, lines, is_ascii=is_ascii)
            for number, (_, n_bytes, head) in enumerate(heads, start=n_lines + 1):
                _add((number, n_bytes, head), path, index, rows)
        n_lines += len(lines)
    return index


def _added_at_once(lines: list[bytes], index: DetailIndex, rows: RunRows | None, *, is_ascii: bool) -> bool:
    """Add lines to an index, if each is plainly the first record of one of its samples; else nothing is added."""
    heads = whole_heads(lines, BriefHead, is_ascii=is_ascii)
    if heads is None or (rows is not None and not rows.admits(heads)):
        return False
    pending = [
        line for line, head in zip(lines, heads, strict=True) if head.score is None and head.failure in TO_BE_VERIFIED
    ]
    whole = whole_heads(pending, RecordHead, is_ascii=is_ascii)
    if whole is None or any(head.lacks_for_verification() for head in whole):
        return False
    return index.add_first(heads, list(map(len, lines)))


def empty_index(rows: RunRows | None) -> DetailIndex:
    """The index of a details file without records."""
    return DetailIndex() if rows is None else DetailIndex(n_repeats=rows.n_repeats)


def replay_lines(
    path: Path, index: DetailIndex, rows: RunRows | None = None, kind: type[RecordHead] = RecordHead
) -> Iterator[HeadLine]:
    """Add the lines of a details file to its index, and yield each that belongs there, its head of this kind.

    Raises:
        RunDirectoryError: a line is not a record or does not belong to the test file, or a sample has two that count.
    """
    for line in read_heads(path, kind=kind):
        _add(line, path, index, rows)
        yield line


def _add(line: HeadLine, path: Path, index: DetailIndex, rows: RunRows | None) -> None:
    number, n_bytes, head = line
    if objection := _objection(head, index, rows):
        raise damaged(path, number, objection)
    index.add(head, n_bytes)


def _objection(head: RecordHead, index: DetailIndex, rows: RunRows | None) -> str | None:
    """Why a record cannot follow in a details file; None where it can."""
    row, repeat = head.row, head.repeat
    if row is None or head.score is UNSET:
        return f"{'row' if row is None else 'score'} is missing"
    if repeat >= index.n_repeats:
        return f"repeat is {repeat}, but this run asks each question {_times(index.n_repeats)}"
    if index.state(row, repeat) in _FINAL:
        return f"{_sample(row, repeat, index.n_repeats)} already has a record"
    if rows is not None and (objection := rows.objection(row, repeat, head.data_source, head.id)):
        return objection
    if head.score is None and head.failure in TO_BE_VERIFIED and (key := head.lacks_for_verification()):
        return f"{key} is missing or of the wrong type, but the answer has yet to be verified"
    return None


def _sample(row: int, repeat: int, n_repeats: int) -> str:
    return f"row {row}" if n_repeats == 1 else f"repeat {repeat} of row {row}"


_FINAL = frozenset({SCORED, UNSCORED})


def read_failures(run_dir: RunDir, rows: Mapping[str, RunRows] | None = None) -> list[FailureRecord]:
    """The lines of failures.jsonl, a torn last one left out; empty where there is no such file.

    `rows` is what is known of the test files.

    Raises:
        RunDirectoryError: a line is not a failure, or does not belong to the test files; the message names it.
    """
    found = []
    for number, _, failure in read_failure_lines(run_dir.failures):
        if rows is not None and (objection := _failure_objection(failure, rows)):
            raise damaged_failure(number, objection)
        found.append(failure)
    return found


def _failure_objection(failure: FailureRecord, rows: Mapping[str, RunRows]) -> str | None:
    """Why a failure does not belong to the run; None where it may."""
    if failure.file not in rows:
        return f"{failure.file!r} is not a test file of the run"
    return rows[failure.file].objection(failure.row, failure.repeat, failure.data_source, failure.id)


class StoredRecord(NamedTuple):
    """A record as it stands in a file.

    `written` is the JSON object of the line where that is not exactly what this tool writes: there are other keys in
    it, some are missing, or some have values of another type.
    """

    number: int
    content: bytes
    record: Record
    written: dict[str, Any] | None

    @property
    def has_row(self) -> bool:
        """Whether the line names its row: one without a row is a sample of its own."""
        return self.written is None or type(self.written.get("row")) is int

    def encode(self, record: Record) -> bytes:
        """The line of the same record with another verdict."""
        return encode_record(record) if self.written is None else encode_onto(self.written, record)


class StoredHalf(NamedTuple):
    """Half a record as it stands in a file of run_eval.py: nothing can be verified, and its bytes stay as they are."""

    content: bytes
    half: HalfRecord


def read_records(path: Path) -> Iterator[StoredRecord]:
    """Stream the records of a details file of this tool; a torn last line is left out.

    Raises:
        RunDirectoryError: a line is not a record that can be verified; the message names `file:line`.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                stored = _stored(path, number, line)
                if stored is None:
                    return
                yield stored
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def _stored(path: Path, number: int, line: bytes) -> StoredRecord | None:
    """The record of a line; None where it is torn."""
    content = line.rstrip(b"\r\n")
    record = decode_record(line)
    if record is not None:
        return StoredRecord(number, content, record, None)
    written = read_object(path, number, line)
    if written is None:
        return None
    return StoredRecord(number, content, typed_record(written, path, number, None), written)


def read_foreign_records(path: Path, data_source: str | None) -> Iterator[StoredRecord | StoredHalf]:
    """Stream the records of a details file that no run of this tool wrote; a torn last line is left out.

    `data_source` is that of records that do not name theirs.

    Raises:
        RunDirectoryError: a line is not a record that can be verified; the message names `file:line`.
        UsageError: nothing tells the data source of a record.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if (record := decode_record(line)) is not None:
                    yield StoredRecord(number, line.rstrip(b"\r\n"), record, None)
                    continue
                for part in foreign_parts(path, number, line):
                    if part.is_whole:
                        record = typed_record(part.written, path, number, data_source)
                        yield StoredRecord(number, part.content, record, part.written)
                    else:
                        yield StoredHalf(part.content, part.half(path, number))
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def repair_tail(path: Path, check: Check = no_check) -> bool:
    """Cut off a torn last line, or end it if the record is whole; True if something was cut off.

    Only the holder of the lock may call it; its `check` is called once the file is open.

    Raises:
        RunDirectoryError: what follows the last newline is not a line of ours; nothing was changed.
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
                    f"{path}: the last line has no line end and is not the beginning of a record",
                    hint="fix or remove that line; nothing was changed",
                )
            file.truncate(start)
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise disk_error(error, f"repair {path}") from error


def _last_line_start(file: Any, size: int) -> int:
    """The offset after the last newline."""
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
