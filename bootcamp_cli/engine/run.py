"""The run: every owed sample of a session goes through generate, verify and record. Read this page first."""

from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from bootcamp_cli.bootcamps.pool import VerifierPool
from bootcamp_cli.client.client import CompletionClient
from bootcamp_cli.client.retry import RetryPolicy
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.events import Emit, FileTotal, RunEnded, RunStarted
from bootcamp_cli.engine.gate import ServerGate
from bootcamp_cli.engine.generate import Generated, Generator
from bootcamp_cli.engine.order import WorkQueue
from bootcamp_cli.engine.probation import Probation
from bootcamp_cli.engine.recording import Ended, Recorder, failed
from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.engine.slots import Slots
from bootcamp_cli.engine.verifiers import verifier_pool
from bootcamp_cli.errors import BootcampError, InterruptedRunError
from bootcamp_cli.records import RequestFailure, Sample, Verdict, judged_text
from bootcamp_cli.store.lock import HEARTBEAT_S, RunLock
from bootcamp_cli.store.record import make_record, with_verdict
from bootcamp_cli.store.replay import REVERIFY

_READ_AHEAD = 64
"""Rows read at once: enough that slots do not wait for the disk, few enough that their order is still worth it."""


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
    try:
        async with (
            await verifier_pool(settings) as pool,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(shutdown.watch_signals, tasks.cancel_scope)
            tasks.start_soon(_watch_lock, session.journal.lock)
            stages = _Stages(session, client, pool, shutdown, emit)
            await stages.work_off()
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise _user_error(group) from group
    finally:
        emit(RunEnded())
    if shutdown.error is not None:
        raise shutdown.error
    if shutdown.interrupted:
        raise InterruptedRunError("stopped by a signal")


class _Stages:
    """The life of every owed sample: an open sample waits, is in flight, is verified or is about to be recorded."""

    def __init__(
        self, session: Session, client: CompletionClient, pool: VerifierPool, shutdown: Shutdown, emit: Emit
    ) -> None:
        plan, settings = session.plan, session.plan.settings
        self._session = session
        self._pool = pool
        self._shutdown = shutdown
        self._slots = Slots(settings.max_concurrent_requests)
        self._open = anyio.Semaphore(4 * settings.max_concurrent_requests + 1000, fast_acquire=True)
        self._probation = Probation(settings.max_concurrent_requests)
        self._generator = Generator(
            client,
            template=plan.prompt_template,
            policy=RetryPolicy(max_retries=settings.max_retries, max_delay_s=settings.max_retrying_delay),
            slots=self._slots,
            gate=ServerGate(
                client,
                model_name=plan.generation.model,
                n_slots=settings.max_concurrent_requests,
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
            }
        )
        owed = {file.name: session.n_unanswered(file) + session.n_to_reverify(file) for file in plan.test_set.files}
        self._recorder = Recorder(journal=session.journal, owed=owed, emit=emit)

    async def work_off(self) -> None:
        """Return when every owed sample has its end, or when the run ends early."""
        send, receive = anyio.create_memory_object_stream[Ended](1000)
        async with anyio.create_task_group() as recording:
            recording.start_soon(self._recorder.run, receive)
            async with send, anyio.create_task_group() as samples:
                samples.start_soon(self._reverify, samples, send)
                await self._feed(samples, send)
        if not self._shutdown.ending and (error := self._probation.verdict()):
            self._shutdown.stop(error)

    async def _feed(self, samples: TaskGroup, ended: MemoryObjectSendStream[Ended]) -> None:
        """Start a sample whenever a slot is free."""
        with self._shutdown.sample():
            try:
                while batch := await anyio.to_thread.run_sync(self._queue.take_many, _READ_AHEAD):
                    for sample in batch:
                        await self._probation.admit()
                        await self._open.acquire()
                        slot = await self._slots.acquire()
                        samples.start_soon(self._answer, sample, slot, ended)
            except BootcampError as error:
                self._shutdown.stop(error)

    async def _answer(self, sample: Sample, slot: int, ended: MemoryObjectSendStream[Ended]) -> None:
        """Generate, verify, record."""
        try:
            generated = await self._generator.generate(sample, slot)
            if generated is not None:
                await ended.send(await self._end(sample, generated))
        finally:
            self._open.release()

    async def _end(self, sample: Sample, generated: Generated) -> Ended:
        answer = generated.outcome
        if isinstance(answer, RequestFailure):
            return failed(sample, answer, generated.attempts)
        verdict = await self._verify(
            sample.data_source, judged_text(answer.text, answer.reasoning), sample.ground_truth
        )
        record = make_record(sample, answer, verdict, attempts=generated.attempts, latency_s=generated.latency_s)
        self._queue.observe(sample.file, record["output_len"])
        return Ended(file=sample.file, record=record, written=self._slots.recorded)

    async def _reverify(self, samples: TaskGroup, ended: MemoryObjectSendStream[Ended]) -> None:
        """Verify kept outputs again whose verifier failed; nothing is requested."""
        with self._shutdown.sample():
            for file, index in self._session.journal.details.items():
                for position in index.latest_in_row_order() if REVERIFY in index.states else ():
                    if index.state(index.rows[position]) == REVERIFY:
                        await self._open.acquire()
                        samples.start_soon(self._verify_again, file, position, ended)

    async def _verify_again(self, file: str, position: int, ended: MemoryObjectSendStream[Ended]) -> None:
        try:
            record = await anyio.to_thread.run_sync(self._session.journal.read_record, file, position)
            text = judged_text(record["output"], record.get("reasoning_content"))
            verdict = await self._verify(record["data_source"], text, record["ground_truth"])
            await ended.send(Ended(file=file, record=with_verdict(record, verdict)))
        finally:
            self._open.release()

    async def _verify(self, data_source: str, output: str, ground_truth: Any) -> Verdict:
        ref = self._session.plan.refs[data_source]
        if ref is None:
            return Verdict(score=None, failure="unscored", error=f"no bootcamp for {data_source}")
        return await self._pool.verify(ref, output, ground_truth)


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


def _user_error(group: ExceptionGroup[Exception]) -> BaseException:
    """The user-facing error in a group of whatever nesting, else the group itself."""
    error: BaseException | None = group.subgroup(BootcampError)
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error or group
