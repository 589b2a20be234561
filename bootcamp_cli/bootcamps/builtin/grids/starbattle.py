"""Star Battle: one star per row, column and region, no two touching."""

from collections import Counter
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, any_touch, touch
from bootcamp_cli.bootcamps.extraction.blocks import last_block
from bootcamp_cli.bootcamps.extraction.values import lenient_json


def extract_output(output: str) -> Any | None:
    """Read the last ```` ```json ```` fence that holds just `{...}`; its respelled text where that is no JSON."""
    # the object ends at a brace before a closing fence: other fences in between belong to it
    content = last_block(output, r"```json\s*(?=\{)", r"(?<=\})\s*```")
    return None if content is None else lenient_json(content)


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Check the stars of the regions that the answer lists, coordinates being 1-based."""
    # regions may be missing: a partial answer scores, and so does {}
    grid, per_line = ground_truth["input_grid"], ground_truth.get("n", 1)
    size = len(grid)
    stars: list[Cell] = []
    for letter, cells in solution.items():
        if len(cells) != per_line:
            return False
        for row, column in cells:
            if not (1 <= row <= size and 1 <= column <= size) or grid[row - 1][column - 1] != letter:
                return False
            stars.append((row, column))
    fullest = max((*Counter(row for row, _ in stars).values(), *Counter(column for _, column in stars).values(), 0))
    return bool(fullest <= per_line) and not any_touch(stars)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Place as many stars as possible: on boards without a full solution a partial answer is right."""
    grid = ground_truth["input_grid"]
    regions = {grid[row - 1][column - 1]: [(row, column)] for row, column in _most_stars(grid, 1, ())}
    return f"```json\n{regions}\n```"


def _most_stars(grid: list[list[str]], row: int, stars: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return the largest legal extension of `stars` by rows from `row` on."""
    if row > len(grid):
        return stars
    best = stars
    regions = {grid[r - 1][c - 1] for r, c in stars}
    for column in range(1, len(grid) + 1):
        clash = any(c == column or touch((r, c), (row, column)) for r, c in stars)
        if clash or grid[row - 1][column - 1] in regions:
            continue
        best = max(best, _most_stars(grid, row + 1, (*stars, (row, column))), key=len)
        if len(best) == len(grid):
            return best
    return max(best, _most_stars(grid, row + 1, stars), key=len)
