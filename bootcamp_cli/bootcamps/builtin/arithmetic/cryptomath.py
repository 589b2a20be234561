"""Cryptomath: verbal arithmetic such as YNG+GN=YGG, answered as [[Y=1,N=2,...]]."""

import re
from typing import Any

from bootcamp_cli.bootcamps.builtin.arithmetic.alphametic import find_digits, word_value
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
    total = sum(word_value(word, solution) for word in ground_truth["left_terms"])
    return total == word_value(ground_truth["right_term"], solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for digits, although larger values would count, too."""
    digits = find_digits(ground_truth["left_terms"], ground_truth["right_term"], ground_truth["leading_letters"])
    return None if digits is None else f"[[{','.join(f'{letter}={digit}' for letter, digit in digits.items())}]]"
