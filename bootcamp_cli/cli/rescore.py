"""`bootcamp rescore`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.text import counted

if TYPE_CHECKING:
    from bootcamp_cli.engine.rescore import Rescored

_SHOWN = 20


@command(
    settings=(
        *("bootcamps", "bootcamps_path", "allow_unscored", "verify_timeout", "verify_memory", "verify_workers"),
        *("executor", "ray_address", "wait"),
    ),
    example="bootcamp rescore output/r1_32B_tests_20260101_120000 --dry-run",
)
def rescore_command(
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory")],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run/--no-dry-run", help="show what would change and write nothing", rich_help_panel="Rescoring"
        ),
    ] = False,
) -> int:
    """Verify the kept outputs of a run directory again, without any request.

    This also scores outputs from elsewhere: all it needs is RUN_DIR/details/*.jsonl with id, prompt, output,
    ground_truth and data_source in each row.
    """
    from dataclasses import asdict

    from msgspec import to_builtins

    from bootcamp_cli import api
    from bootcamp_cli.cli.results import exit_code, table_text
    from bootcamp_cli.reports.forms import json_object

    run = api.open_run(run_dir)
    settings = call.learn(api.read_settings(call.sources))
    result = run.rescore(settings, call.console.on_event, dry_run=dry_run)
    summary = run.summary
    data = {
        "dry_run": dry_run,
        **asdict(result),
        "verifiers": {name: to_builtins(version) for name, version in sorted(result.verifiers.items())},
        "report": json_object(summary, n_all=len(summary.groups)),
    }
    call.console.result(data, text="" if dry_run or call.console.json else table_text(summary), styled=True)
    for line in _lines(result, dry_run=dry_run):
        call.console.notify(line)
    return exit_code(summary, allow_unscored=settings.allow_unscored)


def _lines(result: "Rescored", *, dry_run: bool) -> list[str]:
    changed = f"{counted(len(result.changes), 'score')} {'would change' if dry_run else 'changed'}"
    return [
        f"{result.n_verified:,} of {result.n_records:,} outputs verified again, {changed}",
        *(
            f"details/{change.file}:{change.line}: id {change.id}: {change.before} -> {change.after}"
            + (f" ({change.failure})" if change.failure else "")
            for change in result.changes[:_SHOWN]
        ),
        *([f"and {len(result.changes) - _SHOWN} more"] if len(result.changes) > _SHOWN else []),
        *(
            f"{half.place}: half a record, without its output: "
            + ("left as it is" if half.score is None else f"its score, {half.score}, stays")
            for half in result.halves[:_SHOWN]
        ),
        *([f"and {len(result.halves) - _SHOWN} more halves"] if len(result.halves) > _SHOWN else []),
        *(f"no bootcamp for {name}: {counted(n, 'record')} left as is" for name, n in result.without_bootcamp.items()),
    ]
