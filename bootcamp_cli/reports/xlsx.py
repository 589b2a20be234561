"""{model_name}_scores.xlsx: the reference's sheet, a summary, charts, families, repeats, failures, audit, parameters.

The file's bytes depend only on its content.
"""

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.cell import Cell as SheetCell
from openpyxl.chart import BarChart, Reference
from openpyxl.chart.data_source import AxDataSource, NumDataSource, NumRef, StrRef
from openpyxl.chart.error_bar import ErrorBars
from openpyxl.chart.series import Series
from openpyxl.chart.series_factory import SeriesFactory
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.chart.text import RichText, Text
from openpyxl.chart.title import Title
from openpyxl.drawing.line import LineProperties
from openpyxl.drawing.spreadsheet_drawing import SpreadsheetDrawing
from openpyxl.drawing.text import CharacterProperties, Paragraph, ParagraphProperties, RegularTextRun
from openpyxl.formatting.rule import ColorScaleRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._writer import WorksheetWriter
from openpyxl.worksheet.page import PageMargins
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from bootcamp_cli.analysis.statistics import Interval
from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
from bootcamp_cli.reports.columns import (
    COLUMNS,
    FAMILY_COLUMNS,
    Cell,
    Column,
    Kind,
    cell_text,
    decimals,
    digits_borne,
    repeat_columns,
    sheet_columns,
)
from bootcamp_cli.reports.table import TOTAL, display_width
from bootcamp_cli.text import SCORE_DIGITS, is_formula, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.audit import Audit

