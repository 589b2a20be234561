"""How many CPUs this process may use, and so how many verifier processes there are by default."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

MOST_WORKERS = 8


def default_verify_workers() -> int:
    """As many as CPUs that may be used - by affinity and cgroup quota - but 1 to 8."""
    return max(1, min(MOST_WORKERS, usable_cpus(_affinity(), Path("/"))))


def usable_cpus(n_cpus: int, root: Path) -> int:
    """The CPUs left of `n_cpus` by the quotas of the process's cgroup (version 1 or 2) and those above it.

    `root` is the file system's root; a quota of one and a half CPUs counts as two.
    """
    return min([n_cpus, *(math.ceil(quota) for quota in _quotas(root))])


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mount = root / "sys/fs/cgroup"
        if not controllers:
            yield from (q for group in _upwards(mount, path) if (q := _ratio(_read(group / "cpu.max"))))
        elif "cpu" in controllers.split(","):
            for base in (mount / "cpu", mount / controllers):
                for group in _upwards(base, path):
                    text = f"{_read(group / 'cpu.cfs_quota_us').strip()} {_read(group / 'cpu.cfs_period_us').strip()}"
                    yield from (q for q in [_ratio(text)] if q)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The cgroup and its parents up to the mount, which in a container is often all there is of them."""
    group = Path(os.path.normpath(f"/{path}"))
    for ancestor in (group, *group.parents):
        yield mount / str(ancestor).lstrip("/")


def _ratio(text: str) -> float | None:
    """Quota over period; None for `max`, -1 and anything unreadable: no limit."""
    try:
        quota, period = map(int, text.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
