"""Runs simulated with fixed seeds: how often intervals hold the truth, tests find something, gates decide.

Intervals are computed of many runs at once, as arrays: `group_limits` and `run_limits` are the formulas of
analysis/statistics.py, and test_analysis_statistics.py compares them with the functions that the tool calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bootcamp_cli.analysis.compare import Question, QuestionScores, RunComparison, collect_scores, compare
from bootcamp_cli.analysis.paired import Gate, mcnemar_mid_p
from bootcamp_cli.analysis.statistics import N_SMALL, Z95

Floats = npt.NDArray[np.float64]


def answers(source: np.random.Generator, chances: Floats, repeats: int) -> Floats:
    """The question means of as many 0/1 answers to each question, right with these chances."""
    return source.binomial(repeats, chances) / repeats


def question_chances(source: np.random.Generator, mean: float, spread: float, shape: tuple[int, ...]) -> Floats:
    """The chances of questions: with `spread` 0 all alike, with more of it more of them near 0 and 1.

    A beta distribution whose variance is `spread` times mean (1 - mean), the largest possible.
    """
    if spread == 0:
        return np.full(shape, mean)
    weight = 1 / spread - 1
    return source.beta(mean * weight, (1 - mean) * weight, shape)


def group_limits(means: Floats, repeats: int) -> tuple[Floats, Floats]:
    """The limits of the group's interval for 0/1 scores; the last axis is that of the questions."""
    n = means.shape[-1]
    mean, (smoothed, variance) = means.mean(axis=-1), _smoothed(means)
    size: Floats = np.full(mean.shape, float(n))
    if n >= N_SMALL and repeats > 1:
        size = np.clip(smoothed * (1 - smoothed) / variance, n, n * repeats)
    shrink = 1 + Z95**2 / size
    center = (mean + Z95**2 / (2 * size)) / shrink
    half = Z95 * np.sqrt(mean * (1 - mean) / size + (Z95 / (2 * size)) ** 2) / shrink
    return center - half, center + half


def run_limits(means: Floats, repeats: int) -> tuple[Floats, Floats]:
    """The limits of the run's interval; the last two axes are those of the groups and of the questions."""
    n_groups, n = means.shape[-2:]
    if n_groups == 1:
        return group_limits(means[..., 0, :], repeats)
    mean = means.mean(axis=(-2, -1))
    error = np.sqrt((_smoothed(means)[1] * (n + 2) / n).sum(axis=-1)) / n_groups
    return np.maximum(mean - Z95 * error, 0), np.minimum(mean + Z95 * error, 1)


def _smoothed(means: Floats) -> tuple[Floats, Floats]:
    n = means.shape[-1] + 2
    smoothed = (means.sum(axis=-1) + 1) / n
    squares = ((means - smoothed[..., None]) ** 2).sum(axis=-1) + smoothed**2 + (1 - smoothed) ** 2
    return smoothed, squares / (n - 1) / n


def group_coverage(
    *, n: int, mean: float, repeats: int, spread: float, n_runs: int, seed: int, prompts: int | None = None
) -> float:
    """The share of simulated groups whose interval holds the true mean, that of all questions of the kind.

    With fewer prompts than rows, those that share one are answered alike.
    """
    source = np.random.default_rng(seed)
    asked = prompts or n
    of_prompts = answers(source, question_chances(source, mean, spread, (n_runs, asked)), repeats)
    means = of_prompts[:, np.arange(n) % asked]
    low, high = group_limits(means, repeats)
    return float(np.mean((low <= mean + 1e-12) & (mean - 1e-12 <= high)))


def run_coverage(*, n_groups: int, n: int, repeats: int, spread: float, n_runs: int, seed: int) -> float:
    """The share of simulated runs whose interval holds the true mean of these groups, whose own means differ."""
    source = np.random.default_rng(seed)
    group_means = source.uniform(0.02, 0.98, (n_runs, n_groups))
    if spread:
        weight = 1 / spread - 1
        shape = (n_runs, n_groups, n)
        chances: Floats = source.beta(group_means[..., None] * weight, (1 - group_means[..., None]) * weight, shape)
    else:
        chances = np.repeat(group_means[..., None], n, axis=-1)
    low, high = run_limits(answers(source, chances, repeats), repeats)
    true = group_means.mean(axis=-1)
    return float(np.mean((low <= true) & (true <= high)))


