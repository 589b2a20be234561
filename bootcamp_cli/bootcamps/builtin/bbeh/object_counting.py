"""Object counting: the sum or difference of two categories in an inventory."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_answer


def extract_output(output: str) -> int | None:
    """Take the last integer behind the last `=` of the last `[answer]` block."""
    block = last_answer(output)
    if block is None:
        return None
    # thousands marks go, and with the blanks "iPhone 13" becomes one word and "- 5" a negative number
    text = block.replace(",", "").replace(" ", "").rpartition("=")[2]
    numbers = re.findall(r"-?\d+", text)
    return int(numbers[-1]) if numbers else None


def check(solution: int, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored count."""
    return bool(solution == ground_truth["correct_answer"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored count."""
    return f"[answer]{ground_truth['correct_answer']}[/answer]"
