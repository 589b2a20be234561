"""The forms of a list of run directories: table, Markdown, CSV, JSON.

The JSON object:

schema             "bootcamp.runs"
schema_version     1; it grows when a key changes its meaning or is removed, not when one is added
output_dir         str
runs               [object], the newest first: run_dir, name, model_name, test_dir, shard (str | null); state
                   (running, in use, complete, incomplete, interrupted, foreign, partly removed, unreadable); holder
                   {host, pid} | null; n_done, n_samples (int | null); avg_score (number | null), interval [low, high] |
                   null; started (ISO 8601, UTC), size_bytes, problem (str | null)
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.columns import digits_borne
from bootcamp_cli.reports.grid import Grid
from bootcamp_cli.text import as_text, counted, score_text, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.runs import RunEntry

SCHEMA_VERSION = 1


def render_runs(runs: Sequence["RunEntry"], output_dir: Path, form: str, *, width: int | None = None) -> str:
    """The runs in one of the text forms, in `width` columns where it is a terminal's.

    Raises:
        UsageError: there is no such form.
    """
    check_form(form)
    return RUNS_FORMS[form](runs, output_dir, width)


def check_form(name: str) -> None:
    """Refuse what is no text form.

    Raises:
        UsageError: there is no such form.
    """
    if name not in RUNS_FORMS:
        raise UsageError(f"--format: must be one of {', '.join(RUNS_FORMS)}, got {name!r}")


def runs_object(runs: Sequence["RunEntry"], output_dir: Path) -> dict[str, Any]:
    """The runs as JSON; see the head of this file."""
    return {
        "schema": "bootcamp.runs",
        "schema_version": SCHEMA_VERSION,
        "output_dir": str(output_dir),
        "runs": [run_object(run) for run in runs],
    }


def run_object(run: "RunEntry") -> dict[str, Any]:
    """One run as JSON."""
    holder, interval = run.holder, run.interval
    return {
        "run_dir": str(run.path),
        "name": run.path.name,
        "model_name": run.model_name,
        "test_dir": run.test_dir,
        "shard": run.shard,
        "state": run.state,
        "holder": None if holder is None else {"host": holder.host, "pid": holder.pid},
        "n_done": run.n_done,
        "n_samples": run.n_samples,
        "avg_score": run.avg_score,
        "interval": None if interval is None else [interval.low, interval.high],
        "started": run.started,
        "size_bytes": run.size_bytes,
        "problem": run.problem,
    }


def run_line(run: "RunEntry") -> str:
    """A run in one line, as a question about it names it."""
    done, when = _done(run), _when(run.started)
    parts = (_state(run), *([f"{done} samples"] if done != "-" else []), when, size_text(run.size_bytes))
    return f"{visible(str(run.path))} ({', '.join(part for part in parts if part)})"


_TITLES = ("run", "model", "test dir", "state", "done", "score", "95 % interval", "started", "size")
_SPARE = ("test dir", "model", "size", "started", "95 % interval")


def _grid(runs: Sequence["RunEntry"]) -> Grid:
    rows = []
    for run in runs:
        part = "" if run.shard is None else f" {run.shard}"
        names = (visible(run.path.name), visible(run.model_name) or "-", f"{visible(run.test_dir) or '-'}{part}")
        rows.append((*names, _state(run), _done(run), *_score(run), _when(run.started), size_text(run.size_bytes)))
    return Grid(_TITLES, rows, _SPARE, n_texts=4)


def _state(run: "RunEntry") -> str:
    if run.holder is not None:
        return f"{run.state} ({run.holder.pid} on {visible(run.holder.host)})"
    return "run_eval.py" if run.state == "foreign" else run.state


def _done(run: "RunEntry") -> str:
    if run.n_done is None:
        return "-"
    return f"{run.n_done:,}" + ("" if run.n_samples is None else f"/{run.n_samples:,}")


def _score(run: "RunEntry") -> tuple[str, str]:
    """The score and its interval, with as many digits as that bears."""
    if run.avg_score is None:
        return "-", "-"
    digits, interval = digits_borne(run.interval), run.interval
    ends = "-" if interval is None else f"{score_text(interval.low, digits)} to {score_text(interval.high, digits)}"
    return score_text(run.avg_score, digits), ends


def _when(started: str) -> str:
    """A time as this machine's clock has it."""
    try:
        return f"{datetime.fromisoformat(started).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "-"


def size_text(n_bytes: int) -> str:
    """A size as people write it: `512 B`, `1.5 MB`."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    size, units = n_bytes / 1000, ["kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}" if size < 100 else f"{size:,.0f} {units[0]}"


def _problems(runs: Sequence["RunEntry"]) -> list[str]:
    return [f"{visible(run.path.name)}: {visible(run.problem)}" for run in runs if run.problem]


def _text(runs: Sequence["RunEntry"], output_dir: Path, width: int | None) -> str:
    if not runs:
        return f"no runs in {visible(str(output_dir))}\n"
    size = size_text(sum(run.size_bytes for run in runs))
    lines = [*_grid(runs).fitted(width).plain(), "", f"{counted(len(runs), 'run')}, {size}", *_problems(runs)]
    return "\n".join(lines) + "\n"


def _markdown_text(runs: Sequence["RunEntry"], _output_dir: Path, _width: int | None) -> str:
    return "\n".join(_grid(runs).markdown()) + "\n"


def _csv_text(runs: Sequence["RunEntry"], delimiter: str = ",") -> str:
    stream = StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(_CSV_KEYS)
    for run in runs:
        low, high = (None, None) if run.interval is None else (run.interval.low, run.interval.high)
        host, pid = (None, None) if run.holder is None else (run.holder.host, run.holder.pid)
        cells = run_object(run) | {"host": host, "pid": pid, "low95": low, "high95": high}
        writer.writerow([as_text(visible(cell)) if isinstance(cell := cells[key], str) else cell for key in _CSV_KEYS])
    return stream.getvalue()


_CSV_KEYS = (
    *("run_dir", "model_name", "test_dir", "state", "host", "pid", "n_done", "n_samples"),
    *("avg_score", "low95", "high95", "started", "size_bytes", "problem"),
)


def _json_text(runs: Sequence["RunEntry"], output_dir: Path, _width: int | None) -> str:
    import json  # noqa: PLC0415 - the other forms need none of it

    return json.dumps(runs_object(runs, output_dir), indent=2) + "\n"


RUNS_FORMS: Mapping[str, Callable[[Sequence["RunEntry"], Path, int | None], str]] = {
    "table": _text,
    "markdown": _markdown_text,
    "csv": lambda runs, _directory, _width: _csv_text(runs),
    "tsv": lambda runs, _directory, _width: _csv_text(runs, "\t"),
    "json": _json_text,
}
"""The forms that are printed, by name: as for `bootcamp report`."""
