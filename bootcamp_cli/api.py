"""Everything that the tool does, as functions: plan -> check the server -> run -> settle -> publish.

The front page of it is `bootcamp_cli` itself; the commands call nothing else. Nothing here prints, ends the process, or
changes what belongs to it: no signal handler, garbage collector, limit or hook of a library is touched. What is good to
know, and what happens in a run, is told to `on_event`. Each function imports what it needs, so that looking up a
template does not load the engine.
"""

import contextlib
import math
import os
import shlex
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from bootcamp_cli.errors import (
    EXIT_OK,
    BootcampError,
    DiskError,
    InterruptedRunError,
    KeyRefusedError,
    ResumeRefusedError,
    RunDirectoryError,
    RunLockedError,
    ServerUnavailableError,
    SettingsError,
    UsageError,
    WrongModeError,
    ungrouped,
)
from bootcamp_cli.settings.model import AUTO, Settings, listed_keys
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings, resolved_arguments
from bootcamp_cli.text import counted, listed, shortened
from bootcamp_cli.types import MAX_LEN

if TYPE_CHECKING:
    import anyio
    import pandas as pd

    from bootcamp_cli.analysis.audit import Audit
    from bootcamp_cli.analysis.contents import Observer, RunContents
    from bootcamp_cli.analysis.excerpts import ExcerptChooser
    from bootcamp_cli.analysis.min_score import MinScore
    from bootcamp_cli.analysis.paired import Outcome
    from bootcamp_cli.analysis.runs import RunEntry
    from bootcamp_cli.analysis.samples import ShownSample, Status
    from bootcamp_cli.analysis.summary import RunSummary
    from bootcamp_cli.bootcamps.registry import Ceiling
    from bootcamp_cli.dataset.files import Input
    from bootcamp_cli.engine.answers import AnswerSource
    from bootcamp_cli.engine.batch import BatchExport, BatchLimits
    from bootcamp_cli.engine.comparing import ComparedRuns
    from bootcamp_cli.engine.forecast import Forecast, Price
    from bootcamp_cli.engine.importing import ResultForm
    from bootcamp_cli.engine.plan import Plan
    from bootcamp_cli.engine.power import Power
    from bootcamp_cli.engine.redo import Chosen, Selection
    from bootcamp_cli.engine.rescore import Rescored
    from bootcamp_cli.engine.serving import Serving
    from bootcamp_cli.engine.session import Earlier, Session
    from bootcamp_cli.engine.shutdown import StopRequest
    from bootcamp_cli.events import Emit, Event
    from bootcamp_cli.exports.formats import Exported
    from bootcamp_cli.exports.tracker import Tracker
    from bootcamp_cli.reports.html.run_page import AuditPart
    from bootcamp_cli.server.client import CompletionClient
    from bootcamp_cli.server.endpoint import Endpoint
    from bootcamp_cli.server.health import ModelEntry, ProbeResult
    from bootcamp_cli.server.replicas import Replicas
    from bootcamp_cli.server.request import GenerationConfig
    from bootcamp_cli.store.lock import RunLock
    from bootcamp_cli.store.run_dir import RunDir
    from bootcamp_cli.store.sample_index import Progress
    from bootcamp_cli.templates.template import Template
    from bootcamp_cli.types import BootcampRef
    from bootcamp_cli.verification.golden import Agreement

_MIN_COMPARED = 8
_NEARLY_ALL = 0.95
_MANY_BOOTCAMPS = 100
_MAX_PLACES = 20
_MAX_AUDITED = 50_000
"""How many scored answers a page audits: about 15 seconds on two cores."""

_T = TypeVar("_T")


# Evaluations


def evaluate(
    settings: Settings | Resolved, on_event: "Emit | None" = None, *, stop: "StopRequest | None" = None
) -> "Run":
    """Evaluate a model on a test dir, and give the run.

    With `settings.resume`, the newest run under `output_dir` with the same settings is continued, if there is one. The
    run directory is complete, reports included, when this returns; where it raises, what was answered until then is
    kept, and `open_run(path).resume()` goes on.

    Args:
        settings: What to evaluate, and how. Environment and settings files are not read.
        on_event: Called with each event (`bootcamp_cli.events`) by the thread of the event loop, which need not be this
            one; must return soon and not raise.
        stop: Ends the run early, from another thread. So does KeyboardInterrupt, at once.

    Raises:
        UsageError: settings, template, test dir or bootcamps do not allow an evaluation, or an event loop runs in this
            thread (as in a notebook): use `evaluate_async` there.
        ServerUnavailableError: the server is gone, refuses the key, or refuses every request alike.
        InterruptedRunError: `stop` ended the run.
        RunDirectoryError: the run directory cannot be written, or was taken over.
    """
    return _blocking("evaluate", lambda: evaluate_async(settings, on_event, stop=stop))


async def evaluate_async(
    settings: Settings | Resolved, on_event: "Emit | None" = None, *, stop: "StopRequest | None" = None
) -> "Run":
    """As `evaluate`, in the running event loop, which must be asyncio's; nothing here blocks it.

    Cancelling the task ends the run at once: what was answered is kept, and `resume` goes on.
    """
    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    tell = _Tell(on_event)
    with _naming_key(resolved):
        return await _to_its_end(
            lambda: _in_time(
                resolved.settings,
                tell,
                stop,
                lambda stop: _served(resolved, tell, lambda serving: _evaluated(resolved, tell, stop, serving)),
            )
        )


@contextlib.contextmanager
def _naming_key(resolved: Resolved) -> Iterator[None]:
    """Say of a key that is refused where it came from."""
    try:
        yield
    except KeyRefusedError as error:
        error.hint = f"{resolved.key_note}; {error.hint}"
        raise


async def _evaluated(resolved: Resolved, tell: "_Tell", stop: "StopRequest | None", serving: "Serving") -> "Run":
    from bootcamp_cli.engine.session import in_thread, nearest_run, new_session
    from bootcamp_cli.store.run_dir import MAX_EARLIER

    plan = await _unless_stopped(stop, lambda: _aside(_plan_evaluation, resolved, tell))
    entry = None
    if plan.settings.model_name is None:
        if plan.settings.resume:  # perhaps nothing is owed, and no verifier needed
            plan = await serving.begin(plan)
            entry = await _model_of(plan, tell, stop, serving)
        else:
            entry, plan = await _ready(plan, tell, stop, serving)
        plan = plan.with_model(entry.name)
    most = None if plan.settings.resume else MAX_EARLIER
    nearest = await _aside(lambda: nearest_run(plan, most=most))
    if nearest is not None and not nearest.differences:
        if plan.settings.resume:
            return await _resumed(nearest.plan, nearest.run_dir, tell, stop, serving)
        if not nearest.manifest.complete:
            path = shlex.quote(str(nearest.run_dir.path))
            tell.note(f"an unfinished run has the same settings: `bootcamp resume {path}` would continue it")
    elif plan.settings.resume:
        tell.note(_nothing_to_resume(nearest, plan))
    if entry is None or plan.settings.resume:
        entry, plan = await _ready(plan, tell, stop, serving, entry=entry)
    plan = plan.with_context(entry.context_length)
    if plan.settings.check_model_url and not (entry.listed or entry.answered):
        await _first_answer(plan, tell, stop, entry.endpoint)
    plan = await _with_bos(plan, tell, stop, entry.endpoint)
    async with in_thread(new_session(plan, entry.raw, tell.note, came_to_nothing=(WrongModeError,))) as session:
        if not session.n_owed:
            tell.note(f"shard {plan.settings.shard} is empty: nothing is owed")
            return await _aside(_conclude, session, tell)
        return await _run(session, tell, stop, serving)


def dry_run(settings: Settings | Resolved, on_event: "Emit | None" = None, *, price: str | None = None) -> "Forecast":
    """Check everything about an evaluation that can be checked without the server, and say what it would take.

    Nothing is sent or written. Bootcamps that are not built in are loaded, certificates read. `price` is what a million
    tokens of prompts and of answers cost: `0.5,1.5`.

    Raises:
        UsageError: `evaluate` would not start.
    """
    from bootcamp_cli.engine.forecast import parse_price

    asked = None if price is None else parse_price(price)
    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    return _blocking("dry_run", lambda: _forecast(resolved, asked, _Tell(on_event)))


async def _forecast(resolved: Resolved, price: "Price | None", tell: "_Tell") -> "Forecast":
    from bootcamp_cli.engine.forecast import forecast
    from bootcamp_cli.engine.serving import checked_command
    from bootcamp_cli.server.replicas import open_replicas

    await _aside(checked_command, resolved, os.environ)
    plan = await _aside(_plan_evaluation, resolved, tell)
    if plan.settings.model_name is None:
        plan = plan.with_model("the only model that the server lists")
    if refs := plan.third_party():
        plan = await _with_bootcamps(plan, refs, tell, None)
    async with open_replicas(plan.settings, plan.generation) as replicas:
        for endpoint in replicas.endpoints:
            await replicas.open(endpoint)  # reads certificates and proxies
    return await _aside(forecast, plan.with_bos("keep"), price)


def _nothing_to_resume(nearest: "Earlier | None", plan: "Plan") -> str:
    """Why a run is started although one was to be continued."""
    if nearest is None:
        return f"nothing to resume under {plan.settings.output_dir}: starting a new run"
    found = f"the nearest run, {nearest.run_dir.path}, differs in {nearest.described}"
    return f"nothing to resume: {found}; starting a new run"


async def resume_async(
    run: "Run",
    settings: Resolved,
    on_event: "Emit | None" = None,
    *,
    redo: Sequence[str] = (),
    stop: "StopRequest | None" = None,
) -> "Run":
    """Continue a run with the settings that `Run.settings_to_resume` gives; see `Run.resume`.

    Where nothing is owed, its reports are rebuilt without contacting the server.

    Raises:
        ResumeRefusedError: the test files, what decides the answers, or the verifiers are not the run's.
        BootcampError: as `evaluate` does.
    """
    tell = _Tell(on_event)
    with _naming_key(settings):
        return await _to_its_end(
            lambda: _in_time(
                settings.settings,
                tell,
                stop,
                lambda stop: _served(
                    settings,
                    tell,
                    lambda serving: _continued(run, settings, tell, redo, stop, serving),
                    continued=run,
                ),
            )
        )


