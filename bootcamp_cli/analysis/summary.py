"""The results of a run: records and failures summed up in one row per test file and data source, with totals.

An average is a mean of question means: each question counts alike, however many of its repeats have a score. Samples in
any order give the same bits: sums of floats are rounded once.
"""

import math
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from msgspec import UNSET, Raw

from bootcamp_cli.bootcamps.registry import ceilings_by_digest
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import RunRows, empty_index, read_failures, replay_lines, rows_by_file
from bootcamp_cli.store.legacy import data_source_by_file, read_foreign_heads
from bootcamp_cli.store.records import HalfRecord, HeadLine, RecordHead, UsageHead
from bootcamp_cli.store.run_dir import RunDir, redo_dirs
from bootcamp_cli.types import (
    KNOWN_ENDS,
    MAX_LEN,
    TO_BE_VERIFIED,
    FailureRecord,
    Manifest,
    SampleKey,
    TokenTotals,
    bootcamp_name,
    generated_tokens,
    reasoning_tokens,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The average score if every sample without a score were wrong (0), and if every one were right (1)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """The samples of one data source in one test file: a line of meta.jsonl.

    `n` is the number of samples that the test file owes, `repeats` for each of its `n_questions`; where that is unknown
    (`n_known` false), the number found. `score_sum`, `len_sum` and `n_len` are over the answers that have a score (and
    a length, in tokens or words); `question_score` and `question_len` are the means of the question means of the same
    answers where each question is asked several times, else None. `n_compared` counts the questions with two or more
    answers, `n_alike` those of them whose answers are all the same text. `n_truncated`, `n_len_estimated`, `n_empty`
    (neither text nor reasoning), `n_filtered` (by the server's content filter) and `n_unknown_end` (a finish_reason
    that OpenAI does not document, or null) are over all answers. `unverified` counts the answers without a score by
    kind, `failures` the samples that ended without an answer by kind; both are sorted by kind. `ceiling` is the highest
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
    question_score: float | None = None
    question_len: float | None = None
    n_compared: int = 0
    n_alike: int = 0
    unverified: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    ceiling: float | None = None
    repeats: int = 1
    n_questions_planned: int | None = None
    n_empty: int = 0
    n_filtered: int = 0
    n_unknown_end: int = 0

    @property
    def avg_score(self) -> float | None:
        """Mean score of the questions that have one: of each, the mean of its answers that have one."""
        return self.question_score if self.repeats > 1 else _mean(self.score_sum, self.n_scored)

    @property
    def avg_len(self) -> float | None:
        """Mean output length of the questions, over the answers that have a score."""
        return self.question_len if self.repeats > 1 else _mean(self.len_sum, self.n_len)

    @property
    def n_questions(self) -> int:
        """The questions that the test file owes, or that were found."""
        return -(-self.n // self.repeats) if self.n_questions_planned is None else self.n_questions_planned

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
        """The range in which the average must lie; None where there are no samples.

        Questions that are asked equally often weigh alike; those of a run that redoes samples by their samples. The
        average itself is always within the bounds, and is both of them where every sample has a score.
        """
        bounds, average = _bounds(self.score_sum, n=self.n, n_scored=self.n_scored), self.avg_score
        if bounds is None or average is None:
            return bounds
        if self.n_scored == self.n:
            return Bounds(low=average, high=average)
        return Bounds(low=min(bounds.low, average), high=max(bounds.high, average))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redone:
    """A run directory that redoes samples of a run with a larger max_tokens; `selection` tells which."""

    run_dir: str
    selection: tuple[str, ...]
    max_tokens: int | str | None
    n: int
    n_scored: int
    n_truncated: int
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """That a run took `n` questions of each test file, drawn with `seed`; `n_rows` counts by file what there was."""

    n: int
    seed: int
    n_rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The whole run: its rows (files in name order, data sources in order of first appearance) and their totals.

    Totals are derived from the rows, so a summary with some of the rows has the totals of those rows.
    `test_dir` is the name of the test dir, not its path. `tokens` are those of all answers, scored or not. `drawn` is
    None where all questions were taken.
    """

    model_name: str
    test_dir: str
    groups: tuple[GroupSummary, ...]
    repeats: int = 1
    redone: tuple[Redone, ...] = ()
    redo_of: str | None = None
    tokens: TokenTotals = field(default_factory=TokenTotals)
    drawn: Drawn | None = None

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
        """The highest total average that any outputs can reach; None unless it is known for every row."""
        known = [group.ceiling for group in self.groups if group.ceiling is not None]
        return exact_mean(known) if len(known) == len(self.groups) else None

    @property
    def weighted_score(self) -> float | None:
        """Mean score of all answers that have one: every sample counts alike."""
        return _mean(self.score_sum, self.n_scored)

    @property
    def weighted_len(self) -> float | None:
        """Mean output length of all answers that have a score: every sample counts alike."""
        return _mean(sum(group.len_sum for group in self.groups), sum(group.n_len for group in self.groups))

    @property
    def score_sum(self) -> float:
        """The sum of all scores."""
        return exact_sum([group.score_sum for group in self.groups])

    @property
    def n_samples(self) -> int:
        """Samples owed, as far as known."""
        return sum(group.n for group in self.groups)

    @property
    def n_questions(self) -> int:
        """Questions owed, as far as known."""
        return sum(group.n_questions for group in self.groups)

    @property
    def n_compared(self) -> int:
        """Questions with two or more answers."""
        return sum(group.n_compared for group in self.groups)

    @property
    def n_alike(self) -> int:
        """Questions with two or more answers, all of them the same text."""
        return sum(group.n_alike for group in self.groups)

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
        """Answers whose length is an estimate, because the server sent no usage."""
        return sum(group.n_len_estimated for group in self.groups)

    @property
    def n_empty(self) -> int:
        """Answers with neither text nor reasoning."""
        return sum(group.n_empty for group in self.groups)

    @property
    def n_filtered(self) -> int:
        """Answers that the server's content filter ended."""
        return sum(group.n_filtered for group in self.groups)

    @property
    def n_unknown_end(self) -> int:
        """Answers whose finish_reason is null or one that OpenAI does not document."""
        return sum(group.n_unknown_end for group in self.groups)

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
        """Whether it is known for every row how many samples it owes."""
        return all(group.n_known for group in self.groups)

    @property
    def complete(self) -> bool:
        """Whether every sample that is known to be owed has a score."""
        return self.n_scored == self.n_samples

    @property
    def bounds(self) -> Bounds | None:
        """The range in which the unweighted mean over all rows must lie."""
        bounds = [group.bounds for group in self.groups if group.bounds is not None]
        low, high = exact_mean([b.low for b in bounds]), exact_mean([b.high for b in bounds])
        return None if low is None or high is None else Bounds(low=low, high=high)

    @property
    def weighted_bounds(self) -> Bounds | None:
        """The range in which the mean over all samples must lie."""
        return _bounds(self.score_sum, n=self.n_samples, n_scored=self.n_scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContents:
    """The contents of a run directory, from one reading.

    `manifest` is None where this tool did not make the directory, `eval_args` holds the parameters as they were
    written. `left_out` names the details files that do not belong to any test file of the run; `halves` are the half
    records of run_eval.py, which count where they have a score.
    """

    manifest: Manifest | None
    eval_args: Mapping[str, Any]
    summary: RunSummary
    left_out: tuple[str, ...]
    halves: tuple[HalfRecord, ...] = ()

    @property
    def unnamed_file(self) -> str | None:
        """The first file with records whose data source nothing tells."""
        if self.manifest is not None:
            return None
        return next((group.file for group in self.summary.groups if group.data_source is None and group.n), None)


def read_run(run_dir: RunDir) -> RunContents:
    """Read everything that a run directory holds.

    What each test file owes comes from the manifest. Without one (the reference script, outputs from elsewhere) it is
    what is found; records without a data source then belong to the one that meta.jsonl or the file's name tells, else
    they have none and are listed under the file's stem.

    Raises:
        RunDirectoryError: a line of details or failures is not a record, or does not belong to the run, or its sample
            already has a record; the message names it.
    """
    contents = _read_alone(run_dir)
    return replace(contents, summary=replace(contents.summary, redone=_redone(run_dir)))


def _read_alone(run_dir: RunDir) -> RunContents:
    """Everything that a run directory holds, without those beside it that redo samples of it."""
    manifest, eval_args = run_dir.read_manifest(), run_dir.read_eval_args() or {}
    rows = None if manifest is None else rows_by_file(manifest)
    paths, left_out = detail_files(run_dir, rows)
    data_sources = data_source_by_file(run_dir) if manifest is None else {}
    if manifest is None:
        aggregator = Aggregator(_found(paths, data_sources))
    else:
        aggregator = Aggregator(_planned(manifest), repeats=manifest.repeats)
    failures = {failure.key: failure for failure in read_failures(run_dir, rows)}
    halves: list[HalfRecord] = []
    for path in paths:
        if rows is None:
            lines = read_foreign_heads(path, data_sources.get(path.name), on_half=halves.append)
        else:
            lines = replay_lines(path, empty_index(rows[path.name]), rows[path.name])
        _add_file(aggregator, path.name, lines, failures)
    for failure in failures.values():
        aggregator.add_failure(failure)
    summary = aggregator.summary(
        model_name=_model_name(eval_args, run_dir), test_dir=_test_dir_name(eval_args, run_dir)
    )
    redo_of = manifest.redo_of if manifest is not None else None
    return RunContents(
        manifest=manifest,
        eval_args=eval_args,
        summary=replace(summary, redo_of=redo_of.run if redo_of else None, drawn=_drawn(manifest)),
        left_out=tuple(path.name for path in left_out),
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
            summary = _read_alone(redo_dir).summary
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


def detail_files(run_dir: RunDir, rows: Mapping[str, RunRows] | None) -> tuple[list[Path], list[Path]]:
    """The details files that count, and for a run of ours (`rows`) those that belong to none of its test files."""
    paths = run_dir.detail_files()
    if rows is None:
        return paths, []
    return [path for path in paths if path.name in rows], [path for path in paths if path.name not in rows]


def _planned(manifest: Manifest) -> Iterator["FileGroups"]:
    """What the test files of the manifest owe; with the ceiling of a public one that has all of its rows taken."""
    if (redo := manifest.redo_of) is not None:
        for file, counts in redo.data_sources.items():
            yield FileGroups(
                file=file,
                groups=tuple(
                    GroupPlan(bootcamp=bootcamp_name(name), data_source=name, n=count.n, n_questions=count.n_questions)
                    for name, count in counts.items()
                ),
            )
        return
    for entry in manifest.files:
        ceiling = ceilings_by_digest().get((entry.digest, entry.n_rows))
        yield FileGroups(
            file=entry.name,
            groups=tuple(
                GroupPlan(
                    bootcamp=bootcamp_name(name),
                    data_source=name,
                    n=n * manifest.repeats,
                    n_questions=n,
                    ceiling=ceiling,
                )
                for name, n in entry.data_sources
            ),
        )


def _found(paths: Iterable[Path], data_sources: Mapping[str, str]) -> Iterator["FileGroups"]:
    """Details files for which nothing tells what they owe."""
    for path in paths:
        data_source = data_sources.get(path.name)
        yield FileGroups(file=path.name, fallback=path.stem if data_source is None else bootcamp_name(data_source))


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


def _model_name(eval_args: Mapping[str, Any], run_dir: RunDir) -> str:
    """The evaluated model from eval_args.json, else the directory's name."""
    name = eval_args.get("model_name")
    return name if isinstance(name, str) and name else run_dir.path.resolve().name


def _test_dir_name(eval_args: Mapping[str, Any], run_dir: RunDir) -> str:
    named = eval_args.get("test_dir")
    return str(named).rstrip("/").rpartition("/")[2] if named else run_dir.path.resolve().name


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """One data source of a test file and how many samples it owes.

    `data_source` is None where the records do not name theirs (the reference's run directories), `n` where it is
    unknown. `ceiling` is the highest average score that any outputs can reach, where that is known.
    """

    bootcamp: str
    data_source: str | None = None
    n: int | None = None
    n_questions: int | None = None
    ceiling: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroups:
    """A test file and what it owes, in order of first appearance; groups that are not listed are found in the records.

    `fallback` names the bootcamp of records without a data source that `groups` does not cover; by default it is the
    file's stem.
    """

    file: str
    groups: tuple[GroupPlan, ...] = ()
    fallback: str | None = None


class Aggregator:
    """Takes each sample once, as a record or as a failure, and makes the summary.

    The summary does not depend on the order in which samples arrive, to the last bit of each average. Only data sources
    that no plan lists are ordered by their first row, or by arrival where records have no row. Each question is asked
    `repeats` times. Memory: 8 bytes per score; some 300 per question that is asked several times.
    """

    def __init__(self, files: Iterable[FileGroups] = (), *, repeats: int = 1) -> None:
        self._repeats = repeats
        self._files = {plan.file: _File(plan) for plan in files}
        self._tokens = TokenCounter()

    def add_record(self, file: str, record: RecordHead) -> None:
        """Count one record of details/{file}; one with neither a score nor a `failure` is `unscored`."""
        group = self._file(file).group(record.data_source, record.row)
        group.n_answered += 1
        group.n_truncated += record.finish_reason == "length"
        group.n_len_estimated += record.output_len_estimated is True
        group.n_empty += record.is_empty and record.output is not UNSET
        if record.finish_reason not in KNOWN_ENDS and record.finish_reason is not UNSET:
            group.n_unknown_end += 1
        elif record.finish_reason == "content_filter":
            group.n_filtered += 1
        if record.usage is not None:
            self._tokens.add(record.usage)
        row = record.row if self._repeats > 1 else None
        if row is not None:
            group.compare(row, record.output)
        if not isinstance(record.score, float):
            group.unverified[record.failure or "unscored"] += 1
            return
        group.scores.append(record.score)
        if row is not None:
            group.scored_rows.append(row)
        if record.output_len is not None:
            group.len_sum += record.output_len
            group.n_len += 1
            if row is not None:
                total, n = group.lengths.get(row, (0, 0))
                group.lengths[row] = total + record.output_len, n + 1

    def add_failure(self, failure: FailureRecord) -> None:
        """Count one sample without an answer."""
        self._file(failure.file).group(failure.data_source, failure.row).failures[failure.kind] += 1

    def summary(self, *, model_name: str, test_dir: str) -> RunSummary:
        """The summary of everything so far; more may be added afterwards."""
        files = (self._files[name] for name in sorted(self._files))
        groups = tuple(group.summary(file.name, self._repeats) for file in files for group in file.ordered())
        return RunSummary(
            model_name=model_name, test_dir=test_dir, groups=groups, repeats=self._repeats, tokens=self._tokens.totals()
        )

    def _file(self, name: str) -> "_File":
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(FileGroups(file=name))
        return file


class TokenCounter:
    """Adds up the servers' token counts; one that is not a count up to 2^53 is passed over.

    Reasoning is counted in `completion_tokens_details` (OpenAI, vLLM) or in the usage itself (SGLang).
    """

    def __init__(self) -> None:
        self._n_counted = 0
        self._prompt: int | None = None
        self._completion: int | None = None
        self._reasoning: int | None = None

    def add(self, usage: UsageHead) -> None:
        """Count the usage of one answer."""
        prompt, details = usage.prompt_tokens, usage.completion_tokens_details
        reasoning = reasoning_tokens(usage.reasoning_tokens, details)
        completion = generated_tokens(
            prompt=prompt, completion=usage.completion_tokens, total=usage.total_tokens, reasoning=reasoning
        )
        is_counted = False
        if type(prompt) is int and 0 <= prompt <= MAX_LEN:
            self._prompt = prompt + (self._prompt or 0)
            is_counted = True
        if completion is not None:
            self._completion = completion + (self._completion or 0)
            is_counted = True
        if type(reasoning) is int and 0 <= reasoning <= MAX_LEN:
            self._reasoning = reasoning + (self._reasoning or 0)
            is_counted = True
        self._n_counted += is_counted

    def totals(self) -> TokenTotals:
        """The sums so far."""
        return TokenTotals(
            n_counted=self._n_counted, prompt=self._prompt, completion=self._completion, reasoning=self._reasoning
        )


class _File:
    """The groups of one test file: those of its plan, then those found."""

    def __init__(self, plan: FileGroups) -> None:
        self.name = plan.file
        self.fallback = plan.fallback or plan.file.removesuffix(".jsonl")
        self.planned = {
            g.data_source: _Group(
                bootcamp=g.bootcamp, data_source=g.data_source, n=g.n, n_questions=g.n_questions, ceiling=g.ceiling
            )
            for g in plan.groups
        }
        self.found: dict[str | None, _Group] = {}
        self.n_taken = 0

    def group(self, data_source: str | None, row: int | None) -> "_Group":
        """The group to which a record or failure belongs."""
        self.n_taken += 1
        if data_source in self.planned:
            return self.planned[data_source]
        if data_source is None and len(self.planned) == 1:
            return next(iter(self.planned.values()))
        group = self.found.get(data_source)
        if group is None:
            bootcamp = self.fallback if data_source is None else bootcamp_name(data_source)
            group = self.found[data_source] = _Group(bootcamp=bootcamp, data_source=data_source)
        group.first = min(group.first, (1, self.n_taken) if row is None else (0, row))
        return group

    def ordered(self) -> list["_Group"]:
        """Planned groups in the order of the plan, then found ones by first row; at least one.

        An empty planned group of unknown size is listed only where the file has no other.
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
    n_questions: int | None = None
    ceiling: float | None = None
    first: tuple[int, int] = (2, 0)
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    scored_rows: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: dict[int, tuple[int, int]] = field(default_factory=dict)
    texts: dict[int, int | None] = field(default_factory=dict)
    compared: set[int] = field(default_factory=set)
    n_answered: int = 0
    n_truncated: int = 0
    n_len_estimated: int = 0
    n_empty: int = 0
    n_filtered: int = 0
    n_unknown_end: int = 0
    len_sum: int = 0
    n_len: int = 0
    unverified: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def n_taken(self) -> int:
        return self.n_answered + self.failures.total()

    def compare(self, row: int, output: Any) -> None:
        """Note whether the answers to a question are the same text; empty ones do not count."""
        content = bytes(output) if isinstance(output, Raw) else b""
        if len(content) <= len(b'""'):
            return
        text = hash(content)
        if row not in self.texts:
            self.texts[row] = text
            return
        self.compared.add(row)
        if self.texts[row] != text:
            self.texts[row] = None

    def question_score(self) -> float | None:
        """The mean of the mean scores of the questions."""
        by_row = sorted(zip(self.scored_rows, self.scores, strict=True))
        means = [exact_mean([score for _, score in group]) for _, group in groupby(by_row, key=itemgetter(0))]
        return exact_mean([mean for mean in means if mean is not None])

    def question_len(self) -> float | None:
        """The mean of the mean output lengths of the questions."""
        return exact_mean([total / n for total, n in self.lengths.values()])

    def summary(self, file: str, repeats: int) -> GroupSummary:
        return GroupSummary(
            bootcamp=self.bootcamp,
            file=file,
            data_source=self.data_source,
            n=max(self.n or 0, self.n_taken),
            n_known=self.n is not None,
            n_questions_planned=self.n_questions,
            ceiling=self.ceiling,
            n_answered=self.n_answered,
            n_scored=len(self.scores),
            n_truncated=self.n_truncated,
            n_len_estimated=self.n_len_estimated,
            n_empty=self.n_empty,
            n_filtered=self.n_filtered,
            n_unknown_end=self.n_unknown_end,
            score_sum=exact_sum(self.scores),
            len_sum=self.len_sum,
            n_len=self.n_len,
            question_score=self.question_score() if repeats > 1 else None,
            question_len=self.question_len() if repeats > 1 else None,
            n_compared=len(self.compared),
            n_alike=sum(self.texts[row] is not None for row in self.compared),
            repeats=repeats,
            unverified=dict(sorted(self.unverified.items())),
            failures=dict(sorted(self.failures.items())),
        )


def _mean(total: float, n: int) -> float | None:
    return total / n if n else None


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
    """The sum of finite floats, rounded once: the same bits in any order.

    A sum beyond the range of a float becomes the largest float, not an error or an infinity.
    """
    try:
        return math.fsum(values)
    except OverflowError:  # fsum may overflow on its way to a sum that fits
        limit = Fraction(sys.float_info.max)
        return float(max(-limit, min(limit, sum(map(Fraction, values), start=Fraction(0)))))


def exact_mean(values: Collection[float]) -> float | None:
    """The mean of finite floats, the same in any order; None where there are none."""
    return exact_sum(values) / len(values) if values else None
