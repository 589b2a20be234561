"""ARC: the output grid to an input grid, found anywhere in the output as `[[...], [...]]`.

The rows hold no expected grid: the reference computes it by a program per task (project re-arc, MIT). The package holds
the grids of the public rows; a row not among them cannot be judged here.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import delimiters


def extract_output(output: str) -> Any | None:
    """Take the last list of lists that parses as JSON; a draft or a quoted input counts where no later one does."""
    mixed = None
    found = list(delimiters(output, r"\[\s*\[", r"\]\s*\]"))
    for start, end in reversed(found):
        try:
            value = json.loads(output[start.start() : end.end()])
        except (ValueError, RecursionError):
            continue
        if all(isinstance(row, list) for row in value):
            return _as_tuples(value)
        mixed = value
    return mixed


def check(solution: Any, ground_truth: dict[str, Any]) -> bool:
    """Compare with the expected grid, numbers being equal as Python has it."""
    return solution in _expected(ground_truth)


def unscorable(ground_truth: dict[str, Any]) -> str | None:
    """Give the reason why a row without a known expected grid is not judged."""
    if _expected(ground_truth):
        return None
    task = ground_truth.get("task_key")
    return f"no output grid is known for this input of ARC task {task!r}: the package internbootcamp can compute it"


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the expected grid."""
    expected = _expected(ground_truth)
    return json.dumps(expected[0]) if expected else None


def _expected(ground_truth: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The grids that are right: the row's own `std_ans`, a grid or its JSON, and the known one."""
    own = ground_truth.get("std_ans")
    own = json.loads(own) if isinstance(own, str) else own
    known = _answers().get(f"{ground_truth.get('task_key')} {_digits(ground_truth['input_grid'])}")
    expected = [] if own is None else [_as_tuples(own)]
    return expected if known is None else [*expected, tuple(tuple(map(int, row)) for row in known.split("/"))]


@cache
def _answers() -> dict[str, str]:
    """`task_key` and input grid -> output grid, rows of digits between slashes."""
    text = files("bootcamp_cli.bootcamps.builtin.grids").joinpath("arc_answers.json").read_text(encoding="utf-8")
    answers: dict[str, str] = json.loads(text)
    return answers


def _digits(grid: list[list[int]]) -> str:
    return "/".join("".join(map(str, row)) for row in grid)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
