"""Python processes beside this one: how many are worth it, how they are started, and what they get of this one."""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_INHERITED = frozenset(
    {
        "CONDA_PREFIX",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONHOME",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
_FIXED = {
    "PYTHONHASHSEED": "0",  # the str() of a set of words is the same in every run
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",  # there is already one worker per CPU, and threads cost address space
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that calls `main` of a module with these arguments.

    Modules are looked for where this process does, but not in the working directory (-P).
    """
    bootstrap = (
        f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main(*sys.argv[2:])"
    )
    search_path = [str(Path(place).absolute()) for place in sys.path]
    return sys.executable, "-P", "-c", bootstrap, json.dumps(search_path), *arguments


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The few variables that a worker gets: what Python and libraries need to run, and no secrets."""
    kept = {name: value for name, value in environ.items() if name in _INHERITED or name.startswith("LC_")}
    return kept | _FIXED


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return max(1, allowed_cpus(_affinity(), Path("/")))


def allowed_cpus(n_cpus: int, root: Path) -> int:
    """How many of `n_cpus` CPUs the quotas of the process's cgroup (version 1 or 2) and of those above it leave.

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
    """The cgroup and its parents up to the mount; in a container, often only the mount is visible."""
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
