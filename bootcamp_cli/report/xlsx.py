"""{model_name}_scores.xlsx: the averages with a chart, the totals, the failures, the parameters."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from bootcamp_cli.report.chart import score_chart
from bootcamp_cli.report.columns import COLUMNS, Cell, Kind
from bootcamp_cli.report.pinned_zip import workbook_file
from bootcamp_cli.report.table import TOTAL
from bootcamp_cli.report.workbook_cells import fit_columns, put_header, put_row
from bootcamp_cli.results.summary import GroupSummary, RunSummary
from bootcamp_cli.store.atomic import Check, no_check, replace_bytes

_Row = tuple[Kind, *tuple[Cell, ...]]


def write_scores(path: Path, summary: RunSummary, parameters: Mapping[str, Any], check: Check = no_check) -> None:
    """Write the workbook to `path` by an atomic replacement: there is the old file or the whole new one.

    Raises:
        DiskError: it cannot be written.
    """
    replace_bytes(path, scores_workbook(summary, parameters), check)


def scores_workbook(summary: RunSummary, parameters: Mapping[str, Any]) -> bytes:
    """The workbook: on one installation the same answers and parameters give the same bytes.

    `parameters` are those that decide the answers, by name, in the order to show them, secrets masked: nothing that
    differs between two runs with the same answers may be among them.
    """
    workbook = Workbook()
    workbook.properties.creator = "bootcamp"
    scores = workbook.active
    assert isinstance(scores, Worksheet)  # noqa: S101  # a new workbook has one
    scores.title = "Scores"
    _fill_scores(scores, summary)
    _fill(workbook.create_sheet("Totals"), ("Total", "Value"), _totals(summary))
    titles = ("Bootcamp", "File", "Data Source", "Lacks", "Kind", "Samples")
    _fill(workbook.create_sheet("Failures"), titles, _failures(summary))
    _fill(workbook.create_sheet("Parameters"), ("Parameter", "Value"), _parameters(parameters))
    return workbook_file(workbook)


def _fill_scores(sheet: Worksheet, summary: RunSummary) -> None:
    """A row per line of meta.jsonl sorted by bootcamp, the total last, the chart to the right of the table.

    Source of the first three columns and the last row: the summary of InternBootcamp's run_eval.py.
    """
    groups = sorted(summary.groups, key=lambda group: group.bootcamp)
    kinds = [column.kind for column in COLUMNS]
    put_header(sheet, [column.sheet_title for column in COLUMNS])
    for row, group in enumerate(groups, start=2):
        put_row(sheet, row, [column.of(group) for column in COLUMNS], kinds)
    total = [TOTAL, *(column.total(summary) for column in COLUMNS[1:])]
    put_row(sheet, len(groups) + 2, total, kinds, bold=True)
    fit_columns(sheet, len(COLUMNS))
    averages = [group.avg_score for group in groups if group.avg_score is not None]
    if averages:
        unit_scale = all(0 <= score <= 1 for score in averages)
        chart = score_chart(sheet, n_rows=len(groups), unit_scale=unit_scale)
        sheet.add_chart(chart, f"{get_column_letter(len(COLUMNS) + 2)}2")


def _fill(sheet: Worksheet, titles: Sequence[str], rows: Iterable[_Row]) -> None:
    """Write a sheet; each row comes with the kind of its last cell, the others are text."""
    put_header(sheet, titles)
    for number, (kind, *cells) in enumerate(rows, start=2):
        kinds: list[Kind] = ["text"] * len(cells)
        kinds[-1] = kind
        put_row(sheet, number, cells, kinds)
    fit_columns(sheet, len(titles), widest=100)


def _totals(run: RunSummary) -> Iterator[_Row]:
    bounds, weighted = run.bounds, run.weighted_bounds
    yield "text", "Model", run.model_name
    yield "text", "Complete", "yes" if run.complete else "no"
    yield "score", "Average Score, every sample alike", run.weighted_score
    yield "score", "  if every sample without a score were wrong", weighted.low if weighted else None
    yield "score", "  if every sample without a score were right", weighted.high if weighted else None
    yield "length", "Average Output Length, every sample alike", run.weighted_len
    yield "score", "Average Score, every row alike", run.avg_score
    yield "score", "  if every sample without a score were wrong", bounds.low if bounds else None
    yield "score", "  if every sample without a score were right", bounds.high if bounds else None
    yield "length", "Average Output Length, every row alike", run.avg_len
    for column in COLUMNS:
        if column.kind == "count":
            yield "count", column.sheet_title, column.total(run)


def _failures(run: RunSummary) -> Iterator[_Row]:
    """Counts by kind, first of the whole run, then of each row that has any."""
    for lacks, kind, count in _lacking(run):
        yield "count", "all", None, None, lacks, kind, count
    for group in sorted(run.groups, key=lambda group: group.bootcamp):
        for lacks, kind, count in _lacking(group):
            yield "count", group.bootcamp, group.file, group.data_source, lacks, kind, count


def _lacking(counts: RunSummary | GroupSummary) -> Iterator[tuple[str, str, int]]:
    """What samples without a score lack, why, and how many."""
    yield from (("answer", kind, count) for kind, count in counts.failures.items())
    yield from (("verdict", kind, count) for kind, count in counts.unverified.items())


def _parameters(parameters: Mapping[str, Any]) -> Iterator[_Row]:
    """Texts and finite numbers as they are, all else as JSON."""
    for name, value in parameters.items():
        is_number = type(value) is int or (type(value) is float and math.isfinite(value))
        if is_number or isinstance(value, str):
            yield "text", name, value
        else:
            yield "text", name, json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
