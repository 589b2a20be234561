"""Means, their intervals and errors, and what repeats tell: against scipy, statsmodels, enumeration and simulation."""

import itertools
import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bootcamp_cli.analysis.statistics import (
    Z95,
    GroupMean,
    Interval,
    effective_size,
    family_means,
    group_mean,
    k_values,
    majority_score,
    mean_of_values,
    missing_bounds,
    normal_cdf,
    normal_quantile,
    pass_at_k,
    pass_curve,
    pass_hat_k,
    run_mean,
    t_cdf,
    t_interval,
    t_quantile,
    weighted_mean,
    wilson_interval,
)
from tests.simulated_runs import answers, group_coverage, group_limits, question_chances, run_coverage, run_limits

SHARES = st.floats(0, 1)
RIGHT_OR_WRONG = st.sampled_from([0.0, 1.0])
BINARY_QUESTIONS = st.lists(st.lists(RIGHT_OR_WRONG, min_size=1, max_size=6), min_size=1, max_size=40)
GRADED_QUESTIONS = st.lists(st.lists(SHARES, min_size=1, max_size=6), min_size=1, max_size=40)
ANY_QUESTIONS = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1, max_size=20)


def group(questions: Sequence[Sequence[float]]) -> GroupMean:
    """The mean of a group that has scores."""
    mean = group_mean(questions)
    assert mean is not None
    return mean


def interval(questions: Sequence[Sequence[float]]) -> Interval:
    """The interval of a group that has one."""
    found = group(questions).interval
    assert found is not None
    return found


def once(n_right: int, n: int) -> list[list[float]]:
    """The scores of n questions asked once."""
    return [[1.0]] * n_right + [[0.0]] * (n - n_right)


def close(value: float | None, expected: float) -> bool:
    """Whether two numbers agree to 1e-9."""
    return value is not None and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_is_scipys(p: float) -> None:
    """Quantiles of the normal distribution agree with scipy's to 1e-9."""
    assert close(normal_quantile(p), stats.norm.ppf(p))


@given(st.floats(-30, 30))
def test_normal_cdf_is_scipys(x: float) -> None:
    """The normal distribution agrees with scipy's to 1e-9 of its value, also far out in the tails."""
    assert math.isclose(normal_cdf(x), stats.norm.cdf(x), rel_tol=1e-9)


@given(st.floats(1e-9, 1 - 1e-9), st.integers(1, 100_000))
def test_t_quantile_is_scipys(p: float, df: int) -> None:
    """Quantiles of Student's t distribution agree with scipy's to 1e-9."""
    assert close(t_quantile(p, df), stats.t.ppf(p, df))


@given(st.floats(-1e4, 1e4), st.integers(1, 100_000) | st.floats(0.5, 100))
def test_t_cdf_is_scipys(x: float, df: float) -> None:
    """Student's t distribution agrees with scipy's to 1e-9."""
    assert close(t_cdf(x, df), stats.t.cdf(x, df))


@given(st.floats(0.001, 0.999), st.integers(1, 1000))
def test_t_cdf_of_its_quantile_is_the_chance(p: float, df: int) -> None:
    """Quantile and distribution of Student's t undo each other."""
    assert math.isclose(t_cdf(t_quantile(p, df), df), p, rel_tol=1e-12)


def test_t_cdf_ends_at_zero_and_one() -> None:
    """Where no float holds the square of a value, the chance is that of infinity."""
    assert (t_cdf(-1e200, 3), t_cdf(1e200, 3)) == (0.0, 1.0)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, math.nan])
def test_t_quantile_of_no_chance_is_refused(p: float) -> None:
    """A chance that is not between 0 and 1 has no quantile."""
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        t_quantile(p, 3)


def test_t_without_degrees_of_freedom_is_refused() -> None:
    """There is no t distribution without degrees of freedom."""
    with pytest.raises(ValueError, match="degrees of freedom are 0"):
        t_cdf(1.0, 0)


