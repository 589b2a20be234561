r"""KOR operation, white circle: A○B = (xA + yB)(A + B), evaluated or solved for its parts."""

import re
from fractions import Fraction
from math import isclose
from typing import Any

_VALUE = r"-?\d+/\d+|\d+|-\d+|\\sqrt{\d+}"
_PARAMETERS = re.compile(r"\[\[x\s*=\s*(-?\d+)\s*,\s*y\s*=\s*(-?\d+)\]\]")
# behind `or` the alternatives have become a character class
_VALUES = re.compile(rf"\[\[((?:{_VALUE})(?:\s+or\s+[-?\d+/|\\sqrt{{}}]+)+)\]\]")
_ONE_VALUE = re.compile(rf"\[\[({_VALUE})\]\]")


def extract_output(output: str) -> str | None:
    """Take the last parameters, without any the last values joined by `or`, without any the last value."""
    if parameters := _PARAMETERS.findall(output):
        return "x={},y={}".format(*parameters[-1])
    found: list[str] = _VALUES.findall(output) or _ONE_VALUE.findall(output)
    return found[-1] if found else None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Judge by the kind of question."""
    match ground_truth["type"]:
        case "compute":
            return bool(int(solution) == ground_truth["answer"])
        case "solve_x":
            values = [_number(part) for part in solution.split(" or ")]
            # mostly not the roots: the stored second solution is wrong; -4 or -4 passes for {-4, 16}
            expected = set(ground_truth["solutions"])
            return len(values) == len(expected) and all(
                any(isclose(value, right, rel_tol=1e-9) for right in expected) for value in values
            )
        case "nested_solve":
            x, y = ground_truth["params"]
            value, a, b = float(solution), ground_truth["A"], ground_truth["B"]
            inner = (x * value + y * b) * (value + b)
            target = int(ground_truth["equation"].rpartition("=")[2])
            return isclose((x * a + y * inner) * (a + inner), target, rel_tol=1e-9)
        case _:
            # the reference compares a tuple of parameters with a list
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored values, thirds as fractions."""
    match ground_truth["type"]:
        case "compute":
            return f"[[{ground_truth['answer']}]]"
        case "solve_x":
            values = sorted(set(ground_truth["solutions"]))
            return f"[[{' or '.join(str(Fraction(value).limit_denominator(100)) for value in values)}]]"
        case "nested_solve":
            return f"[[{ground_truth['solution']}]]"
        case _:
            return None


def _number(text: str) -> float:
    return float(Fraction(text)) if "/" in text else float(text)
