"""Paired differences of runs: tests against scipy, statsmodels and enumeration, pairing, levels, power and gates."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from bootcamp_cli.analysis.compare import (
    Comparison,
    Difference,
    Question,
    QuestionScores,
    RunComparison,
    collect_scores,
    compare,
    halves,
    pair,
)
from bootcamp_cli.analysis.paired import (
    MAX_FLIPPED,
    Gate,
    Outcome,
    PairedMoments,
    assumed_moments,
    benjamini_hochberg,
    difference_error,
    gate_exit_code,
    gate_outcome,
    gate_shares,
    holm,
    mcnemar_exact_p,
    mcnemar_mid_p,
    normal_sign_flip_p,
    parse_gate,
    questions_needed,
    repeats_needed,
    repeats_to_decide,
    sign_flip_p,
    smallest_detectable,
    tango_interval,
    tango_score,
)
from bootcamp_cli.analysis.statistics import Z95, Interval, group_mean, run_mean
from bootcamp_cli.errors import UsageError
from tests.simulated_runs import compared, mcnemar_size, questions_of, scores_of

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def close(value: float | None, expected: float) -> bool:
    """Whether two numbers agree to 1e-9."""
    return value is not None and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)


# --- McNemar


@pytest.mark.parametrize("n", range(11))
def test_mid_p_is_that_of_enumeration(n: int) -> None:
    """The mid-p is the share of splits further from even and half of that of splits as far; 1 without any pair."""
    for worse in range(n + 1):
        distances = [abs(2 * sum(signs) - n) for signs in itertools.product((0, 1), repeat=n)]
        distance = abs(2 * worse - n)
        expected = Fraction(2 * sum(d > distance for d in distances) + distances.count(distance), 2 * len(distances))
        assert mcnemar_mid_p(worse, n - worse) == (float(expected) if n else 1.0)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_exact_mcnemar_is_statsmodels(worse: int, better: int) -> None:
    """The exact p-value is that of statsmodels to 1e-9, of which the mid-p leaves out half of what is as far."""
    assume(worse + better)
    exact = mcnemar_exact_p(worse, better)
    assert close(exact, mcnemar([[0, worse], [better, 0]], exact=True).pvalue)
    as_far = stats.binom.pmf(worse, worse + better, 0.5) * (1 if worse == better else 2)
    assert close(mcnemar_mid_p(worse, better), min(1 - as_far / 2, exact - as_far / 2))


@given(st.integers(0, 500), st.integers(0, 500))
def test_mid_p_is_symmetric_and_monotone(worse: int, better: int) -> None:
    """Better and worse may be exchanged; a split further from even has a smaller p."""
    p = mcnemar_mid_p(worse, better)
    assert p == mcnemar_mid_p(better, worse)
    assert 0 < p <= 1
    if worse >= better > 0:
        assert mcnemar_mid_p(worse + 1, better - 1) < p


@pytest.mark.parametrize("discordance", [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4])
def test_size_of_the_mid_p_is_kept(discordance: float) -> None:
    """With 64 pairs and up to 40 % discordance a difference is found in at most 5.5 % where there is none: exactly."""
    assert mcnemar_size(64, discordance) <= 0.055


@pytest.mark.parametrize("n", [4, 8, 11, 16, 24, 30, 36, 43, 50, 66, 100])
def test_size_of_the_mid_p_is_bounded(n: int) -> None:
    """Whatever the number of pairs and their discordance, a difference is found in at most 8 % where there is none."""
    assert max(mcnemar_size(n, discordance) for discordance in (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)) <= 0.08


# --- Tango


@st.composite
def discordant(draw: st.DrawFn) -> tuple[int, int, int]:
    """Worse and better pairs, and all pairs."""
    n = draw(st.integers(1, 2000))
    worse = draw(st.integers(0, n))
    return worse, draw(st.integers(0, n - worse)), n


@given(discordant())
def test_tango_score_at_the_limits_is_z(pairs: tuple[int, int, int]) -> None:
    """The score statistic is z at the lower limit and -z at the upper one, unless these are -1 and 1."""
    limits = tango_interval(*pairs)
    if limits.low > -1:
        assert tango_score(*pairs, limits.low) == pytest.approx(Z95, abs=1e-9)
    if limits.high < 1:
        assert tango_score(*pairs, limits.high) == pytest.approx(-Z95, abs=1e-9)


@given(discordant())
def test_tango_interval_holds_the_difference_and_has_width(pairs: tuple[int, int, int]) -> None:
    """Tango's interval is within [-1, 1], holds the difference, is never of zero width, and mirrors an exchange."""
    worse, better, n = pairs
    limits = tango_interval(worse, better, n)
    assert -1 <= limits.low <= (better - worse) / n + 1e-12
    assert (better - worse) / n - 1e-12 <= limits.high <= 1
    assert limits.high - limits.low > 1e-4
    assert tango_interval(better, worse, n) == Interval(low=-limits.high, high=-limits.low)


@given(discordant(), st.floats(-0.99, 0.98), st.floats(1e-3, 0.01))
def test_tango_score_falls(pairs: tuple[int, int, int], difference: float, more: float) -> None:
    """The larger the difference that is assumed, the smaller the score: there is one limit on each side."""
    assert tango_score(*pairs, difference + more) < tango_score(*pairs, difference)


@given(discordant(), st.floats(-0.95, 0.95))
def test_tango_score_uses_the_most_likely_share(pairs: tuple[int, int, int], difference: float) -> None:
    """The nuisance share in the score is where the likelihood is largest."""
    worse, better, n = pairs
    score = tango_score(worse, better, n, difference)
    assume(abs(score) > 1e-6)
    variance = ((better - worse - n * difference) / score) ** 2 / n
    share = (variance - difference + difference**2) / 2

    def likelihood(q: float) -> float:
        terms = [(worse, q), (better, q + difference), (n - worse - better, 1 - 2 * q - difference)]
        return sum(times * math.log(max(chance, 1e-300)) for times, chance in terms if times)

    inside = [max(0, -difference) + step * (1 - abs(difference)) / 2 for step in (0.001, 0.3, 0.5, 0.7, 0.999)]
    assert all(likelihood(q) <= likelihood(share) + 1e-6 * n for q in inside)


