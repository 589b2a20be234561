"""Cryptomath: verbal arithmetic such as YNG+GN=YGG, answered as [[Y=1,N=2,...]]."""

import re
from itertools import permutations
from operator import mul
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets


def extract_output(output: str) -> dict[str, int] | None:
    """Take the pairs letter=number of the last `[[...]]` on one line; of equal letters the later one."""
    content = last_brackets(output)
    pairs = re.findall(r"([A-Z])=(\d+)", (content or "").replace(" ", ""))
    return {letter: int(number) for letter, number in pairs} or None


def check(solution: dict[str, int], ground_truth: dict[str, Any]) -> bool:
    """Accept every assignment of different values under which the equation holds."""
    # values are not limited to 0..9: A=12 is as good as any where the equation holds
    if any(solution.get(letter, 0) == 0 for letter in ground_truth["leading_letters"]):
        return False
    if len(set(solution.values())) != len(solution) or set(solution) != set(ground_truth["all_letters"]):
        return False
    total = sum(_value(word, solution) for word in ground_truth["left_terms"])
    return total == _value(ground_truth["right_term"], solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Try the digits in all orders."""
    letters = ground_truth["all_letters"]
    weights = [_weight(letter, ground_truth) for letter in letters]
    for digits in permutations(range(10), len(letters)):
        if sum(map(mul, weights, digits)) == 0:
            solution = dict(zip(letters, digits, strict=True))
            if check(solution, ground_truth):
                return f"[[{','.join(f'{letter}={digit}' for letter, digit in solution.items())}]]"
    return None


def _weight(letter: str, ground_truth: dict[str, Any]) -> int:
    """How much one more in a letter adds to the left side minus the right side."""
    one = dict.fromkeys(ground_truth["all_letters"], 0) | {letter: 1}
    return sum(_value(word, one) for word in ground_truth["left_terms"]) - _value(ground_truth["right_term"], one)


def _value(word: str, digits: dict[str, int]) -> int:
    value = 0
    for letter in word:
        value = value * 10 + digits[letter]
    return value
