"""The table as aligned plain text, for pipes and files."""

from collections.abc import Sequence

from bootcamp_cli.report.table import Table
from bootcamp_cli.report.width import display_width


def plain_text(table: Table) -> str:
    """Head, rule, rows, rule, total and notes, as wide as they are."""
    widths = table.widths
    rule = "  ".join("-" * width for width in widths)
    body = [_line(table, row, widths) for row in table.rows]
    parts = [_line(table, table.titles, widths), rule, *body, rule, _line(table, table.total, widths), "", *table.notes]
    return "\n".join(parts) + "\n"


def _line(table: Table, cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts to the left, numbers to the right."""
    padded = (
        cell + " " * (width - display_width(cell))
        if column.kind == "text"
        else " " * (width - display_width(cell)) + cell
        for column, cell, width in zip(table.columns, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()
