"""Runs that are killed, stopped or starved, and resumed."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_eval_run_directory import records, run_dir_of

REPORTS = ("meta.jsonl", "demo_scores.xlsx")


def eval_command(server: Any, test_dir: Path, *more: str) -> list[str]:
    """An evaluation of the demo model with few slots, so that it can be caught in the middle."""
    return [
        *["eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(test_dir)],
        *["--max-concurrent-requests", "8", "--max-retrying-delay", "0.2", "--quiet", *more],
    ]


def wait_for_records(output: Path, n: int, process: Any) -> None:
    """Return when `n` records are on disk."""
    while sum(path.read_bytes().count(b"\n") for path in output.glob("*/details/*.jsonl")) < n:
        assert process.poll() is None, "the run ended before it could be caught"
        time.sleep(0.01)


def report_bytes(run_dir: Path) -> list[bytes]:
    """The files that depend on nothing but the answers."""
    return [(run_dir / name).read_bytes() for name in REPORTS]


@pytest.fixture
def undisturbed(fault_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], tmp_path: Path) -> Path:
    """The run directory of an evaluation that nothing disturbs."""
    output = tmp_path / "undisturbed"
    done = run_bootcamp(*eval_command(fault_server(test_dir=demo_test_dir), demo_test_dir, "--output-dir", str(output)))
    assert done.returncode == 0, done.stderr
    return run_dir_of(output)


def test_killed_and_resumed_gives_the_undisturbed_result(
    fault_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    run_bootcamp: Callable[..., Any],
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    """After SIGKILL and resume no id is missing or twice, and the reports are those of an undisturbed run."""
    server = fault_server(test_dir=demo_test_dir, latency=0.05)
    for n_records in (5, 40):
        process = start_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out", "--resume"))
        wait_for_records(tmp_path / "out", n_records, process)
        process.kill()
        process.wait()
    done = run_bootcamp("resume", "--output-dir", "out", "--quiet")
    assert done.returncode == 0, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    before, after = records(undisturbed), records(run_dir)
    assert {file: [r["id"] for r in lines] for file, lines in after.items()} == {
        file: [r["id"] for r in lines] for file, lines in before.items()
    }
    assert report_bytes(run_dir) == report_bytes(undisturbed)
    n_samples = sum(len(lines) for lines in after.values())
    n_sent = server.stats()["by_path"]["/v1/completions"]
    assert n_sent <= n_samples + 2 * 2 * 8, "at most twice the concurrency is sent again per kill"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_keeps_what_is_in_flight_and_says_how_to_go_on(
    fault_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    run_bootcamp: Callable[..., Any],
    undisturbed: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """One signal: exit 130, requests in flight are recorded, and the printed command completes the run."""
    server = fault_server(test_dir=demo_test_dir, latency=0.05)
    process = start_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out"))
    wait_for_records(tmp_path / "out", 5, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    run_dir = run_dir_of(tmp_path / "out")
    n_recorded = sum(len(lines) for lines in records(run_dir).values())
    assert n_recorded == server.stats()["by_status"]["200"] - server.stats()["by_path"].get("/v1/models", 0)
    assert run_bootcamp("resume", str(run_dir), "--quiet").returncode == 0
    assert report_bytes(run_dir) == report_bytes(undisturbed)


def test_a_second_signal_stops_at_once_and_loses_no_record(
    fault_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    run_bootcamp: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Two signals end the run though its requests hang; what was recorded stays and the rest is resumed."""
    server = fault_server(test_dir=demo_test_dir, faults=["hang:0.3"])
    process = start_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out"))
    wait_for_records(tmp_path / "out", 3, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=9)
    assert process.returncode == 130
    run_dir = run_dir_of(tmp_path / "out")
    kept = {(file, r["id"]): r["output"] for file, lines in records(run_dir).items() for r in lines}
    assert len(kept) >= 3
    healthy = fault_server(test_dir=demo_test_dir)
    assert run_bootcamp("resume", str(run_dir), "--url", healthy.url, "--quiet").returncode == 0
    after = {(file, r["id"]): r["output"] for file, lines in records(run_dir).items() for r in lines}
    assert kept.items() <= after.items()


def test_a_flaky_server_costs_no_sample(
    fault_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], undisturbed: Path, tmp_path: Path
) -> None:
    """5 % of 500s, 429s with Retry-After and dropped connections each: everything is scored, nothing failed."""
    server = fault_server(test_dir=demo_test_dir, faults=["500:0.05", "429:0.05:retry-after=0.05", "drop:0.05"])
    done = run_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out"))
    assert done.returncode == 0, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    assert not (run_dir / "failures.jsonl").exists()
    assert report_bytes(run_dir) == report_bytes(undisturbed)


