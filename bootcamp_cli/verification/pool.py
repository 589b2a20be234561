"""A pool of worker processes that verify outputs: any number of tasks may call `verify` at once."""

import itertools
import math
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from bootcamp_cli.bootcamps.scoring import object_of
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.atomic import scratch_directory
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.executor import OnVerdict
from bootcamp_cli.verification.process import (
    WorkerEndedError,
    WorkerLimits,
    WorkerPlan,
    WorkerProcess,
    WorkerTimeoutError,
    plan_workers,
)
from bootcamp_cli.verification.protocol import Loaded, Verified, WireError, encode_sample, encode_truth, join_batch

BATCH_S = 0.1
"""How much work a worker is given at once, in expected seconds."""

MAX_SAMPLES = 32
"""The most samples that a worker is given at once."""

_MAX_BYTES = 1024 * 1024
_FIRST_GUESS_S = 0.005
_LEAST_S = 1e-6
_WEIGHT = 0.2

_START_LIMIT_S = 60.0
_LOAD_LIMIT_S = 120.0
_MAX_FAILED_STARTS = 3
_MAX_FAILED_LOADS = 2
_THREAD_BYTES = 256 * 1024
"""From this total size on, outputs are encoded in a thread: the event loop would stall for milliseconds."""

_LOADS = Verdict(score=None)
"""Stands for a bootcamp that can be loaded."""

_AFTER_OWN_S = 1.0
"""How long a bootcamp may take after its own time limit."""

_LINGER_S = 0.02
"""How long a few quick samples wait for others: waking a worker costs more than verifying them."""

MOST_WORKERS = 8