@given(st.integers(1, 3000), st.data())
def test_interval_of_answers_given_once_is_wilsons(n: int, data: st.DataObject) -> None:
    """For 0/1 scores of questions asked once the interval is statsmodels' Wilson interval to 1e-9."""
    n_right = data.draw(st.integers(0, n))
    low, high = proportion_confint(n_right, n, method="wilson")
    found = interval(once(n_right, n))
    assert close(found.low, low)
    assert close(found.high, high)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_interval_outside_the_unit_is_students(values: list[float]) -> None:
    """For scores outside [0, 1] the interval is scipy's t interval of the question means to 1e-9, and says so."""
    mean = group([[value + 200.0] for value in values])
    assert mean.method == "t"
    shifted = np.array(values) + 200.0
    if mean.interval is None:
        assert np.ptp(shifted) == 0
        return
    error = stats.sem(shifted)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(shifted), scale=error)
    assert mean.mean is not None
    assert close(mean.mean - mean.interval.low, np.mean(shifted) - low)  # a limit near 0 has fewer digits than these
    assert close(mean.interval.high - mean.mean, high - np.mean(shifted))
    assert close(mean.error_new_questions, error)


def test_interval_outside_the_unit_may_be_missing() -> None:
    """One question outside [0, 1], or several alike, tell nothing about their spread: there is no interval."""
    assert group([[2.0]]).interval is None
    assert group([[2.0]]).error_new_questions is None
    assert group([[2.0], [2.0], [2.0]]).interval is None
    assert t_interval([1e308, -1e308]) is None
    assert t_interval([1e154, -1e154] * 2) is None


def test_scores_decide_the_method_not_their_means() -> None:
    """A question whose scores are outside [0, 1] and whose mean is within has no Wilson interval."""
    assert group([[-1.0, 2.0], [0.5, 0.5]]).method == "t"