def test_tango_limits_at_the_ends() -> None:
    """Where every pair got better the upper limit is 1; without discordant pairs the limits are z^2 / (n + z^2)."""
    assert tango_interval(0, 10, 10).high == 1
    none = tango_interval(0, 0, 50)
    assert none.high == pytest.approx(Z95**2 / (50 + Z95**2))
    assert none.low == -none.high


# --- corrections


@settings(max_examples=30)
@given(P_VALUES)
def test_corrections_are_statsmodels(p_values: list[float]) -> None:
    """Holm's and Benjamini & Hochberg's adjusted p-values are statsmodels' to 1e-9."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-9, abs=1e-9)
    assert benjamini_hochberg(p_values) == pytest.approx(
        multipletests(p_values, method="fdr_bh")[1], rel=1e-9, abs=1e-9
    )


@given(P_VALUES, st.randoms(use_true_random=False))
def test_corrections_do_not_depend_on_the_order(p_values: list[float], shuffler: random.Random) -> None:
    """Adjusted p-values go with their p-values, whatever the order, and are never smaller."""
    shuffled = shuffler.sample(p_values, len(p_values))
    for correct in (holm, benjamini_hochberg):
        assert sorted(zip(shuffled, correct(shuffled), strict=True)) == sorted(
            zip(p_values, correct(p_values), strict=True)
        )
        assert all(adjusted >= p * (1 - 1e-12) for p, adjusted in zip(p_values, correct(p_values), strict=True))


def test_nothing_to_correct() -> None:
    """No p-values give no adjusted ones."""
    assert holm([]) == benjamini_hochberg([]) == []


# --- sign flip


def enumerated(differences: Sequence[Fraction]) -> float:
    """The p-value of the sign flip, by all flips in fractions."""
    total = abs(sum(differences, start=Fraction(0)))
    sums = [
        sum((sign * value for sign, value in zip(signs, differences, strict=True)), start=Fraction(0))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return sum(abs(value) >= total for value in sums) / len(sums)


@given(st.lists(st.integers(-9, 9), max_size=9))
def test_sign_flip_is_that_of_enumeration(differences: list[int]) -> None:
    """With few differences p is the share of all flips with a sum as far from 0, zeros counting for nothing."""
    assert sign_flip_p(differences) == enumerated(list(map(Fraction, differences)))


def test_sign_flip_counts_ties() -> None:
    """Sums that are equal count as equal, where sums of floats would differ: 0.1 + 0.2 is 0.3."""
    tenths = [1, 2, 3, 3, -6]
    assert sign_flip_p(tenths) == enumerated([Fraction(tenth, 10) for tenth in tenths])
    floats = [tenth / 10 for tenth in tenths]
    naive = [
        abs(sum(sign * value for sign, value in zip(signs, floats, strict=True))) >= abs(sum(floats))
        for signs in itertools.product((-1, 1), repeat=5)
    ]
    assert sum(naive) / 32 != sign_flip_p(tenths)


@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_sign_flip_depends_on_sizes_only(differences: list[int], shuffler: random.Random) -> None:
    """Order, unit, and which run is which do not matter, to the bit; p is above 0 and at most 1."""
    p = sign_flip_p(differences)
    assert 0 < p <= 1
    assert sign_flip_p(shuffler.sample(differences, len(differences))) == p
    assert sign_flip_p([-difference for difference in differences]) == p
    assert sign_flip_p([difference * 10**30 for difference in differences]) == p


@pytest.mark.parametrize("unit", [1, 2**70 + 1])
def test_seeded_flips_come_near_the_exact_p(unit: int) -> None:
    """With 15 differences the seeded p is that of all 2^15 flips, within its own error; also beyond 64 bits."""
    differences = [(7 * i % 11 + 1) * unit * (-1 if i % 4 == 0 else 1) + (i if unit > 1 else 0) for i in range(15)]
    exact = enumerated(list(map(Fraction, differences)))
    p = sign_flip_p(differences)
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9999))
    assert sign_flip_p(differences, seed=1) != p


def test_seeded_flips_are_more_where_p_is_small() -> None:
    """P is (b + 1) / (m + 1), never 0, and m grows where p times the number of tests is below 0.2."""
    assert sign_flip_p([1] * 30) == 1e-5
    assert sign_flip_p([1] * 30, n_tests=1000) == 1e-6
    half = [1] * 24 + [-1] * 16
    few, many = sign_flip_p(half), sign_flip_p(half, n_tests=2)
    assert few == many
    assert (few * 10_000) % 1 == pytest.approx(0, abs=1e-6)
    assert few == pytest.approx(stats.binomtest(16, 40).pvalue, abs=0.02)


def test_many_differences_are_taken_as_normal() -> None:
    """Over 200 differences p is that of a normal sum with variance sum d^2, from integers and from floats."""
    differences = [3] * 130 + [-2] * 80
    z = (390 - 160) / math.sqrt(130 * 9 + 80 * 4)
    assert len(differences) > MAX_FLIPPED
    assert close(sign_flip_p(differences), 2 * stats.norm.sf(z))
    assert close(normal_sign_flip_p([d / 7 for d in differences]), 2 * stats.norm.sf(z))
    assert close(sign_flip_p([d * 10**200 + 1 for d in differences]), 2 * stats.norm.sf(z))
    assert sign_flip_p([]) == sign_flip_p([0, 0]) == normal_sign_flip_p([0.0]) == 1.0


@pytest.mark.parametrize(("n", "repeats"), [(8, 4), (16, 4), (64, 1)])
def test_size_of_the_sign_flip_is_kept(n: int, repeats: int) -> None:
    """Where nothing changed, the sign flip finds a difference in at most 5.5 % within the error of 1000 simulations."""
    source = np.random.default_rng(5)
    chances = source.choice([0.0, 0.5, 0.8, 1.0], (1000, n))
    changes = source.binomial(repeats, chances) - source.binomial(repeats, chances)
    found = [sign_flip_p(row) < 0.05 for row in changes.tolist()]
    assert np.mean(found) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)


# --- errors and power


def moments(*values: float, within: float | None = None) -> PairedMoments:
    """The moments of differences, by default all chance."""
    square = float(np.mean(np.square(values)))
    return PairedMoments(
        n=len(values), mean=float(np.mean(values)), square=square, within=square if within is None else within
    )


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=9), min_size=1, max_size=5), st.floats(0.1, 1))
def test_error_of_differences_is_the_one_defined(groups: list[list[float]], pseudo: float) -> None:
    """The error is sqrt(sum v' N'/n) / T with two pseudo-questions of d = +-g, and never 0."""
    squares = [np.var([*values, pseudo, -pseudo], ddof=1) / len(values) for values in groups]
    error = difference_error([moments(*values) for values in groups], pseudo)
    assert error == pytest.approx(math.sqrt(sum(squares)) / len(groups), rel=1e-6)
    assert error > 0


def test_smallest_detectable_solves_its_equation() -> None:
    """The smallest detectable difference is the one where the limit of the test and the power meet (Connor 1987)."""
    found = smallest_detectable([assumed_moments(n=500, discordance=0.2)], repeats=1, n_tests=4)
    assert found is not None
    discordance = 0.2 + found - found**2 + found**2
    z_found, z_power = stats.norm.ppf(1 - 0.025 / 4), stats.norm.ppf(0.8)
    expected = z_found * math.sqrt(discordance / 500) + z_power * math.sqrt((discordance - found**2) / 500)
    assert close(found, expected)


@given(st.integers(5, 500), st.floats(0, 0.5), st.integers(1, 16), st.integers(1, 100))
def test_power_is_monotone(n: int, discordance: float, repeats: int, n_tests: int) -> None:
    """More questions, more repeats, fewer tests and less discordance find smaller differences."""

    def smallest(n: int, discordance: float, repeats: int, n_tests: int) -> float:
        groups = [assumed_moments(n=n, discordance=discordance, repeats=repeats)]
        return smallest_detectable(groups, repeats=repeats, n_tests=n_tests) or math.inf

    least = smallest(n, discordance, repeats, n_tests)
    assert least > 0
    assert smallest(n + 1, discordance, repeats, n_tests) <= least
    assert smallest(n, discordance, repeats + 1, n_tests) <= least
    assert smallest(n, discordance, repeats, n_tests + 1) >= least
    assert smallest(n, discordance + 0.01, repeats, n_tests) >= least


@pytest.mark.parametrize("difference", [0.01, 0.05, 0.2])
def test_needed_repeats_and_questions_find_the_difference(difference: float) -> None:
    """With the repeats or the questions that a difference needs it is found, with fewer it is not."""
    groups = [assumed_moments(n=64, discordance=0.2)] * 4
    repeats = repeats_needed(groups, difference, repeats=1)
    assert repeats is not None
    n = questions_needed(groups, difference, repeats=1)

    def smallest(repeats: int, n: float) -> float:
        each = assumed_moments(n=1, discordance=0.2, repeats=repeats)
        found = smallest_detectable([each] * 1, repeats=repeats) if n == 1 else None
        scaled = [replace(each, n=math.ceil(n / 4))] * 4
        return found or smallest_detectable(scaled, repeats=repeats) or math.inf

    assert smallest(repeats, 256) <= difference
    assert repeats == 1 or smallest(repeats - 1, 256) > difference
    assert smallest(1, n + 4) <= difference
    assert smallest(1, n - 4) > difference


def test_what_repeats_cannot_find() -> None:
    """Where questions themselves changed both ways, or there are few, no number of repeats finds a small difference."""
    changed = moments(1.0, -1.0, 0.0, 0.0, within=0.0)
    assert repeats_needed([changed], 0.1, repeats=4) is None
    assert smallest_detectable([assumed_moments(n=5, discordance=0.2)], repeats=1) is None


@pytest.mark.parametrize(("n_groups", "repeats"), [(1, 1), (1, 4), (20, 1)])
def test_smallest_detectable_difference_is_found_as_often_as_said(n_groups: int, repeats: int) -> None:
    """A loss of the smallest detectable size is found in about 80 % of simulated runs, rather more than less."""
    groups = [assumed_moments(n=60, discordance=0.1, repeats=repeats)] * n_groups
    loss = smallest_detectable(groups, repeats=repeats)
    assert loss is not None
    families = ("family",) * n_groups
    runs = (compared(seed, families=families, n=60, repeats=repeats, discordance=0.1, loss=loss) for seed in range(100))
    found = [(run.run if n_groups > 1 else run.bootcamps[0]).p < 0.05 for run in runs]
    assert 0.70 <= np.mean(found) <= 0.95


# --- gates


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("overall > -1%", Gate(name="overall", margin=-0.01)),
        ("overall>-0.02", Gate(name="overall", margin=-0.02)),
        ("  kor logic >  +.5 % ", Gate(name="kor logic", margin=0.005)),
        ("grids > 0", Gate(name="grids", margin=0.0)),
    ],
)
def test_gates_are_read(text: str, gate: Gate) -> None:
    """A gate is a name and a margin, in per cent or as a number; it is shown so that it reads the same."""
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize("text", ["", "overall", "overall < 1%", "> -1%", "overall > x", "overall > -1 % now", "a > -"])
def test_texts_that_are_no_gate_are_refused(text: str) -> None:
    """Another form is an error that shows the right one."""
    with pytest.raises(UsageError, match="overall > -1%"):
        parse_gate(text)


@pytest.mark.parametrize(
    ("difference", "error", "outcome"),
    [
        (0.0, 0.0060, "pass"),
        (0.0, 0.0061, "undecided"),
        (-0.02, 0.0060, "fail"),
        (-0.02, 0.0061, "undecided"),
        (-0.01, 1e-9, "undecided"),
    ],
)
def test_one_sided_bounds_decide_gates(difference: float, error: float, outcome: Outcome) -> None:
    """A gate passes with 1.645 errors above the margin, fails with as many below it, else it is undecided."""
    assert gate_outcome(difference, error, -0.01) == outcome


@pytest.mark.parametrize(
    ("outcomes", "own", "code"),
    [
        ([], 0, 0),
        (["pass"], 0, 0),
        (["pass"], 3, 3),
        (["pass", "undecided"], 0, 6),
        (["undecided", "fail", "pass"], 0, 5),
        (["undecided"], 3, 6),
        (["fail"], 3, 5),
        *((["fail"], own, own) for own in (1, 2, 4, 130)),
    ],
)
def test_exit_codes_of_gates(outcomes: list[Outcome], own: int, code: int) -> None:
    """Failed beats undecided beats passed; errors of the command beat gates, gates beat missing samples."""
    assert gate_exit_code(outcomes, own) == code


@given(st.floats(0.001, 0.1), st.floats(-0.1, -0.001))
def test_gate_shares_add_up(error: float, margin: float) -> None:
    """The three shares add up to 1, and a wider margin is undecided less often than failed or passed."""
    groups = [assumed_moments(n=100, discordance=0.2)] * 3
    shares = gate_shares(groups, error=error, margin=margin)
    assert shares.passed + shares.failed + shares.undecided == pytest.approx(1)
    assert gate_shares(groups, error=error, margin=2 * margin).passed >= shares.passed


def test_gate_shares_without_any_difference() -> None:
    """Where no question differs, the smoothed error alone decides, always alike."""
    groups = [moments(*[0.0] * 400)] * 5
    error = difference_error(groups, 1.0)
    assert gate_shares(groups, error=error, margin=-0.01).passed == 1
    assert gate_shares(groups, error=error, margin=-0.001).undecided == 1
    assert gate_shares(groups, error=error, margin=0.01).failed == 1


def test_repeats_to_decide_a_gate_decide_it() -> None:
    """With the repeats that a gate needs its outcome is decided, with one fewer it is not."""
    groups = [assumed_moments(n=64, discordance=0.2)] * 5
    repeats = repeats_to_decide(groups, difference=0.0, margin=-0.01, repeats=1, pseudo=1)
    assert repeats is not None

    def error(repeats: int) -> float:
        later = [assumed_moments(n=64, discordance=0.2, repeats=repeats)] * 5
        return difference_error(later, 1 / math.sqrt(repeats))

    assert gate_outcome(0.0, error(repeats), -0.01) == "pass"
    assert gate_outcome(0.0, error(repeats - 1), -0.01) == "undecided"
    assert repeats_to_decide(groups, difference=-0.01, margin=-0.01, repeats=1, pseudo=1) is None


@pytest.mark.parametrize(("repeats", "margin"), [(1, -0.03), (4, -0.02)])
def test_gates_are_decided_as_often_as_said(repeats: int, margin: float) -> None:
    """Over 200 simulated pairs of equal runs a gate passes, fails and is undecided as often as is predicted."""
    gate, families = Gate(name="overall", margin=margin), ("family",) * 8
    runs = [
        compared(seed, families=families, n=64, repeats=repeats, discordance=0.2, gates=[gate]) for seed in range(200)
    ]
    outcomes = Counter(run.gates[0].outcome for run in runs)
    predicted = [run.gates[0].if_unchanged for run in runs]
    shares_by_outcome: list[tuple[Outcome, list[float]]] = [
        ("pass", [share.passed for share in predicted]),
        ("fail", [share.failed for share in predicted]),
        ("undecided", [share.undecided for share in predicted]),
    ]
    for outcome, shares in shares_by_outcome:
        assert outcomes[outcome] / 200 == pytest.approx(np.mean(shares), abs=0.1)
    assert outcomes["fail"] <= 2


# --- pairing


def question(row: int, prompt: str = "", *scores: float | None, **fields: object) -> Question:
    """A question; without scores, answered right once."""
    values = {"data_source": "Maze", "family": "grids", "ground_truth": "", "file": "maze.jsonl", **fields}
    return Question(prompt=prompt or str(row), row=row, scores=scores or (1.0,), **values)  # type: ignore[arg-type]


def run(name: str, *questions: Question) -> QuestionScores:
    """A run of these questions."""
    return collect_scores(name, questions)


def rows(a: QuestionScores, b: QuestionScores) -> list[tuple[int, int]]:
    """The rows that pair."""
    return [(a.place(i)[1], b.place(j)[1]) for i, j in zip(*pair(a, b), strict=True)]


def test_questions_pair_by_prompt() -> None:
    """Rows with the same prompt of the same data source pair wherever they stand, whatever their ground truth."""
    a = run("a", question(0, "x", ground_truth="1"), question(1, "y"), question(2, "z"))
    b = run("b", question(7, "y", file="other.jsonl"), question(9, "x", ground_truth="2"), question(5, "w"))
    assert rows(a, b) == [(0, 9), (1, 7)]


def test_data_sources_are_not_mixed() -> None:
    """The same prompt of another data source is another question, also where the names could run together."""
    a = run("a", question(0, "bc", data_source="a"), question(1, "c", data_source="ab"))
    b = run("b", question(0, "c", data_source="ab"), question(1, "bc", data_source="b"))
    assert rows(a, b) == [(1, 0)]


def test_equal_prompts_pair_by_ground_truth_then_in_order() -> None:
    """Of rows that share a prompt those with the same ground truth pair first, the others in order."""
    a = run("a", *(question(row, "x", ground_truth=truth) for row, truth in enumerate("ABBC")))
    b = run("b", *(question(row, "x", ground_truth=truth) for row, truth in enumerate("BZABY")))
    assert rows(a, b) == [(0, 2), (1, 0), (2, 3), (3, 1)]


@st.composite
def questions(draw: st.DrawFn) -> list[Question]:
    """Questions, many with the same prompt, in two files."""
    return [
        question(
            row,
            draw(st.sampled_from("xyz")),
            *draw(st.lists(st.sampled_from([0.0, 1.0, 0.5, None]), min_size=1, max_size=3)),
            ground_truth=draw(st.sampled_from("AB")),
            file=draw(st.sampled_from(["a.jsonl", "b.jsonl"])),
            data_source=draw(st.sampled_from(["Maze", "Sudoku"])),
        )
        for row in range(draw(st.integers(1, 12)))
    ]


def reference_pairs(a: Sequence[Question], b: Sequence[Question]) -> set[tuple[int, int]]:
    """The pairs by the rule itself, row by row."""
    first, second = (sorted(questions, key=lambda q: (q.file, q.row)) for questions in (a, b))
    pairs = set()
    for same_truth in (True, False):
        for left in list(first):
            for right in list(second):
                if (left.data_source, left.prompt) != (right.data_source, right.prompt):
                    continue
                if same_truth and left.ground_truth != right.ground_truth:
                    continue
                pairs.add((left.row, right.row))
                first.remove(left)
                second.remove(right)
                break
    return pairs


@given(questions(), questions())
def test_pairs_are_those_of_the_rule(a: list[Question], b: list[Question]) -> None:
    """The pairs found in columns are those found row by row, each question in at most one, and mirror an exchange."""
    found = rows(run("a", *a), run("b", *b))
    assert len(found) == len(set(found))
    assert set(found) == reference_pairs(a, b)
    assert {(j, i) for i, j in rows(run("b", *b), run("a", *a))} == set(found)


@given(questions(), questions(), st.randoms(use_true_random=False))
def test_comparison_does_not_depend_on_the_order(a: list[Question], b: list[Question], shuffler: random.Random) -> None:
    """Questions that arrive in another order give the same comparison, to the bit; runs exchanged mirror it."""
    a, b = [*a, question(99, "sure")], [*b, question(99, "sure")]
    found = one(run("a", *a), run("b", *b))
    shuffled = one(run("a", *shuffler.sample(a, len(a))), run("b", *shuffler.sample(b, len(b))))
    assert repr(shuffled) == repr(found)
    if all(q.file == "a.jsonl" for q in (*a, *b)):
        mirrored = one(run("b", *b), run("a", *a)).run
        assert mirrored.p == found.run.p
        assert mirrored.difference == pytest.approx(-found.run.difference)


def one(a: QuestionScores, b: QuestionScores, *gates: Gate) -> RunComparison:
    """The comparison of two runs."""
    (found,) = compare(a, [b], gates=gates).runs
    return found


def test_what_does_not_pair_is_counted() -> None:
    """Questions of only one run, and pairs without a score on one side, are counted and left out."""
    a = run("a", question(0), question(1), question(2), question(3, "", None))
    b = run("b", question(0), question(2, "", None), question(3), question(4), question(5))
    found = one(a, b)
    assert (found.n_pairs, found.n_unpaired, found.n_unpaired_baseline, found.n_without_score) == (3, 2, 1, 2)
    assert found.run.n_pairs == 1


def test_nothing_in_common_is_refused() -> None:
    """Runs without a common question, or without one that has a score in both, cannot be compared."""
    with pytest.raises(UsageError, match="b and a have no question in common"):
        compare(run("a", question(0)), [run("b", question(1))])
    with pytest.raises(UsageError, match="no question in common"):
        compare(run("a"), [run("b")])
    with pytest.raises(UsageError, match="no question has a score in both b and a"):
        compare(run("a", question(0, "", None)), [run("b", question(0))])


# --- levels


def scored(name: str, **scores: Sequence[Sequence[float | None]]) -> QuestionScores:
    """A run with the scores of the questions of each bootcamp; the family is the first letter."""
    return collect_scores(
        name,
        (
            question(row, "", *repeats, data_source=source, family=source[0], file=f"{source}.jsonl")
            for source, questions in scores.items()
            for row, repeats in enumerate(questions)
        ),
    )


def once(text: str) -> list[list[float]]:
    """Scores of questions asked once, as digits."""
    return [[float(digit)] for digit in text]


def test_levels_of_runs_asked_once() -> None:
    """The run and families are unweighted means of groups tested by the sign flip, bootcamps by McNemar and Tango."""
    a = scored("a", A1=once("1111110000"), A2=once("11"), B1=once("0000"))
    b = scored("b", A1=once("1000010000"), A2=once("10"), B1=once("0010"))
    found = one(a, b)
    assert [entry.name for entry in found.bootcamps] == ["A1", "A2", "B1"]
    assert [entry.difference for entry in found.bootcamps] == pytest.approx([-0.4, -0.5, 0.25])
    first = found.bootcamps[0]
    assert first.p == mcnemar_mid_p(4, 0)
    assert first.interval == tango_interval(4, 0, 10)
    assert [entry.name for entry in found.families] == ["A", "B"]
    assert found.families[0].difference == pytest.approx(-0.45)
    differences = [Fraction(-1, 10)] * 4 + [Fraction(-1, 2)]
    assert found.families[0].p == enumerated(differences)
    assert found.run.p == enumerated([*differences, Fraction(1, 4)])
    assert found.run.difference == pytest.approx((-0.4 - 0.5 + 0.25) / 3)
    assert (found.run.n_pairs, found.run.n_groups, found.run.name) == (16, 3, "overall")
    assert found.run.discordance == 6 / 16
    squares = [np.var([*values, 1, -1], ddof=1) / len(values) for values in ([-1] * 4 + [0] * 6, [0, -1], [0, 0, 1, 0])]
    half = Z95 * math.sqrt(sum(squares)) / 3
    assert found.run.interval.low == pytest.approx(found.run.difference - half)
    assert found.run.interval.high == pytest.approx(found.run.difference + half)


def test_rows_of_one_prompt_count_once() -> None:
    """Rows that share a prompt are one draw in tests and errors, with the weight of its rows."""
    prompts = "xxxxyyzzz"
    a = run("a", *(question(row, prompt, 1.0) for row, prompt in enumerate(prompts)))
    b = run("b", *(question(row, prompt, float(prompt == "z")) for row, prompt in enumerate(prompts)))
    [found] = one(a, b).bootcamps
    assert (found.n_pairs, found.n_prompts, found.discordance) == (9, 3, 6 / 9)
    assert found.difference == pytest.approx(-6 / 9)
    assert found.p == enumerated([Fraction(-4), Fraction(-2)])
    error = math.sqrt(np.var([-4 / 3, -2 / 3, 0, 1, -1], ddof=1) / 3)
    assert found.interval.low == pytest.approx(max(-1.0, -6 / 9 - Z95 * error))
    assert found.interval.high == pytest.approx(-6 / 9 + Z95 * error)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=12),
    st.integers(2, 4),
)
def test_rows_answered_alike_add_nothing(scores: list[tuple[float, float]], times: int) -> None:
    """A file that has every row several times tells of runs without randomness just what the rows tell once."""
    families = []
    for n in (1, times):
        a, b = (
            run(
                name,
                *(
                    question(row, str(row // n), pair[side])
                    for row, pair in enumerate(p for p in scores for _ in range(n))
                ),
            )
            for side, name in enumerate("ab")
        )
        families.append(one(a, b).families[0])
    first, second = families
    assert (first.n_pairs * times, first.n_prompts) == (second.n_pairs, second.n_prompts)
    assert first.p == second.p
    assert first.difference == pytest.approx(second.difference)
    assert first.interval.low == pytest.approx(second.interval.low)
    assert first.smallest_detectable == pytest.approx(second.smallest_detectable)


def test_repeats_of_rows_that_share_a_prompt_add_up() -> None:
    """The part of the variance that repeats take away is that of the rows, also where they share a prompt."""
    source = np.random.default_rng(5)
    runs = [
        run(
            name,
            *(question(row, str(row // 4), *source.integers(0, 2, 4).astype(float).tolist()) for row in range(4_000)),
        )
        for name in "ab"
    ]
    # 4,000 rows, each asked 4 times in both runs: the mean of as many coins as there are answers
    error = math.sqrt(2 * 0.25 / 16_000)
    found = one(runs[0], runs[1]).run
    assert (found.interval.high - found.interval.low) / 2 == pytest.approx(Z95 * error, rel=0.1)
    [gate] = compare(runs[0], runs[1:], gates=[Gate(name="overall", margin=found.difference - error)]).runs[0].gates
    assert gate.repeats_needed == pytest.approx(1.645**2 * 4, rel=0.15)


def test_levels_of_runs_with_repeats() -> None:
    """With repeats bootcamps are tested by the sign flip; runs are smoothed by 1/sqrt(K), bootcamps by 1."""
    a = scored("a", A1=[[1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0]], B1=[[1, 1, 1, 1], [0, 1, 0, 0]])
    b = scored("b", A1=[[1, 0], [1, 0], [0, 0]], B1=[[1, 1], [1, 1]])
    found = one(a, b)
    assert found.repeats == 2
    of_a, of_b = [-0.25, -0.25, 0.0], [0.0, 0.75]
    assert found.bootcamps[0].p == enumerated([Fraction(-1, 4)] * 2)
    assert found.run.p == enumerated([Fraction(-1, 12), Fraction(-1, 12), Fraction(3, 8)])
    squares = [np.var([*values, 0.5**0.5, -(0.5**0.5)], ddof=1) / len(values) for values in (of_a, of_b)]
    assert found.run.interval.high == pytest.approx(found.run.difference + Z95 * math.sqrt(sum(squares)) / 2)
    error = math.sqrt(np.var([*of_a, 1, -1], ddof=1) / 3)
    assert found.bootcamps[0].interval.low == pytest.approx(max(-1, -0.5 / 3 - Z95 * error))


def test_repeats_that_never_differ_count_once() -> None:
    """Where the repeats of a run never differ within a question, its variance is smoothed as if it had asked once."""
    a = scored("a", A1=[[1.0, 1.0, 1.0]] * 6)
    b = scored("b", A1=[[1.0, 0.0, 1.0], *[[1.0, 1.0, 1.0]] * 5])
    assert one(a, b).repeats == 1
    assert one(b, b).repeats == 3


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 2 / 3, 0.7, 1.0]), min_size=2, max_size=8))
def test_graded_scores_are_compared_exactly(scores: list[float]) -> None:
    """Graded scores are the numbers that they stand for: thirds and tenths tie as fractions do."""
    assume(set(scores) != {1.0})
    a = scored("a", A1=[[0.0]] * len(scores))
    b = scored("b", A1=[[score] for score in scores])
    exact = [Fraction(score).limit_denominator(100) for score in scores]
    assert one(a, b).bootcamps[0].p == enumerated(exact)
    mixed = scored("c", A1=[[score] if i % 2 else [0.0] for i, score in enumerate(scores)])
    changes = [Fraction(0) if i % 2 else -value for i, value in enumerate(exact)]
    assert one(b, mixed).bootcamps[0].p == enumerated([change for change in changes if change])


def test_scores_that_no_fraction_is_near_are_compared() -> None:
    """Scores with many digits have a p-value too, and scores beyond 1 an interval that is not cut."""
    a = scored("a", A1=[[0.123456789], [0.5]], B1=[[3.0], [5.0]])
    b = scored("b", A1=[[0.987654321], [0.25]], B1=[[3.5], [9.0]])
    found = one(a, b)
    assert found.run.p == enumerated([Fraction("0.864197532") / 2, Fraction(-1, 8), Fraction(1, 4), Fraction(2)])
    assert found.bootcamps[1].interval.high > 1


def test_many_changes_are_taken_as_normal() -> None:
    """With over 200 changed questions a level is tested by the normal approximation of the stratified sign flip."""
    a = scored("a", A1=[[0.0, 1.0]] * 300, A2=[[1.0, 1.0]] * 100)
    b = scored("b", A1=[[1.0, 1.0]] * 160 + [[0.0, 0.0]] * 140, A2=[[1.0, 0.0]] * 10 + [[1.0, 1.0]] * 90)
    found = one(a, b)
    total = 20 * 0.5 / 300 - 10 * 0.5 / 100
    z = total / math.sqrt(300 * 0.25 / 300**2 + 10 * 0.25 / 100**2)
    assert close(found.run.p, 2 * stats.norm.sf(abs(z)))


def test_levels_are_corrected() -> None:
    """Holm corrects families and bootcamps over their level, Benjamini & Hochberg tells which bootcamps changed."""
    texts = {"A1": ("1" * 12, "0" * 12), "A2": ("1" * 9, "0" * 9), "B1": ("10", "01"), "C1": ("1111111", "0000111")}
    a, b = (scored(name, **{key: once(pair[i]) for key, pair in texts.items()}) for i, name in enumerate("ab"))
    found = one(a, b)
    p_values = [entry.p for entry in found.bootcamps]
    assert [entry.p_adjusted for entry in found.bootcamps] == holm(p_values)
    assert [entry.p_changed for entry in found.bootcamps] == benjamini_hochberg(p_values)
    assert [entry.significant for entry in found.bootcamps] == [p < 0.05 for p in holm(p_values)]
    assert [entry.p_adjusted for entry in found.families] == holm([entry.p for entry in found.families])
    assert found.run.p_adjusted == found.run.p
    assert found.run.p_changed is None


def test_disagreement_of_p_and_interval_is_told() -> None:
    """An entry says where its p-value is below 0.05 and its interval holds 0, or the other way round."""

    def disagrees(entry: Difference) -> bool:
        return (entry.p < 0.05) == (entry.interval.low <= 0 <= entry.interval.high)

    losses = [one(scored("a", A1=once("1" * 30)), scored("b", A1=once("0" * n + "1" * (30 - n)))) for n in range(12)]
    entries = [entry for found in losses for entry in (found.run, *found.bootcamps)]
    assert [entry.disagrees for entry in entries] == [disagrees(entry) for entry in entries]
    assert any(entry.disagrees for entry in entries)


def test_data_sources_of_several_files_are_groups_of_their_own() -> None:
    """A data source in two test files of the baseline is two groups, named with their files."""
    a = run("a", *(question(row, "", 1.0, file=f"{row % 2}.jsonl") for row in range(6)))
    b = run("b", *(question(row, "", 0.0, file="all.jsonl") for row in range(6)))
    found = one(a, b)
    assert [entry.name for entry in found.bootcamps] == ["Maze (0.jsonl)", "Maze (1.jsonl)"]
    assert found.run.n_groups == 2


def test_data_sources_without_a_bootcamp_are_left_out() -> None:
    """A data source that has no bootcamp in both runs is left out and named."""
    asked = [question(0), question(1, "", None, data_source="Unknown", file="unknown.jsonl")]
    a, b = (collect_scores(name, asked, unverifiable=["Unknown"]) for name in "ab")
    found = one(a, b, Gate(name="overall", margin=-3.0))
    assert found.left_out == ("Unknown",)
    assert found.n_without_score == 0
    assert [entry.name for entry in found.bootcamps] == ["Maze"]
    assert (found.gates[0].outcome, found.gates[0].n_missing) == ("pass", 0)


def test_flips_are_listed_each_way() -> None:
    """Questions that most repeats got right in one run and wrong in the other are listed with their places."""
    a = scored("a", A1=[[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]], B1=once("0"))
    b = scored("b", A1=[[1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], B1=once("1"))
    found = one(a, b)
    assert [(flip.data_source, flip.row, flip.score) for flip in found.worse] == [("A1", 2, 0.0), ("A1", 0, 1 / 3)]
    assert [(flip.file, flip.row, flip.baseline_score) for flip in found.better] == [
        ("A1.jsonl", 1, 0.0),
        ("B1.jsonl", 0, 0.0),
    ]


def test_halves_of_a_run_share_its_repeats() -> None:
    """The halves of a run are the even and the odd repeats of each question."""
    ((even, odd),) = halves([question(0, "x", 0.0, 1.0, 0.5)])
    assert (list(even.scores), list(odd.scores)) == ([0.0, 0.5], [1.0])
    assert even.prompt == odd.prompt == "x"


# --- gates of runs


def test_gate_counts_missing_scores_as_worst_and_best() -> None:
    """A sample without a score counts once as worst and once as best; where these disagree the gate is undecided."""
    right = once("1" * 300)
    a, b = scored("a", A1=right), scored("b", A1=[[None], *right[1:]])
    worst, best = one(a, scored("b", A1=[[0.0], *right[1:]])), one(a, a)
    gate = one(a, b, Gate(name="overall", margin=-0.02)).gates[0]
    assert (gate.outcome, gate.n_missing) == ("pass", 1)
    assert gate.low < worst.run.difference
    assert gate.high > best.run.difference
    close_call = one(a, b, Gate(name="overall", margin=-0.009)).gates[0]
    assert (close_call.outcome, close_call.repeats_needed) == ("undecided", None)
    alone = one(a, a, Gate(name="overall", margin=-0.009)).gates[0]
    assert (alone.outcome, alone.low) == ("pass", -alone.high)


def test_gate_of_missing_baseline_scores() -> None:
    """A score that the baseline lacks counts as 1 in the worst case and as 0 in the best."""
    wrong = once("0" * 40)
    a, b = scored("a", A1=[[None], *wrong[1:]]), scored("b", A1=wrong)
    found = one(a, b, Gate(name="overall", margin=0.0))
    unfilled = one(b, b, Gate(name="overall", margin=0.0))
    assert found.gates[0].low < unfilled.gates[0].low - 1 / 40
    assert found.gates[0].high == unfilled.gates[0].high


def test_gate_of_a_family_looks_at_it_alone() -> None:
    """A gate with a family's name decides by that family; an unknown name is refused with those that there are."""
    a = scored("a", A1=once("1" * 400), B1=once("1" * 400))
    b = scored("b", A1=once("0" * 400), B1=once("1" * 400))
    found = one(a, b, Gate(name="A", margin=-0.05), Gate(name="B", margin=-0.05), Gate(name="overall", margin=-0.9))
    assert [gate.outcome for gate in found.gates] == ["fail", "pass", "pass"]
    with pytest.raises(UsageError, match="no family is named 'C'; use overall or one of A, B"):
        one(a, b, Gate(name="C", margin=-0.05))


