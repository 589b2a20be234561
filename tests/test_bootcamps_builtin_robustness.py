"""What a model may write: damaged right answers, and long outputs made to keep a verifier busy."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.demo.instances import GENERATORS, make_instances
from bootcamp_cli.errors import UnknownBootcampError
from tests.bootcamp_verdicts import verdict
from tests.conftest import SHARED

OUTPUT_CHARS = 128 * 1024
INSERTIONS = ["[answer]", "[/answer]", "[[", "]]", "```", "```json", "\\boxed{", "}", "(", "-", "0x", "/0", "1e9", "\n"]
INSERTIONS += [",", "\ud800", "\0", "\u0661", "{[]:1}", "...", "**", "<<", "null", "True", "'", '"']
OPENERS = ["[answer] ", "[[", "[[A=1,", "```json ", "```json{", "```text", "\\boxed{", "\n", "]]"]
BLOCKS = ["[answer]{}[/answer]", "[[{}]]", "```json{}```", "```text{}```", "\\boxed{{{}}}"]
FILLINGS = ["(", "-", "1,", "9", " ", "{"]
ANY_BLOCK_MAY_BE_RIGHT = {"KorPuzzleLogicPuzzle"}
"""The reference scores only the three-word pieces of a block, and a block may have none."""


@cache
def instance(data_source: str) -> tuple[Any, str]:
    """A ground truth, generated or else of the public set, and a right answer to it."""
    if data_source in GENERATORS:
        ground_truth = make_instances(data_source, seed=5, rows=1)[0].ground_truth
        return ground_truth, load(data_source).solve(ground_truth) or ""
    for ground_truth in public_ground_truths(data_source):
        if answer := load(data_source).solve(ground_truth):
            return ground_truth, answer
    raise AssertionError(f"no row of {data_source} can be won")


def public_ground_truths(data_source: str) -> Iterator[Any]:
    """The ground truths of a data source in the public set."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    with (SHARED / "golden" / f"{data_source}.jsonl").open(encoding="utf-8") as cases:
        file = json.loads(next(cases))["file"]
    with (SHARED / "eval_data" / file).open(encoding="utf-8") as rows:
        for row in rows:
            yield json.loads(row)["ground_truth"]


@pytest.mark.parametrize("data_source", CATALOG)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_answers(data_source: str, data: st.DataObject) -> None:
    """However a right answer is damaged, the score is a number from 0 to 1 and the ground truth stays."""
    ground_truth, output = instance(data_source)
    before = repr(ground_truth)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(output)))
        removed = data.draw(st.integers(0, 3))
        inserted = data.draw(st.sampled_from(INSERTIONS) | st.text(max_size=3))
        output = output[:place] + inserted + output[place + removed :]
    got = verdict(data_source, output, ground_truth)
    assert got.failure is None
    assert got.score is not None
    assert 0.0 <= got.score <= 1.0
    assert repr(ground_truth) == before


@pytest.mark.parametrize("data_source", CATALOG)
def test_endless_openers(data_source: str) -> None:
    """An output of 128 kB that opens blocks and closes none is scored like a short one: there is no answer in it."""
    ground_truth, _ = instance(data_source)
    for piece in OPENERS:
        assert verdict(data_source, piece * (OUTPUT_CHARS // len(piece)), ground_truth).score == 0.0, piece


@pytest.mark.parametrize("data_source", CATALOG)
def test_enormous_blocks(data_source: str) -> None:
    """A block of 128 kB of one thing scores 0 and breaks nothing; where any block is right, it is right as well."""
    ground_truth, _ = instance(data_source)
    possible = (0.0, 1.0) if data_source in ANY_BLOCK_MAY_BE_RIGHT else (0.0,)
    for block, filling in product(BLOCKS, FILLINGS):
        got = verdict(data_source, block.format(filling * (OUTPUT_CHARS // len(filling))), ground_truth)
        assert got.failure is None
        assert got.score in possible, (block, filling)


def test_load_unknown() -> None:
    """A data source that is not built in is named in the error."""
    with pytest.raises(UnknownBootcampError, match="'Chess'"):
        load("Chess")


def test_families() -> None:
    """A bootcamp's module stands in the package of its family."""
    for entry in CATALOG.values():
        assert entry.module.startswith(f"bootcamp_cli.bootcamps.builtin.{entry.family}.")
