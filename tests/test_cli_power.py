"""`bootcamp power` and `bootcamp_cli.power`: which differences a comparison would find."""

import json
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import compare, power
from bootcamp_cli.analysis.paired import assumed_moments, smallest_detectable
from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.errors import UsageError
from tests.conftest import RunBootcamp
from tests.run_directories import write_run, write_run_of_run_eval


def as_json(call: RunBootcamp, *args: Any) -> Any:
    """What `power --json` prints."""
    done = call("power", *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_assumptions_alone_are_enough(call_bootcamp: RunBootcamp) -> None:
    """Without a run every built-in bootcamp has so many questions; each level is corrected for its tests."""
    found = as_json(call_bootcamp, "--questions", "68", "--repeats", "4", "--discordance", "20%")
    assert {entry["name"] for entry in found["bootcamps"]} == set(CATALOG)
    assert {entry["name"] for entry in found["families"]} == {entry.family for entry in CATALOG.values()}
    assert found["run"]["n_questions"] == 68 * len(CATALOG)
    moments = [assumed_moments(n=68, discordance=0.2, repeats=4)]
    assert found["bootcamps"][0]["smallest_detectable"] == smallest_detectable(moments, repeats=4, n_tests=len(CATALOG))
    assert found["run"]["smallest_detectable"] == smallest_detectable(moments * len(CATALOG), repeats=4)
    sizes = [found["run"], min(found["families"], key=lambda e: -e["n_questions"]), found["bootcamps"][0]]
    assert [entry["smallest_detectable"] for entry in sizes] == sorted(entry["smallest_detectable"] for entry in sizes)
    assert found["run"]["repeats_needed"] is None


def test_a_wished_difference_tells_what_it_needs(call_bootcamp: RunBootcamp) -> None:
    """With the repeats that it names a difference is found, with one fewer it is not; likewise for the questions."""
    wished = ("--questions", "68", "--difference", "2%")
    found = as_json(call_bootcamp, *wished)["families"][0]
    needed = found["repeats_needed"]
    assert found["smallest_detectable"] > 0.02
    for repeats, is_enough in ((needed, True), (needed - 1, False)):
        there = as_json(call_bootcamp, "--questions", "68", "--repeats", str(repeats))["families"][0]
        assert (there["smallest_detectable"] <= 0.02) == is_enough
    each = -(-found["questions_needed"] * 68 // found["n_questions"])
    assert as_json(call_bootcamp, "--questions", str(each))["families"][0]["smallest_detectable"] <= 0.02
    shown = call_bootcamp("power", *wished).stdout
    assert "repeats for 2 points  questions for 2 points" in shown


def test_a_run_gives_its_questions_repeats_and_discordance(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Questions and repeats are the run's; its repeats tell how often two answers to a question differ."""
    path = write_run(tmp_path / "a", {"Maze": [[1.0, 0.0]] * 10 + [[1.0, 1.0]] * 30, "Sudoku": [[0.0, 0.0]] * 20})
    found = as_json(call_bootcamp, path)
    assert (found["repeats"], found["is_measured"]) == (2, True)
    assert [(entry["name"], entry["n_questions"]) for entry in found["bootcamps"]] == [("Maze", 40), ("Sudoku", 20)]
    # a quarter of the pairs of Maze differ; of Sudoku none does, which counts as half a pair
    assert found["discordance"] == pytest.approx((10 / 40 + 0.5 / 20) / 2)
    assert "differ (as the run's repeats show)" in call_bootcamp("power", path).stdout
    assumed = as_json(call_bootcamp, path, "--discordance", "0.3", "--repeats", "8", "--questions", "100")
    assert (assumed["repeats"], assumed["is_measured"], assumed["run"]["n_questions"]) == (8, False, 200)
    single = write_run_of_run_eval(tmp_path / "b", {"Maze": [[1.0]] * 10 + [[0.0]] * 10})
    assert as_json(call_bootcamp, single)["discordance"] == 0.2


def test_power_is_that_of_the_comparison(tmp_path: Path) -> None:
    """With the discordance that two runs have, the differences to be found are those that their comparison names."""
    before = write_run(tmp_path / "a", {"Maze": [[1.0]] * 10 + [[0.0]] * 90})
    after = write_run(tmp_path / "b", {"Maze": [[0.0]] * 10 + [[1.0]] * 10 + [[0.0]] * 80})
    found = compare(before, after).comparison.runs[0].run.smallest_detectable
    assert power(before, discordance=0.2).run.smallest_detectable == pytest.approx(found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "there is neither a run nor --questions"),
        (("--questions", "0"), "--questions: must be at least 1, got 0"),
        (("--questions", "9", "--repeats", "0"), "--repeats: must be at least 1, got 0"),
        (("--questions", "9", "--discordance", "0"), "--discordance: must be above 0 and at most 1, got 0"),
        (("--questions", "9", "--discordance", "nan"), "--discordance: must be above 0 and at most 1, got nan"),
        (("--questions", "9", "--difference", "150%"), "--difference: must be above 0 and at most 1 (100%), got 1.5"),
        (("--questions", "9", "--difference", "much"), "--difference: must be a number or a percentage, got 'much'"),
        (("empty",), "empty has no answers"),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Values out of range, and a run without answers, are exit code 2 and one line."""
    write_run(tmp_path / "empty", {"Maze": []})
    done = call_bootcamp("power", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"bootcamp: error: {said}")


def test_power_is_a_function(tmp_path: Path) -> None:
    """The API takes a path or a run and gives the entries of each level."""
    path = write_run(tmp_path / "a", {"Maze": [[1.0]] * 40})
    assert power(path).run.n_questions == 40
    with pytest.raises(UsageError, match="neither a run nor"):
        power()