def test_gate_needs_the_same_questions() -> None:
    """Runs that do not ask the same questions have no gate."""
    with pytest.raises(UsageError, match="2 are in one of them only"):
        one(scored("a", A1=once("111")), scored("b", A1=once("1"), B1=[]), Gate(name="overall", margin=-0.05))


def test_gate_tells_the_repeats_that_would_decide_it() -> None:
    """An undecided gate says how many repeats would decide it, unless the repeats of a run never differ."""
    gate = Gate(name="overall", margin=-0.02)
    found = compared(3, families=("f",) * 3, n=40, repeats=1, discordance=0.2, gates=[gate]).gates[0]
    assert found.outcome == "undecided"
    assert found.repeats_needed is not None
    assert found.repeats_needed > 1
    greedy = scored("a", A1=[[1.0, 1.0]] * 9)
    assert one(greedy, greedy, gate).gates[0].repeats_needed is None


def test_gate_of_unbounded_scores_with_missing_ones_is_undecided() -> None:
    """Where scores are outside [0, 1] a missing one has no worst and no best value."""
    a = scored("a", A1=[[5.0]] * 50)
    b = scored("b", A1=[[None], *[[9.0]] * 49])
    gate = Gate(name="overall", margin=-0.5)
    assert one(a, b, gate).gates[0].outcome == "undecided"
    assert one(a, scored("b", A1=[[9.0]] * 50), gate).gates[0].outcome == "pass"


