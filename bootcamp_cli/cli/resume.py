"""`bootcamp resume`."""

from pathlib import Path
from typing import Annotated

import typer

from bootcamp_cli.cli.options import ALL_SETTINGS, Call, command


@command(
    settings=ALL_SETTINGS,
    example="bootcamp resume\nbootcamp resume output/r1_32B_tests_20260101_120000 --max-concurrent-requests 64",
)
def resume_command(
    call: Call,
    run_dir: Annotated[
        str | None,
        typer.Argument(metavar="RUN_DIR", help="the run directory; without it the newest unfinished one in output_dir"),
    ] = None,
) -> int:
    """Continue an interrupted run with the settings that it was started with.

    Samples without an answer are sent again, and kept answers whose verifier failed are verified again. Only options
    that do not change the answers may differ: url, key, headers, timeout, concurrency, retries, waiting, streaming,
    verification limits, TLS, and a moved test dir with the same files.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_display
    from bootcamp_cli.cli.results import print_run

    if run_dir is not None:
        opened = api.open_run_dir(Path(run_dir))
    else:
        opened = api.newest_unfinished(call.learn(api.read_settings(call.sources)).output_dir, call.console)
    settings = call.learn(api.read_run_settings(opened, call.sources))
    plan = api.plan_continuation(opened, settings, call.console)
    display = run_display(call.console, n_connections=settings.max_concurrent_requests)
    run = api.resume(plan, opened, call.console, display)
    return print_run(run, call.console, allow_unscored=settings.allow_unscored)
