"""What a run came to: records and failures folded into one row per test file and data source, and totals of all rows.

Any order of samples gives the same bits: sums of floats are rounded once.
"""

import math
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from msgspec import UNSET

from bootcamp_cli.bootcamps.registry import ceilings_by_digest
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import DetailIndex, FileRows, RecordHead, read_failures, read_heads, rows_by_file, take
from bootcamp_cli.store.legacy import data_source_by_file
from bootcamp_cli.store.run_dir import RunDir, files_of
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import MAX_LEN, REVERIFIABLE, bootcamp_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An average score if every sample without a score were wrong (0) and if every one were right (1)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """The samples of one data source in one test file: a line of meta.jsonl.

    `n` is what the test file owes; where nobody knows (`n_known` false) it is what was found.
    `score_sum`, `len_sum` and `n_len` are over the answers that have a score (and a length, in tokens or words);
    `n_truncated` and `n_len_estimated` over all answers. `unverified` counts the answers without a score by kind,
    `failures` the samples that ended without an answer by kind; both are sorted by kind. `ceiling` is the highest
    average score that any outputs can reach, None where it is not known.
    """

    bootcamp: str
    file: str
    data_source: str | None = None
    n: int
    n_known: bool = True
    n_answered: int = 0
    n_scored: int = 0
    n_truncated: int = 0
    n_len_estimated: int = 0
    score_sum: float = 0.0
    len_sum: int = 0
    n_len: int = 0
    unverified: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    ceiling: float | None = None

    @property
    def avg_score(self) -> float | None:
        """Mean score of the answers that have one."""
        return self.score_sum / self.n_scored if self.n_scored else None

    @property
    def avg_len(self) -> float | None:
        """Mean output length of the answers that have a score."""
        return self.len_sum / self.n_len if self.n_len else None

    @property
    def n_failed(self) -> int:
        """Samples that ended without an answer."""
        return sum(self.failures.values())

    @property
    def n_unverified(self) -> int:
        """Answers without a score."""
        return sum(self.unverified.values())

    @property
    def n_missing(self) -> int:
        """Samples that have neither an answer nor a failure yet."""
        return self.n - self.n_answered - self.n_failed

    @property
    def bounds(self) -> Bounds | None:
        """Between what the average over all samples can be; None where there are no samples."""
        return _bounds(self.score_sum, n=self.n, n_scored=self.n_scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The whole run: its rows (files in name order, data sources in order of first appearance) and their totals.

    Totals are derived from the rows, so that a summary with some of the rows has the totals of these.
    `test_dir` is the name of the test dir, not its path.
    """

    model_name: str
    test_dir: str
    groups: tuple[GroupSummary, ...]

    @property
    def avg_score(self) -> float | None:
        """Unweighted mean of the rows that have an average score: the reference's `Total Average`."""
        return exact_mean([group.avg_score for group in self.groups if group.avg_score is not None])

    @property
    def avg_len(self) -> float | None:
        """Unweighted mean of the rows that have an average length."""
        return exact_mean([group.avg_len for group in self.groups if group.avg_len is not None])

    @property
    def ceiling(self) -> float | None:
        """The highest total average that any outputs can reach; None where it is not known of every row."""
        known = [group.ceiling for group in self.groups if group.ceiling is not None]
        return exact_mean(known) if len(known) == len(self.groups) else None

    @property
    def weighted_score(self) -> float | None:
        """Mean score of all answers that have one: every sample counts alike."""
        return self.score_sum / self.n_scored if self.n_scored else None

    @property
    def weighted_len(self) -> float | None:
        """Mean output length of all answers that have a score: every sample counts alike."""
        n_len = sum(group.n_len for group in self.groups)
        return sum(group.len_sum for group in self.groups) / n_len if n_len else None

    @property
    def score_sum(self) -> float:
        """The sum of all scores."""
        return exact_sum([group.score_sum for group in self.groups])

    @property
    def n_samples(self) -> int:
        """Samples owed, as far as known."""
        return sum(group.n for group in self.groups)

    @property
    def n_answered(self) -> int:
        """Samples with an answer."""
        return sum(group.n_answered for group in self.groups)

    @property
    def n_scored(self) -> int:
        """Answers with a score."""
        return sum(group.n_scored for group in self.groups)

    @property
    def n_failed(self) -> int:
        """Samples that ended without an answer."""
        return sum(group.n_failed for group in self.groups)

    @property
    def n_missing(self) -> int:
        """Samples that have neither an answer nor a failure yet."""
        return sum(group.n_missing for group in self.groups)

    @property
    def n_unverified(self) -> int:
        """Answers without a score."""
        return sum(group.n_unverified for group in self.groups)

    @property
    def n_truncated(self) -> int:
        """Answers that ended at the token limit."""
        return sum(group.n_truncated for group in self.groups)

    @property
    def n_len_estimated(self) -> int:
        """Answers whose length is a word count, because the server sent no usage."""
        return sum(group.n_len_estimated for group in self.groups)

    @property
    def unverified(self) -> dict[str, int]:
        """Answers without a score by kind, sorted by kind."""
        return _added(group.unverified for group in self.groups)

    @property
    def failures(self) -> dict[str, int]:
        """Samples that ended without an answer by kind, sorted by kind."""
        return _added(group.failures for group in self.groups)

    @property
    def sizes_known(self) -> bool:
        """Whether it is known of every row how many samples it owes."""
        return all(group.n_known for group in self.groups)

    @property
    def complete(self) -> bool:
        """Whether every sample that is known to be owed has a score."""
        return self.n_scored == self.n_samples

    @property
    def bounds(self) -> Bounds | None:
        """Between what the unweighted mean over all rows can be."""
        bounds = [group.bounds for group in self.groups if group.bounds is not None]
        low, high = exact_mean([b.low for b in bounds]), exact_mean([b.high for b in bounds])
        return None if low is None or high is None else Bounds(low=low, high=high)

    @property
    def weighted_bounds(self) -> Bounds | None:
        """Between what the mean over all samples can be."""
        return _bounds(self.score_sum, n=self.n_samples, n_scored=self.n_scored)


def _bounds(score_sum: float, *, n: int, n_scored: int) -> Bounds | None:
    """The mean of n samples where those without a score count 0, and where they count 1."""
    return Bounds(low=score_sum / n, high=(score_sum + (n - n_scored)) / n) if n else None


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by kind added up, sorted by kind."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def exact_sum(values: Collection[float]) -> float:
    """The sum of finite floats, rounded once: the same bits in whatever order they come.

    A sum beyond the range of a float becomes the largest float, not an error or an infinity.
    """
    try:
        return math.fsum(values)
    except OverflowError:  # fsum may overflow on the way to a sum that fits
        limit = Fraction(sys.float_info.max)
        return float(max(-limit, min(limit, sum(map(Fraction, values), start=Fraction(0)))))


def exact_mean(values: Collection[float]) -> float | None:
    """The mean of finite floats, the same in whatever order they come; None where there are none."""
    return exact_sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """One data source of a test file and how many samples it owes.

    `data_source` is None where records do not say theirs (the reference's run directories), `n` where nobody knows.
    `ceiling` is the highest average score that any outputs can reach, where that is known.
    """

    bootcamp: str
    data_source: str | None = None
    n: int | None = None
    ceiling: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroups:
    """A test file and what it owes, in order of first appearance; what is not listed is found in the records.

    `fallback` names the bootcamp of records without a data source where `groups` has none for them;
    by default it is the file's stem.
    """

    file: str
    groups: tuple[GroupPlan, ...] = ()
    fallback: str | None = None


class Aggregator:
    """Takes each sample once, as a record or as a failure, and makes the summary.

    The summary does not depend on the order in which samples come, to the last bit of each average: only data sources
    that no plan lists are ordered by their first row, and by arrival where records have no row.
    Memory: 8 bytes per score.
    """

    def __init__(self, files: Iterable[FileGroups] = ()) -> None:
        self._files = {plan.file: _File(plan) for plan in files}

    def add_record(self, file: str, record: Mapping[str, Any], *, line: int | None = None) -> None:
        """Count one record of details/{file}; `line` is its 1-based line there, for messages.

        A score that is not finite counts as `verifier_error`, a missing one without a `failure` as `unscored`.

        Raises:
            RunDirectoryError: a field that counts has a wrong type.
        """
        where = _Place(f"details/{file}", line, record)
        group = self._file(file).group(record, where)
        score = _score(record, where)
        output_len = _output_len(record, where)
        group.n_answered += 1
        group.n_truncated += record.get("finish_reason") == "length"
        group.n_len_estimated += record.get("output_len_estimated") is True
        if score is None:
            group.unverified[where.text("failure", default="unscored")] += 1
        elif not math.isfinite(score):
            group.unverified["verifier_error"] += 1
        else:
            group.scores.append(score)
            if output_len is not None:
                group.len_sum += output_len
                group.n_len += 1

    def add_failure(self, file: str, failure: Mapping[str, Any], *, line: int | None = None) -> None:
        """Count one sample without an answer; `line` is its 1-based line in failures.jsonl, for messages.

        Raises:
            RunDirectoryError: a field that counts has a wrong type.
        """
        where = _Place("failures.jsonl", line, failure)
        kind = where.text("kind", default="unknown")
        self._file(file).group(failure, where).failures[kind] += 1

    def summary(self, *, model_name: str, test_dir: str) -> RunSummary:
        """The summary of what came so far; more may be added after it."""
        files = (self._files[name] for name in sorted(self._files))
        groups = tuple(group.summary(file.name) for file in files for group in file.ordered())
        return RunSummary(model_name=model_name, test_dir=test_dir, groups=groups)

    def _file(self, name: str) -> "_File":
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(FileGroups(file=name))
        return file


class _File:
    """The groups of one test file: those of its plan, then those found."""

    def __init__(self, plan: FileGroups) -> None:
        self.name = plan.file
        self.fallback = plan.fallback or plan.file.removesuffix(".jsonl")
        self.planned = {
            g.data_source: _Group(bootcamp=g.bootcamp, data_source=g.data_source, n=g.n, ceiling=g.ceiling)
            for g in plan.groups
        }
        self.found: dict[str | None, _Group] = {}
        self.n_taken = 0

    def group(self, entry: Mapping[str, Any], where: "_Place") -> "_Group":
        """The group to which a record or failure belongs."""
        data_source = where.optional_text("data_source")
        self.n_taken += 1
        if data_source in self.planned:
            return self.planned[data_source]
        if data_source is None and len(self.planned) == 1:
            return next(iter(self.planned.values()))
        group = self.found.get(data_source)
        if group is None:
            bootcamp = self.fallback if data_source is None else bootcamp_name(data_source)
            group = self.found[data_source] = _Group(bootcamp=bootcamp, data_source=data_source)
        row = entry.get("row")
        group.first = min(group.first, (0, row) if type(row) is int else (1, self.n_taken))
        return group

    def ordered(self) -> list["_Group"]:
        """Planned groups in the order of the plan, then found ones by first row; at least one.

        A planned group of unknown size to which nothing belonged stands only where the file has no other.
        """
        found = sorted(self.found.values(), key=lambda group: group.first)
        groups = [*self.planned.values(), *found] or [_Group(bootcamp=self.fallback)]
        return [group for group in groups if group.n is not None or group.n_taken] or groups[:1]


@dataclass(slots=True, kw_only=True)
class _Group:
    """The running counts of one row of the summary."""

    bootcamp: str
    data_source: str | None = None
    n: int | None = None
    ceiling: float | None = None
    first: tuple[int, int] = (2, 0)
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    n_answered: int = 0
    n_truncated: int = 0
    n_len_estimated: int = 0
    len_sum: int = 0
    n_len: int = 0
    unverified: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def n_taken(self) -> int:
        return self.n_answered + self.failures.total()

    def summary(self, file: str) -> GroupSummary:
        return GroupSummary(
            bootcamp=self.bootcamp,
            file=file,
            data_source=self.data_source,
            n=max(self.n or 0, self.n_taken),
            n_known=self.n is not None,
            ceiling=self.ceiling,
            n_answered=self.n_answered,
            n_scored=len(self.scores),
            n_truncated=self.n_truncated,
            n_len_estimated=self.n_len_estimated,
            score_sum=exact_sum(self.scores),
            len_sum=self.len_sum,
            n_len=self.n_len,
            unverified=dict(sorted(self.unverified.items())),
            failures=dict(sorted(self.failures.items())),
        )


@dataclass(slots=True)
class _Place:
    """An entry and where it stands, to read its fields and to complain about them."""

    path: str
    line: int | None
    entry: Mapping[str, Any]

    def optional_text(self, key: str) -> str | None:
        value = self.entry.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(key, "a string or null")

    def text(self, key: str, *, default: str) -> str:
        value = self.optional_text(key)
        return default if value is None else value

    def wrong(self, key: str, expected: str) -> RunDirectoryError:
        """The complaint about a field: where it is, what it must be, what it is."""
        line = "" if self.line is None else f":{self.line}"
        row = self.entry.get("row")
        sample = f" (row {row})" if type(row) is int else ""
        value = repr(self.entry.get(key))
        value = value if len(value) <= 80 else f"{value[:79]}…"
        return RunDirectoryError(
            f"{self.path}{line}{sample}: {key} must be {expected}, got {value}",
            hint="correct or delete the line: `bootcamp resume` then sends the sample again",
        )


def _score(record: Mapping[str, Any], where: _Place) -> float | None:
    """The score as a float, which may be infinite; JSON true and false are 1 and 0."""
    score = record.get("score")
    if score is None:
        return None
    if not isinstance(score, (int, float)):
        raise where.wrong("score", "a number or null")
    try:
        return float(score)
    except OverflowError:
        return math.inf


def _output_len(record: Mapping[str, Any], where: _Place) -> int | None:
    """The output length, or None where the record has none."""
    value = record.get("output_len")
    if value is None or (type(value) is int and 0 <= value <= MAX_LEN):
        return value
    raise where.wrong("output_len", "a count of tokens or words")


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
                f"details/{file}:{number}: {key} must be {expected}, got {shortened(repr(value), MAX_VALUE_CHARS)}",
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
