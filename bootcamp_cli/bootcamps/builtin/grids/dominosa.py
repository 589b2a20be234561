"""Dominosa: cover a grid of numbers with dominoes, no pair of numbers twice."""

import re
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, beside
from bootcamp_cli.bootcamps.extraction.blocks import last_answer

Domino = tuple[Cell, Cell]

_DOMINO = re.compile(r"\((\d+)\s*,\s*(\d+)\)\s*,\s*\((\d+)\s*,\s*(\d+)\)")


def extract_output(output: str) -> list[Domino] | None:
    """Take every two coordinates with a comma in between from the last `[answer]` block, and skip the rest."""
    dominoes = []
    for match in _DOMINO.finditer(last_answer(output) or ""):
        try:
            r1, c1, r2, c2 = map(int, match.groups())
        except ValueError:  # over 4300 digits
            continue
        dominoes.append(((r1, c1), (r2, c2)))
    return dominoes or None


def check(solution: list[Domino], ground_truth: dict[str, Any]) -> bool:
    """Accept every tiling with different pairs, whether it is the generated one or not."""
    grid = ground_truth["grid"]
    cells = sorted(cell for domino in solution for cell in domino)
    if cells != [(row, column) for row, line in enumerate(grid) for column in range(len(line))]:
        return False
    if any(second not in beside(first) for first, second in solution):
        return False
    pairs = {tuple(sorted(grid[row][column] for row, column in domino)) for domino in solution}
    return len(pairs) == len(solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the plain tiling: the boards are built so that it fits, with horizontal dominoes if their width is even."""
    grid = ground_truth["grid"]
    height, width = len(grid), len(grid[0])
    if width % 2 == 0:
        dominoes = [((row, column), (row, column + 1)) for row in range(height) for column in range(0, width, 2)]
    else:
        dominoes = [((row, column), (row + 1, column)) for column in range(width) for row in range(0, height, 2)]
    lines = "\n".join(f"({r1},{c1}),({r2},{c2})" for (r1, c1), (r2, c2) in dominoes)
    return f"[answer]\n{lines}\n[/answer]"
