"""The lock of a run directory: one writer, even across hosts, without the file system's own locks.

Every holder owns one generation, the file `.lock/<n>`; the highest generation holds the lock. Taking it means creating
the next generation exclusively (`link`, atomic on NFS as well; O_EXCL where a file system has no hard links), so of two
takers only one wins; nobody deletes the highest generation, so a holder that was suspended finds a higher one when it
wakes, and stops writing. A holder that may be suspended between this check and its write is shut out. Releasing marks
the holder's generation as released. A holder rewrites its file with a growing counter: where its process cannot be
looked up (another host, boot or process namespace), a counter that stands still for `STALE_S` on the watcher's own
clock is a dead holder.

Shutting out: the taker's generation exists before this begins, and a holder checks for it after opening what it writes
to. So a holder that wakes either finds the higher generation, or opened its file earlier: then it writes into the old
file, which a copy has replaced, or has a temporary name that is gone. What it had written before is in the copy.
"""

import errno
import json
import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bootcamp_cli.errors import LockLostError, RunDirectoryError, RunLockedError, disk_error
from bootcamp_cli.store.atomic import Check, remove_temporaries, renew
from bootcamp_cli.store.run_dir import RunDir

HEARTBEAT_S = 5.0
STALE_S = 30.0
_FOLDER = ".lock"
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
_NO_LINKS = _NOT_OFFERED | {errno.EPERM, errno.EMLINK}
"""What file systems answer that have no hard links."""
_EXCLUSIVELY = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a lock file says about its holder. `started` tells a reused process id from the holder's.

    `alone` is false until the holder has shut out a predecessor that may still be alive.
    """

    host: str
    boot: str
    pid: int
    started: str
    counter: int = 0
    released: bool = False
    alone: bool = True


class RunLock:
    """The held lock of one run directory; a context manager that releases it.

    Its own thread shows every HEARTBEAT_S that the holder is alive. Call `check` before every write, after opening the
    file.
    """

    def __init__(self, folder: Path, generation: int, holder: Holder) -> None:
        self._folder = folder
        self._generation = generation
        self._holder = holder
        self._released = threading.Event()
        self._rewriting = threading.Lock()
        threading.Thread(target=self._keep_beating, name="run lock", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def check(self) -> None:
        """Raise LockLostError if another process took over the run directory.

        Raises:
            RunDirectoryError: the directory cannot be read, or is gone.
        """
        try:
            latest = _latest(self._folder)
        except OSError as error:
            raise disk_error(error, f"look at the lock of {self._folder.parent}") from error
        if latest is None:
            raise RunDirectoryError(
                f"{self._folder.parent} or its lock was removed or moved while in use: nothing more is written",
                hint="put it back and run `bootcamp resume`, or start a new run",
            )
        if latest != self._generation:
            raise LockLostError(
                f"{self._folder.parent} was taken over by another process: nothing more is written",
                hint="let that process finish and run `bootcamp resume`",
            )

    def confirm_alone(self) -> None:
        """Record that the previous holder of the lock is shut out."""
        self._rewrite(alone=True)

    def beat(self) -> None:
        """Show that the holder is alive: rewrite its lock file with the next counter."""
        self._rewrite()

    def release(self) -> None:
        """Release the lock; harmless if it was lost or the directory is gone."""
        self._released.set()
        try:
            self._rewrite(released=True)
        except (OSError, RunDirectoryError):
            return

    def _rewrite(self, *, alone: bool = False, released: bool = False) -> None:
        """Rewrite the lock file with a higher counter; flags that were set stay set."""
        with self._rewriting:
            self.check()
            before = self._holder
            self._holder = replace(
                before,
                counter=before.counter + 1,
                alone=before.alone or alone,
                released=before.released or released,
            )
            _write(self._own, self._holder)

    def _keep_beating(self) -> None:
        """Beat until the lock is released or lost. A beat that cannot be written (disk full) is skipped."""
        while not self._released.wait(HEARTBEAT_S):
            try:
                self.beat()
            except LockLostError:
                return
            except (OSError, RunDirectoryError):
                continue

    @property
    def _own(self) -> Path:
        return self._folder / str(self._generation)


def acquire(
    run_dir: Path,
    *,
    notify: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> RunLock:
    """Take the lock of `run_dir`, waiting up to STALE_S where only a stalled counter can tell that its holder is dead.

    Raises:
        RunLockedError: a live process holds it, or another process took it first.
        DiskError: the lock cannot be written.
    """
    folder = run_dir / _FOLDER
    try:
        folder.mkdir(exist_ok=True)
        latest = _latest(folder)
        certain = latest is None or _await_end(folder / str(latest), run_dir, notify, sleep, clock)
        lock = _take(folder, (latest or 0) + 1, run_dir, alone=certain)
    except OSError as error:
        raise disk_error(error, f"lock {run_dir}") from error
    try:
        lock.check()
        tidy(run_dir)
        if not certain:
            shut_out(run_dir, lock.check)
            lock.confirm_alone()
    except BaseException:
        lock.release()
        raise
    return lock


def live_holder(run_dir: Path, *, now: Callable[[], float] = time.time) -> Holder | None:
    """Who holds the lock of `run_dir`, as far as a look can tell; None where nobody does, or nobody alive.

    A holder that cannot be looked up from here counts as alive if it beat in the last STALE_S, by its file's time.
    """
    folder = run_dir / _FOLDER
    try:
        latest = _latest(folder)
        holder = None if latest is None else _read(folder / str(latest))
        if holder is None or holder.released or _is_alive(holder) is False:
            return None
        if _is_alive(holder) or abs(now() - (folder / str(latest)).stat().st_mtime) <= STALE_S:
            return holder
    except OSError:
        return None
    return None


def _latest(folder: Path) -> int | None:
    return max(_generations(folder), default=None)


def _generations(folder: Path) -> list[int]:
    try:
        return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    except FileNotFoundError:
        return []


def _await_end(
    file: Path, run_dir: Path, notify: Callable[[str], None], sleep: Callable[[float], None], clock: Callable[[], float]
) -> bool:
    """Return once the lock in `file` is released or its holder seems dead; raise RunLockedError if it is alive.

    False if a process that had the lock may be alive and in the middle of a write.
    """
    first = _read(file)
    if first is not None:
        if first.released:
            return first.alone
        alive = _is_alive(first)
        if alive is False:
            return first.alone
        if alive:
            raise locked_by(run_dir, first)
    elif not file.exists():
        raise _lost_race(run_dir)
    who = f"process {first.pid} on {first.host}" if first else "an unreadable lock file"
    notify(f"{run_dir} is locked by {who}: checking for {STALE_S:.0f} s whether it is still alive")
    until = clock() + STALE_S
    while clock() < until:
        sleep(1.0)
        seen = _read(file)
        if seen is None and not file.exists():
            raise _lost_race(run_dir)
        if seen is not None and seen.released:
            return seen.alone
        if seen is not None and (first is None or seen.counter != first.counter):
            raise locked_by(run_dir, seen)
    return False


def _read(file: Path) -> Holder | None:
    """The holder in a lock file; None where it is unreadable or not one of our locks: anybody may have put it there."""
    try:
        return _decode(file.read_bytes()) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


_decode = msgspec.json.Decoder(Holder).decode


def _is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process is alive; None where it cannot be looked up from here."""
    if holder.boot != boot_identity():
        return None
    return process_started(holder.pid) == holder.started


