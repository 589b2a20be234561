"""Puzzles as boards: the cells of a grid with what is given, what was answered, and what is wrong with it.

Drawn from what a row and an answer hold, whatever that is: what has not the form of a grid gives no board. A mark is
for the eye and decides no score.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Mark = Literal["given", "wall", "path", "end", "wrong"]

MAX_SIDE = 60
"""Larger grids are not drawn."""

_MAX_CELL_CHARS = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, and what it is."""

    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A grid with its title; `box` is the side of the boxes that thicker lines bound, 0 where there are none."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    box: int = 0


def boards(data_source: str, ground_truth: Any, extracted: Any) -> list[Board]:
    """The boards of a sample: a sudoku with the answer in it, a maze with its path, of other puzzles their grids."""
    draw = _BOARDS.get(data_source)
    if draw is not None and (board := draw(ground_truth, extracted)) is not None:
        return [board]
    return list(_grids(ground_truth, extracted))


def _sudoku(truth: Any, answer: Any) -> Board | None:
    """The givens with the answered digits; those that change a given or stand twice in a unit are wrong."""
    puzzle = _grid(_value(truth, "puzzle"))
    box = _value(truth, "region_rows")
    if puzzle is None or len(puzzle) != len(puzzle[0]) or type(box) is not int or box < 1 or len(puzzle) % box:
        return None
    size, grid = len(puzzle), _grid(answer)
    filled = grid if grid is not None and len(grid) == len(grid[0]) == size else None
    cells = {(r, c): (puzzle if filled is None else filled)[r][c] for r in range(size) for c in range(size)}
    wrong = {cell for cell, value in cells.items() if puzzle[cell[0]][cell[1]] not in (0, value)}
    for unit in (lambda r, _: ("row", r), lambda _, c: ("column", c), lambda r, c: ("box", r // box, c // box)):
        counts = Counter((unit(*cell), _shown(value)) for cell, value in cells.items() if value != 0)
        wrong |= {cell for cell, value in cells.items() if counts[unit(*cell), _shown(value)] > 1}

    def cell(r: int, c: int) -> Cell:
        marks: list[Mark] = ["given"] if puzzle[r][c] != 0 else []
        if (r, c) in wrong:
            marks.append("wrong")
        value = cells[r, c]
        return Cell("" if value == 0 else _shown(value), tuple(marks))

    title = "puzzle with the answer" if filled is not None else "puzzle; the answer is no grid of its size"
    return Board(title=title, rows=_rows(size, size, cell), box=box)


def _maze(truth: Any, answer: Any) -> Board | None:
    """The walls and the answered path; steps onto a wall or further than a neighbour are wrong."""
    grid = _grid(_value(truth, "grid"))
    if grid is None:
        return None
    path = _cells(answer) or []
    order: dict[tuple[int, int], int] = {}
    for n, step in enumerate(path):
        order.setdefault(step, n)
    wrong = {b for a, b in pairwise(path) if abs(a[0] - b[0]) + abs(a[1] - b[1]) != 1}
    start, goal = _cells([_value(truth, "start_pos")]), _cells([_value(truth, "end_pos")])

    def cell(r: int, c: int) -> Cell:
        here = (r, c)
        is_wall = grid[r][c] != 0
        marks: list[Mark] = ["wall"] if is_wall else []
        if here in order:
            marks.append("path")
            if is_wall or here in wrong:
                marks.append("wrong")
        letter = "S" if start == [here] else "E" if goal == [here] else ""
        if letter:
            marks.append("end")
        return Cell(letter or ("•" if here in order else ""), tuple(marks))

    outside = sum(not (0 <= r < len(grid) and 0 <= c < len(grid[0])) for r, c in path)
    title = "maze with the answered path" if path else "maze; the answer is no path"
    if outside:
        title += f", {outside} of its cells outside"
    return Board(title=title, rows=_rows(len(grid), len(grid[0]), cell))


_BOARDS: dict[str, Callable[[Any, Any], Board | None]] = {"Sudoku": _sudoku, "Maze": _maze}


def _grids(truth: Any, answer: Any) -> Iterator[Board]:
    """The grids of a ground truth, by key, and the answer where it is one."""
    if isinstance(truth, dict):
        for key, value in truth.items():
            if (grid := _grid(value)) is not None:
                yield _plain(str(key), grid)
    elif (grid := _grid(truth)) is not None:
        yield _plain("ground truth", grid)
    if (grid := _grid(answer)) is not None:
        yield _plain("answer", grid)


def _plain(title: str, grid: Sequence[Sequence[Any]]) -> Board:
    return Board(title=title, rows=_rows(len(grid), len(grid[0]), lambda r, c: Cell(_shown(grid[r][c]))))


def _rows(height: int, width: int, cell: Callable[[int, int], Cell]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(tuple(cell(r, c) for c in range(width)) for r in range(height))


def _value(truth: Any, key: str) -> Any:
    return truth.get(key) if isinstance(truth, dict) else None


def _grid(value: Any) -> list[list[Any]] | None:
    """A value that is a rectangle of scalars, two rows and columns at least; else None."""
    if (
        not isinstance(value, list)
        or not 2 <= len(value) <= MAX_SIDE
        or not all(isinstance(row, list) for row in value)
    ):
        return None
    width = len(value[0])
    if not 2 <= width <= MAX_SIDE or any(len(row) != width for row in value):
        return None
    fine = all(cell is None or isinstance(cell, (int, float)) or _is_short(cell) for row in value for cell in row)
    return value if fine else None


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_CELL_CHARS


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value) if not isinstance(value, int) or abs(value) < 10**7 else "…"
    return text if len(text) <= _MAX_CELL_CHARS else f"{text[: _MAX_CELL_CHARS - 1]}…"


def _cells(value: Any) -> list[tuple[int, int]] | None:
    """A list of pairs of integers; else None."""
    if not isinstance(value, list) or len(value) > MAX_SIDE**2 * 4:
        return None
    pairs = [tuple(cell) for cell in value if isinstance(cell, list) and len(cell) == 2]
    if len(pairs) != len(value) or not all(type(n) is int for pair in pairs for n in pair):
        return None
    return [(pair[0], pair[1]) for pair in pairs]
