"""KOR logic, epistemic logic: what an axiom of belief allows, as a letter or as an expression."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter, case ignored, or with the stored expression but for blanks."""
    match ground_truth["type"]:
        case "multiple_choice":
            return bool(solution.upper() == ground_truth["correct_answer"])
        case "expression":
            # with the proposition in words, although the prompt asks for a symbol
            return bool(solution.replace(" ", "") == ground_truth["correct_expression"])
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter or expression."""
    key = "correct_answer" if ground_truth["type"] == "multiple_choice" else "correct_expression"
    return f"[[{ground_truth[key]}]]"
