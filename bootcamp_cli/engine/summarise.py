"""A run directory's details and failures as a summary, also of run directories that the reference script left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET

from bootcamp_cli.bootcamps.ceilings import ceilings_by_digest
from bootcamp_cli.engine.identify import data_source_by_file
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.records import REVERIFIABLE, bootcamp_name
from bootcamp_cli.results.aggregate import Aggregator, FileGroups, GroupPlan
from bootcamp_cli.results.summary import RunSummary
from bootcamp_cli.settings.masking import shortened
from bootcamp_cli.store.belonging import FileRows, rows_by_file
from bootcamp_cli.store.journal import read_failures
from bootcamp_cli.store.manifest import files_of
from bootcamp_cli.store.replay import DetailIndex, RecordHead, read_heads, take
from bootcamp_cli.store.run_dir import RunDir

_COUNTING = ("row", "data_source", "score", "failure", "output_len", "output_len_estimated", "finish_reason")


def summarise(run_dir: RunDir) -> RunSummary:
    """Read everything that a run directory holds.

    What each test file owes comes from the manifest. Without one (the reference script, outputs from elsewhere) it is
    what is found; records without a data source are then of the one that meta.jsonl or the file's name tells, else they
    have none and go by the file's stem.

    Raises:
        RunDirectoryError: a line of details or failures is no record, or in a run of ours of no row, or of one that has
            a record; the message names it.
    """
    manifest = run_dir.read_manifest()
    known = data_source_by_file(run_dir) if manifest is None else {}
    aggregator = Aggregator(
        _planned(files_of(manifest, run_dir.manifest)) if manifest is not None else _found(run_dir, known)
    )
    rows = None if manifest is None else rows_by_file(manifest, run_dir.manifest)
    failures = {(failure["file"], failure["row"]): failure for failure in read_failures(run_dir, rows)}
    for path in detail_files(run_dir, rows):
        superseded: dict[Any, dict[str, Any]] = {}
        index = DetailIndex()
        for number, length, head in read_heads(path):
            if type(head.row) is not int or head.failure is not None:
                _check_key(path.name, number, head)
            if head.data_source is None:
                head.data_source = known.get(path.name)
            record = {key: getattr(head, key) for key in _COUNTING}
            if head.score is UNSET:
                record["score"] = None
            if failures:
                failures.pop((path.name, head.row), None)
            if head.failure in REVERIFIABLE:
                superseded[head.row] = record
            else:
                if superseded:
                    superseded.pop(head.row, None)
                aggregator.add_record(path.name, record, line=number)
            if rows is not None:
                take(index, path, number, length, head, rows[path.name])
        for record in superseded.values():
            aggregator.add_record(path.name, record)
    for failure in failures.values():
        aggregator.add_failure(failure["file"], failure)
    return aggregator.summary(model_name=model_name(run_dir), test_dir=_test_dir_name(run_dir, manifest))


def detail_files(run_dir: RunDir, rows: Mapping[str, FileRows] | None) -> list[Path]:
    """The details files; of a run of ours (`rows`) those of its test files alone."""
    return [path for path in run_dir.detail_files() if rows is None or path.name in rows]


def foreign_files(run_dir: RunDir) -> list[str]:
    """The names of details files that are of no test file of a run of ours: they are left out."""
    manifest = run_dir.read_manifest()
    if manifest is None:
        return []
    rows = rows_by_file(manifest, run_dir.manifest)
    return [path.name for path in run_dir.detail_files() if path.name not in rows]


def _check_key(file: str, number: int, head: RecordHead) -> None:
    """Refuse a record whose row or failure is of a type that neither is."""
    row, failure = head.row, head.failure
    for key, value, is_fine, expected in (
        ("row", row, row is None or type(row) is int, "a row number"),
        ("failure", failure, failure is None or isinstance(failure, str), "a text or null"),
    ):
        if not is_fine:
            raise RunDirectoryError(
                f"details/{file}:{number}: {key} must be {expected}, got {shortened(repr(value))}",
                hint="mend or remove that line; nothing was changed",
            )


def model_name(run_dir: RunDir) -> str:
    """The evaluated model: of eval_args.json, else the directory's name."""
    name = (run_dir.read_eval_args() or {}).get("model_name")
    return name if isinstance(name, str) and name else run_dir.path.resolve().name


def _planned(files: list[dict[str, Any]]) -> list[FileGroups]:
    return [
        FileGroups(
            file=file["name"],
            groups=tuple(
                GroupPlan(bootcamp=bootcamp_name(name), data_source=name, n=n, ceiling=_ceiling(file))
                for name, n in file["data_sources"]
            ),
        )
        for file in files
    ]


def _ceiling(file: dict[str, Any]) -> float | None:
    """The highest average score of a test file that is one of the public ones, all of its rows taken."""
    return ceilings_by_digest().get((file["digest"], file["n_rows"]))


def _found(run_dir: RunDir, known: Mapping[str, str]) -> list[FileGroups]:
    return [
        FileGroups(file=path.name, fallback=bootcamp_name(known[path.name]) if path.name in known else path.stem)
        for path in run_dir.detail_files()
    ]


def _test_dir_name(run_dir: RunDir, manifest: dict[str, Any] | None) -> str:
    named = (manifest or {}).get("test_dir") or (run_dir.read_eval_args() or {}).get("test_dir")
    return str(named).rstrip("/").rpartition("/")[2] if named else run_dir.path.resolve().name
