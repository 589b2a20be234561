"""The workbook: layout of the reference, text that stays text, equal bytes for equal answers."""

import os
import subprocess
import sys
import time
from decimal import ROUND_HALF_UP, Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.analysis.audit import audit
from bootcamp_cli.analysis.counting import Aggregator, FileGroups, GroupPlan
from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
from bootcamp_cli.errors import DiskError
from bootcamp_cli.reports.columns import COLUMNS, FAMILY_COLUMNS, sheet_columns
from bootcamp_cli.reports.forms import REPORTS, FileForm, render, write_report
from bootcamp_cli.reports.xlsx import cell_safe, scores_workbook
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.records import RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import FailureRecord
from tests.test_store_journal import a_record

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


def test_charts_show_every_row_with_its_interval_and_ceiling() -> None:
    """The chart sheet has the rows by score, and beside them bars for 40 each with error bars and ceilings."""
    names = [f"Task{number:03}" for number in range(100)]
    run = with_ceilings(names)
    content = scores_workbook(run, PARAMETERS)
    head, *rows = cells(content, "Chart")
    assert head == ("bootcamp", "Average Score", "Low 95 %", "High 95 %", "To Low", "To High", "Ceiling")
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert {row[0] for row in rows} == {f"{name}bootcamp" for name in names}
    for _, score, low, high, to_low, to_high, ceiling in rows:
        assert (score - to_low, score + to_high, ceiling) == (pytest.approx(low), pytest.approx(high), 0.9)
    sheet = openpyxl.load_workbook(BytesIO(content))["Chart"]
    charts = sheet._charts  # type: ignore[attr-defined]
    for chart, (first, last) in zip(charts, ((2, 41), (42, 81), (82, 101)), strict=True):
        ceilings, scores = chart.series
        assert ceilings.val.numRef.f == f"'Chart'!$G${first}:$G${last}"
        assert scores.val.numRef.f == f"'Chart'!$B${first}:$B${last}"
        assert scores.cat.strRef.f == ceilings.cat.strRef.f == f"'Chart'!$A${first}:$A${last}"
        assert scores.errBars.minus.numRef.f == f"'Chart'!$E${first}:$E${last}"
        assert scores.errBars.plus.numRef.f == f"'Chart'!$F${first}:$F${last}"
        assert (chart.barDir, chart.x_axis.scaling.orientation, chart.x_axis.tickLblSkip) == ("bar", "maxMin", 1)
        assert (chart.x_axis.delete, chart.y_axis.delete, chart.y_axis.scaling.max) == (False, False, 1)
        assert chart.anchor._from.col > 7
        assert 0.35 <= chart.anchor.ext.height / 360_000 / (last - first + 1) <= 0.6
    assert [mark.id for mark in sheet.row_breaks.brk] == [37, 73]


def with_ceilings(names: list[str]) -> RunSummary:
    """A run whose rows have intervals and a ceiling each."""
    aggregator = Aggregator(
        FileGroups(
            file=f"{name}.jsonl", groups=(GroupPlan(bootcamp=f"{name}bootcamp", data_source=name, n=8, ceiling=0.9),)
        )
        for name in names
    )
    for number, name in enumerate(names):
        for row in range(8):
            aggregator.add_record(f"{name}.jsonl", RecordHead(row=row, data_source=name, score=float(row < number % 9)))
    return aggregator.summary(model_name="r1_32B", test_dir="eval_data")


def test_a_bootcamp_of_several_files_is_named_with_them_in_the_chart() -> None:
    """Where two rows have one bootcamp, their bars are told apart by the file."""
    aggregator = Aggregator([FileGroups(file="a.jsonl"), FileGroups(file="b.jsonl")])
    for file in ("a.jsonl", "b.jsonl"):
        aggregator.add_record(file, RecordHead(row=0, data_source="Cipher", score=1.0))
    content = scores_workbook(aggregator.summary(model_name="m", test_dir="t"), {})
    assert [row[0] for row in cells(content, "Chart")[1:]] == ["Cipherbootcamp, a.jsonl", "Cipherbootcamp, b.jsonl"]