def reference_interval(questions: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The interval by its definition, in plain steps with fractions; statsmodels makes the last one."""
    means = [sum(map(Fraction, scores), start=Fraction(0)) / len(scores) for scores in questions]
    n, n_samples = len(means), sum(map(len, questions))
    total = n + 2
    center = sum(means, start=Fraction(0))
    smoothed = (center + 1) / total
    deviations = [*(q - smoothed for q in means), smoothed, 1 - smoothed]
    squares = sum((deviation * deviation for deviation in deviations), start=Fraction(0))
    size = max(smoothed * (1 - smoothed) / (squares / (total - 1) / total), Fraction(n))
    binary = all(score in (0, 1) for scores in questions for score in scores)
    if binary:
        size = min(size, Fraction(n_samples))
    if n < 8 or (binary and n_samples == n):
        size = Fraction(n)
    low, high = proportion_confint(float(center / n * size), float(size), method="wilson")
    return low, high


@given(BINARY_QUESTIONS | GRADED_QUESTIONS)
def test_interval_is_the_one_defined(questions: list[list[float]]) -> None:
    """The interval is Wilson's with the effective size, as computed with fractions from the definition."""
    low, high = reference_interval(questions)
    found = interval(questions)
    assert close(found.low, max(low, 0.0))
    assert close(found.high, min(high, 1.0))


def test_effective_size_has_its_limits() -> None:
    """The effective size is n for questions asked once or fewer than 8, at most N for 0/1 scores, never below n."""
    alike = [0.5] * 20
    assert effective_size(alike, n_samples=40, is_binary=True) == 40
    assert effective_size(alike, n_samples=40, is_binary=False) > 200
    assert effective_size([0.5] * 7, n_samples=14, is_binary=True) == 7
    assert effective_size([0.0, 1.0] * 10, n_samples=20, is_binary=True) == 20
    assert effective_size([0.0, 1.0] * 10, n_samples=80, is_binary=True) == pytest.approx(21)


@given(BINARY_QUESTIONS | GRADED_QUESTIONS)
def test_interval_holds_the_mean_and_has_width(questions: list[list[float]]) -> None:
    """The interval is within [0, 1], holds the mean, and is never of zero width."""
    found, mean = interval(questions), group(questions).mean
    assert 0 <= found.low <= mean + 1e-12
    assert mean - 1e-12 <= found.high <= 1
    assert found.high - found.low > 1e-6


@pytest.mark.parametrize("repeats", [1, 2, 16])
@pytest.mark.parametrize("n", [1, 7, 8, 64, 5000])
def test_interval_at_the_ends_has_width(n: int, repeats: int) -> None:
    """Where every answer is wrong, or every one right, the interval starts at 0 or ends at 1 and has a width."""
    wrong, right = interval([[0.0] * repeats] * n), interval([[1.0] * repeats] * n)
    assert wrong.low == 0.0
    assert right.high == 1.0
    assert wrong.high == pytest.approx(1 - right.low)
    assert wrong.high >= Z95**2 / (n * repeats + Z95**2) - 1e-12


@given(BINARY_QUESTIONS | GRADED_QUESTIONS)
def test_interval_is_symmetric(questions: list[list[float]]) -> None:
    """With right and wrong exchanged, the interval is mirrored."""
    found, mirrored = interval(questions), interval([[1 - score for score in scores] for scores in questions])
    assert math.isclose(found.low, 1 - mirrored.high, abs_tol=1e-9)
    assert math.isclose(found.high, 1 - mirrored.low, abs_tol=1e-9)


@given(st.integers(1, 500), st.data())
def test_interval_is_monotone(n: int, data: st.DataObject) -> None:
    """One more right answer moves both limits up."""
    n_right = data.draw(st.integers(0, n - 1))
    less, more = interval(once(n_right, n)), interval(once(n_right + 1, n))
    assert less.low < more.low
    assert less.high < more.high


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_interval_shrinks_with_the_size(mean: float, n: float) -> None:
    """More answers with the same mean make the interval narrower."""
    narrow, wide = wilson_interval(mean, 2 * n), wilson_interval(mean, n)
    assert narrow.high - narrow.low < wide.high - wide.low


@given(BINARY_QUESTIONS | GRADED_QUESTIONS | ANY_QUESTIONS, st.randoms(use_true_random=False))
def test_results_have_the_same_bits_in_any_order(questions: list[list[float]], shuffler: random.Random) -> None:
    """Questions and their repeats in another order change no bit of any figure."""
    shuffled = [shuffler.sample(scores, len(scores)) for scores in questions]
    shuffler.shuffle(shuffled)
    assert repr(group_mean(shuffled)) == repr(group_mean(questions))
    groups = [group([scores]) for scores in questions]
    shuffled_groups = shuffler.sample(groups, len(groups))
    assert repr(run_mean(shuffled_groups)) == repr(run_mean(groups))
    assert repr(weighted_mean(shuffled_groups)) == repr(weighted_mean(groups))


@given(BINARY_QUESTIONS | GRADED_QUESTIONS)
def test_mean_counts_every_question_alike(questions: list[list[float]]) -> None:
    """The mean is the mean of question means, whatever their numbers of scores."""
    mean = group(questions)
    expected = sum(sum(map(Fraction, scores)) / len(scores) for scores in questions) / len(questions)
    assert math.isclose(mean.mean, float(expected), rel_tol=1e-12)
    assert (mean.n_questions, mean.n_samples) == (len(questions), sum(map(len, questions)))


def test_questions_without_a_score_are_left_out() -> None:
    """A question without a score is not counted; a group without any has no mean."""
    assert group_mean([[], [1.0], []]) == group_mean([[1.0]])
    assert group_mean([[], []]) is None
    assert mean_of_values([], n_samples=0, is_binary=True) is None


@given(GRADED_QUESTIONS)
def test_rerun_error_and_variances_are_numpys(questions: list[list[float]]) -> None:
    """The rerun error and the variances within and between are those of the definition, computed by numpy."""
    mean = group(questions)
    repeated = [np.var(scores, ddof=1) for scores in questions if len(scores) > 1]
    if not repeated:
        assert (mean.error_rerun, mean.within, mean.between) == (None, None, None)
        return
    within = np.mean(repeated)
    noise = [(np.var(scores, ddof=1) if len(scores) > 1 else within) / len(scores) for scores in questions]
    assert close(mean.within, within)
    assert close(mean.error_rerun, np.sqrt(np.sum(noise)) / len(questions))
    if len(questions) > 1:
        between = np.var([np.mean(scores) for scores in questions], ddof=1) - np.mean(noise)
        assert close(mean.between, max(between, 0))
    else:
        assert mean.between is None


def test_rerun_error_is_what_reruns_vary_by() -> None:
    """The rerun error is, on average, the standard deviation of the mean over runs of the same questions."""
    source = np.random.default_rng(3)
    chances = question_chances(source, 0.6, 0.5, (60,))
    scores = source.binomial(1, chances[:, None], (400, 60, 4)).astype(float)
    errors = [group(run.tolist()).error_rerun or 0.0 for run in scores]
    assert np.mean(errors) == pytest.approx(scores.mean(axis=(1, 2)).std(), rel=0.1)


def test_variance_between_is_that_of_the_chances() -> None:
    """The variances between and within add up as those of the questions' chances and of answers given them."""
    source = np.random.default_rng(4)
    chances = question_chances(source, 0.4, 0.3, (20_000,))
    mean = group(source.binomial(1, chances[:, None], (20_000, 3)).astype(float).tolist())
    assert mean.between == pytest.approx(0.3 * 0.24, rel=0.05)
    assert mean.within == pytest.approx(0.7 * 0.24, rel=0.05)


def test_run_error_is_the_one_defined() -> None:
    """The run's error is sqrt(sum v' N'/n) / T, that for other bootcamps sd / sqrt(T), and both are named."""
    questions = [once(3, 10), once(1, 2), [[0.5, 1.0], [0.0, 0.0], [1.0, 1.0]]]
    run = run_mean([group(scores) for scores in questions])
    assert run is not None
    squares = []
    for scores in questions:
        values = [float(np.mean(s)) for s in scores]
        padded = np.array([*values, 0.0, 1.0])
        squares.append(np.var(padded, ddof=1) / len(values))
    means = [np.mean([np.mean(s) for s in scores]) for scores in questions]
    assert close(run.mean, float(np.mean(means)))
    assert close(run.error_new_questions, math.sqrt(sum(squares)) / 3)
    assert close(run.error_other_bootcamps, float(np.std(means, ddof=1) / math.sqrt(3)))
    assert run.interval is not None
    assert close(run.interval.low, run.mean - Z95 * math.sqrt(sum(squares)) / 3)
    assert (run.n_groups, run.n_questions, run.n_samples) == (3, 15, 18)


@given(BINARY_QUESTIONS | GRADED_QUESTIONS | ANY_QUESTIONS)
def test_run_of_one_group_has_its_interval(questions: list[list[float]]) -> None:
    """The interval of a run, a family or a weighted mean of one group is that group's own."""
    only = group(questions)
    run, weighted, family = run_mean([only]), weighted_mean([only]), family_means([("f", only)])["f"]
    assert run is not None
    assert weighted is not None
    assert run.interval == weighted.interval == family.interval == only.interval
    assert run.error_other_bootcamps is None


@given(st.lists(BINARY_QUESTIONS | GRADED_QUESTIONS, min_size=2, max_size=6))
def test_interval_of_a_run_is_cut_and_has_width(groups: list[list[list[float]]]) -> None:
    """The run's interval is within [0, 1] and never of zero width, also where every answer is wrong."""
    run = run_mean([group(questions) for questions in groups])
    assert run is not None
    assert run.interval is not None
    assert 0 <= run.interval.low < run.interval.high <= 1


def test_run_with_scores_outside_is_not_cut() -> None:
    """A group with scores outside [0, 1] makes the run's interval unbounded, and one without an error takes it away."""
    wide = group([[-9.0], [9.0], [0.0]])
    run = run_mean([wide, group(once(1, 2))])
    assert run is not None
    assert run.interval is not None
    assert run.interval.low < 0
    without = run_mean([group([[9.0]]), group(once(1, 2))])
    assert without is not None
    assert (without.interval, without.error_new_questions) == (None, None)
    alike = run_mean([group([[9.0], [9.0]])] * 2)
    assert alike is not None
    assert alike.interval is None


def test_rerun_error_of_a_run_fills_in_groups_without_repeats() -> None:
    """A group none of whose questions has two scores takes the variance within the others' questions."""
    repeated, single = group([[0.0, 1.0], [1.0, 1.0]]), group(once(2, 4))
    run = run_mean([repeated, single])
    assert run is not None
    assert close(run.error_rerun, math.sqrt(0.5 / 2 / 4 + 0.25 / 4) / 2)
    without = run_mean([single, single])
    assert without is not None
    assert without.error_rerun is None


def test_families_are_means_of_their_groups() -> None:
    """Each family has the unweighted mean of its own groups, in the order of names; no groups, no mean."""
    a, b, c = group(once(1, 4)), group(once(4, 4)), group(once(0, 9))
    families = family_means([("y", a), ("x", c), ("y", b)])
    assert list(families) == ["x", "y"]
    assert families["y"] == run_mean([a, b])
    assert run_mean([]) is None
    assert weighted_mean([]) is None
    assert family_means([]) == {}


def test_weighted_mean_is_stratified() -> None:
    """The weighted mean counts questions alike, and its error is that of groups weighted by their questions."""
    a, b = group(once(1, 4)), group(once(12, 16))
    weighted = weighted_mean([a, b])
    assert weighted is not None
    assert close(weighted.mean, 13 / 20)
    assert a.error_new_questions is not None
    assert b.error_new_questions is not None
    expected = math.hypot(4 * a.error_new_questions, 16 * b.error_new_questions) / 20
    assert close(weighted.error_new_questions, expected)


def test_bounds_count_missing_answers_as_wrong_and_right() -> None:
    """The bounds are the means with every missing answer wrong, and right; scores outside [0, 1] have none."""
    bounds = missing_bounds([([1.0, 0.0], 2), ([1.0], 0), ([], 1), ([], 0)])
    assert bounds is not None
    assert [bounds.low, bounds.high] == pytest.approx([(0.25 + 1 + 0) / 3, (0.75 + 1 + 1) / 3])
    assert missing_bounds([([2.0], 1)]) is None
    assert missing_bounds([]) is None


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_pass_at_and_hat_k_are_those_of_enumeration(n: int) -> None:
    """pass@k and pass^k are the shares of all draws of k answers with one right, and with all right."""
    for n_right, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([1] * n_right + [0] * (n - n_right), k))
        assert pass_at_k(n, n_right, k) == float(Fraction(sum(map(any, draws)), len(draws)))
        assert pass_hat_k(n, n_right, k) == float(Fraction(sum(map(all, draws)), len(draws)))