class Job:
    """One sample to verify: `on_verdict` is called with the verdict, or with None if the pool closes first.

    Without an output the bootcamp is only loaded; the verdict then is that on all of its samples, or has no failure.
    """

    __slots__ = ("_output", "_truth", "abandoned", "expected_s", "id", "on_verdict", "ref")

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

    Samples of built-in bootcamps go together, as many as are expected to take 0.1 s at the pace seen so far; one of a
    third-party bootcamp goes alone, because it may hang or die and hold up those behind it. `batch` samples are worth
    waking a worker for.
    """

    def __init__(self, batch: int = MAX_SAMPLES) -> None:
        self._batch = max(1, min(batch, MAX_SAMPLES))
        self._jobs: deque[Job] = deque()
        self._pace_s: dict[BootcampRef, float] = {}
        self._waiting_s = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def waiting_s(self) -> float:
        """Expected seconds of work in the queue; a third-party sample counts as a batch."""
        return max(self._waiting_s, _LEAST_S) if self._jobs else 0.0  # a running sum of floats may end below zero

    @property
    def makes_batch(self) -> bool:
        """Whether enough is waiting to be worth waking a worker for."""
        return self._waiting_s >= BATCH_S or len(self._jobs) >= self._batch

    def put(self, job: Job) -> None:
        """Append a job."""
        job.expected_s = self._pace_s.get(job.ref, _FIRST_GUESS_S) if job.ref.origin == "builtin" else BATCH_S
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
        while self._jobs:
            job = self._jobs[0]
            if not job.abandoned:
                seconds += job.expected_s
                n_bytes += job.size
                if batch and (seconds > BATCH_S or n_bytes > _MAX_BYTES or len(batch) == MAX_SAMPLES):
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


class VerifierPool:
    """Starts up to `workers` workers on demand; gives each sample `timeout_s` and each worker `memory_mib`.

    The time limit of a sample starts when its worker begins to verify it: waiting, the worker's start (`start_limit_s`)
    and the import of the bootcamp (`load_limit_s`) do not count. A bootcamp whose own code allows itself more gets that
    and a second. A worker that is late, dies or sends anything
    unexpected is killed along with everything that its verifiers started, and replaced; the sample it was verifying
    gets the failure, those it had not begun go to another worker. `batch` quick samples wake a worker at once, fewer
    wait a moment for more. Where the machine has no temporary directory, the folders of the workers are in `beside`.
    Use as an async context manager, around the tasks that verify.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_s: float,
        memory_mib: int,
        batch: int = MAX_SAMPLES,
        start_limit_s: float = _START_LIMIT_S,
        load_limit_s: float = _LOAD_LIMIT_S,
        environ: Mapping[str, str] | None = None,
        beside: Path | None = None,
    ) -> None:
        self._beside = beside
        self._limits = WorkerLimits(
            memory_mib=memory_mib, timeout_s=timeout_s, load_limit_s=load_limit_s, start_limit_s=start_limit_s
        )
        self._environ = os.environ if environ is None else environ
        self._max_workers = workers
        self._queue = JobQueue(batch)
        self._ids = itertools.count(1)
        self._directory_numbers = itertools.count(1)
        self._n_workers = 0
        self._n_coming = 0
        self._idle: list[anyio.Event] = []
        self._n_failed_starts = 0
        self._n_failed_loads: Counter[BootcampRef] = Counter()
        self._unloadable: dict[BootcampRef, Verdict] = {}
        self.families: dict[str, str] = {}
        self._is_open = False
        self._is_lingering = False
        self._tasks: TaskGroup
        self._plan: WorkerPlan
        self._directory: Path

    async def __aenter__(self) -> Self:
        self._plan = await anyio.to_thread.run_sync(plan_workers, self._limits, self._environ)
        self._directory = await anyio.to_thread.run_sync(scratch_directory, self._beside)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill the workers and remove their directories; calls that are still waiting get ClosedResourceError."""
        self._is_open = False
        self._tasks.cancel_scope.cancel()
        try:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                return await self._tasks.__aexit__(kind, error, trace)
            await self._tasks.__aexit__(None, None, None)
            return False  # an error of the body is raised as it is, not in a group
        finally:
            self._finish_waiting(None)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._directory, ignore_errors=True))

    async def verify(self, ref: BootcampRef, output: str, ground_truth: Any) -> Verdict:
        """Verify one output in a worker; a failing verifier is a verdict with `failure`, not an exception.

        A row that the bootcamp cannot verify goes to its fallback, if it has one.

        Raises:
            anyio.ClosedResourceError: the pool is not open, or was closed in the meantime.
        """
        return await self._finished(ref, output, ground_truth)

    async def _finished(self, ref: BootcampRef, output: str | None, ground_truth: Any) -> Verdict:
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
        """Import a bootcamp in a worker: None, or the failure that each of its samples would get.

        Raises:
            anyio.ClosedResourceError: the pool is not open, or was closed in the meantime.
        """
        verdict = await self._finished(ref, None, None)
        return verdict if verdict.failure else None

    def submit(self, ref: BootcampRef, output: str | None, ground_truth: Any, on_verdict: OnVerdict) -> Job | None:
        """Like `verify`, without waiting: `on_verdict` is called with the verdict, or with None if the pool is closed.

        Without an output, the bootcamp is only loaded. Returns the job if there is one; `on_verdict` may have been
        called before this returns.
        """

        def or_fallback(verdict: Verdict | None) -> None:
            if verdict is not None and verdict.failure == "unscored" and ref.fallback is not None:
                self.submit(ref.fallback, output, ground_truth, on_verdict)
            else:
                on_verdict(verdict)

        if not self._is_open:
            on_verdict(None)
            return None
        try:
            job = Job(next(self._ids), ref, output, ground_truth, on_verdict if ref.fallback is None else or_fallback)
        except WireError as error:
            on_verdict(Verdict(score=None, failure="verifier_error", error=str(error)))
            return None
        self._queue.put(job)
        self._wake_workers()
        return job

    def _wake_workers(self) -> None:
        """Wake or start workers for the waiting work: at once where it makes a batch, else a moment later."""
        if self._n_coming == 0 and not self._queue.makes_batch:
            if self._queue and not self._is_lingering:
                self._is_lingering = True
                self._tasks.start_soon(self._wake_workers_later)
            return
        self._wake_workers_now()

    async def _wake_workers_later(self) -> None:
        await anyio.sleep(_LINGER_S)
        self._is_lingering = False
        self._wake_workers_now()

    def _wake_workers_now(self) -> None:
        """Wake or start as many workers as the waiting work is worth, in addition to those that are already coming."""
        while self._queue.waiting_s > self._n_coming * BATCH_S:
            if self._idle:
                self._idle.pop().set()
            elif self._n_workers < self._max_workers:
                self._n_workers += 1
                self._tasks.start_soon(self._work)
            else:
                return
            self._n_coming += 1

    async def _work(self) -> None:
        """Run one worker after another, each for as long as it lives; at the head of the loop it counts as coming."""
        worker: WorkerProcess | None = None
        try:
            while True:
                worker = await self._live_worker(worker)
                self._n_coming -= 1
                batch = self._queue.take() if worker else []
                self._wake_workers()
                if worker and batch and not await self._run(worker, batch):
                    await worker.kill()
                    worker = None
                await self._wait_for_work()
        finally:
            if worker:
                await worker.kill()

    async def _live_worker(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        """The worker, or a new one if it is dead; None if the new one does not start.

        When several in a row do not start, the waiting samples fail: the installation is to blame, not they.
        """
        if worker and worker.is_fresh:
            return worker
        if worker:
            await worker.kill()
        try:
            directory = self._directory / str(next(self._directory_numbers))
            await anyio.to_thread.run_sync(directory.mkdir)
            worker = await WorkerProcess.start(self._plan, directory)
        except (WorkerEndedError, OSError) as error:
            self._n_failed_starts += 1
            if self._n_failed_starts >= _MAX_FAILED_STARTS:
                self._finish_waiting(Verdict(score=None, failure="verifier_crash", error=str(error)))
            return None
        self._n_failed_starts = 0
        return worker

    async def _wait_for_work(self) -> None:
        if self._queue:
            self._n_coming += 1
            return
        event = anyio.Event()
        self._idle.append(event)
        await event.wait()

    async def _run(self, worker: WorkerProcess, batch: list[Job]) -> bool:
        """Have a batch verified; False if the worker must not be used again."""
        pending: deque[Job] = deque()
        for job in batch:
            if verdict := self._unloadable.get(job.ref):
                job.on_verdict(verdict)
            else:
                pending.append(job)
        if not pending:
            return True
        try:
            await worker.send(await _encoded(pending), self._limits.load_limit_s)
            while pending:
                reply = await self._receive_verdict(worker, pending[0])
                pending.popleft().on_verdict(reply.verdict)
                if reply.retire:
                    return False
        except (WorkerTimeoutError, WorkerEndedError) as error:
            job = pending.popleft()
            job.on_verdict(self._failure(worker, job.ref, error))
            return False
        finally:
            self._queue.put_back(pending)
        return True

    async def _receive_verdict(self, worker: WorkerProcess, job: Job) -> Verified:
        """The worker's verdict for this job, which it begins as soon as the one before is answered."""
        begun = time.monotonic()
        if job.only_loads or job.ref not in worker.loaded:
            loaded = await worker.receive(self._limits.load_limit_s)
            if not (isinstance(loaded, Loaded) and loaded.id == job.id):
                raise WorkerEndedError("the worker answered out of order")
            worker.loaded[job.ref] = loaded.time_limit_s
            if loaded.family is not None:
                self.families[job.ref.data_source] = loaded.family
            del self._n_failed_loads[job.ref]
            if job.only_loads:
                verdict = loaded.failure or _LOADS
                return Verified(id=job.id, verdict=verdict, retire=verdict.failure == "verifier_crash")
            begun = time.monotonic()
        reply = worker.arrived() or await worker.receive(self._time_limit_s(worker, job.ref))
        if not (isinstance(reply, Verified) and reply.id == job.id):
            raise WorkerEndedError("the worker answered out of order")
        self._queue.learn(job.ref, time.monotonic() - begun)
        return reply

    def _time_limit_s(self, worker: WorkerProcess, ref: BootcampRef) -> float:
        """How long a verification may take: a bootcamp's own limit takes effect before this one."""
        own_s, ours_s = worker.loaded.get(ref), self._limits.timeout_s
        return ours_s if own_s is None or own_s < ours_s else own_s + _AFTER_OWN_S

    def _failure(self, worker: WorkerProcess, ref: BootcampRef, error: Exception) -> Verdict:
        """The verdict for a sample whose worker was lost; a bootcamp whose import costs several workers is given up."""
        is_loading = ref not in worker.loaded
        if isinstance(error, WorkerTimeoutError):
            limit_s = self._limits.load_limit_s if is_loading else self._time_limit_s(worker, ref)
            text = f"importing {ref.name} took over {limit_s:g} s" if is_loading else f"no verdict within {limit_s:g} s"
            verdict = Verdict(score=None, failure="verifier_timeout", error=text)
        else:
            text = f"importing {ref.name}: {error}" if is_loading else str(error)
            verdict = Verdict(score=None, failure="verifier_crash", error=text)
        if is_loading:
            self._n_failed_loads[ref] += 1
            if self._n_failed_loads[ref] >= _MAX_FAILED_LOADS:
                self._unloadable[ref] = verdict
        return verdict

    def _finish_waiting(self, verdict: Verdict | None) -> None:
        while batch := self._queue.take():
            for job in batch:
                job.on_verdict(verdict)


