"""The workbook: layout of the reference, text that stays text, equal bytes for equal answers."""

import os
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.analysis.summary import Aggregator, FileGroups, GroupPlan, GroupSummary, RunSummary
from bootcamp_cli.errors import DiskError
from bootcamp_cli.reports.forms import REPORTS, FileForm, write_report
from bootcamp_cli.reports.xlsx import cell_safe, scores_workbook
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.records import RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import FailureRecord

PARAMETERS = {"model_name": "r1_32B", "template": "r1", "temperature": 0, "stop": ["</s>"], "top_p": None}


def group(name: str, score: float | None = 0.5) -> GroupSummary:
    """A row of two samples, scored or not yet tried."""
    done = 0 if score is None else 2
    return GroupSummary(
        bootcamp=name,
        file=f"{name}.jsonl",
        data_source=name,
        n=2,
        n_answered=done,
        n_scored=done,
        score_sum=(score or 0) * 2,
        len_sum=200 * done,
        n_len=done,
    )


def run_of(*groups: GroupSummary) -> RunSummary:
    """A run with these rows."""
    return RunSummary(model_name="r1_32B", test_dir="test_dir", groups=groups)


def eighty_rows() -> RunSummary:
    """A run over 80 test files as in the public set, some samples without answer or verdict."""
    names = [f"Task{number:02}" for number in range(80)]
    aggregator = Aggregator(
        FileGroups(file=f"{name}.jsonl", groups=(GroupPlan(bootcamp=f"{name}bootcamp", data_source=name, n=7),))
        for name in names
    )
    for number, name in enumerate(names):
        for row in range(5):
            score = float((number + row) % 3 == 0)
            record = RecordHead(row=row, data_source=name, score=score, output_len=100 + row)
            aggregator.add_record(f"{name}.jsonl", record)
        aggregator.add_record(f"{name}.jsonl", RecordHead(row=5, data_source=name, failure="verifier_timeout"))
        failure = FailureRecord(
            file=f"{name}.jsonl", row=6, id=6, data_source=name, kind="timeout", last_error="", attempts=1
        )
        aggregator.add_failure(failure)
    return aggregator.summary(model_name="r1_32B", test_dir="eval_data")


def cells(content: bytes, sheet: str) -> list[tuple[Any, ...]]:
    """The values of a sheet."""
    return list(openpyxl.load_workbook(BytesIO(content))[sheet].iter_rows(values_only=True))


def test_first_sheet_is_that_of_the_reference() -> None:
    """The columns and the sorted rows are the reference's, and the last row is the mean of the rows with a value."""
    content = scores_workbook(run_of(group("b", 0.25), group("c", None), group("a", 1.0)), PARAMETERS)
    read = pd.read_excel(BytesIO(content))
    assert list(read.columns[:3]) == ["bootcamp", "Average Score", "Average Output Length"]
    assert list(read["bootcamp"]) == ["a", "b", "c", "Total Average"]
    assert read["Average Score"].iloc[:2].tolist() == [1.0, 0.25]
    assert bool(read["Average Score"].isna().iloc[2])
    assert read["Average Score"].iloc[3] == read["Average Score"].iloc[:3].mean() == 0.625
    assert read["Average Output Length"].iloc[3] == 200.0
    assert not [name for name in read.columns if str(name).startswith("Unnamed")]


def test_eighty_rows_have_a_chart_that_shows_all_of_them() -> None:
    """The chart stands right of the table and has horizontal bars for all 80 rows, tall enough for each name."""
    content = scores_workbook(eighty_rows(), PARAMETERS)
    sheet = openpyxl.load_workbook(BytesIO(content)).worksheets[0]
    assert sheet.max_row == 82
    (chart,) = sheet._charts  # type: ignore[attr-defined]
    assert (chart.barDir, chart.x_axis.scaling.orientation, chart.x_axis.tickLblSkip) == ("bar", "maxMin", 1)
    assert (chart.x_axis.delete, chart.y_axis.delete) == (False, False)
    (series,) = chart.series
    assert series.val.numRef.f == "'Scores'!$B$2:$B$81"
    assert series.cat.strRef.f == "'Scores'!$A$2:$A$81"
    assert chart.anchor._from.col > sheet.max_column
    centimetres = chart.anchor.ext.height / 360_000
    assert 80 * 0.45 <= centimetres <= 80 * 0.6
    assert sheet.freeze_panes == "B2"
    assert (sheet["B2"].number_format, sheet["C2"].number_format) == ("0.0000", "#,##0.0")
    assert sheet.column_dimensions["A"].width >= len("Task00bootcamp")


