"""Gates of `eval` and `resume`, and `report --min-score`: pass, fail, undecided and their exit codes."""

import json
from pathlib import Path

import pytest

from bootcamp_cli import open_run
from tests.conftest import RunBootcamp, StartFaultServer
from tests.run_directories import Scores, write_run, write_run_of_run_eval


def ones(n: int, n_right: int, repeats: int = 1) -> list[list[float | None]]:
    """The first `n_right` of n questions right, the others wrong."""
    return [[float(row < n_right)] * repeats for row in range(n)]


@pytest.fixture
def words(demo_test_dir: Path) -> tuple[str, ...]:
    """What every evaluation here is called with, but for the server."""
    return ("--model-name", "demo", "--test-dir", str(demo_test_dir), "--quiet", "--json")


@pytest.fixture
def baseline(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, words: tuple[str, ...]
) -> str:
    """A finished run of the demo's model, its server gone."""
    server = fault_server(test_dir=demo_test_dir)
    done = call_bootcamp("eval", "--url", server.url, *words, "--output-dir", "before")
    assert done.returncode == 0, done.stderr
    server.stop()
    run_dir: str = json.loads(done.stdout)["run_dir"]
    return run_dir


@pytest.mark.parametrize(
    ("skill", "gate", "code"),
    [(None, "overall > -10%", 0), (0.0, "overall > -10%", 5), (None, "overall > -0.1%", 6)],
    ids=["pass", "fail", "undecided"],
)
def test_eval_ends_with_the_outcome_of_its_gates(
    skill: float | None,
    gate: str,
    code: int,
    baseline: str,
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    call_bootcamp: RunBootcamp,
    words: tuple[str, ...],
) -> None:
    """A run that is as good passes, a worse one is exit code 5, too narrow a margin 6; JSON has what became of it."""
    server = fault_server(test_dir=demo_test_dir, skill=skill)
    done = call_bootcamp("eval", "--url", server.url, *words, "--gate", gate, "--gate-against", baseline)
    assert done.returncode == code, done.stderr
    [found] = json.loads(done.stdout)["gates"]
    assert found["outcome"] == {0: "pass", 5: "fail", 6: "undecided"}[code]
    assert found["gate"] == gate
    run_dir = json.loads(done.stdout)["run_dir"]
    again = call_bootcamp("resume", run_dir, "--gate", gate, "--gate-against", baseline)
    assert again.returncode == code
    assert f"\ngate {gate}: {found['outcome']}: " in again.stdout


def test_gates_come_before_missing_samples_and_after_errors(
    baseline: str,
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    call_bootcamp: RunBootcamp,
    words: tuple[str, ...],
) -> None:
    """Exit code 3 yields to 5 and 6 and stays where gates pass; a server that is gone stays 4."""
    server = fault_server(test_dir=demo_test_dir, faults=["422:first=3"])
    against = ("--gate-against", baseline)
    done = call_bootcamp("eval", "--url", server.url, *words, "--gate", "overall > -20%", *against)
    assert done.returncode == 3, done.stderr
    [run_dir] = (path for path in Path(baseline).parents[1].joinpath("output").iterdir() if path.is_dir())
    server.stop()
    args = ("--max-retries", "0", "--wait", "0", "--gate", "overall > 10%", *against)
    assert call_bootcamp("resume", run_dir, *args).returncode == 4
    assert call_bootcamp("compare", baseline, run_dir, "--gate", "overall > 10%").returncode == 5
    assert call_bootcamp("compare", baseline, run_dir, "--gate", "overall > -0.01%").returncode == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gate", "overall > -1%"), "--gate: needs a run to compare with; name it with --gate-against RUN_DIR"),
        (("--gate-against", "before"), "--gate-against: there is no gate; add one"),
        (("--gate", "overall", "--gate-against", "before"), "cannot read the gate 'overall'"),
        (
            ("--gate", "grid > -1%", "--gate-against", "before"),
            "no family is named 'grid'; use overall or one of grids",
        ),
        (("--gate", "grids > -1%", "--gate-against", "empty"), "empty has no score to compare with"),
    ],
)
def test_gates_that_cannot_be_judged_end_the_command_before_anything_is_sent(
    options: tuple[str, ...], said: str, tmp_path: Path, call_bootcamp: RunBootcamp
) -> None:
    """Whatever is wrong with gates shows in one line with exit code 2, before the server is asked."""
    write_run(tmp_path / "before", {"Maze": ones(3, 1)})
    write_run(tmp_path / "empty", {"Maze": [[None]]})
    done = call_bootcamp("eval", "--url", "http://127.0.0.1:9/v1", "--test-dir", "nowhere", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"bootcamp: error: {said}")


