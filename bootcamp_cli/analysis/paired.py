"""Tests, intervals, power and gates for paired differences: what two runs that answered the same questions tell.

d_i is the score of question i in run B less that in run A, each the mean of its repeats. Sources:

    Fagerland, M. W., Lydersen, S., & Laake, P. (2013). The McNemar test for binary matched-pairs data: mid-p and
        asymptotic are better than exact conditional. BMC Medical Research Methodology 13.
    Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design. Statistics in Medicine 17.
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6.
    Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate. JRSS B 57.
    Phipson, B., & Smyth, G. K. (2010). Permutation p-values should never be zero. SAGMB 9.
    Connor, R. J. (1987). Sample size for testing differences in proportions for the paired-sample design.
        Biometrics 43.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from bootcamp_cli.analysis.statistics import Z95, Interval, normal_cdf
from bootcamp_cli.errors import EXIT_INCOMPLETE, EXIT_OK, UsageError

ALPHA = 0.05
MAX_EXACT = 14
"""Up to so many non-zero differences every flip of their signs is counted: 2^14."""
MAX_FLIPPED = 200
"""With more non-zero differences their sum is as good as normal."""
N_FLIPS, N_MORE_FLIPS, N_MOST_FLIPS = 9_999, 99_999, 999_999

_N_ROWS = 10_000
_LIMB_BITS = 50
"""Numbers beyond 64 bits are added in pieces of so many bits, up to 25 of them without overflow."""

Outcome = Literal["pass", "fail", "undecided"]

EXIT_GATE_FAILED = 5
EXIT_GATE_UNDECIDED = 6


def sign_flip_p(differences: Iterable[int], *, n_tests: int = 1, seed: int = 0) -> float:
    """The two-sided p-value of the sum of differences, whose signs are as good as random where nothing changed.

    Differences are integers over a common denominator, of any size: sums of floats would break ties. Up to 14 that are
    not 0 every flip is counted; over 200 the sum is taken as normal with variance sum d^2; else p = (b + 1) / (m + 1)
    for b of m seeded flips with a sum at least as far from 0 (Phipson & Smyth 2010). There are more flips where p times
    the number of tests that it is one of is below 0.2: the correction for so many tests asks for smaller p.
    """
    signed = [difference for difference in differences if difference]
    if not signed:
        return 1.0
    unit = math.gcd(*signed)
    sizes, total = sorted(abs(difference) // unit for difference in signed), abs(sum(signed)) // unit
    if len(sizes) > MAX_FLIPPED:
        return _two_sided(math.sqrt(total * total / sum(size * size for size in sizes)))
    if len(sizes) <= MAX_EXACT:
        return _exact_p(sizes, total)
    p = _seeded_p(sizes, total, N_FLIPS, seed)
    if p * n_tests < 0.2:
        # enough for some ten flips below Holm's first limit
        p = _seeded_p(sizes, total, N_MORE_FLIPS if 200 * n_tests <= N_MORE_FLIPS else N_MOST_FLIPS, seed)
    return p


def normal_sign_flip_p(differences: Sequence[float]) -> float:
    """The p-value of `sign_flip_p` for more than 200 differences that are not 0, where they need not be exact."""
    squares = math.fsum([difference * difference for difference in differences])
    return _two_sided(math.fsum(differences) / math.sqrt(squares)) if squares else 1.0


def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def _exact_p(sizes: Sequence[int], total: int) -> float:
    """The share of all flips whose sum is at least as far from 0."""
    sums = [0]
    for size in sizes:
        sums += [above + size for above in sums]
    everything = sum(sizes)
    return sum(abs(2 * above - everything) >= total for above in sums) / len(sums)


def _seeded_p(sizes: Sequence[int], total: int, n_flips: int, seed: int) -> float:
    """The p-value (b + 1) / (m + 1), with exact sums: each random byte says which of eight sizes are added."""
    everything, n_far = sum(sizes), 0
    n_limbs = -(-everything.bit_length() // _LIMB_BITS)
    sums_by_byte = _subset_sums(sizes, n_limbs)
    # the raw stream of a bit generator, unlike what is made of it, is the same in every version of numpy
    source, n_words = np.random.PCG64(seed), -(-len(sizes) // 64)
    for start in range(0, n_flips, _N_ROWS):
        n_rows = min(_N_ROWS, n_flips - start)
        words = np.asarray(source.random_raw(n_rows * n_words), dtype="<u8")
        chosen = words.view(np.uint8).reshape(n_rows, n_words * 8)
        limbs = np.zeros((n_rows, n_limbs), dtype=np.int64)
        for block, sums in enumerate(sums_by_byte):
            limbs += sums[chosen[:, block]]
        if n_limbs == 1:
            n_far += int(np.count_nonzero(np.abs(2 * limbs - everything) >= total))
        else:
            n_far += sum(abs(2 * _joined(row) - everything) >= total for row in limbs.tolist())
    return (n_far + 1) / (n_flips + 1)


def _subset_sums(sizes: Sequence[int], n_limbs: int) -> npt.NDArray[np.int64]:
    """The sums of the subsets of each eight numbers, by the byte whose bits choose them, cut into limbs.

    The shape is (len(sizes) / 8, 256, n_limbs).
    """
    mask = (1 << _LIMB_BITS) - 1
    limbs = np.zeros((-(-len(sizes) // 8) * 8, n_limbs), dtype=np.int64)
    limbs[: len(sizes)] = [[size >> _LIMB_BITS * i & mask for i in range(n_limbs)] for size in sizes]
    blocks = limbs.reshape(-1, 8, n_limbs)
    sums = np.zeros((len(blocks), 1, n_limbs), dtype=np.int64)
    for bit in range(8):
        sums = np.concatenate([sums, sums + blocks[:, bit, None]], axis=1)
    return sums


def _joined(limbs: Sequence[int]) -> int:
    return sum(limb << _LIMB_BITS * i for i, limb in enumerate(limbs))


def mcnemar_exact_p(n_worse: int, n_better: int) -> float:
    """The exact conditional p-value of McNemar's test: discordant pairs go either way with chance 1/2."""
    at_least, equal = _sign_tail(n_worse, n_better)
    return min(1.0, at_least + equal)


