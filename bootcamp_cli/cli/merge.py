"""`bootcamp merge`."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import UsageError


@command(settings=("allow_unscored",), example="bootcamp merge output/shards/* --out output/r1_32B_tests")
def merge_command(
    call: Call,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN_DIR", help="the run directories of all shards, in any order"),
    ] = None,
    *,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help="the run directory to make", rich_help_panel="Output"),
    ] = None,
) -> int:
    """Make one run directory of the shards of a run (`eval --shard I/N`).

    It is the one that a single process would have made, reports included. All shards of one run are needed, each once;
    they stay as they are. What they still owe is owed by the new directory: `bootcamp resume` goes on with it.
    """
    from bootcamp_cli import api
    from bootcamp_cli.cli.results import print_run

    if out is None:
        raise UsageError("merge: no --out", hint="give the name of the run directory to make")
    settings = call.learn(api.read_settings(call.sources))
    run = api.merge(*runs or (), out=out, on_event=call.console.on_event)
    return print_run(run, call.console, allow_unscored=settings.allow_unscored)