def test_sheets_stand_in_their_order_and_the_summary_opens() -> None:
    """The reference's sheet stays the first, the summary is the second and the one that opens."""
    book = openpyxl.load_workbook(BytesIO(scores_workbook(eighty_rows(), PARAMETERS)))
    assert book.sheetnames == ["Scores", "Summary", "Chart", "Families", "Failures", "Audit", "Parameters"]
    assert book.active is book["Summary"]
    assert [sheet.title for sheet in book if sheet.sheet_view.tabSelected] == ["Summary"]


def test_columns_are_ordered_by_use_and_names_stand_last() -> None:
    """Behind the reference's three columns stand the interval, the ceiling, what became of the samples, the file."""
    head = cells(scores_workbook(with_ceilings(["a"]), {}), "Scores")[0]
    assert head[:9] == (
        *("bootcamp", "Average Score", "Average Output Length", "Low 95 %, New Questions"),
        *("High 95 %, New Questions", "Standard Error, New Questions", "Ceiling", "Samples", "Correct"),
    )
    assert head[-2:] == ("File", "Data Source")
    in_sheet = {column.key for column in (*COLUMNS, FAMILY_COLUMNS[0])}
    assert {column.key for column in sheet_columns(of_repeats())} <= in_sheet


def test_tables_can_be_worked_with_and_printed() -> None:
    """Each table has a frozen head and a filter that leaves the total alone, and prints in landscape."""
    book = openpyxl.load_workbook(BytesIO(scores_workbook(eighty_rows(), PARAMETERS)))
    for sheet in book:
        assert sheet.page_setup.orientation == "landscape"
        if sheet.title == "Summary":
            continue
        assert sheet.freeze_panes == "B2"
        if sheet.title == "Chart":
            continue
        assert sheet.print_title_rows == "$1:$1"
        assert sheet.sheet_properties.pageSetUpPr is not None
        assert (sheet.sheet_properties.pageSetUpPr.fitToPage, sheet.page_setup.fitToHeight) == (True, 0)
    assert str(book["Scores"].auto_filter.ref).endswith("81")
    assert book["Scores"]["A82"].value == "Total Average"
    (coloured,) = book["Scores"].conditional_formatting
    assert str(coloured.sqref) == "B2:B81"
    assert book["Scores"].column_dimensions["A"].width >= len("Task00bootcamp")


def test_every_cell_has_one_font() -> None:
    """Whatever is bold, the family and the size of the letters are the same in all sheets."""
    book = openpyxl.load_workbook(BytesIO(scores_workbook(of_repeats(), PARAMETERS)))
    filled = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {(cell.font.name, cell.font.size) for cell in filled} == {("Calibri", 11)}


def test_a_score_is_shown_as_in_the_terminal() -> None:
    """The formats of the cells show the digits that the table has, and 0.78125 is 0.7813 in both."""
    for run in (eighty_rows(), with_ceilings([f"t{number}" for number in range(9)]), of_repeats()):
        sheet = openpyxl.load_workbook(BytesIO(scores_workbook(run, {})))["Scores"]
        table = render(run, "table", by="bootcamp").splitlines()[2 : 2 + len(run.groups)]
        for line, row in zip(table, sheet.iter_rows(min_row=2, max_row=1 + len(run.groups)), strict=True):
            assert line.split()[1] == shown(row[1])
    uneven = GroupSummary(bootcamp="b", file="b.jsonl", n=32, n_answered=32, n_scored=32, score_sum=25.0)
    cell = openpyxl.load_workbook(BytesIO(scores_workbook(run_of(uneven), {})))["Scores"]["B2"]
    assert cell.value == 0.78125
    assert shown(cell) == "0.7813"
    for form in ("table", "markdown"):
        assert "0.7813" in render(run_of(uneven), form)


def shown(cell: Any) -> str:
    """What a spreadsheet shows for a score: halves are rounded away from zero."""
    digits = cell.number_format.replace("_0", "").partition(".")[2]
    return str(Decimal(repr(cell.value)).quantize(Decimal(f"0.{digits}"), ROUND_HALF_UP))


def of_repeats() -> RunSummary:
    """A run that asks a question twice."""
    aggregator = Aggregator([FileGroups(file="a.jsonl")], repeats=2)
    for repeat, score in enumerate((0.0, 1.0)):
        aggregator.add_record("a.jsonl", RecordHead(row=0, repeat=repeat, data_source="Cipher", score=score))
    return aggregator.summary(model_name="m", test_dir="t")


