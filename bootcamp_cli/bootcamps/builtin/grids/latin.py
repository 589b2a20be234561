"""Latin squares: each row and each column holds the numbers from 1 to the size once."""

from collections.abc import Callable, Iterable
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell

Grid = list[list[int]]
Fits = Callable[[int, int, int], bool]


def is_latin(solution: Any, size: int) -> bool:
    """Tell whether rows of any kind make a Latin square of this size, numbers being equal as Python has it."""
    if len(solution) != size or any(len(row) != size for row in solution):
        return False
    numbers = set(range(1, size + 1))
    return all(set(line) == numbers for line in (*solution, *zip(*solution, strict=True)))


def complete(grid: Grid, fits: Fits) -> bool:
    """Fill the zeros of `grid` to a Latin square, in place; False where the search ends without one.

    `fits(row, column, value)` says whether a value may enter the grid as it is at that moment, rows and columns aside.
    The search is exhaustive and takes the cell with the fewest candidates first.
    """
    lines = range(len(grid))
    open_cells = [(row, column) for row in lines for column in lines if not grid[row][column]]
    if not open_cells:
        return True
    candidates = {cell: _candidates(grid, *cell, fits) for cell in open_cells}
    row, column = min(candidates, key=lambda cell: len(candidates[cell]))
    for value in candidates[row, column]:
        grid[row][column] = value
        if complete(grid, fits):
            return True
    grid[row][column] = 0
    return False


def complete_ascending(grid: Grid, pairs: Iterable[tuple[Cell, Cell]]) -> bool:
    """Fill the zeros as `complete` does, with the first cell of each pair below the second."""
    size, pairs = len(grid), list(pairs)
    lowest = {cell: 1 for pair in pairs for cell in pair}
    highest = dict.fromkeys(lowest, size)
    for _ in range(size):
        for small, large in pairs:
            lowest[large] = max(lowest[large], lowest[small] + 1)
            highest[small] = min(highest[small], highest[large] - 1)

    def fits(row: int, column: int, value: int) -> bool:
        cell = (row, column)
        if not lowest.get(cell, 1) <= value <= highest.get(cell, size):
            return False
        below = max((grid[a[0]][a[1]] for a, b in pairs if b == cell), default=0)
        above = min((grid[b[0]][b[1]] or size + 1 for a, b in pairs if a == cell), default=size + 1)
        return below < value < above

    return complete(grid, fits)


def _candidates(grid: Grid, row: int, column: int, fits: Fits) -> list[int]:
    seen = {*grid[row], *(line[column] for line in grid)}
    return [value for value in range(1, len(grid) + 1) if value not in seen and fits(row, column, value)]