def mcnemar_mid_p(n_worse: int, n_better: int) -> float:
    """The mid-p value of McNemar's test (Fagerland, Lydersen & Laake 2013).

    The chance of a split further from even, and half of that of one as far; 1 where no pair is discordant.
    """
    if n_worse == n_better == 0:
        return 1.0
    further, equal = _sign_tail(n_worse, n_better)
    return further + equal / 2


def _sign_tail(n_worse: int, n_better: int) -> tuple[float, float]:
    """The chances that n fair coins split further from even than this, and as far."""
    n, less = n_worse + n_better, min(n_worse, n_better)
    sides = 1 if n_worse == n_better else 2
    if n <= 1000:
        term, below = math.comb(n, less), 0
        equal = sides * term
        for x in range(less, 0, -1):
            term = term * x // (n - x + 1)
            below += term
        return 2 * below / 2**n, equal / 2**n
    chance = math.exp(math.lgamma(n + 1) - math.lgamma(less + 1) - math.lgamma(n - less + 1) - n * math.log(2))
    terms, x, term_chance = [], less, chance
    while x and term_chance > 1e-20 * chance:
        term_chance *= x / (n - x + 1)
        x -= 1
        terms.append(term_chance)
    return 2 * math.fsum(terms), sides * chance


def tango_interval(n_worse: int, n_better: int, n: int) -> Interval:
    """Tango's score interval (1998) of the difference of two shares of right answers to the same n questions.

    The limits are where `tango_score` is +-z; never of zero width.
    """
    upper = _tango_limit(n_worse, n_better, n)
    return Interval(low=-_tango_limit(n_better, n_worse, n), high=upper)


def _tango_limit(n_worse: int, n_better: int, n: int) -> float:
    """The upper limit, by bisection: the score falls as the difference rises."""
    low, high = (n_better - n_worse) / n, 1.0
    while low < (middle := (low + high) / 2) < high:
        if tango_score(n_worse, n_better, n, middle) > -Z95:
            low = middle
        else:
            high = middle
    return high