def _lost_race(run_dir: Path) -> RunLockedError:
    return RunLockedError(f"{run_dir} was locked by another process at the same moment", hint="wait until it ends")


def locked_by(run_dir: Path, holder: Holder) -> RunLockedError:
    """The error of whoever finds a live holder."""
    return RunLockedError(
        f"{run_dir} is in use by process {holder.pid} on {holder.host}",
        hint="wait until it ends or stop it, then try again",
    )


def _take(folder: Path, generation: int, run_dir: Path, *, alone: bool) -> RunLock:
    holder = replace(_myself(), alone=alone)
    try:
        _create(folder / str(generation), json.dumps(asdict(holder)).encode())
    except (FileExistsError, FileNotFoundError):
        raise _lost_race(run_dir) from None
    except OSError as error:
        if error.errno in _NOT_OFFERED:
            raise _no_locks(run_dir) from error
        raise
    generations = _generations(folder)
    if max(generations) > generation:
        (folder / str(generation)).unlink(missing_ok=True)
        raise _lost_race(run_dir)
    for path in folder.iterdir():
        if not path.name.isdecimal() or int(path.name) < generation:
            path.unlink(missing_ok=True)
    return RunLock(folder, generation, holder)


def _create(file: Path, content: bytes) -> None:
    """Make a file that must not exist yet, of several takers by one alone.

    A link is whole as soon as it is there. Without hard links (exFAT, mounts of buckets and drives) the file is there
    before its content, which others wait for as for any holder that they cannot look up.

    Raises:
        FileExistsError: it exists.
        RunDirectoryError: the file system lets two processes make the same file.
    """
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as whole:
            whole.write(content)
        os.link(name, file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    finally:
        Path(name).unlink(missing_ok=True)
    _create_exclusively(file, content)


def _create_exclusively(file: Path, content: bytes) -> None:
    """Make a file with O_EXCL, and see whether that keeps others from making it."""
    is_held = False
    descriptor = os.open(file, _EXCLUSIVELY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as own:
            own.write(content)
        with suppress(FileExistsError):
            os.close(os.open(file, _EXCLUSIVELY, 0o600))
            raise _no_locks(file.parents[1])
        is_held = True
    finally:
        if not is_held:
            file.unlink(missing_ok=True)


def _no_locks(run_dir: Path) -> RunDirectoryError:
    return RunDirectoryError(
        f"{run_dir} cannot be locked: its file system has neither hard links nor exclusive creation of files",
        hint="choose another place with --output-dir, and copy the run directory there when it is done",
    )


def _myself() -> Holder:
    pid = os.getpid()
    return Holder(host=platform.node(), boot=boot_identity(), pid=pid, started=process_started(pid) or "")


def boot_identity() -> str:
    """What two processes share if and only if they see each other's process ids: the boot and the process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _output_of("sysctl", "-n", "kern.bootsessionuuid") or platform.node()


def process_started(pid: int) -> str | None:
    """When the process started, in the system's own format; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else _output_of("ps", "-o", "lstart=", "-p", str(pid))
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else rest[18]


def _output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _write(file: Path, holder: Holder) -> None:
    """Replace a lock file without syncing: a power cut may take a heartbeat."""
    temporary = file.with_name(f"beat-{file.name}")
    temporary.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    temporary.replace(file)


def tidy(run_dir: Path) -> None:
    """Remove temporary names, of dead processes and of one that may yet wake; only for a taker of the lock."""
    for directory in (run_dir, RunDir(run_dir).details):
        remove_temporaries(directory)


def shut_out(run_dir: Path, check: Check) -> None:
    """Replace the files that are appended to with copies; temporary names must already be gone.

    `check` raises in a taker that was itself suspended and taken over. This costs one copy of the details; it is needed
    only where there is no telling whether the last holder is dead.

    Raises:
        DiskError: it failed; the next taker must do it.
    """
    paths = RunDir(run_dir)
    for path in (*(file for file in paths.detail_files() if not file.is_symlink()), paths.failures):
        renew(path, check)
