"""Aquarium: the water level of each column, 0-based from the bottom."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import int_tokens


def extract_output(output: str) -> list[int] | None:
    """Take the levels of the last `[answer]` block."""
    block = last_answer(output)
    return None if block is None else int_tokens(block)


def check(solution: list[int], ground_truth: dict[str, Any]) -> bool:
    """Compare filled cells per column and per row with the clues."""
    filled_by_column = [level + 1 for level in solution]
    filled_by_row = [sum(level >= row for level in solution) for row in range(len(ground_truth["row_clues"]))]
    return (filled_by_column, filled_by_row) == (ground_truth["col_clues"], ground_truth["row_clues"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the levels, one below the column clues."""
    levels = " ".join(str(clue - 1) for clue in ground_truth["col_clues"])
    return f"[answer]{levels}[/answer]"
