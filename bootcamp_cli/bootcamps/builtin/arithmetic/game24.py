"""Game24: reach a target with four to six one-digit numbers, each used once."""

import re
from itertools import combinations
from typing import Any

from bootcamp_cli.bootcamps.extraction.arithmetic import evaluate
from bootcamp_cli.bootcamps.extraction.blocks import last_boxed

Term = tuple[float, str]


def extract_output(output: str) -> str | None:
    r"""Take the last `\boxed{...}`, untrimmed."""
    return last_boxed(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare the numbers used with the puzzle and the value with the target."""
    # bold marks go first, so that 2**3 is read as 23 and *** as *
    expression = solution.replace("**", "").replace(r"\times", "*").replace(r"\div", "/")
    expression = expression.replace(r"\left", "").replace(r"\right", "")
    # as strings: 04 is not 4, and a full-width digit is no digit of the puzzle
    if sorted(re.findall(r"\d+", expression)) != sorted(ground_truth["puzzle"].split()):
        return False
    if "//" in expression or "**" in expression:
        return False
    # exactly equal: ((8/3)-1)*9 is 14.999999999999998 in floating point and not 15
    return bool(evaluate(expression) == int(ground_truth["target"]))


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Combine two terms at a time, in the floating point that the answer is judged by."""
    terms: list[Term] = sorted((int(number), number) for number in ground_truth["puzzle"].split())
    expression = _combine(terms, int(ground_truth["target"]), set())
    return None if expression is None else rf"\boxed{{{expression}}}"


def _combine(terms: list[Term], target: int, seen: set[tuple[float, ...]]) -> str | None:
    if len(terms) == 1:
        return terms[0][1] if terms[0][0] == target else None
    values = tuple(sorted(value for value, _ in terms))
    if values in seen:
        return None
    seen.add(values)
    for i, j in combinations(range(len(terms)), 2):
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        for merged in _merged(terms[i], terms[j]):
            if (expression := _combine([*rest, merged], target, seen)) is not None:
                return expression
    return None


def _merged(a: Term, b: Term) -> list[Term]:
    (x, left), (y, right) = a, b
    merged: list[Term] = [
        (x + y, f"({left}+{right})"),
        (x * y, f"({left}*{right})"),
        (x - y, f"({left}-{right})"),
        (y - x, f"({right}-{left})"),
    ]
    if y:
        merged.append((x / y, f"({left}/{right})"))
    if x:
        merged.append((y / x, f"({right}/{left})"))
    return merged
