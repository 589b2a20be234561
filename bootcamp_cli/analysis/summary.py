"""The results of a run: records and failures summed up in one row per test file and data source, with totals.

An average is a mean of question means: each question counts alike, however many of its repeats have a score. Samples in
any order give the same bits: sums of floats are rounded once, quantiles come from counts.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from msgspec import UNSET, Raw, UnsetType, structs

from bootcamp_cli.analysis.statistics import (
    Bounds,
    Distribution,
    DistributionCounter,
    GroupMean,
    Interval,
    PassK,
    RunMean,
    WeightedMean,
    added_distributions,
    exact_mean,
    exact_sum,
    group_mean,
    majority_score,
    mean_of_values,
    missing_bounds,
    pass_curve,
    run_mean,
    weighted_mean,
)
from bootcamp_cli.bootcamps.registry import OTHER_FAMILY, catalog_entry, ceilings_by_digest, family_of
from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import RunRows, empty_index, read_failures, replay_lines, rows_by_file
from bootcamp_cli.store.legacy import data_source_by_file, read_foreign_heads
from bootcamp_cli.store.records import ENDS, HalfRecord, HeadLine, RecordHead, UsageHead
from bootcamp_cli.store.run_dir import RunDir, redo_dirs
from bootcamp_cli.types import (
    KNOWN_ENDS,
    LATENCY_UNIT_S,
    MAX_LEN,
    TO_BE_VERIFIED,
    Effort,
    FailureRecord,
    Manifest,
    SampleKey,
    TokenTotals,
    bootcamp_name,
    generated_tokens,
    reasoning_tokens,
)

RIGHT_AT = 1.0
"""The least score of a right answer, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the samples: each counts once, so that these add up to all.

    A sample counts as the first of these that fits: without an answer (failed or not tried yet), without a verdict,
    correct (its score reaches the threshold), truncated at the token limit, empty, ended by the content filter, wrong.
    """

    correct: int = 0
    wrong: int = 0
    truncated: int = 0
    empty: int = 0
    filtered: int = 0
    without_answer: int = 0
    without_verdict: int = 0

    @property
    def total(self) -> int:
        """All samples."""
        return sum(getattr(self, name) for name in ACCOUNT)


ACCOUNT: tuple[str, ...] = tuple(field.name for field in fields(Account))
"""The parts of an account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority:
    """maj@K of one group: the score of the most frequent answer of each question, the mean over questions.

    `n_without` questions have less than K scored answers, and no value.
    """

    mean: GroupMean | None
    n_without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPassK:
    """pass@k and pass^k of several groups, each the unweighted mean of those that have one."""

    k: int
    pass_at: RunMean | None
    pass_hat: RunMean | None
    n_without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMajority:
    """maj@K, the unweighted mean of the groups whose answers can vote."""

    mean: RunMean | None
    n_without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """The samples of one data source in one test file: a line of meta.jsonl.

    `n` is the number of samples that the test file owes, `repeats` for each of its `n_questions`; where that is unknown
    (`n_known` false), the number found. `score_sum`, `len_sum` and `n_len` are over the answers that have a score (and
    a length, in tokens or words); `lengths` are the distributions of these lengths by what became of the answer, a part
    of `Account`. `mean` is the mean score with its errors, None where only the sums are known, `question_len` the mean
    of the question means of the lengths where each question is asked several times, else None. `n_prompts` counts the
    different prompts of the `n_asked` questions that have an answer, None where records have none. `n_compared` counts
    the questions with two or more answers, `n_alike` those of them whose answers are all the same text. `n_truncated`,
    `n_len_estimated`, `n_empty` (neither text nor reasoning), `n_filtered` (by the server's content filter) and
    `n_unknown_end` (a finish_reason that OpenAI does not document, or null) are over all answers. `unverified` counts
    the answers without a score by kind, `failures` the samples that ended without an answer by kind; both are sorted by
    kind. `ceiling` is the highest average score that any outputs can reach, None where it is not known.

    `n_correct`, `n_wrong` and the `n_lost...` are the scored answers by what became of them, see `Account`; right is a
    score of `right_at` or more. `score_if_truncated_right` is the average if every truncated answer were right, None
    where scores are outside [0, 1]. `passes` has pass@k and pass^k where each question is asked several times,
    `majority` is None where answers cannot vote.

    `latency` is in units of LATENCY_UNIT_S, over the answers that have one; `n_tokens_timed` tokens by the server's
    count came in `timed` of these units. `retries` counts repeated attempts by kind, of answers and failures.
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
    mean: GroupMean | None = None
    question_len: float | None = None
    n_asked: int = 0
    n_prompts: int | None = None
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
    family: str = OTHER_FAMILY
    right_at: float = RIGHT_AT
    n_correct: int = 0
    n_wrong: int = 0
    n_lost_truncated: int = 0
    n_lost_empty: int = 0
    n_lost_filtered: int = 0
    score_if_truncated_right: float | None = None
    passes: tuple[PassK, ...] = ()
    majority: Majority | None = None
    lengths: Mapping[str, Distribution] = field(default_factory=dict)
    latency: Distribution = field(default_factory=Distribution)
    n_tokens_timed: int = 0
    timed: int = 0
    tokens: TokenTotals = field(default_factory=TokenTotals)
    retries: Mapping[str, int] = field(default_factory=dict)

    @property
    def avg_score(self) -> float | None:
        """Mean score of the questions that have one: of each, the mean of its answers that have one."""
        return _mean(self.score_sum, self.n_scored) if self.mean is None else self.mean.mean

    @property
    def length(self) -> Distribution:
        """The output lengths of the answers that have a score."""
        return added_distributions(self.lengths.values())

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the average score for new questions of the same kind."""
        return self.mean.interval if self.mean else None

    @property
    def repeats_prompts(self) -> bool:
        """Whether rows share a prompt: where these are answered alike, the interval is too narrow."""
        return self.n_prompts is not None and self.n_prompts < self.n_asked

    @property
    def variance_within(self) -> float | None:
        """The variance of the scores within a question; None without repeats."""
        return self.mean.within if self.mean else None

    @property
    def variance_between(self) -> float | None:
        """The variance of the questions' true means; None without repeats."""
        return self.mean.between if self.mean else None

    @property
    def tokens_per_second(self) -> float | None:
        """How fast an answer comes: the tokens of answers that have a count and a latency, over these latencies."""
        return _speed(self.n_tokens_timed, self.timed)

    @property
    def account(self) -> Account:
        """What became of the samples, each counted once."""
        return Account(
            correct=self.n_correct,
            wrong=self.n_wrong,
            truncated=self.n_lost_truncated,
            empty=self.n_lost_empty,
            filtered=self.n_lost_filtered,
            without_answer=self.n - self.n_answered,
            without_verdict=self.n_unverified,
        )

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
    `test_dir` is the name of the test dir, not its path. `drawn` is None where all questions were taken. Right is a
    score of `right_at` or more.
    """

    model_name: str
    test_dir: str
    groups: tuple[GroupSummary, ...]
    repeats: int = 1
    redone: tuple[Redone, ...] = ()
    redo_of: str | None = None
    drawn: Drawn | None = None
    right_at: float = RIGHT_AT

    @property
    def families(self) -> dict[str, "RunSummary"]:
        """The rows of each family with their totals, by the family's name, sorted."""
        by_family: defaultdict[str, list[GroupSummary]] = defaultdict(list)
        for group in self.groups:
            by_family[group.family].append(group)
        return {name: replace(self, groups=tuple(by_family[name]), redone=()) for name in sorted(by_family)}

    @property
    def mean(self) -> RunMean | None:
        """The total average with its errors: for new questions, for other bootcamps, and for asking again."""
        return run_mean([group.mean for group in self.groups if group.mean])

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the total average for new questions of these bootcamps."""
        mean = self.mean
        return mean.interval if mean else None

    @property
    def weighted_mean(self) -> WeightedMean | None:
        """The mean over all questions, every question alike, with its error for new questions."""
        return weighted_mean([group.mean for group in self.groups if group.mean])

    @property
    def weighted_interval(self) -> Interval | None:
        """The 95 % interval of the mean over all questions, for new questions."""
        mean = self.weighted_mean
        return mean.interval if mean else None

    @property
    def variance_within(self) -> float | None:
        """The variance of the scores within a question, the mean over the rows; None without repeats."""
        return exact_mean([g.mean.within for g in self.groups if g.mean and g.mean.within is not None])

    @property
    def variance_between(self) -> float | None:
        """The variance of the questions' true means within a row, the mean over the rows; None without repeats."""
        return exact_mean([g.mean.between for g in self.groups if g.mean and g.mean.between is not None])

    @property
    def passes(self) -> tuple[RunPassK, ...]:
        """pass@k and pass^k, unweighted means of the rows that have a value."""
        return tuple(
            RunPassK(
                k=each[0].k,
                pass_at=run_mean([row.pass_at for row in each if row.pass_at]),
                pass_hat=run_mean([row.pass_hat for row in each if row.pass_hat]),
                n_without=sum(row.n_without for row in each),
            )
            for each in zip(*(group.passes for group in self.groups if group.passes), strict=True)
        )

    @property
    def majority(self) -> RunMajority | None:
        """maj@K, the unweighted mean of the rows whose answers can vote; None where there are none."""
        voted = [group.majority for group in self.groups if group.majority]
        if not voted:
            return None
        return RunMajority(
            mean=run_mean([each.mean for each in voted if each.mean]), n_without=sum(each.n_without for each in voted)
        )

    @property
    def account(self) -> Account:
        """What became of the samples, each counted once."""
        accounts = [group.account for group in self.groups]
        return Account(**{name: sum(getattr(account, name) for account in accounts) for name in ACCOUNT})

    @property
    def score_if_truncated_right(self) -> float | None:
        """The total average if every truncated answer were right; None where that is not known."""
        rows = [group for group in self.groups if group.n_answered]
        scores = [row.score_if_truncated_right for row in rows if row.score_if_truncated_right is not None]
        return exact_mean(scores) if len(scores) == len(rows) else None

    @property
    def length(self) -> Distribution:
        """The output lengths of the answers that have a score."""
        return added_distributions(self.lengths.values())

    @property
    def lengths(self) -> dict[str, Distribution]:
        """The output lengths by what became of the answer, in the order of `Account`; those that there are."""
        return {
            name: added_distributions(found)
            for name in ACCOUNT
            if (found := [group.lengths[name] for group in self.groups if name in group.lengths])
        }

    @property
    def latency(self) -> Distribution:
        """The latencies of the answers that have one, in units of LATENCY_UNIT_S."""
        return added_distributions(group.latency for group in self.groups)

    @property
    def n_tokens_timed(self) -> int:
        """Tokens by the server's count of the answers that have a latency."""
        return sum(group.n_tokens_timed for group in self.groups)

    @property
    def timed(self) -> int:
        """The latencies of these answers added up, in units of LATENCY_UNIT_S."""
        return sum(group.timed for group in self.groups)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast an answer comes: the tokens of answers that have a count and a latency, over these latencies."""
        return _speed(self.n_tokens_timed, self.timed)

    @property
    def effort(self) -> Effort:
        """What the answers took, as the manifest has it."""
        latency = self.latency
        mean, p50, p95 = (
            None if units is None else round(units * LATENCY_UNIT_S, 6)
            for units in (latency.mean, latency.quantile(0.5), latency.quantile(0.95))
        )
        return Effort(
            n=latency.n,
            latency_mean_s=mean,
            latency_p50_s=p50,
            latency_p95_s=p95,
            tokens_per_second=self.tokens_per_second,
            retries=self.retries,
        )

    @property
    def tokens(self) -> TokenTotals:
        """The tokens of all answers, scored or not."""
        return _added_tokens([group.tokens for group in self.groups])

    @property
    def retries(self) -> dict[str, int]:
        """Repeated attempts by kind, sorted by kind."""
        return _added(group.retries for group in self.groups)

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
    def n_asked(self) -> int:
        """Questions that have an answer."""
        return sum(group.n_asked for group in self.groups)

    @property
    def n_prompts(self) -> int | None:
        """The different prompts of these questions, row by row; None where they are not known of every row."""
        known = [group.n_prompts for group in self.groups if group.n_prompts is not None]
        return sum(known) if len(known) == len(self.groups) else None

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
            lines = read_foreign_heads(path, data_sources.get(path.name), AnswerHead, on_half=halves.append)
        else:
            lines = replay_lines(path, empty_index(rows[path.name]), rows[path.name], AnswerHead)
        if observer is not None:
            lines = _observed(lines, path.name, observer, right_at)
        _add_file(aggregator, path.name, lines, failures)
    failed: dict[str, FailureRecord] = {}
    for _, failure in sorted(failures.items()):
        aggregator.add_failure(failure)
        failed.setdefault(failure.kind, failure)
    redo_of = manifest.redo_of if manifest is not None else None
    summaries = {
        threshold: replace(
            aggregator.summary(
                model_name=model_name_of(eval_args, run_dir),
                test_dir=test_dir_name_of(eval_args, run_dir),
                right_at=threshold,
            ),
            redo_of=redo_of.run if redo_of else None,
            drawn=_drawn(manifest),
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
                    family=manifest.families.get(name),
                )
                for name, n in entry.data_sources
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
    """The name of the test dir from eval_args.json, else the directory's name."""
    named = eval_args.get("test_dir")
    return str(named).rstrip("/").rpartition("/")[2] if named else run_dir.path.resolve().name


