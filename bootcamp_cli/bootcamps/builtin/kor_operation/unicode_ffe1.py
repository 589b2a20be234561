"""KOR operation, pound sign: the symmetric difference of two sets."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]`, stripped."""
    return stripped_brackets(output, across_lines=True)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare finite sets by their elements, descriptions as text without whitespace and case."""
    if ground_truth["type"] == "finite":
        elements = re.findall(r"[^,{}\s]+", solution)
        return {int(text) if text.isdigit() else text for text in elements} == set(ground_truth["solution"])
    # the stored intervals are not the sets asked for: the bounds belong to them, whatever the inequalities were
    return _normalised(solution) == _normalised(ground_truth["solution"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored set."""
    solution = ground_truth["solution"]
    return f"[[{', '.join(map(str, solution)) if ground_truth['type'] == 'finite' else solution}]]"


def _normalised(text: str) -> str:
    # =< and => are understood, <= is not
    return "".join(text.split()).lower().replace(">=", "≥").replace("=<", "≤").replace("=>", "≥")