def tango_score(n_worse: int, n_better: int, n: int, difference: float) -> float:
    """The score statistic of a difference D: (c - b - nD) / sqrt(n (2 q + D(1 - D))).

    b and c are the questions that only A, and only B, has right; q is the most likely share of the first kind given D,
    the larger root of 2n q^2 - (b + c + D (c - b - 2n)) q - b D (1 - D) = 0.
    """
    if difference < 0:
        return -tango_score(n_better, n_worse, n, -difference)
    linear = n_worse + n_better + difference * (n_better - n_worse - 2 * n)
    constant = n_worse * difference * (1 - difference)
    root = math.sqrt(linear * linear + 8 * n * constant)
    # of the two forms of the root, the one that does not subtract
    share = (linear + root) / (4 * n) if linear >= 0 else 2 * constant / (root - linear)
    variance = n * (2 * share + difference * (1 - difference))
    distance = n_better - n_worse - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm (1979): the chance of any false finding stays below the level."""
    adjusted, largest, n = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, i in enumerate(sorted(range(n), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (n - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Benjamini & Hochberg (1995): the expected share of false findings stays below the level."""
    adjusted, smallest, n = [0.0] * len(p_values), 1.0, len(p_values)
    for rank, i in reversed(list(enumerate(sorted(range(n), key=p_values.__getitem__), start=1))):
        smallest = min(smallest, p_values[i] * n / rank)
        adjusted[i] = smallest
    return adjusted


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedMoments:
    """The paired differences of one group: their number, mean, and mean square.

    `within` is the part of the mean square that comes from answering each question only so often: it shrinks with more
    repeats, the rest does not.
    """

    n: int
    mean: float
    square: float
    within: float


def assumed_moments(*, n: int, discordance: float, repeats: float = 1) -> PairedMoments:
    """The differences to be expected of n questions where nothing changes.

    `discordance` is the share of questions whose 0/1 score differs between two answers to each.
    """
    return PairedMoments(n=n, mean=0.0, square=discordance / repeats, within=discordance / repeats)


def difference_error(groups: Sequence[PairedMoments], pseudo: float) -> float:
    """The standard error of the unweighted mean of group differences: sqrt(sum SE_t^2) / T.

    SE_t^2 = v' N' / n as for the mean of a run, the two pseudo-questions being d = +`pseudo` and -`pseudo`.
    """
    squares = []
    for group in groups:
        n = group.n + 2
        center = group.n * group.mean / n
        squares.append((group.n * group.square + 2 * pseudo * pseudo - n * center * center) / (n - 1) / group.n)
    return math.sqrt(math.fsum(squares)) / len(groups)


def smallest_detectable(groups: Sequence[PairedMoments], *, repeats: float, n_tests: int = 1) -> float | None:
    """The smallest difference that is found with 80 %; None where even a difference of 1 would not be.

    Found means p < 0.05 after the correction for `n_tests`. After Connor (1987): with D lost (or won) by answers struck
    at random, the variance of a question's difference is its mean square v where nothing changed and D(1 - D)/K more,
    and

        D = z_(1 - 0.025/tests) sqrt(sum (v + D(1 - D)/K + D^2) / n) / T + z_0.8 sqrt(sum (v + D(1 - D)/K) / n) / T
    """
    needed = _needed(groups, repeats, n_tests)
    low, high = 0.0, 1.0
    if needed(high, 1.0) > high:
        return None
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle, 1.0) > middle else (low, middle)
    return high


def repeats_needed(
    groups: Sequence[PairedMoments], difference: float, *, repeats: float, n_tests: int = 1
) -> int | None:
    """The repeats of each question with which a difference is found with 80 %; None where no number is enough."""
    needed, most = _needed(groups, repeats, n_tests), 1 << 20
    if needed(difference, most / repeats) > difference:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(difference, middle / repeats) > difference else (low, middle)
    return high


def questions_needed(groups: Sequence[PairedMoments], difference: float, *, repeats: float, n_tests: int = 1) -> int:
    """The questions, in the same proportions, with which a difference is found with 80 % at these repeats."""
    times = (_needed(groups, repeats, n_tests)(difference, 1.0) / difference) ** 2
    return math.ceil(times * sum(group.n for group in groups) - 1e-9)


