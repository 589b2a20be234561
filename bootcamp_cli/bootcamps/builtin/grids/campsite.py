"""Campsite: tents `C` beside trees `T`, as a list of rows in a json fence."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, any_touch, beside, touch
from bootcamp_cli.bootcamps.extraction.blocks import last_fence
from bootcamp_cli.bootcamps.extraction.values import lenient_json

Rows = Sequence[Sequence[Any]]


def extract_output(output: str) -> Any | None:
    """Read the last ```` ```json ```` fence; its respelled text where that is no JSON."""
    content = last_fence(output, "json")
    return None if content is None else lenient_json(content)


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Compare the trees with the puzzle, then the tents with the rules."""
    grid, row_counts, column_counts = _puzzle(ground_truth)
    if [len(row) for row in solution] != [len(row) for row in grid]:
        return False
    for row, line in enumerate(grid):
        if any((solution[row][column] == "T") != (cell == "T") for column, cell in enumerate(line)):
            return False
    return tents_in_place(solution, row_counts, column_counts)


def tents_in_place(grid: Rows, row_counts: list[int], column_counts: list[int]) -> bool:
    """Tell whether the tents `C` of a grid meet the counts, touch no other tent and have a tree `T` beside them."""
    tents, trees = _places(grid, "C"), set(_places(grid, "T"))
    if [sum(row == r for r, _ in tents) for row in range(len(row_counts))] != row_counts:
        return False
    if [sum(column == c for _, c in tents) for column in range(len(column_counts))] != column_counts:
        return False
    # a tree need not have a tent of its own: two tents may share one
    return all(trees.intersection(beside(tent)) for tent in tents) and not any_touch(tents)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Place the tents row by row."""
    grid, row_counts, column_counts = _puzzle(ground_truth)
    trees = set(_places(grid, "T"))
    sites = [
        [
            (row, column)
            for column in range(len(line))
            if (row, column) not in trees and trees & {*beside((row, column))}
        ]
        for row, line in enumerate(grid)
    ]
    tents = _pitch(sites, row_counts, column_counts, [])
    if tents is None:
        return None
    answer = [["C" if (r, c) in tents else cell for c, cell in enumerate(line)] for r, line in enumerate(grid)]
    return f"```json\n{answer}\n```"


def _pitch(sites: list[list[Cell]], row_counts: list[int], wanted: list[int], above: list[Cell]) -> list[Cell] | None:
    """Place the tents of the remaining rows.

    `wanted` is what is left of the columns' counts, `above` are the tents of the row before.
    """
    if not sites:
        return None if any(wanted) else []
    for tents in combinations(sites[0], row_counts[0]):
        left = list(wanted)
        for _, column in tents:
            left[column] -= 1
        if min(left) < 0 or any_touch(tents) or any(touch(a, b) for a in above for b in tents):
            continue
        if (below := _pitch(sites[1:], row_counts[1:], left, list(tents))) is not None:
            return [*tents, *below]
    return None


def _places(grid: Rows, content: str) -> list[Cell]:
    return [(row, column) for row, line in enumerate(grid) for column, cell in enumerate(line) if cell == content]


def _puzzle(ground_truth: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The grid and the counts of rows and columns, which may be lists or their JSON."""
    values = (ground_truth[key] for key in ("input_grid", "row_constraints", "col_constraints"))
    grid, row_counts, column_counts = (json.loads(value) if isinstance(value, str) else value for value in values)
    return grid, row_counts, column_counts
