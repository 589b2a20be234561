"""KOR logic, statistical generalisation: a percentage by an invented rule, or the rule in symbols."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_brackets


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` on one line, stripped."""
    return stripped_brackets(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare the percentage to within 1e-6, or the formula but for whitespace."""
    text, expected = "".join(solution.split()), _expected(ground_truth)
    if isinstance(expected, str):
        return text == expected
    # 35.14% for 13 of 37 is too coarse
    return abs(float(text.strip("%")) - expected) < 1e-6


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the percentage in full, or the formula."""
    expected = _expected(ground_truth)
    return f"[[{expected}]]" if isinstance(expected, str) else f"[[{expected!r}%]]"


def _expected(ground_truth: dict[str, Any]) -> str | float:
    symbol = ground_truth["attribute"]["symbol"]
    match ground_truth["question_type"]:
        case "U_calculation":
            return 100.0
        case "P_calculation":
            return float(ground_truth["k"] / ground_truth["n"] * 100)
        case "U_symbolization":
            return f"U({symbol},{ground_truth['n']})"
        case "P_symbolization":
            return f"P({symbol},{ground_truth['k']},{ground_truth['n']})"
        case _:
            shares = (f"{ground_truth[f'k{sample}']}/{ground_truth[f'n{sample}']}" for sample in (1, 2))
            return f"C({symbol},{','.join(shares)})"
