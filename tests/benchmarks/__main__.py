"""The benchmark: the tool beside bare loops, in one go, as ratios.

`python -m tests.benchmarks` runs the full form (about 15 minutes); `--short` is what CI runs: it fails where the tool
costs more than 2.5 times the bare loop on the same transport, by the median of five rounds or of ten. `--json FILE`
writes every figure.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.data import n_rows, public_test_dir, repeated
from tests.benchmarks.loops import LOOPS, loop_command
from tests.benchmarks.measure import Cost, run, stub, tool_command

MAX_RATIO = 2.5
N_SHORT = 20_000
"""Samples of the short form: enough that starting and reporting weigh little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One server, one number of slots, and the clients that are compared on it, the one to divide by last."""

    title: str
    server: tuple[str, ...]
    n_slots: int
    clients: tuple[str, ...]
    n_rounds: int


TOOL = "bootcamp"
TOOL_HTTPX = "bootcamp, httpx"

FULL = (
    Setting(
        title="128 slots, no latency",
        server=(),
        n_slots=128,
        clients=(TOOL, TOOL_HTTPX, *LOOPS),
        n_rounds=5,
    ),
    Setting(
        title="128 slots, exponential 300 ms",
        server=("--shape=exponential",),
        n_slots=128,
        clients=(TOOL, TOOL_HTTPX, *(loop for loop in LOOPS if loop != "httpx, one pool")),
        n_rounds=2,
    ),
    Setting(
        title="128 slots, Pareto 300 ms",
        server=("--shape=pareto",),
        n_slots=128,
        clients=(TOOL, "aiohttp"),
        n_rounds=2,
    ),
    Setting(title="512 slots, no latency", server=(), n_slots=512, clients=(TOOL, "aiohttp"), n_rounds=3),
    Setting(title="2048 slots, no latency", server=(), n_slots=2048, clients=(TOOL, "aiohttp"), n_rounds=3),
    Setting(
        title="512 slots, exponential 300 ms",
        server=("--shape=exponential",),
        n_slots=512,
        clients=(TOOL, "aiohttp"),
        n_rounds=3,
    ),
    Setting(
        title="2048 slots, exponential 300 ms",
        server=("--shape=exponential",),
        n_slots=2048,
        clients=(TOOL, "aiohttp"),
        n_rounds=3,
    ),
)
SHORT = (
    Setting(
        title="128 slots, no latency",
        server=(),
        n_slots=128,
        clients=(TOOL, "aiohttp"),
        n_rounds=5,
    ),
    Setting(
        title="128 slots, no latency, httpx",
        server=(),
        n_slots=128,
        clients=(TOOL_HTTPX, "httpx, a client per slot"),
        n_rounds=1,
    ),
)


def measured(setting: Setting, test_dir: Path, python: str) -> dict[str, list[Cost]]:
    """The costs of each client, the clients interleaved so that a machine that gets slower slows all of them."""
    costs: dict[str, list[Cost]] = {client: [] for client in setting.clients}
    n = n_rows(test_dir)
    for _ in range(setting.n_rounds):
        for client, found in costs.items():
            with stub(*setting.server) as url, TemporaryDirectory(prefix="bootcamp-bench-") as output:
                if client in LOOPS:
                    command = loop_command(client, url, test_dir, n=n, n_slots=setting.n_slots, python=python)
                else:
                    options = ["--transport=httpx"] if client == TOOL_HTTPX else []
                    command = tool_command(
                        url, test_dir, Path(output), n_slots=setting.n_slots, options=options, python=python
                    )
                cost = run(client, command, url)
            if cost.exit_code or cost.n != n:
                raise SystemExit(f"{client}: exit code {cost.exit_code}, {cost.n} of {n} samples")
            found.append(cost)
    return costs


def ratio_to(costs: dict[str, list[Cost]], client: str, other: str) -> float:
    """The median of the ratios of cost, round by round: a machine changes its pace, but hardly within a round."""
    pairs = zip(costs[client], costs[other], strict=True)
    return median(one.cpu_s_per_1000 / two.cpu_s_per_1000 for one, two in pairs)


def table(setting: Setting, costs: dict[str, list[Cost]]) -> str:
    """One line per client: medians over the rounds, and the ratio to the last client."""
    last = setting.clients[-1]
    lines = [
        f"{setting.title} ({costs[last][0].n} samples, {len(costs[last])} rounds)",
        f"{'client':26} {'CPU-s/1000':>10} {'ratio':>6} {'busy':>6} {'MB':>6} {'first s':>8} {'wall s':>7}",
    ]
    for client, found in costs.items():
        lines.append(
            f"{client:26} {median(cost.cpu_s_per_1000 for cost in found):10.3f} {ratio_to(costs, client, last):6.2f}"
            f" {_busy(setting, found)} {median(cost.main_mb for cost in found):6.0f}"
            f" {median(cost.first_request_s for cost in found):8.3f} {median(cost.wall_s for cost in found):7.2f}"
        )
    return "\n".join(lines)


def _busy(setting: Setting, costs: list[Cost]) -> str:
    if not setting.server:
        return f"{'-':>6}"
    return f"{100 * median(cost.busy_share(setting.n_slots) for cost in costs):5.1f}%"


def main() -> int:
    """Measure, print the tables, and decide about the short form."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--short", action="store_true", help="the form for CI: fails above 2.5 times the bare loop")
    parser.add_argument("--python", default=sys.executable, help="interpreter of tool and loops")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    given = parser.parse_args()
    results: list[dict[str, Any]] = []
    too_dear = []
    with public_test_dir() as public, repeated(public, N_SHORT) as many:
        test_dir = many if given.short else public
        for setting in SHORT if given.short else FULL:
            costs = measured(setting, test_dir, given.python)
            if given.short and ratio_to(costs, setting.clients[0], setting.clients[-1]) > MAX_RATIO:
                more = measured(setting, test_dir, given.python)  # the machine may have been disturbed
                costs = {client: found + more[client] for client, found in costs.items()}
            sys.stdout.write(f"{table(setting, costs)}\n\n")
            sys.stdout.flush()
            results.append(
                {
                    "setting": setting.title,
                    "clients": {name: [cost.as_json() for cost in found] for name, found in costs.items()},
                }
            )
            ratio = ratio_to(costs, setting.clients[0], setting.clients[-1])
            if given.short and ratio > MAX_RATIO:
                too_dear.append(f"{setting.title}: {ratio:.2f} times the bare loop, more than {MAX_RATIO}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stderr.writelines(f"{line}\n" for line in too_dear)
    return 1 if too_dear else 0


if __name__ == "__main__":
    sys.exit(main())
