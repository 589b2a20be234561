"""An evaluation from plan to report: what `eval`, `resume` and `demo` share, top-down."""

import gc
import os
import shlex
import sys
import time

import anyio

from bootcamp_cli.analysis.summary import RunSummary
from bootcamp_cli.cli.console import Console
from bootcamp_cli.cli.process import raise_open_file_limit
from bootcamp_cli.engine.events import Warned
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import Session, find_matching, new_session, resumed_session
from bootcamp_cli.errors import EXIT_INCOMPLETE, EXIT_OK, BootcampError, RunDirectoryError, SettingsError
from bootcamp_cli.progress.display import Board, choose_display
from bootcamp_cli.progress.log import ProgressLog
from bootcamp_cli.progress.state import ProgressState
from bootcamp_cli.server.client import open_client
from bootcamp_cli.server.health import ModelEntry, wait_for_model
from bootcamp_cli.store.run_dir import RunDir

_DESCRIPTORS_BESIDE_CONNECTIONS = 256


def evaluate(plan: Plan, console: Console) -> int:
    """Evaluate in a new run directory or, with `--resume`, in the newest one whose answers would be the same."""
    settings = plan.settings
    entry = None
    if settings.model_name is None:
        entry = check_model(plan, console)
        plan = plan.with_model(entry.name)
    if settings.resume:
        if found := find_matching(plan):
            return resume(plan, found, console)
        console.notice("nothing to resume: a new run is started")
    entry = entry or check_model(plan, console)
    with new_session(plan, entry.raw, console.notice) as session:
        return run_session(session, console)


def resume(plan: Plan, run_dir: RunDir, console: Console) -> int:
    """Continue a run directory; where nothing is owed its reports are rebuilt without asking the server."""
    with resumed_session(plan, run_dir, console.notice) as session:
        if not session.n_owed:
            console.notice(f"{run_dir.path} is finished: nothing is owed")
            session.begin()
            return conclude(session, console)
        console.notice(f"continuing {run_dir.path}: {session.n_owed} of {plan.test_set.n_rows} samples are owed")
        if any(session.n_unanswered(file) for file in plan.test_set.files):
            check_model(plan, console)
        session.begin()
        return run_session(session, console)


def check_model(plan: Plan, console: Console) -> ModelEntry:
    """Wait for the model, unless told not to; warn where it cannot give as many tokens as may be asked for."""
    settings = plan.settings
    if not settings.check_model_url:
        if not settings.model_name:
            raise SettingsError("no model name", hint="give --model-name, or let the server be asked (check_model_url)")
        return ModelEntry(name=settings.model_name, max_model_len=None, raw=None, listed=False)

    async def ask() -> ModelEntry:
        async with open_client(settings, plan.generation) as client:
            return await wait_for_model(
                client,
                settings.model_name,
                wait_s=settings.wait,
                poll_interval_s=settings.poll_interval,
                notify=console.notice,
            )

    entry = anyio.run(ask)
    if entry.max_model_len is not None and settings.max_tokens >= entry.max_model_len:
        console.warn(
            f"max_tokens {settings.max_tokens} is not below the model's length of {entry.max_model_len} tokens: "
            "prompt and answer together must fit, most servers refuse such requests"
        )
    return entry


def run_session(session: Session, console: Console) -> int:
    """Run, whatever happens settle what was written, and report where the run came to its end."""
    warning = raise_open_file_limit(session.plan.settings.max_concurrent_requests + _DESCRIPTORS_BESIDE_CONNECTIONS)
    if warning:
        console.warn(warning)
    _calm_collector()
    try:
        anyio.run(_run_with_displays, session, console)
    except BootcampError as error:
        if not isinstance(error, RunDirectoryError):
            session.settle()
            session.end()
        _tell_how_to_go_on(error, session.run_dir)
        raise
    return conclude(session, console)


def _calm_collector() -> None:
    """Let the garbage collector look seldom: samples are trees that free themselves, and walking them costs a tenth."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _run_with_displays(session: Session, console: Console) -> None:
    state = ProgressState(time.monotonic)
    display = choose_display(state, stream=sys.stderr, quiet=console.quiet, env=os.environ)
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


def conclude(session: Session, console: Console) -> int:
    """Settle what was written, write the reports and print them; the exit code says whether anything is missing."""
    from bootcamp_cli.cli.reporting import print_report, publish  # openpyxl takes 140 ms, and waits for its turn

    session.settle()
    summary = publish(session.run_dir, session.journal.lock, console)
    session.end()
    print_report(session.run_dir, summary, console)
    return exit_code(summary, allow_unscored=session.plan.settings.allow_unscored)


def exit_code(summary: RunSummary, *, allow_unscored: bool) -> int:
    """0 where every sample has its score, or was allowed to have none; else 3."""
    n_lacking = summary.n_samples - summary.n_scored
    if allow_unscored:
        n_lacking -= summary.unverified.get("unscored", 0)
    return EXIT_INCOMPLETE if n_lacking else EXIT_OK


def _tell_how_to_go_on(error: BootcampError, run_dir: RunDir) -> None:
    """Put the command that continues the run into the error's hint."""
    command = f"`bootcamp resume {shlex.quote(str(run_dir.path))}`"
    general = "`bootcamp resume`"
    hint = error.hint or f"continue with {general}"
    error.hint = hint.replace(general, command) if general in hint else f"{hint}, then {command}"
