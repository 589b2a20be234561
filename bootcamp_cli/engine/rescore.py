"""Verifying kept outputs again: no request is made, records are replaced file by file."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import anyio

from bootcamp_cli.analysis.summary import detail_files
from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.errors import RunDirectoryError, UsageError, first_error
from bootcamp_cli.settings.model import EvalSettings
from bootcamp_cli.store.atomic import replacing
from bootcamp_cli.store.journal import (
    REFERENCE_FIELDS,
    DetailIndex,
    DetailLine,
    FileRows,
    encode_record,
    head_of,
    read_details,
    rows_by_file,
    take,
    with_verdict,
)
from bootcamp_cli.store.legacy import data_source_by_file
from bootcamp_cli.store.lock import RunLock
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import REVERIFIABLE, BootcampRef, Verdict, verified_text
from bootcamp_cli.verification.pool import VerifierPool, verifier_pool

_CHUNK = 512
_CHUNK_BYTES = 4 * 1024 * 1024
_N_FILES = 4
"""Files in work at once: while one is read or written, the workers have the records of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """One record whose verdict is another one than before; `line` is its 1-based line in the details file."""

    file: str
    line: int
    id: Any
    before: float | None
    after: float | None
    failure: str | None


@dataclass(slots=True, kw_only=True)
class Rescored:
    """What rescoring did, or would do: counts, changes, and the data sources without a bootcamp with their rows."""

    n_records: int = 0
    n_verified: int = 0
    changes: list[ScoreChange] = field(default_factory=list)
    without_bootcamp: dict[str, int] = field(default_factory=dict)


async def rescore(run_dir: RunDir, settings: EvalSettings, lock: RunLock | None) -> Rescored:
    """Verify every kept output again; without a lock (a dry run) nothing is written.

    A record whose data source has no bootcamp stays as it is.

    All files are read through before the first is replaced: what cannot be rescored leaves everything as it was.

    Raises:
        RunDirectoryError: a line is no record with an output and a ground truth.
        UsageError: nothing tells the data source of a record.
    """
    result = Rescored()
    resolver = _Memory(Resolver(settings.bootcamps, settings.bootcamps_path))
    manifest = run_dir.read_manifest()
    rows = None if manifest is None else rows_by_file(manifest, run_dir.manifest)
    known = data_source_by_file(run_dir) if rows is None else {}
    async with await verifier_pool(settings) as pool:
        files = [
            _FileRescore(path, known.get(path.name), resolver, pool, result) for path in detail_files(run_dir, rows)
        ]
        for file in files:
            await anyio.to_thread.run_sync(file.look_through, rows)
        limiter = anyio.CapacityLimiter(_N_FILES)
        try:
            async with anyio.create_task_group() as tasks:
                for file in files:
                    tasks.start_soon(file.run, lock, limiter)
        except ExceptionGroup as group:
            raise first_error(group) from group
    result.changes.sort(key=lambda change: (change.file, change.line))
    return result


