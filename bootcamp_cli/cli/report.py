"""`bootcamp report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import DiskError, RunLockedError, UsageError
from bootcamp_cli.reports.forms import ReportFormat, render
from bootcamp_cli.reports.table import SORT_KEYS

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import RunSummary
    from bootcamp_cli.store.run_dir import RunDir


@command(
    example="bootcamp report output/r1_32B_tests_20260101_120000\n"
    "bootcamp report output/r1_32B_tests_20260101_120000 --sort score --filter 'Kor*' --format markdown"
)
def report_command(
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, also one of run_eval.py")],
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="table|markdown|csv|json", help="form of the output", rich_help_panel="Output"
        ),
    ] = "table",
    sort: Annotated[
        str, typer.Option(metavar="|".join(SORT_KEYS), help="what rows are sorted by", rich_help_panel="Output")
    ] = "bootcamp",
    reverse: Annotated[
        bool, typer.Option("--reverse/--no-reverse", help="sort the other way round", rich_help_panel="Output")
    ] = False,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="GLOB", help="only matching bootcamps, files, data sources", rich_help_panel="Output"
        ),
    ] = None,
) -> int:
    """Rebuild meta.jsonl and the workbook from details, and show the results.

    While a run writes to the directory, the results so far are shown and nothing is written.
    """
    import sys

    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.cli.evaluation import exit_code
    from bootcamp_cli.cli.reporting import table_text
    from bootcamp_cli.store.run_dir import open_run_dir

    if format_ not in get_args(ReportFormat):
        raise UsageError(f"--format: must be one of {', '.join(get_args(ReportFormat))}, got {format_!r}")
    opened = open_run_dir(Path(run_dir))
    summary = _rebuilt(opened, call)
    options: dict[str, Any] = {"sort": sort, "reverse": reverse, "filter": tuple(filter_ or ())}
    if format_ == "table" and not call.console.json:
        call.console.result(None, text=table_text(summary, **options), styled=True)
    else:
        form = "json" if call.console.json else cast("ReportFormat", format_)
        write_line(sys.stdout, render(summary, form, **options))
    return exit_code(summary, allow_unscored=True)


def _rebuilt(run_dir: "RunDir", call: Call) -> "RunSummary":
    from bootcamp_cli.cli.reporting import publish, read_summary
    from bootcamp_cli.store.lock import acquire

    try:
        with acquire(run_dir.path, notify=call.console.notice) as lock:
            return publish(run_dir, lock, call.console)
    except RunLockedError as locked:
        call.console.warn(f"{locked.message}: the results so far are shown, nothing is written")
    except DiskError as error:
        summary = read_summary(run_dir, call.console)  # what cannot be read either ends the command here
        call.console.warn(f"{error.message}: the results are shown, nothing is written")
        return summary
    return read_summary(run_dir, call.console)