_NAMES = tuple(column for column in COLUMNS if column.key in ("file", "data_source"))
_MAX_UNITS = 32_767
"""The most UTF-16 units that Excel takes in a cell."""
_EXACT = 2**53
"""Integers beyond this lose digits in a spreadsheet, which only has doubles."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""

_PLAIN = Font(name="Calibri", size=11, family=2)
_BOLD = Font(name="Calibri", size=11, family=2, bold=True)
_SET_IN = Alignment(horizontal="left", indent=1)
"""For texts behind the first column: numbers before them end where they begin."""
_HEAD_FILL = PatternFill("solid", fgColor="E7E6E6")
_LINE_POINTS = 15
_NARROWEST = 8
_LOW, _MIDDLE, _HIGH = "F4B183", "FFFFFF", "9DC3E6"
"""The colours of scores of 0, one half and 1: told apart by all eyes, and dark text is read on each."""


def scores_workbook(summary: RunSummary, parameters: Mapping[str, Any], audit: "Audit | None" = None) -> bytes:
    """The workbook: on one installation the same answers, parameters and audit give the same bytes.

    `parameters` are what made the answers, by name, in the order to show them, secrets masked: nothing that
    differs between two runs with the same answers may be among them. `audit` is None where nobody made one.
    """
    workbook = StyledWorkbook()
    scores = workbook.active
    assert isinstance(scores, Worksheet)  # noqa: S101  # a new workbook has one
    scores.title = "Scores"
    groups = sorted(summary.groups, key=lambda group: group.bootcamp)
    _fill_groups(scores, sheet_columns(summary), groups, summary)
    _print_first(scores, sheet_columns(summary), n_rows=len(groups) + 2)
    _fill_summary(workbook.create_sheet("Summary"), summary)
    workbook.active = 1
    workbook.worksheets[1].sheet_view.tabSelected = True
    _fill_chart(workbook.create_sheet("Chart"), groups)
    _fill_families(workbook.create_sheet("Families"), summary)
    if summary.repeats > 1:
        columns = (COLUMNS[0], *repeat_columns(summary), *_NAMES)
        _fill_groups(workbook.create_sheet("Repeats"), columns, groups, summary)
    _fill_failures(workbook.create_sheet("Failures"), summary, groups)
    _fill_audit(workbook.create_sheet("Audit"), audit)
    _fill_parameters(workbook.create_sheet("Parameters"), parameters)
    return workbook_file(workbook)


def _fill_groups(
    sheet: Worksheet, columns: Sequence[Column], groups: Sequence[GroupSummary], summary: RunSummary
) -> None:
    """A row per line of meta.jsonl sorted by bootcamp, the total last.

    Source of the first three columns and the last row of the first sheet: the summary of InternBootcamp's run_eval.py.
    """
    _put_table(
        sheet, columns, [([column.of(group) for column in columns], group.interval) for group in groups], summary
    )


def _print_first(sheet: Worksheet, columns: Sequence[Column], *, n_rows: int) -> None:
    """Print the columns up to `Scored`: with the others beside them nobody could read a page."""
    n_columns = next(at for at, column in enumerate(columns) if column.key == "n_scored")
    sheet.print_area = f"A1:{get_column_letter(n_columns)}{n_rows}"


def _fill_families(sheet: Worksheet, summary: RunSummary) -> None:
    """A row per family, its means unweighted ones of its rows, the total last."""
    columns = [*FAMILY_COLUMNS, *_numbers(summary), *repeat_columns(summary)]
    _put_table(sheet, columns, _family_rows(summary, columns), summary)


def _numbers(summary: RunSummary) -> list[Column]:
    return [column for column in sheet_columns(summary) if column.kind != "text"]


_Row = tuple[Sequence[Cell], Interval | None]
"""The cells of a row, and the interval of its score."""


def _family_rows(summary: RunSummary, columns: Sequence[Column]) -> list[_Row]:
    return [
        ([name, *(column.total(family) for column in columns[1:])], family.interval)
        for name, family in summary.families.items()
    ]


def _put_table(
    sheet: Worksheet, columns: Sequence[Column], rows: Sequence[_Row], summary: RunSummary, *, top: int = 1
) -> None:
    """Head, rows, and the total in bold: as a sheet of its own, or from row `top` on."""
    kinds = [column.kind for column in columns]
    _put_head(sheet, top, [column.sheet_title for column in columns], kinds)
    total = [TOTAL, *(column.total(summary) for column in columns[1:])]
    all_rows = [*rows, (total, summary.interval)]
    widest = max(digits_borne(interval) for _, interval in all_rows)
    for number, (cells, interval) in enumerate(all_rows, start=top + 1):
        is_total = number == top + len(all_rows)
        put_row(sheet, number, cells, kinds, bold=is_total, digits=digits_borne(interval), widest=widest)
    scores = [at for at, column in enumerate(columns, start=1) if column.key == "avg_score"]
    for at in scores:
        _colour(sheet, at, top + 1, [row[at - 1] for row, _ in rows])
    if top == 1:
        finish_table(sheet, len(columns), n_rows=len(rows) + 1, has_total=True)


def _colour(sheet: Worksheet, column: int, first: int, scores: Sequence[Cell]) -> None:
    """Colour scores by how high they are: from 0 to 1, or between the ends where one is outside."""
    values = [score for score in scores if isinstance(score, float)]
    if not values:
        return
    low, high = (0.0, 1.0) if _is_unit(values) else (min(values), max(values))
    letter = get_column_letter(column)
    ends = {"start_value": low, "mid_value": (low + high) / 2, "end_value": high}
    colours = {"start_color": _LOW, "mid_color": _MIDDLE, "end_color": _HIGH}
    scale = ColorScaleRule(start_type="num", mid_type="num", end_type="num", **ends, **colours)  # type: ignore[no-untyped-call]
    sheet.conditional_formatting.add(f"{letter}{first}:{letter}{first + len(scores) - 1}", scale)


def _is_unit(scores: Iterable[float]) -> bool:
    return all(0 <= score <= 1 for score in scores)


# The summary


def _fill_summary(sheet: Worksheet, run: RunSummary) -> None:
    """What a reader wants to know first, then the families, then what else is known of the whole run."""
    _put_head(sheet, 1, ("Run", "Value", "Low 95 %", "High 95 %"), ("text", "score", "score", "score"))
    at_families = 3 + _put_facts(sheet, 2, _headline(run), run.interval)
    keys = ("avg_score", "score_low95", "score_high95", "ceiling", "avg_len", "n", "n_correct", "n_wrong")
    more = ("n_lost_truncated", "n_failed", "n_unverified", "n_missing")
    columns = [*FAMILY_COLUMNS, *(column for column in _numbers(run) if column.key in (*keys, *more))]
    _put_table(sheet, columns, _family_rows(run, columns), run, top=at_families)
    at_rest = at_families + len(run.families) + 3
    _put_head(sheet, at_rest, ("Whole Run", "Value"), ("text", "score"))
    _put_facts(sheet, at_rest + 1, _further(run), run.interval)
    fit_columns(sheet, len(columns), heads=(1, at_families, at_rest))
    _fit_page(sheet)


_Fact = tuple[str, Kind, Cell] | tuple[str, Kind, Cell, Interval | None]
"""A label, a value with its kind, and the interval of a score."""


def _put_facts(sheet: Worksheet, first: int, facts: Iterable[_Fact], digits_of: Interval | None) -> int:
    """Write a row for each fact, scores with the digits that `digits_of` bears unless they have their own; how many."""
    n = 0
    for number, (label, kind, value, *interval) in enumerate(facts, start=first):
        own = interval[0] if interval else None
        ends: list[Cell] = [] if own is None else [own.low, own.high]
        kinds: list[Kind] = ["text", kind, *(["score"] * len(ends))]  # type: ignore[list-item]  # a Kind
        digits = digits_borne(own or digits_of)
        put_row(sheet, number, [label, value, *ends], kinds, digits=digits, widest=digits)
        sheet.cell(row=number, column=2).alignment = Alignment(horizontal="right")
        n += 1
    return n


def _headline(run: RunSummary) -> Iterator[_Fact]:
    account = run.account
    yield "Model", "text", run.model_name
    yield "Test Dir", "text", run.test_dir
    yield "Average Score, every row alike", "score", run.avg_score, run.interval
    yield "Average Score, every sample alike", "score", run.weighted_score, run.weighted_interval
    if run.ceiling is not None:
        yield "Ceiling: what any outputs can reach", "limit", run.ceiling
    yield "Complete", "text", "yes" if run.complete else "no"
    yield "Samples", "count", run.n_samples
    yield "Scored", "count", run.n_scored
    gaps = (("Without Answer", run.n_failed), ("Without Verdict", run.n_unverified), ("Not Tried", run.n_missing))
    lost = (("Not Correct: Truncated", account.truncated), ("Not Correct: Empty", account.empty))
    yield from ((label, "count", n) for label, n in (*gaps, *lost) if n)


def _further(run: RunSummary) -> Iterator[_Fact]:
    for name, length, bounds in (
        ("row", run.avg_len, run.bounds),
        ("sample", run.weighted_len, run.weighted_bounds),
    ):
        yield f"Average Output Length, every {name} alike", "length", length
        low, high = (bounds.low, bounds.high) if bounds else (None, None)
        yield f"Every {name} alike, if all without a score were wrong", "score", low
        yield f"Every {name} alike, if all without a score were right", "score", high
    yield "Average Score if every truncated answer were right", "score", run.score_if_truncated_right
    mean = run.mean
    new, other, rerun = (mean.error_new_questions, mean.error_other_bootcamps, mean.error_rerun) if mean else [None] * 3
    yield "Standard Error, new questions", "error", new
    yield "Standard Error, other bootcamps than these", "error", other
    yield "Standard Error, rerun (noise floor)", "error", rerun
    yield "Least Score of a Correct Answer", "limit", run.right_at
    yield "Output Length, Median", "length", run.length.quantile(0.5)
    yield "Output Length, 95th Percentile", "length", run.length.quantile(0.95)
    for column in sheet_columns(run):
        if column.kind == "count":
            yield column.sheet_title, "count", column.total(run)


# The charts


_BARS = 40
"""The most bars of a chart, which then fills a page in landscape."""
_BAR_CM = 0.38
_FRAME_CM = 2.8
_CHART_CM = 26
_PAGE_ROWS = 36
_CHART_AT = 9
_CHART_TITLES = ("bootcamp", "Average Score", "Low 95 %", "High 95 %", "To Low", "To High", "Ceiling")


def _fill_chart(sheet: Worksheet, groups: Sequence[GroupSummary]) -> None:
    """The rows with a score, the highest first, and beside them charts of up to 40 rows, a printed page each."""
    scored = [(group.avg_score, group) for group in groups if group.avg_score is not None]
    scored.sort(key=lambda entry: -entry[0])
    times = Counter(group.bootcamp for _, group in scored)
    kinds: list[Kind] = ["text", "score", "score", "score", "error", "error", "limit"]
    _put_head(sheet, 1, _CHART_TITLES, kinds)
    widest = max((digits_borne(group.interval) for _, group in scored), default=SCORE_DIGITS)
    for number, (score, group) in enumerate(scored, start=2):
        name = group.bootcamp if times[group.bootcamp] == 1 else f"{group.bootcamp}, {group.file}"
        ends: list[Cell] = [None] * 4
        if (interval := group.interval) is not None:
            ends = [interval.low, interval.high, max(score - interval.low, 0.0), max(interval.high - score, 0.0)]
        cells: list[Cell] = [name, score, *ends, group.ceiling]
        put_row(sheet, number, cells, kinds, digits=digits_borne(interval), widest=widest)
    finish_table(sheet, len(_CHART_TITLES), n_rows=max(len(scored), 1))
    if not scored:
        put_row(sheet, 2, ("no row has a score",), ["text"])
        return
    values = [value for score, group in scored for value in (score, group.ceiling) if value is not None]
    n_pages = -(-len(scored) // _BARS)
    for page in range(n_pages):
        first = 2 + page * _BARS
        last = min(first + _BARS, 2 + len(scored)) - 1
        part = "" if n_pages == 1 else f", {first - 1} to {last - 1} of {len(scored)}"
        chart = score_chart(
            sheet,
            rows=(first, last),
            title=f"Average Score, 95 % intervals for new questions{part}",
            has_ceiling=any(group.ceiling is not None for _, group in scored),
            unit_scale=_is_unit(values),
        )
        sheet.add_chart(chart, f"{get_column_letter(_CHART_AT)}{3 + page * _PAGE_ROWS}")
        if page:
            sheet.row_breaks.append(Break(id=1 + page * _PAGE_ROWS))
    _fit_charts(sheet, n_pages)


def _fit_charts(sheet: Worksheet, n_pages: int) -> None:
    """Print the charts alone, a page each; Excel heeds page breaks only where the scale is given."""
    letters = get_column_letter(_CHART_AT), get_column_letter(_CHART_AT + 15)
    sheet.print_area = f"{letters[0]}2:{letters[1]}{1 + n_pages * _PAGE_ROWS}"
    sheet.print_title_rows = None
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=False)
    sheet.page_setup.fitToWidth = sheet.page_setup.fitToHeight = None
    sheet.page_setup.scale = 85
    sheet.print_options.horizontalCentered = True


def score_chart(
    sheet: Worksheet, *, rows: tuple[int, int], title: str, has_ceiling: bool, unit_scale: bool
) -> BarChart:
    """A chart of the first to the last of `rows`: names in A, scores in B, distances to both ends in E and F.

    Behind the bars those of the ceilings in G, if there are any. `unit_scale` fixes the scale to 0..1, so that charts
    of several runs can be compared.
    """
    chart = BarChart()
    chart.type = "bar"
    text = ParagraphProperties(defRPr=CharacterProperties(sz=1200, b=True))
    words = RichText(p=[Paragraph(pPr=text, r=[RegularTextRun(t=title)])])
    chart.title = Title(tx=Text(rich=words), overlay=False)
    chart.gapWidth, chart.overlap = 35, 100
    chart.width, chart.height = _CHART_CM, _FRAME_CM + _BAR_CM * (rows[1] - rows[0] + 1)
    if has_ceiling:
        chart.append(_bars(sheet, 7, rows, fill="E7E6E6", line="BFBFBF"))
        chart.legend.position = "b"
    else:
        chart.legend = None
    bars = _bars(sheet, 2, rows, fill="9DC3E6", line="5B9BD5")
    bars.errBars = ErrorBars(
        errBarType="both",
        errValType="cust",
        minus=NumDataSource(numRef=NumRef(f=_cells(sheet, 5, rows))),
        plus=NumDataSource(numRef=NumRef(f=_cells(sheet, 6, rows))),
        spPr=GraphicalProperties(ln=LineProperties(solidFill="404040", w=9525)),
    )
    chart.append(bars)
    names, scores = chart.x_axis, chart.y_axis
    names.delete = scores.delete = False  # openpyxl leaves it unset, and Excel then draws no axis
    names.scaling.orientation = "maxMin"  # the first row at the top; the scale goes to the top with it
    names.tickLblSkip = 1  # show every name
    names.tickLblPos = "low"  # beside the plot, even with negative scores
    names.txPr = scores.txPr = _small()
    scores.number_format = "0.0"
    scores.numFmt.sourceLinked = False
    if unit_scale:
        scores.scaling.min, scores.scaling.max, scores.majorUnit = 0, 1, 0.1
    return chart


def _bars(sheet: Worksheet, column: int, rows: tuple[int, int], *, fill: str, line: str) -> Series:
    """The numbers of a column as bars with the names in A."""
    values = Reference(sheet, min_col=column, min_row=rows[0], max_row=rows[1])
    bars: Series = SeriesFactory(values, title=_CHART_TITLES[column - 1])
    bars.cat = AxDataSource(strRef=StrRef(f=_cells(sheet, 1, rows)))
    bars.graphicalProperties = GraphicalProperties(solidFill=fill, ln=LineProperties(solidFill=line, w=6350))
    return bars


def _cells(sheet: Worksheet, column: int, rows: tuple[int, int]) -> str:
    return str(Reference(sheet, min_col=column, min_row=rows[0], max_row=rows[1]))


def _small() -> RichText:
    properties = CharacterProperties(sz=800)
    return RichText(p=[Paragraph(pPr=ParagraphProperties(defRPr=properties), endParaRPr=properties)])


# Failures, audit, parameters


def _fill_failures(sheet: Worksheet, run: RunSummary, groups: Sequence[GroupSummary]) -> None:
    """Counts by kind, first for the whole run, then for each row that has any."""
    titles = ("Bootcamp", "Lacks", "Kind", "Samples", "File", "Data Source")
    rows: list[Sequence[Cell]] = [("all", *lacking, None, None) for lacking in _lacking(run)]
    for group in groups:
        rows += [(group.bootcamp, *lacking, group.file, group.data_source) for lacking in _lacking(group)]
    if not rows:
        n = run.n_missing
        rows = [("none" + (f", but {n:,} samples are not tried yet" if n else ": every sample has a score"),)]
    fill_sheet(sheet, titles, rows)


def _lacking(counts: RunSummary | GroupSummary) -> Iterator[tuple[str, str, int]]:
    """What samples without a score lack, why, and how many there are."""
    yield from (("answer", kind, count) for kind, count in counts.failures.items())
    yield from (("verdict", kind, count) for kind, count in counts.unverified.items())


def _fill_audit(sheet: Worksheet, audit: "Audit | None") -> None:
    """Why answers scored 0, by cause: for the run, then for each row; or that nobody looked for causes."""
    if audit is None:
        words = "not audited: `bootcamp report RUN_DIR --audit` looks for the causes of answers that scored 0"
        fill_sheet(sheet, ("Audit",), [(words,)])
        return
    titles = ("Bootcamp", "Cause", "Meaning", "Answers", "Share of the Loss", "Right in Substance", "File")
    parts = [("all", None, audit.causes), *((group.bootcamp, group.file, group.causes) for group in audit.groups)]
    rows: list[Sequence[Cell]] = [
        (name, count.cause.value, count.cause.meaning, count.n, count.share_of_loss, count.n_right, file)
        for name, file, causes in parts
        for count in causes
    ]
    fill_sheet(sheet, titles, rows or [("none: no cause was found",)])


def _fill_parameters(sheet: Worksheet, parameters: Mapping[str, Any]) -> None:
    """Texts and finite numbers as they are, everything else as JSON."""
    _put_head(sheet, 1, ("Parameter", "Value"), ("text", "text"))
    for number, (name, value) in enumerate(parameters.items(), start=2):
        is_number = type(value) is int or (type(value) is float and math.isfinite(value))
        if not is_number and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)  # noqa: PLW2901 - its text
        put_row(sheet, number, (name, value), ["text"] * 2)
        for at, cell in enumerate(next(sheet.iter_rows(number, number))):
            cell.alignment = Alignment(wrap_text=True, vertical="top", horizontal="left", indent=at)
        n_lines = len(textwrap.wrap(str(value)[:_MAX_UNITS], _PARAMETER_WIDTH))
        sheet.row_dimensions[number].height = _LINE_POINTS * min(max(n_lines, 1), _MOST_LINES)
    finish_table(sheet, 2, n_rows=len(parameters), widest=_PARAMETER_WIDTH)


_PARAMETER_WIDTH, _MOST_LINES = 100, 27  # no row is higher than 409 points


# Sheets, rows and cells


def fill_sheet(sheet: Worksheet, titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a sheet whose cells are shown by what they are: texts, counts, numbers with four decimals."""
    kinds: list[Kind] = ["text"] * len(titles)
    for number, cells in enumerate(rows, start=2):
        row_kinds = [_kind(cell) for cell in cells]
        put_row(sheet, number, cells, row_kinds)
        kinds[: len(cells)] = [
            kind if other == "text" else other for kind, other in zip(kinds, row_kinds, strict=False)
        ]
    _put_head(sheet, 1, titles, kinds)
    finish_table(sheet, len(titles), n_rows=len(rows))


