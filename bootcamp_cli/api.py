"""What the tool does, without a command line: plan -> check the server -> run -> settle -> publish.

Functions take settings and a `Listener` and return data. They print nothing and neither end the process nor change its
settings. Each imports what it needs, so that looking up a template does not load the engine.
"""

import contextlib
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bootcamp_cli.errors import (
    BootcampError,
    DiskError,
    ResumeRefusedError,
    RunDirectoryError,
    RunLockedError,
    ServerUnavailableError,
    SettingsError,
)
from bootcamp_cli.settings.model import EvalSettings, listed_keys
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import RunContents, RunSummary
    from bootcamp_cli.bootcamps.registry import Ceiling
    from bootcamp_cli.engine.plan import Plan
    from bootcamp_cli.engine.rescore import Rescored
    from bootcamp_cli.engine.session import Session
    from bootcamp_cli.progress.display import Display
    from bootcamp_cli.progress.state import ProgressState
    from bootcamp_cli.server.health import ModelEntry, ProbeResult
    from bootcamp_cli.server.request import GenerationConfig
    from bootcamp_cli.store.lock import RunLock
    from bootcamp_cli.store.run_dir import RunDir
    from bootcamp_cli.templates.template import Template
    from bootcamp_cli.types import BootcampRef
    from bootcamp_cli.verification.golden import Agreement


class Listener(Protocol):
    """Receives messages for the user, one line at a time."""

    def notify(self, text: str) -> None:
        """Take a message that is good to know."""

    def warn(self, text: str) -> None:
        """Take a message about something that is probably unintended."""


StartDisplay = Callable[["ProgressState"], "Display"]
"""Called once, when the requests of a run are about to begin; returns the display that shows them."""


# Settings


def read_settings(sources: Sources) -> Resolved:
    """Merge and check the settings.

    Raises:
        SettingsError: a value, a key, a file or a profile is wrong; the message names the place.
    """
    return load_settings(sources)


def read_run_settings(run_dir: "RunDir", sources: Sources) -> Resolved:
    """The settings that a run was started with, with the changes that `sources` may make to them.

    Raises:
        ResumeRefusedError: the run directory was not made by this tool, or a flag would change the answers.
        SettingsError: a value is wrong, or was masked and no source has it.
    """
    from bootcamp_cli.settings.stored import settings_from_eval_args

    args = run_dir.read_eval_args()
    if args is None or run_dir.read_manifest() is None:
        missing = "eval_args.json" if args is None else "manifest.json"
        raise ResumeRefusedError(f"{run_dir.path} has no {missing} and cannot be resumed", hint="start a new run")
    return settings_from_eval_args(args, place=str(run_dir.eval_args), sources=sources)