def batch_limits(*, max_requests: int, max_bytes: int) -> "BatchLimits":
    """What fits in one batch file.

    Raises:
        UsageError: one of them is less than 1.
    """
    from bootcamp_cli.engine.batch import BatchLimits

    return BatchLimits(max_requests=max_requests, max_bytes=max_bytes)


def start_batch(
    settings: Settings | Resolved,
    out: str | Path | None = None,
    on_event: "Emit | None" = None,
    *,
    limits: "BatchLimits | None" = None,
) -> "BatchExport":
    """Make a run directory for an evaluation without a server, and write its requests as batch files.

    They are files as OpenAI's Batch API and `vllm run-batch` take them, in `out`, by default the folder `batch` of the
    run directory. `Run.import_batch` takes the results.

    Raises:
        UsageError: as `evaluate` does; there is no model name, or max_tokens is auto.
    """
    from bootcamp_cli.engine.batch import refuse_secrets
    from bootcamp_cli.engine.session import new_session

    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    tell = _Tell(on_event)
    plan = _plan_evaluation(resolved, tell)
    refuse_secrets(plan)
    if plan.settings.model_name is None:
        raise SettingsError("no model name", hint="give --model-name, as no server is asked for one")
    plan = plan.with_context(None)
    if plan.open_bos:
        tell.note(f"the template's {plan.open_bos} is sent; --bos drop leaves it out for servers that add their own")
    with new_session(plan, None, tell.note, came_to_nothing=(BaseException,)) as session:
        return _export_batch(session, out, tell, limits)


def continue_batch(
    run: "Run",
    settings: Resolved,
    out: str | Path | None = None,
    on_event: "Emit | None" = None,
    *,
    redo: Sequence[str] = (),
    limits: "BatchLimits | None" = None,
) -> "BatchExport":
    """Write what a run owes as batch files, with the settings that `Run.settings_to_resume` gives.

    See `Run.export_batch`.

    Raises:
        BootcampError: as `resume_async` does.
    """
    from bootcamp_cli.engine.batch import refuse_secrets
    from bootcamp_cli.engine.redo import parse_selection
    from bootcamp_cli.engine.session import resumed_session

    tell = _Tell(on_event)
    selection = parse_selection(redo) if redo else None
    run_dir = open_run_dir(run.path)
    plan = _plan_continuation(run_dir, settings.settings, tell)
    refuse_secrets(plan)
    with resumed_session(_without_server(plan, run_dir), run_dir, tell.note) as session:
        if selection is not None:
            if chosen := session.choose(selection):
                session.begin()
            _set_aside(session, chosen, selection, tell)
        return _export_batch(session, out, tell, limits)


def _set_aside(session: "Session", chosen: "Chosen", selection: "Selection", tell: "_Tell") -> None:
    """Set the records of what is asked for again aside, and say how many there are."""
    if not chosen:
        tell.note(f"no sample is {' or '.join(selection.words)}")
    elif n := session.set_aside(chosen):
        tell.note(f"{counted(n, 'record')} set aside in {session.run_dir.redone}")


def _without_server(plan: "Plan", run_dir: "RunDir") -> "Plan":
    """The plan of a run that goes on, with the context length of its model as the server told it at the start."""
    from bootcamp_cli.server.health import context_length_of

    manifest = run_dir.read_manifest()
    return plan.with_context(context_length_of((manifest and manifest.model) or {}))


def _export_batch(
    session: "Session", out: str | Path | None, tell: "_Tell", limits: "BatchLimits | None"
) -> "BatchExport":
    from bootcamp_cli.engine.batch import BatchLimits, export_batch, last_number

    directory = session.run_dir.batch if out is None else Path(out)
    if n := last_number(directory):
        tell.note(f"{directory} has batch files up to number {n}: what they ask and was not imported is asked again")
    if session.plan.settings.api_mode == "completion":
        tell.note("requests go to /v1/completions; `vllm run-batch` takes chats only (--api-mode chat_completion)")
    exported = export_batch(session, directory, limits or BatchLimits())
    if not exported.n_requests:
        tell.note(f"{session.run_dir.path}: nothing is owed")
    return exported


async def import_batch_async(
    run: "Run",
    settings: Resolved,
    files: Sequence[str | Path],
    on_event: "Emit | None" = None,
    *,
    stop: "StopRequest | None" = None,
) -> "Run":
    """Take the results of batches into a run, with the settings that `Run.settings_to_resume` gives.

    See `Run.import_batch`.

    Raises:
        DatasetError: no line of the files is a result of this run.
        BootcampError: as `resume_async` does.
    """
    from bootcamp_cli.engine.batch import Batch

    tell = _Tell(on_event)
    return await _to_its_end(
        lambda: _in_time(
            settings.settings, tell, stop, lambda stop: _imported(run, settings.settings, files, Batch, tell, stop)
        )
    )


def import_outputs(
    settings: Settings | Resolved,
    files: Sequence[str | Path],
    columns: "Mapping[str, str | None] | None" = None,
    on_event: "Emit | None" = None,
    *,
    stop: "StopRequest | None" = None,
) -> "Run":
    """Make a run of outputs that were generated elsewhere; the settings are recorded as theirs.

    Raises:
        BootcampError: as `import_outputs_async` does.
    """
    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    return _blocking(
        "import_outputs", lambda: import_outputs_async(None, resolved, files, columns, on_event, stop=stop)
    )


async def import_outputs_async(
    run: "Run | None",
    settings: Resolved,
    files: Sequence[str | Path],
    columns: "Mapping[str, str | None] | None" = None,
    on_event: "Emit | None" = None,
    *,
    stop: "StopRequest | None" = None,
) -> "Run":
    """Take outputs that were generated elsewhere into a run, by default into a new one of these settings.

    `columns` names the keys of a line, see `bootcamp_cli.engine.outputs.Columns`.

    Raises:
        DatasetError: no line of the files is an output to a question of the run.
        BootcampError: as `evaluate` or `resume_async` does.
    """
    from bootcamp_cli.engine.outputs import Outputs, columns_of
    from bootcamp_cli.engine.session import in_thread, new_session

    named = columns_of(columns or {})
    tell = _Tell(on_event)

    async def started(stop: "StopRequest | None") -> Run:
        plan = await _aside(_plan_evaluation, settings, tell)
        if plan.settings.model_name is None:
            raise SettingsError("no model name", hint="give --model-name, whatever the outputs are to be listed under")
        if plan.settings.max_tokens == AUTO:
            plan = plan.with_context(MAX_LEN)  # nothing is sent
        plan = await _with_third_party(plan, tell, stop)
        async with in_thread(new_session(plan, None, tell.note, came_to_nothing=(BootcampError,))) as session:
            return await _import(session, files, Outputs(plan, *named), tell, stop)

    async def continued(stop: "StopRequest | None") -> Run:
        assert run is not None  # noqa: S101 - else it is started
        return await _imported(run, settings.settings, files, lambda plan: Outputs(plan, *named), tell, stop)

    work = started if run is None else continued
    return await _to_its_end(lambda: _in_time(settings.settings, tell, stop, work))


async def _imported(
    run: "Run",
    settings: Settings,
    files: Sequence[str | Path],
    form: "Callable[[Plan], ResultForm]",
    tell: "_Tell",
    stop: "StopRequest | None",
) -> "Run":
    """Import into a run that there is."""
    from bootcamp_cli.engine.session import in_thread, resumed_session

    run_dir = await _aside(open_run_dir, run.path)
    plan = await _aside(_plan_continuation, run_dir, settings, tell)
    plan = await _with_third_party(await _aside(_without_server, plan, run_dir), tell, stop)
    async with in_thread(resumed_session(plan, run_dir, tell.note)) as session:
        return await _import(session, files, form(session.plan), tell, stop)


async def _with_third_party(plan: "Plan", tell: "_Tell", stop: "StopRequest | None") -> "Plan":
    refs = plan.third_party()
    return await _with_bootcamps(plan, refs, tell, stop) if refs else plan


async def _import(
    session: "Session",
    files: Sequence[str | Path],
    form: "ResultForm",
    tell: "_Tell",
    stop: "StopRequest | None",
) -> "Run":
    """Read files of results through, then take in what the run lacks, and verify it."""
    from bootcamp_cli.engine.importing import ImportedAnswers, find_results

    results = await _unless_stopped(stop, lambda: _aside(find_results, session, [Path(file) for file in files], form))
    for note in results.notes:
        tell.note(note)
    if results.n_unreadable:
        tell.warn(
            f"{counted(results.n_unreadable, 'line')} cannot be read as results: "
            f"{listed(results.problems, _MAX_PLACES)}"
        )
    tell.note(f"{session.run_dir.path}: results for {counted(results.n_samples, 'sample')} without an answer")
    await _aside(session.begin)
    return await _run(session, tell, stop, ImportedAnswers(session, results, form))


async def _in_time(
    settings: Settings,
    tell: "_Tell",
    stop: "StopRequest | None",
    work: "Callable[[StopRequest | None], Awaitable[Run]]",
) -> "Run":
    """Do what evaluates, and ask it to stop where it has only so much time."""
    import anyio

    from bootcamp_cli.engine.shutdown import StopRequest
    from bootcamp_cli.settings.convert import format_duration

    if settings.stop_after is None:
        return await work(stop)
    tell.note(f"stopping after {format_duration(settings.stop_after)}, if it is not done by then")
    stop = stop or StopRequest()
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop.request_after, settings.stop_after)
            run = await work(stop)
            tasks.cancel_scope.cancel()
    return run


async def _served(
    resolved: Resolved, tell: "_Tell", work: "Callable[[Serving], Awaitable[Run]]", *, continued: "Run | None" = None
) -> "Run":
    """Do what evaluates with a server, which may be one's own: that is ended with it."""
    from bootcamp_cli.engine.serving import serving

    before = None if continued is None else await _aside(lambda: open_run_dir(continued.path).read_eval_args())
    async with serving(resolved, said=tell.note, warned=tell.warn, before=before) as served:
        return await work(served)


