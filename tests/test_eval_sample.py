"""Runs of questions that were drawn: what they ask, what continues them, and what their reports say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import open_run
from bootcamp_cli.analysis.summary import Drawn, GroupSummary, RunSummary
from bootcamp_cli.dataset.draw import Draw
from bootcamp_cli.demo.instances import make_test_dir
from bootcamp_cli.reports.table import build_page
from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer

N_ROWS = 20
DRAWN = ("--sample", "5", "--sample-seed", "1")
ROWS = list(Draw(n=5, seed=1).positions("sudoku.jsonl", N_ROWS))


@pytest.fixture(scope="module")
def all_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some rows of every generator, more than any test here starts with."""
    directory = tmp_path_factory.mktemp("all")
    make_test_dir(directory, rows=N_ROWS + 10)
    return directory


@pytest.fixture
def test_dir(all_tests: Path, tmp_path: Path) -> Path:
    """Sudokus and ladders, `N_ROWS` of each."""
    directory = tmp_path / "tests"
    directory.mkdir()
    for name in ("sudoku.jsonl", "korpuzzlewordladder.jsonl"):
        (directory / name).write_bytes(b"".join((all_tests / name).read_bytes().splitlines(keepends=True)[:N_ROWS]))
    return directory


@pytest.fixture
def server(fault_server: StartFaultServer, all_tests: Path) -> FaultServerProcess:
    """A server that answers every prompt."""
    return fault_server(test_dir=all_tests)


@pytest.fixture
def evaluate(
    call_bootcamp: RunBootcamp, server: FaultServerProcess, test_dir: Path, tmp_path: Path
) -> Callable[..., Any]:
    """Run `eval` on the tests."""
    words = ("--url", server.url, "--model-name", "demo", "--test-dir", test_dir)
    return lambda *options: call_bootcamp("eval", *words, "--output-dir", tmp_path / "output", *options)


def runs(tmp_path: Path) -> list[Path]:
    """The run directories, oldest first."""
    return sorted((tmp_path / "output").iterdir(), key=lambda path: path.stat().st_ctime_ns)


def rows_in(run_dir: Path, file: str = "sudoku.jsonl") -> list[int]:
    """The rows of the records of a test file."""
    return [json.loads(line)["row"] for line in (run_dir / "details" / file).read_text("utf-8").splitlines()]


def grow(test_dir: Path, all_tests: Path) -> None:
    """Append rows to every test file."""
    for path in test_dir.iterdir():
        path.write_bytes((all_tests / path.name).read_bytes())


def lose(run_dir: Path, n_kept: int = 2) -> None:
    """Leave only the first records of the sudokus, as if the run had been killed."""
    details = run_dir / "details" / "sudoku.jsonl"
    details.write_bytes(b"".join(details.read_bytes().splitlines(keepends=True)[:n_kept]))
    manifest = run_dir / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"complete": False}))


