"""`bootcamp report`."""

import math
from typing import Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, HtmlOption, TrackerOption, TrackerRunOption, TrackerStepOption, command
from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.forms import TEXT_FORMS, grouping, render, text_form
from bootcamp_cli.reports.table import BY, SORT_KEYS


@command(
    settings=(),
    example="bootcamp report output/r1_32B_tests_20260101_120000\n"
    "bootcamp report output/r1_32B_tests_20260101_120000 --sort score --filter 'Kor*' --format markdown\n"
    "bootcamp report output/r1_32B_tests_20260101_120000 --html",
)
def report_command(  # noqa: PLR0913, PLR0917 - the options of the command
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, or one of run_eval.py")],
    html: HtmlOption = None,
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
    audit: Annotated[
        bool,
        typer.Option(
            "--audit/--no-audit",
            help="look for the causes of answers that scored 0, for the workbook's sheet Audit",
            rich_help_panel="Output",
        ),
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="what the average score of the whole run must reach: exit code 5 where its interval is below, "
            "6 where it is not clear",
            rich_help_panel="Output",
        ),
    ] = None,
    tracker: TrackerOption = None,
    tracker_step: TrackerStepOption = None,
    tracker_run: TrackerRunOption = None,
) -> int:
    """Rebuild meta.jsonl and the workbook from details, and show the results.

    While a run writes to the directory, the results so far are shown, and nothing is written but the page of --html.
    """
    import json
    import sys
    from dataclasses import asdict

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.cli.results import (
        asked_tracker,
        check_html,
        exit_code,
        log_run,
        min_score_text,
        results_object,
        table_text,
    )

    if min_score is not None and not math.isfinite(min_score):
        raise UsageError(f"--min-score: must be a finite number, got {min_score}")
    text_form(format_)  # an unknown one ends the command before anything is written
    grouping(by)
    asked = asked_tracker(tracker, step=tracker_step, run=tracker_run)
    check_html(html)
    run = api.open_run(run_dir)
    found = run.audit(call.learn(api.read_settings(call.sources))) if audit else None
    if html is None:
        run.write_reports(call.console.on_event, right_at=right_at, audit=found)
    else:
        page = run.write_page(html or None, call.console.on_event, right_at=right_at, reports=True, audit=found)
        call.console.notify(f"page: {page}")
    log_run(run, asked, call.console)
    summary = run.summary
    floor = None if min_score is None else run.min_score(min_score)
    shown_floor = "" if floor is None else min_score_text(floor)
    more = {} if floor is None else {"min_score": asdict(floor)}
    options: dict[str, Any] = {"sort": sort, "reverse": reverse, "filter": tuple(filter_ or ())}
    if call.console.json or format_ == "json":
        write_line(sys.stdout, json.dumps(results_object(run, **options) | more, indent=2))
    elif format_ == "table":
        call.console.result(None, text=table_text(summary, by=by, **options) + shown_floor, styled=True)
    else:
        write_line(sys.stdout, render(summary, format_, by=by, **options))
    own = exit_code(summary, allow_unscored=True)
    if floor is None:
        return own
    if call.console.json or format_ != "table":
        call.console.notify(shown_floor)
    return api.gate_exit_code([floor.outcome], own)
