"""Endpoints that differ are named early, equal ones hardly ever: simulated runs, exact tails, odd orders of events."""

import heapq
import math
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bootcamp_cli.analysis.drift import ALPHA, DriftWatch, Finding, Measure, Strata, Sums, two_sided_p

MAX_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What is wrong with the first endpoint: points of score, a factor of lengths, a share of truncated answers."""

    loss: float = 0.0
    length: float = 1.0
    truncated: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """A finding, and how many samples of its endpoint had ended by then."""

    finding: Finding
    n_ended: int


def simulate(
    seed: int,
    *,
    n_samples: int,
    base: float = 0.5,
    n_endpoints: int = 8,
    n_in_flight: int = 128,
    planted: Planted | None = None,
    until_found: bool = False,
) -> list[Found]:
    """The findings of a run of 40 bootcamps, long ones first, on endpoints of very different speed.

    The endpoint with the fewest requests gets the next sample. Bootcamps differ in difficulty and length; long answers
    are wrong more often, those beyond the token limit always; one sample of 100 fails.
    """
    draw = random.Random(seed)  # noqa: S311 - a simulation
    planted = planted or Planted()
    bootcamps = [(f"b{at}", draw.gauss(0, 1.2), draw.gauss(6, 0.8)) for at in range(40)]
    bootcamps.sort(key=lambda each: -each[2])
    shift = math.log(base / (1 - base)) * 1.25
    speeds = [2.0 ** draw.uniform(-2, 1) for _ in range(n_endpoints)]
    watch, n_open, n_ended = DriftWatch(), [0] * n_endpoints, Counter[int]()
    heap: list[tuple[float, int, int, object, tuple[str, float, int, bool] | None]] = []
    found: list[Found] = []
    now, at = 0.0, 0
    while at < n_samples or heap:
        while at < n_samples and len(heap) < n_in_flight:
            name, skill, length = bootcamps[at * len(bootcamps) // n_samples]
            server = min(range(n_endpoints), key=lambda e: (n_open[e], draw.random()))
            is_odd = server == 0
            deviate = draw.gauss(0, 1)
            n_tokens = int(math.exp(length + 0.6 * deviate) * (planted.length if is_odd else 1.0)) + 1
            is_truncated = n_tokens >= MAX_TOKENS or (is_odd and draw.random() < planted.truncated)
            chance = 1 / (1 + math.exp(-(skill + shift - 0.5 * deviate)))
            right = not is_truncated and draw.random() < chance * (1 - planted.loss / base if is_odd else 1.0)
            n_tokens = min(n_tokens, MAX_TOKENS)
            outcome = None if draw.random() < 0.01 else (name, float(right), n_tokens, is_truncated)
            n_open[server] += 1
            heapq.heappush(heap, (now + n_tokens / speeds[server], at, server, watch.started(f"s{server}"), outcome))
            at += 1
        now, _, server, token, outcome = heapq.heappop(heap)
        n_open[server] -= 1
        n_ended[server] += 1
        if outcome is None:
            new = watch.failed(token)  # type: ignore[arg-type]
        else:
            name, score, n_tokens, is_truncated = outcome
            new = watch.ended(token, name, score, n_tokens, truncated=is_truncated)  # type: ignore[arg-type]
        found += [Found(finding=each, n_ended=n_ended[int(each.endpoint[1:])]) for each in new]
        if found and until_found:
            break
    return found


def test_equal_endpoints_hardly_ever_alarm(*, long_form: bool) -> None:
    """Of 200 runs on 8 equal endpoints at most 10 have a finding, as many as the level allows."""
    n_runs, n_samples = (200, 8000) if long_form else (30, 2500)
    alarmed = [seed for seed in range(n_runs) if simulate(seed, n_samples=n_samples)]
    if long_form:
        print(f"alarms: {len(alarmed)} of {n_runs}")  # noqa: T201 - a figure of the long form
    assert len(alarmed) <= n_runs // 20


@pytest.mark.parametrize("base", [0.25, 0.5, 0.7, 0.9])
def test_a_loss_of_20_points_is_found_within_500_samples(base: float, *, long_form: bool) -> None:
    """A replica that loses 20 points is named before 500 of its samples have ended, whatever the seed."""
    needed = []
    for seed in range(50 if long_form else 4):
        found = simulate(seed, n_samples=8000, base=base, planted=Planted(loss=0.2), until_found=True)
        assert found, seed
        assert (found[0].finding.endpoint, found[0].finding.measure) == ("s0", "score")
        assert found[0].finding.value < found[0].finding.others
        assert found[0].finding.p <= ALPHA
        needed.append(found[0].n_ended)
    if long_form:
        print(f"base {base}: {sorted(needed)[len(needed) // 2]} samples, at most {max(needed)}")  # noqa: T201
    assert max(needed) <= 500


@pytest.mark.parametrize(
    ("planted", "measure", "is_more"),
    [
        (Planted(length=0.6), "length", False),
        (Planted(length=1.5), "length", True),
        (Planted(truncated=0.15), "truncation", True),
    ],
)
def test_wrong_lengths_and_truncation_are_found(
    planted: Planted, measure: Measure, *, is_more: bool, long_form: bool
) -> None:
    """A replica whose answers are too long, too short or cut off is named for that before 500 of its samples ended."""
    n_seeds, n_strange = 20 if long_form else 2, 0
    for seed in range(n_seeds):
        found = simulate(seed, n_samples=6000, planted=planted)
        first = next(each for each in found if each.finding.measure == measure)
        n_strange += {each.finding.endpoint for each in found} != {"s0"}
        assert (first.finding.value > first.finding.others) is is_more
        assert first.n_ended <= 500
    assert n_strange <= n_seeds // 20


def test_each_finding_is_told_once() -> None:
    """However long an odd endpoint goes on, each measure names it once, and nobody else for being unlike it."""
    found = simulate(3, n_samples=30_000, n_endpoints=4, planted=Planted(loss=0.3, length=1.5))
    assert Counter((each.finding.endpoint, each.finding.measure) for each in found) == {
        ("s0", "score"): 1,
        ("s0", "length"): 1,
        ("s0", "truncation"): 1,
    }


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05, 0.2, 0.5, 0.9])
def test_the_tail_of_rare_events_is_never_too_small(share: float) -> None:
    """Down to 1e-10 the p of 0/1 values is at least that of the sum of hypergeometric counts, and at first near it.

    That of a normal curve is too small by a factor of thousands where events are rare.
    """
    draw = np.random.default_rng(int(1000 * share))
    too_small = 1.0
    for _ in range(40):
        n_endpoints, n_bootcamps = draw.integers(2, 9), draw.integers(1, 30)
        strata, exact = [], np.array([1.0])
        for _ in range(n_bootcamps):
            size = max(3, int(draw.choice([400, 2000, 6000]) / n_bootcamps))
            n, events = int(draw.binomial(size, 1 / n_endpoints)), int(draw.binomial(size, share))
            strata.append((size, n, events))
            exact = np.convolve(exact, stats.hypergeom.pmf(np.arange(min(n, events) + 1), size, events, n))
        mean = sum(n * events / size for size, n, events in strata)
        variance = sum(n * (s - n) / s / (s - 1) * (e - e * e / s) for s, n, e in strata)
        third = sum(
            n * (s - n) * (s - 2 * n) / (s * (s - 1) * (s - 2)) * (e - 3 * e * e / s + 2 * e**3 / s**2)
            for s, n, e in strata
        )
        above, below = np.cumsum(exact[::-1])[::-1], np.cumsum(exact)
        for count in range(len(exact)):
            tail = 2 * float(above[count] if count > mean else below[count])
            if not 1e-10 < tail < 0.05:
                continue
            p = two_sided_p(count - mean, variance, third, step=1.0)
            assert p >= 0.99 * tail
            assert p <= 6 * tail or tail < 1e-3
            too_small = min(too_small, 2 * stats.norm.sf((abs(count - mean) - 0.5) / math.sqrt(variance)) / tail)
    assert too_small < 1e-3 or share > 0.05


@given(st.floats(-50, 50), st.floats(1e-3, 1e3), st.floats(-1e4, 1e4), st.sampled_from([0.0, 1.0]))
def test_p_is_a_chance(deviation: float, variance: float, third: float, step: float) -> None:
    """Whatever the moments, p is between 0 and 1 and mirrors with them."""
    p = two_sided_p(deviation, variance, third, step=step)
    assert 0 <= p <= 1
    assert p == two_sided_p(-deviation, variance, -third, step=step)


def test_the_tail_is_that_of_the_gamma_distribution() -> None:
    """Without steps p is twice the tail of the gamma distribution with these moments, to 5 percent."""
    for shape in (1.0, 3.0, 40.0, 1e4, 1e9):
        for x in (3.0, 4.0, 6.0, 8.0):
            exact = 2 * stats.gamma.sf(shape + x * math.sqrt(shape), shape)
            assert two_sided_p(x * math.sqrt(shape), shape, 2 * shape) == pytest.approx(exact, rel=0.05)
        if shape >= 40:
            exact = 2 * stats.gamma.cdf(shape - 4 * math.sqrt(shape), shape)
            assert two_sided_p(-4 * math.sqrt(shape), shape, 2 * shape) == pytest.approx(exact, rel=0.05)


def test_the_statistic_is_that_of_cochran_mantel_haenszel() -> None:
    """The moments over bootcamps are those of drawing an endpoint's samples anew, also for graded scores."""
    draw = random.Random(1)  # noqa: S311 - a simulation
    strata, values = Strata(), dict[str, list[tuple[str, float]]]()
    for at in range(400):
        name, endpoint = f"b{at % 5}", "a" if draw.random() < 0.3 else "b"
        value = draw.random() + at % 5
        strata.add(endpoint, name, value, None, truncated=False)
        values.setdefault(name, []).append((endpoint, value))
    compared = strata.compare("a", "score")
    assert compared is not None
    weights, differences, variance = [], [], 0.0
    for each in values.values():
        own = [value for endpoint, value in each if endpoint == "a"]
        rest = [value for endpoint, value in each if endpoint == "b"]
        weights.append(len(own) * len(rest) / len(each))
        differences.append(np.mean(own) - np.mean(rest))
        variance += weights[-1] * float(np.var([value for _, value in each], ddof=1))
    mean = float(np.average(differences, weights=weights))
    assert compared.value - compared.others == pytest.approx(mean, abs=1e-5)
    z = mean * sum(weights) / math.sqrt(variance)
    assert compared.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.1)


