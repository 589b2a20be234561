"""Arrow maze: follow the arrows from the start to the circle, the stops numbered in a grid in a json fence."""

import json
from itertools import pairwise
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell
from bootcamp_cli.bootcamps.extraction.blocks import last_fence
from bootcamp_cli.bootcamps.extraction.values import lenient_json

_END = "○"
_DIRECTIONS = {
    "↑": (-1, 0),
    "↓": (1, 0),
    "←": (0, -1),
    "→": (0, 1),
    "↖": (-1, -1),
    "↗": (-1, 1),
    "↙": (1, -1),
    "↘": (1, 1),
}


def extract_output(output: str) -> Any | None:
    """Read the last ```` ```json ```` fence; its respelled text where that is no JSON."""
    content = last_fence(output, "json")
    return None if content is None else lenient_json(content)


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Follow the cells with labels above 0 in the order of their labels."""
    grid = ground_truth["input_grid"]
    labels = json.loads(solution) if isinstance(solution, str) else solution
    if [len(row) for row in labels] != [len(row) for row in grid]:
        return False
    cells = [(row, column) for row, line in enumerate(grid) for column in range(len(line))]
    # any numbers do, gaps and fractions included; equal ones follow the reading order
    path = sorted((cell for cell in cells if labels[cell[0]][cell[1]] > 0), key=lambda cell: labels[cell[0]][cell[1]])
    if not path or path[0] != _start(ground_truth) or grid[path[-1][0]][path[-1][1]] != _END:
        return False
    return all(after in _reachable(grid, before) for before, after in pairwise(path))


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for the path with the fewest stops."""
    grid = ground_truth["input_grid"]
    paths = [[_start(ground_truth)]]
    seen = {paths[0][0]}
    for path in paths:  # grows while it is walked through
        row, column = path[-1]
        if grid[row][column] == _END:
            labels = [
                [path.index((r, c)) + 1 if (r, c) in path else 0 for c in range(len(grid[r]))] for r in range(len(grid))
            ]
            return f"```json\n{labels}\n```"
        new = [cell for cell in _reachable(grid, path[-1]) if cell not in seen]
        seen.update(new)
        paths += [[*path, cell] for cell in new]
    return None


def _start(ground_truth: dict[str, Any]) -> Cell:
    row, column = ground_truth.get("start_position", (0, 0))
    return row, column


def _reachable(grid: list[list[str]], cell: Cell) -> list[Cell]:
    """List the cells at any distance in the direction of a cell's arrow; none from the circle."""
    (row, column), found = cell, []
    down, right = _DIRECTIONS.get(grid[row][column], (len(grid), 0))
    while 0 <= (row := row + down) < len(grid) and 0 <= (column := column + right) < len(grid[row]):
        found.append((row, column))
    return found
