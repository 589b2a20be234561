"""Shuffled objects: what a person holds after a row of swaps."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_block


def extract_output(output: str) -> str | None:
    """Take the last `<answer>` block, stripped."""
    # angle brackets, unlike the other bootcamps
    return stripped_block(output, "<answer>", "</answer>")


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored name, case ignored."""
    return bool(solution.lower() == ground_truth["correct_answer"].strip().lower())


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored name."""
    return f"<answer>{ground_truth['correct_answer']}</answer>"
