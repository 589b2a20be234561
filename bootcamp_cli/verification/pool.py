"""A pool of worker processes that verify outputs: any number of tasks may call `verify` at once."""

import itertools
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread

from bootcamp_cli.processes import usable_cpus
from bootcamp_cli.store.atomic import scratch_directory
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.executor import OnVerdict
from bootcamp_cli.verification.jobs import BATCH_S, LOADS, MAX_SAMPLES, Intake, Job, JobQueue, encoded
from bootcamp_cli.verification.process import (
    WorkerEndedError,
    WorkerLimits,
    WorkerPlan,
    WorkerProcess,
    WorkerTimeoutError,
    plan_workers,
)
from bootcamp_cli.verification.protocol import Loaded, Verified

_START_LIMIT_S = 60.0
_LOAD_LIMIT_S = 120.0
_MAX_FAILED_STARTS = 3
_MAX_FAILED_LOADS = 2
_AFTER_OWN_S = 1.0
"""How long a bootcamp may take after its own time limit."""

MOST_WORKERS = 8


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
        self._intake = Intake(JobQueue(batch), self._start_worker)
        self._directory_numbers = itertools.count(1)
        self._n_workers = 0
        self._is_looking = False
        self._n_failed_starts = 0
        self._n_failed_loads: Counter[BootcampRef] = Counter()
        self._unloadable: dict[BootcampRef, Verdict] = {}
        self.families: dict[str, str] = {}
        self._plan: WorkerPlan
        self._directory: Path

    async def __aenter__(self) -> Self:
        self._plan = await anyio.to_thread.run_sync(plan_workers, self._limits, self._environ)
        self._directory = await anyio.to_thread.run_sync(scratch_directory, self._beside)
        await self._intake.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill the workers and remove their directories; calls that are still waiting get ClosedResourceError."""
        try:
            return await self._intake.__aexit__(kind, error, trace)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._directory, ignore_errors=True))

    async def verify(self, ref: BootcampRef, output: str, ground_truth: Any) -> Verdict:
        """Verify one output in a worker; a failing verifier is a verdict with `failure`, not an exception.

        A row that the bootcamp cannot verify goes to its fallback, if it has one.

        Raises:
            anyio.ClosedResourceError: the pool is not open, or was closed in the meantime.
        """
        return await self._intake.verify(ref, output, ground_truth)

    async def load(self, ref: BootcampRef) -> Verdict | None:
        """Import a bootcamp in a worker: None, or the failure that each of its samples would get.

        Raises:
            anyio.ClosedResourceError: the pool is not open, or was closed in the meantime.
        """
        return await self._intake.load(ref)

    def submit(self, ref: BootcampRef, output: str, ground_truth: Any, on_verdict: OnVerdict) -> object:
        """Like `verify`, without waiting: `on_verdict` is called with the verdict, or with None if the pool is closed.

        It may have been called before this returns.
        """
        return self._intake.submit(ref, output, ground_truth, on_verdict)

    def _start_worker(self) -> bool:
        """Start one more worker, where those that there are do not keep up: a start costs as much as many verdicts."""
        if self._n_workers == self._max_workers:
            return False
        if self._n_workers and not self._intake.queue.is_behind:
            if not self._is_looking:
                self._is_looking = True
                self._intake.tasks.start_soon(self._look_again)
            return False
        self._n_workers += 1
        self._intake.tasks.start_soon(self._work)
        return True

    async def _look_again(self) -> None:
        await anyio.sleep(BATCH_S)
        self._is_looking = False
        self._intake.wake()

    async def _work(self) -> None:
        """Run one worker after another, each for as long as it lives; at the head of the loop it counts as coming."""
        worker: WorkerProcess | None = None
        try:
            while True:
                worker = await self._live_worker(worker)
                self._intake.come()
                batch = self._intake.queue.take() if worker else []
                self._intake.wake()
                if worker and batch and not await self._run(worker, batch):
                    await worker.kill()
                    worker = None
                await self._intake.wait_for_work()
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
                self._intake.finish_waiting(Verdict(score=None, failure="verifier_crash", error=str(error)))
            return None
        self._n_failed_starts = 0
        return worker

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
            await worker.send(await encoded(pending), self._limits.load_limit_s)
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
            self._intake.queue.put_back(pending)
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
                verdict = loaded.failure or LOADS
                return Verified(id=job.id, verdict=verdict, retire=verdict.failure == "verifier_crash")
            begun = time.monotonic()
        reply = worker.arrived() or await worker.receive(self._time_limit_s(worker, job.ref))
        if not (isinstance(reply, Verified) and reply.id == job.id):
            raise WorkerEndedError("the worker answered out of order")
        self._intake.queue.learn(job.ref, time.monotonic() - begun)
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


def default_verify_workers() -> int:
    """One per CPU that may be used, by affinity and cgroup quota, from 1 to 8."""
    return max(1, min(MOST_WORKERS, usable_cpus()))
