"""The second stage: answers on their way through the verifiers. Nobody waits for a verdict; it calls back."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio

from bootcamp_cli.bootcamps.pool import VerifierPool
from bootcamp_cli.records import BootcampRef, Verdict

Then = Callable[[Verdict | None], None]


class Judge:
    """Hands answers to the pool and the verdicts on."""

    def __init__(self, pool: VerifierPool, refs: Mapping[str, BootcampRef | None]) -> None:
        self._pool = pool
        self._refs = refs
        self._open: dict[int, Then] = {}
        self._n_judged = 0
        self._drained: anyio.Event | None = None

    def judge(self, data_source: str, output: str, ground_truth: Any, then: Then) -> None:
        """Have an output verified and call `then` with the verdict, from the event loop; None where the pool closes."""
        ref = self._refs[data_source]
        if ref is None:
            then(Verdict(score=None, failure="unscored", error=f"no bootcamp for {data_source}"))
            return
        self._n_judged += 1
        number = self._n_judged

        def verdict_came(verdict: Verdict | None) -> None:
            self._close(number, verdict)

        self._open[number] = then
        self._pool.submit(ref, output, ground_truth, verdict_came)

    async def drained(self) -> None:
        """Return when no verdict is awaited."""
        while self._open:
            self._drained = anyio.Event()
            await self._drained.wait()

    def give_up(self, reason: str) -> None:
        """Wait for no verdict any longer: what is open counts as timed out, and gets its verdict at the resume."""
        for number in list(self._open):
            self._close(number, Verdict(score=None, failure="verifier_timeout", error=reason))

    def _close(self, number: int, verdict: Verdict | None) -> None:
        """Hand a verdict on, once."""
        if (then := self._open.pop(number, None)) is None:
            return
        then(verdict)
        if not self._open and self._drained is not None:
            self._drained.set()
