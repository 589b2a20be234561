"""The columns of every report, declared once: name, titles, format, value of a row, value of the total row."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from bootcamp_cli.text import SCORE_DIGITS, length_text, score_text, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.statistics import Interval
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary


Kind = Literal["text", "count", "score", "error", "limit", "length"]
"""What a cell is: a score has as many decimals as its interval bears, a standard error or a variance two more than that
leaves of it, and a limit, which is known exactly, four."""

Cell = str | int | float | None

_LEAST_DIGITS, _MOST_DIGITS = 2, 6


def digits_borne(interval: "Interval | None") -> int:
    """How many decimals of a score its interval bears: the last is worth a tenth of half the width, or less.

    At least two; four where there is no interval.
    """
    half = 0.0 if interval is None else (interval.high - interval.low) / 2
    if not half > 0 or math.isinf(half):
        return SCORE_DIGITS
    return min(max(math.ceil(1 - math.log10(half)), _LEAST_DIGITS), _MOST_DIGITS)


def decimals(kind: Kind, digits: int) -> int:
    """The decimals of a number in a row whose score has `digits`."""
    match kind:
        case "score":
            return digits
        case "error":
            return digits + 1
        case "limit":
            return SCORE_DIGITS
        case "length":
            return 1
        case "count" | "text":
            return 0


def cell_text(cell: Cell, kind: Kind, digits: int = SCORE_DIGITS, *, none: str = "-") -> str:
    """A cell as people read it, of a row whose score has `digits` decimals; `none` for no value."""
    if cell is None:
        return none
    if isinstance(cell, str):
        return visible(cell)
    match kind:
        case "score" | "error" | "limit":
            return score_text(cell, decimals(kind, digits))
        case "length":
            return length_text(cell)
        case "count" | "text":
            return f"{cell:,}"


def _never(_: "RunSummary") -> bool:
    return False


def _always(_: "RunSummary") -> bool:
    return True


def _incomplete(run: "RunSummary") -> bool:
    return not run.complete


def _repeated(run: "RunSummary") -> bool:
    return run.repeats > 1


def _some(key: str, run: "RunSummary") -> bool:
    return any(getattr(group, key) for group in run.groups)


def _with_errors(run: "RunSummary") -> bool:
    return any(group.mean for group in run.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    `key` names it in meta.jsonl, CSV and JSON, `title` in terminal and Markdown, where it is also the word to sort by,
    `sheet_title` in the workbook. `shown` says whether terminal and Markdown show it: they leave out columns without
    information, and put it behind the column that `behind` names, after others that are put there. `in_sheet` says
    whether the workbook has it.
    """

    key: str
    title: str
    sheet_title: str
    kind: Kind
    of: Callable[["GroupSummary"], Cell]
    total: Callable[["RunSummary"], Cell] = lambda _: None
    shown: Callable[["RunSummary"], bool] = _never
    in_sheet: Callable[["RunSummary"], bool] = _always
    behind: str | None = None


def _same(
    key: str,
    title: str,
    sheet_title: str,
    kind: Kind,
    value: Callable[["GroupSummary | RunSummary"], Cell],
    shown: Callable[["RunSummary"], bool] = _never,
    in_sheet: Callable[["RunSummary"], bool] = _always,
    behind: str | None = None,
) -> Column:
    """A column that has the same value of a row and of the total row."""
    return Column(
        key=key,
        title=title,
        sheet_title=sheet_title,
        kind=kind,
        of=value,
        total=value,
        shown=shown,
        in_sheet=in_sheet,
        behind=behind,
    )


def _count(
    key: str,
    title: str,
    sheet_title: str,
    shown: Callable[["RunSummary"], bool] | None = None,
    in_sheet: Callable[["RunSummary"], bool] = _always,
) -> Column:
    """A number of samples under the name of an attribute of rows and runs; shown where there are any."""
    return _same(key, title, sheet_title, "count", attrgetter(key), shown or partial(_some, key), in_sheet)


def _account(
    part: str, key: str, title: str, sheet_title: str, shown: Callable[["RunSummary"], bool] | None = None
) -> Column:
    """A part of the account; shown where there are any."""
    value = attrgetter(f"account.{part}")
    return _same(key, title, sheet_title, "count", value, shown or partial(_some, key), behind="n")


def _end(of: str, end: Literal["low", "high"], row: "GroupSummary | RunSummary") -> Cell:
    """One end of a range that may be None."""
    ends = getattr(row, of)
    return None if ends is None else getattr(ends, end)


def _error(kind: str, row: "GroupSummary | RunSummary") -> Cell:
    """A standard error of the average score."""
    return getattr(row.mean, f"error_{kind}", None)