# Evaluations


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run directory with its reports written: `summary` is what they show."""

    run_dir: "RunDir"
    summary: "RunSummary"

    @property
    def scores(self) -> Path:
        """The workbook."""
        return self.run_dir.scores(self.summary.model_name)


def plan_evaluation(resolved: Resolved, listener: Listener) -> "Plan":
    """The plan of a new evaluation; warns about what is probably unintended in the settings and the test dir.

    Raises:
        UsageError: settings, template, test dir or bootcamps do not allow an evaluation.
    """
    from bootcamp_cli.engine.plan import make_plan
    from bootcamp_cli.settings.warnings import mode_warnings, template_note
    from bootcamp_cli.templates.catalog import choose, template_catalog

    settings = resolved.settings
    template = choose(template_catalog(resolved.templates), settings.template, resolved.origins["template"].text)
    for warning in mode_warnings(resolved, template_system_prompt=template.system_prompt):
        listener.warn(warning)
    if note := template_note(resolved):
        listener.notify(note)
    sys_prompt = settings.sys_prompt
    if sys_prompt is None and resolved.chosen("template"):
        sys_prompt = template.system_prompt
    plan = make_plan(settings, template, sys_prompt=sys_prompt)
    _tell_about_data(plan, listener)
    return plan


def plan_continuation(run_dir: "RunDir", settings: EvalSettings, listener: Listener) -> "Plan":
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
        origin="the run",
    )
    plan = make_plan(settings, template, sys_prompt=manifest.sys_prompt)
    _tell_about_data(plan, listener)
    return plan


def _tell_about_data(plan: "Plan", listener: Listener) -> None:
    """Tell the user what is worth knowing about the test set and the bootcamps of a plan."""
    for warning in plan.test_set.warnings:
        listener.warn(warning)
    if plan.settings.bootcamps == "upstream" and not any(
        ref and ref.origin == "upstream" for ref in plan.refs.values()
    ):
        listener.warn("bootcamps: upstream has no effect: no internbootcamp package with these data sources was found")
    if plan.test_set.skipped:
        listener.notify(f"not test files, skipped: {', '.join(plan.test_set.skipped)}")


def evaluate(plan: "Plan", listener: Listener, start_display: StartDisplay) -> Run:
    """Evaluate in a new run directory or, with `resume`, in the newest one whose answers would be the same.

    Raises:
        SettingsError: there is no model name, and the server may not be asked for it.
        ServerUnavailableError: the server is gone, refuses the key, or refuses every request alike.
        InterruptedRunError: a signal ended the run early.
        RunDirectoryError: the run directory cannot be written, or was taken over.
    """
    from bootcamp_cli.engine.session import find_matching, new_session

    settings = plan.settings
    entry = None
    if settings.model_name is None:
        entry = _model_of(plan, listener)
        plan = plan.with_model(entry.name)
    if settings.resume:
        if found := find_matching(plan):
            return resume(plan, found, listener, start_display)
        listener.notify("nothing to resume: starting a new run")
    entry = entry or _model_of(plan, listener)
    with new_session(plan, entry.raw, listener.notify) as session:
        return _run(session, listener, start_display)


def resume(plan: "Plan", run_dir: "RunDir", listener: Listener, start_display: StartDisplay) -> Run:
    """Continue a run directory; where nothing is owed, its reports are rebuilt without contacting the server.

    Raises:
        ResumeRefusedError: the test files, or the settings that decide the answers, are not the run's.
        BootcampError: as `evaluate` does.
    """
    from bootcamp_cli.engine.session import resumed_session

    with resumed_session(plan, run_dir, listener.notify) as session:
        if not session.n_owed:
            listener.notify(f"{run_dir.path} is finished: nothing is owed")
            session.begin()
            return _conclude(session, listener)
        listener.notify(f"continuing {run_dir.path}: {session.n_owed} of {plan.test_set.n_rows} samples are owed")
        if any(session.n_unanswered(file) for file in plan.test_set.files):
            _model_of(plan, listener)
        session.begin()
        return _run(session, listener, start_display)


def _model_of(plan: "Plan", listener: Listener) -> "ModelEntry":
    """Wait for the model, unless told not to; warn where max_tokens leaves no room for a prompt."""
    from bootcamp_cli.server.health import ModelEntry

    settings = plan.settings
    if not settings.check_model_url:
        if not settings.model_name:
            raise SettingsError("no model name", hint="give --model-name or set check_model_url")

        return ModelEntry(name=settings.model_name, max_model_len=None, raw=None, listed=False)
    entry = _check(settings, plan.generation, listener, with_probe=False).entry
    if entry.max_model_len is not None and settings.max_tokens >= entry.max_model_len:
        listener.warn(
            f"max_tokens {settings.max_tokens} is not below the model's length of {entry.max_model_len} tokens: "
            "prompt and answer together must fit, and most servers refuse such requests"
        )
    return entry


def _run(session: "Session", listener: Listener, start_display: StartDisplay) -> Run:
    """Run, settle what was written whatever happens, and report if the run reached its end."""
    import anyio

    from bootcamp_cli.progress.state import ProgressState

    state = ProgressState(time.monotonic)
    display = start_display(state)
    try:
        anyio.run(_run_shown, session, state, display)
    except BootcampError as error:
        if not isinstance(error, RunDirectoryError):
            session.settle()
            session.end()
        _tell_how_to_go_on(error, session.run_dir)
        raise
    return _conclude(session, listener)


async def _run_shown(session: "Session", state: "ProgressState", display: "Display") -> None:
    """Run with its displays: the given one and progress.log."""
    import anyio

    from bootcamp_cli.engine.events import Warned
    from bootcamp_cli.engine.run import run
    from bootcamp_cli.progress.display import Board
    from bootcamp_cli.progress.log import ProgressLog
    from bootcamp_cli.server.client import open_client

    log = ProgressLog(
        session.run_dir.progress_log,
        state,
        check=session.journal.lock.check,
        warn=lambda text: display.handle(Warned(message=text)),
    )
    board = Board(state, display, log)
    error: BootcampError | None = None
    async with (
        open_client(session.plan.settings, session.plan.generation) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(display.run)
        tasks.start_soon(log.run)
        try:
            await run(session, client, board.handle)
        except BootcampError as known:
            error = known
    if error is not None:
        raise error


def _tell_how_to_go_on(error: BootcampError, run_dir: "RunDir") -> None:
    """Put the command that continues the run into the error's hint."""
    command = f"`bootcamp resume {shlex.quote(str(run_dir.path))}`"
    general = "`bootcamp resume`"
    hint = error.hint or f"continue with {general}"
    error.hint = hint.replace(general, command) if general in hint else f"{hint}, then {command}"