# --- several runs


def test_several_runs_are_corrected_together_and_make_a_curve() -> None:
    """All runs are compared with the baseline, corrected over all of them, and each with the one before as a curve."""
    texts = ("0" * 20, "0" * 12 + "1" * 8, "0" * 3 + "1" * 17)
    runs = [scored(f"step {i}", A1=once(text), B1=once(text[:5])) for i, text in enumerate(texts)]
    found: Comparison = compare(runs[0], runs[1:])
    assert [compared.name for compared in found.runs] == ["step 1", "step 2"]
    assert [entry.run.p_adjusted for entry in found.runs] == holm([entry.run.p for entry in found.runs])
    bootcamps = [entry for of_run in found.runs for entry in of_run.bootcamps]
    assert [entry.p_adjusted for entry in bootcamps] == holm([entry.p for entry in bootcamps])
    assert [point.name for point in found.curve] == ["step 0", "step 1", "step 2"]
    assert [point.mean for point in found.curve] == pytest.approx([0.0, 0.2, (17 / 20 + 2 / 5) / 2])
    assert found.curve[0].step is None
    steps = [point.step for point in found.curve if point.step is not None]
    assert [step.difference for step in steps] == pytest.approx([0.2, (9 / 20 + 2 / 5) / 2])
    assert steps[0].p == found.runs[0].run.p
    assert compare(runs[0], runs[1:2]).curve == ()


