"""KOR logic, modal propositions: relations, a sentence in symbols, the number of a formula, a conclusion."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored answer: letters without case, symbols without blanks, numbers as text."""
    # the stored answers are partly arbitrary: "necessarily" is # in one row and $ in another
    expected = str(ground_truth["correct_answer"])
    match ground_truth["type"]:
        case "relationship" | "multiple_choice_formula":
            return solution.upper() == expected.upper()
        case "symbolization":
            return solution.replace(" ", "") == expected.replace(" ", "")
        case "formula":
            return solution == expected
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    return f"[[{ground_truth['correct_answer']}]]"
