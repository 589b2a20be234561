"""KOR puzzle, word brain teasers: split compounds into their nouns."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import closed_brackets


def extract_output(output: str) -> list[str] | None:
    """Take the words of the last `[[...]]` with a letter in it."""
    for content in reversed(list(closed_brackets(output))):
        # what is no letter goes, it separates nothing: "sun, flower" is two words, "sun-flower" one
        if words := re.sub(r"[^a-zA-Z\s]", "", content).split():
            return words
    return None


def check(solution: list[str], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored nouns, case and all."""
    return solution == _nouns(ground_truth)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored nouns."""
    return f"[[{' '.join(_nouns(ground_truth))}]]"


def _nouns(ground_truth: dict[str, Any]) -> list[str]:
    return [noun for pair in ground_truth["components"] for noun in pair]
