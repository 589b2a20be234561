"""What a start takes: the help, a command with either typer, and from launch to the first request."""

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import requires
from json import dumps
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from subprocess import run as run_process
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.data import n_rows, public_test_dir
from tests.benchmarks.measure import run, stub, tool_command
from tests.bootcamps_upstream_package import build_package

Figures = dict[str, Any]

_N_STARTS = 15
_BARE = (sys.executable, "-c", "pass")
_TOOL = (sys.executable, "-m", "bootcamp_cli")
_N_BOOTCAMPS = 1070


def help_starts() -> Figures:
    """How many starts of a bare interpreter `bootcamp --help` and `bootcamp eval --help` take; medians of pairs."""
    ratios: dict[str, list[float]] = {"bootcamp --help": [], "bootcamp eval --help": []}
    for _ in range(_N_STARTS):
        for name, found in ratios.items():
            found.append(_wall_s((*_TOOL, *name.split()[1:])) / _wall_s(_BARE))
    return {f"{name}, starts of python -c pass": median(found) for name, found in ratios.items()}


def typer_starts() -> Figures:
    """What the typer that is installed takes beside the oldest that is allowed, which is installed for the occasion."""
    oldest = next(found[1] for line in requires("bootcamp-cli") or () if (found := re.match(r"typer>=([\d.]+)", line)))
    figures: Figures = {"typer, oldest": oldest}
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", f"--target={folder}", f"typer=={oldest}.0")
        run_process(pip, check=True, env=_without("PIP_CONSTRAINT"), stderr=DEVNULL)
        with_oldest = {**os.environ, "PYTHONPATH": folder}
        for name in ("bootcamp eval --help", "bootcamp config show"):
            command = (*_TOOL, *name.split()[1:])
            _wall_s(command, with_oldest)  # what is compiled at the first start is kept
            pairs = [(_wall_s(command), _wall_s(command, with_oldest)) for _ in range(_N_STARTS)]
            more_s = median(newest - oldest for newest, oldest in pairs)
            figures[f"{name}, newest typer, ms more than oldest"] = 1000 * more_s
    return figures


def first_request() -> Figures:
    """From launch to the first request, with the whole public set checked before."""
    bare_s, costs = [], []
    with public_test_dir(slow=True) as test_dir:
        for _ in range(9):
            with stub("--shape=fixed", "--latency=0.01") as url, TemporaryDirectory() as output:
                bare_s.append(_wall_s(_BARE))
                costs.append(run("bootcamp", tool_command(url, test_dir, Path(output), n_slots=128), url))
    starts = [cost.first_request_s / bare for cost, bare in zip(costs, bare_s, strict=True)]
    return {
        "launch to first request, s": median(cost.first_request_s for cost in costs),
        "launch to first request, starts of python -c pass": median(starts),
        "rows": costs[0].n,
    }


def package_start() -> Figures:
    """The same with a package whose 1,070 bootcamps are all loaded before the first request."""
    name = f"package of {_N_BOOTCAMPS:,} bootcamps"
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder, stub() as url:
        package = build_package(Path(folder) / "package", {}, n_generated=_N_BOOTCAMPS)
        test_dir = Path(folder) / "tests"
        test_dir.mkdir()
        rows = [{"data_source": f"Gen{at:04}", "prompt": "?", "ground_truth": "7"} for at in range(_N_BOOTCAMPS)]
        (test_dir / "all.jsonl").write_text("".join(f"{dumps(row)}\n" for row in rows))
        options = [f"--bootcamps-path={package}"]
        cost = run(name, tool_command(url, test_dir, Path(folder) / "out", n_slots=128, options=options), url)
        assert cost.n == n_rows(test_dir)
    return {
        f"{name}, launch to first request, s": cost.first_request_s,
        f"{name}, MB of a worker": cost.child_mb,
        f"{name}, CPU-s": cost.cpu_s,
    }


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != name}


def _wall_s(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    started = time.perf_counter()
    run_process(command, stdout=DEVNULL, check=True, env=env)
    return time.perf_counter() - started
