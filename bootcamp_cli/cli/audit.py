"""`bootcamp audit`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bootcamp_cli.analysis.audit import Audit, CauseCount, GroupAudit, ShareBounds


@command(
    settings=("bootcamps", "bootcamps_path", "verify_timeout", "verify_memory", "verify_workers"),
    example="bootcamp audit output/r1_32B_tests_20260101_120000",
)
def audit_command(
    call: Call,
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="the run directory, or one of run_eval.py")],
) -> int:
    """Show what a loss is made of: answers that scored 0, by cause.

    Each of them counts under one cause, the first that fits, or under none: a wrong answer in the right format. Nothing
    is written and no score changes; the bounds stand beside the score.
    """
    from bootcamp_cli import api
    from bootcamp_cli.errors import EXIT_OK

    run = api.open_run(run_dir)
    settings = call.learn(api.read_settings(call.sources))
    result = run.audit(settings)
    groups = [{"bootcamp": g.bootcamp, "data_source": g.data_source, "file": g.file, **_data(g)} for g in result.groups]
    data = {"run_dir": str(run.path), **_data(result), "bootcamps": groups}
    call.console.result(data, text="\n".join(_lines(result)))
    return EXIT_OK


def _data(part: "Audit | GroupAudit") -> dict[str, Any]:
    """The figures of a run, or of one of its entries."""
    return {
        "n_scored": part.n_scored,
        "n_zero": part.n_zero,
        "n_unexplained": part.n_unexplained,
        "loss": part.loss,
        "avg_score": part.avg_score,
        "bounds": {"share_of_reachable": _bounds(part.reached), "if_format_losses_forgiven": _bounds(part.forgiven)},
        "causes": [_cause(count) for count in part.causes],
    }


def _bounds(bounds: "ShareBounds | None") -> dict[str, float] | None:
    return None if bounds is None else {"low": bounds.low, "high": bounds.high}


def _cause(count: "CauseCount") -> dict[str, Any]:
    return {
        "cause": count.cause.value,
        "meaning": count.cause.meaning,
        "n": count.n,
        "share_of_loss": count.share_of_loss,
        "n_right": count.n_right,
        "examples": [{"file": key.file, "row": key.row, "repeat": key.repeat} for key in count.examples],
    }


def _lines(result: "Audit") -> "Iterator[str]":
    from bootcamp_cli.cli.console import aligned
    from bootcamp_cli.reports.loss import bound_notes, cause_rows, entry_rows, loss_note

    yield loss_note(result)
    if not result.n_scored:
        return
    yield ""
    yield aligned(cause_rows(result))
    if any(group.causes for group in result.groups):
        yield ""
        yield aligned(entry_rows(result), widest=48)
    yield ""
    yield from bound_notes(result)
