"""Generated instances: well formed, different from each other, reproducible, solvable."""

import json
from pathlib import Path

import pytest

from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.demo.instances import GENERATORS, make_instances, make_test_dir
from bootcamp_cli.errors import SettingsError
from tests.bootcamp_verdicts import verdict

GROUND_TRUTH_KEYS = {
    "Aquarium": {"regions", "row_clues", "col_clues"},
    "BbehWordSorting": {
        *("subtask", "first_error_step", "sorted_words", "thoughts", "words", "mode", "sort_order", "custom_order"),
    },
    "Bbehobjectcounting": {"items", "categories", "operation", "_sums", "correct_answer"},
    "Binairo": {"puzzle", "solution"},
    "Cipher": {"ground_truth", "id", "source_filename", "cipher_name", "input", "extra_args", "output"},
    "Cryptomath": {"left_terms", "right_term", "leading_letters", "all_letters"},
    "Game24": {"puzzle", "target"},
    "KorLogicDefinitions": {"question", "options", "category", "correct_answer"},
    "KorOperationUnicode20ac": {"A", "B"},
    "KorPuzzleWordLadder": {"start_word", "end_word", "correct_steps"},
    "Maze": {"grid", "start_pos", "end_pos", "solution_path", "difficulty", "seed"},
    "Starbattle": {"input_grid"},
    "Sudoku": {"puzzle", "size", "region_rows", "region_cols"},
}


def test_every_bootcamp_has_rows(tmp_path: Path) -> None:
    """A test dir has one file per built-in bootcamp, rows of the public format in it, and no prompt twice."""
    make_test_dir(tmp_path / "demo", seed=1, rows=5)
    files = sorted((tmp_path / "demo").iterdir())
    assert [file.name for file in files] == sorted(f"{data_source.lower()}.jsonl" for data_source in GENERATORS)
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert {tuple(row) for row in rows} == {("data_source", "prompt", "ground_truth")}
    assert [sum(row["data_source"] == data_source for row in rows) for data_source in GENERATORS] == [5] * len(
        GENERATORS
    )
    assert len({row["prompt"] for row in rows}) == len(rows)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """The seed decides every byte."""
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        make_test_dir(tmp_path / name, seed=seed, rows=3)
    contents = {
        name: b"".join(file.read_bytes() for file in sorted((tmp_path / name).iterdir()))
        for name in ("first", "again", "other")
    }
    assert contents["first"] == contents["again"] != contents["other"]


@pytest.mark.parametrize("data_source", GENERATORS)
def test_instances_are_solvable(data_source: str) -> None:
    """Every instance has an answer that scores 1.0, after a round trip through JSON."""
    for instance in make_instances(data_source, seed=2, rows=40):
        ground_truth = json.loads(json.dumps(instance.ground_truth))
        assert ground_truth == instance.ground_truth
        answer = load(data_source).solve(ground_truth)
        assert answer is not None
        assert verdict(data_source, answer, ground_truth).score == 1.0


@pytest.mark.parametrize("data_source", GROUND_TRUTH_KEYS)
def test_ground_truth_keys(data_source: str) -> None:
    """Ground truths have the keys of the public data."""
    [instance] = make_instances(data_source, rows=1)
    assert set(instance.ground_truth) == GROUND_TRUTH_KEYS[data_source]


def test_star_battles_are_complete() -> None:
    """A generated board has a solution with a star in every region."""
    for instance in make_instances("Starbattle", seed=2, rows=20):
        grid = instance.ground_truth["input_grid"]
        stars = load("Starbattle").extract_output(load("Starbattle").solve(instance.ground_truth) or "")
        assert set(stars or ()) == {letter for row in grid for letter in row}


def test_too_many_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that repeats itself ends in an error, not in an endless loop."""
    always_the_same = make_instances("Aquarium", rows=1)[0]
    monkeypatch.setitem(GENERATORS, "Aquarium", lambda _random: always_the_same)
    with pytest.raises(SettingsError, match="no more than 1 different instances of Aquarium, 2 wanted"):
        make_instances("Aquarium", rows=2)
