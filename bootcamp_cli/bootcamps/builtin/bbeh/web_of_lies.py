"""Web of lies: do three people tell the truth, by what all say of one another."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match

_WORD = "(?:yes|no|unknown)"
# the blanks beside an angle bracket belong to it, otherwise the pattern takes quadratic time on blanks
_ANSWER = rf"(?i)\[answer\]\s*(?:<\s*)?({_WORD}(?:\s*,\s*{_WORD}){{2}})\s*(?:>\s*)?\[/answer\]"


def extract_output(output: str) -> list[str] | None:
    """Take the last `[answer]` block of three words, in any case, with or without an angle bracket on either side."""
    # a block with anything else, a final period for one, is not seen: an earlier draft can win
    words = last_match(output, _ANSWER)
    return None if words is None else [word.strip() for word in words.lower().split(",")]


def check(solution: list[str], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored words, in their order."""
    # in most rows the statements contradict each other: no reasoning leads to the stored words
    return bool(solution == ground_truth["solution"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored words."""
    return f"[answer]{', '.join(ground_truth['solution'])}[/answer]"
