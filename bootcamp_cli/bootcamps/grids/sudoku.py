"""Sudoku: complete a 9x9 or 4x4 grid."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import int_rows

Grid = list[list[int]]


def extract_output(output: str) -> Grid | None:
    """Take the rows of the last `[answer]` block."""
    block = last_answer(output)
    return None if block is None else int_rows(block)


def check(solution: Grid, ground_truth: dict[str, Any]) -> bool:
    """Accept every valid completion of the givens, whether the puzzle has one or many."""
    puzzle, size = ground_truth["puzzle"], ground_truth["size"]
    if len(solution) != size or any(len(row) != size for row in solution):
        return False
    cells = [(row, column) for row in range(size) for column in range(size)]
    if any(puzzle[row][column] not in (0, solution[row][column]) for row, column in cells):
        return False
    return all(
        {solution[row][column] for row, column in unit} == set(range(1, size + 1))
        for unit in _units(size, ground_truth["region_rows"])
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for a completion, the cell with the fewest candidates first."""
    size, box = ground_truth["size"], ground_truth["region_rows"]
    grid = [list(row) for row in ground_truth["puzzle"]]
    if not _complete(grid, size, box):
        return None
    return "\n".join(["[answer]", *(" ".join(map(str, row)) for row in grid), "[/answer]"])


def _units(size: int, box: int) -> list[list[tuple[int, int]]]:
    lines = range(size)
    rows = [[(line, cell) for cell in lines] for line in lines]
    columns = [[(cell, line) for cell in lines] for line in lines]
    # boxes are square: the bootcamp takes region_rows for their width, too
    boxes = [
        [(top + row, left + column) for row in range(box) for column in range(box)]
        for top in range(0, size, box)
        for left in range(0, size, box)
    ]
    return rows + columns + boxes


def _complete(grid: Grid, size: int, box: int) -> bool:
    open_cells = [(row, column) for row in range(size) for column in range(size) if not grid[row][column]]
    if not open_cells:
        return True
    candidates = {cell: _candidates(grid, *cell, size, box) for cell in open_cells}
    row, column = min(candidates, key=lambda cell: len(candidates[cell]))
    for value in candidates[row, column]:
        grid[row][column] = value
        if _complete(grid, size, box):
            return True
    grid[row][column] = 0
    return False


def _candidates(grid: Grid, row: int, column: int, size: int, box: int) -> list[int]:
    top, left = row - row % box, column - column % box
    seen = {*grid[row], *(line[column] for line in grid)}
    seen.update(value for line in grid[top : top + box] for value in line[left : left + box])
    return [value for value in range(1, size + 1) if value not in seen]
