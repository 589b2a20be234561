"""Futoshiki: a Latin square with givens and inequalities between neighbours, as a Python list of rows."""

import operator
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.latin import complete_ascending, is_latin
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none


def extract_output(output: str) -> Any | None:
    """Read the last `[answer]` block as a Python literal."""
    return literal_or_none(last_answer(output))


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Accept every completion of the givens that meets the inequalities."""
    # rows of any kind count, even sets and dicts, as long as no given and no inequality looks into them
    if not is_latin(solution, ground_truth["size"]):
        return False
    for row, givens in enumerate(ground_truth["initial"]):
        if any(given and solution[row][column] != given for column, given in enumerate(givens)):
            return False
    for inequality in ground_truth["inequalities"]:
        (r1, c1), (r2, c2) = inequality["cell1"], inequality["cell2"]
        holds = operator.lt if inequality["symbol"] == "<" else operator.gt
        if not holds(solution[r1][c1], solution[r2][c2]):
            return False
    return True


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for a completion."""
    grid = [list(row) for row in ground_truth["initial"]]
    pairs = []
    for inequality in ground_truth["inequalities"]:
        first, second = tuple(inequality["cell1"]), tuple(inequality["cell2"])
        pairs.append((first, second) if inequality["symbol"] == "<" else (second, first))
    return f"[answer]\n{grid}\n[/answer]" if complete_ascending(grid, pairs) else None
