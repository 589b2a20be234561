"""A summary as text in the format asked for: what `report` and `eval` print."""

from collections.abc import Sequence
from typing import Literal

from bootcamp_cli.report.csv_text import csv_text
from bootcamp_cli.report.json_text import json_text
from bootcamp_cli.report.markdown import markdown_text
from bootcamp_cli.report.plain import plain_text
from bootcamp_cli.report.selection import select
from bootcamp_cli.report.table import build_table
from bootcamp_cli.results.summary import RunSummary

ReportFormat = Literal["table", "markdown", "csv", "json"]


def render(
    summary: RunSummary,
    format: ReportFormat,  # noqa: A002  # the option's name
    *,
    sort: str = "bootcamp",
    reverse: bool = False,
    filter: str | Sequence[str] = (),  # noqa: A002  # the option's name
    width: int | None = None,
    color: bool = False,
) -> str:
    """The summary as text that ends with a newline.

    `sort` is one of `selection.SORT_KEYS`, `filter` globs on bootcamp, file or data source: rows that match any of them
    are shown. `width` is the terminal's width in columns, None where the output is no terminal: the table is plain
    text then.

    Raises:
        UsageError: nothing can be sorted by `sort`.
    """
    patterns = (filter,) if isinstance(filter, str) else tuple(filter)
    shown = select(summary, sort=sort, reverse=reverse, patterns=patterns)
    n_all = len(summary.groups)
    match format:
        case "csv":
            return csv_text(shown)
        case "json":
            return json_text(shown, n_all=n_all)
        case "markdown":
            return markdown_text(build_table(shown, n_all=n_all))
        case "table" if width is None:
            return plain_text(build_table(shown, n_all=n_all))
        case "table":
            from bootcamp_cli.report.terminal import terminal_text  # noqa: PLC0415  # rich only for a terminal

            return terminal_text(build_table(shown, n_all=n_all), width=width, color=color)
