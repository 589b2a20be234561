"""From which cost of a verifier a cluster is worth it: verdicts per second and core, on this machine and on Ray.

`python -m tests.benchmarks.executors` (about 5 minutes, Linux) needs the package ray. Both executors have two workers:
those of this machine, and those of two Ray nodes with one CPU each, which are processes of this machine too. A core's
second is one of CPU time, of the whole process tree, Ray's own processes included, so that other work on the machine
does not count; what is taken anyway, while verifiers sleep, is measured first and left out. Starting is measured apart.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bootcamp_cli import Settings
from bootcamp_cli.verdicts import score_many
from tests.bootcamps_upstream_package import build_package
from tests.interop.ray_nodes import ray_nodes

N_WORKERS = 2

_LASTS_S = 12
_IDLES_S = 8
_N_ROUNDS = 3
_LADDER = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}

BUSY = """
@classmethod
def verify_score(cls, model_output, identity, format_score=0, **kwargs):
    import time
    end = time.thread_time() + identity / 1000
    while time.thread_time() < end:
        pass
    return 1.0
"""
"""Computes for as many milliseconds as the ground truth says."""


SLEEPY = """
@classmethod
def verify_score(cls, model_output, identity, format_score=0, **kwargs):
    import time
    time.sleep(identity)
    return 1.0
"""


def items(cost_ms: float | None, n: int) -> list[Any]:
    """N outputs of 1 kB; without a cost for a quick built-in bootcamp, else for one of the package."""
    padding = "x" * 1000
    if cost_ms is None:
        return [("KorPuzzleWordLadder", f"{padding} [[{number % 7}]]", _LADDER) for number in range(n)]
    return [("Busy", padding, cost_ms)] * n


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One executor with one verifier: seconds to the first verdict, and verdicts per second of one core after that."""

    first_s: float
    per_core_s: float


def measured(samples: Sequence[Any], settings: Settings, *, idle: float) -> Figures:
    """Verify the samples; the first quarter, while nodes join and batches find their size, counts for the start only.

    `idle` is the CPU time per second that is taken anyway (see `background`).
    """
    begun = time.perf_counter()
    first, warm, cpu = begun, begun, 0.0
    n_warm = max(1, len(samples) // 4)
    for number, verdict in enumerate(score_many(samples, settings=settings), start=1):
        if verdict.failure:
            raise SystemExit(f"{verdict.failure}: {verdict.error}")
        if number == 1:
            first = time.perf_counter()
        if number == n_warm:
            warm, cpu = time.perf_counter(), tree_cpu_s()
        if number == len(samples):
            cpu = tree_cpu_s() - cpu - idle * (time.perf_counter() - warm)
    return Figures(first_s=first - begun, per_core_s=(len(samples) - n_warm) / cpu)


def background(settings: Settings) -> float:
    """The CPU time per second that is taken while verifiers sleep."""
    verdicts = score_many([("Sleepy", "x", 1.0)] * 100, settings=settings)
    next(verdicts)
    begun, cpu = time.perf_counter(), tree_cpu_s()
    time.sleep(_IDLES_S)
    taken = (tree_cpu_s() - cpu) / (time.perf_counter() - begun)
    verdicts.close()
    return taken


def tree_cpu_s() -> float:
    """CPU seconds of this process and its descendants, and of what these have waited for."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            seconds[int(path.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found, total = [os.getpid()], 0.0
    while found:
        pid = found.pop()
        total += seconds.get(pid, 0.0)
        found += children.get(pid, [])
    return total


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.executors")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder, ray_nodes(N_WORKERS) as nodes:
        os.environ.update(nodes.environment)
        package = build_package(Path(folder), {"Busy": BUSY, "Sleepy": SLEEPY})
        local = Settings(bootcamps_path=package, verify_workers=N_WORKERS)
        on_ray = Settings(bootcamps_path=package, executor="ray", ray_address=nodes.address)
        idle, idle_on_ray = background(local), background(on_ray)
        print(f"waiting takes {idle:.3f} of a core, with Ray {idle_on_ray:.3f}")
        print(f"{'verifier':20} {'local':>8} {'Ray':>8} {'ratio':>6} {'first, local':>13} {'first, Ray':>11}")
        for title, cost_ms, n in (
            ("built-in, quick", None, 50_000),
            *((f"package, {cost:g} ms", cost, int(_LASTS_S * 1000 / cost)) for cost in (1.0, 10.0, 100.0)),
        ):
            samples = items(cost_ms, n)
            rounds = [
                (measured(samples, local, idle=idle), measured(samples, on_ray, idle=idle_on_ray))
                for _ in range(_N_ROUNDS)
            ]
            here, there = (
                Figures(
                    first_s=median(pair[side].first_s for pair in rounds),
                    per_core_s=median(pair[side].per_core_s for pair in rounds),
                )
                for side in (0, 1)
            )
            figures[title] = {"local": asdict(here), "ray": asdict(there)}
            ratio = median(two.per_core_s / one.per_core_s for one, two in rounds)
            print(f"{title:20} {here.per_core_s:8.1f} {there.per_core_s:8.1f} {ratio:6.2f}", end="")
            print(f" {here.first_s:13.1f} {there.first_s:11.1f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
