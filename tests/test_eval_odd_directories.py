"""Run directories as a killed process, the reference script or an editor left them: taken as meant, or refused."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.test_eval_interrupted import report_bytes
from tests.test_eval_results import rewrite
from tests.test_eval_run_directory import json_lines, records, run_dir_of
from tests.test_store_legacy import as_run_eval_writes


def verify_again_without_order(path: Path) -> None:
    """Leave a details file as a killed `resume` does: a verifier failure, and its verdict as the last line."""
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    failed = json.loads(first) | {"score": None, "extracted_output": None, "failure": "verifier_timeout"}
    path.write_text(json.dumps(failed) + "\n" + "".join(rest) + first, encoding="utf-8")


def test_rescore_keeps_the_later_line_of_a_row(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """After a killed `resume` rescore verifies the later line of a row alone, and the directory stays usable."""
    before = report_bytes(finished), records(finished)
    n_records = sum(map(len, before[1].values()))
    verify_again_without_order(finished / "details" / "maze.jsonl")
    dry = call_bootcamp("rescore", str(finished), "--dry-run", "--json")
    assert (json.loads(dry.stdout)["n_records"], json.loads(dry.stdout)["changes"]) == (n_records, [])
    done = call_bootcamp("rescore", str(finished))
    assert done.returncode == 0, done.stderr
    assert call_bootcamp("resume", str(finished)).returncode == 0
    assert (report_bytes(finished), records(finished)) == before


@pytest.mark.parametrize("damage", [b'{"id": 1\n', b'{"id": 1, "data_source": "Sudoku", "row": 99, "score": 1.0}\n'])
def test_rescore_changes_nothing_where_a_later_file_is_damaged(
    finished: Path, call_bootcamp: Callable[..., Any], damage: bytes
) -> None:
    """A line without use in the last file is named before the first file is replaced."""
    paths = sorted((finished / "details").iterdir())
    rewrite(paths[0], lambda line: line.update(score=0.25))
    with paths[-1].open("ab") as file:
        file.write(damage)
    before = {path: path.read_bytes() for path in paths}
    done = call_bootcamp("rescore", str(finished))
    assert done.returncode == 1
    assert f"details/{paths[-1].name}:" in done.stderr
    assert "nothing was changed" in done.stderr
    assert {path: path.read_bytes() for path in paths} == before


def test_rescore_says_in_the_manifest_whether_anything_is_owed(
    finished: Path, call_bootcamp: Callable[..., Any]
) -> None:
    """A run that owes something after a rescore is incomplete, so that a bare `resume` finds it, else complete."""

    def is_complete() -> Any:
        return json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["complete"]

    path = finished / "details" / "maze.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(rest)
    assert call_bootcamp("rescore", str(finished)).returncode == 3
    assert is_complete() is False
    failed = json.loads(first) | {"score": None, "failure": "verifier_timeout"}
    path.write_bytes(json.dumps(failed).encode() + b"\n" + rest)
    assert call_bootcamp("rescore", str(finished), "--dry-run").returncode == 3
    assert is_complete() is False
    assert call_bootcamp("rescore", str(finished)).returncode == 0
    assert is_complete() is True


def reference_dir(finished: Path, path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """A directory as the reference script leaves it: seven fields, no manifest, `lines` as meta.jsonl."""
    shutil.copytree(finished / "details", path / "details")
    kept = ("id", "prompt", "output", "output_len", "ground_truth", "score", "extracted_output")
    for details in (path / "details").iterdir():
        rewrite(details, lambda line: [line.pop(key) for key in list(line) if key not in kept])
    three = [{key: line[key] for key in ("bootcamp", "avg_score", "avg_len")} for line in lines]
    (path / "meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in three), encoding="utf-8")
    return path


def test_lines_of_the_reference_script_belong_to_files_by_their_averages(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Whatever their order and number and the names of the files, report and rescore find the right bootcamps."""
    meta = json_lines(finished / "meta.jsonl")
    stale = {"bootcamp": "Mazebootcamp", "avg_score": 0.125, "avg_len": 1.5}
    old = reference_dir(finished, tmp_path / "old", [stale, *reversed(meta)])
    for number, path in enumerate(sorted((old / "details").iterdir())):
        path.rename(path.with_name(f"{number:02}.jsonl"))
    for _ in range(2):
        assert call_bootcamp("report", str(old)).returncode == 0
        assert [line["bootcamp"] for line in json_lines(old / "meta.jsonl")] == [line["bootcamp"] for line in meta]
    rescored = call_bootcamp("rescore", str(old), "--json")
    assert json.loads(rescored.stdout)["changes"] == []
    assert [line["bootcamp"] for line in json_lines(old / "meta.jsonl")] == [line["bootcamp"] for line in meta]


