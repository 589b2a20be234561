"""How long the event loop stands still during a run: a task that wants to wake every 5 ms says how late it comes.

`python -m tests.benchmarks.heartbeat`: answers of 4 kB from 128 slots without latency, and some of 2 MB. Where more
processes want to run than there are cores, the loop is also late because others are running; so the CPU time
that its thread takes from beat to beat is measured beside.
"""

import json
import time
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import anyio

from bootcamp_cli.engine.plan import make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import new_session
from bootcamp_cli.server.client import open_client
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.benchmarks.data import public_test_dir
from tests.benchmarks.measure import stub

_BEAT_S = 0.005


def beats(url: str, test_dir: Path, output_dir: Path, limit: int | None) -> tuple[list[float], list[float]]:
    """How late each beat of one run came, and the CPU time of the loop's thread until it, in seconds."""
    settings = Settings(url=url, model_name="stub", test_dir=test_dir, output_dir=output_dir, limit=limit)
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)
    late: list[float] = []
    busy: list[float] = []

    async def beat() -> None:
        while True:
            due, cpu = time.perf_counter() + _BEAT_S, time.thread_time()
            await anyio.sleep(_BEAT_S)
            late.append(time.perf_counter() - due)
            busy.append(time.thread_time() - cpu)

    async def main() -> None:
        async with open_client(settings, plan.generation) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            await run(session, client, lambda _: None)
            tasks.cancel_scope.cancel()

    with new_session(plan, None, lambda _: None) as session:
        anyio.run(main)
    return late, busy


def figures() -> dict[str, float]:
    """Beats, the latest of them, and the most CPU time between two, with answers of 4 kB and of 2 MB."""
    found: dict[str, float] = {}
    for title, n_chars, limit in (("answers of 4 kB", 4000, None), ("answers of 2 MB", 2_000_000, 4)):
        with public_test_dir() as test_dir, TemporaryDirectory() as output, stub(f"--chars={n_chars}") as url:
            late, busy = beats(url, test_dir, Path(output), limit)
        found |= {
            f"{title}: beats": len(late),
            f"{title}: 99 % come within, ms": 1000 * quantiles(late, n=100)[-1],
            f"{title}: latest beat, ms": 1000 * max(late),
            f"{title}: most CPU between two, ms": 1000 * max(busy),
        }
    return found


def main() -> None:
    """Measure and print."""
    print(json.dumps(figures(), indent=2))


if __name__ == "__main__":
    main()