async def _continued(
    run: "Run",
    settings: Resolved,
    tell: "_Tell",
    redo: Sequence[str],
    stop: "StopRequest | None",
    serving: "Serving",
) -> "Run":
    from bootcamp_cli.engine.redo import parse_selection
    from bootcamp_cli.engine.session import asks_for_more, in_thread, new_session, plan_redo

    run_dir = await _aside(open_run_dir, run.path)
    selection = parse_selection(redo) if redo else None
    plan = await _unless_stopped(stop, lambda: _aside(_plan_continuation, run_dir, settings.settings, tell))
    if selection is not None and await _aside(asks_for_more, plan, run_dir):
        plan = await _aside(plan_redo, plan, run_dir, selection)
        what = f"{counted(plan.n_samples, 'sample')} ({shortened(', '.join(redo))})"
        tell.note(f"redoing {what} of {run_dir.path} in a run directory of their own")
        entry, plan = await _ready(
            plan, tell, stop, serving, files=[file.name for file in plan.test_set.files if plan.n_samples_of(file)]
        )
        plan = plan.with_context(entry.context_length)
        async with in_thread(new_session(plan, entry.raw, tell.note)) as session:
            return await _run(session, tell, stop, serving)
    return await _resumed(plan, run_dir, tell, stop, serving, selection)


async def _resumed(
    plan: "Plan",
    run_dir: "RunDir",
    tell: "_Tell",
    stop: "StopRequest | None",
    serving: "Serving",
    selection: "Selection | None" = None,
) -> "Run":
    from bootcamp_cli.engine.session import in_thread, resumed_session

    async with in_thread(resumed_session(plan, run_dir, tell.note)) as resumed:
        session = resumed
        chosen = await _aside(session.choose, selection) if selection else {}
        unanswered = [file.name for file in plan.test_set.files if session.n_unanswered(file)]
        if chosen:
            session = await _for_model(session, tell, stop, serving, [*chosen, *unanswered])
            await _aside(session.begin)  # from here on the run is incomplete, whatever happens
        if selection:
            await _aside(_set_aside, session, chosen, selection, tell)
        if not session.n_owed:
            tell.note(f"{run_dir.path} is finished: nothing is owed")
            await _aside(session.begin)
            return await _aside(_conclude, session, tell)
        tell.note(f"continuing {run_dir.path}: {_left_to_do(session)}")
        if not chosen:
            if unanswered:
                session = await _for_model(session, tell, stop, serving, unanswered)
            await _aside(session.begin)
        return await _run(session, tell, stop, serving)


def _left_to_do(session: "Session") -> str:
    """What a resumed run has to request, and what only to verify."""
    files, of_all = session.plan.test_set.files, f"of {session.plan.n_samples:,} samples"
    n_unanswered = sum(session.n_unanswered(file) for file in files)
    n_unverified = sum(session.n_unverified(file) for file in files)
    parts = []
    if n_unanswered:
        parts.append(f"{n_unanswered:,} {of_all} {'is' if n_unanswered == 1 else 'are'} owed")
    if n_unverified:
        parts.append(f"{counted(n_unverified, 'answer')} to be verified, without a request")
    return "; ".join(parts)


async def _for_model(
    session: "Session", tell: "_Tell", stop: "StopRequest | None", serving: "Serving", files: Sequence[str]
) -> "Session":
    """Wait for model and verifiers of a run that goes on; what is sent may depend on the model's context length."""
    entry, plan = await _ready(session.plan, tell, stop, serving, files=files)
    return replace(session, plan=plan.with_context(entry.context_length))


async def _run(
    session: "Session", tell: "_Tell", stop: "StopRequest | None", source: "Serving | AnswerSource"
) -> "Run":
    """Run, settle what was written whatever happens, and report if the run reached its end.

    The answers are a server's or those of another `source`.
    """
    import anyio

    from bootcamp_cli.engine.serving import Serving

    try:
        error = await _run_logged(session, tell, stop, source)
    except BaseException:
        with anyio.CancelScope(shield=True), contextlib.suppress(BootcampError):
            await _aside(_leave, session)
        raise
    if error is None:
        return await _aside(_conclude, session, tell)
    if not isinstance(error, RunDirectoryError):
        await _aside(_leave, session)
    path = shlex.quote(str(session.run_dir.path))
    if isinstance(source, Serving):
        command = f"`bootcamp resume {path}`{' and the same --serve' if source.is_own else ''}"
    else:
        command = f"the same import (--run {path})"
    _tell_how_to_go_on(error, command)
    raise error


async def _run_logged(
    session: "Session", tell: "_Tell", stop: "StopRequest | None", source: "Serving | AnswerSource"
) -> BootcampError | None:
    """Run with progress.log; gives the error that ended the run early, if any."""
    import anyio
    import msgspec

    from bootcamp_cli.engine.run import run
    from bootcamp_cli.events import RunStarted, Warned
    from bootcamp_cli.progress.display import ONLY_COUNTED
    from bootcamp_cli.progress.log import ProgressLog
    from bootcamp_cli.progress.state import ProgressState

    state = ProgressState(time.monotonic)
    log = ProgressLog(
        session.run_dir.progress_log,
        state,
        check=session.journal.lock.check,
        warn=lambda text: tell.on_event(Warned(message=text)),
    )
    on_event = tell.on_event

    def emit(event: "Event") -> None:
        state.handle(event)
        if type(event) in ONLY_COUNTED:
            on_event(event)
            return
        log.handle(event)
        on_event(msgspec.structs.replace(event, progress=state) if isinstance(event, RunStarted) else event)

    async with _answering(session.plan, source) as answering, anyio.create_task_group() as tasks:
        tasks.start_soon(log.run)
        watching = anyio.CancelScope()
        tasks.start_soon(_watch_metrics, session, answering, watching)
        try:
            async with _beside(source, session, answering, emit), _asking(session, answering):
                await run(session, answering, emit, stop)
        except BootcampError as error:
            return error
        finally:
            watching.cancel()
    return None


def _beside(
    source: "Serving | AnswerSource",
    session: "Session",
    answering: "CompletionClient | Replicas | AnswerSource",
    emit: "Emit",
) -> contextlib.AbstractAsyncContextManager[None]:
    """Meanwhile watch the server, where it is one's own."""
    from bootcamp_cli.engine.serving import Serving
    from bootcamp_cli.server.client import CompletionClient

    if isinstance(source, Serving) and isinstance(answering, CompletionClient):
        return source.during(session, answering, emit)
    return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def _answering(
    plan: "Plan", source: "Serving | AnswerSource"
) -> "AsyncIterator[CompletionClient | Replicas | AnswerSource]":
    """Who answers: a source of its own, or the servers of the settings; a single one is used without further ado."""
    from bootcamp_cli.engine.serving import Serving
    from bootcamp_cli.server.client import open_client
    from bootcamp_cli.server.replicas import open_replicas

    if not isinstance(source, Serving):
        yield source
        return
    async with open_replicas(plan.settings, plan.generation) as replicas:
        if replicas.are_several:
            yield replicas
        else:
            async with open_client(plan.settings, plan.generation, replicas.endpoints[0]) as client:
                yield client


def _asking(
    session: "Session", client: "CompletionClient | Replicas | AnswerSource"
) -> contextlib.AbstractAsyncContextManager[None]:
    """Meanwhile ask the server about itself, where the run needs it and the user lets it be asked."""
    from bootcamp_cli.server.client import CompletionClient
    from bootcamp_cli.server.provenance import asking_server

    settings = session.plan.settings
    if not (_may_be_asked(session) and isinstance(client, CompletionClient)):
        return contextlib.nullcontext()
    return asking_server(client, chat=settings.api_mode == "chat_completion", learned=session.servers.append)


def _may_be_asked(session: "Session") -> bool:
    """Whether the run asks its server for answers, and the user lets it be asked for more."""
    is_needed = any(session.n_unanswered(file) for file in session.plan.test_set.files)
    return is_needed and session.plan.settings.check_model_url


async def _watch_metrics(
    session: "Session", servers: "CompletionClient | Replicas | AnswerSource", watching: "anyio.CancelScope"
) -> None:
    """Meanwhile write down what servers tell of their load, as `_asking` asks one about itself."""
    from bootcamp_cli.engine.server_metrics import watch_metrics
    from bootcamp_cli.server.client import CompletionClient
    from bootcamp_cli.server.replicas import Replicas

    if isinstance(servers, CompletionClient):
        clients = {servers.endpoint.base_url: servers}
    elif isinstance(servers, Replicas):
        clients = servers.clients
    else:
        return
    if _may_be_asked(session):
        with watching:
            await watch_metrics(lambda: dict(clients), session.run_dir, session.journal.lock.check)


def _tell_how_to_go_on(error: BootcampError, command: str) -> None:
    """Put what continues the run into the error's hint."""
    if isinstance(error, WrongModeError):  # another mode is another run
        return
    general = "`bootcamp resume`"
    hint = error.hint or f"continue with {general}"
    error.hint = hint.replace(general, command) if general in hint else f"{hint}, then {command}"


def _leave(session: "Session") -> None:
    """Settle a run that ended early."""
    session.settle()
    session.end()


def _conclude(session: "Session", tell: "_Tell") -> "Run":
    """Settle what was written and write the reports."""
    session.settle()
    summary = _publish(session.run_dir, session.journal.lock, tell).shown
    session.end(summary)
    return Run(session.run_dir.path, summary=summary, settings=session.plan.settings)


async def _ready(
    plan: "Plan",
    tell: "_Tell",
    stop: "StopRequest | None",
    serving: "Serving",
    *,
    files: Sequence[str] | None = None,
    entry: "ModelEntry | None" = None,
) -> "tuple[ModelEntry, Plan]":
    """What must be before the first request: the model is there, and the verifiers can be loaded.

    A server of one's own is started first; the plan is then for its URL. Both at the same time; what fails first ends
    the other. Only the bootcamps of `files` are loaded, and none that are built in; a cluster that verifies is
    connected to in any case. With an `entry` the model is there already.

    Raises:
        UnknownBootcampError: bootcamps cannot be loaded, and `allow_unscored` is off.
        BootcampError: as `_model_of` does.
    """
    import anyio

    plan = await serving.begin(plan)
    refs = plan.third_party(files)
    if not refs and plan.settings.executor == "local":
        return entry or await _model_of(plan, tell, stop, serving), plan
    entries = [entry] if entry else []
    plans = []

    async def find_model() -> None:
        entries.append(await _model_of(plan, tell, stop, serving))

    async def load() -> None:
        plans.append(await _with_bootcamps(plan, refs, tell, stop))

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load)
            if not entries:
                tasks.start_soon(find_model)
    return entries[0], plans[0]


