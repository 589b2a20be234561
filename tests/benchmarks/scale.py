"""What grows with the data: start, check, replay, runs, what is done after a run, memory, cost per sample.

`python -m tests.benchmarks.scale` (about half an hour); `--only NAME` measures one thing.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from subprocess import run as run_process
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from bootcamp_cli import open_run
from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.processes import usable_cpus
from bootcamp_cli.store.journal import replay
from bootcamp_cli.store.records import make_record
from bootcamp_cli.types import Answer, Sample, Verdict, encode_line
from tests.benchmarks.after_run import (
    compare_speed,
    export_speed,
    frame_speed,
    page_speed,
    report_speed,
    rescore_speed,
    viewer_speed,
)
from tests.benchmarks.data import public_test_dir, repeated
from tests.benchmarks.measure import Cost, run, stub, tool_command
from tests.benchmarks.starts import first_request, help_starts, package_start, typer_starts
from tests.run_directories import write_run

Figures = dict[str, Any]


def stub_limit() -> Figures:
    """How many requests per second the stub answers to a client that hardly looks at the replies."""
    with stub() as url:
        seconds = asyncio.run(_hammered(urlsplit(url).port or 0, 50_000))
    return {"stub, requests/s": 50_000 / seconds}


async def _hammered(port: int, n: int) -> float:
    """Seconds that n requests take over 64 connections, each sending as soon as a reply begins."""
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    left = n
    done = asyncio.Event()

    class Hammer(asyncio.Protocol):
        transport: asyncio.Transport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            transport.write(request)

        def data_received(self, data: bytes) -> None:
            nonlocal left
            for _ in range(data.count(b"HTTP/1.1 200")):
                left -= 1
                self.transport.write(request)
            if left <= 0:
                done.set()

    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    transports = [(await loop.create_connection(Hammer, "127.0.0.1", port))[0] for _ in range(64)]
    await done.wait()
    for transport in transports:
        transport.close()
    return time.perf_counter() - started


def check_speed() -> Figures:
    """The check of a large test dir in MB/s, on one core by CPU time, on all by the clock, beside what must be done."""
    figures: Figures = {}
    for n_files in (20, 1):
        with public_test_dir(slow=True) as public, repeated(public, 300_000, n_files=n_files) as test_dir:
            paths, check = sorted(test_dir.iterdir()), partial(scan_test_dir, test_dir)
            with _one_core():
                alone = _mb_s(paths, check, clock=time.process_time)
                hashed = _mb_s(paths, partial(_hash, paths), clock=time.process_time)
                decoded = _mb_s(paths, partial(_decode, paths), clock=time.process_time)
            together = _mb_s(paths, check)
        name = f"check, {n_files} file{'s' * (n_files > 1)}"
        figures |= {
            f"{name}, one core, MB/s of CPU time": alone,
            f"{name}, one core, times reading and SHA-256": hashed / alone,
            f"{name}, one core, times msgspec's decoding": decoded / alone,
            f"{name}, {usable_cpus()} cores, MB/s": together,
            f"{name}, {usable_cpus()} cores, speed by one core's": together / alone,
        }
    return figures


def replay_speed() -> Figures:
    """Replay of 1 GB of details, in MB/s of CPU time, with records of 4 kB and of 1 kB, beside decoding its lines."""
    figures: Figures = {}
    for size in (4000, 1000):
        with _details(1_000_000_000 // size, size) as run_dir:
            path = next((run_dir / "details").iterdir())
            replayed, decoded = (
                _mb_s([path], work, clock=time.process_time)
                for work in (partial(replay, path), partial(_decode, [path]))
            )
        name = f"replay of 1 GB, records of {size} bytes"
        figures |= {f"{name}, MB/s": replayed, f"{name}, times msgspec's decoding": decoded / replayed}
    return figures


def _hash(paths: Sequence[Path]) -> None:
    for path in paths:
        with path.open("rb", buffering=0) as file:
            hashlib.file_digest(file, "sha256")


def _decode(paths: Sequence[Path]) -> None:
    decode = msgspec.json.Decoder().decode
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                decode(line)


def _mb_s(
    paths: Sequence[Path], work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """How fast work on these files is, the best of three."""
    best = min(_timed(work, clock) for _ in range(3))
    return sum(path.stat().st_size for path in paths) / best / 1e6


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process to one core (Linux)."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def runs_speed() -> Figures:
    """`bootcamp runs` of 200 runs of 80 test files, and of the same with details newer than the averages."""
    scores = {f"t{at:02}": [[float(row % 2)] for row in range(68)] for at in range(80)}
    with TemporaryDirectory() as directory:
        first = write_run(Path(directory) / "run0", scores)
        open_run(first).write_reports()
        for number in range(1, 200):
            shutil.copytree(first, Path(directory) / f"run{number}")
            os.utime(Path(directory) / f"run{number}" / "meta.jsonl")
        command = [sys.executable, "-m", "bootcamp_cli", "runs", directory, "--json"]
        known_s = _wall_s(command)
        for path in Path(directory).glob("*/details/t00.jsonl"):
            os.utime(path)
        return {"runs, 200 with averages, s": known_s, "runs, 200 to be counted, s": _wall_s(command)}


def growth() -> Figures:
    """CPU seconds per 1000 samples and memory of the main process by the number of samples."""
    figures: Figures = {}
    with public_test_dir() as public:
        fixed = _growth_of(public, 20)
        for size in (1000, 10_000, 100_000, 1_000_000):
            cost = _growth_of(public, size)
            further = 1000 * (cost.cpu_s - fixed.cpu_s) / (cost.n - fixed.n)
            figures[f"CPU-s/1000 beyond the start at {size:,} samples"] = further
            figures[f"main process at {size:,} samples, MB"] = cost.main_mb
    return figures


def slot_memory() -> Figures:
    """Memory of the main process with 10,000 slots, all of them busy, and per further slot."""
    with public_test_dir() as public, repeated(public, 20_000) as test_dir:
        few, many = (
            _run_tool(test_dir, n_slots=n_slots, server=("--shape=exponential", f"--latency={latency_s}"))
            for n_slots, latency_s in ((128, 0.1), (10_000, 10))
        )
    assert many.requests["max_in_flight"] > 9_900
    return {
        "main process with 128 slots, MB": few.main_mb,
        "main process with 10,000 slots, MB": many.main_mb,
        "per further slot, kB": 1024 * (many.main_mb - few.main_mb) / (10_000 - 128),
    }


def _growth_of(public: Path, size: int) -> Cost:
    with repeated(public, size) as test_dir:
        return _run_tool(test_dir, n_slots=128, server=())


def _run_tool(test_dir: Path, *, n_slots: int, server: tuple[str, ...]) -> Cost:
    with stub(*server) as url, TemporaryDirectory(prefix="bootcamp-bench-") as output:
        return run("bootcamp", tool_command(url, test_dir, Path(output), n_slots=n_slots), url)


@contextmanager
def _details(n: int, n_bytes: int) -> Iterator[Path]:
    """A run directory with one details file of n records of about so many bytes."""
    sample = Sample(file="a.jsonl", row=0, id=0, data_source="Any", prompt="p" * (n_bytes // 4), ground_truth=[1, 2])
    answer = Answer(text="", finish_reason="stop", usage={"completion_tokens": 100}, model="m")
    verdict = Verdict(score=1.0, extracted="x")
    bare = len(encode_line(make_record(sample, answer, verdict, attempts=1, latency_s=1.0)))
    answer = replace(answer, text="o" * max(0, n_bytes - bare - 8))
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        (Path(folder) / "details").mkdir()
        with (Path(folder) / "details" / "a.jsonl").open("wb") as file:
            for row in range(n):
                asked = replace(sample, row=row, id=row)
                record = make_record(asked, answer, verdict, attempts=1, latency_s=1.0)
                file.write(encode_line(record))
        yield Path(folder)


def _timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


def _wall_s(command: list[str]) -> float:
    return _timed(lambda: run_process(command, stdout=DEVNULL, check=True, env=os.environ))


MEASUREMENTS: dict[str, Callable[[], Figures]] = {
    "stub": stub_limit,
    "help": help_starts,
    "typer": typer_starts,
    "start": first_request,
    "package": package_start,
    "check": check_speed,
    "replay": replay_speed,
    "report": report_speed,
    "runs": runs_speed,
    "page": page_speed,
    "frame": frame_speed,
    "compare": compare_speed,
    "export": export_speed,
    "viewer": viewer_speed,
    "rescore": rescore_speed,
    "slots": slot_memory,
    "growth": growth,
}


def main() -> None:
    """Measure one thing after another and print what came of it."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="a measurement; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    results = {}
    for name in given.only or MEASUREMENTS:
        results[name] = MEASUREMENTS[name]()
        sys.stdout.write(f"{name}: {json.dumps(results[name], indent=2)}\n")
        sys.stdout.flush()
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