def _conclude(session: "Session", listener: Listener) -> Run:
    """Settle what was written and write the reports."""
    session.settle()
    summary = _publish(session.run_dir, session.journal.lock, listener)
    session.end()
    return Run(run_dir=session.run_dir, summary=summary)


# Run directories


def open_run_dir(path: Path) -> "RunDir":
    """An existing run directory, possibly one of the reference script.

    Raises:
        RunDirectoryError: there is none.
    """
    from bootcamp_cli.store import run_dir

    return run_dir.open_run_dir(path)


def newest_unfinished(output_dir: Path, listener: Listener) -> "RunDir":
    """The most recently started run directory that is not complete; warns about those that it has to skip.

    Raises:
        RunDirectoryError: there is none.
    """
    from bootcamp_cli.store.run_dir import run_dirs_newest_first

    for run_dir in run_dirs_newest_first(output_dir):
        manifest = run_dir.read_manifest()
        if manifest is not None and manifest.complete:
            continue
        if run_dir.read_eval_args() is not None:
            return run_dir
        listener.warn(f"{run_dir.path} has no eval_args.json and is skipped")
    raise RunDirectoryError(f"no unfinished run under {output_dir}", hint="give the run directory or --output-dir")


def report(run_dir: "RunDir", listener: Listener) -> "RunSummary":
    """Rebuild meta.jsonl and the workbook from details; while a run writes, or where nothing can be written, only read.

    Raises:
        RunDirectoryError: the details cannot be read.
    """
    from bootcamp_cli.store.lock import acquire

    try:
        with acquire(run_dir.path, notify=listener.notify) as lock:
            return _publish(run_dir, lock, listener)
    except RunLockedError as locked:
        listener.warn(f"{locked.message}: showing the results so far, writing nothing")
    except DiskError as error:
        summary = _read(run_dir, listener).summary  # raises if it cannot be read either
        listener.warn(f"{error.message}: showing the results, writing nothing")
        return summary
    return _read(run_dir, listener).summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescoring:
    """What verifying again did, or would do, and what the run directory holds afterwards."""

    rescored: "Rescored"
    summary: "RunSummary"


def rescore(run_dir: "RunDir", settings: EvalSettings, listener: Listener, *, dry_run: bool) -> Rescoring:
    """Verify the kept outputs of a run directory again, without any request; a dry run writes nothing.

    Raises:
        RunDirectoryError: a line is not a record with an output and a ground truth, or another process is writing.
        UsageError: nothing tells the data source of a record.
    """
    import anyio

    from bootcamp_cli.engine import rescore as engine
    from bootcamp_cli.engine.session import restate_completeness
    from bootcamp_cli.store.lock import acquire

    with contextlib.nullcontext() if dry_run else acquire(run_dir.path, notify=listener.notify) as lock:
        rescored = anyio.run(engine.rescore, run_dir, settings, lock)
        if lock is None:
            return Rescoring(rescored=rescored, summary=_read(run_dir, listener).summary)
        summary = _publish(run_dir, lock, listener)
        restate_completeness(run_dir, summary, lock)
    return Rescoring(rescored=rescored, summary=summary)