class AnswerHead(RecordHead, frozen=True, kw_only=True, gc=False):
    """The head of a record with what a summary counts beyond what every reader needs."""

    latency_s: float | UnsetType = UNSET
    retries: tuple[str, ...] | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    extracted_output: Raw | UnsetType = UNSET

    def without_texts(self) -> RecordHead:
        """The same without the parts that keep the whole line in memory."""
        heads: RecordHead = super().without_texts()
        return structs.replace(heads, prompt=UNSET, extracted_output=UNSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """One data source of a test file and how many samples it owes.

    `data_source` is None where the records do not name theirs (the reference's run directories), `n` where it is
    unknown. `ceiling` is the highest average score that any outputs can reach, where that is known; `family` is what a
    bootcamp that is not built in says of itself.
    """

    bootcamp: str
    data_source: str | None = None
    n: int | None = None
    n_questions: int | None = None
    ceiling: float | None = None
    family: str | None = None


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
    `repeats` times. Memory: 21 bytes per answer, 45 where each question is asked several times.
    """

    def __init__(self, files: Iterable[FileGroups] = (), *, repeats: int = 1) -> None:
        self._repeats = repeats
        self._files = {plan.file: _File(plan, repeats) for plan in files}

    def add_record(self, file: str, record: RecordHead) -> None:
        """Count one record of details/{file}; one with neither a score nor a `failure` is `unscored`."""
        self._file(file).group(record.data_source, record.row).add(record)

    def add_failure(self, failure: FailureRecord) -> None:
        """Count one sample without an answer."""
        group = self._file(failure.file).group(failure.data_source, failure.row)
        group.failures[failure.kind] += 1
        group.retries.update(failure.retries)

    def summary(self, *, model_name: str, test_dir: str, right_at: float = RIGHT_AT) -> RunSummary:
        """The summary of everything so far; more may be added afterwards. Right is a score of `right_at` or more."""
        files = (self._files[name] for name in sorted(self._files))
        groups = tuple(group.summary(file.name, right_at) for file in files for group in file.ordered())
        return RunSummary(
            model_name=model_name, test_dir=test_dir, groups=groups, repeats=self._repeats, right_at=right_at
        )

    def _file(self, name: str) -> "_File":
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(FileGroups(file=name), self._repeats)
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

    def __init__(self, plan: FileGroups, repeats: int) -> None:
        self.name = plan.file
        self.repeats = repeats
        self.fallback = plan.fallback or plan.file.removesuffix(".jsonl")
        self.planned = {g.data_source: _Group(g, repeats) for g in plan.groups}
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
            group = self.found[data_source] = _Group(
                GroupPlan(bootcamp=bootcamp, data_source=data_source), self.repeats
            )
        group.first = min(group.first, (1, self.n_taken) if row is None else (0, row))
        return group

    def ordered(self) -> list["_Group"]:
        """Planned groups in the order of the plan, then found ones by first row; at least one.

        An empty planned group of unknown size is listed only where the file has no other.
        """
        found = sorted(self.found.values(), key=lambda group: group.first)
        groups = [*self.planned.values(), *found] or [_Group(GroupPlan(bootcamp=self.fallback), self.repeats)]
        return [group for group in groups if group.plan.n is not None or group.n_taken] or groups[:1]


class _Group:
    """The running counts of one row of the summary."""

    def __init__(self, plan: "GroupPlan", repeats: int) -> None:
        self.plan = plan
        self.repeats = repeats
        data_source = plan.data_source or plan.bootcamp.removesuffix(bootcamp_name(""))
        entry = catalog_entry(data_source)
        self.family = family_of(data_source, plan.family)
        self.can_vote = entry is not None and entry.is_canonical
        self.first: tuple[int, int] = (2, 0)
        self.answers = _Answers(is_repeated=repeats > 1)
        self.n_answered = self.n_scored = self.n_len_estimated = 0
        self.n_truncated = self.n_empty = self.n_filtered = self.n_unknown_end = 0
        self.latency = DistributionCounter()
        self.n_tokens_timed = self.timed = 0
        self.tokens = TokenCounter()
        self.unverified: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()

    @property
    def n_taken(self) -> int:
        return self.n_answered + self.failures.total()

    def add(self, record: RecordHead) -> None:
        """Count an answer; what only AnswerHead reads is unknown of other heads."""
        self.n_answered += 1
        self.n_truncated += record.finish_reason == "length"
        self.n_empty += record.is_empty and record.output is not UNSET
        self.n_filtered += record.finish_reason == "content_filter"
        self.n_unknown_end += record.finish_reason not in KNOWN_ENDS and record.finish_reason is not UNSET
        self.n_len_estimated += record.output_len_estimated is True
        if record.usage is not None:
            self.tokens.add(record.usage)
        score = record.score if isinstance(record.score, float) else None
        self.answers.add(record, score, ENDS.index(record.end), vote=self.can_vote)
        if isinstance(record, AnswerHead):
            self._add_effort(record)
        if score is None:
            self.unverified[record.failure or "unscored"] += 1
            return
        self.n_scored += 1

    def _add_effort(self, record: "AnswerHead") -> None:
        """Count what differs between runs with the same answers: time and repeated attempts."""
        if isinstance(record.retries, tuple):
            self.retries.update(record.retries)
        if not isinstance(record.latency_s, float) or not 0 <= record.latency_s <= MAX_LEN:
            return
        latency = round(record.latency_s / LATENCY_UNIT_S)
        self.latency.add(latency)
        if record.output_len is not None and record.output_len_estimated is not True:
            self.n_tokens_timed += record.output_len
            self.timed += latency

    def summary(self, file: str, right_at: float) -> GroupSummary:
        answers = self.answers
        lost = Counter(
            end for score, end in zip(answers.scores, answers.ends, strict=True) if score < right_at
        )  # NaN is not less
        lengths, mean = answers.lengths_by_outcome(right_at), group_mean(answers.scores_by_question())
        is_bounded = mean is None or mean.method == "wilson"
        n_compared, n_alike = answers.alike()
        n_asked, n_prompts = answers.prompts_asked()
        return GroupSummary(
            bootcamp=self.plan.bootcamp,
            file=file,
            data_source=self.plan.data_source,
            n=max(self.plan.n or 0, self.n_taken),
            n_known=self.plan.n is not None,
            n_questions_planned=self.plan.n_questions,
            ceiling=self.plan.ceiling,
            n_answered=self.n_answered,
            n_scored=self.n_scored,
            n_truncated=self.n_truncated,
            n_len_estimated=self.n_len_estimated,
            n_empty=self.n_empty,
            n_filtered=self.n_filtered,
            n_unknown_end=self.n_unknown_end,
            score_sum=exact_sum([score for score in answers.scores if not math.isnan(score)]),
            len_sum=sum(length.total for length in lengths.values()),
            n_len=sum(length.n for length in lengths.values()),
            mean=mean,
            question_len=answers.question_len(),
            n_asked=n_asked,
            n_prompts=n_prompts,
            n_compared=n_compared,
            n_alike=n_alike,
            repeats=self.repeats,
            unverified=dict(sorted(self.unverified.items())),
            failures=dict(sorted(self.failures.items())),
            family=self.family,
            right_at=right_at,
            n_correct=self.n_scored - lost.total(),
            n_wrong=lost[_PLAIN],
            n_lost_truncated=lost[_TRUNCATED],
            n_lost_empty=lost[_EMPTY],
            n_lost_filtered=lost[_FILTERED],
            score_if_truncated_right=answers.score_if_truncated_right() if is_bounded else None,
            passes=answers.passes(self.repeats, right_at),
            majority=answers.majority(self.repeats, right_at) if self.can_vote else None,
            lengths=lengths,
            latency=self.latency.distribution(),
            n_tokens_timed=self.n_tokens_timed,
            timed=self.timed,
            tokens=self.tokens.totals(),
            retries=dict(sorted(self.retries.items())),
        )


_PLAIN, _TRUNCATED, _EMPTY, _FILTERED = range(len(ENDS))
"""The ends in `ENDS`, whose order is that of `Account`."""

_NOT_CORRECT = ("wrong", "truncated", "empty", "filtered")
"""The parts of an account that answers belong to which ended in these ways and are not correct."""


def outcome_of(record: RecordHead, right_at: float = RIGHT_AT) -> str:
    """What became of an answer: the part of `Account` in which it counts."""
    if not isinstance(record.score, float):
        return "without_verdict"
    if record.score >= right_at:
        return "correct"
    return "wrong" if record.end == "plain" else record.end


_NONE_READ = UNSET, UNSET
_NO_TEXT = 0
"""Stands for the hash of a text where there is none."""


class _Answers:
    """What is kept of each answer of a row of the summary, in arrays: NaN is no score, -1 no length.

    Of prompts there are hashes. Rows, texts (hashes) and votes (hashes of what was extracted) are kept only where
    questions are repeated.
    """

    def __init__(self, *, is_repeated: bool) -> None:
        self.is_repeated = is_repeated
        self.scores = array("d")
        self.ends = bytearray()
        self.prompts = array("q")
        self.lengths = array("i")
        self.rows, self.texts, self.votes = array("q"), array("q"), array("q")

    def add(self, record: RecordHead, score: float | None, end: int, *, vote: bool) -> None:
        self.scores.append(math.nan if score is None else score)
        self.ends.append(end)
        prompt, extracted = (record.prompt, record.extracted_output) if isinstance(record, AnswerHead) else _NONE_READ
        self.prompts.append(_text_hash(prompt, b"null"))
        length = -1 if score is None or record.output_len is None else record.output_len
        try:
            self.lengths.append(length)
        except OverflowError:
            self.lengths = array("q", self.lengths)
            self.lengths.append(length)
        if not self.is_repeated:
            return
        self.rows.append(-len(self.scores) if record.row is None else record.row)
        self.texts.append(_text_hash(record.output, b'""'))
        self.votes.append(_text_hash(extracted if vote else UNSET, b"null"))

    def questions(self) -> Iterator[Sequence[int]]:
        """The places of the answers to each question."""
        if not self.is_repeated:
            yield from ((place,) for place in range(len(self.scores)))
            return
        order = array("q", sorted(range(len(self.rows)), key=self.rows.__getitem__))
        for _, places in groupby(order, key=self.rows.__getitem__):
            yield tuple(places)

    def scores_by_question(self) -> Iterator[Sequence[float]]:
        """The scores of the answers to each question; those without a score are left out."""
        for question in self.questions():
            yield [score for place in question if not math.isnan(score := self.scores[place])]

    def score_if_truncated_right(self) -> float | None:
        """The mean of the questions if every truncated answer were right; others without a score are left out."""
        parts = (
            (
                [self.scores[place] for place in question if self._is_whole(place)],
                sum(self.ends[place] == _TRUNCATED for place in question),
            )
            for question in self.questions()
        )
        bounds = missing_bounds(parts)
        return None if bounds is None else bounds.high

    def _is_whole(self, place: int) -> bool:
        """Whether an answer has a score and was not truncated."""
        return self.ends[place] != _TRUNCATED and not math.isnan(self.scores[place])

    def lengths_by_outcome(self, right_at: float) -> dict[str, Distribution]:
        """The lengths of the scored answers by what became of them, in the order of `Account`; those that there are."""
        counters = {name: DistributionCounter() for name in ("correct", *_NOT_CORRECT)}
        correct, ended = counters["correct"].add, [counters[name].add for name in _NOT_CORRECT]
        for score, end, length in zip(self.scores, self.ends, self.lengths, strict=True):
            if length >= 0:
                (ended[end] if score < right_at else correct)(length)
        found = ((name, counter.distribution()) for name, counter in counters.items())
        return {name: distribution for name, distribution in found if distribution.n}

    def question_len(self) -> float | None:
        """The mean of the mean output lengths of the questions; None where questions are not repeated."""
        if not self.is_repeated:
            return None
        lengths = (
            [self.lengths[place] for place in question if self.lengths[place] >= 0] for question in self.questions()
        )
        return exact_mean([sum(each) / len(each) for each in lengths if each])

    def prompts_asked(self) -> tuple[int, int | None]:
        """How many questions have an answer, and how many prompts these have; None where an answer has none."""
        prompts = set(self.prompts)
        n_asked = len(set(self.rows)) if self.is_repeated else len(self.scores)
        return n_asked, None if _NO_TEXT in prompts else len(prompts)

    def alike(self) -> tuple[int, int]:
        """How many questions have several answers, and of how many of these the answers are all the same text.

        Empty answers do not count.
        """
        if not self.is_repeated:
            return 0, 0
        texts = (
            [self.texts[place] for place in question if self.texts[place] != _NO_TEXT] for question in self.questions()
        )
        alike = [len(set(each)) == 1 for each in texts if len(each) > 1]
        return len(alike), sum(alike)

    def passes(self, repeats: int, right_at: float) -> tuple[PassK, ...]:
        """pass@k and pass^k; empty where questions are not repeated."""
        if not self.is_repeated:
            return ()
        counts = ((len(scores), sum(score >= right_at for score in scores)) for scores in self.scores_by_question())
        return pass_curve(counts, repeats)

    def majority(self, repeats: int, right_at: float) -> Majority | None:
        """maj@K of the questions all of whose repeats have a score; None where questions are not repeated."""
        if not self.is_repeated:
            return None
        values, n_without = array("d"), 0
        for question in self.questions():
            scored = [place for place in question if not math.isnan(self.scores[place])]
            if len(scored) >= repeats:
                votes = ((self.votes[place] or None, self.scores[place] >= right_at) for place in scored)
                values.append(majority_score(votes))
            else:
                n_without += bool(scored)
        mean = mean_of_values(values, n_samples=len(values) * repeats, is_binary=True)
        return Majority(mean=mean, n_without=n_without)


def _text_hash(text: Raw | UnsetType, nothing: bytes) -> int:
    """A hash of a JSON text by which equal ones are known; _NO_TEXT where there is none."""
    content = bytes(text) if isinstance(text, Raw) else b""
    return _NO_TEXT if content in (b"", nothing) else hash(content)


def _speed(n_tokens: int, timed: int) -> float | None:
    return n_tokens / (timed * LATENCY_UNIT_S) if timed else None


def _mean(total: float, n: int) -> float | None:
    return total / n if n else None


def _bounds(score_sum: float, *, n: int, n_scored: int) -> Bounds | None:
    """The mean of n samples where those without a score count 0, and where they count 1."""
    return Bounds(low=score_sum / n, high=(score_sum + (n - n_scored)) / n) if n else None


def _added_tokens(parts: Sequence[TokenTotals]) -> TokenTotals:
    """Token totals added up; a count that no part has stays None."""

    def added(counts: Iterable[int | None]) -> int | None:
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    return TokenTotals(
        n_counted=sum(part.n_counted for part in parts),
        prompt=added(part.prompt for part in parts),
        completion=added(part.completion for part in parts),
        reasoning=added(part.reasoning for part in parts),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by kind added up, sorted by kind."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))
