"""KOR puzzle, word search: where words begin and end in a grid of letters."""

import re
from itertools import product
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets

Cell = tuple[int, int]
Line = tuple[str, Cell, Cell]

_LINE = re.compile(r"(\w+)\s*\((\d+),(\d+)\)\((\d+),(\d+)\)")


def extract_output(output: str) -> list[Line] | None:
    """Take the lines `WORD (row,column)(row,column)` of the last `[[...]]`, skipping all others."""
    content = last_brackets(output, across_lines=True) or ""
    matches = (_LINE.fullmatch(line.strip()) for line in content.split("\n"))
    return [_line(*match.groups()) for match in matches if match] or None


def check(solution: list[Line], ground_truth: dict[str, Any]) -> bool:
    """Look whether the words stand there, in the order of the list, forwards or backwards."""
    if [word for word, _, _ in solution] != ground_truth["word_list"]:
        return False
    return all(_stands(ground_truth["grid"], *line) for line in solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Look for each word from every cell in every direction."""
    lines = [_found(ground_truth["grid"], word) for word in ground_truth["word_list"]]
    return None if None in lines else "[[{}]]".format("\n".join(line or "" for line in lines))


def _line(word: str, *coordinates: str) -> Line:
    top, left, bottom, right = map(int, coordinates)
    return word.upper(), (top, left), (bottom, right)


def _stands(grid: list[list[str]], word: str, start: Cell, end: Cell) -> bool:
    # the end decides the direction only, and rounded down: it may be off by a few cells, even outside the grid
    row_step, column_step = ((last - first) // (len(word) - 1) for first, last in zip(start, end, strict=True))
    if row_step not in (-1, 0, 1) or column_step not in (-1, 0, 1):
        return False
    cells = [(start[0] + k * row_step, start[1] + k * column_step) for k in range(len(word))]
    if not all(0 <= row < len(grid) and 0 <= column < len(grid[row]) for row, column in cells):
        return False
    letters = "".join(grid[row][column] for row, column in cells)
    return word in (letters, letters[::-1])


def _found(grid: list[list[str]], word: str) -> str | None:
    far = len(word) - 1
    for row, column, down, right in product(range(len(grid)), range(len(grid[0])), (-1, 0, 1), (-1, 0, 1)):
        end = (row + far * down, column + far * right)
        if _stands(grid, word, (row, column), end):
            return f"{word} ({row},{column})({end[0]},{end[1]})"
    return None
