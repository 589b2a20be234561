"""KOR logic, resolution: can two clauses be resolved, to what, and where does the algorithm end."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Judge by the kind of question."""
    match ground_truth["problem_type"]:
        case "can_resolve":
            return solution.upper() == ("A" if ground_truth["expected"] else "B")
        case "compute_dispel":
            # several guesses are allowed, one hit is enough
            return _clause(ground_truth["expected"]) in [_clause(guess.strip()) for guess in solution.split(";")]
        case _:
            # literally as the prompt asks, [[output];[number]], this fails: only [[output;number]] can be right
            outcome, cycles = solution.split(";")
            expected = (ground_truth["expected_output"].lower(), ground_truth["steps"])
            return (outcome.strip().lower(), int(cycles)) == expected


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    match ground_truth["problem_type"]:
        case "can_resolve":
            return "[[A]]" if ground_truth["expected"] else "[[B]]"
        case "compute_dispel":
            return f"[[{ground_truth['expected']}]]"
        case _:
            return f"[[{ground_truth['expected_output']};{ground_truth['steps']}]]"


def _clause(text: str) -> frozenset[str]:
    # the separator counts with its blanks: p∨q is a single literal of an odd name
    return frozenset() if text == "0" else frozenset(text.split(" ∨ "))
