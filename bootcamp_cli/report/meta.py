"""meta.jsonl: one line per test file and data source; equal answers give equal bytes."""

import json

from bootcamp_cli.report.columns import COLUMNS
from bootcamp_cli.results.summary import RunSummary


def meta_lines(summary: RunSummary) -> str:
    """The whole content of meta.jsonl, a JSON object to a line: `bootcamp`, `avg_score`, `avg_len`, then the rest.

    The rows keep their order: files in name order, data sources in order of first appearance. An average of nothing is
    null. Source of the first three keys: `meta.jsonl` of InternBootcamp's run_eval.py.
    """
    rows = ({column.key: column.of(group) for column in COLUMNS} for group in summary.groups)
    return "".join(f"{_line(row)}\n" for row in rows)


def _line(row: dict[str, str | int | float | None]) -> str:
    """The row as JSON with non-ASCII as it is, unless it cannot be written as UTF-8 (a lone surrogate)."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(row)
    return line
