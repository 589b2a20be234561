"""Cipher: encode or decode a short text; the score falls with the edit distance."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.text.edit_distance import edit_distance
from bootcamp_cli.bootcamps.extraction.blocks import last_fence
from bootcamp_cli.bootcamps.extraction.values import json_syntax


def extract_output(output: str) -> str | None:
    """Take the last ```` ```text ```` fence; quotes and brackets respelled make a list of (110, 101)."""
    content = last_fence(output, "text")
    return None if content is None else json_syntax(content)


def check(solution: str, ground_truth: dict[str, Any]) -> float:
    """Score the square of the similarity, case ignored: most texts of similar length get a little."""
    expected = str(ground_truth["ground_truth"]).lower()
    distance = edit_distance(expected, solution.lower())
    # in this order of operations, so that scores are the reference's to the last bit
    similarity = 1 - min(distance / len(expected), 1.0)
    return similarity * similarity


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the expected text."""
    return f"```text\n{ground_truth['ground_truth']}\n```"