async def _encoded(jobs: Sequence[Job]) -> bytes:
    """The line for a worker."""
    if sum(job.size for job in jobs) <= _THREAD_BYTES:
        return _line(jobs)
    return await anyio.to_thread.run_sync(_line, jobs)


def _line(jobs: Sequence[Job]) -> bytes:
    return join_batch(job.encoded() for job in jobs)


async def verifier_pool(settings: Settings, beside: Path | None = None) -> VerifierPool:
    """The pool that the settings ask for, to be entered as a context; by default one worker per usable CPU.

    Worker folders are in `beside` where the machine has no temporary directory.
    """
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


def default_verify_workers() -> int:
    """One per CPU that may be used, by affinity and cgroup quota, from 1 to 8."""
    return max(1, min(MOST_WORKERS, usable_cpus(_affinity(), Path("/"))))


def usable_cpus(n_cpus: int, root: Path) -> int:
    """How many of `n_cpus` CPUs the quotas of the process's cgroup (version 1 or 2) and of those above it leave.

    `root` is the file system's root; a quota of one and a half CPUs counts as two.
    """
    return min([n_cpus, *(math.ceil(quota) for quota in _quotas(root))])


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mount = root / "sys/fs/cgroup"
        if not controllers:
            yield from (q for group in _upwards(mount, path) if (q := _ratio(_read(group / "cpu.max"))))
        elif "cpu" in controllers.split(","):
            for base in (mount / "cpu", mount / controllers):
                for group in _upwards(base, path):
                    text = f"{_read(group / 'cpu.cfs_quota_us').strip()} {_read(group / 'cpu.cfs_period_us').strip()}"
                    yield from (q for q in [_ratio(text)] if q)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The cgroup and its parents up to the mount; in a container, often only the mount is visible."""
    group = Path(os.path.normpath(f"/{path}"))
    for ancestor in (group, *group.parents):
        yield mount / str(ancestor).lstrip("/")


def _ratio(text: str) -> float | None:
    """Quota over period; None for `max`, -1 and anything unreadable: no limit."""
    try:
        quota, period = map(int, text.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