def _kind(cell: Cell) -> Kind:
    if isinstance(cell, float):
        return "limit"
    return "count" if isinstance(cell, int) else "text"


def _put_head(sheet: Worksheet, row: int, titles: Sequence[str], kinds: Sequence[Kind]) -> None:
    """Write a head in bold, aligned as what stands below it."""
    put_row(sheet, row, titles, ["text"] * len(titles), bold=True)
    for at, (cell, kind) in enumerate(zip(next(sheet.iter_rows(row, row, max_col=len(titles))), kinds, strict=True)):
        side, indent = ("left", min(at, 1)) if kind == "text" else ("right", 0)
        cell.alignment = Alignment(wrap_text=True, vertical="top", horizontal=side, indent=indent)
        cell.fill = _HEAD_FILL


def put_row(
    sheet: Worksheet,
    row: int,
    cells: Iterable[Cell],
    kinds: Sequence[Kind],
    *,
    bold: bool = False,
    digits: int = SCORE_DIGITS,
    widest: int = SCORE_DIGITS,
) -> None:
    """Write one row, starting in column A; a cell of None stays empty.

    Scores have `digits` decimals, and blanks behind them for the `widest` of other rows.
    """
    font = _BOLD if bold else _PLAIN
    workbook = sheet.parent
    assert isinstance(workbook, StyledWorkbook)  # noqa: S101 - all are made by it
    styles = workbook.styles
    for column, (value, kind) in enumerate(zip(cells, kinds, strict=True), start=1):
        if value is None:
            continue
        cell = sheet.cell(row=row, column=column)
        assert isinstance(cell, SheetCell)  # noqa: S101  # merged cells do not occur
        is_set_in = kind == "text" and column > 1 and not bold
        number_format = _number_format(kind, digits, widest)
        needs_quote = _put(cell, value)
        look = bold, is_set_in, number_format if cell.data_type != "s" else None, needs_quote
        if look in styles:
            cell._style = copy(styles[look])  # type: ignore[attr-defined] # noqa: SLF001 - as its documentation does
            continue
        if cell.data_type == "s":
            cell.quotePrefix = needs_quote  # so that it stays text when someone edits it
        else:
            cell.number_format = number_format
        cell.font = font
        if is_set_in:
            cell.alignment = _SET_IN
        styles[look] = copy(cell._style)  # type: ignore[attr-defined] # noqa: SLF001 - as above


