"""Can the bootcamps of a run be loaded? Found out in workers before anything was paid for."""

from collections.abc import Collection

import anyio

from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import BootcampRef
from bootcamp_cli.verification.pool import verifier_pool


async def reasons_not_to_load(refs: Collection[BootcampRef], settings: Settings) -> dict[str, str]:
    """Why bootcamps cannot be loaded, by data source, in the order of `refs`; those that can be are left out.

    They are loaded in workers like those of the run, which end with this: what a thousand bootcamps take of memory is
    free again when the run begins.
    """
    reasons: dict[BootcampRef, str] = {}

    async with await verifier_pool(settings) as pool:

        async def load(ref: BootcampRef) -> None:
            failure = await pool.load(ref)
            if failure is not None and failure.failure == "verifier_crash":  # perhaps those before it left no room
                failure = await pool.load(ref)
            if failure is not None:
                reasons[ref] = failure.error or "no reason was given"

        async with anyio.create_task_group() as tasks:
            for ref in refs:
                tasks.start_soon(load, ref)
    return {ref.data_source: reasons[ref] for ref in refs if ref in reasons}