def test_unfinished_samples_hold_back_those_behind_them() -> None:
    """An endpoint whose long answers have not ended is not judged by its short ones, which ended before them."""
    watch, draw = DriftWatch(), random.Random(1)  # noqa: S311 - a simulation
    slow = []
    for _ in range(400):
        n_tokens = draw.choice([100, 5000])
        assert not watch.ended(watch.started("fast"), "Sudoku", 1.0, n_tokens, truncated=False)
        n_tokens = draw.choice([100, 5000])
        slow.append((watch.started("slow"), n_tokens))
    late = [each for each in slow if each[1] == 5000]
    for token, n_tokens in (*(each for each in slow if each[1] == 100), *late):
        assert not watch.ended(token, "Sudoku", 1.0, n_tokens, truncated=False)
    assert not watch.findings
    assert watch._endpoints["slow"].n == 400


def test_failed_samples_are_passed_over() -> None:
    """A sample that fails, or goes elsewhere, holds back nobody and does not count."""
    watch = DriftWatch()
    first, second = watch.started("a"), watch.started("a")
    watch.ended(second, "Sudoku", 1.0, 5, truncated=False)
    assert watch._endpoints["a"].n == 0
    watch.failed(first)
    assert watch._endpoints["a"].n == 1


def test_memory_is_bounded_behind_a_sample_that_never_ends() -> None:
    """Some thousand samples wait behind one that never ends, and later ones are left out; so are too many endpoints."""
    watch = DriftWatch()
    watch.started("a")
    for at in range(1200):
        watch.ended(watch.started(f"x{at}"), "Sudoku", 1.0, 5, truncated=False)
    assert len(watch._endpoints) == 1000
    for _ in range(3000):
        watch.ended(watch.started("a"), "Sudoku", 1.0, 5, truncated=False)
    assert len(watch._endpoints["a"].waiting) == 1024


