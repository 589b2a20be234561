"""How the results of a run are printed, and its exit code."""

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import EXIT_INCOMPLETE, EXIT_OK

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import RunSummary
    from bootcamp_cli.api import Run
    from bootcamp_cli.cli.console import Console
    from bootcamp_cli.engine.comparing import ComparedRuns


def print_run(run: "Run", console: "Console", *, allow_unscored: bool) -> int:
    """Print the summary table and the paths, or as JSON the summary with the run directory; returns the exit code.

    Where something is missing, the command that goes on stands last.
    """
    from bootcamp_cli.types import TO_BE_VERIFIED

    console.result(results_object(run), text="" if console.json else table_text(run.summary), styled=True)
    console.notify(f"run directory: {run.path}")
    console.notify(f"scores: {run.scores}")
    n_unverified = sum(n for kind, n in run.summary.unverified.items() if kind in TO_BE_VERIFIED)
    if run.summary.n_failed or run.summary.n_missing or n_unverified:
        command = f"bootcamp resume {shlex.quote(str(run.path))}"
        console.notify(f"`{command}` asks again for what has no answer, and verifies what has no verdict")
    return exit_code(run.summary, allow_unscored=allow_unscored)


def results_object(run: "Run", **options: Any) -> dict[str, Any]:
    """The chosen rows of a run and its directory, as JSON."""
    from bootcamp_cli.reports.forms import chosen, json_object

    shown = chosen(run.summary, **options)
    return json_object(shown, n_all=len(run.summary.groups)) | {"run_dir": str(run.path)}


def table_text(summary: "RunSummary", **options: Any) -> str:
    """The table for stdout: styled in a terminal, plain text elsewhere."""
    from bootcamp_cli.reports.forms import render

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    return render(summary, "table", width=width, color=terminal and not os.environ.get("NO_COLOR"), **options)


def comparison_text(compared: "ComparedRuns") -> str:
    """A comparison for stdout, in the width of the terminal."""
    from bootcamp_cli.reports.comparison import render_comparison

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return render_comparison(compared, "table", width=width)


def exit_code(summary: "RunSummary", *, allow_unscored: bool) -> int:
    """0 if every sample has a score or is allowed to have none; else 3."""
    n_lacking = summary.n_samples - summary.n_scored
    if allow_unscored:
        n_lacking -= summary.unverified.get("unscored", 0)
    return EXIT_INCOMPLETE if n_lacking else EXIT_OK
