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

    Samples without an answer are sent again, kept answers whose verifier failed are verified again. Only options that
    do not change the answers may differ: url, key, headers, timeout, concurrency, retries, waiting, streaming,
    verification limits, TLS, and a moved test dir with the same files.
    """
    from bootcamp_cli.cli.evaluation import resume
    from bootcamp_cli.cli.preparation import newest_unfinished, planned_again
    from bootcamp_cli.store.run_dir import open_run_dir

    opened = open_run_dir(Path(run_dir)) if run_dir is not None else newest_unfinished(call)
    return resume(planned_again(call, opened), opened, call.console)
