"""The results of a run: records and failures summed up in one row per test file and data source, with totals.

An average is a mean of question means: each question counts alike, however many of its repeats have a score. Samples in
any order give the same bits: sums of floats are rounded once, quantiles come from counts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from bootcamp_cli.analysis.endpoints import EndpointCounts
from bootcamp_cli.analysis.statistics import (
    Bounds,
    Distribution,
    GroupMean,
    Interval,
    PassK,
    RunMean,
    WeightedMean,
    added_distributions,
    exact_mean,
    exact_sum,
    run_mean,
    weighted_mean,
)
from bootcamp_cli.bootcamps.registry import OTHER_FAMILY
from bootcamp_cli.store.endpoints import EndpointTraffic
from bootcamp_cli.store.server_metrics import Load
from bootcamp_cli.types import (
    LATENCY_UNIT_S,
    Effort,
    TokenTotals,
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
    `endpoints` has the answers by the endpoint that gave them, where records name it.
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
    endpoints: Mapping[str, EndpointCounts] = field(default_factory=dict)

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


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The whole run: its rows (files in name order, data sources in order of first appearance) and their totals.

    Totals are derived from the rows, so a summary with some of the rows has the totals of those rows.
    `test_dir` is the name of the test dir, not its path. `drawn` is None where all questions were taken, `shard`
    (`3/8`) where the run is not one part of several. Right is a score of `right_at` or more.
    `traffic` counts requests by endpoint, `loads` are what the servers told of their load.
    """

    model_name: str
    test_dir: str
    groups: tuple[GroupSummary, ...]
    repeats: int = 1
    redone: tuple[Redone, ...] = ()
    redo_of: str | None = None
    drawn: Drawn | None = None
    shard: str | None = None
    right_at: float = RIGHT_AT
    traffic: Mapping[str, EndpointTraffic] = field(default_factory=dict)
    loads: Sequence[Load] = ()

    @cached_property
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

    @cached_property
    def length(self) -> Distribution:
        """The output lengths of the answers that have a score."""
        return added_distributions(self.lengths.values())

    @cached_property
    def lengths(self) -> dict[str, Distribution]:
        """The output lengths by what became of the answer, in the order of `Account`; those that there are."""
        return {
            name: added_distributions(found)
            for name in ACCOUNT
            if (found := [group.lengths[name] for group in self.groups if name in group.lengths])
        }

    @cached_property
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
