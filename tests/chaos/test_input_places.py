"""Paths that the system refuses, and manifests that are none, are told in one line like every other mistake."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import replay
from tests.chaos.invocation import NOWHERE, invoke_decently, isolate

TOO_LONG = "x" * 300
FILE = {"name": "a.jsonl", "digest": "d", "size_bytes": 1, "n_rows": 1, "id_rule": "row", "data_sources": [["A", 1]]}


@pytest.mark.parametrize(
    "words",
    [
        ("report", TOO_LONG),
        ("resume", TOO_LONG),
        ("rescore", TOO_LONG),
        ("bootcamps", "verify", TOO_LONG, "."),
        ("bootcamps", "list", "--bootcamps-path", TOO_LONG),
        ("eval", "--test-dir", TOO_LONG),
        ("config", "show", "--config", TOO_LONG),
        ("report", "loop"),
    ],
    ids=" ".join,
)
def test_paths_that_the_system_refuses(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is too long, or a link in a circle, is an error that names it, whatever it was given for."""
    isolate(monkeypatch, tmp_path)
    Path("loop").symlink_to("loop")
    said = invoke_decently(*words)
    assert said.code in (1, 2)
    assert TOO_LONG in said.err or "loop" in said.err


def test_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory was removed the error says so."""
    isolate(monkeypatch, tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert "the working directory is gone" in invoke_decently("config", "show").err
    finally:
        os.chdir(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "part"),
    [
        ({}, "files"),
        ({"files": None}, "files"),
        ({"files": [FILE, {}]}, "files"),
        ({"files": [FILE | {"data_sources": [["A", -1]]}]}, "files"),
        ({"files": [FILE | {"digest": []}]}, "files"),
        ({"files": [FILE], "identity": []}, "identity"),
        ({"files": [FILE], "template": {"name": "x"}}, "template"),
        ({"files": [FILE], "sys_prompt": 5}, "sys_prompt"),
        ({"files": [FILE]}, "identity"),
    ],
)
@pytest.mark.parametrize(
    "command", [("report",), ("resume", "--url", NOWHERE, "--wait", "0")], ids=["report", "resume"]
)
def test_manifests_that_are_none(
    manifest: dict[str, Any], part: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest whose parts are not what was written is refused with its path, and the part where one is read."""
    isolate(monkeypatch, tmp_path)
    Path("run/details").mkdir(parents=True)
    Path("run/eval_args.json").write_text("{}")
    Path("run/manifest.json").write_text(json.dumps(manifest))
    said = invoke_decently(command[0], "run", *command[1:])
    assert said.code == 1
    assert "run/manifest.json: " in said.err
    assert part in said.err or command[0] == "resume"


@pytest.mark.parametrize("key", ["row", "failure"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, 1.5, True])
@pytest.mark.parametrize("command", ["report", "rescore"])
def test_records_with_a_key_of_a_wrong_type(
    key: str, value: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row or a failure that is neither is an error with file and line, and the file stays as it is."""
    isolate(monkeypatch, tmp_path)
    record = {"id": 1, "prompt": "p", "output": "o", "output_len": 1, "ground_truth": 1, "score": None, "failure": "x"}
    Path("run/details").mkdir(parents=True)
    details = Path("run/details/a.jsonl")
    details.write_text(json.dumps(record | {"row": 0, "data_source": "Nobodys", key: value}) + "\n")
    before = details.read_bytes()
    said = invoke_decently(command, "run", *(["--dry-run"] if command == "rescore" else []))
    assert said.code == 1
    assert f"details/a.jsonl:1: {key} is " in said.err
    assert details.read_bytes() == before


@pytest.mark.parametrize("score", [10**400, "1", [1], True])
def test_scores_that_are_no_numbers(score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that no float can hold is refused by the journal with file and line, like any other that is no number."""
    isolate(monkeypatch, tmp_path)
    path = Path("a.jsonl")
    path.write_text(json.dumps({"row": 0, "score": score}) + "\n")
    with pytest.raises(RunDirectoryError, match=r"details/a\.jsonl:1: score is .*, not a number or null"):
        replay(path)
