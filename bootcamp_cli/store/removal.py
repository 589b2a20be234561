"""Remove a run directory: never that of a live run, never what is behind a link, never what is no run.

What makes the directory a run that could be continued goes first, so that what is left of a removal that was cut off is
no run any more; the sign that a removal began, and the lock, go last, so that it can be removed again.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bootcamp_cli.errors import DiskError, RunDirectoryError, UsageError
from bootcamp_cli.store.lock import acquire, live_holder, locked_by
from bootcamp_cli.store.run_dir import RunDir

_LOCK = ".lock"


def check_removable(path: Path) -> RunDir:
    """The run directory at `path`, if it may be removed as far as a look can tell.

    Raises:
        UsageError: it is no run directory, or a link to one.
        RunDirectoryError: there is nothing, or it cannot be looked into.
        RunLockedError: a live process holds it.
    """
    run_dir = RunDir(path)
    if path.is_symlink():
        raise UsageError(f"{path}: a symbolic link, which is not followed", hint="name the directory itself")
    try:
        names = set(os.listdir(path))  # noqa: PTH208 - names only
    except NotADirectoryError as error:
        raise UsageError(f"{path}: a file, not a run directory", hint="give the directory of a run") from error
    except OSError as error:
        raise RunDirectoryError(f"{path}: {error.strerror or error}", hint="see `bootcamp runs`") from error
    is_ours = {run_dir.manifest.name, run_dir.details.name} <= names or run_dir.removing.name in names
    is_foreign = {run_dir.eval_args.name, run_dir.details.name} <= names
    if not (is_ours or is_foreign):
        raise UsageError(
            f"{path} is not a run directory: it has no details with a manifest.json or an eval_args.json",
            hint="nothing was removed",
        )
    if (holder := live_holder(path)) is not None:
        raise locked_by(path, holder)
    return run_dir


def strangers(path: Path) -> list[str]:
    """The names in a run directory that no run puts there: somebody's notes, perhaps."""
    run_dir = RunDir(path)
    own = (run_dir.details, run_dir.failures, run_dir.meta, run_dir.eval_args, run_dir.manifest, run_dir.progress_log)
    over_time = (run_dir.timeline, run_dir.endpoints, run_dir.server_metrics, run_dir.server_log)
    further = (run_dir.redone, run_dir.batch, run_dir.removing, run_dir.page)
    known = {each.name for each in (*own, *over_time, *further)} | {_LOCK, f"{run_dir.server_log.name}.1"}
    try:
        names = sorted(os.listdir(path))  # noqa: PTH208 - names only
    except OSError:
        return []
    return [name for name in names if name not in known and not name.endswith("_scores.xlsx")]


def remove_run(path: Path, *, notify: Callable[[str], None] = lambda _: None) -> None:
    """Remove a run directory and all that is in it, holding its lock; links in it are removed, not followed.

    Raises:
        RunLockedError: a live process holds it.
        BootcampError: as `check_removable` does, or something cannot be removed.
    """
    # as `.` or `details/..` the directory itself could not be removed, but what is in it
    run_dir = RunDir(check_removable(path).path.resolve())
    path = run_dir.path
    try:
        with acquire(path, notify=notify) as lock:
            run_dir.removing.touch()
            last = {_LOCK, run_dir.removing.name}
            others = [path / name for name in sorted(os.listdir(path)) if name not in last]  # noqa: PTH208 - names only
            for entry in (run_dir.manifest, run_dir.eval_args, *others):
                lock.check()
                _remove(entry)
            lock.check()
        _remove(path / _LOCK)
        run_dir.removing.unlink(missing_ok=True)
        path.rmdir()
    except OSError as error:
        raise DiskError(f"cannot remove {error.filename or path}: {error.strerror or error}", hint=_AGAIN) from error
    except DiskError as error:
        raise DiskError(error.message, hint=_AGAIN) from error


_AGAIN = "make it writable and run `bootcamp runs rm` again"


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder with its content, if it is there; rmtree follows no link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
