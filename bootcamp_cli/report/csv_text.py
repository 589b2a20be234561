"""The rows as CSV (RFC 4180 with newlines alone), for spreadsheets and scripts."""

import csv
from io import StringIO

from bootcamp_cli.report.columns import COLUMNS, Cell
from bootcamp_cli.report.formula import as_text
from bootcamp_cli.results.summary import RunSummary
from bootcamp_cli.visible import visible


def csv_text(shown: RunSummary) -> str:
    """All columns under the names of meta.jsonl, a line per row, no total; numbers in full, nothing for no value.

    Names are made visible, and an apostrophe stands before one that a spreadsheet would run as a formula.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.key for column in COLUMNS])
    writer.writerows([_cell(column.of(group)) for column in COLUMNS] for group in shown.groups)
    return stream.getvalue()


def _cell(cell: Cell) -> Cell:
    return as_text(visible(cell)) if isinstance(cell, str) else cell
