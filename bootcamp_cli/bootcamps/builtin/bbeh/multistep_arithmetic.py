"""Multistep arithmetic: A + B - C with operators defined in the prompt."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import stripped_block


def extract_output(output: str) -> float | None:
    """Read the last `[answer]` block as `float()` does: 1.2e1, 1_2, inf."""
    # stripped first: float() itself does not skip separators such as \x1c
    block = stripped_block(output)
    try:
        return None if block is None else float(block)
    except ValueError:
        return None


def check(solution: float, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored value, to within 1e-6."""
    # operators nested in operators count 0 in the stored value where they fail: it may differ from the honest one
    return bool(abs(solution - ground_truth["answer"]) < 1e-6)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored value."""
    return f"[answer]{ground_truth['answer']}[/answer]"
