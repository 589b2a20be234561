"""Folds records and failures into the summary of a run, in any order and in little memory."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.records import bootcamp_name
from bootcamp_cli.results.exact import exact_sum
from bootcamp_cli.results.summary import GroupSummary, RunSummary

_MAX_LEN = 2**53
"""Lengths beyond it are no counts; sums and quotients of the others are safe."""


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
    if value is None or (type(value) is int and 0 <= value <= _MAX_LEN):
        return value
    raise where.wrong("output_len", "a count of tokens or words")
