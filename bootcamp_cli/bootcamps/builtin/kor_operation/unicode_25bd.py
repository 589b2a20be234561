"""KOR operation, inverted triangle: f(x) + g''(x), as a number or formula."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare a number, rounded to the asked precision; no formula is right."""
    if not ground_truth["is_numeric"]:
        # the reference reads the stored LaTeX as Python and fails before it looks at an answer
        return False
    return bool(abs(round(float(solution), ground_truth["precision"]) - ground_truth["expected_num"]) < 1e-6)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number."""
    return f"[[{ground_truth['expected_num']}]]" if ground_truth["is_numeric"] else None