def test_a_file_of_the_reference_script_that_nothing_names_is_not_guessed(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Where neither averages nor name tell it, report leaves meta.jsonl alone and rescore refuses the file."""
    meta = json_lines(finished / "meta.jsonl")
    old = reference_dir(finished, tmp_path / "old", [line | {"avg_len": 3.25} for line in meta])
    (old / "details" / "maze.jsonl").rename(old / "details" / "a.jsonl")
    paths = [old / "meta.jsonl", *sorted((old / "details").iterdir())]
    before = [path.read_bytes() for path in paths]
    report = call_bootcamp("report", str(old), "--json")
    assert "details/a.jsonl" in report.stderr
    names = {group["file"]: group["bootcamp"] for group in json.loads(report.stdout)["groups"]}
    assert names.pop("a.jsonl") == "a"
    assert names == {line["file"]: line["bootcamp"] for line in meta if line["file"] != "maze.jsonl"}
    refused = call_bootcamp("rescore", str(old))
    assert refused.returncode == 2
    assert "details/a.jsonl:1" in refused.stderr
    assert [path.read_bytes() for path in paths] == before


def test_equal_averages_are_told_apart_by_the_names_of_the_files(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Two files with the same averages go by their names."""
    meta = json_lines(finished / "meta.jsonl")
    old = reference_dir(
        finished, tmp_path / "old", [{**line, "avg_score": 0.0, "avg_len": 7.0} for line in reversed(meta)]
    )
    for path in (old / "details").iterdir():
        rewrite(path, lambda line: line.update(score=0, output_len=7))
    groups = json.loads(call_bootcamp("report", str(old), "--json").stdout)["groups"]
    assert {group["file"]: group["bootcamp"] for group in groups} == {line["file"]: line["bootcamp"] for line in meta}


def test_half_records_of_the_reference_script_keep_their_scores(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Report counts a half record, names it and changes no details; rescore verifies the rest and keeps its score."""
    meta = json_lines(finished / "meta.jsonl")
    old = reference_dir(finished, tmp_path / "old", meta)
    path = old / "details" / "maze.jsonl"
    fields = ("id", "prompt", "output_len", "score", "extracted_output", "ground_truth", "output")
    lines = [{key: line[key] for key in fields} for line in json_lines(path)]
    n = len(lines)
    for cut in (1, n - 1):
        lines[cut]["extracted_output"] = {1, 2}
        lines[cut]["score"] = 0.5
    path.write_text(as_run_eval_writes(lines), encoding="utf-8")
    before = path.read_bytes()
    report = call_bootcamp("report", str(old), "--json")
    assert report.returncode == 0, report.stderr
    places = ("details/maze.jsonl:2", f"details/maze.jsonl:{n - 1}")
    assert f"2 half records as run_eval.py leaves them: {', '.join(places)} (counted with the score)" in report.stderr
    [maze] = [group for group in json.loads(report.stdout)["groups"] if group["bootcamp"] == "Mazebootcamp"]
    assert (maze["n"], maze["n_scored"]) == (n, n)
    assert maze["avg_score"] == pytest.approx(sum(line["score"] for line in lines) / n)
    assert path.read_bytes() == before
    dry = json.loads(call_bootcamp("rescore", str(old), "--dry-run", "--json").stdout)
    assert (dry["changes"], [half["score"] for half in dry["halves"]]) == ([], [0.5, 0.5])
    assert path.read_bytes() == before
    for _ in range(2):
        done = call_bootcamp("rescore", str(old))
        assert done.returncode == 0, done.stderr
        assert all(
            f"{place}: half a record, without its output: its score, 0.5, stays" in done.stderr for place in places
        )
        after = path.read_text(encoding="utf-8").splitlines()
        assert len(after) == n - 1
        assert list(json.loads(after[0])) == [*fields, "data_source"]
        [maze_again] = [line for line in json_lines(old / "meta.jsonl") if line["bootcamp"] == "Mazebootcamp"]
        assert maze_again["avg_score"] == maze["avg_score"]


def change_json(path: Path, **values: Any) -> None:
    """Change values of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("max_tokens", 7, "max_tokens is 7, the run has 32768"),
        ("stop", ["x"], "stop is "),
        ("extra_body", {"a": 1}, 'extra_body is {"a": 1}, the run has '),
        ("limit", 3, "limit is 3, the run has none"),
    ],
)
def test_resume_refuses_changed_eval_args(
    finished: Path, call_bootcamp: Callable[..., Any], name: str, value: Any, refusal: str
) -> None:
    """A parameter that decides the answers, changed in eval_args.json, is named with both values."""
    change_json(finished / "eval_args.json", **{name: value})
    (finished / "details" / "maze.jsonl").unlink()
    manifest = (finished / "manifest.json").read_bytes()
    refused = call_bootcamp("resume", str(finished))
    assert refused.returncode == 2
    assert f"eval_args.json: {refusal}" in refused.stderr
    assert (finished / "manifest.json").read_bytes() == manifest


