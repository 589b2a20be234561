"""The second stage: answers on their way through the verifiers. Nobody waits for a verdict; it calls back."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio

from bootcamp_cli.bootcamps.pool import VerifierPool
from bootcamp_cli.records import BootcampRef, Verdict


class Judge:
    """Hands answers to the pool and the verdicts on."""

    def __init__(self, pool: VerifierPool, refs: Mapping[str, BootcampRef | None]) -> None:
        self._pool = pool
        self._refs = refs
        self._n_open = 0
        self._drained: anyio.Event | None = None

    def judge(self, data_source: str, output: str, ground_truth: Any, then: Callable[[Verdict | None], None]) -> None:
        """Have an output verified and call `then` with the verdict, from the event loop; None where the pool closes."""
        ref = self._refs[data_source]
        if ref is None:
            then(Verdict(score=None, failure="unscored", error=f"no bootcamp for {data_source}"))
            return

        def verdict_came(verdict: Verdict | None) -> None:
            self._n_open -= 1
            then(verdict)
            if not self._n_open and self._drained is not None:
                self._drained.set()

        self._n_open += 1
        self._pool.submit(ref, output, ground_truth, verdict_came)

    async def drained(self) -> None:
        """Return when no verdict is awaited."""
        while self._n_open:
            self._drained = anyio.Event()
            await self._drained.wait()
