"""Dyck languages: find the first wrong thought of a trace that keeps a stack of brackets."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match


def extract_output(output: str) -> str | None:
    """Take the last `[answer]` block of nothing but digits or "No", tags and "No" in any case."""
    # a block with any other text, "Thought 7" for one, is not seen: an earlier draft can win
    word = last_match(output, r"(?i)\[answer\]\s*(\d+|No)\s*\[/answer\]")
    return word and word.capitalize()


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the number of the first wrong thought, or "No", as text: 07 is not 7."""
    return solution == _expected(ground_truth)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number, although a trace with a skipped closing bracket has no visible error."""
    return f"[answer]\n{_expected(ground_truth)}\n[/answer]"


def _expected(ground_truth: dict[str, Any]) -> str:
    step = ground_truth["error_step"]
    return "No" if step is None else str(step)