def test_further_sheets_tell_totals_failures_and_parameters() -> None:
    """Sample-weighted totals, failures by kind and the parameters have their own sheets."""
    content = scores_workbook(eighty_rows(), PARAMETERS)
    totals = {row[0]: row[1] for row in cells(content, "Totals")[1:]}
    assert totals["Average Score, every sample alike"] == pytest.approx(eighty_rows().weighted_score)
    assert (totals["Samples"], totals["Scored"], totals["Without Answer"]) == (560, 400, 80)
    assert (totals["Without Verdict"], totals["Not Tried"], totals["Complete"]) == (80, 0, "no")
    failures = cells(content, "Failures")
    assert failures[1:4] == [
        ("all", None, None, "answer", "timeout", 80),
        ("all", None, None, "verdict", "verifier_timeout", 80),
        ("Task00bootcamp", "Task00.jsonl", "Task00", "answer", "timeout", 1),
    ]
    assert len(failures) == 1 + 2 + 160
    assert cells(content, "Parameters")[1:] == [
        ("model_name", "r1_32B"),
        ("template", "r1"),
        ("temperature", 0),
        ("stop", '["</s>"]'),
        ("top_p", "null"),
    ]


def test_families_and_repeats_have_sheets_behind_the_others() -> None:
    """Families stand behind the older sheets, with their errors; pass@k and the like only with repeats."""
    once, book = scores_workbook(eighty_rows(), PARAMETERS), openpyxl.load_workbook
    older = ["Scores", "Totals", "Failures", "Parameters"]
    assert book(BytesIO(once)).sheetnames == [*older, "Families"]
    head, other, total = cells(once, "Families")
    assert head[:3] == ("Family", "Rows", "Average Score")
    assert (other[:2], total[0]) == (("other", 80), "Total Average")
    assert other[head.index("Low 95 %, New Questions")] < other[2] < other[head.index("High 95 %, New Questions")]
    aggregator = Aggregator([FileGroups(file="a.jsonl")], repeats=2)
    for repeat, score in enumerate((0.0, 1.0)):
        aggregator.add_record("a.jsonl", RecordHead(row=0, repeat=repeat, data_source="Cipher", score=score))
    twice = scores_workbook(aggregator.summary(model_name="m", test_dir="t"), PARAMETERS)
    assert book(BytesIO(twice)).sheetnames == [*older, "Families", "Repeats"]
    head, row, _ = cells(twice, "Repeats")
    found = dict(zip(head, row, strict=True))
    assert (found["pass@1"], found["pass@2"], found["pass^2"], found["Variance Within Questions"]) == (0.5, 1, 0, 0.5)


