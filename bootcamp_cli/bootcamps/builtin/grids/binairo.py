"""Binairo (Takuzu): fill a grid with 0 and 1."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer
from bootcamp_cli.bootcamps.extraction.values import int_rows, spaced_rows


def extract_output(output: str) -> list[list[int]] | None:
    """Take the rows of the last `[answer]` block, a blank line being an empty row."""
    block = last_answer(output)
    return None if block is None else int_rows(block, keep_blank=True)


def check(solution: list[list[int]], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored solution."""
    # half of the puzzles have further valid fillings; the prompt promises uniqueness, and they count as wrong
    return bool(solution == ground_truth["solution"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored solution."""
    return f"[answer]\n{spaced_rows(ground_truth['solution'])}\n[/answer]"
