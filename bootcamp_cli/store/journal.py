"""The journal: the one writer of details and failures. Whole lines, appended, synced in batches, ordered at the end."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bootcamp_cli.encoding import encode_line
from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.atomic import remove, replacing, sync_directory
from bootcamp_cli.store.belonging import FileRows
from bootcamp_cli.store.lock import RunLock
from bootcamp_cli.store.record import encode_record
from bootcamp_cli.store.replay import DetailIndex, replay
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.takeover import tidy
from bootcamp_cli.store.torn import is_torn, mend_tail

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
