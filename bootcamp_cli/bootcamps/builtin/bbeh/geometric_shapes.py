"""Geometric shapes: the number of the shape that an SVG path draws."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_boxed


def extract_output(output: str) -> str | None:
    r"""Take the last `\boxed{...}`, untrimmed."""
    return last_boxed(output)


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored number as text, but for whitespace around it."""
    return bool(solution.strip() == ground_truth["ans"].strip())


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored number."""
    return rf"Final Answer: \boxed{{{ground_truth['ans']}}}."
