"""Shutting out a holder that may still live: suspended on another host, it may wake in the middle of a write.

The taker's generation stands before this begins, and a holder looks for it behind the opening of what it writes to. So
a holder that wakes either finds the higher generation, or opened its file before: then it writes into the old file,
in whose place a copy stands, or has a temporary name that is gone. What it had written before is in the copy.
"""

from pathlib import Path

from bootcamp_cli.errors import disk_error
from bootcamp_cli.store.atomic import Check, remove_leftovers, renew


def tidy(run_dir: Path) -> None:
    """Remove temporary names, those of dead processes and those of one that may wake; only for a taker of the lock."""
    for directory in (run_dir, run_dir / "details"):
        remove_leftovers(directory)


def shut_out(run_dir: Path, check: Check) -> None:
    """Put copies in the place of the files that are appended to; temporary names must be gone already.

    `check` raises in a taker that was itself suspended and taken over. Costs one copy of the details; needed only where
    nobody can tell whether the last holder is dead.

    Raises:
        DiskError: it cannot be done; the next taker must do it.
    """
    details = run_dir / "details"
    try:
        files = sorted(path for path in details.glob("*.jsonl") if path.is_file() and not path.is_symlink())
    except OSError as error:
        raise disk_error(error, f"list {details}") from error
    for path in (*files, run_dir / "failures.jsonl"):
        renew(path, check)
