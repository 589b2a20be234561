"""`bootcamp resume`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import (
    ALL_SETTINGS,
    Call,
    GateAgainstOption,
    GateOption,
    HtmlOption,
    RedoOption,
    TrackerOption,
    TrackerRunOption,
    TrackerStepOption,
    command,
)


@command(
    settings=ALL_SETTINGS,
    rest="run",
    example="bootcamp resume\nbootcamp resume output/r1_32B_tests_20260101_120000 --max-concurrent-requests 64",
)
def resume_command(  # noqa: PLR0913, PLR0917 - the options of the command
    call: Call,
    run_dir: Annotated[
        str | None,
        typer.Argument(metavar="RUN_DIR", help="the run directory; without it the newest unfinished one in output_dir"),
    ] = None,
    redo: RedoOption = None,
    gate: GateOption = None,
    gate_against: GateAgainstOption = None,
    tracker: TrackerOption = None,
    tracker_step: TrackerStepOption = None,
    tracker_run: TrackerRunOption = None,
    html: HtmlOption = None,
) -> int:
    """Continue an interrupted run with the settings that it was started with.

    Samples without an answer are sent again, and answers that still lack a verdict are verified. Options that are not
    given are as before; environment and settings files only supply what was stored masked. Only options that do not
    change the answers may differ: url, key, headers, timeout, concurrency, retries, waiting, streaming, verification
    limits, TLS, a moved test dir with the same files, and more repeats.

    What --redo names is asked for again; the records that there are go to the folder redone. With a larger --max-tokens
    the run itself stays as it is, and a run directory beside it gets the redone samples.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown
    from bootcamp_cli.cli.results import asked_ending

    ending = asked_ending(
        gate=gate,
        gate_against=gate_against,
        tracker=tracker,
        tracker_step=tracker_step,
        tracker_run=tracker_run,
        html=html,
    )
    if run_dir is not None:
        opened = api.open_run(run_dir)
    else:
        opened = api.newest_unfinished(api.read_settings(call.sources).settings.output_dir, call.console.on_event)
    words = tuple(redo or ())
    resolved = opened.settings_to_resume(call.sources, redo=bool(words))
    settings = call.learn(resolved)
    run = run_shown(
        call.console,
        lambda on_event, stop: api.resume_async(opened, resolved, on_event, redo=words, stop=stop),
        n_connections=settings.max_concurrent_requests,
    )
    return ending.finish(run, call.console, allow_unscored=settings.allow_unscored)
