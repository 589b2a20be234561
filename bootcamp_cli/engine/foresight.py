"""How long answers are expected to be, by test file: from this run's records, else from an earlier run."""

import heapq
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bootcamp_cli.engine.session import Session
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.run_dir import RunDir

_MAX_RUNS = 50
"""So many of the directories changed last are looked into."""


def expected_lengths(session: Session) -> dict[str, float]:
    """Mean output lengths by test file, for as many of the run's files as anything is known about.

    An earlier run counts where it had the same test file, whatever its model: which files are long hardly depends on
    that. Of several the newest with the same model, else the newest, is taken. Reads files: belongs into a thread.
    """
    own = {name: index.len_sum / index.n_rows for name, index in session.journal.details.items() if index.n_rows}
    return _earlier(session) | own


def _earlier(session: Session) -> dict[str, float]:
    digests = {file.name: file.digest for file in session.plan.test_set.files}
    model = session.plan.generation.model
    found: dict[str, float] = {}
    for run_dir in _newest(session.plan.settings.output_dir):
        identity = _identity(run_dir)
        if run_dir.path.name == session.run_dir.path.name or not digests.items() & identity.get("files", {}).items():
            continue
        lengths = {
            name: length
            for name, length in _mean_lengths(run_dir).items()
            if name in digests and identity["files"].get(name) == digests[name]
        }
        if lengths and identity.get("model_name") == model:
            return lengths
        found = found or lengths
    return found


def _newest(output_dir: Path) -> list[RunDir]:
    """The directories changed last, the newest first: all are not looked into, there may be thousands."""
    try:
        with os.scandir(output_dir) as entries:
            dated = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [RunDir(Path(path)) for _, path in heapq.nlargest(_MAX_RUNS, dated)]


def _identity(run_dir: RunDir) -> Mapping[str, Any]:
    """What decided the answers of an earlier run; nothing where it is not readable."""
    try:
        identity = (run_dir.read_manifest() or {}).get("identity")
    except RunDirectoryError:
        return {}
    return identity if isinstance(identity, dict) and isinstance(identity.get("files"), dict) else {}


def _mean_lengths(run_dir: RunDir) -> dict[str, float]:
    """The mean lengths that meta.jsonl tells; nothing where it is not there or not readable."""
    sums: dict[str, tuple[float, int]] = {}
    try:
        for line in run_dir.meta.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["avg_len"] is None:  # nothing of it was scored
                continue
            total, n = sums.get(row["file"], (0.0, 0))
            sums[row["file"]] = total + float(row["avg_len"]) * int(row["n_scored"]), n + int(row["n_scored"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: total / n for name, (total, n) in sums.items() if n}
