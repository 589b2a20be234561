"""Temporal sequences: the longest meeting that all can attend, and how many there are of that length."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match


def extract_output(output: str) -> tuple[int, int]:
    r"""Take the last `\boxed{X,Y}` of two bare numbers; (-1, -1) where there is none."""
    pair = last_match(output, r"\\boxed\{\s*(\d+\s*,\s*\d+)\s*\}")
    try:
        # stripped first: int() itself does not skip separators such as \x1c
        duration, count = (int(number.strip()) for number in (pair or "").split(","))
    except ValueError:
        # no box, or more digits than int() reads: still an answer, a wrong one
        return (-1, -1)
    return (duration, count)


def check(solution: tuple[int, int], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored length in minutes and the stored count."""
    stored = ground_truth["solution"]
    return solution == (stored["max_duration"], stored["count"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored numbers."""
    stored = ground_truth["solution"]
    return rf"Final Answer: \boxed{{{stored['max_duration']},{stored['count']}}}"
