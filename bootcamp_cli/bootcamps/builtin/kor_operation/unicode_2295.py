"""KOR operation, circled plus: calculate with complex numbers, or find the unknown in an equation."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, all whitespace deleted."""
    content = last_brackets(output)
    return None if content is None else "".join(content.split())


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare what is read as Python reads numbers, rounded to two decimals."""
    if ground_truth["type"] == "equation":
        return bool(round(float(solution), 2) == ground_truth["solution"])
    # the real part first and the unit last: 4i+3 and 3+i4 are no numbers
    number = complex(solution.lower().replace("i", "j"))
    expected = (ground_truth["solution_real"], ground_truth["solution_imag"])
    return (round(number.real, 2), round(number.imag, 2)) == (round(expected[0], 2), round(expected[1], 2))


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number."""
    if ground_truth["type"] == "equation":
        return f"[[{ground_truth['solution']}]]"
    return f"[[{ground_truth['solution_real']}{ground_truth['solution_imag']:+}i]]"
