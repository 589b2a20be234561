"""The built-in bootcamps against the recorded verdicts of the reference and against the public rows."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.bootcamps.registry import CATALOG, ceilings
from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.verification.golden import as_recorded
from tests.bootcamp_verdicts import verdict

SHARED = Path(__file__).resolve().parents[2] / "shared"

BOARDS_WITHOUT_FULL_SOLUTION = {16, 18}
"""Rows of starbattle.jsonl on which no complete set of stars exists."""

pytestmark = pytest.mark.skipif(
    not (SHARED / "golden").is_dir(), reason="needs the public data set in ../shared beside the checkout"
)


def json_lines(path: Path) -> list[Any]:
    """Read a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def golden(data_source: str) -> list[dict[str, Any]]:
    """Read the recorded verdicts of a data source."""
    return json_lines(SHARED / "golden" / f"{data_source}.jsonl")


def public_rows(data_source: str) -> list[Any]:
    """Read the ground truths of a data source in row order."""
    [file] = {case["file"] for case in golden(data_source)}
    return [row["ground_truth"] for row in json_lines(SHARED / "eval_data" / file)]


@pytest.mark.parametrize("data_source", CATALOG)
def test_golden_verdicts(data_source: str) -> None:
    """Score and extracted value agree with the reference in every recorded case."""
    ground_truths = public_rows(data_source)
    differences = []
    for number, case in enumerate(golden(data_source), 1):
        got = verdict(data_source, case["output"], ground_truths[case["row"]])
        if (got.score, as_recorded(got.extracted)) != (case["score"], case["extracted"]):
            differences.append((number, case["kind"], got, case["score"], case["extracted"]))
    assert differences == []


@pytest.mark.parametrize("data_source", CATALOG)
def test_solved_rows(data_source: str) -> None:
    """On every public row that can be won `solve` writes an answer that scores 1.0; on the others none does."""
    won = set()
    ground_truths = public_rows(data_source)
    for row, ground_truth in enumerate(ground_truths):
        answer = load(data_source).solve(ground_truth)
        if answer is not None and verdict(data_source, answer, ground_truth).score == 1.0:
            won.add(row)
    assert set(range(len(ground_truths))) - won == ceilings()[data_source].unwinnable


def test_ceilings_are_of_the_public_files() -> None:
    """Digest and row count of every ceiling are those of the public test file."""
    for data_source, ceiling in ceilings().items():
        [file] = {case["file"] for case in golden(data_source)}
        content = (SHARED / "eval_data" / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == ceiling.digest
        assert len(content.splitlines()) == ceiling.n_rows
        assert ceiling.unwinnable.isdisjoint(ceiling.format_defective)


@pytest.mark.parametrize("data_source", CATALOG)
def test_ground_truth_unchanged(data_source: str) -> None:
    """Neither verifying nor solving changes the ground truth."""
    ground_truths = public_rows(data_source)
    before = copy.deepcopy(ground_truths)
    for case in golden(data_source):
        verdict(data_source, case["output"], ground_truths[case["row"]])
        load(data_source).solve(ground_truths[case["row"]])
    assert ground_truths == before


def test_star_battle_rows_without_full_solution() -> None:
    """Star Battle is solved with a star in every row, except on the two boards where that is impossible."""
    bootcamp = load("Starbattle")
    partial = set()
    for row, ground_truth in enumerate(public_rows("Starbattle")):
        stars = bootcamp.extract_output(bootcamp.solve(ground_truth) or "")
        if len(stars or ()) < len(ground_truth["input_grid"]):
            partial.add(row)
    assert partial == BOARDS_WITHOUT_FULL_SOLUTION
