"""From which cost of a verifier a cluster is worth it: verdicts per second and core, on this machine and on Ray.

`python -m tests.benchmarks.executors` (about 3 minutes) needs the package ray. Both executors have two workers: those of
this machine, and two Ray nodes of one CPU each, which are processes of this machine too. So what Ray costs shows as
verdicts that are missing; what it brings is more machines. Starting is measured apart.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bootcamp_cli import Settings
from bootcamp_cli.verdicts import score_many
from tests.bootcamps_upstream_package import build_package
from tests.interop.ray_nodes import ray_nodes

N_WORKERS = 2

_LASTS_S = 10
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


def items(cost_ms: float | None, n: int) -> list[Any]:
    """N outputs of 1 kB; without a cost for a quick built-in bootcamp, else for one of the package."""
    padding = "x" * 1000
    if cost_ms is None:
        return [("KorPuzzleWordLadder", f"{padding} [[{number % 7}]]", _LADDER) for number in range(n)]
    return [("Busy", padding, cost_ms)] * n


def measured(samples: Sequence[Any], settings: Settings) -> tuple[float, float]:
    """Seconds until the first verdict, and verdicts per second and worker after the first twentieth of them."""
    begun = time.perf_counter()
    first = warm = begun
    n_warm = max(1, len(samples) // 20)
    for number, verdict in enumerate(score_many(samples, settings=settings), start=1):
        if verdict.failure:
            raise SystemExit(f"{verdict.failure}: {verdict.error}")
        if number == 1:
            first = time.perf_counter()
        if number == n_warm:
            warm = time.perf_counter()
    rate = (len(samples) - n_warm) / (time.perf_counter() - warm)
    return first - begun, rate / N_WORKERS


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.executors")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder, ray_nodes(N_WORKERS) as nodes:
        os.environ.update(nodes.environment)
        package = build_package(Path(folder), {"Busy": BUSY})
        local = Settings(bootcamps_path=package, verify_workers=N_WORKERS)
        on_ray = Settings(bootcamps_path=package, executor="ray", ray_address=nodes.address)
        print(f"{'verifier':24} {'local':>10} {'Ray':>10} {'ratio':>6} {'first, local':>13} {'first, Ray':>11}")
        for title, cost_ms, n in (
            ("built-in, quick", None, 100_000),
            *((f"package, {cost:g} ms", cost, int(N_WORKERS * _LASTS_S * 1000 / cost)) for cost in (1.0, 10.0, 100.0)),
        ):
            samples = items(cost_ms, n)
            (first, rate), (first_on_ray, rate_on_ray) = measured(samples, local), measured(samples, on_ray)
            figures[title] = {
                "local, verdicts/s and core": rate,
                "Ray, verdicts/s and core": rate_on_ray,
                "local, s to the first": first,
                "Ray, s to the first": first_on_ray,
            }
            ratio = rate_on_ray / rate
            print(f"{title:24} {rate:10.1f} {rate_on_ray:10.1f} {ratio:6.2f} {first:13.1f} {first_on_ray:11.1f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
