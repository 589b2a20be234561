"""A holder that is taken over between its look at the lock and its write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.errors import DiskError, LockLostError, RunDirectoryError
from bootcamp_cli.store import lock as lock_module
from bootcamp_cli.store.atomic import remove, renew
from bootcamp_cli.store.journal import Journal, open_journal, repair_tail
from bootcamp_cli.store.lock import RunLock, acquire
from bootcamp_cli.store.records import read_heads
from bootcamp_cli.store.run_dir import RunDir
from tests.chaos.holders import SkippedTime, as_if_elsewhere
from tests.test_store_journal import FILE, a_failure, a_record


class Asleep(RunLock):
    """A held lock; right behind its next successful look `takeover` happens, as if the holder had been suspended."""

    takeover: Callable[[], None] | None = None

    def check(self) -> None:
        """Look, then sleep."""
        super().check()
        if self.takeover is not None:
            takeover, self.takeover = self.takeover, None
            takeover()


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """An empty run directory."""
    (tmp_path / "details").mkdir()
    return RunDir(tmp_path)


@pytest.fixture
def sleeper(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """The journal of a holder on another host, with a failure and the record of row 1."""
    monkeypatch.setattr(lock_module, "RunLock", Asleep)
    journal = open_journal(run_dir, acquire(run_dir.path), [FILE])
    journal.append([(FILE, a_record(1))])
    journal.append_failures([a_failure(9)])
    as_if_elsewhere(run_dir.path)
    return journal


def take_over(run_dir: RunDir, row: int) -> Journal:
    """Take the run directory over and write a record."""
    watched = SkippedTime()
    taker = open_journal(run_dir, acquire(run_dir.path, sleep=watched.sleep, clock=watched.clock), [FILE])
    taker.append([(FILE, a_record(row))])
    return taker


def rows(run_dir: RunDir) -> list[int | None]:
    """The rows of the details file in the order of its lines."""
    return [head.row for _, _, head in read_heads(run_dir.details / FILE)]


def asleep(journal: Journal) -> Asleep:
    """The lock of a journal."""
    assert isinstance(journal.lock, Asleep)
    return journal.lock


def test_a_record_written_after_the_takeover_is_not_seen(run_dir: RunDir, sleeper: Journal) -> None:
    """What a woken holder still writes goes into a file that nobody reads; what it had written before is kept."""
    asleep(sleeper).takeover = lambda: taken.append(take_over(run_dir, 0))
    taken: list[Journal] = []
    sleeper.append([(FILE, a_record(2))])
    sleeper.lock.release()
    taken[0].append([(FILE, a_record(3))])
    assert rows(run_dir) == [1, 0, 3]
    with pytest.raises(LockLostError):
        sleeper.append([(FILE, a_record(4))])


@pytest.mark.parametrize("write", ["put_in_order", "settle_failures"])
def test_a_replacement_after_the_takeover_fails(run_dir: RunDir, sleeper: Journal, write: str) -> None:
    """A woken holder finds nothing to rename: order and failures of the taker stay."""
    sleeper.append([(FILE, a_record(0))])
    asleep(sleeper).takeover = lambda: taken.append(take_over(run_dir, 2))
    taken: list[Journal] = []
    with pytest.raises(LockLostError):
        sleeper.put_in_order(FILE) if write == "put_in_order" else sleeper.settle_failures()
    assert rows(run_dir) == [1, 0, 2]
    assert run_dir.failures.exists()
    taken[0].lock.check()


def test_removing_after_the_takeover_fails(run_dir: RunDir, sleeper: Journal) -> None:
    """A woken holder cannot remove the failures that the taker wrote."""
    asleep(sleeper).takeover = lambda: taken.append(take_over(run_dir, 2))
    taken: list[Journal] = []
    with pytest.raises(LockLostError):
        remove(run_dir.failures, sleeper.lock.check)
    assert run_dir.failures.exists()


def test_a_torn_line_is_cut_in_the_old_file_only(run_dir: RunDir, sleeper: Journal) -> None:
    """A woken holder that was about to cut a torn line cuts it where nobody reads, not in what the taker wrote."""
    path = run_dir.details / FILE
    with path.open("ab") as file:
        file.write(b'{"id": 5, "pro')
    taken: list[Journal] = []
    asleep(sleeper).takeover = lambda: taken.append(take_over(run_dir, 2))
    repair_tail(path, sleeper.lock.check)
    assert rows(run_dir) == [1, 2]


def test_a_taker_that_could_not_shut_out_leaves_it_to_the_next(
    run_dir: RunDir, sleeper: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where shutting out fails, the lock given back says so: the next taker does it though nobody holds the lock."""
    path = run_dir.details / FILE

    def refuse(_run_dir: Path, _check: Any) -> None:
        raise DiskError("cannot copy: No space left on device")

    watched = SkippedTime()
    with monkeypatch.context() as full:
        full.setattr(lock_module, "shut_out", refuse)
        with pytest.raises(DiskError):
            acquire(run_dir.path, sleep=watched.sleep, clock=watched.clock)
    before = path.stat().st_ino
    acquire(run_dir.path).release()
    assert path.stat().st_ino != before
    before = path.stat().st_ino
    acquire(run_dir.path).release()
    assert path.stat().st_ino == before, "once is enough"


