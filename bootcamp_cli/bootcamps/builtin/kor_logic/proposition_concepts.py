"""KOR logic, categorical propositions: their parts, their types, their relations, blanks to be filled."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import closed_brackets

_KEYS = {
    "components": "correct_answer",
    "proposition_type": "correct_type",
    "relationship_exists": "correct_answers",
    "relationship_type": "correct_relations",
    "truth_value": "correct_values",
}


def extract_output(output: str) -> list[str] | None:
    """Split the last `[[...]]` that holds something and no `]` at semicolons."""
    content = [None, *closed_brackets(output)][-1]
    return None if content is None else [item.strip() for item in content.strip().split(";")]


def check(solution: list[str], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored items, case and all."""
    # most stored truth values are random: no reasoning leads to them
    return solution == _expected(ground_truth)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored items."""
    return f"[[{';'.join(_expected(ground_truth))}]]"


def _expected(ground_truth: dict[str, Any]) -> list[str]:
    value = ground_truth[_KEYS[ground_truth["problem_type"]]]
    return [value] if isinstance(value, str) else value