def test_refused_alike_stops_early(
    fault_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """A server that refuses every request with 422 gets 33 requests, then one clear error with exit code 4."""
    server = fault_server(test_dir=demo_test_dir, faults=["422"])
    words = ("eval", "--url", server.url, "--test-dir", str(demo_test_dir), "--max-concurrent-requests", "8")
    done = run_bootcamp(*words)
    assert done.returncode == 4
    assert server.stats()["by_path"]["/v1/completions"] == 33
    assert "refused" in done.stderr.splitlines()[-1]
    assert "422" in done.stderr.splitlines()[-1]


def test_a_refused_key_stops_at_once(
    fault_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], tmp_path: Path
) -> None:
    """401 ends check and run with exit code 4, whether or not the model is looked up first."""
    server = fault_server(test_dir=demo_test_dir, api_key="right")
    for check in ("true", "false"):
        done = run_bootcamp(
            *eval_command(server, demo_test_dir, "--api-key", "wrong-key-1", "--check-model-url", check)
        )
        assert done.returncode == 4, done.stderr
        assert "401" in done.stderr
        assert "wrong-key-1" not in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [("--url", "http://127.0.0.1:9/v1", "127.0.0.1:9"), ("--model-name", "absent", "absent")],
)
def test_server_or_model_that_is_not_there(
    fault_server: Any,
    demo_test_dir: Path,
    run_bootcamp: Callable[..., Any],
    tmp_path: Path,
    option: str,
    value: str,
    word: str,
) -> None:
    """A wrong URL or model name is waited for as long as asked, then exit code 4; no run directory is left."""
    server = fault_server(test_dir=demo_test_dir)
    words = eval_command(server, demo_test_dir, "--wait", "1", "--poll-interval", "0.5")
    words[words.index(option) + 1] = value
    done = run_bootcamp(*words)
    assert done.returncode == 4
    assert word in done.stderr.splitlines()[-1]
    assert not (tmp_path / "output").exists()


def test_samples_without_an_answer_are_owed(
    fault_server: Any, demo_test_dir: Path, run_bootcamp: Callable[..., Any], undisturbed: Path, tmp_path: Path
) -> None:
    """Failed samples exit 3, stand in failures.jsonl with their kind, and are sent again by resume."""
    server = fault_server(test_dir=demo_test_dir, faults=["500:0.5"])
    done = run_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out", "--max-retries", "0"))
    assert done.returncode == 3, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    failures = [json.loads(line) for line in (run_dir / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {failure["kind"] for failure in failures} == {"http_500"}
    healthy = fault_server(test_dir=demo_test_dir)
    done = run_bootcamp("resume", str(run_dir), "--url", healthy.url)
    assert done.returncode == 0, done.stderr
    assert healthy.stats()["by_path"]["/v1/completions"] == len(failures)
    assert not (run_dir / "failures.jsonl").exists()
    assert report_bytes(run_dir) == report_bytes(undisturbed)


def test_a_server_that_restarts_is_waited_for(
    fault_server: Any,
    demo_test_dir: Path,
    start_bootcamp: Callable[..., Any],
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    """While nothing listens the run pauses without spending retries, and goes on when the server is back."""
    server = fault_server(test_dir=demo_test_dir, latency=0.05)
    port = int(server.url.split(":")[2].split("/")[0])
    process = start_bootcamp(*eval_command(server, demo_test_dir, "--output-dir", "out", "--max-retries", "1"))
    wait_for_records(tmp_path / "out", 5, process)
    server.stop()
    time.sleep(1.5)
    fault_server(test_dir=demo_test_dir, port=port)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert report_bytes(run_dir_of(tmp_path / "out")) == report_bytes(undisturbed)


def test_the_last_samples_wait_for_the_server(
    run_bootcamp: Callable[..., Any], fault_server: Any, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A single sample left is enough to pause for a server that is gone: none fails, and its retries are not spent."""
    server = fault_server(test_dir=demo_test_dir)
    server.stop()
    command = eval_command(server, demo_test_dir, "--limit", "1", "--include", "sudoku.jsonl", "--wait", "1s")
    done = run_bootcamp(*command, "--output-dir", "out", "--no-check-model-url", "--max-retries", "0")
    assert done.returncode == 4
    assert "the server cannot be reached" in done.stderr
    assert not (run_dir_of(tmp_path / "out") / "failures.jsonl").exists()


def test_a_refused_rest_is_no_refusal_of_the_run(
    run_bootcamp: Callable[..., Any], fault_server: Any, demo_test_dir: Path, tmp_path: Path
) -> None:
    """When a server that has answered most of a run refuses all that is left, the resume ends with the report."""
    server = fault_server(test_dir=demo_test_dir, faults=["400:sample=0"])
    done = run_bootcamp(*eval_command(server, demo_test_dir, "--limit", "2"), "--output-dir", "out")
    assert done.returncode == 3, done.stderr
    done = run_bootcamp("resume", str(run_dir_of(tmp_path / "out")))
    assert done.returncode == 3, done.stderr
    assert "27 of 28 samples scored" in done.stderr + done.stdout
