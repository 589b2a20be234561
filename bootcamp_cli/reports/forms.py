"""The forms of a report in one table, `REPORTS`, and the code of the text forms; a new form is a line in the table.

The names of text forms are what `report --format` accepts and what its help, the completions and the README show; file
forms are written to the run directory at the end of a run.

The JSON object:

schema             "bootcamp.report"
schema_version     1; it grows when a key changes its meaning or is removed, not when one is added
model_name         str
test_dir           str: the test dir's name
complete           bool: every sample that is known to be owed has a score
sizes_known        bool: whether the run directory records how many samples the test files have
n_groups_in_run    int: rows of the run; `groups` has fewer if filtered, and all other values cover only those
avg_score, avg_len                      number | null: unweighted means of the rows (`Total Average`)
score_low, score_high                   number | null: bounds of avg_score, the missing all wrong and all right
weighted_score, weighted_len            number | null: means over all samples
weighted_score_low, weighted_score_high number | null: bounds of weighted_score
n, n_answered, n_scored, n_failed, n_missing, n_unverified, n_truncated, n_len_estimated    int
n_questions, repeats                    int: n is their product in a whole run
n_empty, n_filtered, n_unknown_end      int: answers without text and reasoning, ended by the content filter, and with a
                   finish_reason that is null or not one of OpenAI's
failures           {kind: int}: samples without an answer
unverified         {kind: int}: answers without a verdict
redone             [object]: run directories that redo samples of this one with a larger max_tokens: run_dir,
                   selection, max_tokens, n, n_scored, n_truncated, score
redo_of            str | null: the run of which this one redoes samples
drawn              object | null: n questions of each file were drawn with seed, of n_rows by file
groups             [object]: the keys of a line of meta.jsonl, and failures and unverified by kind
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.columns import COLUMNS, Cell
from bootcamp_cli.reports.table import Table, as_text, build_table, display_width, select
from bootcamp_cli.text import visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
    from bootcamp_cli.store.atomic import Check
    from bootcamp_cli.store.run_dir import RunDir

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~#&$@!]")
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a text form shows: the chosen rows, in order, of a run of `n_all` rows.

    `width` is the terminal's in columns, None where the output is not a terminal; `color` says whether to use colour.
    """

    shown: "RunSummary"
    n_all: int
    width: int | None = None
    color: bool = False

    @property
    def table(self) -> Table:
        """The rows with their total and notes, as people read them."""
        return build_table(self.shown, n_all=self.n_all)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextForm:
    """A form that is printed: text that ends with a newline."""

    text: Callable[[View], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm:
    """A form that is a file in the run directory.

    `content` is made of the whole summary and of the parameters that decide the answers, by name.
    """

    path: Callable[["RunDir", "RunSummary"], Path]
    content: Callable[["RunSummary", Mapping[str, Any]], bytes]


def render(
    summary: "RunSummary",
    form: str,
    *,
    sort: str = "bootcamp",
    reverse: bool = False,
    filter: str | Sequence[str] = (),  # noqa: A002  # the option's name
    width: int | None = None,
    color: bool = False,
) -> str:
    """The summary in one of the text forms.

    `sort` is one of `table.SORT_KEYS`, `filter` globs on bootcamp, file or data source: rows that match any of them are
    shown. `width` is the terminal's width in columns, None where the output is not a terminal: the table is then plain
    text.

    Raises:
        UsageError: there is no such form or sort key.
    """
    shown = chosen(summary, sort=sort, reverse=reverse, filter=filter)
    return text_form(form).text(View(shown=shown, n_all=len(summary.groups), width=width, color=color))


def chosen(
    summary: "RunSummary",
    *,
    sort: str = "bootcamp",
    reverse: bool = False,
    filter: str | Sequence[str] = (),  # noqa: A002  # the option's name
) -> "RunSummary":
    """The summary with the rows that match any of the globs, sorted; see `render`.

    Raises:
        UsageError: there is no such sort key.
    """
    patterns = (filter,) if isinstance(filter, str) else tuple(filter)
    return select(summary, sort=sort, reverse=reverse, patterns=patterns)


def text_form(name: str) -> TextForm:
    """The text form of this name.

    Raises:
        UsageError: there is none.
    """
    form = REPORTS.get(name)
    if not isinstance(form, TextForm):
        raise UsageError(f"--format: must be one of {', '.join(TEXT_FORMS)}, got {name!r}")
    return form


def write_report(
    form: FileForm, run_dir: "RunDir", summary: "RunSummary", parameters: Mapping[str, Any], check: "Check"
) -> None:
    """Write a report to the run directory by atomic replacement: there is either the old file or the whole new one.

    Raises:
        DiskError: it cannot be written.
    """
    from bootcamp_cli.store.atomic import replace_bytes  # noqa: PLC0415  # what only prints needs none of it

    replace_bytes(form.path(run_dir, summary), form.content(summary, parameters), check)


def table_text(view: View) -> str:
    """A styled table in a terminal, plain text elsewhere."""
    if view.width is None:
        return plain_text(view.table)
    from bootcamp_cli.reports.terminal import terminal_text  # noqa: PLC0415  # rich only for a terminal

    return terminal_text(view.table, width=view.width, color=view.color)


def plain_text(table: Table) -> str:
    """Head, rule, rows, rule, total and notes, as wide as they are."""
    widths = table.widths
    rule = "  ".join("-" * width for width in widths)
    body = [_line(table, row, widths) for row in table.rows]
    parts = [_line(table, table.titles, widths), rule, *body, rule, _line(table, table.total, widths), "", *table.notes]
    return "\n".join(parts) + "\n"


def _line(table: Table, cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts aligned left, numbers aligned right."""
    padded = (
        cell + " " * (width - display_width(cell))
        if column.kind == "text"
        else " " * (width - display_width(cell)) + cell
        for column, cell, width in zip(table.columns, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()


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


def csv_text(view: View, *, delimiter: str = ",") -> str:
    """All columns under the names of meta.jsonl, a line per row, no total; numbers in full, missing values empty.

    Names are made visible, and an apostrophe stands before one that a spreadsheet would run as a formula.
    """
    stream = StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow([column.key for column in COLUMNS])
    writer.writerows([_cell(column.of(group)) for column in COLUMNS] for group in view.shown.groups)
    return stream.getvalue()


def _cell(cell: Cell) -> Cell:
    return as_text(visible(cell)) if isinstance(cell, str) else cell


def json_text(view: View) -> str:
    """The object described above, indented, in ASCII."""
    return json.dumps(json_object(view.shown, n_all=view.n_all), indent=2) + "\n"


def json_object(shown: "RunSummary", *, n_all: int) -> dict[str, Any]:
    """The object described above; `n_all` is the number of rows of the whole run."""
    bounds, weighted = shown.bounds, shown.weighted_bounds
    return {
        "schema": "bootcamp.report",
        "schema_version": SCHEMA_VERSION,
        "model_name": shown.model_name,
        "test_dir": shown.test_dir,
        "complete": shown.complete,
        "sizes_known": shown.sizes_known,
        "n_groups_in_run": n_all,
        "avg_score": shown.avg_score,
        "avg_len": shown.avg_len,
        "score_low": bounds and bounds.low,
        "score_high": bounds and bounds.high,
        "weighted_score": shown.weighted_score,
        "weighted_len": shown.weighted_len,
        "weighted_score_low": weighted and weighted.low,
        "weighted_score_high": weighted and weighted.high,
        "n": shown.n_samples,
        "n_answered": shown.n_answered,
        "n_scored": shown.n_scored,
        "n_failed": shown.n_failed,
        "n_missing": shown.n_missing,
        "n_unverified": shown.n_unverified,
        "n_truncated": shown.n_truncated,
        "n_len_estimated": shown.n_len_estimated,
        "n_questions": shown.n_questions,
        "repeats": shown.repeats,
        "n_empty": shown.n_empty,
        "n_filtered": shown.n_filtered,
        "n_unknown_end": shown.n_unknown_end,
        "failures": shown.failures,
        "unverified": shown.unverified,
        "redone": [asdict(redone) for redone in shown.redone],
        "redo_of": shown.redo_of,
        "drawn": None if shown.drawn is None else asdict(shown.drawn),
        "groups": [_group(group) for group in shown.groups],
    }


def _group(group: "GroupSummary") -> dict[str, Any]:
    row: dict[str, Any] = {column.key: column.of(group) for column in COLUMNS}
    return row | {"failures": dict(group.failures), "unverified": dict(group.unverified)}


def meta_lines(summary: "RunSummary") -> str:
    """The whole content of meta.jsonl, a JSON object to a line: `bootcamp`, `avg_score`, `avg_len`, then the rest.

    The rows keep their order: files in name order, data sources in order of first appearance. The average of no values
    is null. Source of the first three keys: `meta.jsonl` of InternBootcamp's run_eval.py.
    """
    rows = ({column.key: column.of(group) for column in COLUMNS} for group in summary.groups)
    return "".join(f"{_meta_line(row)}\n" for row in rows)


def _meta_line(row: dict[str, str | int | float | None]) -> str:
    """The row as JSON with non-ASCII characters unescaped, unless it cannot be written as UTF-8 (a lone surrogate)."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(row)
    return line


def _workbook(summary: "RunSummary", parameters: Mapping[str, Any]) -> bytes:
    from bootcamp_cli.reports.xlsx import scores_workbook  # noqa: PLC0415  # openpyxl takes 120 ms

    return scores_workbook(summary, parameters)


REPORTS: Mapping[str, TextForm | FileForm] = {
    "table": TextForm(text=table_text),
    "markdown": TextForm(text=lambda view: markdown_text(view.table)),
    "csv": TextForm(text=csv_text),
    "tsv": TextForm(text=lambda view: csv_text(view, delimiter="\t")),
    "json": TextForm(text=json_text),
    "meta": FileForm(path=lambda run_dir, _: run_dir.meta, content=lambda summary, _: meta_lines(summary).encode()),
    "xlsx": FileForm(path=lambda run_dir, summary: run_dir.scores(summary.model_name), content=_workbook),
}
"""Every form by name, in the order in which they are listed and written."""

TEXT_FORMS: tuple[str, ...] = tuple(name for name, form in REPORTS.items() if isinstance(form, TextForm))
"""The forms that can be printed."""
