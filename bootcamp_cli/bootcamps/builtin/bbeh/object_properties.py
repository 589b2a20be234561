"""Object properties: how many items of a changed collection have the given attributes."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_block


def extract_output(output: str) -> str | None:
    """Take the last `[answer]` block, stripped."""
    return stripped_block(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored count as `int()` reads (+7, 07, 0_7), or with a stored word in any case."""
    expected = ground_truth["correct_answer"]
    # the prompt offers "unknown", the public rows have no such word
    if isinstance(expected, str):
        return solution.lower() == expected.lower()
    return bool(int(solution) == expected)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored count."""
    return f"[answer]{ground_truth['correct_answer']}[/answer]"
