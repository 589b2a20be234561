"""What a loss is made of, in words: the rows and notes of an audit, for terminal and page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bootcamp_cli.text import counted, score_text, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.audit import Audit, GroupAudit
    from bootcamp_cli.types import SampleKey


def loss_note(result: "Audit") -> str:
    """How many answers scored 0, and how many points are lost."""
    if not result.n_scored:
        return "no answer has a score"
    scored = counted(result.n_scored, "scored answer")
    return f"{result.n_zero:,} of {scored} scored 0; points lost: {result.loss:,.1f}"


def cause_rows(result: "Audit") -> list[tuple[str, str, str, str, str]]:
    """The causes below their titles; the last row is what has none."""
    rows = [("cause", "answers", "of the loss", "right in substance", "for example")]
    rows += [
        (
            count.cause.meaning,
            f"{count.n:,}",
            f"{count.share_of_loss:.1%}",
            f"{count.n_right:,}",
            ", ".join(map(place, count.examples)),
        )
        for count in result.causes
    ]
    left = result.n_unexplained / result.loss if result.loss else 0.0
    return [*rows, ("none: wrong in the right format", f"{result.n_unexplained:,}", f"{left:.1%}", "", "")]


def place(key: "SampleKey") -> str:
    """Where a sample stands, as `resume --redo` names it."""
    return f"{visible(key.file)}:{key.row}" + (f":{key.repeat}" if key.repeat else "")


def entry_rows(result: "Audit") -> list[tuple[str, str, str, str]]:
    """The bootcamps that have causes, the most frequent cause first, below their titles."""
    found = [group for group in result.groups if group.causes]
    return [("bootcamp", "score", "scored 0", "causes"), *map(_entry_row, found)]


def _entry_row(group: "GroupAudit") -> tuple[str, str, str, str]:
    ranked = sorted(group.causes, key=lambda count: -count.n)
    causes = ", ".join(f"{count.cause.value} {count.n:,}" for count in ranked)
    score = "-" if group.avg_score is None else score_text(group.avg_score)
    return (visible(group.bootcamp), score, f"{group.n_zero:,}", causes)


def bound_notes(result: "Audit") -> Iterator[str]:
    """The average score, and the bounds that stand beside it."""
    if result.avg_score is None:
        return
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
