"""Sudoku: complete a 9x9 or 4x4 grid."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.latin import Grid, complete
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import int_rows, spaced_rows


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
    box = ground_truth["region_rows"]
    grid = [list(row) for row in ground_truth["puzzle"]]

    def fits(row: int, column: int, value: int) -> bool:
        top, left = row - row % box, column - column % box
        return all(value not in line[left : left + box] for line in grid[top : top + box])

    return f"[answer]\n{spaced_rows(grid)}\n[/answer]" if complete(grid, fits) else None


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
