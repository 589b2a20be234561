"""`bootcamp runs`, that is `runs list`, and `runs rm`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, BootcampError, UsageError
from bootcamp_cli.reports.runs import RUNS_FORMS
from bootcamp_cli.text import visible_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootcamp_cli.analysis.runs import RunEntry


@command(settings=(), example="bootcamp runs list\nbootcamp runs list output --format json")
def list_command(
    call: Call,
    output_dir: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="where run directories are; by default output_dir of the settings"),
    ] = None,
    *,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="|".join(RUNS_FORMS), help="form of the output", rich_help_panel="Output"),
    ] = "table",
) -> int:
    """List the run directories: state, samples done, score with interval, start and size.

    The newest stands first. A score comes from meta.jsonl; where that is older than the details these are counted, up
    to 256 MiB.
    """
    import sys
    from pathlib import Path

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.cli.results import terminal_width
    from bootcamp_cli.reports.runs import check_form, render_runs, runs_object

    check_form(format_)
    place = call.learn(api.read_settings(call.sources)).output_dir if output_dir is None else Path(output_dir)
    if output_dir is not None and not place.is_dir():
        raise UsageError(f"{output_dir}: no such directory", hint="give the directory of the run directories")
    runs = api.list_runs(place)
    if call.console.json or format_ == "table":
        text = "" if call.console.json else render_runs(runs, place, "table", width=terminal_width())
        call.console.result(runs_object(runs, place), text=text)
    else:
        write_line(sys.stdout, render_runs(runs, place, format_))
    return EXIT_OK


@command(
    example="bootcamp runs rm output/r1_32B_tests_20260101_120000\n"
    "bootcamp runs rm --yes output/demo_tests_20260101_120000"
)
def rm_command(
    call: Call,
    runs: Annotated[list[str], typer.Argument(metavar="RUN_DIR", help="the run directories to remove")],
    *,
    yes: Annotated[bool, typer.Option("--yes/--no-yes", help="do not ask", rich_help_panel="Removal")] = False,
) -> int:
    """Remove run directories and all that is in them, after asking.

    One that a live process holds is not removed, nor what is not a run directory; links are not followed.
    """
    from bootcamp_cli import api
    from bootcamp_cli.reports.runs import run_line

    found = [api.removable_run(path) for path in dict.fromkeys(runs)]  # all, before the first is touched
    if not yes and not _confirmed(found):
        call.console.notify("nothing was removed")
        return EXIT_OK
    removed: list[RunEntry] = []
    first: BootcampError | None = None
    for run, _ in found:
        try:
            api.remove_run(run.path, call.console.on_event)
        except BootcampError as error:
            if first is not None:
                call.console.warn(str(error))
            first = first or error
        else:
            removed.append(run)
            call.console.notify(f"removed {run_line(run)}")
    if first is not None:
        raise first
    call.console.result({"removed": [str(run.path) for run in removed]}, text="")
    return EXIT_OK


def _confirmed(found: "Sequence[tuple[RunEntry, list[str]]]") -> bool:
    """Whether whoever sits at the terminal wants this.

    Raises:
        UsageError: nobody does.
    """
    import sys

    from bootcamp_cli.cli.console import write_line
    from bootcamp_cli.reports.runs import run_line
    from bootcamp_cli.text import listed, visible

    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("runs rm: there is no terminal to ask at", hint="give --yes to remove without being asked")
    for run, strangers in found:
        also = f"; also holds {listed([visible(name) for name in strangers], 5)}" if strangers else ""
        write_line(sys.stderr, visible_lines(f"{run_line(run)}{also}"))
    what = "this run directory" if len(found) == 1 else f"these {len(found)} run directories"
    sys.stderr.write(f"remove {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
