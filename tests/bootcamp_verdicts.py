"""Verifying with a built-in bootcamp as a worker does, for the tests."""

from typing import Any

from bootcamp_cli.bootcamps.registry import as_verifier
from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.bootcamps.scoring import score
from bootcamp_cli.types import Verdict


def verdict(data_source: str, output: str, ground_truth: Any) -> Verdict:
    """Verify an output with the built-in bootcamp of a data source."""
    return score(as_verifier(load(data_source), data_source), output, ground_truth)


def answer(text: str) -> str:
    """Put text between answer tags."""
    return f"[answer]{text}[/answer]"


def fence(text: str) -> str:
    """Put text into a json fence."""
    return f"```json\n{text}\n```"
