"""Many slots, many rows, many kills, many hours: memory stays flat and nothing leaks.

Quick shares in the normal suite; `--long`: 10,000 slots with 2 s latency for 100,000 samples, 1,000,000 rows in 20
files, 50 kills of one run, 24 hours.
"""

import asyncio
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.engine.plan import make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import new_session
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.endpoint import Endpoint, endpoint
from bootcamp_cli.server.transport import OpenReply, Reply
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.records import read_heads
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.benchmarks.measure import Cost, stub, tool_command, traffic
from tests.benchmarks.measure import run as run_measured
from tests.conftest import StartBootcamp


def make_rows(directory: Path, n_rows: int, *, n_files: int = 1, data_source: str = "Cipher") -> Path:
    """A test dir with so many short rows."""
    directory.mkdir()
    for number in range(n_files):
        with (directory / f"part{number:02}.jsonl").open("w") as file:
            for row in range(number, n_rows, n_files):
                sample = {"data_source": data_source, "prompt": f"decipher {row}", "ground_truth": "[[X]]"}
                file.write(f"{json.dumps(sample)}\n")
    return directory


def evaluated(test_dir: Path, tmp_path: Path, *server: str, n_slots: int, env: Mapping[str, str]) -> Cost:
    """An undisturbed run."""
    with stub(*server) as url:
        return run_measured("eval", tool_command(url, test_dir, tmp_path / "out", n_slots=n_slots), url, env=env)


LOADS = [(10_000, 100_000, 2.0, 5000), (10_000, 30_000, 8.0, 10_000)]
"""Slots, samples, latency in seconds, and how many requests are to be in flight at once at least.

No server on two cores answers 10,000 requests in 2 s, so fewer are in flight; in 8 s all are.
"""


@pytest.mark.parametrize("load", LOADS, ids=lambda load: f"{load[2]:g} s")
def test_many_slots(
    tmp_path: Path, clean_environment: dict[str, str], load: tuple[int, int, float, int], long_form: bool
) -> None:
    """Slots have their requests in flight, every sample one request, and a slot costs little memory."""
    if not long_form and load is not LOADS[0]:
        pytest.skip("in the long form only")
    n_slots, n_rows, latency_s, least = load if long_form else (400, 1600, 0.5, 400)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n_slots + 1000:
        pytest.skip(f"only {hard} files may be open")
    test_dir = make_rows(tmp_path / "tests", n_rows)
    cost = evaluated(
        test_dir, tmp_path, "--shape=fixed", f"--latency={latency_s}", n_slots=n_slots, env=clean_environment
    )
    print(f"{n_slots} slots, {cost.n} samples: peak {cost.main_mb:.0f} MB, {cost.requests['max_in_flight']} in flight")
    assert (cost.exit_code, cost.n) == (0, n_rows)
    assert cost.requests["max_in_flight"] >= least
    assert cost.main_mb < 120 + n_slots * 0.045


def test_many_rows(tmp_path: Path, clean_environment: dict[str, str], long_form: bool) -> None:
    """The memory of the main process does not grow with the rows but by their index."""
    n_rows = 1_000_000 if long_form else 20_000
    test_dir = make_rows(tmp_path / "tests", n_rows, n_files=20)
    cost = evaluated(test_dir, tmp_path, "--chars=100", n_slots=128, env=clean_environment)
    print(f"{cost.n} rows: peak {cost.main_mb:.0f} MB, {cost.cpu_s_per_1000:.2f} CPU-s per 1000")
    assert (cost.exit_code, cost.n) == (0, n_rows)
    assert cost.main_mb < 200


def test_many_kills_of_one_run(
    tmp_path: Path, clean_environment: dict[str, str], start_bootcamp: StartBootcamp, long_form: bool
) -> None:
    """After many kills and resumes every row has one record, no process is left over, and no lock piles up."""
    n_kills, n_slots = (50, 32) if long_form else (4, 16)
    n_rows = 40 * n_kills
    test_dir = make_rows(tmp_path / "tests", n_rows)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = clean_environment | {"TMPDIR": str(scratch)}
    with stub("--shape=fixed", "--latency=0.05", "--chars=100") as url:
        command = tool_command(url, test_dir, tmp_path / "out", n_slots=n_slots, options=["--resume"])[3:]
        for kill in range(n_kills):
            process = start_bootcamp(*command, env=env)
            seen = 30 * (kill + 1)
            while traffic(url)["n_requests"] < seen and process.poll() is None:
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        last = start_bootcamp(*command, env=env)
        _, errors = last.communicate(timeout=120)
        counted = traffic(url)
    assert last.returncode == 0, errors
    [run_dir] = (tmp_path / "out").iterdir()
    rows = [head.row for _, _, head in read_heads(run_dir / "details" / "part00.jsonl")]
    assert rows == list(range(n_rows))
    assert counted["n_requests"] <= n_rows + n_kills * 2 * n_slots
    _wait(lambda: not _processes_of(scratch))
    print(f"{n_kills} kills of one run: {counted['n_requests'] - n_rows} of {n_rows} requests repeated, nothing lost")


