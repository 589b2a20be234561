"""KOR operation, cent sign: the logarithm of a to the base b plus that of b to the base a, or an unknown in it."""

import re
from fractions import Fraction
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets

_FRACTION = re.compile(
    r"""[-+]? (?=\d|\.\d) (?:\d+(?:_\d+)*)?
    (?: /\d+(?:_\d+)* | (?:\.(?:\d+(?:_\d+)*)?)? (?:[eE](?P<exponent>[-+]?\d+(?:_\d+)*))? )""",
    re.VERBOSE,
)
_MAX_EXPONENT = 20_000
"""Python reads up to 4,300 digits before and behind the dot: with larger exponents no number is near a right answer."""


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line as it stands."""
    return last_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare fractions, formulas without their whitespace, or integers."""
    if ground_truth["type"] == "solve":
        # another power in the other direction solves the equation as well, but only the stored one counts
        return bool(int(solution) == ground_truth["solution"])
    if not ground_truth["is_expressible"]:
        return "".join(solution.split()) == "".join(ground_truth["log_expr"].split())
    return _fraction(solution) == Fraction(ground_truth["target"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    if ground_truth["type"] == "solve":
        return f"[[{ground_truth['solution']}]]"
    return f"[[{ground_truth['target' if ground_truth['is_expressible'] else 'log_expr']}]]"


def _fraction(text: str) -> Fraction | None:
    """Read a fraction by the grammar of Python 3.11: later ones allow blanks around the slash."""
    number = _FRACTION.fullmatch(text.strip())
    if number is None or abs(int(number["exponent"] or 0)) > _MAX_EXPONENT:
        return None
    return Fraction(text)
