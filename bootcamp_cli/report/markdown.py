"""The table as Markdown (GitHub's dialect)."""

import re
from collections.abc import Iterable

from bootcamp_cli.report.table import Table

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~#&$@!]")


def markdown_text(table: Table) -> str:
    """A Markdown table with the total in bold as its last row, and the notes as a list."""
    rule = ("---" if column.kind == "text" else "---:" for column in table.columns)
    total = (f"**{_escaped(cell)}**" if cell else "" for cell in table.total)
    rows = ([_escaped(cell) for cell in row] for row in table.rows)
    lines = [_row(table.titles), _row(rule), *map(_row, rows), _row(total), ""]
    return "\n".join([*lines, *(f"- {_escaped(note)}" for note in table.notes)]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """The text with a backslash before each character that Markdown or HTML would act on."""
    return _MARKUP.sub(r"\\\g<0>", text)
