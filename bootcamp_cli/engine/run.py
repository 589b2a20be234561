"""The run: every owed sample of a session goes through generate, verify and record. Read this page first."""

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.breaker import Probation, ServerGate
from bootcamp_cli.engine.events import Emit, FileTotal, RunEnded, RunStarted
from bootcamp_cli.engine.generate import Generator, RetryPolicy, Tries
from bootcamp_cli.engine.scheduler import LaneLoan, LoopShare, Turns, WorkQueue, expected_lengths
from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.signals import Shutdown
from bootcamp_cli.engine.writer import Ended, Recorder, failed
from bootcamp_cli.errors import BootcampError, InterruptedRunError, ServerUnavailableError, first_error
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.store.journal import REVERIFY, make_record, with_verdict
from bootcamp_cli.store.lock import HEARTBEAT_S, RunLock
from bootcamp_cli.types import Answer, BootcampRef, RequestFailure, Verdict, verified_text
from bootcamp_cli.verification.pool import VerifierPool, verifier_pool

_READ_AHEAD = 64
"""Rows read at once, at least: slots must not wait for the disk. As many as slots, else: their order must be fresh."""


async def run(session: Session, client: CompletionClient, emit: Emit) -> None:
    """Work off everything that the session owes; what has its end is on disk when this returns or raises.

    Raises:
        InterruptedRunError: a signal ended the run early.
        ServerUnavailableError: the server is gone, refuses the key, or refuses every request alike.
        RunDirectoryError: the run directory cannot be written, or was taken over.
    """
    shutdown = Shutdown(emit)
    settings = session.plan.settings
    emit(_run_started(session))
    gc.freeze()  # a full collection that looks at every module again would keep the event loop for 30 ms
    try:
        async with (
            await verifier_pool(settings) as pool,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(shutdown.watch_signals, tasks.cancel_scope)
            tasks.start_soon(_watch_lock, session.journal.lock)
            expected = await anyio.to_thread.run_sync(expected_lengths, session)
            stages = _Stages(session, client, pool, shutdown, emit, expected)
            await stages.work_off()
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise first_error(group) from group
    finally:
        gc.unfreeze()
        emit(RunEnded())
    if shutdown.error is not None:
        raise shutdown.error
    if shutdown.interrupted:
        raise InterruptedRunError("stopped by a signal")


class _Stages:
    """The life of every owed sample: it waits its turn, is in flight, is verified, is recorded.

    The slots send; the callbacks of verifier and recorder carry a sample on, so that no task waits for it. A sample is
    open from its reading until it is on disk, and the number of open ones is bounded. From its request until then it is
    at risk: its answer would be lost with the process, so no more than twice the slots are.
    """

    def __init__(
        self,
        session: Session,
        client: CompletionClient,
        pool: VerifierPool,
        shutdown: Shutdown,
        emit: Emit,
        expected: Mapping[str, float],
    ) -> None:
        plan, settings = session.plan, session.plan.settings
        self._session = session
        self._shutdown = shutdown
        self._open = anyio.Semaphore(4 * settings.max_concurrent_requests + 1000, fast_acquire=True)
        self._at_risk = anyio.Semaphore(2 * settings.max_concurrent_requests, fast_acquire=True)
        self._probation = Probation(settings.max_concurrent_requests)
        if any(index.n_rows for index in session.journal.details.values()):
            self._probation.passed()  # the server has answered this run before
        self._turns = Turns(max(_READ_AHEAD, settings.max_concurrent_requests))
        self._generator = Generator(
            client,
            template=plan.prompt_template,
            policy=RetryPolicy(max_retries=settings.max_retries, max_delay_s=settings.max_retrying_delay),
            gate=ServerGate(
                client,
                model_name=plan.generation.model,
                n_in_work=self._n_in_work,
                wait_s=settings.wait,
                poll_interval_s=settings.poll_interval,
                max_hold_s=settings.max_retrying_delay,
                emit=emit,
            ),
            probation=self._probation,
            shutdown=shutdown,
            emit=emit,
        )
        self._queue = WorkQueue(
            {
                file.name: iter_samples(file, skip=partial(session.has_record, file))
                for file in plan.test_set.files
                if session.n_unanswered(file)
            },
            expected=expected,
            n_owed={file.name: session.n_unanswered(file) for file in plan.test_set.files},
        )
        self._loop_share = LoopShare()
        self._judge = Judge(pool, plan.refs)
        owed = {file.name: session.n_unanswered(file) + session.n_to_reverify(file) for file in plan.test_set.files}
        self._recorder = Recorder(
            journal=session.journal,
            owed=owed,
            emit=emit,
            written=self._close_samples,
            batch=settings.max_concurrent_requests // 2,
        )
        self._n_slots = min(settings.max_concurrent_requests, sum(map(session.n_unanswered, plan.test_set.files)))

    async def work_off(self) -> None:
        """Return when every owed sample has its end, or when the run ends early."""
        async with anyio.create_task_group() as recording:
            recording.start_soon(self._recorder.run)
            async with anyio.create_task_group() as samples:
                samples.start_soon(self._reverify)
                for lane in range(self._n_slots):
                    samples.start_soon(self._slot, lane, samples)
                await self._feed()
            await self._verdicts()
            self._recorder.close()
        if not self._shutdown.ending and (error := self._probation.verdict()):
            self._shutdown.stop(error)

    async def _feed(self) -> None:
        """Read samples ahead of the slots."""
        with self._shutdown.scope():
            try:
                while batch := await anyio.to_thread.run_sync(self._queue.take_many, self._turns.read_ahead):
                    for sample in batch:
                        await self._probation.admit()
                        await self._open.acquire()
                        await self._turns.put(sample)
                self._turns.put_last()
            except BootcampError as error:
                self._shutdown.stop(error)

    async def _slot(self, lane: int, samples: TaskGroup) -> None:
        """Send one sample after another; what has to be tried again waits elsewhere."""
        with self._shutdown.scope() as scope:
            try:
                while not self._shutdown.ending and (turn := await self._turns.take()) is not None:
                    await self._loop_share.begin()
                    if isinstance(turn, LaneLoan):
                        await turn.lend(lane)
                        continue
                    tries = Tries(turn)
                    await self._at_risk.acquire()
                    outcome = await self._generator.first_try(tries, lane, scope)
                    if not isinstance(outcome, Answer):
                        self._at_risk.release()
                    if isinstance(outcome, AttemptFailed):
                        samples.start_soon(self._try_again, tries, outcome)
                    else:
                        self._generated(tries, outcome)
            except ServerUnavailableError as error:
                self._shutdown.stop(error)

    async def _try_again(self, tries: Tries, failed_try: AttemptFailed) -> None:
        with self._shutdown.scope() as scope:
            try:
                outcome = await self._generator.further_tries(tries, failed_try, self._lane, scope)
                self._generated(tries, outcome)
            except ServerUnavailableError as error:
                self._shutdown.stop(error)

    @asynccontextmanager
    async def _lane(self) -> AsyncIterator[int]:
        """A lane for one more try; where that gives an answer, it stays at risk until it is written.

        First the lane, then the risk: whoever is at risk must be able to go on.
        """
        async with self._turns.lane() as lane:
            await self._at_risk.acquire()
            try:
                yield lane
            except BaseException:
                self._at_risk.release()
                raise

    def _generated(self, tries: Tries, outcome: Answer | RequestFailure) -> None:
        """Have an answer verified, and its record or the failure written."""
        sample = tries.sample
        self._turns.answered()
        if isinstance(outcome, RequestFailure):
            self._recorder.add(failed(sample, outcome, tries.n))
            return

        def verified(verdict: Verdict | None) -> None:
            if verdict is None:
                return
            record = make_record(sample, outcome, verdict, attempts=tries.n, latency_s=tries.latency_s)
            self._queue.observe(sample.file, record["output_len"])
            self._recorder.add(Ended(file=sample.file, record=record))

        text = verified_text(outcome.text, outcome.reasoning)
        self._judge.judge(sample.data_source, text, sample.ground_truth, verified)

    def _n_in_work(self) -> int:
        return min(self._n_slots, self._turns.n_unanswered)

    async def _verdicts(self) -> None:
        """Wait for the verdicts of what was answered; those that a run that ends early cannot wait for come later."""
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._give_up_verdicts)
            await self._judge.drained()
            waiting.cancel_scope.cancel()

    async def _give_up_verdicts(self) -> None:
        await self._shutdown.grace_over()
        self._judge.give_up("the run was stopped before the verdict")

    async def _reverify(self) -> None:
        """Verify kept outputs again whose verifier failed; nothing is requested."""
        with self._shutdown.scope():
            for file, index in self._session.journal.details.items():
                for position in index.latest_in_row_order() if REVERIFY in index.states else ():
                    if index.state(index.rows[position]) == REVERIFY:
                        await self._open.acquire()
                        await self._at_risk.acquire()
                        await self._verify_again(file, position)

    async def _verify_again(self, file: str, position: int) -> None:
        record = await anyio.to_thread.run_sync(self._session.journal.read_record, file, position)

        def verified(verdict: Verdict | None) -> None:
            if verdict is not None:
                self._recorder.add(Ended(file=file, record=with_verdict(record, verdict)))

        text = verified_text(record["output"], record.get("reasoning_content"))
        self._judge.judge(record["data_source"], text, record["ground_truth"], verified)

    def _close_samples(self, batch: Sequence[Ended]) -> None:
        """These samples are on disk."""
        for ended in batch:
            self._open.release()
            if ended.record is not None:
                self._at_risk.release()


async def _watch_lock(lock: RunLock) -> None:
    """End the run soon after its lock was taken over, also while no answer comes in."""
    while True:
        await anyio.sleep(HEARTBEAT_S)
        await anyio.to_thread.run_sync(lock.check)


def _run_started(session: Session) -> RunStarted:
    settings = session.plan.settings
    details = session.journal.details
    return RunStarted(
        run_dir=str(session.run_dir.path),
        model_name=settings.model_name or "",
        files=tuple(
            FileTotal(
                name=file.name,
                n_samples=file.n_rows,
                n_done_before=details[file.name].n_rows - session.n_to_reverify(file),
                score_sum_before=details[file.name].score_sum,
                n_scored_before=details[file.name].n_scored,
            )
            for file in session.plan.test_set.files
        ),
        n_slots=settings.max_concurrent_requests,
    )


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