def test_curve_shows_the_total_average() -> None:
    """The mean of a point is the unweighted mean of the run's groups, and None without any score."""
    runs = [scored(name, A1=[[1.0, 0.0], [1.0, None]], B1=once("0"), C1=[[None]]) for name in "abc"]
    groups = [group_mean([[1.0, 0.0], [1.0]]), group_mean([[0.0]])]
    total = run_mean([group for group in groups if group is not None])
    assert total is not None
    assert [point.mean for point in compare(runs[0], runs[1:]).curve] == [total.mean] * 3


# --- findings


FAMILIES = ("large",) * 10 + ("small",) * 4 + ("other",) * 6


@pytest.mark.parametrize(
    ("repeats", "discordance", "prompts"), [(1, 0.2, None), (1, 0.4, None), (4, 0.4, None), (1, 0.2, 5)]
)
def test_equal_runs_have_few_findings(repeats: int, discordance: float, prompts: int | None) -> None:
    """Of 200 pairs of equal runs at most 20 have a finding at each level, also where rows of a prompt are alike."""
    runs = [
        compared(seed, families=FAMILIES, n=32, repeats=repeats, discordance=discordance, prompts=prompts)
        for seed in range(200)
    ]
    assert sum(found.run.significant for found in runs) <= 20
    assert sum(any(entry.significant for entry in found.families) for found in runs) <= 20
    assert sum(any(entry.significant for entry in found.bootcamps) for found in runs) <= 20


