"""`bootcamp compare`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.command import PAGE
from bootcamp_cli.cli.options import Call, GateOption, command
from bootcamp_cli.reports.comparison import COMPARISON_FORMS

_PAGE = "comparison.html"


@command(
    example="bootcamp compare output/before output/after\n"
    "bootcamp compare --aa output/r1_32B_tests_20260101_120000\n"
    "bootcamp compare output/before output/after --gate 'overall > -1%' --format markdown",
)
def compare_command(
    call: Call,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN_DIR", help="two or more run directories, also of run_eval.py"),
    ] = None,
    *,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_DIR",
            help="the run that the others are compared with; by default the first",
            rich_help_panel="Comparison",
        ),
    ] = None,
    aa: Annotated[
        bool,
        typer.Option(
            "--aa/--no-aa",
            help="compare the halves of one run's repeats with each other",
            rich_help_panel="Comparison",
        ),
    ] = False,
    gate: GateOption = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(COMPARISON_FORMS), help="form of the output", rich_help_panel="Output"
        ),
    ] = "table",
    html: Annotated[
        str | None,
        typer.Option(
            metavar=PAGE,
            help="also write a page to look at, one .html file that needs no network; by default comparison.html",
            rich_help_panel="Output",
        ),
    ] = None,
    xlsx: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="also write a workbook", rich_help_panel="Output"),
    ] = None,
) -> int:
    """Compare runs question by question: which differences are real, and which gates they pass.

    Questions pair by bootcamp and prompt. The run is tested, then families, then bootcamps, corrected for the number of
    tests. Beside each entry stands the difference that would have been found. Three or more runs are also shown in
    order, as a curve. A gate that fails is exit code 5, one that is undecided 6.
    """
    import sys

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.cli.results import comparison_text
    from bootcamp_cli.reports.comparison import check_form, comparison_object, render_comparison

    check_form(format_)  # an unknown one ends the command before anything is read
    if html is not None:
        api.check_page(html or _PAGE)
    compared = api.compare(*(runs or ()), baseline=baseline, gates=gate or (), aa=aa)
    if xlsx is not None:
        api.write_workbook(compared, xlsx)
        call.console.notify(f"workbook: {xlsx}")
    if html is not None:
        api.write_comparison_page(compared, html or _PAGE)
        call.console.notify(f"page: {html or _PAGE}")
    if format_ == "table":
        call.console.result(
            comparison_object(compared) if call.console.json else None,
            text="" if call.console.json else comparison_text(compared),
        )
    else:
        write_line(sys.stdout, render_comparison(compared, "json" if call.console.json else format_))
    return api.gate_exit_code(result.outcome for run in compared.comparison.runs for result in run.gates)
