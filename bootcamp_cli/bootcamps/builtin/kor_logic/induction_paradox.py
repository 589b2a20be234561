"""KOR logic, induction paradoxes: name the paradox of a description or an expression by its letter."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.kor_logic.choice import LetterChoice

_CHOICE = LetterChoice(letters="A-Ca-c")
extract_output = _CHOICE.extract_output


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter, and look whether the question itself is sound."""
    return _CHOICE.check(solution, ground_truth) and _is_sound(ground_truth)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter; None where the question is not sound."""
    return _CHOICE.solve(ground_truth) if _is_sound(ground_truth) else None


def _is_sound(ground_truth: dict[str, Any]) -> bool:
    # the second form of expression, with ⇒ and ∨, is not recognised: no answer to it scores
    match ground_truth["type"]:
        case "example":
            described = bool(ground_truth["contradiction"] and ground_truth["phenomenon"])
            return described and len(ground_truth["hypotheses"]) == 2
        case "symbolic":
            expression = ground_truth["expression"]
            return "→" in expression and "∧" in expression and ("⊻" in expression or "矛盾" in expression)
        case _:
            return False
