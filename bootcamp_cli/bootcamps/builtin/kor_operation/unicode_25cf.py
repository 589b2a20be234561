"""KOR operation, black circle: the integral of f from a to b, plus 6; or one of the bounds."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets


def extract_output(output: str) -> float | list[float] | None:
    """Read the last `[[...]]` on one line as numbers between `or`; what is no number is skipped."""
    # `or` inside words, too: sorry or 2 is the number 2
    parts = (last_brackets(output) or "").split("or")
    values = [value for part in parts if (value := _number(part)) is not None]
    return values[0] if len(values) == 1 else values or None


def check(solution: float | list[float], ground_truth: dict[str, Any]) -> bool:
    """Compare one number to within 1e-6, or the numbers as a set, rounded to six decimals."""
    if ground_truth["problem_type"] == "compute":
        return isinstance(solution, float) and bool(abs(solution - ground_truth["correct_answer"]) < 1e-6)
    values = solution if isinstance(solution, list) else [solution]
    return _rounded(values) == _rounded(ground_truth["correct_answers"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored numbers."""
    if ground_truth["problem_type"] == "compute":
        return f"[[{ground_truth['correct_answer']}]]"
    return f"[[{' or '.join(map(str, ground_truth['correct_answers']))}]]"


def _number(text: str) -> float | None:
    try:
        if "/" not in text:
            return float(text)
        numerator, denominator = text.split("/")
        return int(numerator) / int(denominator)
    except (ValueError, ArithmeticError):
        return None


def _rounded(values: list[float]) -> set[float]:
    return {round(value, 6) for value in values}
