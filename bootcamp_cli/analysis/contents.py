"""What a run directory holds, from one reading: its records and failures summed up, whoever wrote it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bootcamp_cli.analysis.counting import Aggregator, AnswerHead, FileGroups, GroupPlan
from bootcamp_cli.analysis.summary import RIGHT_AT, Drawn, Redone, RunSummary
from bootcamp_cli.bootcamps.registry import ceilings_by_digest
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.endpoints import read_endpoints
from bootcamp_cli.store.records import HalfRecord, HeadLine, RecordHead
from bootcamp_cli.store.run_dir import RunDir, redo_dirs
from bootcamp_cli.store.server_metrics import read_loads
from bootcamp_cli.text import DataUrl, is_url
from bootcamp_cli.types import (
    TO_BE_VERIFIED,
    FailureRecord,
    Manifest,
    SampleKey,
    bootcamp_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContents:
    """The contents of a run directory, from one reading.

    `manifest` is None where this tool did not make the directory, `eval_args` holds the parameters as they were
    written. `shown` is the summary at the threshold that was asked for, `summary` that at the usual one, which files
    are made of. `failed` has the first failure of each kind. `left_out` names the details files that do not belong to
    any test file of the run; `halves` are the half records of run_eval.py, which count where they have a score.
    """

    manifest: Manifest | None
    eval_args: Mapping[str, Any]
    summary: RunSummary
    shown: RunSummary
    left_out: tuple[str, ...]
    failed: Mapping[str, FailureRecord] = field(default_factory=dict)
    halves: tuple[HalfRecord, ...] = ()

    @property
    def unnamed_file(self) -> str | None:
        """The first file with records whose data source nothing tells."""
        if self.manifest is not None:
            return None
        return next((group.file for group in self.summary.groups if group.data_source is None and group.n), None)


class Observer(Protocol):
    """Sees each answer while a run directory is read, so that it need not be read twice.

    An answer that waited for its verdict may come again, with it.
    """

    def add(self, file: str, number: int, head: "AnswerHead", right_at: float) -> None:
        """Take an answer: the head of the record with this 1-based number in details/{file}."""


def read_run(run_dir: RunDir, *, right_at: float = RIGHT_AT, observer: Observer | None = None) -> RunContents:
    """Read everything that a run directory holds, once; an answer is right where its score is `right_at` or more.

    What each test file owes comes from the manifest. Without one (the reference script, outputs from elsewhere) it is
    what is found; records without a data source then belong to the one that meta.jsonl or the file's name tells, else
    they have none and are listed under the file's stem.

    Raises:
        RunDirectoryError: a line of details or failures is not a record, or does not belong to the run, or its sample
            already has a record; the message names it.
    """
    contents, redone = read_alone(run_dir, right_at, observer), _redone(run_dir)
    return replace(
        contents, summary=replace(contents.summary, redone=redone), shown=replace(contents.shown, redone=redone)
    )


def read_alone(run_dir: RunDir, right_at: float = RIGHT_AT, observer: Observer | None = None) -> RunContents:
    """Everything that a run directory holds, without those beside it that redo samples of it."""
    details, eval_args = RunDetails(run_dir), run_dir.read_eval_args() or {}
    manifest, (paths, left_out) = details.manifest, details.files()
    if manifest is None:
        aggregator = Aggregator(_found(paths, details.data_sources))
    else:
        aggregator = Aggregator(_planned(manifest), repeats=manifest.repeats)
    failures = {failure.key: failure for failure in details.failures()}
    halves: list[HalfRecord] = []
    for path in paths:
        lines = details.heads(path, AnswerHead, on_half=halves.append)
        if observer is not None:
            lines = _observed(lines, path.name, observer, right_at)
        _add_file(aggregator, path.name, lines, failures)
    failed: dict[str, FailureRecord] = {}
    for _, failure in sorted(failures.items()):
        aggregator.add_failure(failure)
        failed.setdefault(failure.kind, failure)
    redo_of = manifest.redo_of if manifest is not None else None
    traffic, loads = read_endpoints(run_dir), read_loads(run_dir)
    summaries = {
        threshold: replace(
            aggregator.summary(
                model_name=model_name_of(eval_args, run_dir),
                test_dir=test_dir_name_of(eval_args, run_dir),
                right_at=threshold,
            ),
            redo_of=redo_of.run if redo_of else None,
            drawn=_drawn(manifest),
            shard=str(manifest.shard) if manifest is not None and manifest.shard else None,
            traffic=traffic,
            loads=loads,
        )
        for threshold in {RIGHT_AT, right_at}
    }
    return RunContents(
        manifest=manifest,
        eval_args=eval_args,
        summary=summaries[RIGHT_AT],
        shown=summaries[right_at],
        left_out=tuple(path.name for path in left_out),
        failed=failed,
        halves=tuple(halves),
    )


def _drawn(manifest: Manifest | None) -> Drawn | None:
    """How the questions of a run were drawn, where they were."""
    if manifest is None:
        return None
    n, seed = manifest.identity.get("sample"), manifest.identity.get("sample_seed")
    if not isinstance(n, int) or not isinstance(seed, int):
        return None
    n_rows = {file.name: file.n_drawn_from for file in manifest.files if file.n_drawn_from is not None}
    return Drawn(n=n, seed=seed, n_rows=n_rows)


def _redone(run_dir: RunDir) -> tuple[Redone, ...]:
    """What the run directories beside a run hold that redo samples of it; those that cannot be read are left out."""
    found = []
    for redo_dir, manifest in redo_dirs(run_dir):
        if manifest.redo_of is None:
            continue
        with suppress(RunDirectoryError):
            summary = read_alone(redo_dir).summary
            max_tokens = manifest.identity.get("max_tokens")
            found.append(
                Redone(
                    run_dir=redo_dir.path.name,
                    selection=manifest.redo_of.selection,
                    max_tokens=max_tokens if isinstance(max_tokens, int | str) else None,
                    n=summary.n_samples,
                    n_scored=summary.n_scored,
                    n_truncated=summary.n_truncated,
                    score=summary.weighted_score,
                )
            )
    return tuple(found)


def _planned(manifest: Manifest) -> Iterator["FileGroups"]:
    """What the test files of the manifest owe; with the ceiling of a public one that has all of its rows taken."""
    if (redo := manifest.redo_of) is not None:
        for file, counts in redo.data_sources.items():
            yield FileGroups(
                file=file,
                groups=tuple(
                    GroupPlan(
                        bootcamp=bootcamp_name(name),
                        data_source=name,
                        n=count.n,
                        n_questions=count.n_questions,
                        family=manifest.families.get(name),
                    )
                    for name, count in counts.items()
                ),
            )
        return
    for entry in manifest.files:
        if not entry.taken:
            continue
        ceiling = ceilings_by_digest().get((entry.digest, entry.n_rows)) if manifest.shard is None else None
        yield FileGroups(
            file=entry.name,
            groups=tuple(
                GroupPlan(
                    bootcamp=bootcamp_name(name),
                    data_source=name,
                    n=n * manifest.repeats,
                    n_questions=n,
                    ceiling=ceiling,
                    family=manifest.families.get(name),
                )
                for name, n in entry.taken
            ),
        )


def _found(paths: Iterable[Path], data_sources: Mapping[str, str]) -> Iterator["FileGroups"]:
    """Details files for which nothing tells what they owe."""
    for path in paths:
        data_source = data_sources.get(path.name)
        yield FileGroups(file=path.name, fallback=path.stem if data_source is None else bootcamp_name(data_source))


def _observed(lines: Iterable[HeadLine], file: str, observer: Observer, right_at: float) -> Iterator[HeadLine]:
    """The lines, each shown to the observer."""
    for line in lines:
        number, _, head = line
        if isinstance(head, AnswerHead):
            observer.add(file, number, head, right_at)
        yield line


def _add_file(
    aggregator: "Aggregator", file: str, lines: Iterable[HeadLine], failures: dict[SampleKey, FailureRecord]
) -> None:
    """Count the latest record of each sample in a details file; samples with an answer are taken out of `failures`."""
    pending: dict[tuple[int, int], RecordHead] = {}
    for _, _, head in lines:
        if head.row is None:
            aggregator.add_record(file, head)
            continue
        if failures:
            failures.pop(SampleKey(file, head.row, head.repeat), None)
        if head.failure in TO_BE_VERIFIED:
            pending[head.row, head.repeat] = head.without_texts()
        else:
            if pending:
                pending.pop((head.row, head.repeat), None)
            aggregator.add_record(file, head)
    for head in pending.values():
        aggregator.add_record(file, head)


def model_name_of(eval_args: Mapping[str, Any], run_dir: RunDir) -> str:
    """The evaluated model from eval_args.json, else the directory's name."""
    name = eval_args.get("model_name")
    return name if isinstance(name, str) and name else run_dir.path.resolve().name


def test_dir_name_of(eval_args: Mapping[str, Any], run_dir: RunDir) -> str:
    """The name of the test dir from eval_args.json, of the first of several; else the directory's name."""
    named, more = eval_args.get("test_dir"), ""
    if isinstance(named, list) and named:
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        named = named[0]
    if not named:
        return run_dir.path.resolve().name
    name = DataUrl(str(named)).name if is_url(str(named)) else str(named).rstrip("/").rpartition("/")[2]
    return f"{name}{more}"
