"""`bootcamp show`: which samples, as text that obeys nothing, as JSON, in a pager."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli import open_run
from bootcamp_cli.analysis.samples import ShownSample
from bootcamp_cli.cli.console import paged
from bootcamp_cli.reports.samples import sample_line, sample_text
from bootcamp_cli.types import encode_line
from tests.conftest import RunBootcamp
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_store_journal import a_failure, a_record

HOSTILE = "<script>=HYPERLINK(1)\x1b[2J\x9b\u202e\udcff\r"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with samples of every kind."""
    path = write_run(tmp_path / "run", {"Sudoku": [[1.0], [0.0], [0.0], [0.0]], "Sums": [[1.0]]}, planned={"Sums": 2})
    records = [
        replace(a_record(row), data_source="Sudoku", score=float(row == 0), prompt="p", **changes)
        for row, changes in enumerate(
            (
                {},
                {"output": "<think>so</think>it is [answer]\n1 2\n[/answer]"},
                {"finish_reason": "length"},
                {"output": ""},
            )
        )
    ]
    (path / "details" / "Sudoku.jsonl").write_bytes(b"".join(map(encode_line, records)))
    (path / "failures.jsonl").write_bytes(encode_line(replace(a_failure(1), file="Sums.jsonl")))
    return path


def shown(call_bootcamp: RunBootcamp, *words: str | Path) -> list[dict[str, Any]]:
    """The samples that the command prints as JSON."""
    done = call_bootcamp("show", *words, "--json")
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ([], [("Sudoku", 0), ("Sudoku", 1), ("Sudoku", 2), ("Sudoku", 3), ("Sums", 0), ("Sums", 1)]),
        (["--right"], [("Sudoku", 0), ("Sums", 0)]),
        (["--wrong"], [("Sudoku", 1)]),
        (["--truncated"], [("Sudoku", 2)]),
        (["--empty"], [("Sudoku", 3)]),
        (["--failed"], [("Sums", 1)]),
        (["--file", "Sums.jsonl"], [("Sums", 0), ("Sums", 1)]),
        (["--file", "Sums", "--row", "0", "--repeat", "0"], [("Sums", 0)]),
        (["--right", "--row", "0", "--file", "Sudoku"], [("Sudoku", 0)]),
        (["--repeat", "1"], []),
    ],
)
def test_the_samples_that_fit_are_shown(
    call_bootcamp: RunBootcamp, run: Path, words: list[str], places: list[tuple[str, int]]
) -> None:
    """Each option narrows them, together they must all hold; each sample is a line of JSON."""
    found = shown(call_bootcamp, run, *words)
    assert [(sample["file"].removesuffix(".jsonl"), sample["row"]) for sample in found] == places


def test_a_sample_has_all_its_parts(call_bootcamp: RunBootcamp, run: Path) -> None:
    """Prompt, thinking, output with a bar before its answer block, extracted, ground truth; a failure its message."""
    done = call_bootcamp("show", run, "--wrong")
    assert done.stdout.rstrip().splitlines() == [
        "── Sudoku.jsonl:1  wrong, score 0 ──────────────────────────────────────────────",
        "Sudoku, grids, id 1, finish_reason stop, 7 tokens, 0.5 s, 1 attempt",
        "prompt",
        "  p",
        "thinking (17 characters)",
        "  <think>so</think>",
        "output",
        "  it is ",
        "┃ [answer]",
        "┃ 1 2",
        "┃ [/answer]",
        "extracted",
        "  4",
        "ground truth",
        '  {"sum": 4}',
    ]
    assert "timeout" in (failed := call_bootcamp("show", run, "--failed").stdout)
    assert "why" in failed