class _Memory:
    """Resolves each data source once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._refs: dict[str, BootcampRef | None] = {}

    def resolve(self, data_source: str) -> BootcampRef | None:
        if data_source not in self._refs:
            self._refs[data_source] = self._resolver.resolve(data_source)
        return self._refs[data_source]


class _FileRescore:
    """One details file, a chunk of records at a time, in the order of its lines."""

    def __init__(
        self, path: Path, data_source: str | None, resolver: _Memory, pool: VerifierPool, result: Rescored
    ) -> None:
        self._path = path
        self._data_source = data_source
        self._resolver = resolver
        self._pool = pool
        self._result = result
        self._superseded: set[int] = set()

    def look_through(self, rows: Mapping[str, FileRows] | None) -> None:
        """Check every line, and find those of verifier failures whose row has a later line: they do not stay.

        `rows`: what a run of this tool knows of its test files; there every record has a row, and no row two verdicts.
        """
        index = DetailIndex()
        waiting: dict[int, int] = {}
        for line in read_details(self._path):
            self._checked(line)
            head = head_of(line.record)
            if rows is not None:
                take(index, self._path, line.number, line.length, head, rows[self._path.name])
            if type(head.row) is not int:
                continue
            if head.row in waiting:
                self._superseded.add(waiting.pop(head.row))
            if isinstance(head.failure, str) and head.failure in REVERIFIABLE:
                waiting[head.row] = line.number

    async def run(self, lock: RunLock | None, limiter: anyio.CapacityLimiter) -> None:
        """Verify the file's records; `limiter` holds the number of files that are in work at once."""
        lines = (line for line in read_details(self._path) if line.number not in self._superseded)
        async with limiter:
            await self._run(lines, lock)

    async def _run(self, lines: Iterator[DetailLine], lock: RunLock | None) -> None:
        with _replacing(self._path, lock) as target:
            while chunk := await anyio.to_thread.run_sync(_chunk, lines):
                records = await self._verified(chunk)
                if target is not None:
                    await anyio.to_thread.run_sync(target.writelines, [encode_record(record) for record in records])

    async def _verified(self, chunk: list[DetailLine]) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = [line.record for line in chunk]

        async def verify(position: int) -> None:
            records[position] = await self._again(chunk[position])

        async with anyio.create_task_group() as tasks:
            for position in range(len(chunk)):
                tasks.start_soon(verify, position)
        return records

    async def _again(self, line: DetailLine) -> dict[str, Any]:
        record = line.record
        output, data_source = self._checked(line)
        self._result.n_records += 1
        ref = self._resolver.resolve(data_source)
        if ref is None:
            missing = self._result.without_bootcamp
            missing[data_source] = missing.get(data_source, 0) + 1
            return record
        verdict = await self._pool.verify(ref, output, record["ground_truth"])
        self._result.n_verified += 1
        before = record.get("score")
        if before != verdict.score:
            self._result.changes.append(_change(self._path.name, line, verdict))
        return _completed(with_verdict(record, verdict), output, data_source)

    def _checked(self, line: DetailLine) -> tuple[str, str]:
        """The text that is verified and the data source of a record."""
        record = line.record
        output, reasoning = record.get("output"), record.get("reasoning_content")
        data_source = record.get("data_source")
        if data_source is None:
            data_source = self._data_source
        if data_source is None:
            raise UsageError(
                f"details/{self._path.name}:{line.number}: the record has no data_source, and neither meta.jsonl nor "
                "the file's name tells it beyond doubt",
                hint="add data_source to its records, or name the file after it; nothing was changed",
            )
        for key, fine in (
            ("output", isinstance(output, str)),
            ("reasoning_content", reasoning is None or isinstance(reasoning, str)),
            ("ground_truth", "ground_truth" in record),
            ("data_source", isinstance(data_source, str)),
        ):
            if not fine:
                raise RunDirectoryError(
                    f"details/{self._path.name}:{line.number}: {key} is missing or of the wrong type",
                    hint="a record needs id, prompt, output, ground_truth and data_source; nothing was changed",
                )
        return verified_text(str(output), reasoning), str(data_source)


def _chunk(lines: Iterator[DetailLine]) -> list[DetailLine]:
    """The next records, as many as make a batch for all workers and no burden for the memory."""
    chunk: list[DetailLine] = []
    n_bytes = 0
    while len(chunk) < _CHUNK and n_bytes < _CHUNK_BYTES and (line := next(lines, None)):
        chunk.append(line)
        n_bytes += line.length
    return chunk


@contextlib.contextmanager
def _replacing(path: Path, lock: RunLock | None) -> Iterator[BinaryIO | None]:
    """A file that takes the place of `path`; None in a dry run."""
    if lock is None:
        yield None
        return
    with replacing(path, lock.check) as target:
        yield target


def _completed(record: dict[str, Any], output: str, data_source: str) -> dict[str, Any]:
    """The record with the reference's fields first and in its order, and with length and data source if it had none.

    The averages by which meta.jsonl told the data source are those of the scores before.
    """
    if record.get("output_len") is None:
        record |= {"output_len": len(output.split()), "output_len_estimated": True}
    if record.get("data_source") is None:
        record |= {"data_source": data_source}
    first = {key: record[key] for key in REFERENCE_FIELDS if key in record}
    return first | record


def _change(file: str, line: DetailLine, verdict: Verdict) -> ScoreChange:
    return ScoreChange(
        file=file,
        line=line.number,
        id=line.record.get("id"),
        before=line.record.get("score"),
        after=verdict.score,
        failure=verdict.failure,
    )
