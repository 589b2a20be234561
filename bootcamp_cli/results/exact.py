"""Sums of floats that do not depend on the order of their terms, to the last bit."""

import math
import sys
from collections.abc import Collection
from fractions import Fraction


def exact_sum(values: Collection[float]) -> float:
    """The sum of finite floats, rounded once: the same bits in whatever order they come.

    A sum beyond the range of a float becomes the largest float, not an error or an infinity.
    """
    try:
        return math.fsum(values)
    except OverflowError:  # fsum may overflow on the way to a sum that fits
        limit = Fraction(sys.float_info.max)
        return float(max(-limit, min(limit, sum(map(Fraction, values), start=Fraction(0)))))


def exact_mean(values: Collection[float]) -> float | None:
    """The mean of finite floats, the same in whatever order they come; None where there are none."""
    return exact_sum(values) / len(values) if values else None
