"""The summary as table, Markdown, CSV and JSON."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from rich.cells import cell_len

from bootcamp_cli.analysis.counting import Aggregator, AnswerHead, FileGroups, GroupPlan
from bootcamp_cli.analysis.statistics import Interval
from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports import forms as json_text
from bootcamp_cli.reports.columns import digits_borne
from bootcamp_cli.reports.forms import TEXT_FORMS, meta_lines, render
from bootcamp_cli.reports.table import SORT_KEYS
from bootcamp_cli.store.records import UsageHead
from bootcamp_cli.text import is_formula, visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def scored(name: str, score: float = 0.5, *, n: int = 4, file: str | None = None) -> GroupSummary:
    """A row of which every sample is scored."""
    return GroupSummary(
        bootcamp=f"{name}bootcamp",
        file=file or f"{name}.jsonl",
        data_source=name,
        n=n,
        n_answered=n,
        n_scored=n,
        score_sum=score * n,
        len_sum=100 * n,
        n_len=n,
    )


def run_of(*groups: GroupSummary) -> RunSummary:
    """A run with these rows."""
    return RunSummary(model_name="r1_32B", test_dir="test_dir", groups=groups)


INCOMPLETE = GroupSummary(
    bootcamp="Mazebootcamp",
    file="maze.jsonl",
    data_source="Maze",
    n=1500,
    n_answered=1200,
    n_scored=1000,
    n_truncated=30,
    n_len_estimated=7,
    score_sum=600.0,
    len_sum=123_456_000,
    n_len=1000,
    unverified={"unscored": 150, "verifier_timeout": 50},
    failures={"http_400": 10, "timeout": 90},
)
EMPTY = GroupSummary(bootcamp="Laterbootcamp", file="later.jsonl", data_source="Later", n=3)


def test_plain_table_is_aligned_text() -> None:
    """Without a terminal the table is plain text: names left, numbers right, the total last, notes below."""
    text = render(run_of(scored("Sudoku", 0.25), scored("Maze", 1.0, n=1234)), "table")
    assert text == (
        "bootcamp         score  length      n\n"
        "--------------  ------  ------  -----\n"
        "Mazebootcamp    1.0000   100.0  1,234\n"
        "Sudokubootcamp  0.2500   100.0      4\n"
        "--------------  ------  ------  -----\n"
        "Total Average   0.6250   100.0  1,238\n"
        "\n"
        "complete: 1,238 of 1,238 samples scored\n"
        "every sample counting alike: average score 0.9976, length 100.0\n"
    )


def test_notes_tell_what_is_missing() -> None:
    """Gaps, bounds, failures, truncation and estimated lengths of an incomplete run are said in words."""
    text = render(run_of(INCOMPLETE, EMPTY), "table")
    for note in (
        "incomplete: 1,000 of 1,503 samples scored; 100 without an answer, 200 without a verdict, 203 not tried yet",
        "bounds: average score 0.2000 if all samples without a score were wrong, 0.8667 if all were right",
        "without an answer: timeout 90, http_400 10",
        "without a verdict: unscored 150, verifier_timeout 50",
        "truncated at the token limit: 30 of 1,200 answers (2.5%)",
        "lengths that are estimates (server sent no usage): 7 of 1,200",
    ):
        assert note in text.splitlines()


def test_columns_that_say_nothing_are_left_out() -> None:
    """Failed, missing, truncated and the like stand only where there are any, files only to tell rows apart."""
    head = render(run_of(INCOMPLETE, EMPTY), "table").splitlines()[0].split()
    counts = ["n", "scored", "failed", "missing", "unverified"]
    assert head == ["bootcamp", "score", "length", *counts, "low", "high"]
    two_files = run_of(scored("Maze", file="a.jsonl"), scored("Maze", file="b.jsonl"))
    assert render(two_files, "table").splitlines()[0].split() == ["bootcamp", "score", "length", "file", "n"]


def test_new_columns_stand_behind_the_others() -> None:
    """Oddly ended answers are columns and notes where there are any, and keys in every case."""
    odd = replace(scored("Sudoku", n=9), n_empty=1, n_filtered=2, n_unknown_end=3)
    lines = render(run_of(odd), "table").splitlines()
    assert lines[0].endswith("n  unknown-end")
    for note in (
        "complete: 9 of 9 samples scored; 1 answers empty",
        "ended by the server's content filter: 2 of 9 answers",
        "without a known finish_reason: 3 of 9 answers",
    ):
        assert note in lines
    keys = list(json.loads(meta_lines(run_of(scored("Maze")))))
    assert keys[keys.index("n_empty") :] == [
        *("n_empty", "n_filtered", "n_unknown_end", "score_low95", "score_high95", "error_rerun"),
        *("n_correct", "n_wrong", "n_lost_truncated", "n_lost_empty", "n_lost_filtered", "error_new_questions"),
    ]
    shown = json.loads(render(run_of(odd), "json"))
    assert (shown["n_empty"], shown["n_filtered"], shown["n_unknown_end"]) == (1, 2, 3)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("color", [False, True])
def test_terminal_table_keeps_to_its_width_and_cuts_no_number(width: int, *, color: bool) -> None:
    """At every width no line is longer, the score is there in full, and columns that found no room are named."""
    text = render(run_of(INCOMPLETE, EMPTY, scored("A" * 70)), "table", width=width, color=color)
    assert ("\x1b[" in text) is color
    plain = text if not color else render(run_of(INCOMPLETE, EMPTY, scored("A" * 70)), "table", width=width)
    assert max(map(cell_len, plain.splitlines())) <= width
    assert "0.6000" in plain
    left_out = plain.replace("\n", " ").partition("columns left out for lack of width: ")[2].split(", ")
    shown = plain.splitlines()[0].split()
    assert {*shown, *(title.strip() for title in left_out if title)} >= {"score", "length", "n", "low", "high"}


def test_plain_and_wide_characters_line_up() -> None:
    """Numbers stand below each other also beside names of wide characters."""
    lines = render(run_of(scored("数独"), scored("Maze")), "table").splitlines()
    assert len({cell_len(line) for line in lines[:6]}) == 1


@pytest.mark.parametrize("report_format", TEXT_FORMS)
@pytest.mark.parametrize("width", [None, 100])
def test_escape_sequences_in_names_are_shown_not_obeyed(report_format: str, width: int | None) -> None:
    """No format lets a control character or a bidi override of a name through."""
    nasty = scored("\x1b[2J\x9b\u202eevil\r\x07[bold]x[/]")
    text = render(run_of(nasty), report_format, width=width)
    shown = text.replace("\n", "").replace("\t" if report_format == "tsv" else "\n", "")
    assert visible(shown) == shown
    text.encode()


def test_rich_markup_in_names_is_text() -> None:
    """Names are no rich markup and no emoji codes."""
    assert "[red]:smile:[/]bootcamp" in render(run_of(scored("[red]:smile:[/]")), "table", width=100)


def test_markdown_is_a_table_with_a_total() -> None:
    """Markdown has head, rule, rows, a bold total and the notes as a list."""
    text = render(run_of(scored("Maze")), "markdown")
    assert text.splitlines()[:6] == [
        "| bootcamp | score | length | n |",
        "| --- | ---: | ---: | ---: |",
        "| Mazebootcamp | 0.5000 | 100.0 | 4 |",
        "| **Total Average** | **0.5000** | **100.0** | **4** |",
        "",
        "- complete: 4 of 4 samples scored",
    ]


@given(ANY_TEXT)
def test_markdown_names_stay_in_their_cell(name: str) -> None:
    """Whatever a name holds, its row has as many unescaped bars as the head and stays one line without HTML."""
    lines = render(run_of(scored(name)), "markdown").splitlines()
    assert len(lines) == 7
    row = lines[2].replace("\\\\", "").replace("\\|", "").replace("\\<", "")
    assert row.count("|") == lines[0].count("|")
    assert "<" not in row


@given(st.lists(st.tuples(ANY_TEXT, st.floats(-1, 1)), min_size=1, max_size=5))
def test_csv_reads_back_and_runs_nothing(rows: list[tuple[str, float]]) -> None:
    """A CSV reader gets the rows back, numbers bit for bit, and no text cell starts a formula."""
    groups = [scored(name, score) for name, score in rows]
    read = list(csv.DictReader(StringIO(render(run_of(*groups), "csv"), newline="")))
    expected = sorted(groups, key=lambda group: group.bootcamp)
    assert [row["bootcamp"].removeprefix("'") for row in read] == [visible(g.bootcamp) for g in expected]
    assert [float(row["avg_score"]) for row in read] == [g.avg_score for g in expected]
    assert not any(is_formula(row[key]) for row in read for key in ("bootcamp", "file", "data_source"))


@given(ANY_TEXT)
def test_tsv_is_csv_with_tabs(name: str) -> None:
    """The same cells as in CSV, a tab between them."""
    run = run_of(scored(name))
    rows = csv.reader(StringIO(render(run, "tsv"), newline=""), delimiter="\t")
    assert list(rows) == list(csv.reader(StringIO(render(run, "csv"), newline="")))


def test_csv_leaves_cells_without_value_empty() -> None:
    """A row without an average has empty cells, not zeros."""
    (row,) = csv.DictReader(StringIO(render(run_of(EMPTY), "csv")))
    assert (row["avg_score"], row["avg_len"], row["n_missing"]) == ("", "", "3")


def test_json_is_the_documented_object() -> None:
    """JSON has every documented key, and its rows are those of meta.jsonl with counts by kind."""
    run = run_of(EMPTY, INCOMPLETE)
    got = json.loads(render(run, "json", sort="file", reverse=True))
    documented = {word.strip(",:") for line in str(json_text.__doc__).splitlines() for word in line.split()}
    assert set(got) <= documented
    assert (got["schema"], got["schema_version"], got["complete"]) == ("bootcamp.report", 1, False)
    assert got["failures"] == {"http_400": 10, "timeout": 90}
    meta = [json.loads(line) for line in meta_lines(run_of(INCOMPLETE, EMPTY)).splitlines()]
    assert [{key: group[key] for key in meta[0]} for group in got["groups"]] == meta
    assert got["groups"][0]["unverified"] == {"unscored": 150, "verifier_timeout": 50}


def of_families() -> RunSummary:
    """A run of three rows in two families whose samples ended in every way, two questions of each asked twice."""
    aggregator = Aggregator(
        [
            FileGroups(file=f"{name}.jsonl", groups=(GroupPlan(bootcamp=f"{name}bootcamp", data_source=name, n=4),))
            for name in ("Cipher", "Maze", "Sudoku")
        ],
        repeats=2,
    )
    ends = {"Cipher": "length", "Maze": "content_filter", "Sudoku": "stop"}
    for name, end in ends.items():
        scores = (1.0, 0.5, 0.0, None)
        for place, score in enumerate(scores):
            head = AnswerHead(
                row=place // 2,
                repeat=place % 2,
                data_source=name,
                score=score,
                failure=None if score is not None else "verifier_error",
                finish_reason=end,
                output_len=100,
                latency_s=0.25,
                retries=("http_500",) * (place == 0),
                extracted_output=Raw(b'"x"'),
                usage=UsageHead(prompt_tokens=7, completion_tokens=100),
            )
            aggregator.add_record(f"{name}.jsonl", head)
    return aggregator.summary(model_name="m", test_dir="t")


def test_families_have_a_table_of_their_own_before_the_long_one() -> None:
    """By default the table of families stands first; each can be had alone, and no other word is taken."""
    run = of_families()
    both, families, rows = (render(run, "table", by=by) for by in ("both", "family", "bootcamp"))
    assert both.startswith("family")
    assert "\nbootcamp  " in both
    assert families.startswith("family")
    assert "Mazebootcamp" not in families
    assert rows.startswith("bootcamp")
    assert "\ngrids  " not in rows
    assert "grids" in both.splitlines()[2]
    assert render(run, "csv", by="family").splitlines()[1].startswith("grids,2,")
    with pytest.raises(UsageError, match=r"--by: must be one of family, bootcamp, both, got 'file'"):
        render(run, "table", by="file")


def test_every_score_stands_with_its_n_and_its_errors_by_name() -> None:
    """Both tables have n and the interval, and the notes name each error."""
    lines = render(of_families(), "table").splitlines()
    for head in (line.split() for line in lines if line.startswith(("family", "bootcamp"))):
        assert {"score", "low95", "high95", "rerun", "pass@2", "pass^2", "maj@2", "n", "correct"} <= set(head)
    text = "\n".join(lines)
    for note in (
        "account: 3 correct (score at least 1) + 2 wrong + 2 truncated + 2 filtered + 3 without a verdict = 12 samples",
        "for new questions of these bootcamps",
        "for other bootcamps than these",
        "for rerun of the same questions, the noise floor",
        "pass@k, any of k answers is right: k=1 0.25  k=2 1.00",
        "pass^k, all k are right: k=1 0.25  k=2 0.00",
        "questions with too few scores for a value: k=2 3",
        "maj@2, the most frequent answer: 0.50",
        "if all of them were right",
        "latency: mean 0.25 s, p50 0.25 s, p95 0.25 s; 400.0 tokens/s of an answer",
        "retries: http_500 3",
        "tokens: 84 prompt, 1,200 completion, as counted for 12 of 12 answers",
    ):
        assert note in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_of_families_keep_to_their_width(width: int) -> None:
    """With all columns of repeats no line is longer than the terminal, and each table keeps score and n."""
    lines = render(of_families(), "table", width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    heads = [line.split() for line in lines if line.startswith(("family ", "bootcamp "))]
    assert len(heads) == 2
    assert all({"score", "low95", "high95", "n"} <= set(head) for head in heads)


def test_json_has_the_same_figures_of_groups_families_and_the_run() -> None:
    """Interval, errors, account, pass@k and the rest stand in all three under the same keys; accounts add up."""
    run = of_families()
    got = json.loads(render(run, "json"))
    assert [family["family"] for family in got["families"]] == ["grids", "text"]
    (text,), parts = [family for family in got["families"] if family["family"] == "text"], got["groups"]
    for key in ("interval", "error_new_questions", "error_rerun", "account", "pass", "majority", "length", "retries"):
        assert all(key in part for part in (got, *got["families"], *parts))
    for row in (*got["families"], *parts):
        assert sum(row["account"].values()) == row["n"]
        assert row["interval"][0] <= row["avg_score"] <= row["interval"][1]
    cipher = next(part for part in parts if part["data_source"] == "Cipher")
    assert text["interval"] == cipher["interval"], "a family of one row has the interval of the row"
    assert cipher["account"] == {
        "correct": 1,
        "wrong": 0,
        "truncated": 2,
        "empty": 0,
        "filtered": 0,
        "without_answer": 0,
        "without_verdict": 1,
    }
    assert (got["right_at"], got["latency_s"]["p95"], got["majority"]["n_without"]) == (1.0, 0.25, 1)


def test_sorting_puts_large_numbers_first_and_rows_without_value_last() -> None:
    """Numbers sort down, text up, reverse turns both, rows without a value stay last, ties go by bootcamp."""
    run = run_of(EMPTY, scored("C", 0.5), scored("A", 0.25), scored("B", 0.5))

    def order(sort: str, *, reverse: bool = False) -> str:
        return "".join(g["bootcamp"][0] for g in json.loads(render(run, "json", sort=sort, reverse=reverse))["groups"])

    assert order("score") == "BCAL"
    assert order("score", reverse=True) == "ABCL"
    assert order("avg_score") == "BCAL"
    assert order("bootcamp") == "ABCL"
    assert order("bootcamp", reverse=True) == "LCBA"
    for key in SORT_KEYS:
        assert sorted(order(key)) == ["A", "B", "C", "L"]


def test_unknown_sort_keys_are_refused_with_the_known_ones() -> None:
    """A mistyped column is wrong use of the command, and the message lists the columns."""
    with pytest.raises(UsageError, match=r"cannot sort by 'scores'; sort by one of bootcamp, score, length"):
        render(run_of(), "table", sort="scores")


def test_filters_match_bootcamp_file_or_data_source() -> None:
    """A row is shown if any glob matches one of its names; the total is that of the rows shown, and says so."""
    run = run_of(scored("Sudoku", 0.0), scored("Maze", 1.0), scored("Cipher", 0.5))
    text = render(run, "table", filter=("Sudoku", "maze.*", "Mazeboot*"))
    assert "Cipher" not in text
    assert "Average of these  0.5000" in text
    assert "2 of 3 rows shown; averages and counts are those of the rows shown" in text
    assert json.loads(render(run, "json", filter="*.jsonl"))["n_groups_in_run"] == 3
    assert len(json.loads(render(run, "json", filter="C*"))["groups"]) == 1


@pytest.mark.parametrize("report_format", TEXT_FORMS)
@pytest.mark.parametrize("width", [None, 80])
def test_nothing_to_show_is_no_error(report_format: str, width: int | None) -> None:
    """A filter that matches nothing gives an empty report that says so."""
    text = render(run_of(scored("Maze")), report_format, filter="nothing", width=width)
    assert text.endswith("\n")
    assert report_format not in ("table", "markdown") or "no rows shown, of 1 in the run" in text


def test_unknown_sizes_are_said() -> None:
    """Where no manifest tells how many samples there are, the reader is told what n counts."""
    group = GroupSummary(bootcamp="x", file="x.jsonl", n=1, n_known=False, n_answered=1, n_scored=1, score_sum=1.0)
    assert "n counts what was found" in render(run_of(group), "table")


def test_meta_lines_have_the_keys_of_the_reference_first() -> None:
    """A line starts with bootcamp, avg_score, avg_len; names are written as they are, no average is null."""
    text = meta_lines(run_of(scored("数独", 0.25), EMPTY))
    first, second = text.splitlines()
    assert first.startswith('{"bootcamp": "数独bootcamp", "avg_score": 0.25, "avg_len": 100.0, "file": "数独.jsonl", ')
    assert second.startswith('{"bootcamp": "Laterbootcamp", "avg_score": null, "avg_len": null, ')
    assert (json.loads(second)["n"], json.loads(second)["n_missing"]) == (3, 3)
    assert text.endswith("}\n")


@example("\ud800")
@given(ANY_TEXT)
def test_meta_lines_are_utf8_and_read_back(name: str) -> None:
    """Every name survives meta.jsonl, also one with a newline or a lone surrogate."""
    text = meta_lines(run_of(scored(name)))
    assert text.count("\n") == 1
    assert json.loads(text.encode())["data_source"] == name


def test_reports_for_pipes_load_no_table_library() -> None:
    """The text forms and meta.jsonl need neither rich nor pandas nor openpyxl."""
    code = (
        "import sys; from bootcamp_cli.reports.forms import TEXT_FORMS, meta_lines, render\n"
        "from bootcamp_cli.analysis.summary import RunSummary\n"
        "run = RunSummary(model_name='', test_dir='', groups=())\n"
        "meta_lines(run); [render(run, name) for name in TEXT_FORMS]\n"
        "print({'rich', 'pandas', 'openpyxl', 'httpx', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@given(st.floats(1e-7, 0.5), st.floats(0, 0.5))
def test_the_last_digit_of_a_score_is_worth_a_tenth_of_its_error(half: float, low: float) -> None:
    """With half the width of the interval comes the number of decimals: two at least, six at most."""
    digits = digits_borne(Interval(low=low, high=low + 2 * half))
    assert 2 <= digits <= 6
    assert digits in (2, 6) or half / 101 <= 10**-digits <= half / 9.99


def test_a_score_without_an_error_has_four_digits() -> None:
    """Where no interval is known, or it has no width, nothing says how many digits count."""
    assert digits_borne(None) == digits_borne(Interval(low=2.0, high=2.0)) == 4
    assert digits_borne(Interval(low=-math.inf, high=math.inf)) == 4
