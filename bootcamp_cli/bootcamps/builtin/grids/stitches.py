"""Stitches: one closed loop of unit segments between lattice points, some of which say how many segments they have."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, reached
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none


def extract_output(output: str) -> list[Any] | None:
    """Read the last `[answer]` block as a Python list of segments: whatever holds two tuples of two."""
    value = literal_or_none(last_answer(output))
    if not isinstance(value, list) or not all(_is_segment(item) for item in value):
        return None
    return value


def check(solution: list[Any], ground_truth: dict[str, Any]) -> bool:
    """Accept every loop that gives the numbered points their segments."""
    links: dict[Cell, set[Cell]] = defaultdict(set)  # sets: repeated segments count once
    for (x1, y1), (x2, y2) in solution:
        if not all(0 <= x < ground_truth["rows"] and 0 <= y < ground_truth["cols"] for x, y in ((x1, y1), (x2, y2))):
            return False
        if abs(x1 - x2) + abs(y1 - y2) != 1:
            return False
        links[x1, y1].add((x2, y2))
        links[x2, y2].add((x1, y1))
    for point in ground_truth["numbered_cells"]:
        if len(links.get((point["x"], point["y"]), ())) != point["num"]:
            return False
    if any(len(ends) != 2 for ends in links.values()):
        return False
    return not links or reached(next(iter(links)), links.__getitem__) == set(links)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the border of the lattice: the boards are built so that it fits."""
    bottom, right = ground_truth["rows"] - 1, ground_truth["cols"] - 1
    border = [(0, y) for y in range(right)] + [(x, right) for x in range(bottom)]
    border += [(bottom, y) for y in range(right, 0, -1)] + [(x, 0) for x in range(bottom, -1, -1)]
    return f"[answer]{[list(segment) for segment in pairwise(border)]}[/answer]"


def _is_segment(item: Any) -> bool:
    return hasattr(item, "__len__") and len(item) == 2 and all(isinstance(end, tuple) and len(end) == 2 for end in item)
