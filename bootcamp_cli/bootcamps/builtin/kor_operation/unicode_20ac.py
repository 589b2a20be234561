"""KOR operation, euro sign: the matrix 2A + 3B as nested tuples."""

from math import isclose
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import python_literal


def extract_output(output: str) -> tuple[tuple[Any, ...], ...] | None:
    """Read the last `[[...]]` as a tuple of tuples, all whitespace deleted."""
    content = last_brackets(output, across_lines=True)
    if content is None:
        return None
    try:
        # without blanks "1 2" reads as 12 and "- 5" as -5
        value = python_literal("".join(content.split()))
    except ValueError:
        return None
    is_matrix = isinstance(value, tuple) and all(isinstance(row, tuple) for row in value)
    return value if is_matrix else None


def check(solution: tuple[tuple[Any, ...], ...], ground_truth: dict[str, Any]) -> bool:
    """Compare cell by cell, to within 1e-9."""
    expected = _weighted_sum(ground_truth)
    if [len(row) for row in solution] != [len(row) for row in expected]:
        return False
    return all(
        isclose(right, cell, rel_tol=1e-9, abs_tol=1e-9)
        for right_row, row in zip(expected, solution, strict=True)
        for right, cell in zip(right_row, row, strict=True)
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the sum."""
    return f"[[{_weighted_sum(ground_truth)}]]"


def _weighted_sum(ground_truth: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(2 * a + 3 * b for a, b in zip(row_a, row_b, strict=True))
        for row_a, row_b in zip(ground_truth["A"], ground_truth["B"], strict=True)
    )