def test_a_record_of_no_row_is_refused(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """A row beyond the test file, a foreign data source and an id that is not the row are named by file and line."""
    path = finished / "details" / "maze.jsonl"
    original = path.read_bytes()
    for change in ({"row": 200}, {"data_source": "Sudoku"}, {"data_source": ["Maze"]}, {"id": 77}):
        lines = json_lines(path)
        lines[2] |= change
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        for command in ("resume", "report", "rescore"):
            done = call_bootcamp(command, str(finished))
            assert done.returncode == 1, (change, command)
            assert "details/maze.jsonl:3" in done.stderr
            assert "unexpected" not in done.stderr
        path.write_bytes(original)


def test_a_record_of_a_row_left_out_is_refused(
    fault_server: Any, call_bootcamp: Callable[..., Any], write_rows: Callable[..., Any], tmp_path: Path
) -> None:
    """Where the run takes some rows of a file only, resume refuses a record of another one."""
    rows = [{"data_source": name, "prompt": "?", "ground_truth": 1} for name in ("Riddles", "Jokes", "Riddles")]
    path = write_rows(tmp_path / "tests" / "a.jsonl", rows)
    server = fault_server(test_dir=path.parent)
    command = ["--url", server.url, "--model-name", "demo", "--test-dir", str(path.parent), "--include", "Riddles"]
    assert call_bootcamp("eval", *command, "--allow-unscored").returncode == 0
    run_dir = run_dir_of(tmp_path / "output")
    assert call_bootcamp("resume", str(run_dir)).returncode == 0
    lines = json_lines(run_dir / "details" / "a.jsonl")
    lines[1] |= {"row": 1, "id": 1}
    (run_dir / "details" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    refused = call_bootcamp("resume", str(run_dir))
    assert refused.returncode == 1
    assert "details/a.jsonl:2: row 1 does not belong to this run" in refused.stderr


def test_details_of_no_test_file_are_no_results(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """Report and rescore leave a details file out that the run does not know, and say so; resume refuses it."""
    before = report_bytes(finished)
    shutil.copy(finished / "details" / "maze.jsonl", finished / "details" / "other.jsonl")
    for command in ("report", "rescore"):
        done = call_bootcamp(command, str(finished))
        assert done.returncode == 0, done.stderr
        assert "details/other.jsonl does not belong to any test file of this run" in done.stderr
        assert report_bytes(finished) == before
    refused = call_bootcamp("resume", str(finished))
    assert refused.returncode == 1
    assert "details/other.jsonl does not belong to any test file of this run" in refused.stderr


@pytest.mark.parametrize("change", [{"row": -100}, {"row": 200}, {"file": "other.jsonl"}, {"data_source": "Other"}])
def test_a_failure_of_no_sample_is_refused(
    finished: Path, call_bootcamp: Callable[..., Any], change: dict[str, Any]
) -> None:
    """A line of failures.jsonl that is of no sample of the run is named, whatever the command."""
    failure = {"file": "maze.jsonl", "row": 0, "data_source": "Maze", "kind": "timeout"} | change
    (finished / "failures.jsonl").write_text(json.dumps(failure) + "\n", encoding="utf-8")
    for command in ("resume", "report"):
        done = call_bootcamp(command, str(finished))
        assert done.returncode == 1, done.stderr
        assert "failures.jsonl:1: " in done.stderr
        assert "unexpected" not in done.stderr


def test_a_bare_resume_passes_over_what_it_cannot_resume(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """A newer unfinished directory without eval_args.json is named, and the run before it is continued."""
    change_json(finished / "manifest.json", complete=False)
    odd = tmp_path / "output" / "odd"
    (odd / "details").mkdir(parents=True)
    shutil.copy(finished / "manifest.json", odd / "manifest.json")
    change_json(odd / "manifest.json", started="2999-01-01")
    done = call_bootcamp("resume")
    assert done.returncode == 0, done.stderr
    assert "odd has no eval_args.json and is skipped" in done.stderr
    assert f"{finished.name} is finished" in done.stderr


def test_a_server_that_is_not_reached_is_not_written_down(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """A `resume` that ends while it waits for another server leaves the run as it was."""
    path = finished / "details" / "maze.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    before = [(finished / name).read_bytes() for name in ("eval_args.json", "manifest.json")]
    done = call_bootcamp("resume", str(finished), "--url", "http://127.0.0.1:9/v1", "--wait", "0")
    assert done.returncode == 4, done.stderr
    assert [(finished / name).read_bytes() for name in ("eval_args.json", "manifest.json")] == before