def _number_format(kind: Kind, digits: int, widest: int) -> str:
    match kind:
        case "score" | "error" | "limit":
            n = decimals(kind, digits)
            return f"0.{'0' * n}{'_0' * max(decimals(kind, widest) - n, 0)}"
        case "length":
            return "#,##0.0"
        case "count":
            return "#,##0"
        case "text":
            return "General"


def _put(cell: SheetCell, value: str | float) -> bool:
    """Write one cell; text is stored as text even where it looks like a formula or an error code.

    Returns whether it looks like one.
    """
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        value = str(value)
    if isinstance(value, str):
        cell.value = cell_safe(value)
        cell.data_type = "s"
        return is_formula(value)
    cell.value = value
    return False


def cell_safe(text: str) -> str:
    """The text with hidden characters visible, cut to what a cell holds, `…` in place of the rest."""
    text = visible(text)
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _MAX_UNITS:
        return text
    return units[: 2 * (_MAX_UNITS - 1)].decode("utf-16-le", errors="ignore") + "…"


def finish_table(sheet: Worksheet, n_columns: int, *, n_rows: int, has_total: bool = False, widest: int = 60) -> None:
    """Make a sheet of a head and so many rows one to work with.

    The head and the first column stay in sight, rows can be filtered (not a total row, which stays where it is), and
    it prints in landscape as wide as a page, the head on each.
    """
    fit_columns(sheet, n_columns, heads=(1,), widest=widest)
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(n_columns)}{n_rows + 1 - has_total}"
    sheet.print_title_rows = "1:1"
    _fit_page(sheet)