async def _with_bootcamps(plan: "Plan", refs: "list[BootcampRef]", tell: "_Tell", stop: "StopRequest | None") -> "Plan":
    """Load bootcamps in workers; what cannot be loaded is an error, or a warning where outputs may be unscored."""
    from bootcamp_cli.engine.plan import unloadable_count, unloadable_lines
    from bootcamp_cli.verification.loading import load_ahead

    if len(refs) >= _MANY_BOOTCAMPS:
        tell.note(f"loading {len(refs)} bootcamps that are not built in, to see whether they can be")
    loading = await _unless_stopped(stop, lambda: load_ahead(refs, plan.settings, tell.on_event))
    reasons = loading.reasons
    plan = plan.with_loading(reasons, loading.families)
    if reasons:
        tell.warn(
            f"{unloadable_count(reasons)} cannot be loaded, their outputs are kept for a later "
            f"`bootcamp rescore`: {'; '.join(unloadable_lines(reasons))}"
        )
    return plan


async def _model_of(plan: "Plan", tell: "_Tell", stop: "StopRequest | None", serving: "Serving") -> "ModelEntry":
    """Wait for a server of one's own, and for the model unless told not to; warn where no room is left for a prompt."""
    from bootcamp_cli.server.health import ModelEntry

    settings = plan.settings
    await _unless_stopped(stop, serving.wait_until_up)
    if not settings.check_model_url:
        if not settings.model_name:
            raise SettingsError("no model name", hint="give --model-name or set check_model_url")
        return ModelEntry(name=settings.model_name, listed=False)
    check = await _unless_stopped(stop, lambda: _checked(settings, plan.generation, tell, with_probe=False))
    entry = check.entry
    if entry.context_length is not None and settings.max_tokens != AUTO and settings.max_tokens >= entry.context_length:
        tell.warn(
            f"max_tokens {settings.max_tokens} is not below the model's length of {entry.context_length} tokens: "
            "prompt and answer together must fit, and most servers refuse such requests"
        )
    return entry


async def _first_answer(plan: "Plan", tell: "_Tell", stop: "StopRequest | None", endpoint: "Endpoint | None") -> None:
    """Wait for a short completion where no list tells of the model: before a run directory is made for nothing."""
    from bootcamp_cli.engine.fleet import neutral_prompt
    from bootcamp_cli.server.client import open_client
    from bootcamp_cli.server.health import wait_for_answer

    async def asked() -> None:
        async with open_client(plan.settings, plan.generation, endpoint) as client:
            await wait_for_answer(
                client,
                neutral_prompt(plan),
                wait_s=plan.settings.wait,
                poll_interval_s=plan.settings.poll_interval,
                notify=tell.note,
            )

    await _unless_stopped(stop, asked)


async def _with_bos(plan: "Plan", tell: "_Tell", stop: "StopRequest | None", endpoint: "Endpoint | None") -> "Plan":
    """The plan of a new run without the template's begin-of-sentence token, where the server adds one of its own."""
    from bootcamp_cli.server.client import open_client
    from bootcamp_cli.server.health import doubles

    async def asked() -> bool:
        async with open_client(plan.settings, plan.generation, endpoint) as client:
            return await doubles(client, plan.open_bos)

    if not plan.open_bos or not await _unless_stopped(stop, asked):
        return plan.with_bos("keep")
    tell.note(
        f"the server adds {plan.open_bos} to every prompt, so the template's own is left out "
        "(--bos keep sends both, as run_eval.py does)"
    )
    return plan.with_bos("drop")


async def _unless_stopped(stop: "StopRequest | None", work: Callable[[], Awaitable[_T]]) -> _T:
    """Do what comes before the first request; a request to stop ends it."""
    import anyio

    if stop is None:
        return await work()
    done: list[_T] = []

    async def cancel_when_asked() -> None:
        await stop.wait()
        tasks.cancel_scope.cancel()

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_when_asked)
            done.append(await work())
            tasks.cancel_scope.cancel()
    if not done:
        raise InterruptedRunError("stopped before the first request")
    return done[0]


# Plans


def _plan_evaluation(resolved: Resolved, tell: "_Tell") -> "Plan":
    """The plan of a new evaluation; tells what is probably unintended in the settings and the test dir.

    Raises:
        UsageError: settings, template, test dir or bootcamps do not allow an evaluation.
    """
    from bootcamp_cli.engine.plan import make_plan
    from bootcamp_cli.settings.array_job import with_shard_of
    from bootcamp_cli.settings.warnings import mode_warnings, template_note
    from bootcamp_cli.store.run_dir import check_output_dir
    from bootcamp_cli.templates.catalog import choose, template_catalog

    settings = with_shard_of(os.environ, resolved.settings)
    if settings.shard != resolved.settings.shard:
        tell.note(f"shard {settings.shard}, by the array job that this is")
    check_output_dir(settings.output_dir)
    template = choose(template_catalog(resolved.templates), settings.template, resolved.origins["template"].text)
    for warning in mode_warnings(resolved, template_system_prompt=template.system_prompt):
        tell.warn(warning)
    if note := template_note(resolved):
        tell.note(note)
    sys_prompt = settings.sys_prompt
    if sys_prompt is None and resolved.chosen("template"):
        sys_prompt = template.system_prompt
    inputs = _inputs(settings, tell)
    plan = make_plan(settings, template, sys_prompt=sys_prompt, inputs=inputs, check=_check_cancelled)
    _tell_about_data(plan, tell)
    return plan


def _plan_continuation(run_dir: "RunDir", settings: Settings, tell: "_Tell") -> "Plan":
    """The plan for continuing a run, with its own template and system prompt.

    Raises:
        ResumeRefusedError: the run directory was not made by this tool.
        RunDirectoryError: the manifest is damaged.
        UsageError: test dir or bootcamps do not allow an evaluation.
    """
    from bootcamp_cli.engine.plan import make_plan
    from bootcamp_cli.templates.template import Template

    manifest = run_dir.read_manifest()
    if manifest is None:
        raise ResumeRefusedError(f"{run_dir.path} has no manifest.json and cannot be resumed", hint="start a new run")
    template = Template(
        name=manifest.template.name,
        text=manifest.template.text,
        stop=manifest.template.stop,
        system_prompt=manifest.template.system_prompt,
        bos=manifest.template.bos,
        origin="the run",
    )
    inputs = _inputs(settings, tell)
    plan = make_plan(
        settings,
        template,
        sys_prompt=manifest.sys_prompt,
        started=manifest.files,
        inputs=inputs,
        check=_check_cancelled,
    )
    plan = replace(plan, redo_of=manifest.redo_of)
    _tell_about_data(plan, tell)
    return plan


def _inputs(settings: Settings, tell: "_Tell") -> "tuple[Input, ...]":
    """Where the test data is, with copies on this machine of what is elsewhere; ends where the task is cancelled."""
    from bootcamp_cli.engine.plan import given_places
    from bootcamp_cli.text import DataUrl

    places = given_places(settings)
    if not any(isinstance(place, DataUrl) for place in places):
        return tuple(place for place in places if isinstance(place, Path))
    from bootcamp_cli.dataset.remote import Fetching

    cache = _cache("test-data")
    fetching = Fetching(cache, exclude=settings.exclude, notify=tell.note, check=_check_cancelled)
    return tuple(fetching.fetch(place) if isinstance(place, DataUrl) else place for place in places)


def _check_cancelled() -> None:
    """Raise in a thread that works for a task which was cancelled; any other thread is interrupted itself."""
    from anyio import from_thread

    with contextlib.suppress(RuntimeError):
        from_thread.check_cancelled()


def _tell_about_data(plan: "Plan", tell: "_Tell") -> None:
    """Tell what is worth knowing about the test set and the bootcamps of a plan."""
    for warning in (*plan.test_set.warnings, *_of_chats(plan)):
        tell.warn(warning)
    if plan.settings.bootcamps == "upstream" and not any(
        ref and ref.origin == "upstream" for ref in plan.refs.values()
    ):
        tell.warn("bootcamps: upstream has no effect: no internbootcamp package with these data sources was found")
    if plan.test_set.skipped:
        tell.note(f"not test files, skipped: {', '.join(plan.test_set.skipped)}")


def _of_chats(plan: "Plan") -> list[str]:
    """What is not sent of rows that have a list of messages, or not sent with them."""
    n_chats = sum(file.n_chats for file in plan.test_set.files)
    if not n_chats:
        return []
    rows = f"{counted(n_chats, 'row')} with a list of messages as prompt"
    if plan.settings.api_mode == "completion":
        return [f"{rows}: completion mode sends the text of the last user message, rendered by the template, alone"]
    if plan.generation.sys_prompt is None:
        return []
    return [f"{rows}: chat mode sends the list as it is, without the system prompt of the settings or the template"]


# Runs