def test_a_file_that_someone_else_changed_is_not_written_to(run_dir: RunDir, sleeper: Journal) -> None:
    """A details file that grew, shrank or vanished under the run ends it; nothing is appended or made anew."""
    path = run_dir.details / FILE
    content = path.read_bytes()
    for changed in (content + b"x", content[:-1]):
        path.write_bytes(changed)
        with pytest.raises(RunDirectoryError, match=f"has {len(changed)} bytes, but this run left {len(content)}"):
            sleeper.append([(FILE, a_record(7))])
        assert path.read_bytes() == changed
    path.unlink()
    with pytest.raises(RunDirectoryError, match="removed or moved while in use"):
        sleeper.append([(FILE, a_record(7))])
    assert not path.exists()


def test_a_record_that_is_no_longer_where_it_was_is_told(run_dir: RunDir, sleeper: Journal) -> None:
    """Reading a record of a file that was reordered meanwhile tells so, and never gives the record of another row."""
    path = run_dir.details / FILE
    sleeper.append([(FILE, a_record(2, output="longer than before"))])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[::-1]))
    for position in (0, 1):
        with pytest.raises(RunDirectoryError, match="is not where this run left it"):
            sleeper.read_record(FILE, position)
    before = path.read_bytes()
    sleeper.details[FILE].places.reverse()
    with pytest.raises(RunDirectoryError, match="is not where this run left it"):
        sleeper.put_in_order(FILE)
    assert path.read_bytes() == before
    take_over(run_dir, 3)
    for read in (lambda: sleeper.read_record(FILE, 0), lambda: sleeper.put_in_order(FILE)):
        with pytest.raises((LockLostError, RunDirectoryError)):
            read()


def test_a_run_directory_that_is_gone_is_told(run_dir: RunDir, sleeper: Journal, tmp_path: Path) -> None:
    """A holder whose directory was moved away is told that, not that someone took it over."""
    run_dir.path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    with pytest.raises(RunDirectoryError, match="removed or moved while in use") as caught:
        sleeper.lock.check()
    assert not isinstance(caught.value, LockLostError)


def test_a_copy_has_the_same_content(tmp_path: Path) -> None:
    """A renewed file has its content and another identity; one that is not there is left so."""
    path = tmp_path / "a"
    path.write_bytes(b"content")
    before = path.stat().st_ino
    renew(path, lambda: None)
    assert path.read_bytes() == b"content"
    assert path.stat().st_ino != before
    renew(tmp_path / "absent", lambda: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
