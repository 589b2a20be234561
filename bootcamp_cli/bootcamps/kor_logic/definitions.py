"""KOR logic, definitions: name the type of a definition by its letter."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_letter


def extract_output(output: str) -> str | None:
    """Take the last `[[X]]`, A to F."""
    # all six letters, although most questions have two or three options
    return last_letter(output, "A-Fa-f")


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter."""
    return bool(solution == ground_truth["correct_answer"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter."""
    return f"[[{ground_truth['correct_answer']}]]"
