"""KOR puzzle, Calcudoku: a Latin square with arithmetic cages."""

import math
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.latin import Grid, complete, is_latin
from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import int_rows, spaced_rows


def extract_output(output: str) -> Grid | None:
    """Take the rows of the last `[[...]]`, between commas."""
    content = last_brackets(output, across_lines=True)
    # newlines are nothing: "1 2\n3 4" is the row 1 23 4
    return None if content is None else int_rows(content.replace("\n", ""), separator=",")


def check(solution: Grid, ground_truth: dict[str, Any]) -> bool:
    """Accept every Latin square whose cages hold different values that reach the target."""
    if not is_latin(solution, ground_truth["size"]):
        return False
    return all(_reaches(_values(solution, cage), cage) for cage in ground_truth["regions"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for such a square; None where the search ends without one."""
    grid = [[0] * ground_truth["size"] for _ in range(ground_truth["size"])]
    cages = {(row - 1, column - 1): cage for cage in ground_truth["regions"] for row, column in cage["cells"]}

    def fits(row: int, column: int, value: int) -> bool:
        cage = cages[row, column]
        values = [*filter(None, _values(grid, cage)), value]
        return _reaches(values, cage) if len(values) == len(cage["cells"]) else _is_within(values, cage)

    return f"[[{spaced_rows(grid, separator=',')}]]" if complete(grid, fits) else None


def _values(grid: Grid, cage: dict[str, Any]) -> list[int]:
    return [grid[row - 1][column - 1] for row, column in cage["cells"]]


def _reaches(values: list[int], cage: dict[str, Any]) -> bool:
    # a value occurs once in a cage, which the prompt does not say
    if len(set(values)) != len(values):
        return False
    match cage["operator"]:
        case "+":
            result: float = sum(values)
        case "*":
            result = math.prod(values)
        case "-":
            result = abs(values[0] - values[1])
        case _:
            result = max(values) / min(values)
    return bool(result == cage["target"])


def _is_within(values: list[int], cage: dict[str, Any]) -> bool:
    """Tell whether the values may be some of a cage's."""
    if len(set(values)) != len(values):
        return False
    match cage["operator"]:
        case "+":
            return bool(sum(values) < cage["target"])
        case "*":
            return bool(cage["target"] % math.prod(values) == 0)
        case _:
            return True