class Run:
    """A run directory: what it holds, and what can be done with it.

    `path` is the directory. It may be one of the reference script, which can be shown and rescored, but not resumed.
    """

    def __init__(self, path: Path, *, summary: "RunSummary | None" = None, settings: Settings | None = None) -> None:
        self.path = path
        self._summary = summary
        self._settings = settings

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def _run_dir(self) -> "RunDir":
        return open_run_dir(self.path)

    @property
    def summary(self) -> "RunSummary":
        """The averages, counts and bounds that the reports show, read from the details the first time.

        Raises:
            RunDirectoryError: the details cannot be read.
        """
        if self._summary is None:
            self._summary = _read(self._run_dir, _Tell(None)).summary
        return self._summary

    @property
    def scores(self) -> Path:
        """The workbook."""
        from bootcamp_cli.store.run_dir import RunDir

        return RunDir(self.path).scores(self.summary.model_name)

    def samples(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """The recorded samples, one to a row, in the order of file, row and repeat.

        `columns` names those wanted, by default all but the texts; see `bootcamp_cli.analysis.frames`.

        Raises:
            UsageError: there is no such column.
            RunDirectoryError: the details cannot be read.
        """
        from bootcamp_cli.analysis.frames import samples_frame

        return samples_frame(self._run_dir, columns)

    def failures(self) -> "pd.DataFrame":
        """The samples that ended without an answer, one to a row; see `bootcamp_cli.analysis.frames`.

        Raises:
            RunDirectoryError: failures or details cannot be read.
        """
        from bootcamp_cli.analysis.frames import failures_frame

        return failures_frame(self._run_dir)

    def resume(
        self,
        on_event: "Emit | None" = None,
        *,
        redo: Sequence[str] = (),
        stop: "StopRequest | None" = None,
        **changes: Any,
    ) -> "Run":
        """Continue the run; `changes` are fields of `Settings` that do not change the answers, such as `repeats`.

        `redo` names samples to ask for again: `failed`, `truncated`, `empty`, `filtered`, `unscored`, `FILE:ROW`,
        `FILE:ROW:REPEAT`. Their records are set aside in the folder `redone`. With a larger `max_tokens` among the
        changes this run stays as it is, and the run that is returned holds the redone samples only.

        What the directory stores masked (key, headers, credentials) is taken from the settings with which this object
        was made by `evaluate`, else from `changes`.

        Raises:
            ResumeRefusedError: `changes` or the test files would change the answers.
            BootcampError: as `evaluate` does.
        """
        return _blocking("resume", lambda: self.resume_async(on_event, redo=redo, stop=stop, **changes))

    async def resume_async(
        self,
        on_event: "Emit | None" = None,
        *,
        redo: Sequence[str] = (),
        stop: "StopRequest | None" = None,
        **changes: Any,
    ) -> "Run":
        """As `resume`, in the running event loop."""
        words = (redo,) if isinstance(redo, str) else tuple(redo)
        settings = await _aside(lambda: self._resolved_to_resume(changes, redo=bool(words)))
        return await resume_async(self, settings, on_event, redo=words, stop=stop)

    def export_batch(
        self,
        out: str | Path | None = None,
        on_event: "Emit | None" = None,
        *,
        redo: Sequence[str] = (),
        limits: "BatchLimits | None" = None,
        **changes: Any,
    ) -> "BatchExport":
        """Write what the run owes as files of requests for OpenAI's Batch API or `vllm run-batch`.

        They are put in `out`, by default the folder `batch` of the run directory, split by `limits`, and numbered on
        from those that are there. `changes` are as for `resume`. Nothing else is written, and nothing is sent.

        Raises:
            ResumeRefusedError: `changes` or the test files would change the answers.
            RunLockedError: another process is at the run.
            SettingsError: max_tokens is auto, and no server told the context length.
        """
        words = (redo,) if isinstance(redo, str) else tuple(redo)
        return continue_batch(self, self._resolved_to_resume(changes), out, on_event, redo=words, limits=limits)

    def import_batch(
        self,
        files: Sequence[str | Path],
        on_event: "Emit | None" = None,
        *,
        stop: "StopRequest | None" = None,
        **changes: Any,
    ) -> "Run":
        """Take the results of batches, in any order, as answers of this run, and verify them.

        Each is read as a reply over HTTP is: errors, and answers that the server cut off, are failures, and their
        samples stay owed. A result to another request than the run would make now is left out, as is one of a sample
        that has an answer.

        Raises:
            DatasetError: no line of the files is a result of this run; nothing was changed.
            BootcampError: as `resume` does.
        """
        resolved = self._resolved_to_resume(changes)
        return _blocking("import_batch", lambda: import_batch_async(self, resolved, files, on_event, stop=stop))

    def import_outputs(
        self,
        files: Sequence[str | Path],
        on_event: "Emit | None" = None,
        *,
        columns: "Mapping[str, str | None] | None" = None,
        stop: "StopRequest | None" = None,
        **changes: Any,
    ) -> "Run":
        """Take outputs that were generated elsewhere as answers of this run, and verify them.

        `columns` names the keys of a line, see `bootcamp_cli.engine.outputs.Columns`.

        Raises:
            DatasetError: no line of the files is an output to a question of this run; nothing was changed.
            BootcampError: as `resume` does.
        """
        resolved = self._resolved_to_resume(changes)
        return _blocking(
            "import_outputs", lambda: import_outputs_async(self, resolved, files, columns, on_event, stop=stop)
        )

    def _resolved_to_resume(self, changes: dict[str, Any], *, redo: bool = False) -> Resolved:
        checked = Settings(**changes)
        arguments = {name: getattr(checked, name) for name in changes}
        sources = Sources(flags={}, env={}, cwd=Path(), arguments=arguments, kept=self._settings)
        return self.settings_to_resume(sources, redo=redo)

    def settings_to_resume(self, sources: Sources, *, redo: bool = False) -> Resolved:
        """The settings that the run was started with, with the changes that `sources` may make to them.

        To `redo` samples, max_tokens may be another.

        Raises:
            ResumeRefusedError: this tool did not make the run directory, or a flag would change the answers.
            SettingsError: a value is wrong, or was masked and no source has it.
        """
        from bootcamp_cli.settings.stored import settings_from_eval_args

        run_dir = open_run_dir(self.path)
        args = run_dir.read_eval_args()
        if args is None or run_dir.read_manifest() is None:
            missing = "eval_args.json" if args is None else "manifest.json"
            raise ResumeRefusedError(f"{run_dir.path} has no {missing} and cannot be resumed", hint="start a new run")
        may_differ = ("max_tokens",) if redo else ()
        return settings_from_eval_args(args, place=str(run_dir.eval_args), sources=sources, may_differ=may_differ)

    def rescore(
        self, settings: Settings | None = None, on_event: "Emit | None" = None, *, dry_run: bool = False
    ) -> "Rescored":
        """Verify the kept outputs again, without any request, and write down by what; a dry run writes nothing.

        `settings` says which verifiers and which limits; of the others none counts.

        Raises:
            RunDirectoryError: a line is not a record with an output and a ground truth, or another process is writing.
            UsageError: nothing tells the data source of a record.
        """
        return _blocking("rescore", lambda: self.rescore_async(settings, on_event, dry_run=dry_run))

    async def rescore_async(
        self, settings: Settings | None = None, on_event: "Emit | None" = None, *, dry_run: bool = False
    ) -> "Rescored":
        """As `rescore`, in the running event loop."""
        return await _to_its_end(lambda: self._rescored(settings or Settings(), _Tell(on_event), dry_run=dry_run))

    async def _rescored(self, settings: Settings, tell: "_Tell", *, dry_run: bool) -> "Rescored":
        from bootcamp_cli.engine import rescore as engine
        from bootcamp_cli.engine.session import begin_rescoring, end_rescoring, in_thread
        from bootcamp_cli.store.lock import acquire

        run_dir = await _aside(open_run_dir, self.path)
        if dry_run:
            return await engine.rescore(run_dir, settings, None, emit=tell.on_event)
        lock = await _aside(lambda: acquire(run_dir.path, notify=tell.note))
        async with in_thread(lock):
            rescored = await engine.rescore(
                run_dir, settings, lock, lambda: begin_rescoring(run_dir, lock), emit=tell.on_event
            )
            self._summary = (await _aside(_publish, run_dir, lock, tell)).shown
            await _aside(end_rescoring, run_dir, settings, rescored.verifiers, self._summary, lock)
        return rescored

    def audit(self, settings: Settings | None = None) -> "Audit":
        """What the loss is made of: answers that scored 0 by cause, and bounds of what could be reached.

        Nothing is written and no score changes. Some causes are found by verifying other texts, a few for an answer at
        most; `settings` says by which verifiers and within which limits.

        Raises:
            RunDirectoryError: the details cannot be read.
            UsageError: nothing tells the data source of a record.
        """
        return _blocking("audit", lambda: self.audit_async(settings))

    async def audit_async(self, settings: Settings | None = None) -> "Audit":
        """As `audit`, in the running event loop."""
        return await _to_its_end(lambda: self._audited(settings or Settings()))

    async def _audited(self, settings: Settings) -> "Audit":
        from bootcamp_cli.analysis.audit import audit_run

        return await audit_run(await _aside(open_run_dir, self.path), settings)

    def export(
        self,
        format: str,  # noqa: A002 - the word of the command line
        out: str | Path | BinaryIO | None = None,
        on_event: "Emit | None" = None,
    ) -> "Exported":
        """Write the samples in the form of another tool: `csv`, `jsonl`, `parquet`, `inspect` or `lm-eval`.

        `out` is a file, which is replaced, a directory, or a binary stream; by default the working directory. Of a run
        that is not complete, what there is so far is written.

        Raises:
            UsageError: there is no such format, an extra is missing, or `out` cannot be written.
            RunDirectoryError: the run directory cannot be read.
        """
        from bootcamp_cli.exports.formats import export, export_format
        from bootcamp_cli.exports.source import Source

        form = export_format(format)
        run_dir, tell = self._run_dir, _Tell(on_event)
        source = Source(run_dir, lambda: _read(run_dir, tell))
        place = Path() if out is None else Path(out) if isinstance(out, str) else out
        exported = export(source, form, place)
        manifest = run_dir.read_manifest()
        if manifest is not None and not manifest.complete:
            n = counted(exported.n_samples, "sample")
            tell.warn(f"{self.path}: the run is not complete: the {n} that it has so far are exported")
        return exported

    def track(
        self,
        tracker: "str | Tracker",
        *,
        step: int | None = None,
        name: str | None = None,
        on_event: "Emit | None" = None,
    ) -> bool:
        """Log configuration and figures in an experiment tracker, `trackio` or `trackio:PROJECT`; True if it did.

        The run has the name of the directory there, or this `name`: checkpoints that are logged under one name, each at
        its `step`, make a curve. Whatever goes wrong in the tracker is told as a warning.

        Raises:
            UsageError: there is no such tracker, or it is not installed.
            RunDirectoryError: the run directory cannot be read.
        """
        from bootcamp_cli.analysis.contents import RunContents
        from bootcamp_cli.exports.source import Source
        from bootcamp_cli.exports.tracker import parse_tracker, track

        chosen = parse_tracker(tracker, run=name, step=step) if isinstance(tracker, str) else tracker
        run_dir, tell = self._run_dir, _Tell(on_event)
        contents = RunContents(  # read before the tracker is called, which is not at fault for what is wrong with it
            manifest=run_dir.read_manifest(),
            eval_args=run_dir.read_eval_args() or {},
            summary=self.summary,
            shown=self.summary,
            left_out=(),
        )
        try:
            logged = track(Source(run_dir, lambda: contents), chosen)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - anything may come from there
            text = shortened(f"{type(error).__name__}: {error}")
            again = f"`bootcamp report {shlex.quote(str(self.path))} --tracker {chosen.module}`"
            tell.warn(f"{chosen.module} failed ({text}): the run is kept, and {again} logs it again")
            return False
        tell.note(f"{chosen.module}: logged run {logged} in project {chosen.project}")
        return True

    def find_samples(
        self,
        *,
        status: "Status | str | None" = None,
        file: str | None = None,
        row: int | None = None,
        repeat: int | None = None,
        flipped_from: "str | Path | Run | None" = None,
        on_progress: "Progress | None" = None,
    ) -> Iterator["ShownSample"]:
        """The samples that fit, with everything that is kept of them, one after the other in the order of test files.

        `status` is what became of them: right, wrong, truncated, empty, filtered, unscored, unverified or failed.
        `flipped_from` is another run: samples of questions that most answers of one of the two got right and most of
        the other wrong. An index of the run is kept in the user's cache; `on_progress` is told how many bytes of how
        many are read for it.

        Raises:
            UsageError: there is no such status or file, or the runs have no question in common.
            RunDirectoryError: the details cannot be read.
        """
        from bootcamp_cli.analysis.samples import Filter, PairKind, RunSamples, pair_runs, parsed_status

        known = RunSamples(self._run_dir, _cache("samples"))
        known.refresh(on_progress or (lambda *_: None))
        samples = known.current
        wanted = Filter(
            status=None if status is None else parsed_status(status),
            file=None if file is None else samples.named_file(file),
            row=row,
            repeat=repeat,
            pairs=None if flipped_from is None else frozenset({PairKind.ONLY_A, PairKind.ONLY_B}),
        )
        pairing = None if flipped_from is None else pair_runs(self._run_dir, _opened(flipped_from))
        return map(samples.open, samples.select(wanted, pairing=pairing).tolist())

    def min_score(self, floor: float) -> "MinScore":
        """Whether the average score reaches a floor: pass, fail or undecided, by its 95 % interval.

        Raises:
            RunDirectoryError: the details cannot be read.
        """
        from bootcamp_cli.analysis.min_score import min_score

        return min_score(self._run_dir, self.summary, floor)

    def write_reports(
        self, on_event: "Emit | None" = None, *, right_at: float | None = None, audit: "Audit | None" = None
    ) -> None:
        """Rebuild meta.jsonl and the workbook from details, and read the summary anew.

        `right_at` is the least score of a right answer in the summary, by default 1; the files have that in any case.
        An `audit`, as `Run.audit` makes it, gets its sheet in the workbook.
        While a run writes, or where nothing can be written, it only reads, and says so.

        Raises:
            RunDirectoryError: the details cannot be read.
            UsageError: `right_at` is not a number.
        """
        self._rebuilt(_Tell(on_event), right_at, audit=audit)

    def write_page(
        self,
        path: str | Path | None = None,
        on_event: "Emit | None" = None,
        *,
        right_at: float | None = None,
        reports: bool = False,
        audit: "Audit | None" = None,
    ) -> Path:
        """Write a page to look at in a browser: one file that needs no network. Gives where it is.

        By default it is report.html in the run directory, or in the current directory where that cannot be written; it
        is written also while a run writes. `right_at` is as in `write_reports`; with `reports` these are rebuilt as
        well, from the same reading. It has the `audit`; where none is given, one is made of a run with up to 50,000
        scored answers.

        Raises:
            RunDirectoryError: the details cannot be read.
            UsageError: the page cannot be written to `path`, or what it needs is not installed.
        """
        return _blocking(
            "write_page",
            lambda: self.write_page_async(path, on_event, right_at=right_at, reports=reports, audit=audit),
        )

    async def write_page_async(
        self,
        path: str | Path | None = None,
        on_event: "Emit | None" = None,
        *,
        right_at: float | None = None,
        reports: bool = False,
        audit: "Audit | None" = None,
    ) -> Path:
        """As `write_page`, in the running event loop."""
        tell = _Tell(on_event)
        return await _to_its_end(lambda: self._paged(path, tell, right_at, reports=reports, audit=audit))

    async def _paged(
        self,
        path: str | Path | None,
        tell: "_Tell",
        right_at: float | None,
        *,
        reports: bool,
        audit: "Audit | None",
    ) -> Path:
        from bootcamp_cli.analysis.excerpts import ExcerptChooser

        await _aside(check_page, path)
        run_dir = await _aside(open_run_dir, self.path)
        chooser = ExcerptChooser()
        if reports:
            contents = await _aside(lambda: self._rebuilt(tell, right_at, chooser, audit))
        else:
            contents = await _aside(lambda: _read(run_dir, tell, right_at, chooser))
        audited = await self._audit_part(contents, audit)
        content = await _aside(lambda: _run_page(run_dir, contents, chooser, audited))
        return await _aside(lambda: _written_page(run_dir, content, path, tell))

    async def _audit_part(self, contents: "RunContents", audit: "Audit | None") -> "AuditPart":
        """The audit for a page; where none is given, it is made unless it would take minutes."""
        from bootcamp_cli.reports.html.run_page import AuditPart

        if audit is not None:
            return AuditPart(audit=audit)
        n = contents.shown.n_scored
        command = f"bootcamp audit {shlex.quote(self.path.name)}"
        if n > _MAX_AUDITED:
            return AuditPart(
                why_not=f"not made here, as {n:,} answers have a score and more than {_MAX_AUDITED:,} take long: "
                f"{command} shows it"
            )
        try:
            return AuditPart(audit=await self._audited(Settings()))
        except BootcampError as error:
            return AuditPart(why_not=f"not possible: {error.message}")

    def _rebuilt(
        self,
        tell: "_Tell",
        right_at: float | None = None,
        observer: "Observer | None" = None,
        audit: "Audit | None" = None,
    ) -> "RunContents":
        """Rebuild the reports as far as they can be written, and keep the summary; gives what was read."""
        from bootcamp_cli.store.lock import acquire

        if right_at is not None and not math.isfinite(right_at):
            raise UsageError(f"right_at: must be a number, got {right_at}")
        run_dir, but = open_run_dir(self.path), "" if observer is None else " but the page"
        if (manifest := run_dir.read_manifest()) is not None and manifest.rescoring:
            tell.warn(f"{run_dir.path}: a rescore has not come to its end: the scores may be of two kinds of verifiers")
        try:
            with acquire(run_dir.path, notify=tell.note) as lock:
                contents = _publish(run_dir, lock, tell, right_at, observer, audit)
        except RunLockedError as locked:
            tell.warn(f"{locked.message}: showing the results so far, writing nothing{but}")
            contents = _read(run_dir, tell, right_at, observer)
        except DiskError as error:
            contents = _read(run_dir, tell, right_at, observer)  # raises if it cannot be read either
            tell.warn(f"{error.message}: showing the results, writing nothing{but}")
        self._summary = contents.shown
        return contents


def open_run(path: str | Path) -> Run:
    """An existing run directory, possibly one of the reference script.

    Raises:
        RunDirectoryError: there is none.
    """
    return Run(open_run_dir(Path(path)).path)


def open_run_dir(path: Path) -> "RunDir":
    """The paths in an existing run directory.

    Raises:
        RunDirectoryError: there is none.
    """
    from bootcamp_cli.store import run_dir

    return run_dir.open_run_dir(path)


def merge(*runs: str | Path | Run, out: str | Path, on_event: "Emit | None" = None) -> Run:
    """Make one run directory of the shards of a run, as if one process had made all of it; the shards stay.

    What a shard still owes is owed by the merged run, and `Run.resume` goes on with it.

    Raises:
        UsageError: the runs are not all the shards of one run, each once, or `out` exists.
        RunDirectoryError: a shard cannot be read or a live process writes to it, or `out` cannot be written.
    """
    from bootcamp_cli.engine.merge import end_merging, merging, read_parts
    from bootcamp_cli.store.lock import acquire

    tell = _Tell(on_event)
    parts = read_parts([_opened(run) for run in runs])
    with merging(parts, Path(out), tell.warn) as run_dir, acquire(run_dir.path, notify=tell.note) as lock:
        contents = _publish(run_dir, lock, tell)
        _log_merged(run_dir, contents, lock)
        end_merging(run_dir, contents.summary, lock)
    return Run(Path(out), summary=contents.shown)


def _log_merged(run_dir: "RunDir", contents: "RunContents", lock: "RunLock") -> None:
    """Write progress.log as a run leaves it whose samples have ended, from the start of the first shard on."""
    from datetime import datetime

    from bootcamp_cli.events import FileTotal, RunEnded, RunStarted
    from bootcamp_cli.progress.log import progress_text
    from bootcamp_cli.progress.state import ProgressState
    from bootcamp_cli.store.atomic import replace_bytes
    from bootcamp_cli.types import TO_BE_VERIFIED

    done: dict[str, list[int]] = {}
    for group in contents.summary.groups:
        n_pending = sum(n for kind, n in group.unverified.items() if kind in TO_BE_VERIFIED)
        counts = done.setdefault(group.file, [0, 0])
        counts[0] += group.n
        counts[1] += group.n_answered - n_pending
    times = [0.0]
    state = ProgressState(lambda: times[-1])
    totals = tuple(FileTotal(name=file, n_samples=n, n_done_before=n_done) for file, (n, n_done) in done.items())
    state.handle(RunStarted(run_dir=str(run_dir.path), model_name="", files=totals, n_slots=1))
    if (manifest := contents.manifest) is not None and manifest.ended:
        with contextlib.suppress(ValueError):
            took = datetime.fromisoformat(manifest.ended) - datetime.fromisoformat(manifest.started)
            times.append(took.total_seconds())
    state.handle(RunEnded())
    replace_bytes(run_dir.progress_log, progress_text(state).encode(), lock.check)


def list_runs(output_dir: str | Path) -> "list[RunEntry]":
    """The run directories in a directory, the newest first: state, samples, score, time and size of each.

    One that cannot be read is an entry that says so.

    Raises:
        RunDirectoryError: the directory cannot be listed.
    """
    from bootcamp_cli.analysis import runs

    return runs.list_runs(Path(output_dir))


def removable_run(path: str | Path) -> "tuple[RunEntry, list[str]]":
    """What would be removed with a run directory, and the names in it that no run has put there.

    Raises:
        UsageError: it is no run directory, or a link to one.
        RunDirectoryError: it cannot be looked into, or a live process holds it.
    """
    from bootcamp_cli.analysis.runs import run_entry
    from bootcamp_cli.store.removal import check_removable, strangers

    run_dir = check_removable(Path(path))
    return run_entry(run_dir), strangers(run_dir.path)


def remove_run(path: str | Path, on_event: "Emit | None" = None) -> None:
    """Remove a run directory, holding its lock; links in it are removed, not followed.

    What is left of a removal that was cut off can be removed again.

    Raises:
        UsageError: it is no run directory, or a link to one.
        RunDirectoryError: a live process holds it, or something in it cannot be removed.
    """
    from bootcamp_cli.store import removal

    removal.remove_run(Path(path), notify=_Tell(on_event).note)


def newest_unfinished(output_dir: Path, on_event: "Emit | None" = None) -> Run:
    """The most recently started run that is not complete; warns about those that it has to skip.

    Raises:
        RunDirectoryError: there is none.
    """
    from bootcamp_cli.store.run_dir import age_key, check_output_dir, readable_runs

    if output_dir.exists():
        check_output_dir(output_dir)
    runs = readable_runs(output_dir, to_continue=True)
    unfinished = [(age_key(*run), run[0]) for run in runs if not run[1].complete]
    for _, run_dir in sorted(unfinished, key=lambda entry: entry[0], reverse=True):
        try:
            if run_dir.read_eval_args() is not None:
                return Run(run_dir.path)
            _Tell(on_event).warn(f"{run_dir.path} has no eval_args.json and is skipped")
        except DiskError as error:
            _Tell(on_event).warn(f"{error.message}: skipped")
    raise RunDirectoryError(f"no unfinished run under {output_dir}", hint="give the run directory or --output-dir")


def _publish(
    run_dir: "RunDir",
    lock: "RunLock",
    tell: "_Tell",
    right_at: float | None = None,
    observer: "Observer | None" = None,
    audit: "Audit | None" = None,
) -> "RunContents":
    """Write the reports from details, under the lock of the run directory; gives what was read, right at `right_at`.

    A meta.jsonl of the reference script is kept where it names bootcamps that nothing assigns to a file.
    """
    from bootcamp_cli.reports.forms import REPORTS, FileForm, write_report

    contents = _read(run_dir, tell, right_at, observer)
    reports = dict(REPORTS)
    if (unnamed := contents.unnamed_file) and run_dir.meta.exists():
        tell.warn(
            f"details/{unnamed}: its records have no data_source, and neither meta.jsonl nor the file's name tells it: "
            "the file's name stands in for the bootcamp, and meta.jsonl is left as it is"
        )
        del reports["meta"]
    parameters = _answer_parameters(contents)
    for form in reports.values():
        if isinstance(form, FileForm):
            write_report(form, run_dir, contents.summary, parameters, lock.check, audit=audit)
    return contents


def _run_page(run_dir: "RunDir", contents: "RunContents", chooser: "ExcerptChooser", audited: "AuditPart") -> bytes:
    """The page of a run."""
    from bootcamp_cli.reports.html.run_page import run_page
    from bootcamp_cli.store.timeline import read_timeline

    manifest, state = contents.manifest, ""
    if manifest is not None and manifest.rescoring:
        state = "a rescore has not come to its end: the scores may be of two kinds of verifiers"
    elif manifest is not None and not manifest.complete:
        state = "this run is not complete: it still goes on, or was interrupted (bootcamp resume continues it)"
    return run_page(
        contents,
        name=run_dir.path.resolve().name,
        chooser=chooser,
        audited=audited,
        parameters=_answer_parameters(contents),
        timeline=read_timeline(run_dir),
        state=state,
    )


def check_page(path: str | Path | None, option: str = "--html") -> None:
    """Check where a page is to be written, before anything else is done.

    Raises:
        UsageError: it is not the name of a page, or there is no such directory; or what pages need is not installed.
    """
    from bootcamp_cli.reports.html.document import require_html

    require_html()
    if path is None:
        return
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{option}: {path} is no name of a page", hint="give a file that ends in .html")
    if not Path(path).resolve().parent.is_dir():
        raise UsageError(f"{option}: {Path(path).parent} is not a directory", hint="make it, or choose another")


def _written_page(run_dir: "RunDir", content: bytes, path: str | Path | None, tell: "_Tell") -> Path:
    """Write the page of a run where it was asked for, else to its directory, else to the current one."""
    if path is not None:
        return _write_page(content, Path(path))
    from bootcamp_cli.store.atomic import replace_bytes

    try:
        replace_bytes(run_dir.page, content)
    except DiskError as error:
        elsewhere = Path(f"{run_dir.path.resolve().name}_{run_dir.page.name}")
        tell.warn(f"{error.message}: the page is {elsewhere}")
        return _write_page(content, elsewhere)
    return run_dir.page


def _write_page(content: bytes, path: Path) -> Path:
    from bootcamp_cli.store.atomic import replace_bytes

    try:
        replace_bytes(path, content)
    except DiskError as error:
        raise DiskError(error.message, hint="choose another place with --html FILE.html") from error
    return path


def _read(
    run_dir: "RunDir", tell: "_Tell", right_at: float | None = None, observer: "Observer | None" = None
) -> "RunContents":
    """What the run directory holds; warns about details that are left out."""
    from bootcamp_cli.analysis.contents import read_run
    from bootcamp_cli.analysis.summary import RIGHT_AT

    contents = read_run(run_dir, right_at=RIGHT_AT if right_at is None else right_at, observer=observer)
    for name in contents.left_out:
        tell.warn(f"details/{name} does not belong to any test file of this run and is left out: move it elsewhere")
    for warning in (_halves(contents), _repeats_alike(contents)):
        if warning:
            tell.warn(warning)
    return contents


def _halves(contents: "RunContents") -> str | None:
    """A warning about records of run_eval.py that are cut off in the middle."""
    if not contents.halves:
        return None
    places = [half.place for half in contents.halves if half.score is not None]
    lost = [half.place for half in contents.halves if half.score is None]
    parts = [f"{listed(places, _MAX_PLACES)} (counted with the score)"] if places else []
    parts += [f"{listed(lost, _MAX_PLACES)} (cut off before the score, not counted)"] if lost else []
    return f"{counted(len(contents.halves), 'half record')} as run_eval.py leaves them: {'; '.join(parts)}"


def _repeats_alike(contents: "RunContents") -> str | None:
    """A warning where sampling several times gave the same text for nearly every question."""
    n, n_alike = contents.summary.n_compared, contents.summary.n_alike
    temperature = contents.manifest.identity.get("temperature") if contents.manifest else None
    if n < _MIN_COMPARED or n_alike < _NEARLY_ALL * n or not isinstance(temperature, float) or not temperature:
        return None
    return (
        f"the repeats of {n_alike} of {n} questions are the same text at temperature {temperature:g}: "
        "something before the model caches answers, or the server ignores seeds"
    )


def _answer_parameters(contents: "RunContents") -> dict[str, Any]:
    """What made the answers, as far as the run directory knows: tool, server, and the parameters that decide them."""
    from bootcamp_cli.server.endpoint import lasting_url

    tool, url = contents.manifest and contents.manifest.tool, contents.eval_args.get("url")
    made_by: dict[str, Any] = {"tool": f"{tool.name} {tool.version}"} if tool else {}
    if isinstance(url, str):
        made_by["url"] = lasting_url(url)
    known = {**contents.eval_args, **(contents.manifest.identity if contents.manifest else {})}
    return made_by | {name: known[name] for name in listed_keys() if known.get(name) not in (None, [], {})}


# Comparisons


def compare(
    *runs: str | Path | Run,
    baseline: str | Path | Run | None = None,
    gates: Sequence[str] = (),
    aa: bool = False,
    threshold: float = 1.0,
) -> "ComparedRuns":
    """Compare runs question by question with a baseline, by default the first of them.

    Of three or more, each is also compared with the one before it: a curve. `aa` compares the halves of the repeats of
    one run. `gates` are requirements on the difference (`overall > -1%`). In flips a score is right from `threshold`
    on.

    Raises:
        UsageError: no question pairs; the number of runs is wrong; a gate cannot be judged.
        RunDirectoryError: a run cannot be read.
    """
    from bootcamp_cli.analysis.paired import parse_gate
    from bootcamp_cli.engine.comparing import compare_halves, compare_runs

    parsed = tuple(map(parse_gate, [gates] if isinstance(gates, str) else gates))
    opened = [_opened(run) for run in runs]
    if not aa:
        first = None if baseline is None else _opened(baseline)
        return compare_runs(opened, baseline=first, gates=parsed, threshold=threshold)
    if len(opened) != 1 or baseline is not None:
        raise UsageError("the halves of the repeats of one run are compared", hint="name that run alone")
    return compare_halves(opened[0], gates=parsed, threshold=threshold)


@contextlib.asynccontextmanager
async def view(*runs: str | Path | Run, settings: Settings | None = None, port: int = 0) -> AsyncIterator[str]:
    """Show the samples of one run, or of two side by side, on a page of this machine; yields its address.

    The page is there until the block ends. `settings` says by which verifiers the causes of wrong answers are found.

    Raises:
        RunDirectoryError: a run cannot be read.
        UsageError: the port is taken.
    """
    from bootcamp_cli.viewer.server import serve

    opened = await _aside(lambda: [_opened(run) for run in runs])
    async with serve(opened, settings or Settings(), port=port, cache=_cache("samples")) as url:
        yield url


def _cache(of: str) -> Path:
    """A folder of the user's cache: `samples` has indexes of samples, `test-data` copies of remote test files."""
    from platformdirs import user_cache_path

    return user_cache_path("bootcamp", appauthor=False) / of


def power(
    run: str | Path | Run | None = None,
    *,
    questions: int | None = None,
    repeats: int | None = None,
    discordance: float | None = None,
    difference: float | None = None,
) -> "Power":
    """Which differences comparing two runs would find with 80 %, and what a wished `difference` needs.

    Questions of each bootcamp, repeats and discordance (the share of questions whose score differs between two answers)
    come from the run where they are not given; without a run the bootcamps are the built-in ones.

    Raises:
        UsageError: there is neither a run nor a number of questions, or a value is out of range.
        RunDirectoryError: the run cannot be read.
    """
    from bootcamp_cli.engine.power import power_of

    return power_of(
        None if run is None else _opened(run),
        questions=questions,
        repeats=repeats,
        discordance=discordance,
        difference=difference,
    )


def gate_exit_code(outcomes: "Iterable[Outcome]", own: int = EXIT_OK) -> int:
    """5 where a gate failed, else 6 where one is undecided, else the command's own code; its errors come first."""
    from bootcamp_cli.analysis import paired

    return paired.gate_exit_code(outcomes, own)


def write_workbook(compared: "ComparedRuns", path: str | Path) -> None:
    """Write a comparison as a workbook.

    Raises:
        UsageError: the file cannot be written.
    """
    from bootcamp_cli.reports.comparison import comparison_workbook

    try:
        Path(path).write_bytes(comparison_workbook(compared))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def write_comparison_page(compared: "ComparedRuns", path: str | Path) -> None:
    """Write a comparison as a page to look at in a browser: one file that needs no network.

    Raises:
        UsageError: it cannot be written there, or what it needs is not installed.
        RunDirectoryError: a run cannot be read any more.
    """
    from functools import partial

    from bootcamp_cli.engine.comparing import flipped_answers

    check_page(path)
    from bootcamp_cli.reports.html.comparison_page import comparison_page

    _write_page(comparison_page(compared, partial(flipped_answers, compared)), Path(path))


def check_gates(gates: Sequence[str], against: str | Path | Run) -> None:
    """Check gates before an evaluation that has to pass them: their form, and the run to compare with.

    Raises:
        UsageError: a gate cannot be read or names an unknown family.
        RunDirectoryError: the run cannot be read.
    """
    from bootcamp_cli.engine import comparing

    comparing.check_gates(gates, _opened(against))


def _opened(run: str | Path | Run) -> "RunDir":
    return open_run_dir(run.path if isinstance(run, Run) else Path(run))


# What is told


class _Tell:
    """Tells `on_event` what is good to know, in the thread of the event loop, whichever thread finds it out."""

    def __init__(self, on_event: "Emit | None") -> None:
        self.on_event: Emit = on_event or (lambda _: None)
        self._thread = threading.get_ident()

    def note(self, text: str) -> None:
        """Tell what is good to know."""
        from bootcamp_cli.events import Noted

        self._tell(Noted(message=text))

    def warn(self, text: str) -> None:
        """Tell what is probably unintended."""
        from bootcamp_cli.events import Warned

        self._tell(Warned(message=text))

    def _tell(self, event: "Event") -> None:
        if threading.get_ident() == self._thread:
            self.on_event(event)
            return
        from anyio import from_thread

        from_thread.run_sync(self.on_event, event)


async def _to_its_end(work: Callable[[], Awaitable[_T]]) -> _T:
    """Do what writes in a task of its own; whoever cancels this one waits until nothing is written any more.

    In the task that it cancels, asyncio's own `cancel` interrupts even what is shielded, and waits for no thread.
    """
    import anyio

    results: list[_T] = []

    async def do() -> None:
        results.append(await work())

    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do)
    return results[0]


