"""No output, however long and made on purpose, costs a built-in bootcamp its time limit or its worker."""

from random import Random
from typing import Any

import anyio

from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.types import BootcampRef
from bootcamp_cli.verification.pool import VerifierPool
from tests.bootcamps_builder import in_pool
from tests.chaos.adversarial import adversarial
from tests.chaos.figure import tell
from tests.test_bootcamps_builtin_robustness import instance

KB64 = 64 * 1024
MB2 = 2 * 1024 * 1024


def test_adversarial_outputs(long_form: bool) -> None:
    """Each of the 80 verifies outputs of 64 kB and 2 MB, made from its right answers, within the limits of a run."""
    sizes = [KB64] * 10 + [MB2] * 2 if long_form else [KB64 // 4]
    seeded = Random(5)  # noqa: S311 - no secret
    instances = {data_source: instance(data_source) for data_source in CATALOG}
    failed: list[tuple[object, ...]] = []
    n_tried = 0

    async def verify_one(pool: VerifierPool, ref: BootcampRef, recipe: str, output: str, ground_truth: Any) -> None:
        nonlocal n_tried
        verdict = await pool.verify(ref, output, ground_truth)
        n_tried += 1
        if verdict.failure is not None or not 0 <= (verdict.score or 0) <= 1:
            failed.append((ref.data_source, recipe, len(output), output[:60], verdict.failure, verdict.error))

    async def verify(pool: VerifierPool) -> None:
        for data_source, entry in CATALOG.items():
            ref = BootcampRef(data_source=data_source, origin="builtin", target=entry.module)
            ground_truth, answer = instances[data_source]
            for size in sizes:
                async with anyio.create_task_group() as tasks:
                    for recipe, output in adversarial(answer, size, seeded):
                        tasks.start_soon(verify_one, pool, ref, recipe, output, ground_truth)

    in_pool(verify, workers=1, timeout_s=10, memory_mib=2048)
    assert failed == []
    tell(f"built-in bootcamps: {n_tried} outputs of up to 2 MB tried on {len(CATALOG)} bootcamps, none failed")