def test_same_answers_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written at another time, in another zone and under another hash seed, the workbook has the same bytes."""
    first = scores_workbook(eighty_rows(), PARAMETERS)
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + 1e8)
    assert scores_workbook(eighty_rows(), PARAMETERS) == first
    code = (
        "import sys; from tests.test_reports_xlsx import *\n"
        "sys.stdout.buffer.write(scores_workbook(eighty_rows(), PARAMETERS))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    assert done.stdout == first


def test_no_member_of_the_file_tells_when_it_was_written() -> None:
    """Zip members and document properties carry one pinned time."""
    content = scores_workbook(run_of(group("a")), {})
    with ZipFile(BytesIO(content)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist()[0] == "[Content_Types].xml"
    properties = openpyxl.load_workbook(BytesIO(content)).properties
    assert properties.created == properties.modified
    assert str(properties.created) == "1980-01-01 00:00:00"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "#N/A", "=cmd|' /C calc'!A0", "1", "TRUE"])
def test_text_stays_text(text: str) -> None:
    """Names and values that look like formulas, error codes or numbers are stored as text."""
    book = openpyxl.load_workbook(BytesIO(scores_workbook(run_of(group(text)), {"stop": text})))
    for cell in (book["Scores"]["A2"], book["Parameters"]["B2"]):
        assert (cell.value, cell.data_type) == (text, "s")


def test_formulas_stay_text_when_edited() -> None:
    """A cell that looks like a formula carries the quote prefix, so that editing it in Excel does not run it."""
    book = openpyxl.load_workbook(BytesIO(scores_workbook(run_of(group("=1"), group("a")), {})))
    assert [book["Scores"][place].quotePrefix for place in ("A2", "A3")] == [True, False]


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_makes_a_workbook_that_opens(text: str) -> None:
    """Controls, surrogates and noncharacters in names do not break the file, and no formula comes of them."""
    run = RunSummary(model_name=text, test_dir=text, groups=(group(text),))
    book = openpyxl.load_workbook(BytesIO(scores_workbook(run, {text: text})))
    assert {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row} <= {"s", "n"}


@given(st.text(st.sampled_from("ab😀数\n"), max_size=20), st.integers(0, 40_000))
def test_long_text_is_cut_to_what_a_cell_holds(text: str, times: int) -> None:
    """No cell has more than 32,767 UTF-16 units; what was cut ends in an ellipsis."""
    cut = cell_safe(text * times)
    assert len(cut.encode("utf-16-le")) <= 2 * 32_767
    assert cut == cell_safe(cut)
    assert cut.endswith("…") or "\n" in text or cut == text * times


def test_numbers_that_a_spreadsheet_cannot_hold_are_text() -> None:
    """Large integers keep their digits, infinities and booleans are shown as JSON has them."""
    rows = cells(scores_workbook(run_of(), {"seed": 2**63, "x": float("inf"), "flag": True, "f": 0.7}), "Parameters")
    assert rows[1:] == [("seed", str(2**63)), ("x", "Infinity"), ("flag", "true"), ("f", 0.7)]


def test_a_run_without_any_score_has_no_chart_but_a_workbook() -> None:
    """No rows, or no scores yet, still make a workbook with head and total row."""
    for run in (run_of(), run_of(group("a", None))):
        sheet = openpyxl.load_workbook(BytesIO(scores_workbook(run, {}))).worksheets[0]
        assert sheet.cell(row=len(run.groups) + 2, column=1).value == "Total Average"
        assert not sheet._charts  # type: ignore[attr-defined]


def test_scores_beyond_one_keep_their_scale() -> None:
    """The axis is 0 to 1 where all scores are, and left to the spreadsheet where one is not."""
    for score, top in ((0.5, 1), (3.0, None)):
        sheet = openpyxl.load_workbook(BytesIO(scores_workbook(run_of(group("a", score)), {}))).worksheets[0]
        assert sheet._charts[0].y_axis.scaling.max == top  # type: ignore[attr-defined]


def write_scores(directory: Path, summary: RunSummary) -> None:
    """Write the workbook to a run directory."""
    form = REPORTS["xlsx"]
    assert isinstance(form, FileForm)
    write_report(form, RunDir(directory), summary, {}, no_check)


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The file is replaced as a whole, with the permissions of a plain file and no temporary file left."""
    path = tmp_path / "r1_32B_scores.xlsx"
    path.write_bytes(b"old")
    write_scores(tmp_path, run_of(group("a")))
    assert path.read_bytes() == scores_workbook(run_of(group("a")), {})
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_what_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    """A missing directory or a target that is a directory ends in one line, and no temporary file stays."""
    with pytest.raises(DiskError, match=r"cannot write .*/gone/r1_32B_scores\.xlsx: No such file or directory"):
        write_scores(tmp_path / "gone", run_of())
    (tmp_path / "r1_32B_scores.xlsx").mkdir()
    with pytest.raises(DiskError, match=r"cannot write .*/r1_32B_scores\.xlsx: "):
        write_scores(tmp_path, run_of())
    assert [entry.name for entry in tmp_path.iterdir()] == ["r1_32B_scores.xlsx"]