def _fit_page(sheet: Worksheet) -> None:
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = 9  # A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.page_margins = PageMargins(left=0.4, right=0.4, top=0.4, bottom=0.6, header=0.2, footer=0.3)
    footer: Any = sheet.oddFooter  # the stubs allow it to be None
    footer.left.text, footer.right.text = "&A", "&P / &N"


def fit_columns(sheet: Worksheet, n_columns: int, *, heads: Sequence[int], widest: int = 60) -> None:
    """Make each column as wide as its content, within limits, and the heads as high as they are then.

    A head is wrapped between its words.
    """
    widths = [_NARROWEST] * n_columns
    for row in sheet.iter_rows(max_col=n_columns):
        for at, cell in enumerate(row):
            if cell.value is None:
                continue
            shown = _shown(cell.value, cell.number_format)
            longest = max(shown.split(), key=len, default="") if cell.row in heads else shown
            widths[at] = max(widths[at], display_width(longest[: widest + 1]))
    for at, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(at)].width = min(width, widest) + 3
    for head in heads:
        n_lines = 1
        for cell, width in zip(next(sheet.iter_rows(head, head, max_col=n_columns)), widths, strict=True):
            if cell.value is not None:
                n_lines = max(n_lines, len(textwrap.wrap(str(cell.value)[:_MAX_UNITS], min(width, widest) + 1)))
        sheet.row_dimensions[head].height = _LINE_POINTS * min(n_lines, 6) + 3


