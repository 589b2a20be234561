"""KOR puzzle, Kakurasu: blacken cells so that the column numbers in a row, and the row numbers in a column, add up."""

import re
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.kakurasu import weighed
from bootcamp_cli.bootcamps.extraction.blocks import last_match
from bootcamp_cli.bootcamps.extraction.values import spaced_rows

_GRID = re.compile(r"([01] )+[01](, ([01] )+[01])*")


def extract_output(output: str) -> str | None:
    """Take the digits of the last `[[...]]` without brackets inside, row by row."""
    content = last_match(output, r"\[\[([^\[\]]*)\]\]")
    if content is None:
        return None
    # what is neither digit nor whitespace goes, it separates nothing: "1. 0." is a row, "1.0" is the cell 10
    pieces = " ".join(content.split()).replace("，", ",").split(",")
    rows = [re.sub(r"[^\d\s]", "", piece).strip() for piece in pieces]
    return ", ".join(row for row in rows if row) or None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Accept every grid that meets the sums."""
    size = ground_truth["size"]
    if not _GRID.fullmatch(solution):
        return False
    rows = [[int(cell) for cell in row.split()] for row in solution.split(", ")]
    if len(rows) < size or any(len(row) != size for row in rows):
        return False
    # further rows are not looked at
    grid = rows[:size]
    targets = (ground_truth["row_sums"], ground_truth["col_sums"])
    return (weighed(grid), weighed(zip(*grid, strict=True))) == targets


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored solution."""
    return f"[[{spaced_rows(ground_truth['solution'], separator=', ')}]]"
