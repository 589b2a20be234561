"""The intervals of means, simulated: many runs at once, as arrays, with the formulas of analysis/statistics.py.

`group_limits` and `run_limits` are the same formulas over many groups and runs; test_analysis_statistics.py compares
them with the functions that the tool calls.
"""

import math

import numpy as np
import numpy.typing as npt

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


def group_coverage(*, n: int, mean: float, repeats: int, spread: float, n_runs: int, seed: int) -> float:
    """The share of simulated groups whose interval holds the true mean, that of all questions of the kind."""
    source = np.random.default_rng(seed)
    means = answers(source, question_chances(source, mean, spread, (n_runs, n)), repeats)
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


def standard_error_of(share: float, n: int) -> float:
    """The simulation's own standard error of a share."""
    return math.sqrt(share * (1 - share) / n)
