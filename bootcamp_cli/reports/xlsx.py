"""{model_name}_scores.xlsx: the averages with a chart, the totals, the failures, the parameters.

The file's bytes depend only on its content.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.cell import Cell as SheetCell
from openpyxl.chart import BarChart, Reference
from openpyxl.chart.data_source import AxDataSource, StrRef
from openpyxl.chart.label import DataLabelList
from openpyxl.chart.title import title_maker
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
from bootcamp_cli.reports.columns import COLUMNS, FAMILY_COLUMNS, Cell, Column, Kind, repeat_columns
from bootcamp_cli.reports.table import TOTAL, display_width, is_formula
from bootcamp_cli.text import visible

_Row = tuple[Kind, *tuple[Cell, ...]]
_NAMES = tuple(column for column in COLUMNS if column.key in ("file", "data_source"))
NUMBER_FORMATS: dict[Kind, str] = {"text": "General", "count": "#,##0", "score": "0.0000", "length": "#,##0.0"}
_MAX_UNITS = 32_767
"""The most UTF-16 units that Excel takes in a cell."""
_EXACT = 2**53
"""Integers beyond this lose digits in a spreadsheet, which only has doubles."""
_BAR_CM = 0.5
_FRAME_CM = 3.0
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""


def scores_workbook(summary: RunSummary, parameters: Mapping[str, Any]) -> bytes:
    """The workbook: on one installation the same answers and parameters give the same bytes.

    `parameters` are those that decide the answers, by name, in the order to show them, secrets masked: nothing that
    differs between two runs with the same answers may be among them.
    """
    workbook = Workbook()
    workbook.properties.creator = "bootcamp"
    scores = workbook.active
    assert isinstance(scores, Worksheet)  # noqa: S101  # a new workbook has one
    scores.title = "Scores"
    _fill_scores(scores, summary)
    _fill(workbook.create_sheet("Totals"), ("Total", "Value"), _totals(summary))
    titles = ("Bootcamp", "File", "Data Source", "Lacks", "Kind", "Samples")
    _fill(workbook.create_sheet("Failures"), titles, _failures(summary))
    _fill(workbook.create_sheet("Parameters"), ("Parameter", "Value"), _parameters(parameters))
    _fill_families(workbook.create_sheet("Families"), summary)
    if summary.repeats > 1:
        _fill_table(workbook.create_sheet("Repeats"), summary, (*COLUMNS[:1], *_NAMES, *repeat_columns(summary)))
    return workbook_file(workbook)


def _fill_scores(sheet: Worksheet, summary: RunSummary) -> None:
    """A row per line of meta.jsonl sorted by bootcamp, the total last, the chart to the right of the table.

    Source of the first three columns and the last row: the summary of InternBootcamp's run_eval.py.
    """
    columns = [column for column in COLUMNS if column.in_sheet(summary)]
    groups = _fill_table(sheet, summary, columns)
    averages = [group.avg_score for group in groups if group.avg_score is not None]
    if averages:
        unit_scale = all(0 <= score <= 1 for score in averages)
        chart = score_chart(sheet, n_rows=len(groups), unit_scale=unit_scale)
        sheet.add_chart(chart, f"{get_column_letter(len(columns) + 2)}2")


def _fill_table(sheet: Worksheet, summary: RunSummary, columns: Sequence[Column]) -> list[GroupSummary]:
    """A row per line of meta.jsonl sorted by bootcamp, the total last; gives the lines in their order."""
    groups = sorted(summary.groups, key=lambda group: group.bootcamp)
    _put_table(sheet, columns, [[column.of(group) for column in columns] for group in groups], summary)
    return groups


def _fill_families(sheet: Worksheet, summary: RunSummary) -> None:
    """A row per family, its means unweighted ones of its rows, the total last."""
    numbers = [column for column in COLUMNS if column.kind != "text" and column.in_sheet(summary)]
    columns = [*FAMILY_COLUMNS, *numbers, *repeat_columns(summary)]
    rows = [[name, *(column.total(family) for column in columns[1:])] for name, family in summary.families.items()]
    _put_table(sheet, columns, rows, summary)


def _put_table(
    sheet: Worksheet, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], summary: RunSummary
) -> None:
    """Header, rows, and the total in bold."""
    kinds = [column.kind for column in columns]
    put_header(sheet, [column.sheet_title for column in columns])
    for number, row in enumerate(rows, start=2):
        put_row(sheet, number, row, kinds)
    total = [TOTAL, *(column.total(summary) for column in columns[1:])]
    put_row(sheet, len(rows) + 2, total, kinds, bold=True)
    fit_columns(sheet, len(columns))


def _fill(sheet: Worksheet, titles: Sequence[str], rows: Iterable[_Row]) -> None:
    """Write a sheet; each row comes with the kind of its last cell, the others are text."""
    put_header(sheet, titles)
    for number, (kind, *cells) in enumerate(rows, start=2):
        kinds: list[Kind] = ["text"] * len(cells)
        kinds[-1] = kind
        put_row(sheet, number, cells, kinds)
    fit_columns(sheet, len(titles), widest=100)


def _totals(run: RunSummary) -> Iterator[_Row]:
    bounds, weighted = run.bounds, run.weighted_bounds
    yield "text", "Model", run.model_name
    yield "text", "Complete", "yes" if run.complete else "no"
    yield "score", "Average Score, every sample alike", run.weighted_score
    yield "score", "  if every sample without a score were wrong", weighted.low if weighted else None
    yield "score", "  if every sample without a score were right", weighted.high if weighted else None
    yield "length", "Average Output Length, every sample alike", run.weighted_len
    yield "score", "Average Score, every row alike", run.avg_score
    yield "score", "  if every sample without a score were wrong", bounds.low if bounds else None
    yield "score", "  if every sample without a score were right", bounds.high if bounds else None
    yield "length", "Average Output Length, every row alike", run.avg_len
    for column in COLUMNS:
        if column.kind == "count" and column.in_sheet(run):
            yield "count", column.sheet_title, column.total(run)
    yield from _errors(run)
    yield "score", "Least Score of a Correct Answer", run.right_at
    yield "score", "Average Score if every truncated answer were right", run.score_if_truncated_right
    yield "length", "Output Length, Median", run.length.quantile(0.5)
    yield "length", "Output Length, 95th Percentile", run.length.quantile(0.95)


def _errors(run: RunSummary) -> Iterator[_Row]:
    """What the averages are known to, each error by its name."""
    for name, interval in (
        ("Average Score, every row alike", run.interval),
        ("Average Score, every sample alike", run.weighted_interval),
    ):
        yield "score", f"{name}: 95 % interval for new questions, low", interval.low if interval else None
        yield "score", f"{name}: 95 % interval for new questions, high", interval.high if interval else None
    mean = run.mean
    yield "score", "Standard Error, new questions", mean.error_new_questions if mean else None
    yield "score", "Standard Error, other bootcamps than these", mean.error_other_bootcamps if mean else None
    yield "score", "Standard Error, rerun of the same questions (noise floor)", mean.error_rerun if mean else None


def _failures(run: RunSummary) -> Iterator[_Row]:
    """Counts by kind, first for the whole run, then for each row that has any."""
    for lacks, kind, count in _lacking(run):
        yield "count", "all", None, None, lacks, kind, count
    for group in sorted(run.groups, key=lambda group: group.bootcamp):
        for lacks, kind, count in _lacking(group):
            yield "count", group.bootcamp, group.file, group.data_source, lacks, kind, count


def _lacking(counts: RunSummary | GroupSummary) -> Iterator[tuple[str, str, int]]:
    """What samples without a score lack, why, and how many there are."""
    yield from (("answer", kind, count) for kind, count in counts.failures.items())
    yield from (("verdict", kind, count) for kind, count in counts.unverified.items())


def _parameters(parameters: Mapping[str, Any]) -> Iterator[_Row]:
    """Texts and finite numbers as they are, everything else as JSON."""
    for name, value in parameters.items():
        is_number = type(value) is int or (type(value) is float and math.isfinite(value))
        if is_number or isinstance(value, str):
            yield "text", name, value
        else:
            yield "text", name, json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def fill_sheet(sheet: Worksheet, titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a sheet whose cells are shown by what they are: texts, counts, numbers with four decimals."""
    put_header(sheet, titles)
    for number, cells in enumerate(rows, start=2):
        put_row(sheet, number, cells, [_kind(cell) for cell in cells])
    fit_columns(sheet, len(titles))


