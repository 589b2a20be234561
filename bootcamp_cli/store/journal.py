"""The journal: the one writer of details and failures. Whole lines, appended, synced in batches, ordered at the end."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bootcamp_cli.encoding import encode_line
from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.atomic import remove_leftovers, replacing, sync_directory
from bootcamp_cli.store.lock import RunLock
from bootcamp_cli.store.record import encode_record
from bootcamp_cli.store.replay import DetailIndex, mend_tail, replay
from bootcamp_cli.store.run_dir import RunDir


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
            LockLostError: another process took the run directory over; nothing was written.
        """
        lines: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
        for file, record in batch:
            lines.setdefault(file, []).append((record, encode_record(record)))
        self.lock.check()
        for file, entries in lines.items():
            self._append_bytes(self.run_dir.details / file, b"".join(line for _, line in entries))
            index = self.details[file]
            for record, line in entries:
                index.add(record["row"], record["score"], record.get("failure"), len(line), record["output_len"])

    def append_failures(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Append samples that ended without an answer."""
        if failures:
            self.lock.check()
            self._append_bytes(self.run_dir.failures, b"".join(map(encode_line, failures)))

    def read_record(self, file: str, position: int) -> dict[str, Any]:
        """The record at a line index of a details file."""
        index = self.details[file]
        path = self.run_dir.details / file
        try:
            with path.open("rb") as details:
                details.seek(index.offsets[position])
                record: dict[str, Any] = json.loads(details.read(index.lengths[position]))
        except OSError as error:
            raise disk_error(error, f"read {path}") from error
        return record

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
        """Put the details of one test file in row order, one line per row, by an atomic replacement."""
        index = self.details[file]
        if index.in_order():
            return
        self.lock.check()
        path = self.run_dir.details / file
        ordered = DetailIndex(
            states=index.states,
            n_rows=index.n_rows,
            n_scored=index.n_scored,
            score_sum=index.score_sum,
            len_sum=index.len_sum,
        )
        try:
            with path.open("rb", buffering=0) as source, replacing(path) as target:
                for i in index.latest_in_row_order():
                    target.write(os.pread(source.fileno(), index.lengths[i], index.offsets[i]))
                    ordered.rows.append(index.rows[i])
                    ordered.offsets.append(ordered.size_bytes)
                    ordered.lengths.append(index.lengths[i])
                    ordered.size_bytes += index.lengths[i]
                self.lock.check()
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
        self.lock.check()
        if failures:
            with replacing(self.run_dir.failures) as file:
                file.writelines(map(encode_line, failures))
        else:
            try:
                self.run_dir.failures.unlink(missing_ok=True)
            except OSError as error:
                raise disk_error(error, f"remove {self.run_dir.failures}") from error
        self._dirty.discard(self.run_dir.failures)
        return failures

    def _append_bytes(self, path: Path, content: bytes) -> None:
        self._dirty.add(path)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                start = os.fstat(descriptor).st_size
                try:
                    _write_all(descriptor, content)
                except OSError:
                    os.ftruncate(descriptor, start)
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise disk_error(error, f"write {path}") from error


def open_journal(run_dir: RunDir, lock: RunLock, files: Iterable[str]) -> Journal:
    """Tidy up after a killed process, mend torn last lines and replay what is there.

    Raises:
        RunDirectoryError: a details file holds what no bootcamp wrote.
    """
    for directory in (run_dir.path, run_dir.details):
        remove_leftovers(directory)
    details = {}
    for file in files:
        mend_tail(run_dir.details / file)
        details[file] = replay(run_dir.details / file)
    mend_tail(run_dir.failures)
    return Journal(run_dir, lock, details)


def read_failures(run_dir: RunDir) -> list[dict[str, Any]]:
    """The lines of failures.jsonl, a torn last one left out; empty where there is no such file.

    Raises:
        RunDirectoryError: a line is no failure; the message names it.
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
            if not line.endswith(b"\n"):
                break
            raise RunDirectoryError(
                f"failures.jsonl:{number}: not readable ({error})", hint="mend or remove that line"
            ) from error
        failures.append(failure)
    return failures


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
