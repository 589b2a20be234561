"""KOR logic, enumerative induction: from a sample (A) or complete (B), or premise and conclusion in symbols."""

import re
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_letter


def extract_output(output: str) -> str | list[str] | None:
    """Take the last `[[A]]` or `[[B]]`, else both sides of the first `[[premise;conclusion]]` on one line."""
    # a stray letter hides the symbols, and of these the first count: a draft decides
    return last_letter(output, "AB") or _first_pair(output)


def check(solution: str | list[str], ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter, or with both formulas but for blanks."""
    match ground_truth["question_type"]:
        case "choice":
            return bool(solution == ground_truth["type"])
        case "symbolic":
            return [formula.replace(" ", "") for formula in solution] == _formulas(ground_truth)
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter, or the formulas."""
    if ground_truth["question_type"] == "choice":
        return f"[[{ground_truth['type']}]]"
    return f"[[{';'.join(_formulas(ground_truth))}]]"


def _first_pair(output: str) -> list[str] | None:
    r"""Search for `\[\[(.+?);(.+?)\]\]`: what fails behind the first `[[` of a line fails behind the others too."""
    for line in output.split("\n"):
        # the first side ends at the first semicolon behind its first character: no later one does better
        if pair := re.match(r"(.[^;]*);(.+?)\]\]", line.partition("[[")[2]):
            return list(pair.groups())
    return None


def _formulas(ground_truth: dict[str, Any]) -> list[str]:
    of_sample = ground_truth["type"] == "A"
    # the instances come in the stored order, which for a sample is a random one
    premise = "∧".join(f"P({instance})" for instance in ground_truth["sampled" if of_sample else "instances"])
    members = ground_truth["class"]
    return [premise, f"∀e∈{members},P(e)" if of_sample else f"P({members})"]