def _kind(cell: Cell) -> Kind:
    if isinstance(cell, float):
        return "score"
    return "count" if isinstance(cell, int) else "text"


def put_row(sheet: Worksheet, row: int, cells: Iterable[Cell], kinds: Sequence[Kind], *, bold: bool = False) -> None:
    """Write one row, starting in column A; a cell of None stays empty."""
    for column, (value, kind) in enumerate(zip(cells, kinds, strict=True), start=1):
        cell = sheet.cell(row=row, column=column)
        assert isinstance(cell, SheetCell)  # noqa: S101  # merged cells do not occur
        _put(cell, value, kind)
        if bold:
            cell.font = Font(bold=True)


def put_header(sheet: Worksheet, titles: Sequence[str]) -> None:
    """Write the first row, in bold and two lines high, and freeze it and the first column."""
    put_row(sheet, 1, titles, ["text"] * len(titles), bold=True)
    for cell in sheet[1]:
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.row_dimensions[1].height = 45
    sheet.freeze_panes = "B2"


def fit_columns(sheet: Worksheet, n_columns: int, *, widest: int = 60) -> None:
    """Make each column as wide as its longest cell below the heading, within limits, in characters."""
    for column in range(1, n_columns + 1):
        cells = (sheet.cell(row=row, column=column).value for row in range(2, sheet.max_row + 1))
        longest = max((display_width(_shown(cell)) for cell in cells if cell is not None), default=0)
        sheet.column_dimensions[get_column_letter(column)].width = min(max(longest + 2, 11), widest)


