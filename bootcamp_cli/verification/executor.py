"""Verification as a stage of a run: answers go in, verdicts come out, wherever they are computed.

`VerificationExecutor` is the interface: the pool of local worker processes is one implementation, a cluster would be
another.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import anyio

from bootcamp_cli.types import BootcampRef, Verdict

OnVerdict = Callable[[Verdict | None], None]
"""Takes a verdict, or None if there will be none; never raises, never blocks."""

_T = TypeVar("_T")


def unscored(data_source: str, reason: str | None = None) -> Verdict:
    """The verdict on an output whose data source has no bootcamp, or one that cannot be loaded for this reason."""
    return Verdict(score=None, failure="unscored", error=reason or f"no bootcamp for {data_source}")


class VerificationExecutor(Protocol):
    """Verifies outputs elsewhere, any number at a time, each within limits.

    A failing verifier is a verdict with `failure`, never an exception, and never the verdict of another sample.
    """

    async def verify(self, ref: BootcampRef, output: str, ground_truth: Any) -> Verdict:
        """Verify one output.

        Raises:
            anyio.ClosedResourceError: the executor is not open, or was closed in the meantime.
        """
        ...

    def submit(self, ref: BootcampRef, output: str, ground_truth: Any, on_verdict: OnVerdict) -> object:
        """Like `verify`, without waiting; the event loop calls `on_verdict`, with None if the executor closes."""
        ...


class Verification(Generic[_T]):
    """The answers that wait for their verdicts, each with the context that its sender needs when the verdict arrives.

    `refs` has an entry for every data source, None for one without a bootcamp; `unloadable` has the reasons for those
    whose bootcamp is known not to load. All methods belong to one event loop.
    """

    def __init__(
        self,
        executor: VerificationExecutor,
        refs: Mapping[str, BootcampRef | None],
        unloadable: Mapping[str, str] | None = None,
    ) -> None:
        self._executor = executor
        self._refs = refs
        self._unloadable = unloadable or {}
        self._pending: dict[int, _T] = {}
        self._n_submitted = 0
        self._finished: list[tuple[_T, Verdict]] = []
        self._changed: anyio.Event | None = None
        self._is_closed = False

    def submit(self, data_source: str, text: str, ground_truth: Any, context: _T) -> None:
        """Have a text verified; `context` comes back with the verdict."""
        self._n_submitted += 1
        number = self._n_submitted
        self._pending[number] = context
        ref = self._refs[data_source]
        reason = self._unloadable.get(data_source)
        if ref is None or reason is not None:
            self._finish(number, unscored(data_source, reason))
        else:
            self._executor.submit(ref, text, ground_truth, lambda verdict: self._finish(number, verdict))

    async def verdicts(self) -> AsyncIterator[list[tuple[_T, Verdict]]]:
        """Yield what is finished, in batches as it arrives; ends once it is closed and nothing is pending."""
        while True:
            if batch := self.finished():
                yield batch
            elif self._is_closed and not self._pending:
                return
            else:
                await self._change()

    def finished(self) -> list[tuple[_T, Verdict]]:
        """Take what is finished and was not yielded yet."""
        batch, self._finished = self._finished, []
        return batch

    async def wait_until_drained(self) -> None:
        """Return when nothing is pending."""
        while self._pending:
            await self._change()

    def close(self) -> None:
        """Nothing more is submitted."""
        self._is_closed = True
        self._wake()

    def give_up(self, reason: str) -> None:
        """Stop waiting for verdicts: answers without one are recorded as pending, and `resume` verifies them."""
        for number in list(self._pending):
            self._finish(number, Verdict(score=None, failure="pending", error=reason))

    def _finish(self, number: int, verdict: Verdict | None) -> None:
        """Take a verdict, once; None drops the answer: the executor was closed before it was verified."""
        if number not in self._pending:
            return
        context = self._pending.pop(number)
        if verdict is not None:
            self._finished.append((context, verdict))
        self._wake()

    async def _change(self) -> None:
        """Wait until something is finished or it is closed."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
