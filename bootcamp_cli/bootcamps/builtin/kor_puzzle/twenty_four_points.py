"""KOR puzzle, 24 points: reach 24 with four numbers, each used once."""

import re
from fractions import Fraction
from itertools import permutations
from typing import Any

from bootcamp_cli.bootcamps.extraction.arithmetic import NUMBER_FUNCTIONS, evaluate
from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets

Term = tuple[Fraction, str]


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare the numbers used with those given, and the value with 24."""
    # in the text as it stands: a number in a comment counts, digits beside a letter or an underscore do not
    if sorted(int(number) for number in re.findall(r"\b\d+\b", solution)) != sorted(ground_truth["numbers"]):
        return False
    # blanks go after that: "2 4" is two numbers and the value 24
    expression = solution.replace("×", "*").replace("÷", "/").replace(" ", "")
    # all of Python's operators count, in floating point
    return bool(abs(evaluate(expression, NUMBER_FUNCTIONS) - 24) < 1e-6)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Combine two terms at a time, in exact fractions."""
    expression = _combine([(Fraction(number), str(number)) for number in ground_truth["numbers"]])
    return None if expression is None else f"[[{expression}]]"


def _combine(terms: list[Term]) -> str | None:
    if len(terms) == 1:
        return terms[0][1] if terms[0][0] == 24 else None
    for i, j in permutations(range(len(terms)), 2):
        (x, left), (y, right) = terms[i], terms[j]
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        merged = [(x + y, f"({left} + {right})"), (x - y, f"({left} - {right})"), (x * y, f"({left} × {right})")]
        if y:
            merged.append((x / y, f"({left} ÷ {right})"))
        for term in merged:
            if (expression := _combine([*rest, term])) is not None:
                return expression
    return None
