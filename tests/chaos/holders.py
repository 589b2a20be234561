"""The lock of a run directory as tests see it: who holds it, made to look as if held elsewhere, watched in no time."""

import json
from pathlib import Path


class SkippedTime:
    """A clock that only its own sleep advances: watching a lock for 30 s takes no time."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Advance."""
        self.now += seconds

    def clock(self) -> float:
        """Now, in seconds."""
        return self.now


def holder_pid(run_dir: Path) -> int | None:
    """The process that holds the lock; None where nobody does."""
    file = _latest(run_dir)
    holder = json.loads(file.read_bytes()) if file else {"released": True}
    return None if holder["released"] else int(holder["pid"])


def as_if_elsewhere(run_dir: Path) -> None:
    """Rewrite the lock file as one of a holder on another host, whose process cannot be looked up."""
    file = _latest(run_dir)
    assert file is not None
    elsewhere = {**json.loads(file.read_bytes()), "host": "node7", "boot": "another boot"}
    partial = file.with_name("elsewhere")
    partial.write_text(json.dumps(elsewhere))
    partial.replace(file)


def files_of(run_dir: Path) -> dict[str, bytes]:
    """The content of every file but those of the lock."""
    paths = [path for path in sorted(run_dir.rglob("*")) if path.is_file() and ".lock" not in path.parts]
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in paths}


def _latest(run_dir: Path) -> Path | None:
    files = [path for path in (run_dir / ".lock").glob("*") if path.name.isdecimal()]
    return max(files, key=lambda path: int(path.name), default=None)