async def _aside(function: Callable[..., _T], *args: Any) -> _T:
    """Call what blocks in a thread."""
    from anyio import to_thread

    return await to_thread.run_sync(function, *args)


def _blocking(name: str, work: Callable[[], Awaitable[_T]]) -> _T:
    """Do in an event loop of its own what waits for servers and verifiers; KeyboardInterrupt cancels it.

    For the main thread the loop runs in another: here asyncio would put a handler of its own in the place of SIGINT's.

    Raises:
        UsageError: a loop runs in this thread already.
    """
    import asyncio

    import anyio
    from anyio.from_thread import start_blocking_portal

    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise UsageError(f"{name}: an event loop runs in this thread", hint=f"use `await {name}_async(...)` there")
    if threading.current_thread() is not threading.main_thread():
        return anyio.run(work)
    with start_blocking_portal() as portal:
        doing = portal.start_task_soon(work)
        try:
            return doing.result()
        except BaseException:
            doing.cancel()  # leaving the block waits for its end
            raise


# The server


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """The model as the server lists it, and the answer to a short completion if one was requested."""

    entry: "ModelEntry"
    probe: "ProbeResult | None"


def check_model(
    settings: Settings | Resolved, on_event: "Emit | None" = None, *, with_probe: bool = False
) -> ModelCheck:
    """Wait until the server offers the model; `with_probe` asks for one short completion as well.

    Of several servers it is the first that is ready; `check_endpoints` tells of each.

    Raises:
        ServerUnavailableError: the model is not available in time, or the probe failed.
        SettingsError: a model name is needed.
    """
    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    generation = _checking(resolved.settings)
    with _naming_key(resolved):
        return _blocking(
            "check_model", lambda: _checked(resolved.settings, generation, _Tell(on_event), with_probe=with_probe)
        )


