"""Kakurasu: shade cells so that the column numbers in each row and the row numbers in each column add up."""

from itertools import product
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none

Rows = list[tuple[int, ...]]


def extract_output(output: str) -> Any | None:
    """Read the last `[answer]` block as a Python literal."""
    return literal_or_none(last_answer(output))


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Accept every list of lists of 0 and 1, as Python compares them, that meets the targets."""
    size = ground_truth["n"]
    if not isinstance(solution, list) or len(solution) != size:
        return False
    if not all(isinstance(row, list) and len(row) == size for row in solution):
        return False
    if any(cell not in (0, 1) for row in solution for cell in row):
        return False
    targets = (ground_truth["row_targets"], ground_truth["col_targets"])
    return (weighed(solution), weighed(zip(*solution, strict=True))) == targets


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search row by row."""
    size = ground_truth["n"]
    lines = list(product((0, 1), repeat=size))
    choices = [[line for line in lines if weighed([line]) == [target]] for target in ground_truth["row_targets"]]
    rows = _shade(choices, ground_truth["col_targets"])
    return None if rows is None else f"[answer]\n{[list(row) for row in rows]}\n[/answer]"


def weighed(lines: Any) -> list[Any]:
    """Add up the 1-based positions of the shaded cells in each line."""
    return [sum(position * cell for position, cell in enumerate(line, 1)) for line in lines]


def _shade(choices: list[Rows], wanted: list[int]) -> Rows | None:
    """Choose the last row first, so that what is wanted of the rows above stays within reach."""
    number = len(choices)
    if not choices:
        return None if any(wanted) else []
    if not all(0 <= left <= number * (number + 1) // 2 for left in wanted):
        return None
    for row in choices[-1]:
        left = [want - number * cell for want, cell in zip(wanted, row, strict=True)]
        if (above := _shade(choices[:-1], left)) is not None:
            return [*above, row]
    return None
