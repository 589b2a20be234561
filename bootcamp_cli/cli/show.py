"""`bootcamp show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATUSES = ("right", "wrong", "truncated", "empty", "failed")


def _switch(name: str, help_: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(f"--{name}/--no-{name}", help=help_, rich_help_panel="Samples")
    return option


@command(
    example="bootcamp show output/r1_32B_tests_20260101_120000 --wrong --file sudoku.jsonl\n"
    "bootcamp show output/r1_32B_tests_20260101_120000 --file sudoku.jsonl --row 7\n"
    "bootcamp show output/after --flipped-from output/before --json"
)
def show_command(  # noqa: PLR0913, PLR0917 - the options of the command
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, or one of run_eval.py")],
    right: Annotated[bool, _switch("right", "only right answers")] = False,
    wrong: Annotated[bool, _switch("wrong", "only answers that are whole and wrong")] = False,
    truncated: Annotated[
        bool, _switch("truncated", "only answers cut off at the token limit that are not right")
    ] = False,
    empty: Annotated[bool, _switch("empty", "only answers without any text")] = False,
    failed: Annotated[bool, _switch("failed", "only samples without an answer")] = False,
    flipped_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_DIR",
            help="only questions that most answers of one of the two runs got right and most of the other wrong",
            rich_help_panel="Samples",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="NAME", help="only this test file", rich_help_panel="Samples")
    ] = None,
    row: Annotated[
        int | None, typer.Option(metavar="N", help="only this row, from 0", rich_help_panel="Samples")
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(metavar="N", help="only this answer to each question, from 0", rich_help_panel="Samples"),
    ] = None,
) -> int:
    """Show samples in the terminal: prompt, thinking, output, extracted beside ground truth.

    Without options all of them, in a pager where stdout is a terminal: $PAGER, else less. What is given must all hold.
    Long prompts and thinking are shortened unless --row is given. --json prints each sample as one line of JSON. Where
    no sample fits, a message says so and the exit code is 0.
    """
    import os
    import shutil
    import sys

    from bootcamp_cli import api
    from bootcamp_cli.cli.console import paged
    from bootcamp_cli.reports.samples import sample_line, sample_text

    flags = zip(_STATUSES, (right, wrong, truncated, empty, failed), strict=True)
    statuses = [name for name, is_wanted in flags if is_wanted]
    if len(statuses) > 1:
        raise UsageError(
            f"--{statuses[0]} and --{statuses[1]}: no sample is both, each counts once", hint="leave out one of the two"
        )
    for name, number in (("--row", row), ("--repeat", repeat)):
        if number is not None and number < 0:
            raise UsageError(f"{name}: counts from 0, got {number}")
    found = api.open_run(run_dir).find_samples(
        status=statuses[0] if statuses else None,
        file=file,
        row=row,
        repeat=repeat,
        flipped_from=flipped_from,
        on_progress=_progress(call),
    )
    is_terminal = sys.stdout.isatty() and not call.console.json
    color = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size().columns if is_terminal else 80
    n_shown = 0

    def texts() -> "Iterator[str]":
        nonlocal n_shown
        for sample in found:
            n_shown += 1
            if call.console.json:
                yield sample_line(sample) + "\n"
            else:
                yield sample_text(sample, width=width, color=color, whole=row is not None) + "\n"

    paged(texts(), in_pager=is_terminal, env=os.environ)
    if not n_shown:
        call.console.notify("no sample fits")
    return EXIT_OK


def _progress(call: Call) -> "Callable[[int, int], None] | None":
    """Tells a reader at a terminal how far a large run is read."""
    import sys
    import time

    if call.console.quiet or not sys.stderr.isatty():
        return None
    started = last = time.monotonic()
    is_shown = False

    def tell(done: int, total: int) -> None:
        nonlocal last, is_shown
        now = time.monotonic()
        if is_shown and done >= total:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        elif now - started > 1 and now - last > 0.2:
            last, is_shown = now, True
            sys.stderr.write(f"\rreading the details: {100 * done // total} % ")
            sys.stderr.flush()

    return tell
