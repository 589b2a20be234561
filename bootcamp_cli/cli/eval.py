"""`bootcamp eval`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import (
    ALL_SETTINGS,
    Call,
    GateAgainstOption,
    GateOption,
    HtmlOption,
    TrackerOption,
    TrackerRunOption,
    TrackerStepOption,
    command,
)
from bootcamp_cli.errors import EXIT_OK, UsageError


@command(
    settings=ALL_SETTINGS,
    example="bootcamp eval --url http://127.0.0.1:8000/v1 --model-name r1_32B --test-dir tests --template r1",
)
def eval_command(  # noqa: PLR0913, PLR0917 - the options of the command
    call: Call,
    gate: GateOption = None,
    gate_against: GateAgainstOption = None,
    tracker: TrackerOption = None,
    tracker_step: TrackerStepOption = None,
    tracker_run: TrackerRunOption = None,
    html: HtmlOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run/--no-dry-run",
            help="check everything offline; show a prompt and its request, counts and estimates",
            rich_help_panel="Trying",
        ),
    ] = False,
    price: Annotated[
        str | None,
        typer.Option(
            metavar="IN,OUT",
            help="with --dry-run: what a million tokens cost",
            rich_help_panel="Trying",
        ),
    ] = None,
) -> int:
    """Evaluate a model on a test dir.

    Every row's prompt is sent and every answer verified. The results are written to a run directory below output_dir;
    wherever the run is cut off, `bootcamp resume` continues it. With gates it is compared with another run at the end:
    exit code 5 where one fails, 6 where one is undecided. With --dry-run nothing is sent or written.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown, silence_retries
    from bootcamp_cli.cli.results import asked_ending, forecast_object, forecast_text

    ending = asked_ending(
        gate=gate,
        gate_against=gate_against,
        tracker=tracker,
        tracker_step=tracker_step,
        tracker_run=tracker_run,
        html=html,
    )
    if price is not None and not dry_run:
        raise UsageError("--price: no effect without --dry-run", hint="add --dry-run, or leave it out")
    resolved = api.read_settings(call.sources)
    settings = call.learn(resolved)
    if dry_run:
        silence_retries()
        forecast = api.dry_run(resolved, call.console.on_event, price=price)
        call.console.result(forecast_object(forecast, settings), text=forecast_text(forecast, settings))
        return EXIT_OK
    run = run_shown(
        call.console,
        lambda on_event, stop: api.evaluate_async(resolved, on_event, stop=stop),
        n_connections=settings.max_concurrent_requests,
    )
    return ending.finish(run, call.console, allow_unscored=settings.allow_unscored)
