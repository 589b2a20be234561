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
n_prompts          int | null: the different prompts of the questions that have an answer
n_empty, n_filtered, n_unknown_end      int: answers without text and reasoning, ended by the content filter, and with a
                   finish_reason that is null or not one of OpenAI's
failures           {kind: int}: samples without an answer
unverified         {kind: int}: answers without a verdict
redone             [object]: run directories that redo samples of this one with a larger max_tokens: run_dir,
                   selection, max_tokens, n, n_scored, n_truncated, score
redo_of            str | null: the run of which this one redoes samples
drawn              object | null: n questions of each file were drawn with seed, of n_rows by file
shard              str | null: the part of a run that this is, like 3/8
groups             [object]: the keys of a line of meta.jsonl, failures and unverified by kind, family,
                   interval_method (wilson within 0 to 1, else t), and the keys from `interval` to `retries`
right_at           number: the least score of a right answer
error_other_bootcamps  number | null: standard error of avg_score for other bootcamps than these
weighted_interval  [low, high] | null: as `interval`, of weighted_score
interval           [low, high] | null: 95 % interval of avg_score for new questions
error_new_questions, error_rerun        number | null: standard errors of avg_score: for new questions of the same kind,
                   and for asking the same questions again; the latter takes repeats
variance_within, variance_between       number | null: of the scores within a question, and of the questions' means
pass               [object]: for k = 1, 2, 4, ... and all repeats: k, n_without (questions with fewer scores), at
                   (pass@k) and hat (pass^k), each an object of value, interval, error (for new questions)
majority           object | null: maj@K where answers can vote: n_without, value, interval, error
account            {what: int}: correct, wrong, truncated, empty, filtered, without_answer, without_verdict; they add up
                   to n, each sample counts in the first that fits of: without_answer, without_verdict, correct, ...
score_if_truncated_right    number | null: avg_score if every truncated answer were right
length, latency_s  object: n, mean, p50, p95; latencies are seconds
tokens_per_second  number | null: of an answer, by the server's count
tokens             object: prompt, completion, reasoning, and n_counted, the answers that they are known of
retries            {kind: int}: attempts that were repeated
endpoints          [object]: by the endpoint that answered, where records name it: endpoint, n_answered, n_scored,
                   avg_score, interval, n_truncated, avg_len, latency_s, tokens_per_second; compared: for score, length
                   and truncation the endpoint against the others within bootcamps: value, others, difference (of
                   lengths: geometric means, ratio), interval, n, n_others, p of that test alone; requests: object |
                   null: n_requests, n_answered, failures by kind, n_away, away_s; server: object | null, what it told
                   of its load: n (times), running and waiting (means), share_waiting, cache (largest), preemptions
drift              [object]: endpoints that differ: endpoint, measure, value, others, n, n_others, n_compared, and p,
                   adjusted for the number of endpoints and measures
families           [object]: family, n_groups, the numbers of a line of meta.jsonl, and the keys from `interval` on
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.columns import COLUMNS, FAMILY_COLUMNS, Cell
from bootcamp_cli.reports.table import BY, By, Page, Table, build_page, display_width, select
from bootcamp_cli.text import as_text, visible
from bootcamp_cli.types import LATENCY_UNIT_S

