"""The lock of a run directory."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bootcamp_cli.errors import DiskError, LockLostError, RunLockedError
from bootcamp_cli.store import lock as lock_module
from bootcamp_cli.store.lock import Holder, acquire, boot_identity, live_holder, process_started

ELSEWHERE = Holder(host="node7", boot="another boot", pid=4711, started="1", counter=3)


class FakeTime:
    """A clock that its own sleep advances; `at` runs actions once a time is reached."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: dict[float, object] = {}

    def sleep(self, seconds: float) -> None:
        """Advance."""
        self.now += seconds
        for when in [when for when in self.at if when <= self.now]:
            action = self.at.pop(when)
            assert callable(action)
            action()

    def clock(self) -> float:
        """Now, in seconds."""
        return self.now


def put_holder(run_dir: Path, holder: Holder, generation: int = 1) -> Path:
    """Write a lock file as its holder would have."""
    folder = run_dir / ".lock"
    folder.mkdir(exist_ok=True)
    fields = {name: getattr(holder, name) for name in Holder.__slots__}
    (folder / str(generation)).write_text(json.dumps(fields))
    return folder / str(generation)


def test_live_holder_refuses_a_second_writer_at_once(tmp_path: Path) -> None:
    """While this process holds the lock nobody else gets it, also through another path to the directory."""
    other_path = tmp_path.parent / f"{tmp_path.name}-link"
    other_path.symlink_to(tmp_path)
    with acquire(tmp_path), pytest.raises(RunLockedError, match=f"process {os.getpid()}"):
        acquire(other_path)


def test_released_lock_is_free_at_once(tmp_path: Path) -> None:
    """After a release the next taker need not wait, and an old generation's file is gone."""
    acquire(tmp_path).release()
    acquire(tmp_path).release()
    assert [path.name for path in (tmp_path / ".lock").iterdir()] == ["2"]


def test_dead_process_of_the_same_boot_is_stale_at_once(tmp_path: Path) -> None:
    """A holder whose process is gone on this boot is taken over without waiting."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    put_holder(tmp_path, replace(ELSEWHERE, boot=boot_identity(), pid=int(done.stdout)))
    acquire(tmp_path, sleep=_no_sleep).release()


def test_reused_process_id_is_no_life(tmp_path: Path) -> None:
    """A live process with the holder's id but another start time is not the holder."""
    put_holder(tmp_path, replace(ELSEWHERE, boot=boot_identity(), pid=os.getpid(), started="long ago"))
    acquire(tmp_path, sleep=_no_sleep).release()


def test_still_counter_elsewhere_is_stale_after_30_s(tmp_path: Path) -> None:
    """A holder that cannot be looked up is dead when its counter stood still for 30 s of our clock."""
    put_holder(tmp_path, ELSEWHERE)
    time = FakeTime()
    said: list[str] = []
    acquire(tmp_path, notify=said.append, sleep=time.sleep, clock=time.clock).release()
    assert time.now == pytest.approx(lock_module.STALE_S)
    assert "process 4711 on node7" in said[0]
    assert "30 s" in said[0]


def test_moving_counter_elsewhere_is_life(tmp_path: Path) -> None:
    """A holder on another host that goes on counting keeps the lock."""
    put_holder(tmp_path, ELSEWHERE)
    time = FakeTime()
    time.at[29.0] = lambda: put_holder(tmp_path, replace(ELSEWHERE, counter=4))
    with pytest.raises(RunLockedError, match="node7"):
        acquire(tmp_path, sleep=time.sleep, clock=time.clock)


def test_garbage_lock_file_is_waited_for_and_then_taken(tmp_path: Path) -> None:
    """A lock file that nobody can read is treated as a holder that cannot be looked up."""
    put_holder(tmp_path, ELSEWHERE).write_bytes(b"\xff{")
    time = FakeTime()
    acquire(tmp_path, sleep=time.sleep, clock=time.clock).release()
    assert time.now >= lock_module.STALE_S


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"host": "h", "boot": "BOOT", "pid": "1\\u0000", "started": "1"}',
        b'{"host": "h", "boot": "BOOT", "pid": "../tmp", "started": "1"}',
        b'{"host": [1], "boot": "BOOT", "pid": 1, "started": "1"}',
        None,
    ],
)
def test_a_lock_file_that_anybody_put_there_is_nobodys_lock(tmp_path: Path, content: bytes | None) -> None:
    """What is no lock of ours (wrong types, nested too deeply, a pipe) has no live holder, and nothing waits for it."""
    file = put_holder(tmp_path, Holder(host="h", boot="b", pid=1, started="1"))
    file.unlink()
    if content is None:
        os.mkfifo(file)
    else:
        file.write_bytes(content.replace(b"BOOT", boot_identity().encode()))
    assert live_holder(tmp_path) is None


def test_holder_that_wakes_finds_its_lock_taken(tmp_path: Path) -> None:
    """A holder whose lock was taken over while it was suspended learns so at its next check and beat."""
    sleeper = acquire(tmp_path)
    put_holder(tmp_path, replace(ELSEWHERE, boot=boot_identity(), started="dead"))
    taker = acquire(tmp_path)
    with pytest.raises(LockLostError, match="taken over"):
        sleeper.check()
    with pytest.raises(LockLostError):
        sleeper.beat()
    sleeper.release()
    taker.check()
    taker.release()


@pytest.mark.parametrize("round_", range(20))
@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_takers_one_wins(
    tmp_path: Path, round_: int, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    """When many takers find the same dead holder, exactly one gets the lock and the others are told at once.

    Without hard links they may see the new lock before its content, and look again.
    """
    sleep = _no_sleep
    if not has_links:
        refuse_links(monkeypatch)
        sleep = _sleep_briefly
    put_holder(tmp_path, replace(ELSEWHERE, boot=boot_identity(), started="dead"))
    barrier = threading.Barrier(8)
    won: list[object] = []
    lost: list[str] = []

    def take() -> None:
        barrier.wait()
        try:
            won.append(acquire(tmp_path, sleep=sleep))
        except RunLockedError as error:
            lost.append(str(error))

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert (len(won), len(lost)) == (1, 7)


def test_process_start_is_stable_and_none_for_no_process() -> None:
    """A process's start time does not change, and a process that ended has none."""
    assert process_started(os.getpid()) == process_started(os.getpid()) is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_started(ended.pid) is None


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_lock_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where a file system has no hard links the lock is held, refused, beaten, released and taken over as elsewhere."""
    refuse_links(monkeypatch, number)
    lock = acquire(tmp_path)
    with pytest.raises(RunLockedError, match=f"process {os.getpid()}"):
        acquire(tmp_path)
    lock.beat()
    lock.check()
    lock.release()
    with acquire(tmp_path) as taker:
        taker.check()
        with pytest.raises(LockLostError):
            lock.check()
    assert [path.name for path in (tmp_path / ".lock").iterdir()] == ["2"]


def test_a_disk_that_is_full_is_not_taken_for_one_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other reason why there is no link is told as what it is, and leaves no lock behind."""
    refuse_links(monkeypatch, errno.ENOSPC)
    with pytest.raises(DiskError, match="No space left on device"):
        acquire(tmp_path)
    assert not list((tmp_path / ".lock").iterdir())


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int = errno.EPERM) -> None:
    """Have no hard links."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


def _sleep_briefly(_seconds: float) -> None:
    time.sleep(0.01)


def _no_sleep(_seconds: float) -> None:
    pytest.fail("waited for a holder that is known to be dead")
