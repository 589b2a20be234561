"""`bootcamp batch export` and `import`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import ALL_SETTINGS, Call, HtmlOption, RedoOption, RunOption, command
from bootcamp_cli.errors import EXIT_OK, UsageError
from bootcamp_cli.text import counted


@command(
    settings=ALL_SETTINGS,
    example="bootcamp batch export --test-dir tests --model-name r1_32B --api-mode chat_completion\n"
    "bootcamp batch export output/r1_32B_tests_20260101_120000 --out requests",
)
def export_command(
    call: Call,
    run_dir: Annotated[
        str | None,
        typer.Argument(metavar="RUN_DIR", help="the run directory; without it one is made for --test-dir"),
    ] = None,
    redo: RedoOption = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="where the files go; by default `batch` in the run directory", rich_help_panel="Output"
        ),
    ] = None,
    max_requests: Annotated[
        int, typer.Option(metavar="N", help="most requests in a file", rich_help_panel="Output")
    ] = 50_000,
    max_bytes: Annotated[
        int, typer.Option(metavar="N", help="most bytes of a file", rich_help_panel="Output")
    ] = 200_000_000,
) -> int:
    """Write what a run owes as batch files: requests for OpenAI's Batch API or `vllm run-batch`.

    A request is the one that `bootcamp eval` would send, without streaming; its custom_id tells of which sample it is.
    Nothing is sent: hand the files to the batch service, and its results to `bootcamp batch import`. With a run
    directory the options are as for `bootcamp resume`, without one as for `bootcamp eval`.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import silence_retries

    silence_retries()
    limits = api.batch_limits(max_requests=max_requests, max_bytes=max_bytes)
    on_event = call.console.on_event
    if run_dir is None:
        if redo:
            raise UsageError("--redo: there is no run", hint="name its directory")
        resolved = api.read_settings(call.sources)
        call.learn(resolved)
        exported = api.start_batch(resolved, out, on_event, limits=limits)
    else:
        run = api.open_run(run_dir)
        resolved = run.settings_to_resume(call.sources)
        call.learn(resolved)
        exported = api.continue_batch(run, resolved, out, on_event, redo=tuple(redo or ()), limits=limits)
    files = [str(path) for path in exported.files]
    data = {
        "run_dir": str(exported.run_dir),
        "files": files,
        "n_requests": exported.n_requests,
        "n_bytes": exported.n_bytes,
    }
    call.console.result(data, text="\n".join(files))
    call.console.notify(f"{counted(exported.n_requests, 'request')} in {counted(len(files), 'file')}")
    call.console.notify(f"run directory: {exported.run_dir}")
    return EXIT_OK


@command(
    settings=ALL_SETTINGS,
    rest="run",
    example="bootcamp batch import results.jsonl errors.jsonl\n"
    "bootcamp batch import results.jsonl --run output/r1_32B_tests_20260101_120000",
)
def import_command(
    call: Call,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="results and errors of batches, in any order")],
    run: RunOption = None,
    html: HtmlOption = None,
) -> int:
    """Take the results of batches as answers, and verify them; without --run into the newest unfinished run.

    A result is read as a reply over HTTP is: errors, and answers that the server cut off, leave their samples owed, and
    `bootcamp batch export` writes these again. What has an answer already is left as it is, so importing twice does no
    harm. Results to other prompts or parameters than the run's are left out.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown
    from bootcamp_cli.cli.results import check_html, print_run, write_page

    check_html(html)
    if run is not None:
        opened = api.open_run(run)
    else:
        opened = api.newest_unfinished(api.read_settings(call.sources).settings.output_dir, call.console.on_event)
    resolved = opened.settings_to_resume(call.sources)
    settings = call.learn(resolved)
    done = run_shown(
        call.console,
        lambda on_event, stop: api.import_batch_async(opened, resolved, files, on_event, stop=stop),
        n_connections=0,
    )
    write_page(done, html, call.console)
    return print_run(done, call.console, allow_unscored=settings.allow_unscored, goes_on_by="bootcamp batch export")
