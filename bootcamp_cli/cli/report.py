"""`bootcamp report`."""

from typing import Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.reports.forms import TEXT_FORMS, grouping, render, text_form
from bootcamp_cli.reports.table import BY, SORT_KEYS


@command(
    example="bootcamp report output/r1_32B_tests_20260101_120000\n"
    "bootcamp report output/r1_32B_tests_20260101_120000 --sort score --filter 'Kor*' --format markdown"
)
def report_command(
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, or one of run_eval.py")],
    format_: Annotated[
        str,
        typer.Option("--format", metavar="|".join(TEXT_FORMS), help="form of the output", rich_help_panel="Output"),
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
    by: Annotated[
        str,
        typer.Option(metavar="|".join(BY), help="what the rows of tables are", rich_help_panel="Output"),
    ] = "both",
    right_at: Annotated[
        float,
        typer.Option(metavar="SCORE", help="least score of a right answer", rich_help_panel="Output"),
    ] = 1.0,
) -> int:
    """Rebuild meta.jsonl and the workbook from details, and show the results.

    While a run writes to the directory, the results so far are shown and nothing is written.
    """
    import json
    import sys

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.cli.results import exit_code, results_object, table_text

    text_form(format_)  # an unknown one ends the command before anything is written
    grouping(by)
    run = api.open_run(run_dir)
    run.write_reports(call.console.on_event, right_at=right_at)
    summary = run.summary
    options: dict[str, Any] = {"sort": sort, "reverse": reverse, "filter": tuple(filter_ or ())}
    if call.console.json or format_ == "json":
        write_line(sys.stdout, json.dumps(results_object(run, **options), indent=2))
    elif format_ == "table":
        call.console.result(None, text=table_text(summary, by=by, **options), styled=True)
    else:
        write_line(sys.stdout, render(summary, format_, by=by, **options))
    return exit_code(summary, allow_unscored=True)
