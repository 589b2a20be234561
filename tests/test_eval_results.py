"""`report`, `rescore`, `resume` and refused data, on real run directories."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.test_eval_interrupted import report_bytes, wait_for_records
from tests.test_eval_run_directory import json_lines, records, run_dir_of


@pytest.fixture
def finished(demo_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], tmp_path: Path) -> Path:
    """The run directory of a finished evaluation, its server gone."""
    server = demo_server(test_dir=demo_test_dir)
    done = run_bootcamp(
        "eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir), "--quiet"
    )
    assert done.returncode == 0, done.stderr
    server.stop()
    return run_dir_of(tmp_path / "output")


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change every record of a details file."""
    lines = json_lines(path)
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def test_report_rebuilds_what_was_derived(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """meta.jsonl and the workbook come back byte for byte from details."""
    before = report_bytes(finished)
    (finished / "meta.jsonl").unlink()
    (finished / "demo_scores.xlsx").write_bytes(b"damaged")
    done = run_bootcamp("report", str(finished))
    assert done.returncode == 0, done.stderr
    assert report_bytes(finished) == before


def test_report_formats_agree(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """Table, markdown, csv and json show the same averages."""
    shown = {
        form: run_bootcamp("report", str(finished), "--format", form).stdout for form in ("csv", "json", "markdown")
    }
    meta = {line["bootcamp"]: line["avg_score"] for line in json_lines(finished / "meta.jsonl")}
    groups = {group["bootcamp"]: group["avg_score"] for group in json.loads(shown["json"])["groups"]}
    assert groups == meta
    table = list(csv.DictReader(io.StringIO(shown["csv"])))
    assert {row["bootcamp"] for row in table} == set(meta)
    assert all(name in shown["markdown"] for name in meta)
    assert json.loads(run_bootcamp("report", str(finished), "--json").stdout)["groups"]


def test_report_reads_run_directories_of_the_reference_script(
    finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Seven fields and no manifest are enough: names come from meta.jsonl, the model from the directory."""
    old = tmp_path / "r1_old_run"
    shutil.copytree(finished / "details", old / "details")
    kept = ("id", "prompt", "output", "output_len", "ground_truth", "score", "extracted_output")
    for path in (old / "details").iterdir():
        rewrite(path, lambda line: [line.pop(key) for key in list(line) if key not in kept])
    meta = json_lines(finished / "meta.jsonl")
    lines = [{key: line[key] for key in ("bootcamp", "avg_score", "avg_len")} for line in meta]
    (old / "meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = run_bootcamp("report", str(old), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    shown = {group["bootcamp"]: (group["avg_score"], group["avg_len"]) for group in found["groups"]}
    assert shown == {line["bootcamp"]: (line["avg_score"], line["avg_len"]) for line in lines}
    assert (old / "r1_old_run_scores.xlsx").exists()
    rescored = run_bootcamp("rescore", str(old), "--json", "--dry-run")
    assert json.loads(rescored.stdout)["changes"] == []


def test_rescore_finds_and_mends_wrong_scores(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """Scores that were tampered with are reported by a dry run, which writes nothing, and mended by a real one."""
    before = report_bytes(finished), records(finished)
    path = finished / "details" / "sudoku.jsonl"
    rewrite(path, lambda line: line.update(score=0.25))
    tampered = path.read_bytes()
    dry = run_bootcamp("rescore", str(finished), "--dry-run", "--json")
    changes = json.loads(dry.stdout)["changes"]
    assert len(changes) == len(before[1]["sudoku.jsonl"])
    assert path.read_bytes() == tampered
    done = run_bootcamp("rescore", str(finished))
    assert f"{len(changes)} scores changed" in done.stderr
    assert (report_bytes(finished), records(finished)) == before


def test_outputs_from_elsewhere_are_scored(finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path) -> None:
    """Rows with id, prompt, output, ground_truth and data_source are enough to get scores and reports."""
    outside = tmp_path / "outside"
    shutil.copytree(finished / "details", outside / "details")
    kept = ("id", "prompt", "output", "ground_truth", "data_source")
    for path in (outside / "details").iterdir():
        rewrite(path, lambda line: [line.pop(key) for key in list(line) if key not in kept])
    done = run_bootcamp("rescore", str(outside))
    assert done.returncode == 0, done.stderr
    scores = {file: [line["score"] for line in lines] for file, lines in records(outside).items()}
    assert scores == {file: [line["score"] for line in lines] for file, lines in records(finished).items()}
    assert (outside / "meta.jsonl").exists()


def test_unscored_outputs_wait_for_rescore(
    demo_server: Any,
    demo_test_dir: Path,
    run_bootcamp: Callable[..., Any],
    write_rows: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A data source without a bootcamp stops the run; --allow-unscored keeps its outputs for rescore alone."""
    test_dir = tmp_path / "tests"
    write_rows(test_dir / "a.jsonl", [{"data_source": "Riddles", "prompt": "?", "ground_truth": 1}] * 2)
    server = demo_server(test_dir=demo_test_dir)
    command = ["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(test_dir)]
    refused = run_bootcamp(*command)
    assert refused.returncode == 2
    assert "Riddles: a.jsonl (2 rows)" in refused.stderr
    assert not (tmp_path / "output").exists()
    assert run_bootcamp(*command, "--allow-unscored").returncode == 0
    run_dir = run_dir_of(tmp_path / "output")
    assert [(line["score"], line["failure"]) for line in records(run_dir)["a.jsonl"]] == [(None, "unscored")] * 2
    assert json_lines(run_dir / "meta.jsonl")[0]["avg_score"] is None
    n_requests = server.stats()["requests"]
    assert run_bootcamp("resume", str(run_dir)).returncode == 0
    assert server.stats()["requests"] == n_requests


def test_resume_refuses_what_would_change_the_answers(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """Another temperature is refused with both values, another concurrency is fine, and environment does not count."""
    refused = run_bootcamp("resume", str(finished), "--temperature", "0.5", "--max-tokens", "32768")
    assert refused.returncode == 2
    assert "--temperature: the run has 0.0, not 0.5" in refused.stderr
    assert "max-tokens" not in refused.stderr
    assert run_bootcamp("resume", str(finished), "--max-concurrent-requests", "2").returncode == 0
    assert run_bootcamp("resume", str(finished), env={"BOOTCAMP_TEMPERATURE": "0.5"}).returncode == 0


def test_resume_takes_a_moved_test_dir_and_refuses_a_changed_one(
    finished: Path,
    demo_server: Any,
    demo_test_dir: Path,
    run_bootcamp: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A copy with equal digests is fine, changed rows are refused by name, appended rows are owed."""
    moved = tmp_path / "moved"
    shutil.copytree(demo_test_dir, moved)
    assert run_bootcamp("resume", str(finished), "--test-dir", str(moved)).returncode == 0
    sudoku = moved / "sudoku.jsonl"
    original = sudoku.read_text(encoding="utf-8")
    sudoku.write_text(original.replace("data_source", "data_source", 1).replace("1", "2", 1), encoding="utf-8")
    refused = run_bootcamp("resume", str(finished), "--test-dir", str(moved))
    assert refused.returncode == 2
    assert "sudoku.jsonl changed" in refused.stderr
    sudoku.write_text(original + original.splitlines(keepends=True)[0], encoding="utf-8")
    server = demo_server(test_dir=demo_test_dir)
    done = run_bootcamp("resume", str(finished), "--test-dir", str(moved), "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert server.stats()["by_path"]["/v1/completions"] == 1
    n_rows = len(original.splitlines())
    assert [line["row"] for line in records(finished)["sudoku.jsonl"]] == list(range(n_rows + 1))


def test_verifier_failures_are_verified_again_not_requested(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """Resume verifies a record with a verifier failure from its kept output: without any server the run is complete."""
    before = report_bytes(finished)

    def fail(line: dict[str, Any]) -> None:
        line.update(score=None, extracted_output=None, failure="verifier_crash", failure_message="killed")

    rewrite(finished / "details" / "maze.jsonl", fail)
    assert run_bootcamp("report", str(finished)).returncode == 3
    done = run_bootcamp("resume", str(finished))
    assert done.returncode == 0, done.stderr
    assert report_bytes(finished) == before
    assert "failure" not in records(finished)["maze.jsonl"][0]


def test_damaged_details_are_named_and_left_alone(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """A half line in the middle stops resume and report with its place and without a traceback."""
    path = finished / "details" / "maze.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + lines[1][:20] + b"\n" + b"".join(lines[2:])
    path.write_bytes(damaged)
    for command in ("resume", "report"):
        done = run_bootcamp(command, str(finished))
        assert done.returncode == 1
        assert "details/maze.jsonl:2" in done.stderr
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == damaged


def test_a_live_run_is_reported_and_not_written_to(
    demo_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    run_bootcamp: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Under a live run report prints what there is and writes nothing; resume and rescore are refused."""
    server = demo_server(test_dir=demo_test_dir, faults=["hang:0.5"])
    process = start_bootcamp(
        *["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir)],
        *["--max-concurrent-requests", "4", "--quiet"],
    )
    wait_for_records(tmp_path / "output", 1, process)
    run_dir = run_dir_of(tmp_path / "output")
    report = run_bootcamp("report", str(run_dir))
    assert "nothing is written" in report.stderr
    assert not (run_dir / "meta.jsonl").exists()
    for command in ("resume", "rescore"):
        refused = run_bootcamp(command, str(run_dir))
        assert refused.returncode == 1
        assert "in use by process" in refused.stderr


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"data_source": "Sudoku", "prompt": "p"}\n', "a.jsonl:1: "),
        (b'{"data_source": "Sudoku"\n', "a.jsonl:1: "),
        (b'{"data_source": "Sudoku", "prompt": "\xff", "ground_truth": 1}\n', "a.jsonl:1: "),
        (b"", "a.jsonl:"),
    ],
)
def test_bad_test_data_starts_nothing(
    run_bootcamp: Callable[..., Any], tmp_path: Path, content: bytes, what: str
) -> None:
    """A bad row is named by file and line, exit code 2, and neither a request nor a directory is made."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.jsonl").write_bytes(content)
    done = run_bootcamp("eval", "--model-name", "m", "--test-dir", "tests", "--url", "http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert what in done.stderr
    assert not (tmp_path / "output").exists()


def test_upstream_bootcamps_asked_for_in_vain_are_told(
    demo_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any]
) -> None:
    """Where no package is there, `--bootcamps upstream` warns and the built-in bootcamps judge."""
    server = demo_server(test_dir=demo_test_dir)
    command = ["eval", "--url", server.url, "--test-dir", str(demo_test_dir), "--limit", "1"]
    done = run_bootcamp(*command, "--bootcamps", "upstream")
    assert done.returncode == 0, done.stderr
    assert "upstream has no effect" in done.stderr
    assert "upstream has no effect" not in run_bootcamp(*command).stderr


def verify_again_without_order(path: Path) -> None:
    """Leave a details file as a killed `resume` does: a verifier failure, and its verdict as the last line."""
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    failed = json.loads(first) | {"score": None, "extracted_output": None, "failure": "verifier_timeout"}
    path.write_text(json.dumps(failed) + "\n" + "".join(rest) + first, encoding="utf-8")


def test_rescore_keeps_the_later_line_of_a_row(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """After a killed `resume` rescore verifies the later line of a row alone, and the directory stays usable."""
    before = report_bytes(finished), records(finished)
    n_records = sum(map(len, before[1].values()))
    verify_again_without_order(finished / "details" / "maze.jsonl")
    dry = run_bootcamp("rescore", str(finished), "--dry-run", "--json")
    assert (json.loads(dry.stdout)["n_records"], json.loads(dry.stdout)["changes"]) == (n_records, [])
    done = run_bootcamp("rescore", str(finished))
    assert done.returncode == 0, done.stderr
    assert run_bootcamp("resume", str(finished)).returncode == 0
    assert (report_bytes(finished), records(finished)) == before


@pytest.mark.parametrize("damage", [b'{"id": 1\n', b'{"id": 1, "data_source": "Sudoku", "row": 99, "score": 1.0}\n'])
def test_rescore_changes_nothing_where_a_later_file_is_damaged(
    finished: Path, run_bootcamp: Callable[..., Any], damage: bytes
) -> None:
    """A line without use in the last file is named before the first file is replaced."""
    paths = sorted((finished / "details").iterdir())
    rewrite(paths[0], lambda line: line.update(score=0.25))
    with paths[-1].open("ab") as file:
        file.write(damage)
    before = {path: path.read_bytes() for path in paths}
    done = run_bootcamp("rescore", str(finished))
    assert done.returncode == 1
    assert f"details/{paths[-1].name}:" in done.stderr
    assert "nothing was changed" in done.stderr
    assert {path: path.read_bytes() for path in paths} == before


def test_rescore_says_in_the_manifest_whether_anything_is_owed(
    finished: Path, run_bootcamp: Callable[..., Any]
) -> None:
    """A run that owes something after a rescore is incomplete, so that a bare `resume` finds it, else complete."""

    def is_complete() -> Any:
        return json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["complete"]

    path = finished / "details" / "maze.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(rest)
    assert run_bootcamp("rescore", str(finished)).returncode == 3
    assert is_complete() is False
    failed = json.loads(first) | {"score": None, "failure": "verifier_timeout"}
    path.write_bytes(json.dumps(failed).encode() + b"\n" + rest)
    assert run_bootcamp("rescore", str(finished), "--dry-run").returncode == 3
    assert is_complete() is False
    assert run_bootcamp("rescore", str(finished)).returncode == 0
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
    finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Whatever their order and number and the names of the files, report and rescore find the right bootcamps."""
    meta = json_lines(finished / "meta.jsonl")
    stale = {"bootcamp": "Mazebootcamp", "avg_score": 0.125, "avg_len": 1.5}
    old = reference_dir(finished, tmp_path / "old", [stale, *reversed(meta)])
    for number, path in enumerate(sorted((old / "details").iterdir())):
        path.rename(path.with_name(f"{number:02}.jsonl"))
    for _ in range(2):
        assert run_bootcamp("report", str(old)).returncode == 0
        assert [line["bootcamp"] for line in json_lines(old / "meta.jsonl")] == [line["bootcamp"] for line in meta]
    rescored = run_bootcamp("rescore", str(old), "--json")
    assert json.loads(rescored.stdout)["changes"] == []
    assert [line["bootcamp"] for line in json_lines(old / "meta.jsonl")] == [line["bootcamp"] for line in meta]


def test_a_file_of_the_reference_script_that_nothing_names_is_not_guessed(
    finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Where neither averages nor name tell it, report leaves meta.jsonl alone and rescore refuses the file."""
    meta = json_lines(finished / "meta.jsonl")
    old = reference_dir(finished, tmp_path / "old", [line | {"avg_len": 3.25} for line in meta])
    (old / "details" / "maze.jsonl").rename(old / "details" / "a.jsonl")
    paths = [old / "meta.jsonl", *sorted((old / "details").iterdir())]
    before = [path.read_bytes() for path in paths]
    report = run_bootcamp("report", str(old), "--json")
    assert "details/a.jsonl" in report.stderr
    names = {group["file"]: group["bootcamp"] for group in json.loads(report.stdout)["groups"]}
    assert names.pop("a.jsonl") == "a"
    assert names == {line["file"]: line["bootcamp"] for line in meta if line["file"] != "maze.jsonl"}
    refused = run_bootcamp("rescore", str(old))
    assert refused.returncode == 2
    assert "details/a.jsonl:1" in refused.stderr
    assert [path.read_bytes() for path in paths] == before


def test_equal_averages_are_told_apart_by_the_names_of_the_files(
    finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """Two files with the same averages go by their names."""
    meta = json_lines(finished / "meta.jsonl")
    old = reference_dir(
        finished, tmp_path / "old", [{**line, "avg_score": 0.0, "avg_len": 7.0} for line in reversed(meta)]
    )
    for path in (old / "details").iterdir():
        rewrite(path, lambda line: line.update(score=0, output_len=7))
    groups = json.loads(run_bootcamp("report", str(old), "--json").stdout)["groups"]
    assert {group["file"]: group["bootcamp"] for group in groups} == {line["file"]: line["bootcamp"] for line in meta}


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
    finished: Path, run_bootcamp: Callable[..., Any], name: str, value: Any, refusal: str
) -> None:
    """A parameter that decides the answers, changed in eval_args.json, is named with both values."""
    change_json(finished / "eval_args.json", **{name: value})
    (finished / "details" / "maze.jsonl").unlink()
    manifest = (finished / "manifest.json").read_bytes()
    refused = run_bootcamp("resume", str(finished))
    assert refused.returncode == 2
    assert f"eval_args.json: {refusal}" in refused.stderr
    assert (finished / "manifest.json").read_bytes() == manifest


def test_a_record_of_no_row_is_refused(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """A row beyond the test file, a foreign data source and an id that is not the row are named by file and line."""
    path = finished / "details" / "maze.jsonl"
    original = path.read_bytes()
    for change in ({"row": 200}, {"data_source": "Sudoku"}, {"data_source": ["Maze"]}, {"id": 77}):
        lines = json_lines(path)
        lines[2] |= change
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        for command in ("resume", "report", "rescore"):
            done = run_bootcamp(command, str(finished))
            assert done.returncode == 1, (change, command)
            assert "details/maze.jsonl:3" in done.stderr
            assert "unexpected" not in done.stderr
        path.write_bytes(original)


def test_a_record_of_a_row_left_out_is_refused(
    demo_server: Any, run_bootcamp: Callable[..., Any], write_rows: Callable[..., Any], tmp_path: Path
) -> None:
    """Where the run takes some rows of a file only, resume refuses a record of another one."""
    rows = [{"data_source": name, "prompt": "?", "ground_truth": 1} for name in ("Riddles", "Jokes", "Riddles")]
    path = write_rows(tmp_path / "tests" / "a.jsonl", rows)
    server = demo_server(test_dir=path.parent)
    command = ["--url", server.url, "--model-name", "demo", "--test-dir", str(path.parent), "--include", "Riddles"]
    assert run_bootcamp("eval", *command, "--allow-unscored").returncode == 0
    run_dir = run_dir_of(tmp_path / "output")
    assert run_bootcamp("resume", str(run_dir)).returncode == 0
    lines = json_lines(run_dir / "details" / "a.jsonl")
    lines[1] |= {"row": 1, "id": 1}
    (run_dir / "details" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    refused = run_bootcamp("resume", str(run_dir))
    assert refused.returncode == 1
    assert "details/a.jsonl:2: row 1 is none of the run" in refused.stderr


def test_details_of_no_test_file_are_no_results(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """Report and rescore leave a details file out that the run does not know, and say so; resume refuses it."""
    before = report_bytes(finished)
    shutil.copy(finished / "details" / "maze.jsonl", finished / "details" / "other.jsonl")
    for command in ("report", "rescore"):
        done = run_bootcamp(command, str(finished))
        assert done.returncode == 0, done.stderr
        assert "details/other.jsonl is of no test file of the run" in done.stderr
        assert report_bytes(finished) == before
    refused = run_bootcamp("resume", str(finished))
    assert refused.returncode == 1
    assert "details/other.jsonl is of no test file of the run" in refused.stderr


@pytest.mark.parametrize("change", [{"row": -100}, {"row": 200}, {"file": "other.jsonl"}, {"data_source": "Other"}])
def test_a_failure_of_no_sample_is_refused(
    finished: Path, run_bootcamp: Callable[..., Any], change: dict[str, Any]
) -> None:
    """A line of failures.jsonl that is of no sample of the run is named, whatever the command."""
    failure = {"file": "maze.jsonl", "row": 0, "data_source": "Maze", "kind": "timeout"} | change
    (finished / "failures.jsonl").write_text(json.dumps(failure) + "\n", encoding="utf-8")
    for command in ("resume", "report"):
        done = run_bootcamp(command, str(finished))
        assert done.returncode == 1, done.stderr
        assert "failures.jsonl:1: " in done.stderr
        assert "unexpected" not in done.stderr


def test_a_bare_resume_passes_over_what_it_cannot_resume(
    finished: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """A newer unfinished directory without eval_args.json is named, and the run before it is continued."""
    change_json(finished / "manifest.json", complete=False)
    odd = tmp_path / "output" / "odd"
    (odd / "details").mkdir(parents=True)
    shutil.copy(finished / "manifest.json", odd / "manifest.json")
    change_json(odd / "manifest.json", started="2999-01-01")
    done = run_bootcamp("resume")
    assert done.returncode == 0, done.stderr
    assert "odd has no eval_args.json and is passed over" in done.stderr
    assert f"{finished.name} is finished" in done.stderr


def test_a_server_that_is_not_reached_is_not_written_down(finished: Path, run_bootcamp: Callable[..., Any]) -> None:
    """A `resume` that ends while it waits for another server leaves the run as it was."""
    path = finished / "details" / "maze.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    before = [(finished / name).read_bytes() for name in ("eval_args.json", "manifest.json")]
    done = run_bootcamp("resume", str(finished), "--url", "http://127.0.0.1:9/v1", "--wait", "0")
    assert done.returncode == 4, done.stderr
    assert [(finished / name).read_bytes() for name in ("eval_args.json", "manifest.json")] == before
