"""Sums that do not depend on the order of their terms."""

import random
import sys
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.analysis.statistics import exact_mean, exact_sum

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE), st.randoms(use_true_random=False))
def test_sum_has_the_same_bits_in_any_order(values: list[float], shuffler: random.Random) -> None:
    """Shuffling the terms changes no bit of the sum, not even where sums on the way overflow."""
    shuffled = values.copy()
    shuffler.shuffle(shuffled)
    assert exact_sum(shuffled).hex() == exact_sum(values).hex()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_sum_is_the_exact_one_rounded_once(values: list[float]) -> None:
    """The sum is the float nearest to the sum of fractions, and the mean that divided by the count."""
    exact = float(sum(map(Fraction, values)))
    assert exact_sum(values) == exact
    assert exact_mean(values) == exact / len(values)


def test_sum_beyond_floats_is_the_largest_float() -> None:
    """A sum that no float holds neither fails nor becomes infinite."""
    assert exact_sum([1e308] * 3) == sys.float_info.max
    assert exact_sum([-1e308] * 3) == -sys.float_info.max
    assert exact_sum([1e308, 1e308, -1e308]) == 1e308


def test_mean_of_nothing_is_none() -> None:
    """Nothing has no mean, in particular not 0."""
    assert exact_mean([]) is None
