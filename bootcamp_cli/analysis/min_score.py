"""Whether the average score of a run reaches a floor, as far as its interval tells."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bootcamp_cli.analysis.paired import Outcome
from bootcamp_cli.analysis.questions import read_questions
from bootcamp_cli.analysis.statistics import Interval, group_mean, run_mean
from bootcamp_cli.analysis.summary import RunSummary
from bootcamp_cli.store.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class MinScore:
    """The outcome of a floor: `pass` where the interval of the average is not below it, `fail` where it is below.

    `mean` and `interval` are the run's average and its 95 % interval for new questions, over what has a score. The
    `n_missing` samples without one count once as wrong and once as right: `low` and `high` are the ends of the interval
    then, and the outcome is undecided where the two differ. `left_out` are the data sources without a bootcamp.
    """

    floor: float
    outcome: Outcome
    mean: float | None
    interval: Interval | None
    low: float | None
    high: float | None
    n_missing: int
    left_out: tuple[str, ...]


def min_score(run_dir: RunDir, summary: RunSummary, floor: float) -> MinScore:
    """Judge the average score of a run by its interval.

    Raises:
        RunDirectoryError: the details cannot be read.
    """
    left_out = {
        group.data_source
        for group in summary.groups
        if group.n_answered and group.unverified.get("unscored", 0) == group.n_answered
    }
    asked: defaultdict[tuple[str, str], list[tuple[list[float], int]]] = defaultdict(list)
    for question in read_questions(run_dir):
        if question.data_source not in left_out:
            scores = [score for score in question.scores if score is not None]
            asked[question.file, question.data_source].append((scores, len(question.scores) - len(scores)))
    for group in summary.groups:
        if group.data_source is not None and group.data_source not in left_out:
            found = asked[group.file, group.data_source]
            found += [([], summary.repeats)] * (group.n_questions - len(found))
    n_missing = sum(n for questions in asked.values() for _, n in questions)
    mean, interval = _average(asked.values(), None)
    worst, best = (_average(asked.values(), fill)[1] if n_missing else interval for fill in (0.0, 1.0))
    outcomes = {_outcome(worst, floor), _outcome(best, floor)}
    is_bounded = all(0 <= score <= 1 for questions in asked.values() for scores, _ in questions for score in scores)
    is_clear = len(outcomes) == 1 and (is_bounded or not n_missing)
    return MinScore(
        floor=floor,
        outcome=outcomes.pop() if is_clear else "undecided",
        mean=mean,
        interval=interval,
        low=worst.low if worst else None,
        high=best.high if best else None,
        n_missing=n_missing,
        left_out=tuple(sorted(name for name in left_out if name is not None)),
    )


def _average(
    groups: Collection[Sequence[tuple[list[float], int]]], fill: float | None
) -> tuple[float | None, Interval | None]:
    """The unweighted mean over groups with its interval, missing scores left out or taken for `fill`."""
    means = (
        group_mean(scores if fill is None else [*scores, *[fill] * n] for scores, n in questions)
        for questions in groups
    )
    average = run_mean([mean for mean in means if mean is not None])
    return (None, None) if average is None else (average.mean, average.interval)


def _outcome(interval: Interval | None, floor: float) -> Outcome:
    if interval is None:
        return "undecided"
    if interval.low >= floor:
        return "pass"
    return "fail" if interval.high < floor else "undecided"