if TYPE_CHECKING:
    from bootcamp_cli.analysis.audit import Audit
    from bootcamp_cli.analysis.statistics import Distribution, GroupMean, Interval, RunMean
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
    from bootcamp_cli.reports.grid import Grid
    from bootcamp_cli.store.atomic import Check
    from bootcamp_cli.store.run_dir import RunDir

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~#&$@!]")
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a text form shows: the chosen rows, in order, of a run of `n_all` rows.

    `width` is the terminal's in columns, None where the output is not a terminal; `color` says whether to use colour,
    `by` what the rows of tables are.
    """

    shown: "RunSummary"
    n_all: int
    width: int | None = None
    color: bool = False
    by: By = "both"

    @property
    def page(self) -> Page:
        """The tables and notes, as people read them."""
        return build_page(self.shown, n_all=self.n_all, by=self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextForm:
    """A form that is printed: text that ends with a newline."""

    text: Callable[[View], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm:
    """A form that is a file in the run directory.

    `content` is made of the whole summary, of the parameters that decide the answers, by name, and of the audit, if one
    was made.
    """

    path: Callable[["RunDir", "RunSummary"], Path]
    content: Callable[["RunSummary", Mapping[str, Any], "Audit | None"], bytes]


def render(
    summary: "RunSummary",
    form: str,
    *,
    sort: str = "bootcamp",
    reverse: bool = False,
    filter: str | Sequence[str] = (),  # noqa: A002  # the option's name
    width: int | None = None,
    color: bool = False,
    by: str = "both",
) -> str:
    """The summary in one of the text forms.

    `sort` is one of `table.SORT_KEYS`, `filter` globs on bootcamp, file or data source: rows that match any of them are
    shown. `width` is the terminal's width in columns, None where the output is not a terminal: the table is then plain
    text. `by` is one of `table.BY`: tables of families, of bootcamps, or both; CSV has one table.

    Raises:
        UsageError: there is no such form, sort key or `by`.
    """
    shown = chosen(summary, sort=sort, reverse=reverse, filter=filter)
    n_all = len(summary.groups)
    return text_form(form).text(View(shown=shown, n_all=n_all, width=width, color=color, by=grouping(by)))


def grouping(name: str) -> By:
    """What the rows of tables are.

    Raises:
        UsageError: there is no such choice.
    """
    for by in BY:
        if by == name:
            return by
    raise UsageError(f"--by: must be one of {', '.join(BY)}, got {name!r}")


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
    form: FileForm,
    run_dir: "RunDir",
    summary: "RunSummary",
    parameters: Mapping[str, Any],
    check: "Check",
    *,
    audit: "Audit | None" = None,
) -> None:
    """Write a report to the run directory by atomic replacement: there is either the old file or the whole new one.

    Raises:
        DiskError: it cannot be written.
    """
    from bootcamp_cli.store.atomic import replace_bytes  # noqa: PLC0415  # what only prints needs none of it

    replace_bytes(form.path(run_dir, summary), form.content(summary, parameters, audit), check)


def table_text(view: View) -> str:
    """Styled tables in a terminal, plain text elsewhere."""
    if view.width is None:
        return plain_text(view.page) + _endpoint_text(view)
    from bootcamp_cli.reports.terminal import terminal_text  # noqa: PLC0415  # rich only for a terminal

    return terminal_text(view.page, width=view.width, color=view.color) + _endpoint_text(view)


def _endpoint_text(view: View) -> str:
    return _endpoint_part(view, lambda grid: grid.fitted(view.width).plain(), str)


def _endpoint_markdown(view: View) -> str:
    return _endpoint_part(view, lambda grid: grid.markdown(), lambda note: f"- {escaped_markdown(note)}")


def _endpoint_part(view: View, table: "Callable[[Grid], Iterable[str]]", line: Callable[[str], str]) -> str:
    """The table of endpoints with its notes, each made a line; nothing where there is only one."""
    from bootcamp_cli.analysis.endpoints import endpoints_of  # noqa: PLC0415  # as the summary is made
    from bootcamp_cli.reports.endpoints import endpoint_grid, endpoint_notes  # noqa: PLC0415  # it imports this module

    endpoints = endpoints_of(view.shown)
    if not endpoints.are_several:
        return ""
    return "\n".join(["", *table(endpoint_grid(endpoints)), "", *map(line, endpoint_notes(endpoints))]) + "\n"


def plain_text(page: Page) -> str:
    """Of each table head, rule, rows, rule and total, as wide as they are; then the notes."""
    lines: list[str] = []
    for table in page.tables:
        widths = table.widths
        rule = "  ".join("-" * width for width in widths)
        body = [_line(table, row, widths) for row in table.rows]
        lines += [_line(table, table.titles, widths), rule, *body, rule, _line(table, table.total, widths), ""]
    return "\n".join([*lines, *page.notes]) + "\n"


def _line(table: Table, cells: Sequence[str], widths: Sequence[int]) -> str:
    """Texts aligned left, numbers aligned right."""
    padded = (
        cell + " " * (width - display_width(cell))
        if column.kind == "text"
        else " " * (width - display_width(cell)) + cell
        for column, cell, width in zip(table.columns, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()


def markdown_text(page: Page) -> str:
    """Markdown tables, the total in bold as the last row of each, and the notes as a list."""
    lines: list[str] = []
    for table in page.tables:
        rule = ("---" if column.kind == "text" else "---:" for column in table.columns)
        total = (f"**{escaped_markdown(cell.rstrip())}**" if cell else "" for cell in table.total)
        rows = ([escaped_markdown(cell.rstrip()) for cell in row] for row in table.rows)
        lines += [_row(map(escaped_markdown, table.titles)), _row(rule), *map(_row, rows), _row(total), ""]
    return "\n".join([*lines, *(f"- {escaped_markdown(note)}" for note in page.notes)]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped_markdown(text: str) -> str:
    """The text with a backslash before each character that Markdown or HTML would act on."""
    return _MARKUP.sub(r"\\\g<0>", text)


def csv_text(view: View, *, delimiter: str = ",") -> str:
    """All columns under the names of meta.jsonl, a line per row, no total; numbers in full, missing values empty.

    A line per family where those are asked for. Names are made visible, and an apostrophe stands before one that a
    spreadsheet would run as a formula.
    """
    stream = StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    if view.by == "family":
        columns = (*FAMILY_COLUMNS, *(column for column in COLUMNS if column.kind != "text"))
        lines = ([name, *(each.total(run) for each in columns[1:])] for name, run in view.shown.families.items())
    else:
        columns = COLUMNS
        lines = ([column.of(group) for column in COLUMNS] for group in view.shown.groups)
    writer.writerow([column.key for column in columns])
    writer.writerows([_cell(cell) for cell in line] for line in lines)
    return stream.getvalue()


def _cell(cell: Cell) -> Cell:
    return as_text(visible(cell)) if isinstance(cell, str) else cell


def json_text(view: View) -> str:
    """The object described above, indented, in ASCII."""
    return json.dumps(json_object(view.shown, n_all=view.n_all), indent=2) + "\n"


def json_object(shown: "RunSummary", *, n_all: int) -> dict[str, Any]:
    """The object described above; `n_all` is the number of rows of the whole run."""
    from bootcamp_cli.analysis.endpoints import endpoints_of  # noqa: PLC0415  # as the summary is made
    from bootcamp_cli.reports.endpoints import drift_json, endpoints_json  # noqa: PLC0415  # it imports this module

    bounds, weighted, endpoints = shown.bounds, shown.weighted_bounds, endpoints_of(shown)
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
        "shard": shown.shard,
        "groups": [_group(group) for group in shown.groups],
        "right_at": shown.right_at,
        "error_other_bootcamps": shown.mean and shown.mean.error_other_bootcamps,
        "weighted_interval": _ends(shown.weighted_interval),
        **_figures(shown),
        "endpoints": endpoints_json(endpoints),
        "drift": drift_json(endpoints),
        "families": [_family(name, family) for name, family in shown.families.items()],
    }


def _group(group: "GroupSummary") -> dict[str, Any]:
    row: dict[str, Any] = {column.key: column.of(group) for column in COLUMNS}
    method = group.mean and group.mean.method
    counts = {"failures": dict(group.failures), "unverified": dict(group.unverified)}
    return row | counts | {"family": group.family, "interval_method": method} | _figures(group)


def _family(name: str, family: "RunSummary") -> dict[str, Any]:
    row = {column.key: column.total(family) for column in (*FAMILY_COLUMNS, *COLUMNS) if column.kind != "text"}
    counts = {"failures": family.failures, "unverified": family.unverified}
    other = family.mean and family.mean.error_other_bootcamps
    return {"family": name} | row | counts | {"error_other_bootcamps": other} | _figures(family)


def _figures(row: "GroupSummary | RunSummary") -> dict[str, Any]:
    """The keys that a group, a family and the run have in common."""
    mean, majority, latency = row.mean, row.majority, row.latency
    return {
        "interval": _ends(row.interval),
        "error_new_questions": mean and mean.error_new_questions,
        "error_rerun": mean and mean.error_rerun,
        "n_prompts": row.n_prompts,
        "variance_within": row.variance_within,
        "variance_between": row.variance_between,
        "pass": [
            {"k": each.k, "n_without": each.n_without, "at": _value(each.pass_at), "hat": _value(each.pass_hat)}
            for each in row.passes
        ],
        "majority": majority and {"n_without": majority.n_without, **(_value(majority.mean) or {})},
        "account": asdict(row.account),
        "score_if_truncated_right": row.score_if_truncated_right,
        "length": _spread(row.length, 1),
        "latency_s": _spread(latency, LATENCY_UNIT_S),
        "tokens_per_second": row.tokens_per_second,
        "tokens": structs.asdict(row.tokens),
        "retries": dict(row.retries),
    }


def _value(mean: "GroupMean | RunMean | None") -> dict[str, Any] | None:
    """A mean with its interval for new questions."""
    if mean is None:
        return None
    return {"value": mean.mean, "interval": _ends(mean.interval), "error": mean.error_new_questions}


def _ends(interval: "Interval | None") -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _spread(distribution: "Distribution", unit: float) -> dict[str, float | None]:
    figures = {"mean": distribution.mean, "p50": distribution.quantile(0.5), "p95": distribution.quantile(0.95)}
    if unit != 1:
        figures = {name: None if figure is None else round(figure * unit, 6) for name, figure in figures.items()}
    return {"n": distribution.n, **figures}


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


def _workbook(summary: "RunSummary", parameters: Mapping[str, Any], audit: "Audit | None") -> bytes:
    from bootcamp_cli.reports.xlsx import scores_workbook  # noqa: PLC0415  # openpyxl takes 120 ms

    return scores_workbook(summary, parameters, audit)


REPORTS: Mapping[str, TextForm | FileForm] = {
    "table": TextForm(text=table_text),
    "markdown": TextForm(text=lambda view: markdown_text(view.page) + _endpoint_markdown(view)),
    "csv": TextForm(text=csv_text),
    "tsv": TextForm(text=lambda view: csv_text(view, delimiter="\t")),
    "json": TextForm(text=json_text),
    "meta": FileForm(path=lambda run_dir, _: run_dir.meta, content=lambda summary, _, __: meta_lines(summary).encode()),
    "xlsx": FileForm(path=lambda run_dir, summary: run_dir.scores(summary.model_name), content=_workbook),
}
"""Every form by name, in the order in which they are listed and written."""

TEXT_FORMS: tuple[str, ...] = tuple(name for name, form in REPORTS.items() if isinstance(form, TextForm))
"""The forms that can be printed."""
