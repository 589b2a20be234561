"""The reports of a run directory: written beside its details, printed as the command's result."""

import os
import shutil
import sys
from typing import Any

from bootcamp_cli.analysis.summary import RunSummary, foreign_files, model_name, summarise
from bootcamp_cli.cli.console import Console
from bootcamp_cli.reports.forms import json_object, meta_lines, render
from bootcamp_cli.reports.xlsx import write_scores
from bootcamp_cli.settings.model import listed_keys
from bootcamp_cli.store.atomic import replace_bytes
from bootcamp_cli.store.lock import RunLock
from bootcamp_cli.store.run_dir import RunDir


def publish(run_dir: RunDir, lock: RunLock, console: Console) -> RunSummary:
    """Rebuild meta.jsonl and the workbook from details, under the lock of the run directory.

    A meta.jsonl of the reference script stays where it knows bootcamps that nothing assigns to a file.
    """
    summary = read_summary(run_dir, console)
    if (unnamed := _unnamed_file(run_dir, summary)) and run_dir.meta.exists():
        console.warn(
            f"details/{unnamed}: its records have no data_source, and neither meta.jsonl nor the file's name tells it "
            "beyond doubt: the file's name stands for the bootcamp, and meta.jsonl is left as it is"
        )
    else:
        replace_bytes(run_dir.meta, meta_lines(summary).encode(), lock.check)
    write_scores(run_dir.scores(model_name(run_dir)), summary, answer_parameters(run_dir), lock.check)
    return summary


def read_summary(run_dir: RunDir, console: Console) -> RunSummary:
    """The summary of what the run directory holds; says which details it leaves out."""
    for name in foreign_files(run_dir):
        console.warn(f"details/{name} is of no test file of the run and left out: move it elsewhere")
    return summarise(run_dir)


def _unnamed_file(run_dir: RunDir, summary: RunSummary) -> str | None:
    """The first file of a directory without a manifest that has records of no data source."""
    if run_dir.read_manifest() is not None:
        return None
    return next((group.file for group in summary.groups if group.data_source is None and group.n), None)


def answer_parameters(run_dir: RunDir) -> dict[str, Any]:
    """The parameters that decide the answers, as far as the run directory knows them."""
    known = (run_dir.read_eval_args() or {}) | ((run_dir.read_manifest() or {}).get("identity") or {})
    return {name: known[name] for name in listed_keys() if known.get(name) not in (None, [], {})}


def print_report(run_dir: RunDir, summary: RunSummary, console: Console) -> None:
    """The summary table and the paths; as JSON the summary with the path of the run directory."""
    data = json_object(summary, n_all=len(summary.groups)) | {"run_dir": str(run_dir.path)}
    console.result(data, text="" if console.json else table_text(summary), styled=True)
    console.notice(f"run directory: {run_dir.path}")
    console.notice(f"scores: {run_dir.scores(model_name(run_dir))}")


def table_text(summary: RunSummary, **options: Any) -> str:
    """The table for stdout: styled in a terminal, plain text elsewhere."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    return render(summary, "table", width=width, color=terminal and not os.environ.get("NO_COLOR"), **options)
