"""`bootcamp compare` and `bootcamp_cli.compare` over run directories."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from openpyxl import load_workbook

from bootcamp_cli import compare, open_run
from bootcamp_cli.analysis.compare import QuestionScores
from bootcamp_cli.analysis.questions import read_questions, read_scores
from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.comparison import COMPARISON_FORMS, ENTRY_KEYS, render_comparison
from bootcamp_cli.store.run_dir import RunDir, open_run_dir
from bootcamp_cli.types import ServerInfo, ToolInfo
from tests.conftest import RunBootcamp, StartFaultServer
from tests.run_directories import Scores, write_run, write_run_of_run_eval

REQUIRED = {"name", "n_pairs", "difference", "interval", "p", "p_adjusted", "significant", "smallest_detectable"}
GRIDS = ("Maze", "Sudoku", "Binairo")


def ones(n: int, n_right: int, repeats: int = 1) -> list[list[float | None]]:
    """The first `n_right` of n questions right, the others wrong."""
    return [[float(row < n_right)] * repeats for row in range(n)]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of three bootcamps of one family and one of another; the second lost Maze and Sudoku."""
    before = write_run(tmp_path / "before", {**{name: ones(40, 30) for name in GRIDS}, "Game24": ones(40, 20)})
    after = write_run(
        tmp_path / "after",
        {"Maze": ones(40, 10), "Sudoku": ones(40, 12), "Binairo": ones(40, 31), "Game24": ones(40, 20)},
    )
    return before, after


