"""Running a command beside a stub server, and what it cost: the whole process tree, by the system's own accounting."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"

_POLL_S = 0.02

# what is compiled is kept, as where the tool is installed: else each start would compile it again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command cost.

    `cpu_s` is user and system time of the process and all its descendants, `main_mb` the peak memory of the process
    itself and `child_mb` that of the largest it started (Linux; 0 elsewhere), `requests` what the server counted.
    """

    name: str
    exit_code: int
    wall_s: float
    cpu_s: float
    main_mb: float
    child_mb: float
    first_request_s: float
    requests: Mapping[str, Any]

    @property
    def n(self) -> int:
        """Samples that were answered."""
        return int(self.requests["n_requests"])

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds per 1000 samples, everything included."""
        return 1000 * self.cpu_s / self.n

    def busy_share(self, n_slots: int) -> float:
        """How busy the slots were between the first request and the last."""
        return float(self.requests["slot_s"] / (n_slots * self.requests["spread_s"]))

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self) | {"cpu_s_per_1000": self.cpu_s_per_1000}


@contextmanager
def stub(*arguments: str) -> Iterator[str]:
    """A stub server of its own process; gives its base URL."""
    with stubs(1, *arguments) as [url]:
        yield url


@contextmanager
def stubs(n: int, *arguments: str) -> Iterator[list[str]]:
    """The same at several base URLs."""
    command = [sys.executable, "-m", "tests.benchmarks.stub", f"--ports={n}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()
        finally:
            server.stdin.close()


def traffic(url: str) -> dict[str, Any]:
    """What a stub counted so far."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}/stats")
        counted: dict[str, Any] = json.load(connection.getresponse())
    finally:
        connection.close()
    return counted


def run(name: str, command: Sequence[str], url: str, *, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end and account for it; what it prints is thrown away."""
    started_epoch, started = time.time(), time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=ROOT, env=env
    )
    peak = _Peak(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    peak.stop()
    counted = traffic(url)
    return Cost(
        name=name,
        exit_code=process.returncode,
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        main_mb=peak.mb,
        child_mb=peak.child_mb,
        first_request_s=counted["first_epoch_s"] - started_epoch,
        requests=counted,
    )


class _Peak:
    """Follows the peak memory of a process, which its own accounting mixes with that of its children, and of those."""

    def __init__(self, pid: int) -> None:
        self.mb = self.child_mb = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(_POLL_S):
            self.mb = max(self.mb, _peak_mb(self._pid))
            self.child_mb = max(self.child_mb, *map(_peak_mb, _children(self._pid)), 0.0)


def _peak_mb(pid: int | str) -> float:
    """The most memory that a process has had, in MB; 0 where nobody knows."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def _children(pid: int) -> Iterator[str]:
    """The processes that a process started, from whichever of its threads, and that are there."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            yield from path.read_text().split()


def tool_command(
    url: str | Sequence[str],
    test_dir: Path,
    output_dir: Path,
    *,
    n_slots: int,
    options: Sequence[str] = (),
    python: str = sys.executable,
) -> list[str]:
    """The command line of an evaluation by this tool, at one server or several."""
    urls = [url] if isinstance(url, str) else url
    return [
        python,
        "-m",
        "bootcamp_cli",
        "eval",
        *(f"--url={each}" for each in urls),
        "--model-name=stub",
        f"--test-dir={test_dir}",
        f"--output-dir={output_dir}",
        f"--max-concurrent-requests={n_slots}",
        *options,
    ]
