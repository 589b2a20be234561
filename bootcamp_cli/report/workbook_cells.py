"""Cells of the workbook: text that is text, numbers that have a format, columns wide enough."""

from collections.abc import Iterable, Sequence

from openpyxl.cell import Cell as SheetCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from bootcamp_cli.report.columns import Cell, Kind
from bootcamp_cli.report.formula import is_formula
from bootcamp_cli.report.width import display_width
from bootcamp_cli.visible import visible

NUMBER_FORMATS: dict[Kind, str] = {"text": "General", "count": "#,##0", "score": "0.0000", "length": "#,##0.0"}
_MAX_UNITS = 32_767
"""The most UTF-16 units that Excel takes in a cell."""
_EXACT = 2**53
"""Integers beyond it lose digits in a spreadsheet, which knows doubles only."""


def put_row(sheet: Worksheet, row: int, cells: Iterable[Cell], kinds: Sequence[Kind], *, bold: bool = False) -> None:
    """Write one row from column A on; a cell of None stays empty."""
    for column, (value, kind) in enumerate(zip(cells, kinds, strict=True), start=1):
        cell = sheet.cell(row=row, column=column)
        assert isinstance(cell, SheetCell)  # noqa: S101  # merged cells do not occur
        _put(cell, value, kind)
        if bold:
            cell.font = Font(bold=True)


def put_header(sheet: Worksheet, titles: Sequence[str]) -> None:
    """Write the first row, in bold and two lines high, and keep it and the first column in sight."""
    put_row(sheet, 1, titles, ["text"] * len(titles), bold=True)
    for cell in sheet[1]:
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.row_dimensions[1].height = 45
    sheet.freeze_panes = "B2"


def fit_columns(sheet: Worksheet, n_columns: int, *, widest: int = 60) -> None:
    """Make each column as wide as its longest cell below the head, within limits, in characters."""
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
        cell.quotePrefix = is_formula(value)  # so that it stays text when a person edits it
    elif value is not None:
        cell.value = value
        cell.number_format = NUMBER_FORMATS[kind]


def _shown(value: object) -> str:
    """About what the spreadsheet shows of a value."""
    return f"{value:,.4f}" if isinstance(value, float) else str(value)
