"""The writer: what it leaves behind at which moment."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from bootcamp_cli.engine.writer import Ended, Writer
from bootcamp_cli.store.journal import DetailIndex, Journal
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import FailureRecord, Record
from tests.test_store_journal import FILE, a_failure, a_record

LONG_S = 60.0
"""More than anything here takes."""


class WatchedJournal(Journal):
    """A journal that tells how many records and failures survive a power cut."""

    n_appended = 0
    n_synced = 0
    grown = anyio.Event()

    def append(self, batch: Iterable[tuple[str, Record]]) -> None:
        """Append records, and count them."""
        batch = list(batch)
        super().append(batch)
        self.n_appended += len(batch)

    def append_failures(self, failures: Sequence[FailureRecord]) -> None:
        """Append failures, and count them."""
        super().append_failures(failures)
        self.n_appended += len(failures)

    def sync(self) -> None:
        """Sync, and wake who waits for it."""
        super().sync()
        self.n_synced = self.n_appended
        anyio.from_thread.run_sync(self._tell)

    def _tell(self) -> None:
        self.grown.set()
        self.grown = anyio.Event()

    async def wait_for_synced(self, n: int) -> None:
        """Return when so many are synced."""
        with anyio.fail_after(LONG_S):
            while self.n_synced < n:
                await self.grown.wait()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[WatchedJournal]:
    """A watched journal over one empty file."""
    (tmp_path / "details").mkdir()
    with acquire(tmp_path) as lock:
        yield WatchedJournal(RunDir(tmp_path), lock, {FILE: DetailIndex()})


@pytest.mark.anyio
async def test_the_last_batch_is_synced_without_another_one(
    journal: WatchedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record and failure is synced while nothing else comes and the run goes on."""
    monkeypatch.setattr("bootcamp_cli.engine.writer._SYNC_EVERY_S", 0.1)
    writer = Writer(journal=journal, owed={FILE: 9}, emit=lambda _: None, written=lambda _: None, batch=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for n in range(1, 5):
            ended = Ended(file=FILE, failure=a_failure(n)) if n == 3 else Ended(file=FILE, record=a_record(n))
            writer.add(ended)
            await journal.wait_for_synced(n)
        writer.close()


@pytest.mark.anyio
async def test_what_was_added_at_the_end_is_synced(journal: WatchedJournal) -> None:
    """Once it is closed, the writer returns with everything written and synced."""
    writer = Writer(journal=journal, owed={FILE: 9}, emit=lambda _: None, written=lambda _: None, batch=64)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for n in range(5):
            writer.add(Ended(file=FILE, record=a_record(n)))
        writer.close()
    assert journal.n_synced == 5