@given(st.integers(1, 300), st.data())
def test_pass_k_are_monotone_and_mirrored(n: int, data: st.DataObject) -> None:
    """pass@k rises with k and pass^k falls, both are c/n at k = 1, and one mirrors the other with right for wrong."""
    n_right = data.draw(st.integers(0, n))
    at = [pass_at_k(n, n_right, k) for k in range(1, n + 1)]
    hat = [pass_hat_k(n, n_right, k) for k in range(1, n + 1)]
    assert at == sorted(at)
    assert hat == sorted(hat, reverse=True)
    assert at[0] == hat[0] == n_right / n
    assert at == [pytest.approx(1 - pass_hat_k(n, n - n_right, k), abs=1e-12) for k in range(1, n + 1)]


@pytest.mark.parametrize(("n", "n_right", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_impossible_draws_are_refused(n: int, n_right: int, k: int) -> None:
    """More right answers than answers, or more drawn than there are, is an error."""
    with pytest.raises(ValueError, match="cannot draw"):
        pass_at_k(n, n_right, k)


def test_pass_curve_counts_questions_without_a_value() -> None:
    """At each k the questions with fewer than k scored repeats have no value, and are counted."""
    curve = pass_curve([(4, 1), (4, 4), (2, 1), (0, 0)], 4)
    assert [point.k for point in curve] == [1, 2, 4]
    assert [point.n_without for point in curve] == [0, 0, 1]
    at = [point.pass_at.mean for point in curve if point.pass_at]
    hat = [point.pass_hat.mean for point in curve if point.pass_hat]
    assert at == pytest.approx([(0.25 + 1 + 0.5) / 3, (0.5 + 1 + 1) / 3, 1.0])
    assert hat == pytest.approx([(0.25 + 1 + 0.5) / 3, (0 + 1 + 0) / 3, 0.5])
    assert [point.pass_at for point in pass_curve([(1, 1)], 2)][1] is None
    assert pass_curve([], 0) == ()


def test_pass_at_one_of_binary_scores_is_the_mean() -> None:
    """pass@1 of 0/1 scores has the mean and the interval of the scores."""
    questions = [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]] * 5
    (first, _) = pass_curve([(len(scores), int(sum(scores))) for scores in questions], 2)
    assert first.pass_at == first.pass_hat
    assert first.pass_at is not None
    assert (first.pass_at.mean, first.pass_at.interval) == (group(questions).mean, interval(questions))


@pytest.mark.parametrize(
    ("repeats", "expected"), [(0, ()), (1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))]
)
def test_k_doubles_up_to_the_repeats(repeats: int, expected: tuple[int, ...]) -> None:
    """The values of k are 1, 2, 4, ... and the number of repeats."""
    assert k_values(repeats) == expected


