"""Which rows of a summary a report shows, and in what order."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from bootcamp_cli.errors import UsageError
from bootcamp_cli.report.columns import COLUMNS, Column
from bootcamp_cli.results.summary import GroupSummary, RunSummary

SORT_KEYS: tuple[str, ...] = tuple(column.title for column in COLUMNS)
"""The words to sort by: the titles of the columns."""


def select(summary: RunSummary, *, sort: str, reverse: bool, patterns: Sequence[str]) -> RunSummary:
    """The summary with the rows that match one of the patterns (all without patterns), sorted.

    A pattern is a glob on bootcamp, file or data source. Text sorts upwards, numbers from the largest down, `reverse`
    turns that around; rows without a value come last, equal ones by bootcamp, then as in meta.jsonl.

    Raises:
        UsageError: nothing can be sorted by `sort`.
    """
    column = _column(sort)
    groups = [group for group in summary.groups if not patterns or _matches(group, patterns)]
    groups.sort(key=lambda group: group.bootcamp)
    valued = [group for group in groups if column.of(group) is not None]
    empty = [group for group in groups if column.of(group) is None]
    valued.sort(key=column.of, reverse=reverse if column.kind == "text" else not reverse)  # type: ignore[arg-type]  # no None
    return replace(summary, groups=(*valued, *empty))


def _column(sort: str) -> Column:
    for column in COLUMNS:
        if sort in (column.title, column.key):
            return column
    raise UsageError(f"cannot sort by {sort!r}", hint=f"sort by one of {', '.join(SORT_KEYS)}")


def _matches(group: GroupSummary, patterns: Sequence[str]) -> bool:
    names = (group.bootcamp, group.file, group.data_source or "")
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
