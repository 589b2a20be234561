"""The last stage: one task that writes records and failures in the order in which they arrive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec

from bootcamp_cli.events import Emit, FileFinished, SampleFailed, SampleRecorded
from bootcamp_cli.store.journal import Journal
from bootcamp_cli.store.timeline import Timeline
from bootcamp_cli.types import FailureRecord, Record, RequestFailure, Sample

_LINGER_S = 0.1
"""How long the first record of a batch waits for others: writing one costs as much as writing many."""

_MAX_BATCH = 256

_SYNC_EVERY_S = 1.0
"""How long what was written may wait to be synced, whether more comes or not: syncing for each batch would be slow."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one owed sample: its record, or its failure."""

    file: str
    record: Record | None = None
    failure: FailureRecord | None = None


def failed(sample: Sample, failure: RequestFailure, n_attempts: int, retries: tuple[str, ...] = ()) -> Ended:
    """The end of a sample without an answer."""
    record = FailureRecord(
        file=sample.file,
        row=sample.row,
        id=sample.id,
        data_source=sample.data_source,
        kind=failure.kind,
        last_error=failure.message,
        attempts=n_attempts,
        retries=retries,
        repeat=sample.repeat,
    )
    return Ended(file=sample.file, failure=record)


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes samples that ended, tells the displays, and puts a file in order when its last owed sample is in.

    `owed` counts the samples still to come by test file. `written` is called with what reached the disk.
    `batch` samples are written without waiting for more. Where the answers were not `timed`, when they came tells
    nothing.
    """

    journal: Journal
    owed: dict[str, int]
    emit: Emit
    written: Callable[[Sequence[Ended]], None]
    batch: int
    timed: bool = True
    _ended: list[Ended] = field(default_factory=list)
    _wake: anyio.Event | None = None
    _is_closed: bool = False
    _unsynced_since: float = float("inf")
    _timeline: Timeline | None = None

    @property
    def _enough(self) -> int:
        return max(1, min(self.batch, _MAX_BATCH))

    def add(self, ended: Ended) -> None:
        """Take a sample that ended; it is written soon."""
        self._ended.append(ended)
        if self._wake is not None and len(self._ended) in (1, self._enough):
            self._wake.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._is_closed = True
        if self._wake is not None:
            self._wake.set()

    async def run(self) -> None:
        """Write until it is closed; what was added is written even when the run is cancelled."""
        try:
            while await self._batch_is_due():
                await self._write()
        finally:
            with anyio.CancelScope(shield=True):
                await self.write_rest()

    async def write_rest(self) -> None:
        """Write what was added and is not yet on disk, and sync."""
        await self._write()
        await anyio.to_thread.run_sync(self._finish)

    async def _batch_is_due(self) -> bool:
        """Wait for a first record, then a little for more; False once it is closed. Sync while nothing comes."""
        while not self._ended and not self._is_closed:
            with anyio.CancelScope(deadline=self._unsynced_since + _SYNC_EVERY_S) as waiting:
                await self._wait_for_wake()
            if waiting.cancelled_caught:
                await self._sync()
        if len(self._ended) < self._enough and not self._is_closed:
            with anyio.move_on_after(_LINGER_S):
                await self._wait_for_wake()
        return not self._is_closed

    async def _wait_for_wake(self) -> None:
        self._wake = anyio.Event()
        await self._wake.wait()

    async def _sync(self) -> None:
        self._unsynced_since = float("inf")
        await anyio.to_thread.run_sync(self.journal.sync)

    async def _write(self) -> None:
        batch, self._ended = self._ended, []
        if not batch:
            return
        finished = self._count(batch)
        now = anyio.current_time()
        sync = now >= self._unsynced_since + _SYNC_EVERY_S
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._write_blocking, batch, finished, sync)
        self._unsynced_since = float("inf") if sync else min(self._unsynced_since, now)
        self.written(batch)
        for end in batch:
            self.emit(_event(end))
        for file in finished:
            self.emit(FileFinished(file=file))

    def _write_blocking(self, batch: Sequence[Ended], finished: Sequence[str], sync: bool) -> None:  # noqa: FBT001 - passed by position to the thread
        records = [(end.file, end.record) for end in batch if end.record is not None]
        failures = [end.failure for end in batch if end.failure is not None]
        self.journal.append(records)
        self.journal.append_failures(failures)
        if self.timed:
            if self._timeline is None:
                self._timeline = Timeline(self.journal.run_dir, self.journal.lock.check)  # reads what there is
            self._timeline.add([record for _, record in records], failures)
        for file in finished:
            self.journal.put_in_order(file)
        if sync:
            self.journal.sync()

    def _finish(self) -> None:
        self.journal.sync()
        if self._timeline is not None:
            self._timeline.save()

    def _count(self, batch: Sequence[Ended]) -> list[str]:
        """Take a batch off what is owed; returns the files that it completes."""
        finished = []
        for end in batch:
            self.owed[end.file] -= 1
            if not self.owed[end.file]:
                finished.append(end.file)
        return finished


def _event(end: Ended) -> SampleRecorded | SampleFailed:
    if end.record is not None:
        record = end.record
        return SampleRecorded(
            file=end.file,
            score=record.score,
            failure=record.failure,
            output_len=record.output_len,
        )
    assert end.failure is not None  # noqa: S101 - an end is one or the other
    return SampleFailed(file=end.file, kind=end.failure.kind)