def test_the_drawn_questions_are_asked(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Records have the rows of the file, and the report says in words and as JSON how many were drawn, and how."""
    done = evaluate(*DRAWN)
    assert done.returncode == 0, done.stderr
    assert "5 of 20 questions per file drawn with seed 1" in done.stdout
    [run_dir] = runs(tmp_path)
    assert rows_in(run_dir) == ROWS
    run = open_run(run_dir)
    assert (run.summary.complete, run.summary.n_samples) == (True, 10)
    assert sorted(set(run.samples()["row"][run.samples()["file"] == "sudoku.jsonl"])) == ROWS
    report = json.loads(call_bootcamp("report", run_dir, "--json").stdout)
    counts = {"korpuzzlewordladder.jsonl": N_ROWS, "sudoku.jsonl": N_ROWS}
    assert report["drawn"] == {"n": 5, "seed": 1, "n_rows": counts}
    assert call_bootcamp("rescore", run_dir).returncode == 0
    assert rows_in(run_dir) == ROWS


def test_a_run_that_takes_all_says_nothing(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    """Without a draw the report has no word of it, and a seed alone is warned about."""
    done = evaluate("--sample-seed", "3", "--json")
    assert json.loads(done.stdout)["drawn"] is None
    assert "--sample-seed: no effect without sample" in done.stderr
    assert open_run(runs(tmp_path)[0]).summary.drawn is None


@pytest.mark.parametrize("command", ["resume", "eval"])
def test_a_run_goes_on_with_the_rows_of_its_start(
    command: str,
    evaluate: Callable[..., Any],
    call_bootcamp: RunBootcamp,
    test_dir: Path,
    all_tests: Path,
    server: FaultServerProcess,
    tmp_path: Path,
) -> None:
    """After rows were appended `resume` and `eval --resume` ask for the drawn rows that are owed, and no others."""
    evaluate(*DRAWN, "--repeats", "2")
    [run_dir] = runs(tmp_path)
    before = [json.loads((run_dir / "manifest.json").read_text())[key] for key in ("files", "identity")]
    lose(run_dir)
    grow(test_dir, all_tests)
    if command == "resume":  # which looks at nothing but the drawn rows
        with (test_dir / "sudoku.jsonl").open("ab") as file:
            file.write(b"a row that cannot be read\n")
    n_before = server.stats()["received"]
    done = call_bootcamp("resume", run_dir) if command == "resume" else evaluate(*DRAWN, "--resume")
    assert done.returncode == 0, done.stderr
    assert runs(tmp_path) == [run_dir]
    assert server.stats()["received"] - n_before == 8
    assert rows_in(run_dir) == [row for row in ROWS for _ in range(2)]
    assert [json.loads((run_dir / "manifest.json").read_text())[key] for key in ("files", "identity")] == before
    assert call_bootcamp("resume", run_dir, "--repeats", "3").returncode == 0
    assert rows_in(run_dir) == [row for row in ROWS for _ in range(3)]


def test_a_changed_file_is_refused(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, test_dir: Path, tmp_path: Path
) -> None:
    """A test file whose first rows are others, or fewer, is not that of the run, for `resume` and `eval --resume`."""
    evaluate(*DRAWN)
    [run_dir] = runs(tmp_path)
    sudoku = test_dir / "sudoku.jsonl"
    lines = sudoku.read_bytes().splitlines(keepends=True)
    for content in (b"".join(lines[1:]), b"".join(reversed(lines))):
        sudoku.write_bytes(content)
        refused = call_bootcamp("resume", run_dir)
        assert (refused.returncode, "sudoku.jsonl changed since the run started" in refused.stderr) == (2, True)
    assert "differs in test files (1 changed)" in evaluate(*DRAWN, "--resume").stderr


@pytest.mark.parametrize("options", [(), ("--sample", "6", "--sample-seed", "1"), ("--sample", "5")])
def test_another_draw_is_another_run(
    options: tuple[str, ...], evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Without the draw, with another number and with another seed `eval --resume` begins a new run."""
    evaluate(*DRAWN)
    assert "starting a new run" in evaluate(*options, "--resume").stderr
    first, _ = runs(tmp_path)
    refused = call_bootcamp("resume", first, "--sample", "6")
    assert (refused.returncode, "--sample: the run has 5, not 6" in refused.stderr) == (2, True)


def test_a_manifest_without_the_keys_drew_nothing(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """A run of a version that knew no draw is continued as one of all rows, and by no draw."""
    evaluate()
    [run_dir] = runs(tmp_path)
    lose(run_dir)
    path = run_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    for key in ("sample", "sample_seed"):
        del manifest["identity"][key]
    for file in manifest["files"]:
        del file["n_drawn_from"]
    path.write_text(json.dumps(manifest))
    args = json.loads((run_dir / "eval_args.json").read_text())
    del args["sample"], args["sample_seed"]
    (run_dir / "eval_args.json").write_text(json.dumps(args))
    assert call_bootcamp("resume", run_dir).returncode == 0
    assert rows_in(run_dir) == list(range(N_ROWS))
    assert "differs in sample (none, here 5)" in evaluate("--sample", "5", "--resume").stderr


def test_records_of_other_rows_are_refused(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """`resume` refuses a record of a row that was not drawn."""
    evaluate(*DRAWN)
    [run_dir] = runs(tmp_path)
    details = run_dir / "details" / "sudoku.jsonl"
    record = json.loads(details.read_text().splitlines()[0])
    other = next(row for row in range(N_ROWS) if row not in ROWS)
    details.write_text(details.read_text() + json.dumps(record | {"row": other, "id": other}) + "\n")
    refused = call_bootcamp("resume", run_dir)
    assert refused.returncode != 0
    assert f"row {other} does not belong to this run, which leaves it out" in refused.stderr


def test_drawn_questions_are_asked_again(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, test_dir: Path, all_tests: Path, tmp_path: Path
) -> None:
    """`--redo` takes samples of drawn rows, also in a directory beside the run, and none of others."""
    evaluate(*DRAWN)
    [run_dir] = runs(tmp_path)
    grow(test_dir, all_tests)
    assert call_bootcamp("resume", run_dir, "--redo", f"sudoku:{ROWS[2]}").returncode == 0
    assert rows_in(run_dir) == ROWS
    other = next(row for row in range(N_ROWS) if row not in ROWS)
    assert call_bootcamp("resume", run_dir, "--redo", f"sudoku:{other}").returncode == 2
    done = call_bootcamp("resume", run_dir, "--redo", f"sudoku:{ROWS[0]}", "--max-tokens", "40000")
    assert done.returncode == 0, done.stderr
    [beside] = [path for path in runs(tmp_path) if path != run_dir]
    assert rows_in(beside) == [ROWS[0]]


def test_a_draw_among_what_else_is_selected(
    evaluate: Callable[..., Any], call_bootcamp: RunBootcamp, test_dir: Path, tmp_path: Path
) -> None:
    """With bad rows left out, a pattern, a limit and repeats the draw is among the first rows that these let in."""
    sudokus, ladders = (
        (test_dir / name).read_bytes().splitlines(keepends=True)
        for name in ("sudoku.jsonl", "korpuzzlewordladder.jsonl")
    )
    mixed = [line for pair in zip(sudokus, ladders, strict=True) for line in (b"{\n", *pair)]
    for path in test_dir.iterdir():
        path.unlink()
    (test_dir / "mixed.jsonl").write_bytes(b"".join(mixed))
    options = ("--skip-invalid", "--include", "Sudoku", "--limit", "12", "--repeats", "2", "--sample", "4")
    done = evaluate(*options)
    assert done.returncode == 0, done.stderr
    assert "4 of 12 questions per file drawn with seed 0" in done.stdout
    rows = [3 * position + 1 for position in Draw(n=4, seed=0).positions("mixed.jsonl", 12)]
    [run_dir] = runs(tmp_path)
    details = run_dir / "details" / "mixed.jsonl"
    whole = details.read_bytes()
    assert rows_in(run_dir, "mixed.jsonl") == [row for row in rows for _ in range(2)]
    details.write_bytes(b"".join(whole.splitlines(keepends=True)[2:5]))
    with (test_dir / "mixed.jsonl").open("ab") as file:
        file.writelines(mixed)
    assert call_bootcamp("resume", run_dir).returncode == 0
    assert rows_in(run_dir, "mixed.jsonl") == [row for row in rows for _ in range(2)]
    assert call_bootcamp("rescore", run_dir).returncode == 0
    assert open_run(run_dir).summary.complete


def group(file: str) -> GroupSummary:
    """A row of a report."""
    return GroupSummary(bootcamp="Sudokubootcamp", file=file, n=1, n_answered=1, n_scored=1)


@pytest.mark.parametrize(
    ("n_rows", "said"),
    [
        ({"a": 68, "b": 68}, "20 of 68 questions per file drawn with seed 1"),
        ({"a": 68, "b": 1068}, "20 of 68 to 1,068 questions per file drawn with seed 1"),
        ({"a": 8, "b": 68}, "up to 20 of 8 to 68 questions per file drawn with seed 1"),
        ({"a": 8, "b": 20}, "all questions of each file, as no more than 20 were to be drawn"),
        ({"a": 8, "b": 20, "not shown": 68}, "all questions of each file, as no more than 20 were to be drawn"),
    ],
)
def test_the_report_says_what_was_drawn(n_rows: dict[str, int], said: str) -> None:
    """The line names number, seed, and how many questions the files shown have."""
    drawn = Drawn(n=20, seed=1, n_rows=n_rows)
    run = RunSummary(model_name="m", test_dir="t", groups=(group("a"), group("b")), drawn=drawn)
    assert said in build_page(run, n_all=2).notes
