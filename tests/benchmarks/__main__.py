"""The benchmark: everything measured beside its baseline, in one go, with the goals beside the figures.

`python -m tests.benchmarks` runs the full form (about an hour): the tool beside bare loops at several numbers of slots
and latencies, repeats and servers, then all that `tests.benchmarks.scale` measures, the event loop, and the memory of
an endpoint. `--only NAME` takes parts of it. `--short` is what CI runs: it fails where the tool costs more than 2.1
times the bare loop on the same transport, by the median of five rounds or of ten. `--json FILE` writes every figure.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import goals, heartbeat, internet_scale, scale
from tests.benchmarks.data import n_rows, public_test_dir, repeated
from tests.benchmarks.loops import LOOPS, loop_command
from tests.benchmarks.measure import Cost, run, stubs, tool_command

Figures = dict[str, Any]
Costs = Mapping[str, list[Cost]]
"""What clients cost, by their names, one for each round."""

MAX_RATIO = 2.1
N_SAMPLES = 20_000
N_SHORT = 40_000
"""Enough that starting and reporting, which have figures of their own, weigh little."""

N_REPEATS = 16
N_SERVERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The tool, or the bare loop of that name; how many servers it is given, and how often it asks each row."""

    name: str
    options: tuple[str, ...] = ()
    n_servers: int = 1
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is asked of which server from how many slots, and the clients that are compared, the one to divide by last.

    The samples are `n_samples`, or those of the public set; `n_distinct` of them differ.
    """

    title: str
    clients: tuple[Client, ...]
    server: tuple[str, ...] = ()
    n_slots: int = 128
    n_samples: int | None = N_SAMPLES
    n_distinct: int | None = None
    n_rounds: int = 3


TOOL = Client(name="bootcamp")
TOOL_HTTPX = Client(name="bootcamp, httpx", options=("--transport=httpx",))
BARE = Client(name="aiohttp")
OTHERS = tuple(Client(name=loop) for loop in LOOPS if loop != BARE.name)
SERVERS = {
    "no latency": (),
    "exponential 300 ms": ("--shape=exponential",),
    "Pareto 300 ms": ("--shape=pareto",),
}

FULL = (
    Setting(
        title="public set, no latency",
        clients=(TOOL, TOOL_HTTPX, *OTHERS, BARE),
        n_samples=None,
    ),
    Setting(
        title="public set, exponential 300 ms",
        server=SERVERS["exponential 300 ms"],
        clients=(TOOL, TOOL_HTTPX, *(loop for loop in OTHERS if loop.name != "httpx, one pool"), BARE),
        n_samples=None,
        n_rounds=1,
    ),
    *(
        Setting(
            title=f"{n_slots:,} slots, {latency}",
            server=server,
            n_slots=n_slots,
            clients=(TOOL, BARE),
            n_rounds=2 if server else 5,
        )
        for latency, server in SERVERS.items()
        for n_slots in (128, 512, 2048)
    ),
    Setting(
        title="repeats",
        clients=(Client(name=f"bootcamp, {N_REPEATS} repeats", repeats=N_REPEATS), TOOL),
        n_distinct=N_SAMPLES // N_REPEATS,
    ),
    Setting(
        title="servers",
        clients=(Client(name=f"bootcamp, {N_SERVERS} servers", n_servers=N_SERVERS), TOOL),
    ),
)
SHORT = (
    Setting(title="128 slots, no latency", clients=(TOOL, BARE), n_samples=N_SHORT, n_rounds=5),
    Setting(
        title="128 slots, no latency, httpx",
        clients=(TOOL_HTTPX, Client(name="httpx, a client per slot")),
        n_rounds=1,
    ),
)


def measured(setting: Setting, public: Path, python: str) -> dict[str, list[Cost]]:
    """The costs of each client, the clients interleaved so that a machine that gets slower slows all of them."""
    costs: dict[str, list[Cost]] = {client.name: [] for client in setting.clients}
    for _ in range(setting.n_rounds):
        for client in setting.clients:
            with (
                _test_dir(setting, client, public) as test_dir,
                stubs(client.n_servers, *setting.server) as urls,
                TemporaryDirectory(prefix="bootcamp-bench-") as output,
            ):
                n = n_rows(test_dir) * client.repeats
                if client.name in LOOPS:
                    command = loop_command(client.name, urls[0], test_dir, n=n, n_slots=setting.n_slots, python=python)
                else:
                    options = [*client.options, f"--repeats={client.repeats}"]
                    command = tool_command(
                        urls, test_dir, Path(output), n_slots=setting.n_slots, options=options, python=python
                    )
                cost = run(client.name, command, urls[0])
            n_checks = client.n_servers if client.n_servers > 1 else 0  # several are each asked once before
            if cost.exit_code or cost.n != n + n_checks:
                raise SystemExit(f"{client.name}: exit code {cost.exit_code}, {cost.n} of {n} samples")
            costs[client.name].append(cost)
    return costs


@contextmanager
def _test_dir(setting: Setting, client: Client, public: Path) -> Iterator[Path]:
    """The rows of a setting; a client that repeats them gets so many fewer."""
    if setting.n_samples is None:
        yield public
        return
    with repeated(public, setting.n_samples // client.repeats, n_distinct=setting.n_distinct) as test_dir:
        yield test_dir


def ratio_to(costs: Costs, client: str, other: str) -> float:
    """The median of the ratios of cost, round by round: a machine changes its pace, but hardly within a round."""
    pairs = zip(costs[client], costs[other], strict=True)
    return median(one.cpu_s_per_1000 / two.cpu_s_per_1000 for one, two in pairs)


def table(setting: Setting, costs: Costs) -> str:
    """One line per client: medians over the rounds, and the ratio to the last client."""
    last = setting.clients[-1].name
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


def compared(setting: Setting, public: Path, python: str, *, most: float | None = None) -> Figures:
    """The ratios of a setting, whose table is printed; it is measured twice where the first ratio is above `most`."""
    costs = measured(setting, public, python)
    first, *_, last = costs
    if most is not None and ratio_to(costs, first, last) > most:
        more = measured(setting, public, python)  # the machine may have been disturbed
        costs = {client: found + more[client] for client, found in costs.items()}
    print(f"{table(setting, costs)}\n", flush=True)
    ratios = {f"{setting.title}: {name} / {last}": ratio_to(costs, name, last) for name in costs if name != last}
    return {**ratios, setting.title: {name: [cost.as_json() for cost in found] for name, found in costs.items()}}


def measurements(public: Path, python: str, *, is_short: bool) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """What is measured, by name."""
    for setting in SHORT if is_short else FULL:
        yield setting.title, partial(compared, setting, public, python, most=MAX_RATIO if is_short else None)
    if not is_short:
        yield from scale.MEASUREMENTS.items()
        yield "heartbeat", heartbeat.figures
        yield "endpoints", _endpoint_memory


def _endpoint_memory() -> Figures:
    """What each of 200 endpoints takes, the larger of http and https."""
    return {"per endpoint, MB": max(internet_scale.measured_apart("clients", 0, 200).values()) / 1024}


def main() -> int:
    """Measure, print what came of it, and decide about the short form."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--short", action="store_true", help="the form for CI: fails above 2.1 times the bare loop")
    parser.add_argument("--only", action="append", help="the beginning of a measurement's name; repeatable")
    parser.add_argument("--python", default=sys.executable, help="interpreter of tool and loops")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    given = parser.parse_args()
    figures: Figures = {}
    with public_test_dir() as public:
        for name, measure in measurements(public, given.python, is_short=given.short):
            if given.only is None or name.startswith(tuple(given.only)):
                found = measure()
                figures |= found
                shown = {what: value for what, value in found.items() if not isinstance(value, dict)}
                print(f"{name}: {json.dumps(shown, indent=2)}\n", flush=True)
    print(goals.table(figures, is_all=given.only is None and not given.short))
    if given.json:
        judged = {
            goal.figure: {"value": value, "goal": goal.bound, "met": met} for goal, value, met in goals.judged(figures)
        }
        given.json.write_text(json.dumps({"figures": figures, "goals": judged}, indent=2) + "\n", encoding="utf-8")
    too_dear = [name for name, value in figures.items() if given.short and " / " in name and value > MAX_RATIO]
    sys.stderr.writelines(f"{name}: {figures[name]:.2f} times, more than {MAX_RATIO}\n" for name in too_dear)
    return 1 if too_dear else 0


if __name__ == "__main__":
    sys.exit(main())
