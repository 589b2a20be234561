"""Tents: a tent beside every tree, as a Python list of 1-based (row, column) tuples."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.campsite import tents_in_place
from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, beside
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none


def extract_output(output: str) -> list[Any] | None:
    """Read the last `[answer]` block as a Python list of tuples of two."""
    value = literal_or_none(last_answer(output))
    if not isinstance(value, list) or not all(isinstance(item, tuple) and len(item) == 2 for item in value):
        return None
    return value


def check(solution: list[Cell], ground_truth: dict[str, Any]) -> bool:
    """Accept every placement in which each tree has exactly one tent beside it and each tent a tree."""
    grid = [["T" if cell else "X" for cell in row] for row in ground_truth["grid"]]
    tents = {(row - 1, column - 1) for row, column in solution}
    if len(tents) != len(solution):
        return False
    for row, column in tents:
        if not (0 <= row < len(grid) and 0 <= column < len(grid[0])) or grid[row][column] == "T":
            return False
        grid[row][column] = "C"
    if not tents_in_place(grid, ground_truth["row_clues"], ground_truth["col_clues"]):
        return False
    trees = [(row, column) for row, line in enumerate(grid) for column, cell in enumerate(line) if cell == "T"]
    # stricter than the game: a tree beside two tents is refused even if one of them belongs to another tree
    return all(len(tents.intersection(beside(tree))) == 1 for tree in trees)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored placement, which counts from 0."""
    return f"[answer]{[(row + 1, column + 1) for row, column in ground_truth['solution']]}[/answer]"
