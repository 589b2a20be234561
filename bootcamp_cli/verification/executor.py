"""Verification as a stage of a run: answers go in, verdicts come out, wherever they are computed.

`VerificationExecutor` is the interface. The pool of local worker processes (`pool`) is one implementation; the other
(`cluster`) gives samples out to the nodes of a cluster, each of which has such a pool.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import anyio
import anyio.to_thread

from bootcamp_cli.errors import UsageError
from bootcamp_cli.events import Emit
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import BootcampRef, Verdict

OnVerdict = Callable[[Verdict | None], None]
"""Takes a verdict, or None if there will be none; never raises, never blocks."""

_T = TypeVar("_T")


def unscored(data_source: str, reason: str | None = None) -> Verdict:
    """The verdict on an output whose data source has no bootcamp, or one that cannot be loaded for this reason."""
    return Verdict(score=None, failure="unscored", error=reason or f"no bootcamp for {data_source}")


class VerificationExecutor(Protocol):
    """Verifies outputs elsewhere, any number at a time, each within limits.

    A failing verifier is a verdict with `failure`, never an exception, and never the verdict of another sample. Use as
    an async context manager, around the tasks that verify. `families` are those that third-party bootcamps name, by
    data source, as far as they were loaded.
    """

    @property
    def families(self) -> Mapping[str, str]:
        """The family of each data source whose bootcamp names one."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    async def verify(self, ref: BootcampRef, output: str, ground_truth: Any) -> Verdict:
        """Verify one output.

        Raises:
            anyio.ClosedResourceError: the executor is not open, or was closed in the meantime.
        """
        ...

    async def load(self, ref: BootcampRef) -> Verdict | None:
        """Import a bootcamp where it would verify: None, or the failure that each of its samples would get.

        Raises:
            anyio.ClosedResourceError: the executor is not open, or was closed in the meantime.
        """
        ...

    def submit(self, ref: BootcampRef, output: str, ground_truth: Any, on_verdict: OnVerdict) -> object:
        """Like `verify`, without waiting; the event loop calls `on_verdict`, with None if the executor closes."""
        ...


async def verification_executor(
    settings: Settings, beside: Path | None = None, emit: Emit | None = None
) -> VerificationExecutor:
    """The executor that the settings ask for, to be entered as a context.

    Folders of local workers are in `beside` where the machine has no temporary directory. `emit` is told what a user
    should know meanwhile: that a node of the cluster was lost, or does not fit.

    Raises:
        UsageError: the executor needs what is not installed.
    """
    check_executor(settings)
    if settings.executor == "ray":
        from bootcamp_cli.verification.ray_cluster import ray_executor  # noqa: PLC0415 - where it is used

        return await ray_executor(settings, emit)
    from bootcamp_cli.verification.pool import VerifierPool, default_verify_workers  # noqa: PLC0415 - builds on this

    workers = settings.verify_workers
    if workers is None:
        workers = await anyio.to_thread.run_sync(default_verify_workers)
    return VerifierPool(
        workers=workers,
        timeout_s=settings.verify_timeout,
        memory_mib=settings.verify_memory,
        batch=settings.max_concurrent_requests // 4,
        beside=beside,
    )


def check_executor(settings: Settings) -> None:
    """See whether what the executor needs is installed; imports nothing.

    Raises:
        UsageError: it is not.
    """
    if settings.executor == "ray" and find_spec("ray") is None:
        raise UsageError("--executor ray: the package ray is not installed", hint="pip install 'bootcamp-cli[ray]'")


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