def test_a_run_of_other_questions_is_kept_although_its_gate_cannot_be_judged(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    call_bootcamp: RunBootcamp,
    tmp_path: Path,
) -> None:
    """Where the questions turn out to differ, the results are shown and the error is exit code 2."""
    other = write_run(tmp_path / "before", {"Maze": ones(3, 1)})
    server = fault_server(test_dir=demo_test_dir)
    args = ("--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, "--include", "maze.jsonl")
    gates = ("--gate", "overall > -1%", "--gate-against", other)
    done = call_bootcamp("eval", *args, *gates, "--quiet")
    assert done.returncode == 2
    assert "Mazebootcamp" in done.stdout
    assert "have no question in common" in done.stderr
    done = call_bootcamp("eval", *args, *gates, "--json")
    assert json.loads(done.stdout)["error"]["exit_code"] == 2
    assert "run directory: " in done.stderr


@pytest.mark.parametrize(
    ("floor", "outcome", "code"), [("0.6", "pass", 0), ("0.95", "fail", 5), ("0.8", "undecided", 6)]
)
def test_report_judges_a_floor_by_the_interval(
    floor: str, outcome: str, code: int, tmp_path: Path, call_bootcamp: RunBootcamp
) -> None:
    """`report --min-score` is 0, 5 or 6 by the interval of the run's average, in text and in JSON."""
    path = write_run(tmp_path / "a", {"Maze": ones(100, 80), "Sudoku": ones(100, 80)})
    done = call_bootcamp("report", path, "--min-score", floor)
    assert done.returncode == code
    assert f"min-score {floor}: {outcome}: average score 0.8000, 95 % interval 0.7" in done.stdout
    found = json.loads(call_bootcamp("report", path, "--min-score", floor, "--json").stdout)["min_score"]
    assert (found["outcome"], found["mean"], found["n_missing"]) == (outcome, 0.8, 0)
    assert found["interval"]["low"] < 0.8 < found["interval"]["high"]


def test_missing_samples_leave_a_floor_undecided_where_they_matter(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Samples without a score count once as wrong, once as right; what has no bootcamp is left out and named."""
    scores: Scores = {"Maze": ones(70, 70), "Unknown": [[None]] * 3}
    path = write_run(tmp_path / "a", scores, planned={"Maze": 100}, failure="unscored")
    done = call_bootcamp("report", path, "--min-score", "0.9")
    assert done.returncode == 6
    assert "with the 30 samples without a score wrong or right; left out, no bootcamp: Unknown" in done.stdout
    assert call_bootcamp("report", path, "--min-score", "0.5").returncode == 3
    assert open_run(path).min_score(1.01).outcome == "fail"


def test_a_directory_of_run_eval_has_a_floor_too(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """The average of a directory of run_eval.py is judged in the same way."""
    path = write_run_of_run_eval(tmp_path / "a", {"Maze": ones(100, 80)})
    assert call_bootcamp("report", path, "--min-score", "0.6").returncode == 0
    assert call_bootcamp("report", path, "--min-score", "0.95").returncode == 5


def test_a_floor_that_is_no_number_is_refused(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Words and NaN are exit code 2, one line."""
    path = write_run(tmp_path / "a", {"Maze": ones(3, 1)})
    for floor in ("high", "nan"):
        done = call_bootcamp("report", path, "--min-score", floor)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