def test_nothing_found_is_said(call_bootcamp: RunBootcamp, run: Path) -> None:
    """Where no sample fits, a message says so and nothing is printed; that is no failure."""
    done = call_bootcamp("show", run, "--row", "99")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no sample fits\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--right", "--wrong"], "--right and --wrong: no sample is both"),
        (["--file", "sudoku"], "did you mean Sudoku"),
        (["--row", "-1"], "--row: counts from 0"),
        (["--row", "x"], "--row: must be an integer"),
    ],
)
def test_wrong_use_is_told(call_bootcamp: RunBootcamp, run: Path, words: list[str], message: str) -> None:
    """One line says what is wrong: exit code 2."""
    done = call_bootcamp("show", run, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_flips_are_those_of_two_runs(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """Questions that one run got right and the other wrong, narrowed to one direction by --wrong or --right."""
    before = write_run_of_run_eval(tmp_path / "before", {"Sums": [[1.0], [0.0], [1.0]]})
    after = write_run(tmp_path / "after", {"Sums": [[0.0], [1.0], [1.0]]})
    for words, rows in (([], [0, 1]), (["--wrong"], [0]), (["--right"], [1])):
        assert [s["row"] for s in shown(call_bootcamp, after, "--flipped-from", before, *words)] == rows
    assert [sample.row for sample in open_run(after).find_samples(flipped_from=before)] == [0, 1]


def test_a_second_look_reads_no_details_again(call_bootcamp: RunBootcamp, run: Path, tmp_path: Path) -> None:
    """The index is kept in the user's cache and the run directory stays as it was."""
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    assert shown(call_bootcamp, run) == shown(call_bootcamp, run)
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
    assert len(list(tmp_path.rglob("*.index"))) == 1


def a_sample(**values: Any) -> ShownSample:
    """A sample of which something is hostile."""
    known: dict[str, Any] = {
        "file": HOSTILE,
        "row": 0,
        "repeat": 0,
        "id": HOSTILE,
        "data_source": HOSTILE,
        "family": HOSTILE,
        "status": "wrong",
        "failure_message": HOSTILE,
        "model": HOSTILE,
        "finish_reason": HOSTILE,
        "prompt": HOSTILE,
        "reasoning_content": HOSTILE,
        "output": HOSTILE,
        "extracted_output": [HOSTILE],
        "ground_truth": {HOSTILE: HOSTILE, "puzzle": [[HOSTILE[:8], 1], [1, 1]]},
    }
    return ShownSample(**(known | values))


def test_hostile_text_obeys_nothing() -> None:
    """Escapes, overrides and stray bytes come out as escapes in every part; as JSON they come back as they were."""
    text = sample_text(a_sample(), whole=True)
    assert "\\x1b[2J\\x9b\\u202e\\xff\\r" in text
    line = sample_line(a_sample())
    for printed in (text, line):
        assert all(char.isprintable() or char in "\n\t" for char in printed)
    assert json.loads(line)["output"] == HOSTILE
    assert "\n" not in line


@example(text="", value=[["", ""], ["", "\x1f"]])
@given(text=st.text(), value=st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_text_can_be_printed(text: str, value: Any) -> None:
    """Whatever texts and values a sample has, it is printable text and a line of JSON."""
    sample = a_sample(output=text, prompt=text, ground_truth=value, extracted_output=value)
    printed = sample_text(sample, color=False) + sample_line(sample)
    assert all(char.isprintable() or char in "\n\t" for char in printed)
    json.loads(sample_line(sample), parse_constant=pytest.fail)


def test_long_texts_are_shortened_but_never_the_answer() -> None:
    """Of a long prompt and thinking the two ends are shown, with how much is left out; --row shows all."""
    long = "".join(f"{n} " for n in range(5000))
    sample = a_sample(prompt=long, reasoning_content=long, output=long)
    text, whole = sample_text(sample), sample_text(sample, whole=True)
    assert text.count("characters left out") == 2
    assert text.count("4321") == 1
    assert "left out" not in whole
    assert whole.count("4321") == 3


def test_styles_are_only_there_where_they_are_wanted() -> None:
    """Without color there is no escape; with it the text is the same between them."""
    plain, styled = sample_text(a_sample()), sample_text(a_sample(), color=True)
    assert "\x1b" not in plain
    assert "\x1b[1m" in styled


def test_a_pager_gets_the_texts(tmp_path: Path) -> None:
    """$PAGER with its words reads what is written; one that cannot be started gives way to stdout."""
    target = tmp_path / "out.txt"
    code = f"import sys; open({str(target)!r}, 'w').write(sys.stdin.read())"
    pager = f'{sys.executable} -c "{code}"'
    paged(["a\n", "b\n"], in_pager=True, env={**os.environ, "PAGER": pager})
    assert target.read_text("utf-8") == "a\nb\n"


@pytest.mark.parametrize("pager", ["", "cat", "no-such-program-at-all", "'"])
def test_without_a_pager_the_texts_go_to_stdout(capsys: pytest.CaptureFixture[str], pager: str) -> None:
    """Where $PAGER is empty, `cat`, not there or not to be read."""
    paged(["a\n", "b\n"], in_pager=True, env={**os.environ, "PAGER": pager})
    assert capsys.readouterr().out == "a\nb\n"


def test_a_reader_who_leaves_the_pager_ends_it(tmp_path: Path) -> None:
    """Once the pager has ended no further sample is read."""
    n_asked = 0

    def texts() -> Iterator[str]:
        nonlocal n_asked
        while True:
            n_asked += 1
            yield "x" * 65536

    paged(texts(), in_pager=True, env={**os.environ, "PAGER": f"{sys.executable} -c pass"})
    assert n_asked >= 1
