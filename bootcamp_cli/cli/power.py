"""`bootcamp power`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bootcamp_cli.engine.power import Power, PowerEntry


@command(
    example="bootcamp power --questions 64 --repeats 4\n"
    "bootcamp power output/r1_32B_tests_20260101_120000 --difference 2%",
)
def power_command(
    call: Call,
    run_dir: Annotated[
        str | None, typer.Argument(metavar="RUN_DIR", help="a run whose questions and repeats are taken")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(metavar="N", help="questions of each bootcamp", rich_help_panel="Assumptions")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(metavar="K", help="repeats of each; by default the run's, or 1", rich_help_panel="Assumptions"),
    ] = None,
    discordance: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="share of questions whose score differs between two answers though nothing changed, like 20%; by "
            "default as in the run's repeats, or 20%",
            rich_help_panel="Assumptions",
        ),
    ] = None,
    difference: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            help="a difference to be found, like 0.02 or 2%: shows the repeats or questions that it needs",
            rich_help_panel="Assumptions",
        ),
    ] = None,
) -> int:
    """Show which differences comparing two runs would find, before they are made.

    For the run, each family and each bootcamp: the smallest difference that is found with 80 %, corrected for the
    number of tests as `bootcamp compare` corrects. Without a run, for all built-in bootcamps with --questions each.
    """
    from dataclasses import asdict

    from bootcamp_cli import api
    from bootcamp_cli.errors import EXIT_OK

    result = api.power(
        run_dir,
        questions=questions,
        repeats=repeats,
        discordance=_share("--discordance", discordance),
        difference=_share("--difference", difference),
    )
    data: dict[str, Any] = asdict(result)
    call.console.result(data, text="\n".join(_lines(result)))
    return EXIT_OK


def _share(option: str, text: str | None) -> float | None:
    """A share as a number or a percentage."""
    from bootcamp_cli.errors import UsageError

    if text is None:
        return None
    number = text.strip()
    try:
        return float(number.removesuffix("%")) / 100 if number.endswith("%") else float(number)
    except ValueError:
        raise UsageError(f"{option}: must be a number or a percentage, got {text!r}") from None


def _lines(result: "Power") -> "Iterator[str]":
    """The table of each level, the run first."""
    from bootcamp_cli.cli.console import aligned

    asked = "once" if result.repeats == 1 else f"{result.repeats:,} times"
    source = "as the run's repeats show" if result.is_measured else "assumed"
    yield f"two runs of the same questions, each asked {asked}"
    yield f"where nothing changed, {result.discordance:.1%} of single answers differ ({source})"
    yield "a score of 1 is 100 points; found: with 80 %, p below 0.05 by Holm over the level"
    levels: tuple[tuple[str, Sequence[PowerEntry]], ...] = (
        ("run", (result.run,)),
        ("family", result.families),
        ("bootcamp", result.bootcamps),
    )
    for title, entries in levels:
        yield ""
        heads: tuple[str, ...] = (title, "questions", "finds from")
        if result.difference is not None:
            points = f"{100 * result.difference:g} points"
            heads = (*heads, f"repeats for {points}", f"questions for {points}")
        yield aligned([heads, *(_row(entry, result.difference) for entry in entries)])


def _row(entry: "PowerEntry", difference: float | None) -> tuple[str, ...]:
    found = entry.smallest_detectable
    cells = (visible(entry.name), f"{entry.n_questions:,}", "-" if found is None else f"{100 * found:.1f}")
    if difference is None:
        return cells
    repeats = "-" if entry.repeats_needed is None else f"{entry.repeats_needed:,}"
    questions = "-" if entry.questions_needed is None else f"{entry.questions_needed:,}"
    return (*cells, repeats, questions)
