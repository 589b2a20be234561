"""`report`, `rescore`, `resume` and refused data, on real run directories."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import TokenTotals
from tests.test_eval_interrupted import report_bytes, wait_for_records
from tests.test_eval_run_directory import json_lines, records, run_dir_of


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change every record of a details file."""
    lines = json_lines(path)
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def test_report_rebuilds_what_was_derived(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """meta.jsonl and the workbook come back byte for byte from details."""
    before = report_bytes(finished)
    (finished / "meta.jsonl").unlink()
    (finished / "demo_scores.xlsx").write_bytes(b"damaged")
    done = call_bootcamp("report", str(finished))
    assert done.returncode == 0, done.stderr
    assert report_bytes(finished) == before


def test_report_formats_agree(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """Table, markdown, csv and json show the same averages."""
    shown = {
        form: call_bootcamp("report", str(finished), "--format", form).stdout for form in ("csv", "json", "markdown")
    }
    meta = {line["bootcamp"]: line["avg_score"] for line in json_lines(finished / "meta.jsonl")}
    groups = {group["bootcamp"]: group["avg_score"] for group in json.loads(shown["json"])["groups"]}
    assert groups == meta
    table = list(csv.DictReader(io.StringIO(shown["csv"])))
    assert {row["bootcamp"] for row in table} == set(meta)
    assert all(name in shown["markdown"] for name in meta)
    assert json.loads(call_bootcamp("report", str(finished), "--json").stdout)["groups"]


def test_report_at_another_threshold_changes_what_is_shown_alone(
    finished: Path, call_bootcamp: Callable[..., Any]
) -> None:
    """`--right-at` counts other answers as correct, `--by` shows one table, and no file of the run changes."""
    before = report_bytes(finished)
    shown = [
        json.loads(call_bootcamp("report", str(finished), "--json", *options).stdout)
        for options in ((), ("--right-at", "0"))
    ]
    assert [run["right_at"] for run in shown] == [1.0, 0.0]
    assert shown[1]["account"]["correct"] == shown[1]["n_scored"] > shown[0]["account"]["correct"]
    assert shown[0]["interval"] == shown[1]["interval"]
    families = call_bootcamp("report", str(finished), "--by", "family").stdout
    assert families.startswith("family")
    assert report_bytes(finished) == before
    for option, value in (("--by", "file"), ("--right-at", "nan")):
        assert call_bootcamp("report", str(finished), option, value).returncode == 2


def test_report_reads_run_directories_of_the_reference_script(
    finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
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
    done = call_bootcamp("report", str(old), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    shown = {group["bootcamp"]: (group["avg_score"], group["avg_len"]) for group in found["groups"]}
    assert shown == {line["bootcamp"]: (line["avg_score"], line["avg_len"]) for line in lines}
    assert (old / "r1_old_run_scores.xlsx").exists()
    rescored = call_bootcamp("rescore", str(old), "--json", "--dry-run")
    assert json.loads(rescored.stdout)["changes"] == []


def test_rescore_finds_and_corrects_wrong_scores(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """Scores that were tampered with are reported by a dry run, which writes nothing, and corrected by a real one."""
    before = report_bytes(finished), records(finished)
    path = finished / "details" / "sudoku.jsonl"
    rewrite(path, lambda line: line.update(score=0.25))
    tampered = path.read_bytes()
    dry = call_bootcamp("rescore", str(finished), "--dry-run", "--json")
    changes = json.loads(dry.stdout)["changes"]
    assert len(changes) == len(before[1]["sudoku.jsonl"])
    assert path.read_bytes() == tampered
    done = call_bootcamp("rescore", str(finished))
    assert f"{len(changes)} scores changed" in done.stderr
    assert (report_bytes(finished), records(finished)) == before


def test_outputs_from_elsewhere_are_scored(finished: Path, call_bootcamp: Callable[..., Any], tmp_path: Path) -> None:
    """Rows with id, prompt, output, ground_truth and data_source are enough to get scores and reports."""
    outside = tmp_path / "outside"
    shutil.copytree(finished / "details", outside / "details")
    kept = ("id", "prompt", "output", "ground_truth", "data_source")
    for path in (outside / "details").iterdir():
        rewrite(path, lambda line: [line.pop(key) for key in list(line) if key not in kept])
    done = call_bootcamp("rescore", str(outside))
    assert done.returncode == 0, done.stderr
    scores = {file: [line["score"] for line in lines] for file, lines in records(outside).items()}
    assert scores == {file: [line["score"] for line in lines] for file, lines in records(finished).items()}
    assert (outside / "meta.jsonl").exists()


def test_unscored_outputs_wait_for_rescore(
    fault_server: Any,
    demo_test_dir: Path,
    call_bootcamp: Callable[..., Any],
    write_rows: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A data source without a bootcamp stops the run; --allow-unscored keeps its outputs for rescore alone."""
    test_dir = tmp_path / "tests"
    write_rows(test_dir / "a.jsonl", [{"data_source": "Riddles", "prompt": "?", "ground_truth": 1}] * 2)
    server = fault_server(test_dir=demo_test_dir)
    command = ["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(test_dir)]
    refused = call_bootcamp(*command)
    assert refused.returncode == 2
    assert "Riddles: a.jsonl (2 rows)" in refused.stderr
    assert not (tmp_path / "output").exists()
    assert call_bootcamp(*command, "--allow-unscored").returncode == 0
    run_dir = run_dir_of(tmp_path / "output")
    assert [(line["score"], line["failure"]) for line in records(run_dir)["a.jsonl"]] == [(None, "unscored")] * 2
    assert json_lines(run_dir / "meta.jsonl")[0]["avg_score"] is None
    n_requests = server.stats()["requests"]
    assert call_bootcamp("resume", str(run_dir)).returncode == 0
    assert server.stats()["requests"] == n_requests


def test_resume_refuses_what_would_change_the_answers(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """Another temperature is refused with both values, another concurrency is fine, and environment does not count."""
    refused = call_bootcamp("resume", str(finished), "--temperature", "0.5", "--max-tokens", "32768")
    assert refused.returncode == 2
    assert "--temperature: the run has 0.0, not 0.5" in refused.stderr
    assert "max-tokens" not in refused.stderr
    assert call_bootcamp("resume", str(finished), "--max-concurrent-requests", "2").returncode == 0
    assert call_bootcamp("resume", str(finished), env={"BOOTCAMP_TEMPERATURE": "0.5"}).returncode == 0


def test_resume_takes_a_moved_test_dir_and_refuses_a_changed_one(
    finished: Path,
    fault_server: Any,
    demo_test_dir: Path,
    call_bootcamp: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A copy with equal digests is fine, changed rows are refused by name, appended rows are owed."""
    moved = tmp_path / "moved"
    shutil.copytree(demo_test_dir, moved)
    assert call_bootcamp("resume", str(finished), "--test-dir", str(moved)).returncode == 0
    sudoku = moved / "sudoku.jsonl"
    original = sudoku.read_text(encoding="utf-8")
    sudoku.write_text(original.replace("data_source", "data_source", 1).replace("1", "2", 1), encoding="utf-8")
    refused = call_bootcamp("resume", str(finished), "--test-dir", str(moved))
    assert refused.returncode == 2
    assert "sudoku.jsonl changed" in refused.stderr
    sudoku.write_text(original + original.splitlines(keepends=True)[0], encoding="utf-8")
    server = fault_server(test_dir=demo_test_dir)
    done = call_bootcamp("resume", str(finished), "--test-dir", str(moved), "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert server.stats()["by_path"]["/v1/completions"] == 1
    n_rows = len(original.splitlines())
    assert [line["row"] for line in records(finished)["sudoku.jsonl"]] == list(range(n_rows + 1))


def test_verifier_failures_are_verified_again_not_requested(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """Resume verifies a record with a verifier failure from its kept output: without any server the run is complete."""
    before = report_bytes(finished)

    def fail(line: dict[str, Any]) -> None:
        line.update(score=None, extracted_output=None, failure="verifier_crash", failure_message="killed")

    rewrite(finished / "details" / "maze.jsonl", fail)
    assert call_bootcamp("report", str(finished)).returncode == 3
    done = call_bootcamp("resume", str(finished))
    assert done.returncode == 0, done.stderr
    assert report_bytes(finished) == before
    assert "failure" not in records(finished)["maze.jsonl"][0]


def test_tokens_of_a_run_are_those_of_its_details(finished: Path) -> None:
    """Every answer counts once, however often its record was written: before its verdict, and with it."""
    lines = [line for file in records(finished).values() for line in file]
    path = finished / "details" / "maze.jsonl"
    waiting = json.loads(path.read_bytes().splitlines()[-1])
    waiting |= {"score": None, "failure": "verifier_crash", "usage": {"completion_tokens": 10**6}}
    path.write_text(json.dumps(waiting) + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_run(RunDir(finished)).summary.tokens == TokenTotals(
        n_counted=len(lines),
        prompt=sum(line["usage"]["prompt_tokens"] for line in lines),
        completion=sum(line["usage"]["completion_tokens"] for line in lines),
    )


def test_damaged_details_are_named_and_left_alone(finished: Path, call_bootcamp: Callable[..., Any]) -> None:
    """A half line in the middle stops resume and report with its place and without a traceback."""
    path = finished / "details" / "maze.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + lines[1][:20] + b"\n" + b"".join(lines[2:])
    path.write_bytes(damaged)
    for command in ("resume", "report"):
        done = call_bootcamp(command, str(finished))
        assert done.returncode == 1
        assert "details/maze.jsonl:2" in done.stderr
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == damaged


def test_a_live_run_is_reported_and_not_written_to(
    fault_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    call_bootcamp: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Under a live run report prints what there is and writes nothing; resume and rescore are refused."""
    server = fault_server(test_dir=demo_test_dir, faults=["hang:0.5"])
    process = start_bootcamp(
        *["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir)],
        *["--max-concurrent-requests", "4", "--quiet"],
    )
    wait_for_records(tmp_path / "output", 1, process)
    run_dir = run_dir_of(tmp_path / "output")
    report = call_bootcamp("report", str(run_dir))
    assert "writing nothing" in report.stderr
    assert not (run_dir / "meta.jsonl").exists()
    for command in ("resume", "rescore"):
        refused = call_bootcamp(command, str(run_dir))
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
    call_bootcamp: Callable[..., Any], tmp_path: Path, content: bytes, what: str
) -> None:
    """A bad row is named by file and line, exit code 2, and neither a request nor a directory is made."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.jsonl").write_bytes(content)
    done = call_bootcamp("eval", "--model-name", "m", "--test-dir", "tests", "--url", "http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert what in done.stderr
    assert not (tmp_path / "output").exists()


def test_upstream_bootcamps_asked_for_in_vain_are_told(
    fault_server: Any, demo_test_dir: Path, call_bootcamp: Callable[..., Any]
) -> None:
    """Where no package is there, `--bootcamps upstream` warns and the built-in bootcamps verify."""
    server = fault_server(test_dir=demo_test_dir)
    command = ["eval", "--url", server.url, "--test-dir", str(demo_test_dir), "--limit", "1"]
    done = call_bootcamp(*command, "--bootcamps", "upstream")
    assert done.returncode == 0, done.stderr
    assert "upstream has no effect" in done.stderr
    assert "upstream has no effect" not in call_bootcamp(*command).stderr