def test_majority_decides_and_ties_are_split() -> None:
    """The most frequent value decides, a tie is split evenly, and answers without a value do not vote."""
    assert majority_score([("a", True), ("a", True), ("b", False)]) == 1
    assert majority_score([("a", True), ("b", False), ("b", False)]) == 0
    assert majority_score([("a", True), ("b", False)]) == 0.5
    assert majority_score([("a", True), ("b", False), ("c", False)]) == pytest.approx(1 / 3)
    assert majority_score([(None, False), (None, False), ("a", True)]) == 1
    assert majority_score([(None, False)]) == 0
    assert majority_score([]) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=9), st.randoms(use_true_random=False))
def test_majority_does_not_depend_on_the_order(votes: list[tuple[str, bool]], shuffler: random.Random) -> None:
    """Votes in another order decide alike, within [0, 1]."""
    score = majority_score(votes)
    assert score == majority_score(shuffler.sample(votes, len(votes)))
    assert 0 <= score <= 1


@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize("n", [1, 7, 8, 30])
def test_simulated_limits_are_the_tools(n: int, repeats: int) -> None:
    """What is simulated below are the limits that the tool computes."""
    source = np.random.default_rng(n)
    means = answers(source, question_chances(source, 0.3, 0.3, (20, 3, n)), repeats)
    low, high = group_limits(means, repeats)
    run_low, run_high = run_limits(means, repeats)
    for i, run in enumerate(means):
        groups = [mean_of_values(values.tolist(), n_samples=n * repeats, is_binary=True) for values in run]
        known = [found for found in groups if found is not None]
        total = run_mean(known)
        assert total is not None
        assert total.interval is not None
        assert (total.interval.low, total.interval.high) == pytest.approx((run_low[i], run_high[i]))
        limits = [(found.interval.low, found.interval.high) for found in known if found.interval is not None]
        assert np.array(limits) == pytest.approx(np.stack([low[i], high[i]], axis=-1), abs=1e-9)