def _checking(settings: Settings) -> "GenerationConfig":
    """What a check sends of the settings."""
    from bootcamp_cli.server.request import GenerationConfig

    return GenerationConfig(
        api_mode=settings.api_mode,
        sent={
            "model": settings.model_name or "",
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        },
        extra_body=settings.extra_body,
        max_tokens_field=settings.max_tokens_field,
        omit=settings.omit,
    )


def check_endpoints(
    settings: Settings | Resolved, on_event: "Emit | None" = None, *, with_probe: bool = False
) -> "dict[str, ModelCheck | BootcampError]":
    """As `check_model` of each of several servers, by base URL without credentials: what it offers, or what is wrong.

    Raises:
        SettingsError: the settings do not say which servers, or hold what cannot be used.
    """
    resolved = settings if isinstance(settings, Resolved) else resolved_arguments(settings)
    return _blocking(
        "check_endpoints",
        lambda: _each_checked(resolved.settings, _checking(resolved.settings), _Tell(on_event), with_probe=with_probe),
    )


async def _each_checked(
    settings: Settings, generation: "GenerationConfig", tell: _Tell, *, with_probe: bool
) -> "dict[str, ModelCheck | BootcampError]":
    import anyio

    from bootcamp_cli.server.replicas import open_replicas

    async with open_replicas(settings, generation) as replicas:
        found: dict[str, ModelCheck | BootcampError] = {
            target.base_url: UsageError("") for target in replicas.endpoints
        }

        async def check(target: "Endpoint") -> None:
            try:
                client = await replicas.open(target)
                found[target.base_url] = await _checked_at(client, settings, tell, with_probe=with_probe)
            except BootcampError as error:
                found[target.base_url] = error

        async with anyio.create_task_group() as tasks:
            for target in replicas.endpoints:
                tasks.start_soon(check, target)
    return found


