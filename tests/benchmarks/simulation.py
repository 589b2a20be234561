"""The order of work, simulated: how long a run takes by the tool's order, against FIFO and the lower bound.

`python -m tests.benchmarks.simulation`. The tool's own queue hands out the samples; slots, lengths and time are
simulated. A run cannot end before max(sum of lengths / slots, longest length), whatever the order.
"""

import heapq
import json
import random
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from statistics import mean

from bootcamp_cli.engine.scheduler import WorkQueue
from bootcamp_cli.types import Sample

N_SLOTS = 128
N_FILES = 80
N_ROWS = 64
_TOKENS_PER_S = 50.0

Lengths = Mapping[str, list[int]]
"""Tokens of each sample by test file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How long answers are: the mean of a file, and one sample of a file with that mean."""

    title: str
    of_file: Callable[[random.Random], float]
    of_sample: Callable[[random.Random, float], float]


def _spread(source: random.Random) -> float:
    """Means from 300 to 20,000 tokens, on a logarithmic scale."""
    return float(300 * (20_000 / 300) ** source.random())


DISTRIBUTIONS = (
    Distribution(title="files differ, samples of a file alike", of_file=_spread, of_sample=lambda _, m: m),
    Distribution(
        title="files differ, samples uniform within 30 %",
        of_file=_spread,
        of_sample=lambda s, m: m * s.uniform(0.7, 1.3),
    ),
    Distribution(
        title="files differ, samples lognormal (0.5)",
        of_file=_spread,
        of_sample=lambda s, m: m * s.lognormvariate(-0.125, 0.5),
    ),
    Distribution(
        title="files differ, samples exponential, cut at 32k",
        of_file=_spread,
        of_sample=lambda s, m: min(32_768, s.expovariate(1 / m)),
    ),
    Distribution(
        title="one in ten files at the limit of 32k",
        of_file=lambda s: 32_768 if s.random() < 0.1 else 1500,
        of_sample=lambda s, m: min(32_768, m * s.uniform(0.8, 1.2)),
    ),
    Distribution(
        title="all files alike, exponential (nothing to foresee)",
        of_file=lambda _: 3000,
        of_sample=lambda s, m: min(32_768, s.expovariate(1 / m)),
    ),
    Distribution(
        title="all files alike, Pareto 2.5 (nothing to foresee)",
        of_file=lambda _: 3000,
        of_sample=lambda s, m: min(32_768, m * 0.6 * s.paretovariate(2.5)),
    ),
)


def drawn(distribution: Distribution, seed: int) -> dict[str, list[int]]:
    """The lengths of one run."""
    source = random.Random(seed)  # noqa: S311 - lengths are no secrets
    means = {f"file{number:02}.jsonl": distribution.of_file(source) for number in range(N_FILES)}
    return {
        name: [max(1, round(distribution.of_sample(source, mean_))) for _ in range(N_ROWS)]
        for name, mean_ in means.items()
    }


def lower_bound_s(lengths: Lengths) -> float:
    """No order ends before this."""
    every = [n for file in lengths.values() for n in file]
    return max(sum(every) / N_SLOTS, *every) / _TOKENS_PER_S


def simulated_s(lengths: Lengths, take: Callable[[], Sample | None], observe: Callable[[str, int], None]) -> float:
    """When the last of the slots is done, each taking the next sample as soon as it is free."""
    running: list[tuple[float, int, str, int]] = []
    now = 0.0
    number = 0
    while True:
        while len(running) < N_SLOTS and (sample := take()) is not None:
            n_tokens = lengths[sample.file][sample.row]
            number += 1
            heapq.heappush(running, (now + n_tokens / _TOKENS_PER_S, number, sample.file, n_tokens))
        if not running:
            return now
        now, _, file, n_tokens = heapq.heappop(running)
        observe(file, n_tokens)


def samples_of(lengths: Lengths) -> dict[str, Iterator[Sample]]:
    """The samples of each file, as the tool reads them."""
    return {
        name: iter(
            [
                Sample(file=name, row=row, id=row, data_source="Any", prompt="", ground_truth=None)
                for row in range(len(rows))
            ]
        )
        for name, rows in lengths.items()
    }


def in_order(lengths: Lengths) -> float:
    """The files one after another."""
    rows = [sample for file in samples_of(lengths).values() for sample in file]
    return simulated_s(lengths, chain(rows, repeat(None)).__next__, lambda *_: None)


def by_the_tool(lengths: Lengths, expected: Mapping[str, float] | None = None) -> float:
    """By the tool's queue; `expected` are mean lengths of an earlier run."""
    n_owed = {name: len(rows) for name, rows in lengths.items()}
    queue = WorkQueue(samples_of(lengths), expected=expected or {}, n_owed=n_owed)
    return simulated_s(lengths, queue.take, queue.observe)


def main() -> None:
    """Print, for each distribution, how far above the lower bound each order ends."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.simulation")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    sys.stdout.write(
        f"{N_FILES} files of {N_ROWS} samples, {N_SLOTS} slots, mean of {given.rounds} rounds: time above the bound\n"
        f"{'lengths':52} {'FIFO':>8} {'learning':>9} {'earlier run':>12}\n"
    )
    figures = {}
    for distribution in DISTRIBUTIONS:
        rounds = [(drawn(distribution, seed), drawn(distribution, seed)) for seed in range(given.rounds)]
        above: dict[str, list[float]] = {"fifo": [], "learning": [], "earlier": []}
        for lengths, _ in rounds:
            bound_s = lower_bound_s(lengths)
            means = {name: mean(rows) for name, rows in lengths.items()}
            above["fifo"].append(in_order(lengths) / bound_s - 1)
            above["learning"].append(by_the_tool(lengths) / bound_s - 1)
            above["earlier"].append(by_the_tool(lengths, means) / bound_s - 1)
        figures[distribution.title] = {name: mean(values) for name, values in above.items()}
        fifo, learning, earlier = (f"{100 * figures[distribution.title][name]:.1f} %" for name in above)
        sys.stdout.write(f"{distribution.title:52} {fifo:>8} {learning:>9} {earlier:>12}\n")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