def test_levels_add_up_to_at_most_the_whole() -> None:
    """What all looks at all endpoints may spend, whenever they join, is 0.05 at most."""
    watch = DriftWatch()
    for at in range(8):
        watch.started(f"s{at}")
    for _ in range(60):
        watch.ended(watch.started("s8"), "Sudoku", 1.0, 5, truncated=False)
    for at in range(300):
        watch.started(f"late{at}")
    levels = [state.level or 0.0 for state in watch._endpoints.values()]
    assert len(levels) == 309
    assert all(levels)
    assert ALPHA * 0.9 < sum(levels) <= ALPHA
    assert sum(5 / ((k + 5) * (k + 6)) for k in range(100_000)) <= 1


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.integers(0, 2**53), st.booleans()), max_size=30))
def test_no_score_or_length_breaks_a_comparison(samples: list[tuple[float, int, bool]]) -> None:
    """Scores of any size, infinite ones included, give chances and no errors."""
    strata = Strata()
    for at, (score, n_tokens, truncated) in enumerate(samples):
        strata.add("ab"[at % 2], "Sudoku", score, n_tokens, truncated=truncated)
    for finding in strata.findings():
        assert 0 <= finding.p <= ALPHA
        assert math.isfinite(finding.value)


def test_the_order_of_answers_is_no_matter() -> None:
    """The same answers in another order give the same findings to the last bit, and so does the sum of two halves."""
    draw = random.Random(2)  # noqa: S311 - a simulation
    answers = [(draw.choice("abc"), draw.choice("xy"), draw.random(), draw.randrange(9000)) for _ in range(3000)]
    answers = [(e, b, score * (0.9 if e == "a" else 1), n * (2 if e == "b" else 1)) for e, b, score, n in answers]
    parts = [Strata() for _ in range(4)]
    for at, answer in enumerate(answers):
        parts[0].add(*answer, truncated=False)
        parts[1 + at % 2].add(*answer, truncated=False)
    draw.shuffle(answers)
    for answer in answers:
        parts[3].add(*answer, truncated=False)
    whole = Strata()
    for half in parts[1:3]:
        for endpoint, by_bootcamp in half._by_endpoint.items():
            for bootcamp, sums in by_bootcamp.items():
                whole.add_sums(bootcamp, {endpoint: sums})
    findings = parts[0].findings()
    assert {(finding.endpoint, finding.measure) for finding in findings} >= {("a", "score"), ("b", "length")}
    assert parts[3].findings() == whole.findings() == findings