def test_the_summary_tells_score_completeness_and_families() -> None:
    """The second sheet has model, score with its interval, counts and families, and the figures of the whole run."""
    run = eighty_rows()
    assert run.interval is not None
    rows = cells(scores_workbook(run, PARAMETERS), "Summary")
    facts = {row[0]: row[1:] for row in rows}
    assert (facts["Model"][0], facts["Test Dir"][0], facts["Complete"][0]) == ("r1_32B", "eval_data", "no")
    ends = run.interval.low, run.interval.high
    assert facts["Average Score, every row alike"][:3] == pytest.approx((run.avg_score, *ends))
    assert facts["Average Score, every sample alike"][0] == pytest.approx(run.weighted_score)
    assert (facts["Samples"][0], facts["Scored"][0], facts["Without Answer"][0]) == (560, 400, 80)
    assert (facts["Without Verdict"][0], facts["Not Tried"][0]) == (80, 0)
    assert facts["other"][:2] == (80, run.avg_score)
    assert facts["Total Average"][:2] == (80, run.avg_score)


def test_further_sheets_tell_failures_and_parameters() -> None:
    """Failures by kind and the parameters have their own sheets; where nothing failed a word says so."""
    content = scores_workbook(eighty_rows(), PARAMETERS)
    failures = cells(content, "Failures")
    assert failures[1:4] == [
        ("all", "answer", "timeout", 80, None, None),
        ("all", "verdict", "verifier_timeout", 80, None, None),
        ("Task00bootcamp", "answer", "timeout", 1, "Task00.jsonl", "Task00"),
    ]
    assert len(failures) == 1 + 2 + 160
    assert cells(scores_workbook(run_of(group("a")), {}), "Failures")[1][0] == "none: every sample has a score"
    assert "2 samples are not tried" in cells(scores_workbook(run_of(group("a", None)), {}), "Failures")[1][0]
    assert cells(content, "Parameters")[1:] == [
        ("model_name", "r1_32B"),
        ("template", "r1"),
        ("temperature", 0),
        ("stop", '["</s>"]'),
        ("top_p", "null"),
    ]


def test_the_audit_has_a_sheet_that_says_where_there_is_none() -> None:
    """Causes stand for the run and for each row; without an audit the sheet names the option that makes one."""
    without = cells(scores_workbook(eighty_rows(), {}), "Audit")
    assert "report RUN_DIR --audit" in without[1][0]
    record = replace(a_record(0), output="", score=0.0, data_source="Cipher", finish_reason="stop")
    found = audit([("a.jsonl", record)])
    rows = cells(scores_workbook(run_of(group("Cipherbootcamp")), {}, found), "Audit")
    assert rows[1:] == [
        ("all", "empty", "empty", 1, 1, 0, None),
        ("Cipherbootcamp", "empty", "empty", 1, 1, 0, "a.jsonl"),
    ]
    assert cells(scores_workbook(run_of(), {}, audit([])), "Audit")[1][0] == "none: no cause was found"


def test_families_and_repeats_have_their_sheets() -> None:
    """Families stand with their errors; pass@k and the like only with repeats."""
    head, other, total = cells(scores_workbook(eighty_rows(), PARAMETERS), "Families")
    assert head[:3] == ("Family", "Rows", "Average Score")
    assert (other[:2], total[0]) == (("other", 80), "Total Average")
    assert other[head.index("Low 95 %, New Questions")] < other[2] < other[head.index("High 95 %, New Questions")]
    head, row, _ = cells(scores_workbook(of_repeats(), PARAMETERS), "Repeats")
    found = dict(zip(head, row, strict=True))
    assert (found["pass@1"], found["pass@2"], found["pass^2"], found["Variance Within Questions"]) == (0.5, 1, 0, 0.5)
    assert head[-2:] == ("File", "Data Source")


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
        charts = openpyxl.load_workbook(BytesIO(scores_workbook(run, {})))["Chart"]
        assert charts["A2"].value == "no row has a score"
        assert not charts._charts  # type: ignore[attr-defined]


def test_scores_beyond_one_keep_their_scale() -> None:
    """The axis is 0 to 1 where all scores are, and left to the spreadsheet where one is not."""
    for score, top in ((0.5, 1), (3.0, None)):
        sheet = openpyxl.load_workbook(BytesIO(scores_workbook(run_of(group("a", score)), {})))["Chart"]
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
