"""Builds verifiers and pools for the tests of the pool: any module on the search path may stand for a built-in one."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio

from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.pool import VerifierPool

T = TypeVar("T")

ECHO = "def extract_output(output): return output\ndef check(solution, ground_truth): return True\n"


def write_bootcamp(directory: Path, name: str, source: str) -> BootcampRef:
    """Write a module below `directory`, which must be on the search path, and refer to it as to a built-in bootcamp."""
    (directory / f"{name}.py").write_text(source)
    return BootcampRef(data_source=name, origin="builtin", target=name)


def in_pool(
    work: Callable[[VerifierPool], Awaitable[T]], *, workers: int = 1, timeout_s: float = 10, **options: Any
) -> T:
    """Run `work` with a pool and end the pool."""

    async def run() -> T:
        async with VerifierPool(workers=workers, timeout_s=timeout_s, **{"memory_mib": 1024, **options}) as pool:
            return await work(pool)

    return anyio.run(run)


def verify_all(samples: list[tuple[BootcampRef, str, Any]], **options: Any) -> list[Verdict]:
    """The verdicts of the samples, verified all at once."""

    async def work(pool: VerifierPool) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}

        async def one(number: int) -> None:
            verdicts[number] = await pool.verify(*samples[number])

        async with anyio.create_task_group() as tasks:
            for number in range(len(samples)):
                tasks.start_soon(one, number)
        return [verdicts[number] for number in range(len(samples))]

    return in_pool(work, **options)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not just waiting to be reaped."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another process; a minute is never needed."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - another process sets no event
            await anyio.sleep(0.01)
