"""KOR logic, dynamic logic: rewrite a formula by a rule, or choose the rule that fits a scenario."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped; `[[[c1][c2]φ]]` gives `[c1][c2]φ`."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter, or with the stored formulas."""
    match ground_truth["type"]:
        case "multiple_choice":
            return bool(solution.upper() == ground_truth["correct"])
        case "expression":
            # the stored formulas are taken as they are: no answer reaches one with a blank or an angle bracket
            return _spelling(solution) in ground_truth["valid_variants"]
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter, or a formula that can be reached; None without any."""
    if ground_truth["type"] == "multiple_choice":
        return f"[[{ground_truth['correct']}]]"
    reachable = (f"[[{formula}]]" for formula in ground_truth["valid_variants"] if formula == _spelling(formula))
    return next(reachable, None)


def _spelling(formula: str) -> str:
    return "".join(formula.split()).replace("⟨", "[").replace("⟩", "]")
