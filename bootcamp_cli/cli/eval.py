"""`bootcamp eval`."""

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


@command(
    settings=ALL_SETTINGS,
    example="bootcamp eval --url http://127.0.0.1:8000/v1 --model-name r1_32B --test-dir tests --template r1",
)
def eval_command(
    call: Call,
    gate: GateOption = None,
    gate_against: GateAgainstOption = None,
    tracker: TrackerOption = None,
    tracker_step: TrackerStepOption = None,
    tracker_run: TrackerRunOption = None,
    html: HtmlOption = None,
) -> int:
    """Evaluate a model on a test dir.

    Every row's prompt is sent and every answer verified. The results are written to a run directory below output_dir;
    wherever the run is cut off, `bootcamp resume` continues it. With gates it is compared with another run at the end:
    exit code 5 where one fails, 6 where one is undecided.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown
    from bootcamp_cli.cli.results import AskedGates, asked_tracker, log_run, print_run, write_page

    gates = AskedGates(texts=gate or (), against=gate_against).check()
    asked = asked_tracker(tracker, step=tracker_step, run=tracker_run)
    if html is not None:
        api.check_page(html or None)
    resolved = api.read_settings(call.sources)
    settings = call.learn(resolved)
    run = run_shown(
        call.console,
        lambda on_event, stop: api.evaluate_async(resolved, on_event, stop=stop),
        n_connections=settings.max_concurrent_requests,
    )
    log_run(run, asked, call.console)
    write_page(run, html, call.console)
    return print_run(run, call.console, allow_unscored=settings.allow_unscored, gates=gates)
