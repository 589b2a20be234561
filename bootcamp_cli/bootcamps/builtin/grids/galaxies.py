"""Galaxies: divide a grid into connected regions, each symmetric about its centre."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.cells import Cell, beside, reached
from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import literal_or_none


def extract_output(output: str) -> Any | None:
    """Read the last `[answer]` block as a Python literal."""
    return literal_or_none(last_answer(output))


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Check centres, cover, symmetry and connection; a cell is anything that gives two numbers."""
    if not isinstance(solution, list) or not all(isinstance(item["cells"], list) for item in solution):
        return False
    centers = [tuple(item["center"]) for item in solution]
    if set(centers) != {tuple(center) for center in ground_truth["centers"]}:
        return False
    regions = [[tuple(cell) for cell in item["cells"]] for item in solution]
    cells = [cell for region in regions for cell in region]
    everything = _all_cells(ground_truth)
    if len(cells) != len(everything) or set(cells) != set(everything):
        return False
    return all(_is_galaxy(set(region), center) for region, center in zip(regions, centers, strict=True))


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the whole grid as one galaxy: no board has more than one centre."""
    [center] = ground_truth["centers"]
    return f'[answer]\n[{{"center": {tuple(center)}, "cells": {_all_cells(ground_truth)}}}]\n[/answer]'


def _all_cells(ground_truth: dict[str, Any]) -> list[Cell]:
    return [(row, column) for row in range(ground_truth["rows"]) for column in range(ground_truth["cols"])]


def _is_galaxy(region: set[Any], center: Any) -> bool:
    row, column = center
    if center not in region or any((2 * row - r, 2 * column - c) not in region for r, c in region):
        return False
    return reached(center, lambda cell: region.intersection(beside(cell))) == region