def test_over_all_records_only_the_odd_ones_differ() -> None:
    """Two of eight endpoints that lose are both named, the six that they make look better are not."""
    strata, draw = Strata(), random.Random(5)  # noqa: S311 - a simulation
    for at in range(60_000):
        server = draw.randrange(8)
        right = draw.random() < (0.3 if server < 2 else 0.5) + at % 3 / 10
        strata.add(f"s{server}", f"b{at % 3}", float(right), 100, truncated=False)
    findings = strata.findings()
    assert sorted((f.endpoint, f.measure) for f in findings) == [("s0", "score"), ("s1", "score")]
    assert findings[0].n_compared + findings[1].n_compared == 13
    whole = Strata()
    for endpoint, by_bootcamp in strata._by_endpoint.items():
        for bootcamp, sums in by_bootcamp.items():
            whole.add_sums(bootcamp, {endpoint: Sums(sums.values)})
    assert whole.findings() == findings


def test_endpoints_without_a_bootcamp_in_common_are_not_compared() -> None:
    """Where no bootcamp was answered by both there is no comparison."""
    strata = Strata()
    strata.add("a", "x", 1.0, 1, truncated=False)
    strata.add("b", "y", 0.0, 1, truncated=False)
    assert strata.compare("a", "score") is None
    assert not strata.findings()
