"""KOR puzzle, campsite: replace blank cells by tents beside the trees."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.campsite import tents_in_place
from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import spaced_rows, token_rows


def extract_output(output: str) -> list[list[str]] | None:
    """Take the rows of the last `[[...]]`, between commas, in upper case."""
    content = last_brackets(output, across_lines=True)
    if content is None:
        return None
    # a full-width comma becomes part of a token, it separates nothing
    rows = token_rows(content, separator=",")
    return [[token.upper().replace("，", ",") for token in row] for row in rows]


def check(solution: list[list[str]], ground_truth: dict[str, Any]) -> bool:
    """Accept every grid that keeps the trees and pitches the tents by the rules."""
    grid = ground_truth["grid"]
    if [len(row) for row in solution] != [len(grid[0])] * len(grid):
        return False
    # trees may be added: one drawn beside a lonely tent counts
    kept = all(
        cell == "T"
        for row, puzzle_row in zip(solution, grid, strict=True)
        for cell, puzzle_cell in zip(row, puzzle_row, strict=True)
        if puzzle_cell == "T"
    )
    return kept and tents_in_place(solution, ground_truth["row_clues"], ground_truth["col_clues"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored solution."""
    return f"[[{spaced_rows(ground_truth['solution'], separator=', ')}]]"
