"""Light Up (Akari): bulbs that light every white cell and not each other, as a Python list of (row, column) tuples."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, beside
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none

Grid = list[list[str]]


def extract_output(output: str) -> Any | None:
    """Read the last `[answer]` block as a Python literal, without its blanks and line breaks."""
    block = last_answer(output)
    # with the line breaks gone, a comment hides all that follows it
    return None if block is None else literal_or_none(block.strip().replace(" ", "").replace("\n", ""))


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Accept every placement that meets the clues and lights all white cells."""
    grid = ground_truth["grid"]
    bulbs = [(row, column) for row, column in solution]
    if not all(
        0 <= r < ground_truth["rows"] and 0 <= c < ground_truth["cols"] and _is_white(grid, r, c) for r, c in bulbs
    ):
        return False
    # clues count tuples only: bulbs written as [row, column] are seen by the rules of light, not by the clues
    if any(sum(cell in solution for cell in beside(black)) != clue for black, clue in _clues(grid)):
        return False
    sights = {cell: _seen_from(grid, cell) for cell in _white_cells(grid)}
    if len(set(bulbs)) != len(bulbs) or any(sights[bulb].intersection(bulbs) for bulb in bulbs):
        return False
    return set(bulbs).union(*(sights[bulb] for bulb in bulbs)) == set(sights)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search, the unlit cell with the fewest places for its bulb first."""
    grid = ground_truth["grid"]
    bulbs = _place({cell: _seen_from(grid, cell) for cell in _white_cells(grid)}, _clues(grid), frozenset())
    return None if bulbs is None else f"[answer]{sorted(bulbs)}[/answer]"


def _place(
    sights: dict[Cell, set[Cell]], clues: list[tuple[Cell, int]], bulbs: frozenset[Cell]
) -> frozenset[Cell] | None:
    unlit = sights.keys() - bulbs.union(*(sights[bulb] for bulb in bulbs))
    counts = [(sum(cell in bulbs for cell in beside(black)), clue) for black, clue in clues]
    if any(count > clue for count, clue in counts) or (not unlit and any(count < clue for count, clue in counts)):
        return None
    if not unlit:
        return bulbs
    for place in min(({cell, *sights[cell]} & unlit for cell in sorted(unlit)), key=len):
        if (found := _place(sights, clues, bulbs | {place})) is not None:
            return found
    return None


def _is_white(grid: Grid, row: int, column: int) -> bool:
    return grid[row][column].startswith("W")


def _white_cells(grid: Grid) -> list[Cell]:
    return [
        (row, column) for row, line in enumerate(grid) for column in range(len(line)) if _is_white(grid, row, column)
    ]


def _clues(grid: Grid) -> list[tuple[Cell, int]]:
    cells = [((row, column), text) for row, line in enumerate(grid) for column, text in enumerate(line)]
    return [(cell, int(text[1:])) for cell, text in cells if text.startswith("B") and text[1:]]


def _seen_from(grid: Grid, cell: Cell) -> set[Cell]:
    """Collect the white cells that a bulb lights in its row and column, without its own."""
    seen = set()
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        row, column = cell[0] + down, cell[1] + right
        while 0 <= row < len(grid) and 0 <= column < len(grid[row]) and _is_white(grid, row, column):
            seen.add((row, column))
            row, column = row + down, column + right
    return seen