def cell_safe(text: str) -> str:
    """The text with hidden characters visible, cut to what a cell holds, `…` in place of the rest."""
    text = visible(text)
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _MAX_UNITS:
        return text
    return units[: 2 * (_MAX_UNITS - 1)].decode("utf-16-le", errors="ignore") + "…"


def _put(cell: SheetCell, value: Cell, kind: Kind) -> None:
    """Write one cell; text is stored as text even where it looks like a formula or an error code."""
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        value = str(value)
    if isinstance(value, str):
        cell.value = cell_safe(value)
        cell.data_type = "s"
        cell.quotePrefix = is_formula(value)  # so that it stays text when someone edits it
    elif value is not None:
        cell.value = value
        cell.number_format = NUMBER_FORMATS[kind]


def _shown(value: object) -> str:
    """Roughly what the spreadsheet shows for a value."""
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


def score_chart(sheet: Worksheet, *, n_rows: int, unit_scale: bool) -> BarChart:
    """A chart of column B of the sheet by the names in column A, rows 2 to n_rows + 1, the first at the top.

    `unit_scale` fixes the scale to 0..1, so that charts of several runs can be compared.
    """
    chart = BarChart()
    chart.type = "bar"
    chart.style = 10
    chart.title = title_maker("Average Score")
    chart.title.overlay = False
    chart.legend = None
    chart.gapWidth = 40
    chart.width = 24
    chart.height = _FRAME_CM + _BAR_CM * n_rows
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=n_rows + 1), titles_from_data=True)
    names_at = StrRef(f=str(Reference(sheet, min_col=1, min_row=2, max_row=n_rows + 1)))
    chart.series[0].cat = AxDataSource(strRef=names_at)
    chart.dataLabels = DataLabelList(
        numFmt="0.000",
        showVal=True,
        showSerName=False,
        showCatName=False,
        showLegendKey=False,
        showPercent=False,
        showBubbleSize=False,
    )
    names, scores = chart.x_axis, chart.y_axis
    names.delete = scores.delete = False  # openpyxl leaves it unset, and Excel then draws no axis
    names.scaling.orientation = "maxMin"  # row 2 at the top; the scale goes to the top with it
    names.tickLblSkip = 1  # show every name
    names.tickLblPos = "low"  # beside the plot, even with negative scores
    scores.number_format = "0.0"
    scores.numFmt.sourceLinked = False
    if unit_scale:
        scores.scaling.min, scores.scaling.max, scores.majorUnit = 0, 1, 0.1
    return chart


def workbook_file(workbook: Workbook) -> bytes:
    """The xlsx file: creation, change and zip times are pinned, members stand in name order.

    `Workbook.save` would stamp the time of writing, so its other steps are repeated here.
    """
    workbook.properties.created = workbook.properties.modified = datetime(*_EPOCH)  # noqa: DTZ001  # UTC by the format
    stamped, pinned = BytesIO(), BytesIO()
    ExcelWriter(workbook, ZipFile(stamped, "w", ZIP_DEFLATED)).save()
    with ZipFile(stamped) as source, ZipFile(pinned, "w") as target:
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            member = ZipInfo(name, date_time=_EPOCH)
            member.compress_type = ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            target.writestr(member, source.read(name), compresslevel=6)
    return pinned.getvalue()
