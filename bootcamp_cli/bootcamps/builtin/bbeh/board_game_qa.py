"""Board game QA: is a statement proved, disproved or unknown under rules with priorities."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match, stripped_block


def extract_output(output: str) -> str | None:
    """Take the last `[answer]` block if it is one of the three words; without any block the last such word."""
    # tags in any case, and a block of anything else leaves no answer: words are looked for where no block is at all
    word = stripped_block(output, flags=re.IGNORECASE)
    if word is None:
        word = last_match(output, r"(?i)\b(proved|disproved|unknown)\b") or ""
    return word.lower() if word.lower() in ("proved", "disproved", "unknown") else None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored word."""
    return bool(solution == ground_truth["answer"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored word."""
    return f"[answer]{ground_truth['answer']}[/answer]"
