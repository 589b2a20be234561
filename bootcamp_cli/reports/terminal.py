"""The tables for a terminal, drawn by rich in the available width."""

from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bootcamp_cli.reports.columns import Column
from bootcamp_cli.reports.table import Page, Table

_EXPENDABLE = (
    *("score_high", "score_low", "n_scored", "n_missing", "n_unknown_end", "repeats", "n_questions"),
    *("n_lost_filtered", "n_lost_empty", "n_lost_truncated", "n_unverified", "n_failed", "n_wrong", "n_correct"),
    *("maj", "pass^", "pass@", "ceiling", "error_rerun", "avg_len", "n_groups", "score_high95", "score_low95"),
    *("n", "file"),
)
"""Columns to leave out, in this order, where the width is not enough: the notes repeat most of what they show.

Of pass@k and the like only the beginning is named.
"""
_GAP = 2
_LEAST_NAME = 32
"""Names are folded down to this width before a column is left out."""


def terminal_text(page: Page, *, width: int, color: bool) -> str:
    """The tables in `width` columns, with colours or without: names are folded, columns left out, no number is cut."""
    stream = StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
    )
    left_out: dict[str, None] = {}
    for table in page.tables:
        fitting, without = _fitted(table, width)
        left_out.update(dict.fromkeys(without))
        console.print(_grid(fitting))
        console.print()
    for note in page.notes:
        console.print(Text(note))
    if left_out:
        console.print(Text(f"columns left out for lack of width: {', '.join(left_out)}"))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _fitted(table: Table, width: int) -> tuple[Table, list[str]]:
    """The table with the columns that fit, and the titles of those left out."""
    left_out: list[str] = []
    for name in _EXPENDABLE:
        if _least_width(table) <= width:
            break
        index = next((at for at, column in enumerate(table.columns) if _is_named(column, name)), None)
        if index is not None:
            left_out.append(table.columns[index].title)
            table = table.without(index)
    return table, left_out


def _is_named(column: Column, name: str) -> bool:
    return column.key == name or (name in ("pass@", "pass^", "maj") and column.key.startswith(name))


def _least_width(table: Table) -> int:
    """The width that the table needs with its names folded."""
    widths = (
        min(longest, _LEAST_NAME) if column.kind == "text" else longest
        for column, longest in zip(table.columns, table.widths, strict=True)
    )
    return sum(widths) + _GAP * (len(table.columns) - 1)


def _grid(table: Table) -> RichTable:
    grid = RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_footer=True,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
        footer_style="bold",
    )
    for column, foot, width in zip(table.columns, table.total, table.widths, strict=True):
        is_text = column.kind == "text"
        grid.add_column(
            Text(column.title if is_text else column.title.rjust(width)),
            Text(foot if is_text else foot.rjust(width)),
            overflow="fold",
            no_wrap=not is_text,
            style="cyan" if column.kind == "score" else "",
        )
    for row in table.rows:
        cells = (
            cell if column.kind == "text" else cell.rjust(width)  # not by rich, which takes away blanks at the end
            for column, cell, width in zip(table.columns, row, table.widths, strict=True)
        )
        grid.add_row(*map(Text, cells))
    return grid
