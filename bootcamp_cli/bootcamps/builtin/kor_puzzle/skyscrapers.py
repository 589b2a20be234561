"""KOR puzzle, skyscrapers: a Latin square with the numbers of buildings that are seen from the four sides."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from bootcamp_cli.bootcamps.builtin.grids.latin import Grid, complete, is_latin
from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import int_rows, spaced_rows


def extract_output(output: str) -> Grid | None:
    """Take the rows of the last `[[...]]`, between commas; a trailing comma adds an empty row."""
    content = last_brackets(output, across_lines=True)
    return None if content is None else int_rows(content, separator=",", keep_blank=True)


def check(solution: Grid, ground_truth: dict[str, Any]) -> bool:
    """Accept every Latin square with the right views."""
    return is_latin(solution, ground_truth["n"]) and all(
        _views(line) == views for line, views in _sightlines(solution, ground_truth)
    )


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for such a square."""
    size = ground_truth["n"]
    grid = [[0] * size for _ in range(size)]

    def fits(row: int, column: int, value: int) -> bool:
        filled = [[*line] for line in grid]
        filled[row][column] = value
        return all(0 in line or _views(line) == views for line, views in _sightlines(filled, ground_truth))

    return f"[[{spaced_rows(grid, separator=', ')}]]" if complete(grid, fits) else None


def _sightlines(grid: Grid, ground_truth: dict[str, Any]) -> Iterator[tuple[Sequence[int], tuple[int, int]]]:
    """Yield each row and column with the numbers of buildings to be seen from its beginning and from its end."""
    yield from zip(grid, zip(ground_truth["left"], ground_truth["right"], strict=True), strict=True)
    columns = zip(*grid, strict=True)
    yield from zip(columns, zip(ground_truth["top"], ground_truth["bottom"], strict=True), strict=True)


def _views(line: Sequence[int]) -> tuple[int, int]:
    return _visible(line), _visible(line[::-1])


def _visible(heights: Sequence[int]) -> int:
    return len(set(accumulate(heights, max)))