def as_json(call: RunBootcamp, *args: Any, code: int = 0) -> Any:
    """What `compare --json` prints."""
    done = call("compare", *args, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scores", [[[1e300], [-1e300]], [[1.7e308, 1.7e308], [0.0, -1.7e308]]])
def test_scores_whose_squares_no_float_holds_are_refused(
    scores: list[list[float | None]], tmp_path: Path, call_bootcamp: RunBootcamp
) -> None:
    """They would give intervals that are no numbers; the error names the first of them. Others of any size compare."""
    runs = write_run(tmp_path / "a", {"Odd": scores}), write_run(tmp_path / "b", {"Odd": scores[::-1]})
    done = call_bootcamp("compare", *runs, "--json")
    assert done.returncode == 2
    assert "a: Odd.jsonl, row 0: scores beyond 1e+100 cannot be compared; see what Odd gives" in done.stderr
    large = [
        write_run(tmp_path / name, {"Odd": [[sign * 9e99], [3.0], [1e90]]}) for name, sign in (("c", 1), ("d", -1))
    ]
    found = as_json(call_bootcamp, *large)["run"]
    assert found["difference"] == pytest.approx(-6e99)
    assert all(map(np.isfinite, found["interval"]))


def test_json_has_the_keys_of_each_level(runs: tuple[Path, Path], call_bootcamp: RunBootcamp) -> None:
    """`--json` gives run, families and bootcamps, each entry with the promised keys, and the figures of the scores."""
    found = as_json(call_bootcamp, *runs)
    entries = [found["run"], *found["families"], *found["bootcamps"]]
    assert all(entry.keys() >= REQUIRED for entry in entries)
    assert [entry["name"] for entry in found["families"]] == ["arithmetic", "grids"]
    assert [entry["name"] for entry in found["bootcamps"]] == ["Binairo", "Game24", "Maze", "Sudoku"]
    assert found["run"]["n_pairs"] == 160
    assert found["run"]["difference"] == pytest.approx((-20 - 18 + 1) / 160)
    by_name = {entry["name"]: entry for entry in entries}
    assert by_name["Maze"]["difference"] == -0.5
    low, high = by_name["Maze"]["interval"]
    assert low < -0.5 < high < 0
    assert {name for name, entry in by_name.items() if entry["significant"]} == {"overall", "grids", "Maze", "Sudoku"}
    assert (found["baseline"], found["name"]) == ("before", "after")


def test_the_flipped_questions_are_named(runs: tuple[Path, Path], call_bootcamp: RunBootcamp) -> None:
    """Each question that changed sides is listed with its file and row in either run."""
    found = as_json(call_bootcamp, *runs)
    assert {(flip["file"], flip["row"]) for flip in found["worse"]} == {
        *(("Maze.jsonl", row) for row in range(10, 30)),
        *(("Sudoku.jsonl", row) for row in range(12, 30)),
    }
    [better] = found["better"]
    assert better == {
        "data_source": "Binairo",
        "file": "Binairo.jsonl",
        "row": 30,
        "baseline_file": "Binairo.jsonl",
        "baseline_row": 30,
        "baseline_score": 0.0,
        "score": 1.0,
    }


def test_every_form_shows_every_level(runs: tuple[Path, Path], call_bootcamp: RunBootcamp) -> None:
    """Text, Markdown, CSV and TSV have a line for the run, each family and each bootcamp; JSON is that of --json."""
    for form in COMPARISON_FORMS:
        done = call_bootcamp("compare", *runs, "--format", form)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(name in done.stdout for name in ("overall", "grids", "arithmetic", "Maze", "Game24"))
    lines = list(csv.DictReader(io.StringIO(call_bootcamp("compare", *runs, "--format", "csv").stdout)))
    assert [line["level"] for line in lines] == ["run", "family", "family", *["bootcamp"] * 4]
    assert lines[0].keys() >= set(ENTRY_KEYS)
    assert json.loads(call_bootcamp("compare", *runs, "--format", "json").stdout) == as_json(call_bootcamp, *runs)


@pytest.mark.parametrize("width", [80, 120])
def test_the_text_fits_the_terminal(width: int, tmp_path: Path) -> None:
    """In a terminal columns are left out, names cut and lines wrapped; no figure of a difference is lost."""
    name = "KorLogicLogicalMethodsForExploringCauseAndEffectRelationships"
    before = write_run(tmp_path / "before", {name: ones(40, 30), "Maze": ones(40, 30)})
    after = write_run(tmp_path / "after", {name: ones(40, 10), "Maze": ones(40, 30)})
    compared = compare(before, after, gates=["overall > -1%"])
    lines = render_comparison(compared, "table", width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith(name[:20]) and " -50.0 " in line for line in lines)


def test_the_power_stands_beside_every_entry(runs: tuple[Path, Path], call_bootcamp: RunBootcamp) -> None:
    """Where no difference is found, the one that would have been is in the headline and in the row."""
    before, _ = runs
    same = write_run(before.parent / "same", {name: ones(40, 29) for name in GRIDS} | {"Game24": ones(40, 20)})
    shown = call_bootcamp("compare", before, same).stdout
    assert "no difference found: -1.9 points (95 % interval " in shown
    assert " points would have been found with 80 %" in shown
    assert shown.count("finds from") >= 3
    assert as_json(call_bootcamp, before, same)["run"]["smallest_detectable"] > 0


def test_p_and_interval_that_disagree_are_said_to(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Six of 30 answers lost and none won: p is below 0.05, the smoothed interval of the run holds 0, and both show."""
    before = write_run(tmp_path / "a", {name: ones(10, 8) for name in ("Maze", "Sudoku", "Game24")})
    after = write_run(tmp_path / "b", {name: ones(10, 6) for name in ("Maze", "Sudoku", "Game24")})
    assert as_json(call_bootcamp, before, after)["run"]["disagrees"]
    assert "p (unadjusted) and interval disagree about 0: overall" in call_bootcamp("compare", before, after).stdout


def test_the_workbook_has_texts_and_no_formulas(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """`--xlsx` writes differences, flips and what differs; a name that looks like a formula stays text."""
    evil = '=HYPERLINK("x")'
    before = write_run(tmp_path / "a", {evil: ones(12, 10)}, identity={"sys_prompt": "=1+1"})
    after = write_run(tmp_path / "b", {evil: ones(12, 2)})
    done = call_bootcamp("compare", before, after, "--xlsx", tmp_path / "out.xlsx")
    assert (done.returncode, done.stderr) == (0, f"workbook: {tmp_path / 'out.xlsx'}\n")
    book = load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["Differences", "Flips", "Differs", "Gates"]
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s", "n"}
    assert sum(cell.value == evil for cell in cells) == 1 + 8
    assert book["Flips"].max_row == 1 + 8
    csv_text = call_bootcamp("compare", before, after, "--format", "csv").stdout
    assert f"'{evil}" in next(csv.reader([csv_text.splitlines()[-1]]))


def test_untrusted_names_are_shown_harmlessly(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Terminal escapes in a data source reach neither text nor Markdown."""
    before = write_run(tmp_path / "a", {"x\x1b[2J<b>": ones(12, 10)})
    after = write_run(tmp_path / "b", {"x\x1b[2J<b>": ones(12, 2)})
    for form in ("table", "markdown", "csv", "json"):
        assert "\x1b" not in call_bootcamp("compare", before, after, "--format", form).stdout
    assert "\\<b\\>" in call_bootcamp("compare", before, after, "--format", "markdown").stdout


def test_what_does_not_pair_is_counted(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Questions that only one run has are left out and told, for either run."""
    before = write_run(tmp_path / "a", {"Maze": ones(12, 6), "Sudoku": ones(3, 1)})
    after = write_run(tmp_path / "b", {"Maze": ones(10, 6)})
    found = as_json(call_bootcamp, before, after)
    assert (found["n_pairs"], found["n_unpaired"], found["n_unpaired_baseline"]) == (10, 0, 5)
    assert "10 questions in both; 5 only in a\n" in call_bootcamp("compare", before, after).stdout


def test_runs_without_a_common_question_are_refused(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Where nothing pairs, that is one line and exit code 2."""
    before = write_run(tmp_path / "a", {"Maze": ones(3, 1)})
    after = write_run(tmp_path / "b", {"Sudoku": ones(3, 1)})
    done = call_bootcamp("compare", before, after)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bootcamp: error: b and a have no question in common; compare runs of the same test dir\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "there is but one run"),
        (("a",), "there is but one run"),
        (("a", "a"), "a is named twice"),
        (("a", "nowhere"), "nowhere: no such run directory"),
        (("a", "b", "--format", "pdf"), "--format: must be one of table, markdown"),
        (("a", "b", "--gate", "overall < 3"), "cannot read the gate 'overall < 3'"),
        (("a", "b", "--gate", "nothing > -1%"), "no family is named 'nothing'"),
        (("--aa", "a", "b"), "the halves of the repeats of one run are compared"),
        (("--aa", "a"), "a has no question with two scores"),
        (("a", "b", "--xlsx", "nowhere/x.xlsx"), "nowhere/x.xlsx: cannot be written"),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Whatever is wrong with the runs or options is exit code 2, or 1 for a directory, and one line."""
    write_run(tmp_path / "a", {"Maze": ones(3, 1)})
    write_run(tmp_path / "b", {"Maze": ones(3, 1)})
    done = call_bootcamp("compare", *words)
    assert done.returncode == (1 if "nowhere" in words else 2)
    assert done.stderr.startswith(f"bootcamp: error: {said}")
    assert done.stderr.count("\n") == 1


def test_what_else_differs_is_listed(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Settings, verifiers, served model, server, repeats and tool version that differ are told, and nothing else."""
    before = write_run(tmp_path / "a", {"Maze": ones(12, 6)})
    after = write_run(
        tmp_path / "b",
        {"Maze": ones(12, 6, repeats=2)},
        identity={"temperature": 0.0, "verifiers": {"Maze": {"origin": "builtin", "digest": "e" * 64}}},
        model={"id": "other"},
        servers=(ServerInfo(version="0.11.0"),),
        tool=ToolInfo(name="bootcamp", version="0.2.0"),
    )
    differs = {
        entry["what"]: (entry["before"], entry["after"]) for entry in as_json(call_bootcamp, before, after)["differs"]
    }
    assert differs == {
        "temperature": ("0.6", "0.0"),
        "verifier of Maze": ("builtin dddddddddddd", "builtin eeeeeeeeeeee"),
        "served model": ('{"id": "demo", "root": null}', '{"id": "other", "root": null}'),
        "server version": ("none", '"0.11.0"'),
        "repeats": ("1", "2"),
        "tool version": ('"0.1.0"', '"0.2.0"'),
    }
    assert "\ndiffers: temperature: 0.6 -> 0.0\n" in call_bootcamp("compare", before, after).stdout
    same = write_run(tmp_path / "c", {"Maze": ones(12, 6)})
    assert as_json(call_bootcamp, before, same)["differs"] == []


def test_a_directory_of_run_eval_is_compared(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Its questions pair with those of a run of this tool however the ground truth is written; its arguments count."""
    reference = write_run_of_run_eval(tmp_path / "a", {"Maze": ones(40, 30), "Sudoku": ones(40, 9)}, temperature=1.0)
    own = write_run(tmp_path / "b", {"Maze": ones(40, 10), "Sudoku": ones(40, 9)})
    found = as_json(call_bootcamp, reference, own)
    assert (found["n_pairs"], found["n_unpaired"], found["n_unpaired_baseline"]) == (80, 0, 0)
    assert found["run"]["difference"] == -0.25
    assert [entry["what"] for entry in found["differs"]] == ["temperature"]
    assert len(found["worse"]) == 20
    other = write_run_of_run_eval(tmp_path / "c", {"Maze": ones(40, 30), "Sudoku": ones(40, 9)})
    assert as_json(call_bootcamp, reference, other)["run"]["p"] == 1


def test_halves_of_repeats_are_compared(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """`--aa RUN` compares the even with the odd repeats: a drift within the run is found, a steady one is not."""
    drifting = write_run(tmp_path / "a", {"Maze": [[1.0, 0.0, 1.0, 0.0]] * 20 + [[0.0] * 4] * 4})
    found = as_json(call_bootcamp, "--aa", drifting)
    assert (found["aa"], found["run"]["significant"], found["run"]["n_pairs"]) == (True, True, 24)
    assert (found["baseline"], found["name"]) == ("a (even repeats)", "a (odd repeats)")
    steady = write_run(tmp_path / "b", {"Maze": [[1.0, 0.0, 0.0, 1.0]] * 24})
    assert as_json(call_bootcamp, "--aa", steady)["run"]["difference"] == 0


def test_several_runs_are_compared_with_the_baseline_and_in_order(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Three runs: two comparisons with the first one or with --baseline, and the curve in the order of the words."""
    run_dirs = [write_run(tmp_path / f"step{i}", {"Maze": ones(40, 10 * i + 5)}) for i in range(3)]
    found = as_json(call_bootcamp, *run_dirs)
    assert [(run["name"], run["run"]["difference"]) for run in found["comparisons"]] == [
        ("step1", 0.25),
        ("step2", 0.5),
    ]
    curve = [(point["name"], point["mean"], point["step"] and point["step"]["difference"]) for point in found["curve"]]
    assert curve == [("step0", 0.125, None), ("step1", 0.375, 0.25), ("step2", 0.625, 0.25)]
    found = as_json(call_bootcamp, *run_dirs, "--baseline", run_dirs[2])
    assert found["baseline"] == "step2"
    assert [(run["name"], run["run"]["difference"]) for run in found["comparisons"]] == [
        ("step0", -0.5),
        ("step1", -0.25),
    ]
    assert [point["name"] for point in found["curve"]] == ["step0", "step1", "step2"]
    assert "curve, in order" in call_bootcamp("compare", *run_dirs).stdout
    assert as_json(call_bootcamp, run_dirs[1], "--baseline", run_dirs[0])["run"]["difference"] == 0.25


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Where two directories have the same name, their paths stand for them."""
    paths = [write_run(tmp_path / folder / "run", {"Maze": ones(12, 6)}) for folder in "ab"]
    assert compare(*paths).comparison.baseline == str(paths[0])


@pytest.mark.parametrize(
    ("n_lost", "outcome", "code"), [(0, "pass", 0), (80, "fail", 5), (24, "undecided", 6)], ids=["pass", "fail", "?"]
)
def test_gates_decide_the_exit_code(
    n_lost: int, outcome: str, code: int, tmp_path: Path, call_bootcamp: RunBootcamp
) -> None:
    """A gate passes, fails or is undecided by the one-sided bounds: exit codes 0, 5 and 6, said in words."""
    names = ("Maze", "Sudoku", "Binairo", "Game24")
    before = write_run(tmp_path / "a", {name: ones(100, 80) for name in names})
    after = write_run(tmp_path / "b", {name: ones(100, 80 - n_lost // 4) for name in names})
    done = call_bootcamp("compare", before, after, "--gate", "overall > -5%")
    assert done.returncode == code
    assert f"gate overall > -5%: {outcome}: " in done.stdout
    assert "if nothing had changed, a gate of this margin would pass in " in done.stdout
    assert ("would decide it" in done.stdout) == (outcome == "undecided") or "would not decide" in done.stdout
    [gate] = as_json(call_bootcamp, before, after, "--gate", "overall > -5%", code=code)["gates"]
    assert (gate["gate"], gate["outcome"]) == ("overall > -5%", outcome)
    both = ("--gate", "overall > -5%", "--gate", "grids > -90%", "--gate", "arithmetic > 50%")
    assert call_bootcamp("compare", before, after, *both).returncode == 5


def test_an_undecided_gate_names_the_repeats_that_would_decide_it(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """With repeats that differ, the text says how many more of them each question needs."""
    source = np.random.default_rng(1)
    before, after = (
        write_run(tmp_path / name, {"Maze": (source.random((60, 2)) < 0.5).astype(float).tolist()}) for name in "ab"
    )
    margin = as_json(call_bootcamp, before, after)["run"]["difference"] - 0.1
    found = as_json(call_bootcamp, before, after, "--gate", f"overall > {margin:.4f}", code=6)
    [gate] = found["gates"]
    assert gate["repeats_needed"] > 2
    assert f"({gate['repeats_needed']:,} in all) would decide it if the difference stayed" in gate["text"]


def test_a_gate_needs_the_same_questions(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Runs of other questions cannot be judged by a gate: exit code 2."""
    before = write_run(tmp_path / "a", {"Maze": ones(12, 6)})
    after = write_run(tmp_path / "b", {"Maze": ones(10, 6)})
    done = call_bootcamp("compare", before, after, "--gate", "overall > -50%")
    assert done.returncode == 2
    assert "do not ask the same questions: 2 are in one of them only" in done.stderr


def test_questions_without_a_record_count_in_gates_as_worst_and_best(
    tmp_path: Path, call_bootcamp: RunBootcamp
) -> None:
    """What a run owes and has no record of pairs by the same test file, without a prompt: the gate is undecided."""
    before = write_run(tmp_path / "a", {"Maze": ones(100, 80)})
    after = write_run(tmp_path / "b", {"Maze": ones(70, 70)}, planned={"Maze": 100})
    found = as_json(call_bootcamp, before, after, "--gate", "overall > -10%", code=6)
    assert (found["n_pairs"], found["n_unpaired"], found["n_unpaired_baseline"]) == (100, 0, 0)
    assert (found["n_without_score"], found["run"]["n_pairs"]) == (30, 70)
    assert found["gates"][0]["n_missing"] == 30
    assert "30 samples without a score can tip it" in found["gates"][0]["text"]
    both = write_run(tmp_path / "c", {"Maze": ones(70, 70)}, planned={"Maze": 100})
    assert as_json(call_bootcamp, both, after, "--gate", "overall > -99%")["gates"][0]["n_missing"] == 60


def test_a_data_source_without_a_bootcamp_is_left_out_and_named(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Answers that no bootcamp scores in either run count in nothing, and are named."""
    scores: Scores = {"Maze": ones(20, 10), "Unknown": [[None]] * 5}
    before = write_run(tmp_path / "a", scores, failure="unscored")
    after = write_run(tmp_path / "b", scores, failure="unscored")
    found = as_json(call_bootcamp, before, after, "--gate", "overall > -99%")
    assert (found["left_out"], found["n_without_score"], found["gates"][0]["n_missing"]) == (["Unknown"], 0, 0)
    assert "left out, no bootcamp in both runs: Unknown" in call_bootcamp("compare", before, after).stdout


def columns(scores: QuestionScores) -> dict[str, Any]:
    """The columns of questions as lists, for comparison."""
    return {
        name: value.tolist()
        for name in ("row", "file", "source", "total", "n_scored", "n_missing", "key", "truth")
        if isinstance(value := getattr(scores, name), np.ndarray)
    }


def test_the_order_of_records_changes_nothing(tmp_path: Path) -> None:
    """A run whose records stand in any order is read as one in the order of row and repeat."""
    scores = {"Maze": [[float(row % 2), float(row % 3 == 0), None] for row in range(30)]}
    path = write_run(tmp_path / "a", scores)
    [ordered] = read_scores({"a": open_run_dir(path)})
    details = path / "details" / "Maze.jsonl"
    lines = details.read_bytes().splitlines(keepends=True)
    details.write_bytes(b"".join(lines[i] for i in np.random.default_rng(0).permutation(len(lines))))
    [shuffled] = read_scores({"a": RunDir(path)})
    assert columns(shuffled) == columns(ordered)
    assert [list(question.scores) for question in read_questions(RunDir(path))] == scores["Maze"]
    assert ordered.n_missing.tolist() == [1] * 30


def test_a_pending_record_gives_way_to_its_verdict(tmp_path: Path) -> None:
    """Of an answer that waited for its verdict and got it later, the verdict counts, once."""
    path = write_run(tmp_path / "a", {"Maze": [[1.0], [0.0]]})
    details = path / "details" / "Maze.jsonl"
    lines = details.read_bytes().splitlines()
    pending = msgspec.json.decode(lines[0]) | {"score": None, "failure": "pending"}
    details.write_bytes(b"\n".join([msgspec.json.encode(pending), lines[1], lines[0], b""]))
    [first, second] = read_questions(RunDir(path))
    assert (first.scores, second.scores) == ([1.0], [0.0])


def test_repeats_that_are_missing_count_as_missing(tmp_path: Path) -> None:
    """A question with fewer records than the run has repeats lacks the others' scores."""
    path = write_run(tmp_path / "a", {"Maze": [[1.0], [0.0]]}, repeats=4)
    [scores] = read_scores({"a": RunDir(path)})
    assert (scores.n_scored.tolist(), scores.n_missing.tolist()) == ([1, 1], [3, 3])


def test_compare_is_a_function(runs: tuple[Path, Path]) -> None:
    """The API takes paths and runs alike, and gives the comparison with what differs."""
    compared = compare(str(runs[0]), open_run(runs[1]), gates=["overall > -90%"])
    [run] = compared.comparison.runs
    assert run.run.significant
    assert run.gates[0].outcome == "pass"
    assert dict(compared.differences) == {"after": ()}
    with pytest.raises(UsageError, match="there is but one run"):
        compare(runs[0])


def test_two_evaluations_of_the_demo_are_compared(
    finished: Path, fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Two runs of one test dir pair completely; the less skilled model is found to be worse, with its temperature."""
    server = fault_server(test_dir=demo_test_dir, skill=0.1)
    words = ("--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, "--temperature", "0.25")
    done = call_bootcamp("eval", *words, "--output-dir", "second", "--quiet")
    assert done.returncode == 0, done.stderr
    [second] = (tmp_path / "second").iterdir()
    done = call_bootcamp("compare", finished, second, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n_unpaired"], found["n_unpaired_baseline"], found["n_without_score"]) == (0, 0, 0)
    assert found["run"]["difference"] < -0.3
    assert found["run"]["significant"]
    assert [entry["what"] for entry in found["differs"]] == ["temperature"]
