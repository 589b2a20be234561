"""KOR logic, predicate logic: sentences in symbols, all answers in one pair of brackets."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> list[str] | None:
    """Split the last `[[...]]` at semicolons; empty pieces do not count."""
    content = stripped_brackets(output, across_lines=True)
    if content is None:
        return None
    pieces = (piece.strip() for piece in content.replace("\n", " ").split(";"))
    return [piece for piece in pieces if piece]


def check(solution: list[str], ground_truth: dict[str, Any]) -> bool:
    """Compare one by one with the stored formulas, but for case and blanks."""
    # as text: an equivalent formula, or the same one in other symbols, is wrong
    expected = [_spelling(problem["correct_answer"]) for problem in ground_truth["problems"]]
    return [_spelling(formula) for formula in solution] == expected


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored formulas."""
    return f"[[{';'.join(problem['correct_answer'] for problem in ground_truth['problems'])}]]"


def _spelling(formula: str) -> str:
    return formula.replace(" ", "").upper()
