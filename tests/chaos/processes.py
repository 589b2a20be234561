"""Other processes of this machine, by their parent or by their environment."""

import subprocess
from pathlib import Path

_PROC = Path("/proc")


def children_of(pid: int) -> set[int]:
    """The live children of a process: those of the tool are its verifier workers."""
    return {child for child, parent, state in _every_process() if parent == pid and state not in "ZX"}


def processes_with(value: str) -> list[int]:
    """The processes in whose environment a value occurs; none where the system does not tell (only Linux does)."""
    found = []
    for path in _PROC.glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        if value.encode() in environment:
            found.append(int(path.name))
    return found


def _every_process() -> list[tuple[int, int, str]]:
    """Id, parent's id and state of every process."""
    if not _PROC.joinpath("self").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
        return [(int(pid), int(parent), state[0]) for pid, parent, state in map(str.split, listed.stdout.splitlines())]
    found = []
    for path in _PROC.glob("[0-9]*"):
        try:
            state, parent, *_ = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(path.name), int(parent), state))
    return found
