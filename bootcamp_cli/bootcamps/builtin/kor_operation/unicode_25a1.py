"""KOR operation, white square: f'(x) + g'(x), as a formula or at a point."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare a formula as text, a number to within 1e-4."""
    expected = ground_truth["correct_answer"]
    if ground_truth["problem_type"] == "expression":
        # character for character as sympy prints LaTeX, so that hardly any honest answer is right
        return bool(solution == expected)
    # in floating point a neighbour in the fourth decimal passes or fails by luck
    return bool(abs(round(float(solution), 4) - expected) < 1e-4)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    return f"[[{ground_truth['correct_answer']}]]"
