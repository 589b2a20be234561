"""Thermometers: a Latin square whose numbers grow along each thermometer."""

from itertools import pairwise
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.latin import Grid, complete_ascending, is_latin
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import int_rows, spaced_rows


def extract_output(output: str) -> Grid | None:
    """Take the rows of the last `[answer]` block, if they make a square."""
    block = last_answer(output)
    rows = None if block is None else int_rows(block)
    return rows if rows and all(len(row) == len(rows) for row in rows) else None


def check(solution: Grid, ground_truth: dict[str, Any]) -> bool:
    """Accept every Latin square that grows along each path."""
    return is_latin(solution, ground_truth["size"]) and all(
        solution[r1][c1] < solution[r2][c2] for (r1, c1), (r2, c2) in _steps(ground_truth)
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for such a square."""
    size = ground_truth["size"]
    grid = [[0] * size for _ in range(size)]
    return f"[answer]\n{spaced_rows(grid)}\n[/answer]" if complete_ascending(grid, _steps(ground_truth)) else None


def _steps(ground_truth: dict[str, Any]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [
        ((r1, c1), (r2, c2))
        for thermometer in ground_truth["thermometers"]
        for (r1, c1), (r2, c2) in pairwise(thermometer["path"])
    ]
