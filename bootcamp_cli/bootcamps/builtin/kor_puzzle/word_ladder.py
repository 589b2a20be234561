"""KOR puzzle, word ladder: the least number of one-letter changes between two words."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match


def extract_output(output: str) -> int | None:
    r"""Take the last `[[digits]]`; digits of any script, nothing beside them."""
    digits = last_match(output, r"\[\[(\d+)\]\]")
    return None if digits is None else int(digits)


def check(solution: int, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored number of steps."""
    # it comes from a list of 370,000 words, and is often smaller than everyday English allows
    return bool(solution == ground_truth["correct_steps"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number."""
    return f"[[{ground_truth['correct_steps']}]]"
