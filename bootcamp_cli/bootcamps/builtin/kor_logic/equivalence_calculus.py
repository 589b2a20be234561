"""KOR logic, equivalences: convert an expression by a rule, or say whether two are equivalent."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import closed_brackets

_SWAPPED_BY_RULE_10 = str.maketrans(">=", "!|")


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` that holds something and no `]`, as it stands."""
    return [None, *closed_brackets(output)][-1]


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Judge by the kind of question."""
    match ground_truth["type"]:
        case "expression_conversion":
            return solution == _converted(ground_truth)
        case "equivalence_validation":
            # whatever is not A means No
            return bool((solution == "A") == ground_truth["expected"])
        case _:
            # puzzles: the reference compares the text with a list
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the converted expression or the letter; None for a puzzle."""
    match ground_truth["type"]:
        case "expression_conversion":
            return f"[[{_converted(ground_truth)}]]"
        case "equivalence_validation":
            return "[[A]]" if ground_truth["expected"] else "[[B]]"
        case _:
            return None


def _converted(ground_truth: dict[str, Any]) -> str:
    expression = str(ground_truth["expression"])
    # rules 12 and 14 change nothing
    return expression.translate(_SWAPPED_BY_RULE_10) if ground_truth["target_rule"] == 10 else expression
