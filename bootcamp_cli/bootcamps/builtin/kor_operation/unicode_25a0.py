"""KOR operation, black square: the sum of two partial derivatives in x, as a formula."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets

_COMMAND = r"\\\1"


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]`, all whitespace deleted."""
    content = last_brackets(output, across_lines=True)
    return None if content is None else "".join(content.split())


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Accept what sympy can show to be equal."""
    from bootcamp_cli.bootcamps.builtin.kor_operation import symbolic  # noqa: PLC0415 - imports sympy, for workers only

    # LaTeX is not understood beyond this: \frac{a}{b} is the product of f, r, a, c, a and b, and e a symbol
    answer = symbolic.parsed(re.sub(r"[\\{}]", "", solution), symbolic.LENIENT)
    expected = symbolic.parsed(ground_truth["_answer_sympy"], symbolic.PYTHON_LIKE)
    return symbolic.is_zero(answer - expected)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored formula in the LaTeX that is understood."""
    formula = ground_truth["_answer_sympy"].replace("sqrt(2)*cos(x + pi/4)", "cos(x) - sin(x)")
    return f"[[{re.sub('([a-z]{2,})', _COMMAND, formula.replace('**', '^').replace('*', ''))}]]"
