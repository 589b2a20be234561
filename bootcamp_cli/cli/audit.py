"""`bootcamp audit`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.text import counted, score_text, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bootcamp_cli.analysis.audit import Audit, CauseCount, GroupAudit, ShareBounds
    from bootcamp_cli.types import SampleKey


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

    zeros = f"{result.n_zero:,} of {counted(result.n_scored, 'scored answer')} scored 0"
    if not result.n_scored or result.avg_score is None:
        yield "no answer has a score"
        return
    yield f"{zeros}; points lost: {result.loss:,.1f}"
    yield ""
    rows = [("cause", "answers", "of the loss", "right in substance", "for example")]
    rows += [
        (
            count.cause.meaning,
            f"{count.n:,}",
            f"{count.share_of_loss:.1%}",
            f"{count.n_right:,}",
            _places(count.examples),
        )
        for count in result.causes
    ]
    left = result.n_unexplained / result.loss if result.loss else 0.0
    rows.append(("none: wrong in the right format", f"{result.n_unexplained:,}", f"{left:.1%}", "", ""))
    yield aligned(rows)
    if found := [group for group in result.groups if group.causes]:
        yield ""
        yield aligned([("bootcamp", "score", "scored 0", "causes"), *map(_row, found)], widest=48)
    yield ""
    yield f"average score: {score_text(result.avg_score)}, a mean of the test files' means over samples"
    if (reached := result.reached) is not None:
        yield (
            f"bounds, no scores: {score_text(reached.low)} of what can be reached without the rows that no output "
            f"wins, {score_text(reached.high)} also without those lost whose asked format is refused"
        )
    if (forgiven := result.forgiven) is not None:
        yield (
            f"bounds, no scores: {score_text(forgiven.low)} if what was found to be right in substance counted, "
            f"{score_text(forgiven.high)} if every loss by format were a right answer"
        )


def _places(examples: "tuple[SampleKey, ...]") -> str:
    """Where examples stand, as `resume --redo` names samples."""
    return ", ".join(f"{visible(key.file)}:{key.row}" + (f":{key.repeat}" if key.repeat else "") for key in examples)


def _row(group: "GroupAudit") -> tuple[str, ...]:
    """A bootcamp with its causes, the most frequent first."""
    ranked = sorted(group.causes, key=lambda count: -count.n)
    causes = ", ".join(f"{count.cause.value} {count.n:,}" for count in ranked)
    score = "-" if group.avg_score is None else score_text(group.avg_score)
    return (visible(group.bootcamp), score, f"{group.n_zero:,}", causes)
