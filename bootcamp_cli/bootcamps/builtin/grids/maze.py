"""Maze: walk from start to end through passages, as a Python list of (row, column) tuples."""

from itertools import pairwise
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_fence
from bootcamp_cli.bootcamps.extraction.values import python_literal


def extract_output(output: str) -> Any | None:
    """Read the last ```` ```json ```` fence as a Python literal; its raw text where it is none."""
    content = last_fence(output, "json")
    if content is None:
        return None
    try:
        return python_literal(content)
    except ValueError:
        return content


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Accept every walk in single steps over passages; circles are fine, standing still is not."""
    grid = ground_truth["grid"]
    # the ends are compared with tuples: an answer in real JSON fails although the fence says json
    ends = (tuple(ground_truth["start_pos"]), tuple(ground_truth["end_pos"]))
    if not solution or (solution[0], solution[-1]) != ends:
        return False
    for row, column in solution:
        if not (0 <= row < len(grid) and 0 <= column < len(grid[0])) or grid[row][column] != 0:
            return False
    return all(abs(r2 - r1) + abs(c2 - c1) == 1 for (r1, c1), (r2, c2) in pairwise(solution))


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored path."""
    path = [tuple(cell) for cell in ground_truth["solution_path"]]
    return f"```json\n{path}\n```"