def test_a_long_day(tmp_path: Path, long_form: bool) -> None:
    """A run of 24 hours in simulated time ends on time, answers every sample once, and its memory stays flat."""
    hours, n_slots, latency_s = (24.0 if long_form else 2.0), 64, 120.0
    n_rows = int(hours * 3600 / latency_s * n_slots)
    test_dir = make_rows(tmp_path / "tests", n_rows, data_source="Unknown")
    settings = Settings(
        model_name="m",
        test_dir=test_dir,
        output_dir=tmp_path / "out",
        max_concurrent_requests=n_slots,
        allow_unscored=True,
    )
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)
    transport = SleepingTransport(latency_s)
    memory_mb: list[float] = []

    async def main() -> float:
        loop = asyncio.get_running_loop()
        client = CompletionClient(transport, plan.generation, timeout_s=6000, idle_timeout_s=300)
        started = loop.time()

        def emit(_: object) -> None:
            if transport.n_requests % max(1, n_rows // 20) == 0:
                memory_mb.append(_resident_mb(statm.fileno()))

        await run(session, client, emit)
        return loop.time() - started

    with (
        new_session(plan, None, lambda _: None) as session,
        Path("/proc/self/statm").open("rb") as statm,
        simulated_time(),
    ):
        took_s = asyncio.run(main())
    print(
        f"{took_s / 3600:.1f} simulated hours, {n_rows} samples, memory {min(memory_mb):.0f} to {max(memory_mb):.0f} MB"
    )
    assert transport.n_requests == n_rows
    assert hours * 3600 <= took_s < hours * 3600 * 1.05
    assert max(memory_mb) - memory_mb[len(memory_mb) // 4] < 20 + n_rows * 100 / 1e6


@dataclass(slots=True)
class SleepingTransport:
    """Answers after a while, without a server: simulated time has no room for another process."""

    latency_s: float
    n_requests: int = 0

    @property
    def endpoint(self) -> Endpoint:
        """An address that is not asked."""
        return endpoint("http://127.0.0.1:1/v1")

    async def post(self, path: str, body: bytes) -> Reply:  # noqa: ARG002 - the protocol's signature
        """A completion."""
        self.n_requests += 1
        await anyio.sleep(self.latency_s)
        reply = {"choices": [{"text": "[[X]]", "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}
        return Reply(status=200, headers={}, body=json.dumps(reply).encode())

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Not asked for."""
        raise NotImplementedError

    async def get(self, path: str, *, beside_api: bool = False) -> Reply:
        """Not asked for."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


@contextmanager
def simulated_time() -> Iterator[None]:
    """Event loops within sleep no longer than they have to: where nothing happens for 2 ms, their clock jumps ahead."""
    ahead = [0.0]

    class Selector(selectors.DefaultSelector):
        """Waits in real time for a moment, then in simulated time for the rest."""

        def select(self, timeout: float | None = None) -> Any:
            """What is ready."""
            ready = super().select(min(timeout, 0.002) if timeout is not None else None)
            if not ready and timeout is not None and timeout > 0:
                ahead[0] += timeout
            return ready

    class Loop(asyncio.SelectorEventLoop):
        """A loop whose time is the real one and what was jumped over."""

        def __init__(self) -> None:
            super().__init__(Selector())

        def time(self) -> float:
            """Seconds."""
            return time.monotonic() + ahead[0]

    class Policy(asyncio.DefaultEventLoopPolicy):
        """Makes such loops."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            """A new loop."""
            return Loop()

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


def _resident_mb(statm: int) -> float:
    """The memory of this process by an open /proc/self/statm, read without a call that an event loop must not make."""
    return int(os.pread(statm, 200, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _processes_of(scratch: Path) -> list[int]:
    """The processes that were started with this folder for temporary files."""
    marker = f"TMPDIR={scratch}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _wait(is_so: Callable[[], bool]) -> None:
    """Wait for something that comes, however slow the machine is."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
