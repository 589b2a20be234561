"""Minesweeper: name the mines as `[[row, column], ...]`, 0-based."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none


def extract_output(output: str) -> list[Any] | None:
    """Read the last `[answer]` block as a Python list of lists of two."""
    value = literal_or_none(last_answer(output))
    if not isinstance(value, list) or not all(isinstance(item, list) and len(item) == 2 for item in value):
        return None
    return value


def check(solution: list[Any], ground_truth: dict[str, Any]) -> bool:
    """Compare the set of coordinates with the mines."""
    # coordinates must compare with the size: 1.0 and True are numbers, 1+0j is an error though it equals 1
    if not all(0 <= row < ground_truth["rows"] and 0 <= column < ground_truth["cols"] for row, column in solution):
        return False
    return {tuple(cell) for cell in solution} == {tuple(mine) for mine in ground_truth["mines"]}


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored mines."""
    return f"[answer]{ground_truth['mines']}[/answer]"