COLUMNS: tuple[Column, ...] = (
    Column(
        key="bootcamp",
        title="bootcamp",
        sheet_title="bootcamp",
        kind="text",
        of=lambda group: group.bootcamp,
        shown=_always,
    ),
    _same("avg_score", "score", "Average Score", "score", lambda row: row.avg_score, _always),
    _same("avg_len", "length", "Average Output Length", "length", lambda row: row.avg_len, _always),
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
    _same(
        "ceiling",
        "ceiling",
        "Ceiling",
        "limit",
        lambda row: row.ceiling,
        lambda run: any(group.ceiling is not None for group in run.groups),
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
    _count("n_scored", "scored", "Scored", _incomplete),
    _count("n_failed", "failed", "Without Answer"),
    _count("n_missing", "missing", "Not Tried"),
    _count("n_truncated", "all-truncated", "Truncated", _never),
    _count("n_unverified", "unverified", "Without Verdict"),
    _count("n_len_estimated", "estimated", "Length Estimated", _never),
    _same("score_low", "low", "Lowest Possible", "score", partial(_end, "bounds", "low"), _incomplete),
    _same("score_high", "high", "Highest Possible", "score", partial(_end, "bounds", "high"), _incomplete),
    _count("n_questions", "questions", "Questions", _repeated, _repeated),
    _count("repeats", "repeats", "Repeats", _repeated, _repeated),
    _count("n_empty", "all-empty", "Empty", _never, partial(_some, "n_empty")),
    _count("n_filtered", "all-filtered", "Filtered", _never, partial(_some, "n_filtered")),
    _count("n_unknown_end", "unknown-end", "Unknown End", in_sheet=partial(_some, "n_unknown_end")),
    _same(
        "score_low95",
        "low95",
        "Low 95 %, New Questions",
        "score",
        partial(_end, "interval", "low"),
        _with_errors,
        behind="avg_score",
    ),
    _same(
        "score_high95",
        "high95",
        "High 95 %, New Questions",
        "score",
        partial(_end, "interval", "high"),
        _with_errors,
        behind="avg_score",
    ),
    _same(
        "error_rerun",
        "rerun",
        "Standard Error, Rerun",
        "error",
        partial(_error, "rerun"),
        _repeated,
        _repeated,
        behind="avg_score",
    ),
    _account("correct", "n_correct", "correct", "Correct", _with_errors),
    _account("wrong", "n_wrong", "wrong", "Wrong", _with_errors),
    _account("truncated", "n_lost_truncated", "truncated", "Not Correct: Truncated"),
    _account("empty", "n_lost_empty", "empty", "Not Correct: Empty"),
    _account("filtered", "n_lost_filtered", "filtered", "Not Correct: Filtered"),
    _same(
        "error_new_questions",
        "error",
        "Standard Error, New Questions",
        "error",
        partial(_error, "new_questions"),
    ),
)
"""The columns, in the order of the workbook and the keys of meta.jsonl; new ones stand at the end."""

FAMILY_COLUMNS: tuple[Column, ...] = (
    Column(key="family", title="family", sheet_title="Family", kind="text", of=lambda group: group.family),
    Column(
        key="n_groups",
        title="rows",
        sheet_title="Rows",
        kind="count",
        of=lambda _: 1,
        total=lambda run: len(run.groups),
        shown=_always,
    ),
)
"""The first columns of the table of families."""


def repeat_columns(run: "RunSummary") -> tuple[Column, ...]:
    """The columns of a run that asks each question several times: pass@k, pass^k, maj@K, variances.

    Terminal and Markdown show those of all K repeats.
    """
    return tuple(_repeat_columns(run.repeats, can_vote=run.majority is not None)) if run.repeats > 1 else ()


def _repeat_columns(repeats: int, *, can_vote: bool) -> Iterator[Column]:
    from bootcamp_cli.analysis.statistics import k_values  # noqa: PLC0415  # most runs have no repeats

    for mark, of in (("@", "pass_at"), ("^", "pass_hat")):
        for place, k in enumerate(k_values(repeats)):
            name = f"pass{mark}{k}"
            is_shown = _always if k == repeats else _never
            yield _same(name, name, name, "score", partial(_pass, place, of), is_shown, behind="avg_score")
    if can_vote:
        name = f"maj@{repeats}"
        yield _same(name, name, name, "score", _majority, _always, behind="avg_score")
    yield _same("variance_within", "within", "Variance Within Questions", "error", attrgetter("variance_within"))
    yield _same("variance_between", "between", "Variance Between Questions", "error", attrgetter("variance_between"))
    for place, k in enumerate(k_values(repeats)):
        yield _same(
            f"n_without@{k}", f"without@{k}", f"Questions Without {k} Scores", "count", partial(_without, place)
        )


def _pass(place: int, of: str, row: "GroupSummary | RunSummary") -> Cell:
    mean = getattr(row.passes[place], of) if row.passes else None
    return mean and mean.mean


def _majority(row: "GroupSummary | RunSummary") -> Cell:
    return row.majority.mean.mean if row.majority and row.majority.mean else None


def _without(place: int, row: "GroupSummary | RunSummary") -> Cell:
    return row.passes[place].n_without if row.passes else None


_BY_USE = (
    *("bootcamp", "avg_score", "avg_len", "score_low95", "score_high95", "error_new_questions", "error_rerun"),
    *("ceiling",),
    *("n", "n_correct", "n_wrong", "n_lost_truncated", "n_lost_empty", "n_lost_filtered"),
    *("n_failed", "n_unverified", "n_missing", "n_scored", "n_questions", "repeats"),
    *("score_low", "score_high", "n_truncated", "n_empty", "n_filtered", "n_unknown_end", "n_len_estimated"),
    *("family", "file", "data_source"),
)
"""The columns of the workbook's first sheet by their keys: the reference's three, then by use, names last."""


def sheet_columns(run: "RunSummary") -> tuple[Column, ...]:
    """The columns of the workbook's first sheet, in their order there."""
    columns = [column for column in (*COLUMNS, FAMILY_COLUMNS[0]) if column.in_sheet(run)]
    return tuple(sorted(columns, key=lambda column: _BY_USE.index(column.key)))


def shown_columns(run: "RunSummary") -> tuple[Column, ...]:
    """The columns of terminal and Markdown, in their order there."""
    columns: list[Column] = []
    for column in (*COLUMNS, *repeat_columns(run)):
        if column.shown(run):
            places = (at for at, other in enumerate(columns, 1) if column.behind in (other.key, other.behind or ""))
            columns.insert(max(places, default=len(columns)), column)
    return tuple(columns)
