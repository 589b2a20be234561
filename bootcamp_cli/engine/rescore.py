"""Verify kept outputs again: no request is made, and records are replaced file by file."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import anyio

from bootcamp_cli.bootcamps.digest import verifier_version
from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.engine.session import in_thread
from bootcamp_cli.errors import ungrouped
from bootcamp_cli.events import Emit
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.atomic import replacing
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.journal import (
    StoredHalf,
    StoredRecord,
    replay,
)
from bootcamp_cli.store.lock import RunLock
from bootcamp_cli.store.records import HalfRecord, with_verdict
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import TO_BE_VERIFIED, BootcampRef, SampleId, Verdict, VerifierVersion, verified_text
from bootcamp_cli.verification.executor import VerificationExecutor, verification_executor

_Resolve = Callable[[str], BootcampRef | None]

_CHUNK = 512
_CHUNK_BYTES = 4 * 1024 * 1024
_N_FILES = 4
"""Files processed at once: while one is read or written, the workers are busy with the records of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """One record whose verdict has changed; `line` is its 1-based line in the details file."""

    file: str
    line: int
    id: SampleId
    before: float | None
    after: float | None
    failure: str | None


@dataclass(slots=True, kw_only=True)
class Rescored:
    """What rescoring did, or would do.

    `verifiers` are those that scored, by data source, and of the run's other data sources those that will;
    `without_bootcamp` counts the records of each data source that has none. `halves` are half records of run_eval.py:
    without an output there is nothing to verify, so they keep the score that they have.
    """

    n_records: int = 0
    n_verified: int = 0
    changes: list[ScoreChange] = field(default_factory=list)
    verifiers: dict[str, VerifierVersion] = field(default_factory=dict)
    without_bootcamp: dict[str, int] = field(default_factory=dict)
    halves: list[HalfRecord] = field(default_factory=list)


async def rescore(
    run_dir: RunDir,
    settings: Settings,
    lock: RunLock | None,
    begin: Callable[[], None] = lambda: None,
    *,
    emit: Emit | None = None,
) -> Rescored:
    """Verify every kept output again; without a lock (a dry run) nothing is written.

    `begin` is called, in a thread, when everything was read through and the first file is about to be replaced.

    A record whose data source has no bootcamp stays as it is.

    All files are read through before the first is replaced: what cannot be rescored leaves everything as it was.

    Raises:
        RunDirectoryError: a line is not a record with an output and a ground truth.
        UsageError: nothing tells the data source of a record.
        ServerUnavailableError: the cluster that is to verify is not there.
    """
    result = Rescored()
    resolver = await anyio.to_thread.run_sync(Resolver, settings.bootcamps, settings.bootcamps_path)

    @cache
    def resolve(data_source: str) -> BootcampRef | None:
        ref = resolver.resolve(data_source)
        if ref is not None:
            result.verifiers[data_source] = verifier_version(ref)
        return ref

    files = await anyio.to_thread.run_sync(_files, run_dir, resolve, result)
    async with await verification_executor(settings, run_dir.path, emit) as pool:
        if lock is not None:
            await anyio.to_thread.run_sync(begin)
        limiter = anyio.CapacityLimiter(_N_FILES)
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                for file in files:
                    tasks.start_soon(file.run, pool, lock, limiter)
    result.changes.sort(key=lambda change: (change.file, change.line))
    result.halves.sort(key=lambda half: (half.file, half.line))
    return result


def _files(run_dir: RunDir, resolve: _Resolve, result: Rescored) -> "list[_FileRescore]":
    """The details files, every line of them checked."""
    details = RunDetails(run_dir)
    files = [_FileRescore(path, details, resolve, result) for path in details.files()[0]]
    for file in files:
        file.look_through()
    for entry in details.manifest.files if details.manifest is not None else ():
        for data_source, _ in entry.data_sources:
            resolve(data_source)
    return files


