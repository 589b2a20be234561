"""What a run came to: one row per test file and data source, and the totals of all rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bootcamp_cli.results.exact import exact_mean, exact_sum


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
