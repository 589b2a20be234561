"""Cells of a grid as (row, column): which are beside each other, which touch, what hangs together."""

from collections.abc import Callable, Iterable
from itertools import combinations

Cell = tuple[int, int]


def beside(cell: Cell) -> list[Cell]:
    """List the four orthogonal neighbours, also those outside of any grid."""
    row, column = cell
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


def touch(a: Cell, b: Cell) -> bool:
    """Tell whether two cells are at most one step apart, diagonal steps included; a cell touches itself."""
    return abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1


def any_touch(cells: Iterable[Cell]) -> bool:
    """Tell whether any two of the cells touch; quadratic, so for as many cells as a grid has."""
    return any(touch(a, b) for a, b in combinations(cells, 2))


def reached(start: Cell, steps: Callable[[Cell], Iterable[Cell]]) -> set[Cell]:
    """Collect the cells that can be reached from `start`, itself included."""
    found, waiting = {start}, [start]
    while waiting:
        new = set(steps(waiting.pop())) - found
        found |= new
        waiting += new
    return found
