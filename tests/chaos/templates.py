"""Run directories to continue: interrupted ones in every unfinished state, made from a finished one."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.chaos.runs import seeded


def interrupted(finished: Path, target: Path) -> int:
    """Copy a finished run as an interrupted one; returns how many of its samples have no answer.

    Half the records are gone and the others out of order, a verifier was lost, a sample failed, the last line is torn,
    a temporary file of a killed process lies about, and there are no reports.
    """
    shutil.copytree(finished, target)
    for path in (target / "meta.jsonl", target / "demo_scores.xlsx", target / "progress.log"):
        path.unlink()
    manifest = json.loads((target / "manifest.json").read_bytes())
    (target / "manifest.json").write_text(json.dumps({**manifest, "complete": False, "ended": None}))
    random = seeded("interrupted")
    n_missing = 0
    for path in sorted((target / "details").glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        random.shuffle(lines)
        kept, lost = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        n_missing += len(lost)
        kept[0] = json.dumps({**json.loads(kept[0]), "score": None, "failure": "verifier_timeout"})
        path.write_text("".join(f"{line}\n" for line in kept) + lost[0][: len(lost[0]) // 2], encoding="utf-8")
        with (target / "failures.jsonl").open("a", encoding="utf-8") as failures:
            failures.write(f"{json.dumps(failure_of(path.name, json.loads(lost[1])))}\n")
    (target / "details" / ".tmp-left").write_text("half a fi")
    return n_missing


def failure_of(file: str, record: dict[str, Any]) -> dict[str, Any]:
    """The line of failures.jsonl of a sample that had no answer."""
    known = {key: record[key] for key in ("row", "id", "data_source")}
    return {"file": file, **known, "kind": "timeout", "last_error": "no answer", "attempts": 1}
