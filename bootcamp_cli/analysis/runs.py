"""What run directories stand in a directory, each at a glance: state, samples, score, time, size.

A glance must not cost a reading of all answers: the score comes from meta.jsonl where that is newer than the details.
Else the details are counted, up to a size.
"""

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from bootcamp_cli.analysis.contents import model_name_of, read_alone, test_dir_name_of
from bootcamp_cli.analysis.statistics import GroupMean, Interval, exact_mean, run_mean
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.lock import Holder, live_holder
from bootcamp_cli.store.run_dir import RunDir, recently_changed
from bootcamp_cli.types import Manifest

State = Literal["running", "in use", "complete", "incomplete", "interrupted", "foreign", "partly removed", "unreadable"]
"""`running` and `in use` (by report or rescore, once complete) have a live holder of the lock; `incomplete` are runs
that came to their end with samples that have no answer or no verdict; `foreign` ones were not made by this tool."""

MAX_COUNTED_BYTES = 256 * 1024 * 1024
"""Details beyond this are not read for the score where meta.jsonl is older than they are; their lines are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run directory.

    `shard` is the part of a run that it is, if it is one. `n_done` samples have an answer, of the `n_samples` that it
    owes; either is None where it is not known. `avg_score` is the unweighted mean of the rows, `interval` its 95 %
    interval for new questions. `started` is an ISO 8601 time in UTC, of a foreign directory that of its last change.
    `problem` says why it cannot be read.
    """

    path: Path
    state: State
    model_name: str = ""
    test_dir: str = ""
    shard: str | None = None
    holder: Holder | None = None
    n_done: int | None = None
    n_samples: int | None = None
    avg_score: float | None = None
    interval: Interval | None = None
    started: str = ""
    size_bytes: int = 0
    problem: str | None = None


def list_runs(output_dir: Path) -> list[RunEntry]:
    """The run directories in `output_dir`, the newest first; or the one that it is itself.

    A directory that cannot be read is an entry that says so. What is not a run directory is passed over.

    Raises:
        DiskError: `output_dir` cannot be listed.
    """
    if is_run(output_dir):
        return [run_entry(RunDir(output_dir))]
    entries = [run_entry(run_dir) for run_dir in recently_changed(output_dir) if is_run(run_dir.path)]
    return sorted(entries, key=lambda entry: (entry.started, entry.path.name), reverse=True)


def is_run(path: Path) -> bool:
    """Whether a directory looks like one of a run: it has a manifest or parameters, or details with averages.

    So does one that nobody may look into.
    """
    run_dir = RunDir(path)
    try:
        names = set(os.listdir(path))  # noqa: PTH208 - names only
    except PermissionError:
        return True
    except OSError:
        return False
    own = {run_dir.manifest.name, run_dir.eval_args.name, run_dir.removing.name}
    return bool(names & own) or {run_dir.details.name, run_dir.meta.name} <= names


def run_entry(run_dir: RunDir) -> RunEntry:
    """What there is to say about one run directory; never an error of its content."""
    size, changed_ns = _on_disk(run_dir)
    changed = _changed(run_dir.path)
    try:
        return _entry(run_dir, size, changed_ns, changed)
    except RunDirectoryError as error:
        problem = error.message
    except OSError as error:
        problem = f"{error.strerror or error}"
    return RunEntry(path=run_dir.path, state="unreadable", started=changed, size_bytes=size, problem=problem)


