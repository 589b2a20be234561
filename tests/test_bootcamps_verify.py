"""`bootcamp bootcamps verify`."""

import json
from pathlib import Path

import pytest

from tests.chaos.invocation import invoke_decently, isolate
from tests.conftest import RunBootcamp, WriteRows

TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
RIGHT = {"file": "t.jsonl", "row": 0, "kind": "right", "output": "[[3]]", "score": 1.0, "extracted": 3}
WRONG_SCORE = RIGHT | {"output": "[[4]]", "extracted": 4}
WRONG_EXTRACTED = RIGHT | {"extracted": 3.0}


@pytest.fixture
def eval_dir(write_rows: WriteRows, tmp_path: Path) -> Path:
    """A test dir with one row."""
    return write_rows(
        tmp_path / "eval" / "t.jsonl", [{"data_source": "KorPuzzleWordLadder", "prompt": "?", "ground_truth": TRUTH}]
    ).parent


def test_the_built_in_bootcamps_agree_with_the_reference(
    shared: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Every golden case of the built-in bootcamps has the reference's score and extracted output."""
    done = call_bootcamp("bootcamps", "verify", shared / "golden", shared / "eval_data", "--json")
    agreements = [entry for entry in json.loads(done.stdout) if entry["origin"]]
    assert len(agreements) == 80
    assert {entry["data_source"]: entry["differences"] for entry in agreements if entry["differences"]} == {}


def test_differences_are_shown_with_both_verdicts(
    call_bootcamp: RunBootcamp, write_rows: WriteRows, eval_dir: Path, tmp_path: Path
) -> None:
    """Another score, or an extracted output of another type, is a difference: exit code 1 and both verdicts."""
    golden = tmp_path / "golden"
    write_rows(golden / "KorPuzzleWordLadder.jsonl", [RIGHT, WRONG_SCORE, WRONG_EXTRACTED])
    done = call_bootcamp("bootcamps", "verify", golden, eval_dir)
    assert done.returncode == 1
    assert "1 of     3 agree" in done.stdout
    assert "KorPuzzleWordLadder:2: expected 1.0 4, found 0.0 4" in done.stdout
    assert "KorPuzzleWordLadder:3: expected 1.0 3.0, found 1.0 3" in done.stdout


def test_agreement_exits_0_and_a_missing_bootcamp_1(
    call_bootcamp: RunBootcamp, write_rows: WriteRows, eval_dir: Path, tmp_path: Path
) -> None:
    """Agreement throughout is exit code 0; a golden file without a bootcamp is no agreement."""
    golden = tmp_path / "golden"
    write_rows(golden / "KorPuzzleWordLadder.jsonl", [RIGHT])
    assert call_bootcamp("bootcamps", "verify", golden, eval_dir).returncode == 0
    write_rows(golden / "Riddles.jsonl", [RIGHT])
    done = call_bootcamp("bootcamps", "verify", golden, eval_dir)
    assert done.returncode == 1
    assert "(no bootcamp)" in done.stdout


MALFORMED = [
    ({"row": 0}, "no key 'file'"),
    (RIGHT | {"row": 7}, "has no row 7"),
    (RIGHT | {"row": -1}, "do not name a row"),
    (RIGHT | {"row": "0"}, "do not name a row"),
    (RIGHT | {"row": True}, "do not name a row"),
    (RIGHT | {"file": "../x"}, "do not name a row"),
    (RIGHT | {"file": 7}, "`file` must be a string"),
    (RIGHT | {"file": ["t.jsonl"]}, "`file` must be a string"),
    (RIGHT | {"file": ""}, "cannot read"),
    (RIGHT | {"file": ".."}, "cannot read"),
    (RIGHT | {"file": "x.jsonl"}, "cannot read"),
    (RIGHT | {"file": "t\0.jsonl"}, "cannot read"),
    (RIGHT | {"file": "t\ud800.jsonl"}, "cannot read"),
    (RIGHT | {"output": None}, "`output` must be a string"),
    (RIGHT | {"output": ["[[3]]"]}, "`output` must be a string"),
    (RIGHT | {"kind": {}}, "`kind` must be a string"),
    (RIGHT | {"score": "1"}, "`score` must be a number"),
    (RIGHT | {"score": True}, "`score` must be a number"),
    (RIGHT | {"extracted": json.loads("[" * 300 + "]" * 300)}, "nested deeper"),
    ([RIGHT], "JSON object"),
    (b"", "invalid JSON"),
    (b"\xff", "invalid UTF-8"),
    (b'{"score": NaN}', "NaN"),
    (b"[" * 100_000, "nested too deeply"),
    (b"1" * 5000, "digits"),
]


@pytest.mark.parametrize(("case", "what"), MALFORMED)
def test_malformed_golden_cases_are_named(
    write_rows: WriteRows,
    eval_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: object,
    what: str,
) -> None:
    """A golden line that is no case, or names no row, is one line on stderr with its file and line; exit code 2."""
    isolate(monkeypatch, tmp_path)
    golden = write_rows(tmp_path / "golden" / "KorPuzzleWordLadder.jsonl", [RIGHT])
    with golden.open("ab") as file:
        file.write((case if isinstance(case, bytes) else json.dumps(case).encode()) + b"\n")
    said = invoke_decently("bootcamps", "verify", golden.parent, eval_dir)
    assert said.code == 2
    assert said.err.startswith("bootcamp: error: KorPuzzleWordLadder.jsonl:2: ")
    assert what in said.err


def test_a_malformed_row_of_the_test_file_is_named_with_the_golden_case(
    write_rows: WriteRows, eval_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the test file is not readable, the line names the golden case that needs it, and the line of the file."""
    isolate(monkeypatch, tmp_path)
    golden = write_rows(tmp_path / "golden" / "KorPuzzleWordLadder.jsonl", [RIGHT])
    (eval_dir / "t.jsonl").write_bytes(b"[]\n")
    said = invoke_decently("bootcamps", "verify", golden.parent, eval_dir)
    assert said.code == 2
    assert "KorPuzzleWordLadder.jsonl:1: t.jsonl:1: " in said.err