MEANS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.7])
def test_group_intervals_cover_the_truth(spread: float) -> None:
    """Simulated intervals of 30 to 200 questions hold the truth in at least 90 %, and in 94 to 98.5 % on average."""
    shares = [
        group_coverage(n=n, mean=mean, repeats=repeats, spread=spread, n_runs=2000, seed=13)
        for n, repeats, mean in itertools.product((30, 64, 200), (1, 4, 16), MEANS)
    ]
    assert min(shares) >= 0.90
    assert 0.94 <= np.mean(shares) <= 0.985


def test_intervals_of_eight_questions_cover_the_truth() -> None:
    """Simulated intervals of 8 questions hold the truth in at least 83 %."""
    shares = [
        group_coverage(n=8, mean=mean, repeats=repeats, spread=spread, n_runs=4000, seed=13)
        for spread, repeats, mean in itertools.product((0.0, 0.3, 0.7), (1, 4, 16), MEANS)
    ]
    assert min(shares) >= 0.83


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_intervals_of_runs_cover_the_truth(n: int) -> None:
    """Simulated intervals of 80 groups hold the true mean in at least 94 %."""
    for repeats, spread in ((1, 0.3), (4, 0.3), (4, 0.7)):
        assert run_coverage(n_groups=80, n=n, repeats=repeats, spread=spread, n_runs=1000, seed=13) >= 0.94


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_intervals_of_few_groups_cover_the_truth(n_groups: int) -> None:
    """Simulated intervals of two to four groups hold the true mean in at least 85 %."""
    for n, repeats, spread in itertools.product((1, 2, 8, 64), (1, 4), (0.0, 0.3, 0.7)):
        assert run_coverage(n_groups=n_groups, n=n, repeats=repeats, spread=spread, n_runs=2000, seed=13) >= 0.85
