"""KOR operation, black star: a★b = b² - a², evaluated or solved for integers."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets


def extract_output(output: str) -> list[int] | None:
    """Read the last `[[...]]` on one line as integers between `or`; what is no integer is skipped."""
    values = []
    for part in (last_brackets(output) or "").split("or"):
        try:
            values.append(int(part))
        except ValueError:
            continue
    return values or None


def check(solution: list[int], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored solutions of an equation, each once; no result of a calculation is right."""
    if ground_truth["type"] == "compute":
        # the reference sorts the expected number as if it were a list
        return False
    # of a★b = r all divisors of r are stored, which are not its solutions
    return sorted(solution) == sorted(ground_truth["expected"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored solutions."""
    if ground_truth["type"] == "compute":
        return None
    return f"[[{'or'.join(map(str, ground_truth['expected']))}]]"