def _entry(run_dir: RunDir, size_bytes: int, changed_ns: int, changed: str) -> RunEntry:
    manifest, eval_args = run_dir.read_manifest(), run_dir.read_eval_args() or {}
    holder = live_holder(run_dir.path)
    figures = _from_meta(run_dir, changed_ns) or _counted(run_dir, manifest)
    return RunEntry(
        path=run_dir.path,
        state=_state(run_dir, manifest, figures, holder),
        model_name=model_name_of(eval_args, run_dir),
        test_dir=test_dir_name_of(eval_args, run_dir),
        shard=str(manifest.shard) if manifest is not None and manifest.shard else None,
        holder=holder,
        n_done=figures.n_done,
        n_samples=figures.n_samples if figures.n_samples is not None else _owed_in_all(manifest),
        avg_score=figures.avg_score,
        interval=figures.interval,
        started=changed if manifest is None else manifest.started,
        size_bytes=size_bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What the samples of a run come to, as far as known; `n_missing` were neither answered nor given up."""

    n_done: int | None = None
    n_samples: int | None = None
    n_missing: int | None = None
    avg_score: float | None = None
    interval: Interval | None = None


def _state(run_dir: RunDir, manifest: Manifest | None, figures: _Figures, holder: Holder | None) -> State:
    if os.path.lexists(run_dir.removing):
        return "partly removed"
    if manifest is None:
        return "in use" if holder else "foreign"
    if holder:
        return "in use" if manifest.complete else "running"
    if manifest.complete and not manifest.rescoring:
        return "complete"
    return "incomplete" if manifest.ended and figures.n_missing == 0 and not manifest.rescoring else "interrupted"


def _owed_in_all(manifest: Manifest | None) -> int | None:
    """How many samples a run is to have."""
    if manifest is None:
        return None
    if (redo := manifest.redo_of) is not None:
        return sum(len(samples) for samples in redo.samples.values())
    return manifest.repeats * sum(n for file in manifest.files for _, n in file.taken)


class _MetaLine(msgspec.Struct, frozen=True):
    """What a line of meta.jsonl tells; only the average stands in those of run_eval.py."""

    avg_score: float | None
    n: int | None = None
    n_failed: int | None = None
    n_missing: int | None = None
    score_low95: float | None = None
    score_high95: float | None = None
    error_new_questions: float | None = None

    @property
    def mean(self) -> GroupMean | None:
        """The average with its error; None where the line does not tell the error."""
        if self.avg_score is None or self.error_new_questions is None:
            return None
        low, high = self.score_low95, self.score_high95
        interval = None if low is None or high is None else Interval(low=low, high=high)
        is_bounded = interval is not None and interval.low >= 0 and interval.high <= 1
        return GroupMean(
            n_questions=0,
            n_samples=0,
            mean=self.avg_score,
            interval=interval,
            method="wilson" if is_bounded else "t",
            error_new_questions=self.error_new_questions,
        )


_decode_lines = msgspec.json.Decoder(_MetaLine).decode_lines


def _from_meta(run_dir: RunDir, changed_ns: int) -> _Figures | None:
    """What meta.jsonl tells; None where it is older than the details, of `changed_ns`, or cannot be read."""
    if not run_dir.meta.is_file():
        return None
    try:
        with run_dir.meta.open("rb") as file:
            if os.fstat(file.fileno()).st_mtime_ns < changed_ns:
                return None
            lines = _decode_lines(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    if not lines:
        return None
    means = [line.mean for line in lines if line.avg_score is not None]
    known = [mean for mean in means if mean is not None]
    run = run_mean(known) if len(known) == len(means) else None
    n, n_failed = _sum([line.n for line in lines]), _sum([line.n_failed for line in lines])
    n_missing = _sum([line.n_missing for line in lines])
    done = None if n is None or n_failed is None or n_missing is None else n - n_failed - n_missing
    return _Figures(
        n_done=_n_lines(run_dir.detail_files()) if done is None else done,
        n_samples=n,
        n_missing=n_missing,
        avg_score=exact_mean([line.avg_score for line in lines if line.avg_score is not None]),
        interval=None if run is None else run.interval,
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _counted(run_dir: RunDir, manifest: Manifest | None) -> _Figures:
    """What the details tell; of large ones only how many lines they have."""
    paths = run_dir.detail_files()
    if sum(path.stat().st_size for path in paths) > MAX_COUNTED_BYTES:
        n_lines, n_samples = _n_lines(paths), _owed_in_all(manifest)
        return _Figures(n_done=n_lines if n_samples is None else min(n_lines, n_samples))
    summary = read_alone(run_dir).summary
    return _Figures(
        n_done=summary.n_answered,
        n_samples=summary.n_samples if summary.sizes_known else None,
        n_missing=summary.n_missing if summary.sizes_known else None,
        avg_score=summary.avg_score,
        interval=summary.interval,
    )


def _n_lines(paths: Iterable[Path]) -> int:
    n_lines = 0
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                n_lines += chunk.count(b"\n")
    return n_lines


def _on_disk(run_dir: RunDir) -> tuple[int, int]:
    """The bytes of all files below a directory that can be looked at, and the latest change of the details, in ns.

    No link but that of the details is followed.
    """
    size_bytes = changed_ns = 0
    todo = [(run_dir.path, False), (run_dir.details, True)]
    while todo:
        folder, is_details = todo.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.is_dir(follow_symlinks=False):
                    todo += [] if path == run_dir.details else [(path, is_details)]
                    continue
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=is_details)
                    size_bytes += found.st_size
                    if is_details or path == run_dir.failures:
                        changed_ns = max(changed_ns, found.st_mtime_ns)
    return size_bytes, changed_ns


def _changed(path: Path) -> str:
    try:
        changed = path.stat().st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds") if math.isfinite(changed) else ""
