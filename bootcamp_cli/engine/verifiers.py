"""From settings to a pool of verifier processes."""

import anyio

from bootcamp_cli.bootcamps.pool import VerifierPool
from bootcamp_cli.settings.model import EvalSettings
from bootcamp_cli.settings.workers import default_verify_workers


async def verifier_pool(settings: EvalSettings) -> VerifierPool:
    """The pool that the settings ask for, to be entered as a context; by default a worker per usable CPU."""
    workers = settings.verify_workers
    if workers is None:
        workers = await anyio.to_thread.run_sync(default_verify_workers)
    return VerifierPool(
        workers=workers,
        timeout_s=settings.verify_timeout,
        memory_mib=settings.verify_memory,
        batch=settings.max_concurrent_requests // 4,
    )
