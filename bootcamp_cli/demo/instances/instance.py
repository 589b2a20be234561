"""What a generator makes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A puzzle: the prompt as a model gets it, and the ground truth with the keys of the public data."""

    prompt: str
    ground_truth: dict[str, Any]


def spaced(rows: list[list[Any]]) -> str:
    """Print a grid as a prompt shows it: one row to a line, cells between blanks."""
    return "\n".join(" ".join(str(cell) for cell in row) for row in rows)
