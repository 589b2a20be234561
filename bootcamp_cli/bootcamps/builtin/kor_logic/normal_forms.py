"""KOR logic, normal forms: classify a full disjunctive or conjunctive form, or write it in m or M notation."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare the letters as a set, or the terms in any order."""
    match ground_truth["type"]:
        case "classify":
            # a comma or a blank between two letters is one character too many
            return set(solution.upper()) == set(ground_truth["correct_options"])
        case "denote":
            return _terms(solution) == _terms(ground_truth["correct_denote"])
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letters or terms."""
    if ground_truth["type"] == "classify":
        return f"[[{''.join(ground_truth['correct_options'])}]]"
    return f"[[{ground_truth['correct_denote']}]]"


def _terms(notation: str) -> tuple[int, set[str]]:
    # neither the connective nor the case counts: m0 ∨ m3 passes for M0 ∧ M3
    terms = "".join(notation.split()).lower().split("∨" if "∨" in notation else "∧")
    return len(terms), set(terms)