def test_planted_loss_is_found_where_it_is() -> None:
    """A loss of 15 points on ten bootcamps is found in their family in at least 95 of 100 runs, elsewhere in few."""
    runs = [
        compared(seed, families=FAMILIES, n=48, repeats=1, discordance=0.2, loss=0.15, lossy="large")
        for seed in range(100)
    ]
    families = [{entry.name: entry.significant for entry in found.families} for found in runs]
    assert sum(found["large"] for found in families) >= 95
    assert sum(found["small"] or found["other"] for found in families) <= 10
    outside = [any(entry.significant for entry in found.bootcamps[10:]) for found in runs]
    assert sum(outside) <= 10


def test_family_finds_what_its_bootcamps_do_not() -> None:
    """A loss of 15 points on four bootcamps is found by their family far more often than in any of them."""
    runs = [
        compared(seed, families=FAMILIES, n=64, repeats=1, discordance=0.2, loss=0.15, lossy="small")
        for seed in range(40)
    ]
    by_family = [next(entry.significant for entry in found.families if entry.name == "small") for found in runs]
    by_bootcamp = [entry.significant for found in runs for entry in found.bootcamps[10:14]]
    assert np.mean(by_family) >= 0.95
    assert np.mean(by_bootcamp) <= 0.5


@pytest.mark.parametrize("repeats", [1, 3])
def test_simulated_runs_are_what_would_be_collected(repeats: int) -> None:
    """The columns of simulated runs are those that their questions would give."""
    scores = np.random.default_rng(1).integers(0, 2, (2, 5, repeats)).astype(np.float64)
    simulated, collected = scores_of("a", scores, ("f", "g")), collect_scores("a", questions_of(scores, ("f", "g")))
    for field in fields(QuestionScores):
        value, expected = getattr(simulated, field.name), getattr(collected, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, expected)
        else:
            assert value == expected
