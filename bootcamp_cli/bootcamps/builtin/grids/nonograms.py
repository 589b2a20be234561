"""Nonograms: fill cells so that the runs of filled ones meet the clues of rows and columns."""

from itertools import groupby, product
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer

Line = tuple[bool, ...]


def extract_output(output: str) -> list[list[bool]] | None:
    """Take the lines of the last `[answer]` block; an `X` is filled, any other visible character is not."""
    block = last_answer(output)
    if block is None:
        return None
    # blanks are no cells, although the prompt writes empty cells as blanks: only visible ones keep a line's width
    lines = ["".join(line.split()) for line in block.split("\n")]
    return [[character.upper() == "X" for character in line] for line in lines if line]


def check(solution: list[list[bool]], ground_truth: dict[str, Any]) -> bool:
    """Accept every grid whose runs are the clues."""
    rows, columns = ground_truth["rows"], ground_truth["columns"]
    if len(solution) != len(rows) or any(len(line) != len(columns) for line in solution):
        return False
    return ([_runs(line) for line in solution], [_runs(line) for line in zip(*solution, strict=True)]) == (
        rows,
        columns,
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search row by row, and write empty cells as dots."""
    rows, columns = ground_truth["rows"], ground_truth["columns"]
    choices = [_lines(clue, len(columns)) for clue in rows]
    grid = _fill(choices, [_lines(clue, len(rows)) for clue in columns], 0)
    if grid is None:
        return None
    text = "\n".join("".join("X" if cell else "." for cell in line) for line in grid)
    return f"[answer]\n{text}\n[/answer]"


def _runs(line: Any) -> list[int]:
    return [len(list(run)) for filled, run in groupby(line) if filled]


def _lines(clue: list[int], length: int) -> list[Line]:
    return [line for line in product((False, True), repeat=length) if _runs(line) == clue]


def _fill(choices: list[list[Line]], columns: list[list[Line]], row: int) -> list[Line] | None:
    """Choose a line for each row from `row` on, `columns` being what each column may still be."""
    if row == len(choices):
        return []
    for line in choices[row]:
        left = [[c for c in column if c[row] == cell] for column, cell in zip(columns, line, strict=True)]
        if all(left) and (below := _fill(choices, left, row + 1)) is not None:
            return [line, *below]
    return None
