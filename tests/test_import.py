"""Outputs that were generated elsewhere, imported as answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunBootcamp, WriteRows

TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
NEW = ("--test-dir", "tests", "--model-name", "mine", "--json")
RIGHT, WRONG = "[[3]]", "[[4]]"


@pytest.fixture(autouse=True)
def test_dir(write_rows: WriteRows, tmp_path: Path) -> None:
    """Two test files: one with ids, in the other two rows have the same prompt."""
    row = {"data_source": "KorPuzzleWordLadder", "ground_truth": TRUTH}
    write_rows(tmp_path / "tests" / "a.jsonl", [row | {"prompt": f"a{n}", "id": f"id{n}"} for n in range(2)])
    write_rows(tmp_path / "tests" / "b.jsonl", [row | {"prompt": text} for text in ("b0", "same", "same")])


@pytest.fixture
def imported(call_bootcamp: RunBootcamp, tmp_path: Path) -> "Import":
    """Imports lines; see `Import`."""
    return Import(call_bootcamp, tmp_path)


class Import:
    """Runs `bootcamp import` with lines in a file; `code` and `err` are of the last call."""

    def __init__(self, call: RunBootcamp, directory: Path) -> None:
        self._call = call
        self._directory = directory
        self.code = 0
        self.err = ""

    def __call__(self, lines: Sequence[Any], *words: str | Path) -> dict[str, dict[tuple[int, int], dict[str, Any]]]:
        """The records of the run by test file, row and repeat; nothing where there is none."""
        file = self._directory / "outputs.jsonl"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        done = self._call("import", file, *words)
        self.code, self.err = done.returncode, done.stderr
        return {
            path.name: {
                (record["row"], record["repeat"]): record
                for record in map(json.loads, path.read_text("utf-8").splitlines())
            }
            for path in self._directory.glob("output/*/details/*")
        }


def test_lines_are_found_by_row_id_or_prompt(imported: Import) -> None:
    """File and row, id alone, and prompt alone each name a question; what they name has the output and its verdict."""
    lines = [
        {"file": "b", "row": 2, "output": WRONG, "prompt": "same"},
        {"id": "id1", "output": RIGHT, "finish_reason": "length", "completion_tokens": 7, "model": "other"},
        {"prompt": "b0", "output": RIGHT, "reasoning_content": "hm"},
        {"file": "b.jsonl", "row": 1, "output": ""},
    ]
    found = imported(lines, *NEW)
    assert imported.code == 3, imported.err
    assert found["b.jsonl"][2, 0]["score"] == 0
    assert (
        found["a.jsonl"][1, 0] | {"score": 1.0, "finish_reason": "length", "output_len": 7, "model": "other"}
        == (found["a.jsonl"][1, 0])
    )
    assert found["b.jsonl"][0, 0]["reasoning_content"] == "hm"
    assert found["b.jsonl"][0, 0]["latency_s"] == 0
    assert (found["b.jsonl"][1, 0]["output"], found["b.jsonl"][1, 0]["finish_reason"]) == ("", None)
    assert found["a.jsonl"].keys() == {(1, 0)}


def test_columns_have_the_names_that_flags_give(imported: Import) -> None:
    """Other tools' keys are read by name, and a list of outputs is the repeats of a question."""
    lines = [
        {"idx": n, "set": "b", "prompt": "rendered", "gen": [RIGHT, WRONG], "why": ["stop", "length"]} for n in range(3)
    ]
    lines += [{"idx": 0, "set": "a", "prompt": "rendered", "gen": [None, RIGHT], "why": "stop"}]
    names = ("--row-column", "idx", "--file-column", "set", "--output-column", "gen", "--finish-reason-column", "why")
    found = imported(lines, *NEW, "--repeats", "2", "--prompt-column", "", *names)
    assert [record["score"] for record in found["b.jsonl"].values()] == [1, 0] * 3
    assert [record["finish_reason"] for record in found["b.jsonl"].values()] == ["stop", "length"] * 3
    assert found["a.jsonl"].keys() == {(0, 1)}


def test_further_lines_of_a_question_are_its_repeats(imported: Import) -> None:
    """Without a column of repeats they are counted in order; more than the run asks for is exit 2 with the number."""
    lines = [{"id": "id0", "output": text} for text in (RIGHT, WRONG, RIGHT)]
    assert imported(lines, *NEW) == {}
    assert imported.code == 2
    assert "up to 3 answers to a question, but the run asks each once; give --repeats 3" in imported.err
    found = imported(lines, *NEW, "--repeats", "3")
    assert [(key, record["score"]) for key, record in found["a.jsonl"].items()] == [
        ((0, 0), 1),
        ((0, 1), 0),
        ((0, 2), 1),
    ]


def test_a_run_takes_what_it_lacks_and_keeps_what_it_has(imported: Import, tmp_path: Path) -> None:
    """With --run the outputs go into that run: an answer that is there stays, a cut-off one is owed."""
    imported([{"id": "id0", "output": RIGHT}], *NEW)
    [run] = (tmp_path / "output").iterdir()
    lines = [{"id": "id0", "output": WRONG}, {"id": "id1", "output": "x", "finish_reason": "abort"}]
    found = imported(lines, "--run", run)
    assert imported.code == 3
    assert "1 result of samples that have an answer" in imported.err
    assert {key: record["output"] for key, record in found["a.jsonl"].items()} == {(0, 0): RIGHT}
    assert json.loads((run / "failures.jsonl").read_text("utf-8"))["kind"] == "cut_off"
    rest = [{"id": "id1", "output": RIGHT}, *({"file": "b", "row": n, "output": RIGHT} for n in range(3))]
    assert sum(map(len, imported(rest, "--run", run, "--quiet").values())) == 5
    assert imported.code == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"prompt": "same", "output": RIGHT}, "several questions have the prompt 'same': name their row and test file"),
        ({"row": 0, "output": RIGHT}, "a row without its test file"),
        ({"file": "a", "row": -1, "output": RIGHT}, "row: must be a number of 0 or more, got -1"),
        ({"file": "a", "row": True, "output": RIGHT}, "row: must be a number of 0 or more, got True"),
        ({"id": "id0"}, "no column output"),
        ({"id": "id0", "output": {"text": 1}}, "an output that is not a text"),
        ({"id": "id0", "output": RIGHT, "completion_tokens": "9"}, "completion_tokens: must be a number of 0 or more"),
        ({"output": RIGHT}, "nothing tells of which question it is"),
        ("\x1b[31m", "not a JSON object"),
        ({"file": "c", "row": 0, "output": RIGHT}, "no result of"),
        ({"id": "id9", "output": RIGHT}, "no result of"),
        ({"file": "a", "row": 10**8, "output": RIGHT}, "no result of"),
        ({"file": "a", "row": 0, "prompt": "a1", "output": RIGHT}, "1 result to other prompts or parameters"),
    ],
)
def test_what_belongs_to_no_question_is_told_and_nothing_is_made(
    line: Any, words: str, imported: Import, tmp_path: Path
) -> None:
    """A file without any usable line is exit 2 with the place and the reason, and leaves no run directory."""
    assert imported([line], *NEW) == {}
    assert imported.code == 2
    assert words in imported.err
    assert "\x1b" not in imported.err
    assert not list((tmp_path / "output").glob("*"))


def test_a_new_run_needs_a_model_name(imported: Import) -> None:
    """Nothing tells what the outputs are to be listed under."""
    imported([{"id": "id0", "output": RIGHT}], "--test-dir", "tests")
    assert imported.code == 2
    assert "no model name; give --model-name" in imported.err