async def _checked(settings: Settings, generation: "GenerationConfig", tell: _Tell, *, with_probe: bool) -> ModelCheck:
    """The check of the server, of several of the first that is ready."""
    from bootcamp_cli.server.replicas import first_of, open_replicas

    async with open_replicas(settings, generation) as replicas:
        check, target = await first_of(
            replicas, lambda client: _checked_at(client, settings, tell, with_probe=with_probe)
        )
    return replace(check, entry=replace(check.entry, endpoint=target))


async def _checked_at(client: "CompletionClient", settings: Settings, tell: _Tell, *, with_probe: bool) -> ModelCheck:
    from bootcamp_cli.server.failures import AttemptFailed, has_no_list, is_refusal
    from bootcamp_cli.server.health import PROBE_PROMPT, probe, refuse_wrong_mode, wait_for_model
    from bootcamp_cli.server.request import way_around

    entry = await wait_for_model(
        client,
        settings.model_name,
        wait_s=settings.wait,
        poll_interval_s=settings.poll_interval,
        notify=tell.note,
    )
    if not with_probe:
        return ModelCheck(entry=entry, probe=None)
    client.config = client.config.sending(model=entry.name)
    try:
        return ModelCheck(entry=entry, probe=await probe(client, PROBE_PROMPT))
    except AttemptFailed as failure:
        url = client.endpoint.base_url
        if failure.status == HTTPStatus.UNAUTHORIZED:
            raise KeyRefusedError(f"{url}: the probe failed: {failure.message}", hint="check the key") from failure
        if has_no_list(failure):
            await refuse_wrong_mode(client, failure)
        way = way_around(failure.message) if is_refusal(failure) else None
        raise ServerUnavailableError(
            f"{url}: the probe failed: {failure.message}", hint=f"try {way}" if way else ""
        ) from failure


# Settings, templates and bootcamps


def read_settings(sources: Sources) -> Resolved:
    """Merge and check the settings of the command line.

    Raises:
        SettingsError: a value, a key, a file or a profile is wrong; the message names the place.
    """
    return load_settings(sources)


def list_templates(resolved: Resolved) -> "list[Template]":
    """The built-in templates and those of the settings files."""
    from bootcamp_cli.templates.catalog import template_catalog

    return list(template_catalog(resolved.templates).values())


def find_template(resolved: Resolved, name: str, place: str) -> "Template":
    """The template with this name; `place` is where the name was given.

    Raises:
        SettingsError: there is none.
    """
    from bootcamp_cli.templates.catalog import choose, template_catalog

    return choose(template_catalog(resolved.templates), name, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBootcamp:
    """A data source that can be verified: where its verifier comes from, its family and the highest average scores.

    `family` is None for what is not built in, `ceiling` for what is not in the public test set.
    """

    ref: "BootcampRef"
    family: str | None
    ceiling: "Ceiling | None"


def list_bootcamps(settings: Settings) -> list[KnownBootcamp]:
    """The data sources that can be verified."""
    from bootcamp_cli.bootcamps.registry import CATALOG, Resolver, ceilings

    limits = ceilings()
    known = []
    for ref in Resolver(settings.bootcamps, settings.bootcamps_path).known():
        entry = CATALOG.get(ref.data_source)
        family = entry.family if entry and ref.origin == "builtin" else None
        known.append(KnownBootcamp(ref=ref, family=family, ceiling=limits.get(ref.data_source)))
    return known


def verify_bootcamps(golden_dir: Path, eval_dir: Path, settings: Settings) -> "list[Agreement]":
    """Check the bootcamps against golden cases: outputs with known verdicts.

    Raises:
        DatasetError: a golden file or a test file cannot be read.
    """
    from bootcamp_cli.verification.golden import verify_golden

    return _blocking("verify_bootcamps", lambda: verify_golden(golden_dir, eval_dir, settings))
