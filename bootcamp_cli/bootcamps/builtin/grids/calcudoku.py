"""Calcudoku: a Latin square whose groups of cells reach a target by one operation, as `[[1 2,2 1]]`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import prod
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell
from bootcamp_cli.bootcamps.builtin.grids.latin import Grid, complete, is_latin
from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import int_tokens, spaced_rows


def extract_output(output: str) -> Grid | None:
    """Take the rows between commas in the last double brackets."""
    content = last_brackets(output, across_lines=True)
    if content is None:
        return None
    # the brackets of single rows go, unless a line break stands before them
    rows = [int_tokens(piece.strip("[] ")) for piece in content.split(",")]
    return [row for row in rows if row is not None] if None not in rows else None


def check(solution: Grid, ground_truth: dict[str, Any]) -> bool:
    """Accept every Latin square whose groups reach their targets."""
    return is_latin(solution, ground_truth["size"]) and all(
        _reaches([solution[row][column] for row, column in cells], operator, target)
        for cells, operator, target in _groups(ground_truth)
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for such a square, by the verdict's own idea of a ratio; None where the search ends without one."""
    size = ground_truth["size"]
    fillings: dict[Cell, tuple[list[Cell], list[tuple[int, ...]]]] = {}
    for cells, operator, target in _groups(ground_truth):
        fitting = [values for values in _fillings(cells, size) if _reaches(values, operator, target)]
        fillings |= dict.fromkeys(cells, (cells, fitting))
    grid = [[0] * size for _ in range(size)]

    def fits(row: int, column: int, value: int) -> bool:
        cells, fitting = fillings[row, column]
        wanted = [value if cell == (row, column) else grid[cell[0]][cell[1]] for cell in cells]
        return any(all(want in (0, have) for want, have in zip(wanted, values, strict=True)) for values in fitting)

    return f"[[{spaced_rows(grid, separator=',')}]]" if complete(grid, fits) else None


def _groups(ground_truth: dict[str, Any]) -> list[tuple[list[Cell], str, int]]:
    cells: dict[str, list[Cell]] = defaultdict(list)
    for row, letters in enumerate(ground_truth["grid"]):
        for column, letter in enumerate(letters):
            cells[letter].append((row, column))
    return [(cells[letter], *ground_truth["groups"][letter]) for letter in cells]


def _reaches(values: Sequence[int], operator: str, target: int) -> bool:
    match operator:
        case "+":
            return sum(values) == target
        case "*":
            return prod(values) == target
        case "-":
            return any(2 * value == sum(values) + target for value in values)
        case "/":
            # a divisor equal to the dividend is left out, so that 2 and 2 make 2 and not 1
            return any(value / prod(other for other in values if other != value) == target for value in values)
        case _:
            return False


def _fillings(cells: list[Cell], size: int) -> Iterator[tuple[int, ...]]:
    """Yield what a group may hold: cells in one line differ."""
    in_line = [(i, j) for i, j in combinations(range(len(cells)), 2) if _share_line(cells[i], cells[j])]
    for values in product(range(1, size + 1), repeat=len(cells)):
        if all(values[i] != values[j] for i, j in in_line):
            yield values


def _share_line(a: Cell, b: Cell) -> bool:
    return a[0] == b[0] or a[1] == b[1]
