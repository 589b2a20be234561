"""The run: every owed sample is generated, verified and written. Read this page first.

    Scheduler -> _slot -> AnswerSource -> Verification -> _record_verdicts -> Writer
    (which, when)         (the answer)    (the verdict)                      (the record, on disk)

Slots send one sample after another and wait for no verdict. A sample is open from when it is read until it is on disk,
and the number of open samples is bounded. From its request on it is at risk: if the process died, its answer would be
lost. At most twice as many samples as there are slots are at risk.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from bootcamp_cli.engine.answers import AnswerSource, ServerAnswers
from bootcamp_cli.engine.budget import TokenBudget, token_budget
from bootcamp_cli.engine.drift import DriftAlarm
from bootcamp_cli.engine.generate import Attempts, RetryPolicy, retries
from bootcamp_cli.engine.scheduler import Permits, Scheduler, StartRounds, WorkQueue, expected_lengths
from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.shutdown import Shutdown, StopRequest
from bootcamp_cli.engine.writer import Ended, Writer, failed
from bootcamp_cli.errors import BootcampError, InterruptedRunError, ServerUnavailableError, ungrouped
from bootcamp_cli.events import Emit, FileTotal, RetryScheduled, RunEnded, RunStarted
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.replicas import Replicas
from bootcamp_cli.store.lock import HEARTBEAT_S, RunLock
from bootcamp_cli.store.records import make_record, with_verdict
from bootcamp_cli.types import Answer, Record, Verdict, verified_text
from bootcamp_cli.verification.executor import Verification, VerificationExecutor, verification_executor

_MIN_AHEAD, _MAX_AHEAD = 64, 1024
"""Rows read ahead, one per slot within these bounds: slots must not wait for the disk, yet the order must be fresh."""

_STOPPED = "the run was stopped before the verdict"


async def run(
    session: Session,
    source: CompletionClient | Replicas | AnswerSource,
    emit: Emit,
    stop: StopRequest | None = None,
) -> None:
    """Process every sample that the session owes; those that have ended are on disk when this returns or raises.

    The answers are asked of one server or of several, or come from another source, which may have them for some of the
    samples only.

    `stop` ends it early, so does cancellation, and so do tokens that are used up (`max_total_tokens`); the answers that
    have arrived by then are recorded, those without a verdict as pending.

    Raises:
        InterruptedRunError: a request to stop, or the last of the tokens, ended the run early.
        ServerUnavailableError: the server is gone, refuses the key, or refuses every request alike.
        RunDirectoryError: the run directory cannot be written, or was taken over.
    """
    shutdown = Shutdown(emit)
    asks = isinstance(source, CompletionClient | Replicas)
    budget = await anyio.to_thread.run_sync(token_budget, session) if asks else TokenBudget(None)
    emit(_run_started(session))
    try:
        if budget.is_used_up and any(session.n_unanswered(file) for file in session.plan.test_set.files):
            raise budget.error
        with ungrouped():
            async with (
                await verification_executor(session.plan.settings, session.run_dir.path, emit) as executor,
                anyio.create_task_group() as tasks,
            ):
                if stop is not None:
                    tasks.start_soon(shutdown.obey, stop, tasks.cancel_scope)
                tasks.start_soon(shutdown.obey, budget.stop, tasks.cancel_scope)
                tasks.start_soon(_watch_lock, session.journal.lock)
                expected = await anyio.to_thread.run_sync(expected_lengths, session) if asks else {}
                await _Pipeline(session, source, executor, shutdown, budget, emit, expected).run()
                tasks.cancel_scope.cancel()
    finally:
        emit(RunEnded())
    if shutdown.error is not None:
        raise shutdown.error
    if shutdown.interrupted and budget.is_used_up:
        if session.n_owed:  # else the last answers took the last tokens
            raise budget.error
    elif shutdown.interrupted:
        raise InterruptedRunError("stopped early")


@dataclass(slots=True, eq=False)
class _Answered:
    """An answer that waits for its verdict."""

    attempts: Attempts
    answer: Answer


@dataclass(slots=True, eq=False)
class _Kept:
    """A record whose verifier failed and which is verified again."""

    file: str
    record: Record


class _Pipeline:
    """The stages of a run and what bounds them."""

    def __init__(
        self,
        session: Session,
        source: CompletionClient | Replicas | AnswerSource,
        executor: VerificationExecutor,
        shutdown: Shutdown,
        budget: TokenBudget,
        emit: Emit,
        expected: Mapping[str, float],
    ) -> None:
        plan, settings, files = session.plan, session.plan.settings, session.plan.test_set.files
        n_slots = settings.max_concurrent_requests
        self._session = session
        self._shutdown = shutdown
        self._budget = budget
        self._emit = emit
        self._drift = DriftAlarm(emit)
        self._n_in_work = 0
        self._source = source = (
            ServerAnswers(
                *(session, source, shutdown, emit),
                n_in_work=lambda: min(self._n_slots, self._n_in_work),
                sent=self._drift.sent,
            )
            if isinstance(source, CompletionClient | Replicas)
            else source
        )
        n_owed = {file.name: source.n_owed(file) for file in files}
        self._n_slots = min(n_slots, sum(n_owed.values()))
        self._open = Permits(4 * n_slots + 1000)
        self._at_risk = Permits(2 * n_slots)
        self._in_flight = Permits(n_slots)
        self._rounds = StartRounds()
        self._scheduler = Scheduler(
            WorkQueue(
                {file.name: source.owed(file) for file in files if n_owed[file.name]},
                expected=expected,
                n_owed=n_owed,
            ),
            n_ahead=min(max(_MIN_AHEAD, n_slots), _MAX_AHEAD),
        )
        self._retry_policy = RetryPolicy(max_retries=settings.max_retries, max_delay_s=settings.max_retrying_delay)
        self._verification: Verification[_Answered | _Kept] = Verification(executor, plan.refs, plan.unloadable)
        self._writer = Writer(
            journal=session.journal,
            owed={file.name: session.n_unanswered(file) + session.n_unverified(file) for file in files},
            emit=emit,
            written=self._close_samples,
            batch=3 * n_slots // 4,  # the rest of what may be at risk is for verdicts to come
            timed=isinstance(source, ServerAnswers),
        )

    async def run(self) -> None:
        """Return when every owed sample has ended, or when the run ends early."""
        try:
            async with anyio.create_task_group() as writing:
                writing.start_soon(self._writer.run)
                async with anyio.create_task_group() as verifying:
                    verifying.start_soon(self._record_verdicts)
                    async with anyio.create_task_group() as watching:
                        watching.start_soon(self._watch_server)
                        async with anyio.create_task_group() as sending:
                            sending.start_soon(self._verify_kept)
                            for _ in range(self._n_slots):
                                sending.start_soon(self._slot, sending)
                            await self._read_ahead()
                        watching.cancel_scope.cancel()
                    await self._await_verdicts()
                    self._verification.close()
                self._writer.close()
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(BootcampError):
                await self._keep_answers()
            raise
        await self._end()

    async def _end(self) -> None:
        """Stop the run if all of its samples were refused, too few for that to be noticed earlier."""
        with self._shutdown.scope():
            if not self._shutdown.ending and (error := await self._source.all_ended()):
                self._shutdown.stop(error)

    async def _read_ahead(self) -> None:
        """Read samples ahead of the slots."""
        with self._shutdown.scope():
            try:
                await self._scheduler.read_ahead(self._admit)
            except BootcampError as error:
                self._shutdown.stop(error)

    async def _watch_server(self) -> None:
        """Notice a server that is gone although its connections are still open."""
        try:
            await self._source.watch()
        except ServerUnavailableError as error:
            self._shutdown.stop(error)

    async def _admit(self) -> None:
        """Wait until one more sample may be open."""
        await self._source.admit()
        await self._open.take()

    async def _slot(self, tasks: TaskGroup) -> None:
        """Send one sample after another; a sample that must be sent again waits in a task of its own."""
        with self._shutdown.scope() as scope:
            try:
                while not self._is_ending and (sample := await self._scheduler.next()):
                    self._n_in_work += 1
                    attempts = Attempts(sample)
                    try:
                        self._answered(attempts, await self._attempt(attempts, scope))
                    except AttemptFailed as failure:
                        if failure.retryable and self._retry_policy.max_retries:
                            tasks.start_soon(self._retry, attempts, failure)
                        else:
                            self._failed(attempts, failure)
            except ServerUnavailableError as error:
                self._shutdown.stop(error)

    @property
    def _is_ending(self) -> bool:
        """Whether no new sample may be sent; a budget that is used up ends the run a moment later."""
        return self._shutdown.ending or self._budget.is_used_up

    async def _retry(self, attempts: Attempts, first: AttemptFailed) -> None:
        """Send a sample again until it is answered or given up."""
        with self._shutdown.scope() as scope:
            try:
                async for retry in retries(self._retry_policy):
                    with retry:
                        try:
                            if retry.num == 1:
                                raise first
                            answer = await self._attempt(attempts, scope)
                        except AttemptFailed as failure:
                            self._tell_of_retry(attempts, failure, retry.num)
                            raise
                        self._answered(attempts, answer)
            except AttemptFailed as failure:
                self._failed(attempts, failure)
            except ServerUnavailableError as error:
                self._shutdown.stop(error)

    def _tell_of_retry(self, attempts: Attempts, failure: AttemptFailed, n_failed: int) -> None:
        if failure.retryable and n_failed <= self._retry_policy.max_retries:
            attempts.repeated(failure.kind)
            self._emit(RetryScheduled(file=attempts.sample.file, kind=failure.kind))

    async def _attempt(self, attempts: Attempts, scope: anyio.CancelScope) -> Answer:
        """One attempt within the bounds, retries before new samples; its answer is at risk until it is written.

        The place in flight is taken before the place at risk: a sample at risk must be able to go on.
        """
        await self._in_flight.take(first=attempts.n > 0)
        try:
            await self._at_risk.take()
            try:
                await self._rounds.begin()
                return await self._source.attempt(attempts, scope)
            except BaseException:
                self._at_risk.give_back()
                raise
        finally:
            self._in_flight.give_back()

    def _answered(self, attempts: Attempts, answer: Answer) -> None:
        self._n_in_work -= 1
        self._budget.spend(attempts.sample, answer)
        sample, text = attempts.sample, verified_text(answer.text, answer.reasoning)
        self._verification.submit(sample.data_source, text, sample.ground_truth, _Answered(attempts, answer))

    def _failed(self, attempts: Attempts, failure: AttemptFailed) -> None:
        self._n_in_work -= 1
        self._drift.failed(attempts)
        self._writer.add(failed(attempts.sample, failure.end, attempts.n, attempts.retries))

    async def _verify_kept(self) -> None:
        """Verify again the kept outputs whose verifier failed; nothing is requested."""
        journal = self._session.journal
        with self._shutdown.scope():
            for file, index in journal.details.items():
                for position in index.unverified():
                    await self._open.take()
                    await self._at_risk.take()
                    record = await anyio.to_thread.run_sync(journal.read_record, file, position)
                    text = verified_text(record.output, record.reasoning_content)
                    self._verification.submit(record.data_source, text, record.ground_truth, _Kept(file, record))

    async def _record_verdicts(self) -> None:
        """Make a record of each answer when its verdict arrives."""
        async for batch in self._verification.verdicts():
            self._record(batch)

    def _record(self, verified: Sequence[tuple[_Answered | _Kept, Verdict]]) -> None:
        for answer, verdict in verified:
            if isinstance(answer, _Kept) and verdict.failure == "pending":
                self._open.give_back()  # its record stays as it is
                self._at_risk.give_back()
            else:
                self._writer.add(self._ended(answer, verdict))

    async def _keep_answers(self) -> None:
        """Record the answers that a run which breaks off leaves without a verdict: `resume` verifies them."""
        self._verification.give_up(_STOPPED)
        self._record(self._verification.finished())
        await self._writer.write_rest()

    def _ended(self, verified: _Answered | _Kept, verdict: Verdict) -> Ended:
        if isinstance(verified, _Kept):
            return Ended(file=verified.file, record=with_verdict(verified.record, verdict))
        attempts = verified.attempts
        record = make_record(
            attempts.sample,
            verified.answer,
            verdict,
            attempts=attempts.n,
            latency_s=attempts.latency_s,
            retries=attempts.retries,
            endpoint=attempts.endpoint,
        )
        self._scheduler.observe(attempts.sample.file, record.output_len)
        self._drift.ended(attempts, record)
        return Ended(file=attempts.sample.file, record=record)

    async def _await_verdicts(self) -> None:
        """Wait for the verdicts of all answers; a run that ends early leaves late ones to `resume`."""
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._give_up_verdicts)
            await self._verification.wait_until_drained()
            waiting.cancel_scope.cancel()

    async def _give_up_verdicts(self) -> None:
        await self._shutdown.wait_for_grace()
        self._verification.give_up(_STOPPED)

    def _close_samples(self, batch: Sequence[Ended]) -> None:
        """These samples are on disk."""
        self._open.give_back(len(batch))
        self._at_risk.give_back(sum(ended.record is not None for ended in batch))


async def _watch_lock(lock: RunLock) -> None:
    """End the run soon after its lock is taken over, even while no answers arrive."""
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
                n_samples=session.plan.n_samples_of(file),
                n_done_before=details[file.name].n_answered - session.n_unverified(file),
                score_sum_before=details[file.name].score_sum,
                n_scored_before=details[file.name].n_scored,
            )
            for file in session.plan.test_set.files
            if session.plan.n_samples_of(file)
        ),
        n_slots=settings.max_concurrent_requests,
    )
