"""KOR operation, white triangle: the derivative of f(g(x)), as a formula or at x = 1."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]`, stripped."""
    return stripped_brackets(output, across_lines=True)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare as text, after deleting what does not count in the format."""
    answer_format = ground_truth["answer_format"]
    return _cleaned(solution, answer_format) == _cleaned(ground_truth["correct_answer"], answer_format)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored answer."""
    return f"[[{ground_truth['correct_answer']}]]"


def _cleaned(text: str, answer_format: str) -> str:
    if answer_format == "latex":
        # blindly: \cdots is left as s, x**2 as x2
        return "".join(text.split()).replace(r"\cdot", "").replace("*", "")
    return text.replace(" ", "")
