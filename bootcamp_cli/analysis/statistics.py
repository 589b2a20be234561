"""Means with their errors: of one group, of a run, of its families; and what the repeats of a question tell.

Also exact sums, and distributions of which quantiles are known.

A group is one data source of one test file. Question i of its n has K_i >= 1 scores; q_i is their mean, N the number of
all scores. A mean has two errors, which answer two questions:

    new questions  how it would move with other questions of the same kind, asked in the same way: the default interval
    rerun          how it would move if the same questions were asked again

Sums are rounded once, so that the results are the same bits in any order of arrival. Sources:

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22.
    Agresti, A., & Coull, B. A. (1998). Approximate is better than "exact" for interval estimation of binomial
        proportions. The American Statistician 52.
    Miller, E. (2024). Adding error bars to evals. arXiv 2411.00640.
    Bowyer, S., Aitchison, L., & Ivanova, D. R. (2025). Don't use the CLT in LLM evals with fewer than a few hundred
        datapoints. arXiv 2503.01747.
    Chen, M., et al. (2021). Evaluating large language models trained on code. arXiv 2107.03374.
    Yao, S., et al. (2024). tau-bench. arXiv 2406.12045.
    Wang, X., et al. (2022). Self-consistency improves chain of thought reasoning. arXiv 2203.11171.
"""

import math
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

Z95 = NormalDist().inv_cdf(0.975)
"""Half the width of a 95 % interval in standard errors: 1.959964."""

N_SMALL = 8
"""With fewer questions the spread of their means tells too little: repeats then add nothing to the effective size."""

