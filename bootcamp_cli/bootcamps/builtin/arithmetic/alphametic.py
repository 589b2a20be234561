"""Alphametics, shared by the bootcamps that ask for them: words as numbers, a letter for each digit."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import gcd


def word_value(word: str, digits: Mapping[str, int]) -> int:
    """Read a word as a number; a letter's value need not be below 10."""
    value = 0
    for letter in word:
        value = value * 10 + digits[letter]
    return value


def find_digits(terms: Sequence[str], total: str, nonzero: Collection[str]) -> dict[str, int] | None:
    """Search for different digits with which the terms add up to the total, none of the `nonzero` letters being 0."""
    weights: Counter[str] = Counter()
    for sign, word in [*((1, term) for term in terms), (-1, total)]:
        for place, letter in enumerate(reversed(word)):
            weights[letter] += sign * 10**place
    # units first: what the later letters add is a multiple of the greatest common divisor of their weights
    letters = sorted(weights, key=lambda letter: gcd(weights[letter], 10 ** len(total)))
    return _assign([(letter, weights[letter]) for letter in letters], nonzero, {}, 0)


def _assign(
    letters: list[tuple[str, int]], nonzero: Collection[str], digits: dict[str, int], difference: int
) -> dict[str, int] | None:
    if not letters:
        return None if difference else digits
    divisor = gcd(*(weight for _, weight in letters))
    if difference % divisor if divisor else difference:
        return None
    (letter, weight), *others = letters
    for digit in range(letter in nonzero, 10):
        if digit in digits.values():
            continue
        found = _assign(others, nonzero, {**digits, letter: digit}, difference + weight * digit)
        if found is not None:
            return found
    return None
