"""The columns of every report, declared once: name, titles, format, value of a row, value of the total row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary


Kind = Literal["text", "count", "score", "length"]
Cell = str | int | float | None


def _never(_: "RunSummary") -> bool:
    return False


def _always(_: "RunSummary") -> bool:
    return True


def _incomplete(run: "RunSummary") -> bool:
    return not run.complete


def _repeated(run: "RunSummary") -> bool:
    return run.repeats > 1


def _some_empty(run: "RunSummary") -> bool:
    return run.n_empty > 0


def _some_filtered(run: "RunSummary") -> bool:
    return run.n_filtered > 0


def _some_unknown_end(run: "RunSummary") -> bool:
    return run.n_unknown_end > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    `key` names it in meta.jsonl, CSV and JSON, `title` in terminal and Markdown, where it is also the word to sort by,
    `sheet_title` in the workbook. `shown` says whether terminal and Markdown show it: they leave out columns without
    information; `in_sheet` whether the workbook has it.
    """

    key: str
    title: str
    sheet_title: str
    kind: Kind
    of: Callable[["GroupSummary"], Cell]
    total: Callable[["RunSummary"], Cell] = lambda _: None
    shown: Callable[["RunSummary"], bool] = _never
    in_sheet: Callable[["RunSummary"], bool] = _always


COLUMNS: tuple[Column, ...] = (
    Column(
        key="bootcamp",
        title="bootcamp",
        sheet_title="bootcamp",
        kind="text",
        of=lambda group: group.bootcamp,
        shown=_always,
    ),
    Column(
        key="avg_score",
        title="score",
        sheet_title="Average Score",
        kind="score",
        of=lambda group: group.avg_score,
        total=lambda run: run.avg_score,
        shown=_always,
    ),
    Column(
        key="avg_len",
        title="length",
        sheet_title="Average Output Length",
        kind="length",
        of=lambda group: group.avg_len,
        total=lambda run: run.avg_len,
        shown=_always,
    ),
    Column(
        key="file",
        title="file",
        sheet_title="File",
        kind="text",
        of=lambda group: group.file,
        shown=lambda run: len({group.bootcamp for group in run.groups}) < len(run.groups),
    ),
    Column(
        key="data_source",
        title="data_source",
        sheet_title="Data Source",
        kind="text",
        of=lambda group: group.data_source,
    ),
    Column(
        key="ceiling",
        title="ceiling",
        sheet_title="Ceiling",
        kind="score",
        of=lambda group: group.ceiling,
        total=lambda run: run.ceiling,
        shown=lambda run: any(group.ceiling is not None for group in run.groups),
    ),
    Column(
        key="n",
        title="n",
        sheet_title="Samples",
        kind="count",
        of=lambda group: group.n,
        total=lambda run: run.n_samples,
        shown=_always,
    ),
    Column(
        key="n_scored",
        title="scored",
        sheet_title="Scored",
        kind="count",
        of=lambda group: group.n_scored,
        total=lambda run: run.n_scored,
        shown=_incomplete,
    ),
    Column(
        key="n_failed",
        title="failed",
        sheet_title="Without Answer",
        kind="count",
        of=lambda group: group.n_failed,
        total=lambda run: run.n_failed,
        shown=lambda run: run.n_failed > 0,
    ),
    Column(
        key="n_missing",
        title="missing",
        sheet_title="Not Tried",
        kind="count",
        of=lambda group: group.n_missing,
        total=lambda run: run.n_missing,
        shown=lambda run: run.n_missing > 0,
    ),
    Column(
        key="n_truncated",
        title="truncated",
        sheet_title="Truncated",
        kind="count",
        of=lambda group: group.n_truncated,
        total=lambda run: run.n_truncated,
        shown=lambda run: run.n_truncated > 0,
    ),
    Column(
        key="n_unverified",
        title="unverified",
        sheet_title="Without Verdict",
        kind="count",
        of=lambda group: group.n_unverified,
        total=lambda run: run.n_unverified,
        shown=lambda run: run.n_unverified > 0,
    ),
    Column(
        key="n_len_estimated",
        title="estimated",
        sheet_title="Length Estimated",
        kind="count",
        of=lambda group: group.n_len_estimated,
        total=lambda run: run.n_len_estimated,
    ),
    Column(
        key="score_low",
        title="low",
        sheet_title="Lowest Possible",
        kind="score",
        of=lambda group: group.bounds.low if group.bounds else None,
        total=lambda run: run.bounds.low if run.bounds else None,
        shown=_incomplete,
    ),
    Column(
        key="score_high",
        title="high",
        sheet_title="Highest Possible",
        kind="score",
        of=lambda group: group.bounds.high if group.bounds else None,
        total=lambda run: run.bounds.high if run.bounds else None,
        shown=_incomplete,
    ),
    Column(
        key="n_questions",
        title="questions",
        sheet_title="Questions",
        kind="count",
        of=lambda group: group.n_questions,
        total=lambda run: run.n_questions,
        shown=_repeated,
        in_sheet=_repeated,
    ),
    Column(
        key="repeats",
        title="repeats",
        sheet_title="Repeats",
        kind="count",
        of=lambda group: group.repeats,
        total=lambda run: run.repeats,
        shown=_repeated,
        in_sheet=_repeated,
    ),
    Column(
        key="n_empty",
        title="empty",
        sheet_title="Empty",
        kind="count",
        of=lambda group: group.n_empty,
        total=lambda run: run.n_empty,
        shown=_some_empty,
        in_sheet=_some_empty,
    ),
    Column(
        key="n_filtered",
        title="filtered",
        sheet_title="Filtered",
        kind="count",
        of=lambda group: group.n_filtered,
        total=lambda run: run.n_filtered,
        shown=_some_filtered,
        in_sheet=_some_filtered,
    ),
    Column(
        key="n_unknown_end",
        title="unknown-end",
        sheet_title="Unknown End",
        kind="count",
        of=lambda group: group.n_unknown_end,
        total=lambda run: run.n_unknown_end,
        shown=_some_unknown_end,
        in_sheet=_some_unknown_end,
    ),
)
