"""KOR puzzle, word roots and affixes: the affix that completes all given segments."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored affix, case ignored."""
    # others that complete the words, too, are wrong
    return bool(solution.lower() == ground_truth["affix"].lower())


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored affix."""
    return f"[[{ground_truth['affix']}]]"
