"""Samples that wait for whoever verifies them: the worker processes of this machine, or the nodes of a cluster."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup

from bootcamp_cli.bootcamps.scoring import object_of
from bootcamp_cli.errors import ungrouped
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.executor import OnVerdict
from bootcamp_cli.verification.protocol import WireError, encode_sample, encode_truth, join_batch

BATCH_S = 0.1
"""How much work is given out at once, in expected seconds."""

MAX_SAMPLES = 32
"""The most samples that a worker is given at once."""

LOADS = Verdict(score=None)
"""Stands for a bootcamp that can be loaded."""

_MAX_BYTES = 1024 * 1024
_FIRST_GUESS_S = 0.0002
_LEAST_S = 1e-6
_WEIGHT = 0.2
_THREAD_BYTES = 256 * 1024
"""From this total size on, outputs are encoded in a thread: the event loop would stall for milliseconds."""

_LINGER_S = 0.02
"""How long a few quick samples wait for others: waking a worker costs more than verifying them."""


class Job:
    """One sample to verify: `on_verdict` is called with the verdict, or with None if the pool closes first.

    Without an output the bootcamp is only loaded; the verdict then is that on all of its samples, or has no failure.
    `n_lost` is how often a node of a cluster was lost that had it.
    """

    __slots__ = ("_output", "_truth", "abandoned", "expected_s", "id", "n_lost", "on_verdict", "ref")

    def __init__(
        self, id_: int, ref: BootcampRef, output: str | None, ground_truth: Any, on_verdict: OnVerdict
    ) -> None:
        """Raises WireError where JSON cannot hold the ground truth."""
        self.id = id_
        self.ref = ref
        self._output = output
        self._truth = encode_truth(object_of(ground_truth) if ref.takes_object else ground_truth)
        self.expected_s = 0.0
        self.on_verdict = on_verdict
        self.abandoned = False
        self.n_lost = 0

    @property
    def size(self) -> int:
        """Roughly the number of bytes that are sent to a worker."""
        return len(self._output or "") + len(self._truth)

    @property
    def only_loads(self) -> bool:
        """Whether there is nothing to verify."""
        return self._output is None

    def encoded(self) -> bytes:
        """The sample as it is sent to a worker."""
        return encode_sample(self.id, self.ref, self._output, self._truth)


class JobQueue:
    """First in, first out, taken in batches.

    Samples go together, at most `most`, as many as are expected to take 0.1 s at the pace seen so far; where
    `third_party_alone`, one of a third-party bootcamp goes alone, because it may hang or die and hold up those behind
    it. `batch` samples are worth waking somebody for.
    """

    def __init__(self, batch: int, *, most: int = MAX_SAMPLES, third_party_alone: bool = True) -> None:
        self._batch = max(1, min(batch, MAX_SAMPLES))
        self._most = most
        self._third_party_alone = third_party_alone
        self._jobs: deque[Job] = deque()
        self._pace_s: dict[BootcampRef, float] = {}
        self._waiting_s = 0.0
        self._since_s = 0.0
        """Since when samples have been waiting and none was taken."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def waiting_s(self) -> float:
        """Expected seconds of work in the queue; a sample that goes alone counts as a batch."""
        return max(self._waiting_s, _LEAST_S) if self._jobs else 0.0  # a running sum of floats may end below zero

    @property
    def is_behind(self) -> bool:
        """Whether those at work do not keep up: more than a batch's worth is waiting, or nobody takes what waits."""
        return self._waiting_s > BATCH_S or (bool(self._jobs) and time.monotonic() - self._since_s > BATCH_S)

    @property
    def makes_batch(self) -> bool:
        """Whether enough is waiting to be worth waking a worker for."""
        return self._waiting_s >= BATCH_S or len(self._jobs) >= self._batch

    def put(self, job: Job) -> None:
        """Append a job."""
        is_builtin = job.ref.origin == "builtin"
        goes_alone = self._third_party_alone and not is_builtin
        first_guess_s = _FIRST_GUESS_S if is_builtin else BATCH_S
        job.expected_s = BATCH_S if goes_alone else self._pace_s.get(job.ref, first_guess_s)
        if not self._jobs:
            self._since_s = time.monotonic()
        self._waiting_s += job.expected_s
        self._jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Return the unstarted jobs of a batch to the head of the queue, in their order."""
        jobs = list(jobs)
        self._waiting_s += sum(job.expected_s for job in jobs)
        self._jobs.extendleft(reversed(jobs))

    def take(self) -> list[Job]:
        """The next batch, without abandoned jobs; empty where nothing waits."""
        batch: list[Job] = []
        seconds, n_bytes = 0.0, 0
        self._since_s = time.monotonic()
        while self._jobs:
            job = self._jobs[0]
            if not job.abandoned:
                seconds += job.expected_s
                n_bytes += job.size
                if batch and (seconds > BATCH_S or n_bytes > _MAX_BYTES or len(batch) == self._most):
                    break
                batch.append(job)
            self._jobs.popleft()
            self._waiting_s -= job.expected_s
        if not self._jobs:
            self._waiting_s = 0.0
        return batch

    def learn(self, ref: BootcampRef, seconds: float) -> None:
        """Note how long a verdict took."""
        before = self._pace_s.get(ref, _FIRST_GUESS_S)
        self._pace_s[ref] = before + _WEIGHT * (seconds - before)


class Intake:
    """Where samples come in, wait in a queue, and get their verdict, each one.

    Whoever verifies waits for work, takes a batch, and puts back what it did not get to. `start` starts one more of
    them, or tells by False that there are enough. Use as an async context manager: who verifies is among its `tasks`,
    which end with it. All methods belong to one event loop.
    """

    def __init__(self, queue: JobQueue, start: Callable[[], bool]) -> None:
        self.queue = queue
        self.is_open = False
        self._start = start
        self._ids = itertools.count(1)
        self._n_coming = 0
        self._idle: tuple[list[anyio.Event], list[anyio.Event]] = ([], [])
        self._is_lingering = False
        self.tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self.tasks = anyio.create_task_group()
        await self.tasks.__aenter__()
        self.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End the tasks; calls that are still waiting get ClosedResourceError."""
        self.is_open = False
        self.tasks.cancel_scope.cancel()
        try:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                with ungrouped():
                    return await self.tasks.__aexit__(kind, error, trace)
            await self.tasks.__aexit__(None, None, None)
            return False  # an error of the body is raised as it is, not in a group
        finally:
            self.finish_waiting(None)

    async def verify(self, ref: BootcampRef, output: str | None, ground_truth: Any) -> Verdict:
        """Have one output verified; without one, the bootcamp is only loaded.

        Raises:
            anyio.ClosedResourceError: it is not open, or was closed in the meantime.
        """
        came = anyio.Event()
        verdicts: list[Verdict | None] = []

        def on_verdict(verdict: Verdict | None) -> None:
            verdicts.append(verdict)
            came.set()

        job = self.submit(ref, output, ground_truth, on_verdict)
        try:
            await came.wait()
        finally:
            if job is not None:
                job.abandoned = not verdicts
        if verdicts[0] is None:
            raise anyio.ClosedResourceError
        return verdicts[0]

    async def load(self, ref: BootcampRef) -> Verdict | None:
        """Have a bootcamp imported: None, or the failure that each of its samples would get.

        Raises:
            anyio.ClosedResourceError: it is not open, or was closed in the meantime.
        """
        verdict = await self.verify(ref, None, None)
        return verdict if verdict.failure else None

    def submit(self, ref: BootcampRef, output: str | None, ground_truth: Any, on_verdict: OnVerdict) -> Job | None:
        """Like `verify`, without waiting: `on_verdict` is called with the verdict, or with None if this is closed.

        Returns the job if there is one; `on_verdict` may have been called before this returns.
        """

        def or_fallback(verdict: Verdict | None) -> None:
            if verdict is not None and verdict.failure == "unscored" and ref.fallback is not None:
                self.submit(ref.fallback, output, ground_truth, on_verdict)
            else:
                on_verdict(verdict)

        if not self.is_open:
            on_verdict(None)
            return None
        try:
            if ref.fallback is None:
                job = Job(next(self._ids), ref, output, ground_truth, on_verdict)
            else:
                alone = msgspec.structs.replace(ref, fallback=None)  # as who verifies knows it
                job = Job(next(self._ids), alone, output, ground_truth, or_fallback)
        except WireError as error:
            on_verdict(Verdict(score=None, failure="verifier_error", error=str(error)))
            return None
        self.queue.put(job)
        self.wake()
        return job

    def wake(self) -> None:
        """Wake or start somebody for the waiting work: at once where it makes a batch, else a moment later."""
        if self._n_coming == 0 and not self.queue.makes_batch:
            if self.queue and not self._is_lingering:
                self._is_lingering = True
                self.tasks.start_soon(self._wake_later)
            return
        self._wake_now()

    async def _wake_later(self) -> None:
        await anyio.sleep(_LINGER_S)
        self._is_lingering = False
        self._wake_now()

    def _wake_now(self) -> None:
        """Wake or start as many as the waiting work is worth, in addition to those that are already coming."""
        while self.queue.waiting_s > self._n_coming * BATCH_S:
            if idle := self._idle[0] or self._idle[1]:
                idle.pop().set()
            elif not self._start():
                return
            self._n_coming += 1

    async def wait_for_work(self, *, last: bool = False) -> None:
        """Return when there seems to be work; who is `last` is woken where nobody else is idle.

        Who returns from here counts as coming until it calls `come`, as does who was started.
        """
        if self.queue:
            self._n_coming += 1
            return
        event = anyio.Event()
        idle = self._idle[last]
        idle.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self.come()
            else:
                idle.remove(event)
            raise

    def come(self) -> None:
        """Count as coming no more: a batch is taken next, and then `wake` called, or nothing."""
        self._n_coming -= 1

    def finish_waiting(self, verdict: Verdict | None) -> None:
        """Give all samples in the queue this verdict."""
        while batch := self.queue.take():
            for job in batch:
                job.on_verdict(verdict)


async def encoded(jobs: Sequence[Job]) -> bytes:
    """A batch as the line that is sent."""
    if sum(job.size for job in jobs) <= _THREAD_BYTES:
        return _line(jobs)
    return await anyio.to_thread.run_sync(_line, jobs)


def _line(jobs: Sequence[Job]) -> bytes:
    return join_batch(job.encoded() for job in jobs)