def _needed(groups: Sequence[PairedMoments], repeats: float, n_tests: int) -> Callable[[float, float], float]:
    """What a difference must be to be found, by the variance that it has itself and by the factor of the repeats."""
    z_found, z_power = NormalDist().inv_cdf(1 - ALPHA / 2 / n_tests), NormalDist().inv_cdf(0.8)
    n_groups = len(groups)
    fixed = math.fsum([(group.square - group.within) / group.n for group in groups]) / n_groups**2
    within = math.fsum([group.within / group.n for group in groups]) / n_groups**2
    one = math.fsum([1 / group.n for group in groups]) / n_groups**2

    def needed(difference: float, more: float) -> float:
        variance = fixed + within / more + one * difference * (1 - difference) / (repeats * more)
        return z_found * math.sqrt(variance + one * difference**2) + z_power * math.sqrt(variance)

    return needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A requirement on a difference: `name` (`overall` or a family) must be above `margin`, -0.01 for -1 %."""

    name: str
    margin: float

    def __str__(self) -> str:
        return f"{self.name} > {100 * self.margin:.10g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateShares:
    """How often a gate passes, fails and stays undecided where nothing changed."""

    passed: float
    failed: float
    undecided: float


def parse_gate(text: str) -> Gate:
    """The gate that a text like `overall > -1%` describes; the margin is a percentage or a plain number.

    Raises:
        UsageError: the text has another form.
    """
    match = re.fullmatch(r"\s*(.+?)\s*>\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*(%?)\s*", text)
    if match is None:
        raise UsageError(f"cannot read the gate {text!r}", hint='write it like "overall > -1%"')
    name, number, percent = match.groups()
    return Gate(name=name, margin=float(number) / (100 if percent else 1))


def gate_outcome(difference: float, error: float, margin: float) -> Outcome:
    """Whether a difference is above a margin, by its one-sided 95 % bounds: lower above, upper below, or neither."""
    low, high = gate_bounds(difference, error)
    if low > margin:
        return "pass"
    return "fail" if high < margin else "undecided"


def gate_bounds(difference: float, error: float) -> tuple[float, float]:
    """The lower and upper one-sided 95 % bounds of a difference."""
    half = NormalDist().inv_cdf(1 - ALPHA) * error
    return difference - half, difference + half


def gate_shares(groups: Sequence[PairedMoments], *, error: float, margin: float) -> GateShares:
    """How often a gate of this margin passes, fails and is undecided where nothing changed.

    The difference is then normal around 0 with the variance sum s_t^2 / n_t / T^2; `error` is the smoothed one that
    decides.
    """
    variances = [(group.square - group.mean**2 if group.n > 1 else group.square) / group.n for group in groups]
    deviation = math.sqrt(max(0.0, math.fsum(variances))) / len(groups)
    half = gate_bounds(0.0, error)[1]
    if deviation == 0:
        outcome = gate_outcome(0.0, error, margin)
        return GateShares(passed=outcome == "pass", failed=outcome == "fail", undecided=outcome == "undecided")
    passed, failed = normal_cdf(-(margin + half) / deviation), normal_cdf((margin - half) / deviation)
    return GateShares(passed=passed, failed=failed, undecided=max(0.0, 1 - passed - failed))


def repeats_to_decide(
    groups: Sequence[PairedMoments], *, difference: float, margin: float, repeats: float, pseudo: float
) -> int | None:
    """The repeats of each question with which a gate is decided if the difference stays; None where none are enough."""

    def is_decided(number: int) -> bool:
        more = number / repeats
        later = [
            PairedMoments(
                n=group.n,
                mean=group.mean,
                square=max(group.square - group.within + group.within / more, group.mean**2),
                within=group.within / more,
            )
            for group in groups
        ]
        return gate_outcome(difference, difference_error(later, pseudo / math.sqrt(more)), margin) != "undecided"

    low, high = 0, 1 << 20
    if not is_decided(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_decided(middle) else (middle, high)
    return high


def gate_exit_code(outcomes: Iterable[Outcome], own: int = EXIT_OK) -> int:
    """The exit code of a command with gates: 5 where one failed, else 6 where one is undecided, else its own.

    Errors of the command itself come before gates, and gates before samples that are missing (3).
    """
    if own not in {EXIT_OK, EXIT_INCOMPLETE}:
        return own
    found = set(outcomes)
    if "fail" in found:
        return EXIT_GATE_FAILED
    return EXIT_GATE_UNDECIDED if "undecided" in found else own