class _FileRescore:
    """One details file, a chunk of records at a time, in the order of its lines."""

    def __init__(self, path: Path, details: RunDetails, resolve: _Resolve, result: Rescored) -> None:
        self._path = path
        self._details = details
        self._resolve = resolve
        self._result = result
        self._superseded: set[int] = set()

    def look_through(self) -> None:
        """Check every line, and find the pending answers whose sample has a later line: these are dropped.

        In a run of this tool every record has a row and no sample has two verdicts.
        """
        if (rows := self._details.rows) is not None:
            replay(self._path, rows[self._path.name])
        pending: dict[tuple[int, int], int] = {}
        for position, stored in enumerate(self._stored()):
            if isinstance(stored, StoredHalf):
                continue
            self._resolve(stored.record.data_source)
            if not stored.has_row:
                continue
            sample = stored.record.row, stored.record.repeat
            if sample in pending:
                self._superseded.add(pending.pop(sample))
            if stored.record.failure in TO_BE_VERIFIED:
                pending[sample] = position

    async def run(self, pool: VerificationExecutor, lock: RunLock | None, limiter: anyio.CapacityLimiter) -> None:
        """Verify the file's records; `limiter` bounds the number of files that are processed at once."""
        records = (stored for position, stored in enumerate(self._stored()) if position not in self._superseded)
        async with limiter, _replacing(self._path, lock) as target:
            is_last = False
            while not is_last:
                chunk, is_last = await anyio.to_thread.run_sync(_chunk, records)
                verdicts = await self._verified(chunk, pool)
                self._count(chunk, verdicts)
                if target is not None:
                    await anyio.to_thread.run_sync(_write, target, chunk, verdicts)

    def _stored(self) -> "Iterator[_Stored]":
        return self._details.records(self._path)

    async def _verified(self, chunk: "list[_Stored]", pool: VerificationExecutor) -> "_Verdicts":
        """The new verdicts of a chunk, by position.

        Raises:
            anyio.ClosedResourceError: the executor was closed in the meantime.
        """
        due = [
            (position, ref, stored.record)
            for position, stored in enumerate(chunk)
            if isinstance(stored, StoredRecord) and (ref := self._resolve(stored.record.data_source)) is not None
        ]
        verdicts: _Verdicts = {}
        n_left, all_came = len(due), anyio.Event()

        def take(position: int, verdict: Verdict | None) -> None:
            nonlocal n_left
            n_left -= 1
            if verdict is not None:
                verdicts[position] = verdict
            if not n_left:
                all_came.set()

        for position, ref, record in due:
            text = verified_text(record.output, record.reasoning_content)
            pool.submit(ref, text, record.ground_truth, partial(take, position))
        if due:
            await all_came.wait()
        if len(verdicts) < len(due):
            raise anyio.ClosedResourceError
        return verdicts

    def _count(self, chunk: "list[_Stored]", verdicts: "_Verdicts") -> None:
        result = self._result
        result.n_verified += len(verdicts)
        for position, stored in enumerate(chunk):
            if isinstance(stored, StoredHalf):
                result.halves.append(stored.half)
                continue
            result.n_records += 1
            verdict = verdicts.get(position)
            if verdict is None:
                name = stored.record.data_source
                result.without_bootcamp[name] = result.without_bootcamp.get(name, 0) + 1
            elif stored.record.score != verdict.score:
                result.changes.append(_change(self._path.name, stored, verdict))


_Stored = StoredRecord | StoredHalf

_Verdicts = dict[int, Verdict]


def _chunk(records: Iterator[_Stored]) -> tuple[list[_Stored], bool]:
    """The next records, enough to keep all workers busy, few enough to fit in memory; and whether they are the last."""
    chunk: list[_Stored] = []
    n_bytes = 0
    for stored in records:
        chunk.append(stored)
        n_bytes += len(stored.content)
        if len(chunk) == _CHUNK or n_bytes >= _CHUNK_BYTES:
            return chunk, False
    return chunk, True


def _replacing(path: Path, lock: RunLock | None) -> AbstractAsyncContextManager[BinaryIO | None]:
    """A file that takes the place of `path` when the block ends without an error; None in a dry run."""
    return nullcontext() if lock is None else in_thread(replacing(path, lock.check))


def _write(target: BinaryIO, chunk: list[_Stored], verdicts: _Verdicts) -> None:
    """Write the lines of a chunk with their new verdicts; those without one as they were."""
    for position, stored in enumerate(chunk):
        verdict = verdicts.get(position)
        if isinstance(stored, StoredHalf):
            target.write(stored.content)
        elif verdict is None:
            target.write(stored.content + b"\n")
        else:
            target.write(stored.encode(with_verdict(stored.record, verdict)))


def _change(file: str, stored: StoredRecord, verdict: Verdict) -> ScoreChange:
    return ScoreChange(
        file=file,
        line=stored.number,
        id=stored.record.id,
        before=stored.record.score,
        after=verdict.score,
        failure=verdict.failure,
    )