IntervalMethod = Literal["wilson", "t"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The average score if every sample without a score were wrong (0), and if every one were right (1)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMean:
    """The mean of the question-level values of one group: every question counts alike.

    `interval` is for new questions. By `wilson` it lies within [0, 1]; by `t`, where scores are outside [0, 1], nothing
    bounds it, and it is None with fewer than two questions or where all of them are alike. `error_new_questions` is the
    standard error that the run's is made of, `error_rerun` the one of asking the same questions again (None where no
    question has two scores, and for values that are not plain scores). `within` is the mean variance of the scores
    within the `n_repeated` questions that have two or more, `between` the variance of the questions' true means.
    """

    n_questions: int
    n_samples: int
    mean: float
    interval: Interval | None
    method: IntervalMethod
    error_new_questions: float | None
    error_rerun: float | None = None
    within: float | None = None
    between: float | None = None
    n_repeated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMean:
    """The unweighted mean of groups, of a run or of a family.

    `interval` and `error_new_questions` are for new questions of these bootcamps, `error_other_bootcamps` for other
    bootcamps than these (None with one group), `error_rerun` for the same questions asked again: the noise floor.
    """

    n_groups: int
    n_questions: int
    n_samples: int
    mean: float
    interval: Interval | None
    error_new_questions: float | None
    error_other_bootcamps: float | None
    error_rerun: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedMean:
    """The mean of groups weighted by their questions, stratified by group; the error is the one for new questions."""

    n_groups: int
    n_questions: int
    mean: float
    interval: Interval | None
    error_new_questions: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How often each number came: the same in whatever order they came, and added up from parts.

    Numbers are counts of 0 and more; `counts` has them in ascending order, to eleven significant bits, so that
    quantiles are exact below 2,048 and within 0.1 % above, and the memory is bounded whatever comes. `total` is exact.
    """

    n: int = 0
    total: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """The exact mean; None where there are no numbers."""
        return self.total / self.n if self.n else None

    def quantile(self, p: float) -> int | None:
        """The least number that at least the share p of all do not exceed; None where there are none."""
        wanted, n = math.ceil(p * self.n), 0
        for number, times in self.counts.items():
            n += times
            if n >= wanted:
                return number
        return None


class DistributionCounter:
    """Counts numbers for a `Distribution`."""

    __slots__ = ("_counts", "_n", "_total")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._n = self._total = 0

    def add(self, number: int) -> None:
        """Count a number of 0 or more."""
        self._n += 1
        self._total += number
        shift = number.bit_length() - _SIGNIFICANT_BITS
        self._counts[number if shift <= 0 else number >> shift << shift] += 1

    def distribution(self) -> Distribution:
        """The numbers so far."""
        return Distribution(n=self._n, total=self._total, counts=dict(sorted(self._counts.items())))


_SIGNIFICANT_BITS = 11


def added_distributions(parts: Iterable[Distribution]) -> Distribution:
    """The distribution of the numbers of all parts."""
    n, total, counts = 0, 0, Counter[int]()
    for part in parts:
        n += part.n
        total += part.total
        counts.update(part.counts)
    return Distribution(n=n, total=total, counts=dict(sorted(counts.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassK:
    """pass@k and pass^k of one group; `n_without` questions have fewer than k scored repeats and no value."""

    k: int
    pass_at: GroupMean | None
    pass_hat: GroupMean | None
    n_without: int


def group_mean(questions: Iterable[Sequence[float]]) -> GroupMean | None:
    """The mean score of a group with its errors, from the scores of each question; None where there are none.

    The rerun error is sqrt(sum_i s_i^2 / K_i) / n with s_i^2 the variance of the scores of question i; questions with
    one score take the mean of the others' variances (Miller 2024). The variance between questions is that of their
    means less what sampling adds to it, the mean of s_i^2 / K_i; at least 0.
    """
    means, inverse_repeats, variances, variances_of_means = array("d"), array("d"), array("d"), array("d")
    n_samples, n_single, is_binary, is_bounded = 0, 0, True, True
    for scores in questions:
        if not scores:
            continue
        n_samples += len(scores)
        is_binary = is_binary and all(score in (0, 1) for score in scores)
        is_bounded = is_bounded and (is_binary or all(0 <= score <= 1 for score in scores))
        if len(scores) == 1:
            means.append(scores[0])
            n_single += 1
            continue
        mean = exact_sum(scores) / len(scores)
        variance = _squares(scores, mean) / (len(scores) - 1)
        means.append(mean)
        variances.append(variance)
        variances_of_means.append(variance / len(scores))
        inverse_repeats.append(1 / len(scores))
    if not means:
        return None
    within = exact_mean(variances)
    noise = None if within is None else math.fsum(variances_of_means) + n_single * within
    return _group_mean(
        means,
        n_samples=n_samples,
        is_binary=is_binary,
        is_bounded=is_bounded,
        noise=noise if noise is not None and math.isfinite(noise) else None,
        within=_finite(within),
        n_repeated=len(variances),
    )


def mean_of_values(values: Collection[float], *, n_samples: int, is_binary: bool) -> GroupMean | None:
    """The mean of question-level values within [0, 1] that are not plain means of scores: pass@k, pass^k, maj@K.

    `n_samples` is the number of scores behind the values, `is_binary` whether all of these are 0 or 1. None where there
    are no values.
    """
    if not values:
        return None
    return _group_mean(array("d", values), n_samples=n_samples, is_binary=is_binary, is_bounded=True)


def _group_mean(
    means: Sequence[float],
    *,
    n_samples: int,
    is_binary: bool,
    is_bounded: bool,
    noise: float | None = None,
    within: float | None = None,
    n_repeated: int = 0,
) -> GroupMean:
    """The result for question-level values; `noise` is the sum of the variances that sampling adds to each."""
    n = len(means)
    mean = exact_sum(means) / n
    if is_bounded:
        interval: Interval | None = wilson_interval(
            mean, effective_size(means, n_samples=n_samples, is_binary=is_binary)
        )
        error: float | None = math.sqrt(_smoothed_variance(means)[1] * (n + 2) / n)
    else:
        interval, error = t_interval(means), _finite(_standard_error(means))
    return GroupMean(
        n_questions=n,
        n_samples=n_samples,
        mean=mean,
        interval=interval,
        method="wilson" if is_bounded else "t",
        error_new_questions=error,
        error_rerun=None if noise is None else math.sqrt(noise) / n,
        within=within,
        between=None if noise is None or n < 2 else _finite(max(0.0, _squares(means, mean) / (n - 1) - noise / n)),
        n_repeated=n_repeated,
    )


def effective_size(values: Sequence[float], *, n_samples: int, is_binary: bool) -> float:
    """The number of independent 0/1 answers that the mean of question-level values within [0, 1] is worth.

    With N' = n + 2 (two pseudo-questions 0 and 1, after Agresti & Coull 1998), m' = (sum q_i + 1) / N' and
    v' = (sum (q_i - m')^2 + m'^2 + (1 - m')^2) / (N' - 1) / N':

        n_eff = max(m'(1 - m') / v', n), at most N where all scores are 0 or 1

    and n itself with one 0/1 score for each question, or with fewer than 8 questions.
    """
    n = len(values)
    if n < N_SMALL or (is_binary and n_samples == n):
        return n
    mean, variance = _smoothed_variance(values)
    size = max(mean * (1 - mean) / variance, n)
    return min(size, n_samples) if is_binary else size


def _smoothed_variance(values: Sequence[float]) -> tuple[float, float]:
    """The m' and v' of question-level values within [0, 1]; v', the variance of a mean of N' values, is never 0."""
    n = len(values) + 2
    mean = (exact_sum(values) + 1) / n
    squares = math.fsum([*((value - mean) ** 2 for value in values), mean**2, (1 - mean) ** 2])
    return mean, squares / (n - 1) / n


def wilson_interval(mean: float, n: float) -> Interval:
    """Wilson's score interval (1927) of a proportion found in n answers; n may be an effective size.

    (m + z^2/2n +- z sqrt(m(1 - m)/n + z^2/4n^2)) / (1 + z^2/n): within [0, 1], and never of zero width.
    """
    shrink = 1 + Z95 * Z95 / n
    center = (mean + Z95 * Z95 / (2 * n)) / shrink
    half = Z95 * math.sqrt(mean * (1 - mean) / n + (Z95 / (2 * n)) ** 2) / shrink
    # at the ends the limits are exact; rounding would leave them a hair beside 0 and 1
    return Interval(low=max(0.0, center - half) if mean > 0 else 0.0, high=min(1.0, center + half) if mean < 1 else 1.0)


def t_interval(values: Sequence[float]) -> Interval | None:
    """Student's t interval of a mean: m +- t(0.975, n - 1) s / sqrt(n).

    None with fewer than two values, and where all are alike: nothing tells their spread.
    """
    error = _standard_error(values)
    if not error or not math.isfinite(error):
        return None
    mean, half = exact_sum(values) / len(values), t_quantile(0.975, len(values) - 1) * error
    return Interval(low=mean - half, high=mean + half) if math.isfinite(mean - half) else None


def _standard_error(values: Sequence[float]) -> float | None:
    """The standard error s / sqrt(n) of a mean; None with fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    return math.sqrt(_squares(values, exact_sum(values) / n) / (n - 1) / n)


def _squares(values: Sequence[float], mean: float) -> float:
    """The sum of the squares of what values differ from their mean; infinite where no float holds it."""
    deviations = [value - mean for value in values]
    try:
        return math.fsum([deviation * deviation for deviation in deviations])
    except OverflowError:
        return math.inf


def run_mean(groups: Sequence[GroupMean]) -> RunMean | None:
    """The unweighted mean of groups with its errors; None where there are none.

    New questions: sqrt(sum SE_t^2) / T with SE_t^2 = v' N' / n, the interval cut to [0, 1] (unless scores are outside).
    Other bootcamps: the standard deviation of the group means / sqrt(T). Rerun: sqrt(sum rerun_t^2) / T; a group none
    of whose questions has two scores takes the mean variance within the questions of the others. One group keeps its
    own interval.
    """
    if not groups:
        return None
    n = len(groups)
    means = [group.mean for group in groups]
    mean = exact_sum(means) / n
    error = _combined([group.error_new_questions for group in groups], [1 / n] * n)
    return RunMean(
        n_groups=n,
        n_questions=sum(group.n_questions for group in groups),
        n_samples=sum(group.n_samples for group in groups),
        mean=mean,
        interval=groups[0].interval if n == 1 else _normal_interval(mean, error, groups),
        error_new_questions=error,
        error_other_bootcamps=_finite(_standard_error(means)),
        error_rerun=_combined(_rerun_errors(groups), [1 / n] * n),
    )


def family_means(groups: Iterable[tuple[str, GroupMean]]) -> dict[str, RunMean]:
    """The unweighted mean of the groups of each family, with its errors; sorted by family."""
    by_family: defaultdict[str, list[GroupMean]] = defaultdict(list)
    for family, group in groups:
        by_family[family].append(group)
    means = ((family, run_mean(by_family[family])) for family in sorted(by_family))
    return {family: mean for family, mean in means if mean is not None}


def weighted_mean(groups: Sequence[GroupMean]) -> WeightedMean | None:
    """The mean of groups weighted by their n_t questions: sum n_t m_t / sum n_t; None where there are none.

    Stratified by group: its error is sqrt(sum n_t^2 SE_t^2) / sum n_t with the run's SE_t.
    """
    n = sum(group.n_questions for group in groups)
    if not n:
        return None
    mean = exact_sum([group.n_questions * group.mean for group in groups]) / n
    error = _combined([group.error_new_questions for group in groups], [group.n_questions / n for group in groups])
    return WeightedMean(
        n_groups=len(groups),
        n_questions=n,
        mean=mean,
        interval=groups[0].interval if len(groups) == 1 else _normal_interval(mean, error, groups),
        error_new_questions=error,
    )


def _combined(errors: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The standard error of a weighted sum of independent means; None where one is unknown."""
    known = [weight * error for weight, error in zip(weights, errors, strict=True) if error is not None]
    return math.sqrt(math.fsum([error * error for error in known])) if len(known) == len(errors) else None


def _finite(value: float | None) -> float | None:
    """The value where a float holds it: squares of scores beyond 1e154 are none."""
    return value if value is not None and math.isfinite(value) else None


def _rerun_errors(groups: Sequence[GroupMean]) -> list[float | None]:
    """The rerun errors; where no question of a group has two scores, from the variance within those of the others."""
    n_repeated = sum(group.n_repeated for group in groups)
    known = [group.n_repeated * group.within for group in groups if group.within is not None]
    if not n_repeated:
        return [None for _ in groups]
    within = math.fsum(known) / n_repeated
    return [
        math.sqrt(within / group.n_questions) if group.error_rerun is None else group.error_rerun for group in groups
    ]


def _normal_interval(mean: float, error: float | None, groups: Sequence[GroupMean]) -> Interval | None:
    """Mean +- z SE, cut to [0, 1] unless the scores of a group are outside."""
    if error is None or not math.isfinite(error):
        return None
    low, high = mean - Z95 * error, mean + Z95 * error
    if all(group.method == "wilson" for group in groups):
        return Interval(low=max(0.0, low), high=min(1.0, high))
    return Interval(low=low, high=high) if low < high else None


def missing_bounds(questions: Iterable[tuple[Sequence[float], int]]) -> Bounds | None:
    """The mean of a group if every answer without a score were wrong (0), and if every one were right (1).

    Of each question: its scores, and how many of its answers have none. With truncated answers counted as without a
    score, `high` is the mean if all of them were right. None where there are no answers or scores are outside [0, 1].
    """
    low, high = array("d"), array("d")
    for scores, n_missing in questions:
        if not all(0 <= score <= 1 for score in scores):
            return None
        n = len(scores) + n_missing
        if n:
            total = math.fsum(scores)
            low.append(total / n)
            high.append((total + n_missing) / n)
    return Bounds(low=math.fsum(low) / len(low), high=math.fsum(high) / len(high)) if low else None


def pass_curve(right: Iterable[tuple[int, int]], repeats: int) -> tuple[PassK, ...]:
    """pass@k and pass^k of a group for k = 1, 2, 4, ..., K, from (K_i, c_i) of each question.

    K_i is the number of scored repeats, c_i that of the right ones: those whose score reaches a threshold.
    """
    counts = Counter((n, n_right) for n, n_right in right if n)
    n_questions = counts.total()
    result = []
    for k in k_values(repeats):
        with_value = {pair: times for pair, times in counts.items() if pair[0] >= k}
        n_samples = sum(n * times for (n, _), times in with_value.items())
        at, hat = array("d"), array("d")
        for (n, n_right), times in with_value.items():
            at.extend([pass_at_k(n, n_right, k)] * times)
            hat.extend([pass_hat_k(n, n_right, k)] * times)
        result.append(
            PassK(
                k=k,
                pass_at=mean_of_values(at, n_samples=n_samples, is_binary=True),
                pass_hat=mean_of_values(hat, n_samples=n_samples, is_binary=True),
                n_without=n_questions - len(at),
            )
        )
    return tuple(result)


def k_values(repeats: int) -> tuple[int, ...]:
    """The k of pass@k and pass^k: 1, 2, 4, ... and the number of repeats itself."""
    powers = [1 << exponent for exponent in range(repeats.bit_length())]
    return tuple(sorted({*powers, repeats})) if repeats > 0 else ()


@lru_cache(maxsize=1 << 16)
def pass_at_k(n: int, n_right: int, k: int) -> float:
    """The chance that at least one of k answers drawn from n is right: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021)."""
    _check_draw(n, n_right, k)
    return (math.comb(n, k) - math.comb(n - n_right, k)) / math.comb(n, k)


@lru_cache(maxsize=1 << 16)
def pass_hat_k(n: int, n_right: int, k: int) -> float:
    """The chance that all of k answers drawn from n are right: C(c, k) / C(n, k) (Yao et al. 2024)."""
    _check_draw(n, n_right, k)
    return math.comb(n_right, k) / math.comb(n, k)


def _check_draw(n: int, n_right: int, k: int) -> None:
    if not (0 <= n_right <= n and 1 <= k <= n):
        raise ValueError(f"cannot draw {k} of {n} answers, {n_right} of them right")


def majority_score(votes: Iterable[tuple[Hashable | None, bool]]) -> float:
    """maj@K of one question, from the extracted value of each answer and whether it is right (Wang et al. 2022).

    The most frequent value decides; where several are, each counts for an equal share. Answers without a value (None)
    do not vote; a question without any vote counts 0.
    """
    n_votes: Counter[Hashable] = Counter()
    n_right: Counter[Hashable] = Counter()
    for value, is_right in votes:
        if value is not None:
            n_votes[value] += 1
            n_right[value] += is_right
    most = max(n_votes.values(), default=0)
    winners = [value for value, n in n_votes.items() if n == most]
    # the verdicts on one value agree as a rule; where they do not, it is right to the share of its right ones
    return sum(n_right[value] for value in winners) / (most * len(winners)) if winners else 0.0


def normal_cdf(x: float) -> float:
    """The chance that a standard normal variable is at most x; exact in both tails."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """The value that a standard normal variable stays below with chance p, 0 < p < 1."""
    return NormalDist().inv_cdf(p)


def t_cdf(x: float, df: float) -> float:
    """The chance that a variable of Student's t distribution with df > 0 degrees of freedom is at most x."""
    tail = _t_tail(abs(x), df)
    return 1 - tail if x > 0 else tail


def t_quantile(p: float, df: float) -> float:
    """The value that a variable of Student's t distribution stays below with chance p, 0 < p < 1.

    Newton's method from 0 on the upper tail, which is convex there: the steps approach the root from one side.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; must be between 0 and 1")
    if p == 0.5:
        return 0.0
    target, x = min(p, 1 - p), 0.0
    while True:
        step = (_t_tail(x, df) - target) / _t_density(x, df)
        if step <= 1e-15 * x:
            return x if p > 0.5 else -x
        x += step


def _t_tail(x: float, df: float) -> float:
    """P(T > x) for x >= 0: half of the regularised incomplete beta function I_y(df/2, 1/2) at y = df / (df + x^2)."""
    if df <= 0:
        raise ValueError(f"degrees of freedom are {df}; must be above 0")
    a, square = df / 2, x * x
    if math.isinf(square):
        return 0.0
    y, rest = df / (df + square), square / (df + square)
    # the numerator of the incomplete beta function over the complete one: y^a (1 - y)^(1/2) / B(a, 1/2)
    factor = math.exp(_log_gamma_step(a) - a * math.log1p(square / df)) * math.sqrt(rest / math.pi)
    if y < (a + 1) / (a + 2.5):
        return 0.5 * factor * _beta_fraction(y, a, 0.5) / a
    return 0.5 - factor * _beta_fraction(rest, 0.5, a)


def _t_density(x: float, df: float) -> float:
    """The density of Student's t distribution."""
    return math.exp(_log_gamma_step(df / 2) - (df + 1) / 2 * math.log1p(x * x / df)) / math.sqrt(df * math.pi)


def _log_gamma_step(a: float) -> float:
    """Find ln G(a + 1/2) - ln G(a); for large a by its asymptotic series, where the difference would lose digits."""
    if a < 20:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    inverse = 1 / (a * a)
    series = 1 / 8 - inverse * (1 / 192 - inverse * (1 / 640 - inverse * (17 / 14336 - inverse * 31 / 18432)))
    return 0.5 * math.log(a) - series / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 1/(1 + d_1/(1 + d_2/(1 + ...))) of the incomplete beta function (DLMF 8.17.22).

    By Lentz's method: its value is the product of ratios of successive convergents, until they no longer move.
    """
    above, below = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1))
    value, ratio, m = below, 0.0, 0
    while abs(ratio - 1.0) > 1e-15:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            above = 1.0 + coefficient / above
            below = 1.0 / (1.0 + coefficient * below)
            ratio = above * below
            value *= ratio
    return value


def exact_sum(values: Collection[float]) -> float:
    """The sum of finite floats, rounded once: the same bits in any order.

    A sum beyond the range of a float becomes the largest float, not an error or an infinity.
    """
    try:
        return math.fsum(values)
    except OverflowError:  # fsum may overflow on its way to a sum that fits
        limit = Fraction(sys.float_info.max)
        return float(max(-limit, min(limit, sum(map(Fraction, values), start=Fraction(0)))))


def exact_mean(values: Collection[float]) -> float | None:
    """The mean of finite floats, the same in any order; None where there are none."""
    return exact_sum(values) / len(values) if values else None
