"""The order of work in real runs: how far above the lower bound they end, against FIFO.

`python -m tests.benchmarks.order` (3 minutes): 20,000 samples in 40 files whose mean latencies differ, 128 slots. The
bare loop takes the files one after another; the tool learns, and in a second run knows the lengths of the first.
"""

import json
import random
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.loops import loop_command
from tests.benchmarks.measure import Cost, run, stub, tool_command

N_SLOTS = 128
N_FILES = 40
MEAN_S = 0.3


@contextmanager
def varied_test_dir(n: int) -> Iterator[Path]:
    """Prompts that say their latency: lognormal within a file, means of the files a factor of 60 apart."""
    source = random.Random(1)  # noqa: S311 - lengths are no secrets
    means = [60 ** source.random() for _ in range(N_FILES)]
    scale = MEAN_S / (sum(means) / N_FILES)
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        for number, mean in enumerate(means):
            with (Path(folder) / f"file{number:02}.jsonl").open("w") as file:
                for row in range(n // N_FILES):
                    latency_s = mean * scale * source.lognormvariate(-0.125, 0.5)
                    prompt = f"latency={latency_s:.4f}; sample {number} {row}"
                    file.write(json.dumps({"data_source": "Cipher", "prompt": prompt, "ground_truth": "[[X]]"}) + "\n")
        yield Path(folder)


def described(cost: Cost) -> dict[str, float]:
    """How long the run took from the first request to the last answer, and how long it had to take."""
    bound_s = max(cost.requests["sum_s"] / N_SLOTS, cost.requests["longest_s"])
    return {
        "makespan, s": cost.requests["makespan_s"],
        "bound, s": bound_s,
        "above the bound, %": 100 * (cost.requests["makespan_s"] / bound_s - 1),
        "busy from first to last request, %": 100 * cost.busy_share(N_SLOTS),
    }


def main() -> None:
    """Measure the three runs and print them."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.order")
    parser.add_argument("--samples", type=int, default=20_000)
    given = parser.parse_args()
    with varied_test_dir(given.samples) as test_dir, TemporaryDirectory(prefix="bootcamp-bench-") as output:
        for name in ("FIFO (bare loop)", "bootcamp, first run", "bootcamp, after an earlier run"):
            with stub("--shape=prompt") as url:
                if name.startswith("FIFO"):
                    command = loop_command("aiohttp", url, test_dir, n=given.samples, n_slots=N_SLOTS)
                else:
                    command = tool_command(url, test_dir, Path(output), n_slots=N_SLOTS)
                sys.stdout.write(f"{name}: {json.dumps(described(run(name, command, url)))}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
