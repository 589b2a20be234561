"""Word sorting: find the first wrong thought of a sorting trace, or sort words."""

import json
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import answer_blocks


def extract_output(output: str) -> Any | None:
    """Read the first `[answer]` block as "No", an integer, JSON or words between commas, whichever fits first."""
    # the first block, not the last: a draft in the reasoning decides
    block = next(answer_blocks(output), None)
    if block is None:
        return None
    text = block.strip()
    if text.lower() == "no":
        return "No"
    for read in (int, json.loads):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return [word.strip() for word in text.split(",")]


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Compare with the number of the first error, or with the sorted words."""
    if ground_truth["subtask"] == "error_detection":
        # as text, so that the JSON string "7" passes for 7
        return str(solution) == str(ground_truth["first_error_step"])
    return bool(solution == ground_truth["sorted_words"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number or words."""
    if ground_truth["subtask"] == "error_detection":
        return f"[answer]{ground_truth['first_error_step']}[/answer]"
    return f"[answer]{', '.join(ground_truth['sorted_words'])}[/answer]"
