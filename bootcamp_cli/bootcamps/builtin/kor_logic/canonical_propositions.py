"""KOR logic, deontic propositions: relations of statements, a regulation in symbols, the number of a formula."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets

_LETTERS = {"*": "A", "x": "B", "@": "C", "%": "D"}


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]`, stripped, with blanks for newlines."""
    content = stripped_brackets(output, across_lines=True)
    return None if content is None else content.replace("\n", " ")


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Judge by the kind of question."""
    match ground_truth["type"]:
        case "relationship":
            return [letter.strip().upper() for letter in solution.split(";")] == _letters(ground_truth)
        case "symbolization":
            # the letters are p and q, whatever the prompt calls them
            return _conjuncts(solution) == _conjuncts(ground_truth["solution"])
        case "formula":
            # the number may stand among others, and after a "not"
            return str(ground_truth["correct"]) in re.findall(r"\d+", solution)
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    match ground_truth["type"]:
        case "relationship":
            return f"[[{';'.join(_letters(ground_truth))}]]"
        case "symbolization":
            return f"[[{ground_truth['solution']}]]"
        case _:
            return f"[[{ground_truth['correct']}]]"


def _letters(ground_truth: dict[str, Any]) -> list[str]:
    return [_LETTERS[symbol] for symbol in ground_truth["key"]]


def _conjuncts(formula: str) -> list[str]:
    return sorted("".join(formula.split()).upper().split("∧"))
