"""What a first try gets wrong: options as other tools call them, the wrong directory, a pattern without suffix."""

import json
from pathlib import Path

import pytest

from bootcamp_cli.engine.plan import unloadable_count
from bootcamp_cli.settings.convert import _ELSEWHERE, suggestion
from bootcamp_cli.settings.model import parameters, parameters_by_name
from tests.conftest import RunBootcamp


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--concurrency", "--max-concurrent-requests"),
        ("--model", "--model-name"),
        ("--base-url", "--url"),
        ("--num-samples", "--limit (or --repeats, for several answers to each question)"),
        ("-n", "--repeats"),
        ("--workers", "--max-concurrent-requests (or --verify-workers, for verifiers)"),
        ("--batch-size", "--max-concurrent-requests"),
        ("--n-repeats", "--repeats"),
        ("--tmeout", "--timeout"),
        ("--no-resum", "--no-resume"),
    ],
)
def test_other_tools_names_are_known(call_bootcamp: RunBootcamp, word: str, meant: str) -> None:
    """An option as another tool calls it, or misspelt, is exit 2 with the one that is meant."""
    done = call_bootcamp("eval", word, "4")
    assert (done.returncode, done.stderr) == (2, f"bootcamp: error: no such option {word}; did you mean {meant}?\n")


def test_suggestions_are_options_of_the_command(call_bootcamp: RunBootcamp) -> None:
    """What the command does not take is not suggested, and nothing is where nothing is close."""
    assert call_bootcamp("report", "x", "--concurrency", "4").stderr.endswith("; see bootcamp report --help\n")
    assert call_bootcamp("eval", "--xyzzy").stderr.endswith("; see bootcamp eval --help\n")


def test_variables_and_keys_are_suggested(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """The same names are known in the environment and in TOML, in the form of each."""
    said = call_bootcamp("config", "show", env={"BOOTCAMP_WORKERS": "4"}).stderr
    meant = "BOOTCAMP_MAX_CONCURRENT_REQUESTS (or BOOTCAMP_VERIFY_WORKERS, for verifiers)"
    assert f"BOOTCAMP_WORKERS: no such setting; did you mean {meant}?" in said
    (tmp_path / "bootcamp.toml").write_text("concurrency = 4\n")
    assert "concurrency: unknown key; did you mean max_concurrent_requests?" in call_bootcamp("config", "show").stderr


def test_names_elsewhere_are_no_names_here() -> None:
    """Each foreign name stands for one parameter that exists, is none itself, and is found whatever else is close."""
    known = [parameter.name for parameter in parameters()]
    others = [other for names in _ELSEWHERE.values() for other in names]
    assert len(others) == len(set(others))
    assert not set(others) & set(known)
    assert set(_ELSEWHERE) <= set(parameters_by_name())
    for name, names in _ELSEWHERE.items():
        for other in names:
            assert (suggestion(other, known) or "").startswith(f"did you mean {name}")


def test_report_on_a_directory_of_runs_names_them(call_bootcamp: RunBootcamp, finished: Path, tmp_path: Path) -> None:
    """`report output` is an error that lists the runs inside; an empty directory is just none."""
    done = call_bootcamp("report", "output")
    assert done.returncode == 1
    assert done.stderr == (
        f"bootcamp: error: output is not a run directory, but holds 1 run; give it: "
        f"output/{finished.name} (`bootcamp runs` shows them)\n"
    )
    (tmp_path / "empty").mkdir()
    assert "empty is not a run directory: it has no folder details" in call_bootcamp("report", "empty").stderr


def test_filter_matches_as_include_does(call_bootcamp: RunBootcamp, finished: Path) -> None:
    """A file is matched with and without its suffix, a data source by its name, a bootcamp as before."""
    for pattern in ("sudoku", "sudoku.jsonl", "sudoku.jsonl.gz", "Sudoku", "Sudokubootcamp", "sud*"):
        shown = json.loads(call_bootcamp("report", finished, "--filter", pattern, "--json").stdout)
        assert [group["data_source"] for group in shown["groups"]] == ["Sudoku"], pattern


def test_a_single_one_is_counted_as_one() -> None:
    """One data source is not `1 data sources`."""
    assert unloadable_count({"A": "r"}) == "the bootcamp of 1 data source"
    assert unloadable_count({"A": "r", "B": "r"}) == "the bootcamps of 2 data sources"


@pytest.mark.parametrize("words", [("eval", "--url", "http://127.0.0.1:9/v1", "--test-dir", "set"), ("resume",)])
def test_an_output_dir_that_is_a_file(call_bootcamp: RunBootcamp, tmp_path: Path, words: tuple[str, ...]) -> None:
    """It is exit 2 at once, before any server is waited for."""
    (tmp_path / "out").touch()
    done = call_bootcamp(*words, "--output-dir", "out")
    assert done.returncode == 2
    assert "out is not a directory: there is a file; choose another with --output-dir" in done.stderr
