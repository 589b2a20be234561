"""KOR operation, black diamond: a double integral, as a number or formula."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]`, stripped; a newline inside is a blank."""
    content = last_brackets(output.replace("\n", " "))
    return None if content is None else content.strip()


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Accept what sympy can show to be equal."""
    from bootcamp_cli.bootcamps.builtin.kor_operation import symbolic  # noqa: PLC0415 - imports sympy, for workers only

    answer = symbolic.parsed(_respelled(solution), symbolic.PYTHON_LIKE)
    expected = symbolic.parsed(_respelled(ground_truth["correct_answer"]), symbolic.PYTHON_LIKE)
    return symbolic.are_equal(answer, expected)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    return f"[[{ground_truth['correct_answer']}]]"


def _respelled(formula: str) -> str:
    # in lower case Euler's number E is a symbol e, in the expected answer as well
    return formula.strip().replace("^", "**").replace(" ", "").replace("·", "*").lower()