def _publish(run_dir: "RunDir", lock: "RunLock", listener: Listener) -> "RunSummary":
    """Write the reports from details, under the lock of the run directory.

    A meta.jsonl of the reference script is kept where it names bootcamps that nothing assigns to a file.
    """
    from bootcamp_cli.reports.forms import REPORTS, FileForm, write_report

    contents = _read(run_dir, listener)
    reports = dict(REPORTS)
    if (unnamed := contents.unnamed_file) and run_dir.meta.exists():
        listener.warn(
            f"details/{unnamed}: its records have no data_source, and neither meta.jsonl nor the file's name tells it: "
            "the file's name stands in for the bootcamp, and meta.jsonl is left as it is"
        )
        del reports["meta"]
    parameters = _answer_parameters(contents)
    for form in reports.values():
        if isinstance(form, FileForm):
            write_report(form, run_dir, contents.summary, parameters, lock.check)
    return contents.summary


def _read(run_dir: "RunDir", listener: Listener) -> "RunContents":
    """What the run directory holds; warns about details that are left out."""
    from bootcamp_cli.analysis.summary import read_run

    contents = read_run(run_dir)
    for name in contents.left_out:
        listener.warn(f"details/{name} does not belong to any test file of this run and is left out: move it elsewhere")
    return contents


def _answer_parameters(contents: "RunContents") -> dict[str, Any]:
    """The parameters that decide the answers, as far as the run directory knows them."""
    known = {**contents.eval_args, **(contents.manifest.identity if contents.manifest else {})}
    return {name: known[name] for name in listed_keys() if known.get(name) not in (None, [], {})}


# The server


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """The model as the server lists it, and the answer to a short completion if one was requested."""

    entry: "ModelEntry"
    probe: "ProbeResult | None"


def check_model(settings: EvalSettings, listener: Listener, *, with_probe: bool) -> ModelCheck:
    """Wait until the server offers the model; `with_probe` asks for one short completion as well.

    Raises:
        ServerUnavailableError: the model is not available in time, or the probe failed.
        SettingsError: a model name is needed.
    """
    from bootcamp_cli.server.request import GenerationConfig

    generation = GenerationConfig(
        api_mode=settings.api_mode,
        sent={
            "model": settings.model_name or "",
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        },
        extra_body=settings.extra_body,
    )
    return _check(settings, generation, listener, with_probe=with_probe)


def _check(
    settings: EvalSettings, generation: "GenerationConfig", listener: Listener, *, with_probe: bool
) -> ModelCheck:
    import anyio

    from bootcamp_cli.server.client import open_client
    from bootcamp_cli.server.failures import AttemptFailed
    from bootcamp_cli.server.health import PROBE_PROMPT, probe, wait_for_model

    async def ask() -> ModelCheck:
        async with open_client(settings, generation) as client:
            entry = await wait_for_model(
                client,
                settings.model_name,
                wait_s=settings.wait,
                poll_interval_s=settings.poll_interval,
                notify=listener.notify,
            )
            if not with_probe:
                return ModelCheck(entry=entry, probe=None)
            client.config = generation.sending(model=entry.name)
            try:
                return ModelCheck(entry=entry, probe=await probe(client, PROBE_PROMPT))
            except AttemptFailed as failure:
                url = client.endpoint.base_url
                raise ServerUnavailableError(f"{url}: the probe failed: {failure.message}") from failure

    return anyio.run(ask)


# Templates and bootcamps


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


def list_bootcamps(settings: EvalSettings) -> list[KnownBootcamp]:
    """The data sources that can be verified."""
    from bootcamp_cli.bootcamps.registry import CATALOG, Resolver, ceilings

    limits = ceilings()
    known = []
    for ref in Resolver(settings.bootcamps, settings.bootcamps_path).known():
        entry = CATALOG.get(ref.data_source)
        family = entry.family if entry and ref.origin == "builtin" else None
        known.append(KnownBootcamp(ref=ref, family=family, ceiling=limits.get(ref.data_source)))
    return known


def verify_bootcamps(golden_dir: Path, eval_dir: Path, settings: EvalSettings) -> "list[Agreement]":
    """Check the bootcamps against golden cases: outputs with known verdicts.

    Raises:
        DatasetError: a golden file or a test file cannot be read.
    """
    import anyio

    from bootcamp_cli.verification.golden import verify_golden

    return anyio.run(verify_golden, golden_dir, eval_dir, settings)