def _shown(value: object, number_format: str) -> str:
    """What the spreadsheet shows for a value, a blank as wide as a digit for each that stands for one."""
    if isinstance(value, float):
        n = number_format.partition(".")[2].replace("_0", "0").count("0")
        return cell_text(value, "length") if "#" in number_format else f"{value:.{n}f}"
    return f"{value:,}" if isinstance(value, int) and "#" in number_format else str(value)


class StyledWorkbook(Workbook):
    """A workbook, empty but for a sheet, that keeps what its cells look like by all that decides it.

    openpyxl takes long to put a style together.
    """

    def __init__(self) -> None:
        super().__init__()
        self.properties.creator = "bootcamp"
        self.styles: dict[tuple[Any, ...], Any] = {}


def workbook_file(workbook: Workbook) -> bytes:
    """The xlsx file: creation, change and zip times are pinned, members stand in name order.

    `Workbook.save` would stamp the time of writing, so its other steps are repeated here, and pass sheets through
    temporary files, for which a machine may have no place.
    """
    workbook.properties.created = workbook.properties.modified = datetime(*_EPOCH)  # noqa: DTZ001  # UTC by the format
    members = _Members()
    _Writer(workbook, members).save()
    pinned = BytesIO()
    with ZipFile(pinned, "w") as target:
        for name in sorted(members.contents, key=lambda name: (name != "[Content_Types].xml", name)):
            member = ZipInfo(name, date_time=_EPOCH)
            member.compress_type = ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            target.writestr(member, members.contents[name], compresslevel=6)
    return pinned.getvalue()


class _Members(ZipFile):
    """What openpyxl writes members to; they are kept without their times, which a zip file refuses before 1980."""

    def __init__(self) -> None:
        super().__init__(BytesIO(), "w")
        self.contents: dict[str, bytes] = {}

    def writestr(self, zinfo_or_arcname: str | ZipInfo, data: str | Any, *_: Any, **__: Any) -> None:
        """Keep a member."""
        self.contents[str(zinfo_or_arcname)] = data.encode() if isinstance(data, str) else data

    def namelist(self) -> list[str]:
        """The members' names, which openpyxl asks for."""
        return list(self.contents)


class _Writer(ExcelWriter):
    """openpyxl's writer without its temporary files."""

    _archive: _Members

    def write_worksheet(self, ws: Any) -> None:
        """Write a sheet, as openpyxl does but for the file."""
        ws._drawing = SpreadsheetDrawing()  # noqa: SLF001 - what openpyxl has no public name for
        ws._drawing.charts = ws._charts  # noqa: SLF001
        writer: Any = WorksheetWriter(ws, BytesIO())
        writer.write()
        ws._rels = writer._rels  # noqa: SLF001
        self._archive.writestr(ws.path[1:], writer.read())
        self.manifest.append(ws)
