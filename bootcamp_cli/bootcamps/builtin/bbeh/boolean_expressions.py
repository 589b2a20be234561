"""Boolean expressions: the letter of the only true one of five."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_block

LETTERS = ("A", "B", "C", "D", "E")


def extract_output(output: str) -> str | None:
    """Take the first character of the last `[answer]` block, A to E in any case."""
    # only that: "Choice D" is C, and "(D)" is no answer
    letter = (stripped_block(output) or "")[:1].upper()
    return letter if letter in LETTERS else None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored index."""
    return bool(LETTERS.index(solution) == ground_truth["answer"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the letter of the stored index."""
    return f"[answer]{LETTERS[ground_truth['answer']]}[/answer]"
