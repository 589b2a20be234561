"""`bootcamp eval` against a real server: what it leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

KEY = "sk-marked-7f3a9c"


def run_dir_of(output: Path) -> Path:
    """The only run directory below an output directory."""
    [run_dir] = [path for path in output.iterdir() if path.is_dir()]
    return run_dir


def records(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a run directory by details file."""
    return {
        path.name: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted((run_dir / "details").iterdir())
    }


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def guide_run(fault_server: Any, demo_test_dir: Path, call_bootcamp: Callable[..., Any], tmp_path: Path) -> Any:
    """The guide's command line, with a server's address, in an empty directory."""
    server = fault_server(test_dir=demo_test_dir, model="r1_32B", api_key=KEY)
    return call_bootcamp(
        *f"eval --url {server.url} --api_key {KEY} --model_name r1_32B --test_dir {demo_test_dir} "
        "--max_concurrent_requests 128 --template r1 --max_tokens 32768 --temperature 0 --timeout 6000 "
        "--api_mode completion --max_retries 16 --max_retrying_delay 60 --resume".split()
    )


def test_the_guides_command_leaves_the_guides_files(guide_run: Any, demo_test_dir: Path, tmp_path: Path) -> None:
    """Word for word the guide's command runs, exits 0 and leaves the five outputs with their names and fields."""
    assert guide_run.returncode == 0, guide_run.stderr
    run_dir = run_dir_of(tmp_path / "output")
    assert run_dir.name.startswith(f"r1_32B_{demo_test_dir.name}_")
    names = {path.name for path in run_dir.iterdir() if not path.name.startswith(".")}
    assert names == {
        "details",
        "eval_args.json",
        "manifest.json",
        "meta.jsonl",
        "progress.log",
        "timeline.jsonl",
        "r1_32B_scores.xlsx",
    }
    rows = {path.name: path.read_text(encoding="utf-8").splitlines() for path in demo_test_dir.glob("*.jsonl")}
    found = records(run_dir)
    assert {file: [record["row"] for record in lines] for file, lines in found.items()} == {
        file: list(range(len(lines))) for file, lines in rows.items()
    }
    first = next(iter(found.values()))[0]
    assert list(first)[:7] == [
        "id",
        "prompt",
        "output",
        "output_len",
        "ground_truth",
        "score",
        "extracted_output",
    ]
    meta = json_lines(run_dir / "meta.jsonl")
    assert [list(line)[:3] for line in meta] == [["bootcamp", "avg_score", "avg_len"]] * len(rows)
    for line in meta:
        scores = [record["score"] for record in found[line["file"]]]
        assert line["avg_score"] == pytest.approx(sum(scores) / len(scores))


def test_the_workbook_reads_as_the_references(guide_run: Any, tmp_path: Path) -> None:
    """The first sheet has the reference's columns, sorted rows, and the unweighted mean as its last row."""
    run_dir = run_dir_of(tmp_path / "output")
    sheet = openpyxl.load_workbook(run_dir / "r1_32B_scores.xlsx").worksheets[0]
    lines = list(sheet.iter_rows(values_only=True))
    meta = json_lines(run_dir / "meta.jsonl")
    assert lines[0][:3] == ("bootcamp", "Average Score", "Average Output Length")
    assert [line[0] for line in lines[1:-1]] == sorted(line["bootcamp"] for line in meta)
    assert lines[-1][0] == "Total Average"
    assert lines[-1][1] == pytest.approx(sum(line["avg_score"] for line in meta) / len(meta))


def test_settings_are_written_down_and_secrets_are_not(guide_run: Any, tmp_path: Path) -> None:
    """eval_args.json has the guide's names and units; the key is in no file and in nothing that was printed."""
    run_dir = run_dir_of(tmp_path / "output")
    args = json.loads((run_dir / "eval_args.json").read_text(encoding="utf-8"))
    assert (args["timeout"], args["max_retrying_delay"], args["max_tokens"]) == (6000, 60, 32768)
    assert Path(args["test_dir"]).is_absolute()
    assert Path(args["output_dir"]).is_absolute()
    assert KEY not in guide_run.stdout + guide_run.stderr
    for path in run_dir.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_the_short_timeout_of_the_guide_is_explained(guide_run: Any) -> None:
    """6000 milliseconds are less than 32768 tokens take: the warning names the reference script's reading."""
    assert "seconds" in guide_run.stderr
    assert "timeout" in guide_run.stderr


def test_the_progress_log_keeps_its_last_state(guide_run: Any, demo_test_dir: Path, tmp_path: Path) -> None:
    """progress.log ends with the main line over all samples and a full line per file."""
    lines = (run_dir_of(tmp_path / "output") / "progress.log").read_text(encoding="utf-8").splitlines()
    n = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in demo_test_dir.glob("*.jsonl"))
    assert lines[0].startswith(f"Main Progress: {n}/{n} [")
    assert len(lines) == 1 + len(list(demo_test_dir.glob("*.jsonl")))


def test_a_finished_run_is_reported_not_run_again(
    fault_server: Any, demo_test_dir: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """`--resume` on a finished match says so, asks the server nothing and makes no second directory."""
    server = fault_server(test_dir=demo_test_dir)
    command = ["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir), "--resume"]
    assert call_bootcamp(*command).returncode == 0
    n_requests = server.stats()["requests"]
    again = call_bootcamp(*command)
    assert again.returncode == 0
    assert "nothing is owed" in again.stderr
    assert server.stats()["requests"] == n_requests
    run_dir_of(tmp_path / "output")


def test_other_sampling_parameters_start_a_new_run(
    fault_server: Any, demo_test_dir: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """`--resume` never mixes answers of different settings, but url and concurrency may differ."""
    server = fault_server(test_dir=demo_test_dir)
    other = fault_server(test_dir=demo_test_dir)
    base = ["eval", "--model-name", "demo", "--test-dir", str(demo_test_dir), "--resume", "--limit", "1"]
    call_bootcamp(*base, "--url", server.url)
    same = call_bootcamp(*base, "--url", other.url, "--max-concurrent-requests", "3")
    assert "nothing is owed" in same.stderr
    call_bootcamp(*base, "--url", server.url, "--temperature", "0.7")
    assert len(list((tmp_path / "output").iterdir())) == 2


def test_chat_mode_sends_the_chosen_templates_system_prompt(
    fault_server: Any, demo_test_dir: Path, call_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """In chat mode a chosen template provides its default system prompt, and the run writes it down."""
    server = fault_server(test_dir=demo_test_dir)
    done = call_bootcamp(
        *["eval", "--url", server.url, "--test-dir", str(demo_test_dir), "--api-mode", "chat_completion"],
        *["--template", "qwen", "--limit", "1"],
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((run_dir_of(tmp_path / "output") / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sys_prompt"] == "You are a helpful assistant."
    assert "demo" in done.stderr, "the only model of the server is said aloud"