def equal_chances(source: np.random.Generator, shape: tuple[int, int], discordance: float) -> Floats:
    """The chances of questions of which two answers differ in this share: some even, the others certain either way."""
    return np.where(source.random(shape) < 2 * discordance, 0.5, source.integers(0, 2, shape).astype(np.float64))


def scores_of(name: str, scores: Floats, families: tuple[str, ...], prompts: int | None = None) -> QuestionScores:
    """A run with these 0/1 scores by group, question and repeat; each group has a family, and so many prompts.

    What `collect_scores` makes of them, faster: the questions are collected once, and given these scores.
    """
    n_groups, n, repeats = scores.shape
    asked = _asked(families, n, prompts or n)
    total, n_scored = scores.sum(axis=2).ravel(), np.full(n_groups * n, repeats)
    mean = total / repeats
    return replace(
        asked,
        name=name,
        total=total,
        n_scored=n_scored,
        n_right=total.astype(np.int64),
        noise=mean * (1 - mean) / (repeats - 1) if repeats > 1 else np.full(len(mean), np.nan),
    )


@lru_cache
def _asked(families: tuple[str, ...], n: int, prompts: int) -> QuestionScores:
    """The questions of a run, all wrong."""
    return collect_scores("", questions_of(np.zeros((len(families), n, 1)), families, prompts))


def questions_of(scores: Floats, families: Sequence[str], prompts: int | None = None) -> Iterator[Question]:
    """The questions of a run with these scores by group, question and repeat; each group has a family.

    With a number of prompts, rows share these in turn.
    """
    for group, questions in enumerate(scores.tolist()):
        for row, repeats in enumerate(questions):
            yield Question(
                data_source=f"Bootcamp{group:02d}",
                family=families[group],
                prompt=str(row % (prompts or len(questions))),
                ground_truth="",
                file=f"{group:02d}.jsonl",
                row=row,
                scores=repeats,
            )


def compared(
    seed: int,
    *,
    families: tuple[str, ...],
    n: int,
    repeats: int,
    discordance: float,
    loss: float = 0.0,
    lossy: str | None = None,
    gates: Sequence[Gate] = (),
    prompts: int | None = None,
) -> RunComparison:
    """Two runs of the same model, the second with answers of a family (or of all) spoilt for a loss of that size.

    With fewer prompts than rows, those that share one are answered alike.
    """
    source = np.random.default_rng(seed)
    asked = prompts or n
    chances = equal_chances(source, (len(families), asked), discordance)
    shape = (len(families), asked, repeats)
    before, after = (source.binomial(1, chances[..., None], shape).astype(np.float64) for _ in range(2))
    is_lossy = np.array([lossy in (None, family) for family in families])
    # half of the answers are right: of those, twice the share
    after *= ~((source.random(shape) < 2 * loss) & is_lossy[:, None, None])
    a, b = (
        scores_of(name, scores[:, np.arange(n) % asked], families, prompts)
        for name, scores in (("before", before), ("after", after))
    )
    return compare(a, [b], gates=gates).runs[0]


def mcnemar_size(n: int, discordance: float, level: float = 0.05) -> float:
    """The exact chance that the mid-p test of n pairs finds a difference where there is none."""
    size = 0.0
    for n_discordant, chance in enumerate(binomial(n, discordance)):
        found = [mcnemar_mid_p(worse, n_discordant - worse) < level for worse in range(n_discordant + 1)]
        size += float(chance * (binomial(n_discordant, 0.5) * found).sum())
    return size


def binomial(n: int, p: float) -> Floats:
    """The chances of 0 to n successes, built up trial by trial."""
    chances: Floats = np.ones(1)
    for _ in range(n):
        chances = np.append(chances * (1 - p), 0) + np.append(0, chances * p)
    return chances
