"""Every question asked several times: what is sent, recorded, averaged, extended and warned about."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer


@pytest.fixture
def server(fault_server: StartFaultServer, demo_test_dir: Path) -> FaultServerProcess:
    """A server whose answers depend on the seed."""
    return fault_server(test_dir=demo_test_dir, by_seed=True)


def evaluated(run: RunBootcamp, server: FaultServerProcess, test_dir: Path, *options: str) -> Any:
    """Run `eval` on a test dir."""
    return run("eval", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, "--json", *options)


def run_dir_in(tmp_path: Path) -> Path:
    """The only run directory."""
    [run_dir] = (tmp_path / "output").iterdir()
    return run_dir


def records(run_dir: Path, file: str) -> list[dict[str, Any]]:
    """The records of a details file."""
    return [json.loads(line) for line in (run_dir / "details" / file).read_text("utf-8").splitlines()]


def test_each_repeat_is_a_sample(
    server: FaultServerProcess, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Details hold every question K times in order of row, then repeat; averages are means of question means."""
    done = evaluated(call_bootcamp, server, demo_test_dir, "--repeats", "3", "--seed", "5", "--include", "sudoku")
    assert done.returncode == 0, done.stderr
    found = records(run_dir_in(tmp_path), "sudoku.jsonl")
    assert [(record["row"], record["repeat"]) for record in found] == [(row, n) for row in range(8) for n in range(3)]
    assert len({record["output"] for record in found}) > 8
    report = json.loads(done.stdout)
    assert (report["n"], report["n_questions"], report["repeats"]) == (24, 8, 3)
    means = [sum(record["score"] for record in found[3 * row : 3 * row + 3]) / 3 for row in range(8)]
    assert report["avg_score"] == pytest.approx(sum(means) / 8)
    [meta] = [json.loads(line) for line in (run_dir_in(tmp_path) / "meta.jsonl").read_text().splitlines()]
    assert list(meta)[list(meta).index("score_high") + 1 :][:2] == ["n_questions", "repeats"]
    assert (meta["n"], meta["n_questions"], meta["repeats"]) == (24, 8, 3)


def test_every_record_has_its_repeat(
    server: FaultServerProcess, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """A run that asks once records repeat 0 of every question, and so do its failures."""
    done = evaluated(call_bootcamp, server, demo_test_dir, "--include", "maze", "--max-retries", "0")
    assert done.returncode == 0, done.stderr
    assert {record["repeat"] for record in records(run_dir_in(tmp_path), "maze.jsonl")} == {0}
    assert json.loads((run_dir_in(tmp_path) / "eval_args.json").read_text())["repeats"] == 1


def test_question_means_weigh_questions_alike(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Where repeats are missing, a question counts by the mean of those it has, not by their number."""
    server = fault_server(test_dir=demo_test_dir, by_seed=True, faults=["400:0.4"])
    options = ("--repeats", "4", "--seed", "1", "--include", "sudoku", "--max-retries", "0")
    done = evaluated(call_bootcamp, server, demo_test_dir, *options)
    assert done.returncode == 3, done.stderr
    by_row: dict[int, list[float]] = {}
    for record in records(run_dir_in(tmp_path), "sudoku.jsonl"):
        by_row.setdefault(record["row"], []).append(record["score"])
    assert len({len(scores) for scores in by_row.values()}) > 1
    means = [sum(scores) / len(scores) for scores in by_row.values()]
    assert json.loads(done.stdout)["avg_score"] == pytest.approx(sum(means) / len(means))
    lines = [json.loads(line) for line in (run_dir_in(tmp_path) / "failures.jsonl").read_text().splitlines()]
    keys = [(line["row"], line["repeat"]) for line in lines]
    assert keys == sorted(keys)
    assert any(repeat for _, repeat in keys)


def test_a_run_is_extended_and_never_reduced(
    server: FaultServerProcess, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """`resume` keeps the run's number, a larger one owes the rest of each question, a smaller one is refused."""
    only = ("--include", "sudoku", "--seed", "3")
    assert evaluated(call_bootcamp, server, demo_test_dir, "--repeats", "2", *only).returncode == 0
    run_dir = run_dir_in(tmp_path)
    first = records(run_dir, "sudoku.jsonl")
    refused = call_bootcamp("resume", run_dir, "--repeats", "1")
    assert refused.returncode == 2
    assert f"--repeats: {run_dir} has 2, which is more than 1; leave it out" in refused.stderr
    again = call_bootcamp("resume", run_dir)
    assert again.returncode == 0
    assert "nothing is owed" in again.stderr
    assert call_bootcamp("resume", run_dir, "--repeats", "5").returncode == 0
    found = records(run_dir, "sudoku.jsonl")
    assert [(record["row"], record["repeat"]) for record in found] == [(row, n) for row in range(8) for n in range(5)]
    assert [record for record in found if record["repeat"] < 2] == first
    assert server.stats()["received"] == 40


def test_eval_finds_its_run_whatever_the_repeats(
    server: FaultServerProcess, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Repeats are no part of a run's identity: `eval --resume` goes on with its number, or extends it."""
    only = ("--include", "sudoku", "--seed", "3")
    assert evaluated(call_bootcamp, server, demo_test_dir, "--repeats", "2", *only).returncode == 0
    for options, n in (((), 16), (("--repeats", "3"), 24)):
        done = evaluated(call_bootcamp, server, demo_test_dir, "--resume", *only, *options)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n"] == n
        assert len(records(run_dir_in(tmp_path), "sudoku.jsonl")) == n
    refused = evaluated(call_bootcamp, server, demo_test_dir, "--resume", *only, "--repeats", "2")
    assert refused.returncode == 2


@pytest.mark.parametrize(("temperature", "warned"), [("0.7", True), ("0", False)])
def test_repeats_that_are_all_the_same(
    temperature: str,
    warned: bool,  # noqa: FBT001 - parametrised
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    call_bootcamp: RunBootcamp,
) -> None:
    """Sampled repeats whose texts are the same for nearly every question are warned about: something caches answers."""
    server = fault_server(test_dir=demo_test_dir)
    options = ("--repeats", "2", "--temperature", temperature, "--include", "sudoku", "--include", "maze")
    done = evaluated(call_bootcamp, server, demo_test_dir, *options)
    assert done.returncode == 0, done.stderr
    assert ("the repeats of 16 of 16 questions are the same text" in done.stderr) == warned


def test_rescore_keeps_every_repeat(
    server: FaultServerProcess, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """`rescore` verifies each repeat again, in its place."""
    options = ("--repeats", "2", "--seed", "3", "--include", "sudoku")
    assert evaluated(call_bootcamp, server, demo_test_dir, *options).returncode == 0
    run_dir = run_dir_in(tmp_path)
    before = (run_dir / "details" / "sudoku.jsonl").read_bytes()
    done = call_bootcamp("rescore", run_dir, "--json")
    assert json.loads(done.stdout)["n_verified"] == 16
    assert (run_dir / "details" / "sudoku.jsonl").read_bytes() == before
