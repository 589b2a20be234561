"""Two or more runs that answered the same questions: what pairs, which differences are real, which gates they pass.

Questions pair by data source and prompt; where several share these, by ground truth, then in the order of file and row.
(Ground truths cannot be the key: verifiers of run_eval.py change those in its details.) Three levels are tested: the
run, then families (Holm), then bootcamps (Holm for which got worse or better with hardly a false one among them,
Benjamini-Hochberg for which changed with few false ones). The statistics of pairs are in paired.py.

Rows of one prompt count as one draw in errors and tests, for a model without randomness answers them alike: of the
public set Galaxies has 64 rows and 5 prompts, and one other answer moves 13 rows. The difference of a prompt is the sum
of its rows' times (prompts / rows), so that the mean over prompts is that over rows (errors of clusters: Miller 2024,
arXiv 2411.00640). Where no prompt repeats nothing changes.

Questions are held in columns: a million pairs take seconds and some hundred megabytes.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bootcamp_cli.analysis.paired import (
    ALPHA,
    MAX_FLIPPED,
    Gate,
    GateShares,
    Outcome,
    PairedMoments,
    benjamini_hochberg,
    difference_error,
    gate_bounds,
    gate_outcome,
    gate_shares,
    holm,
    mcnemar_mid_p,
    normal_sign_flip_p,
    repeats_to_decide,
    sign_flip_p,
    smallest_detectable,
    tango_interval,
)
from bootcamp_cli.analysis.statistics import Z95, Interval, exact_mean
from bootcamp_cli.errors import UsageError

OVERALL = "overall"

MAX_SCORE = 1e100
"""The largest size of a score that can be compared: floats hold its square, and sums of these."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run has of one question.

    `scores` holds the score of each repeat, None where an answer has none or is missing. `prompt` and `ground_truth`
    are compared only: texts, or digests of 16 and 8 bytes.
    """

    data_source: str
    family: str
    prompt: str | bytes
    ground_truth: str | bytes
    file: str
    row: int
    scores: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOnce:
    """Questions of one file, each asked once, in columns: nearly all of large runs.

    `source` is an index into `names`, the data sources, and their `families`; `digests` has three numbers for each
    question, the first two of its prompt, the last of its ground truth; `score` is NaN where an answer has none.
    """

    file: str
    names: Sequence[str]
    families: Sequence[str]
    source: Integers
    row: Integers
    digests: Words
    score: Floats

    def questions(self) -> Iterator[Question]:
        """The questions one by one."""
        columns = (column.tolist() for column in (self.source, self.row, self.score))
        for digests, source, row, score in zip(self.digests, *columns, strict=True):
            yield Question(
                data_source=self.names[source],
                family=self.families[source],
                prompt=digests[:2].tobytes(),
                ground_truth=digests[2:].tobytes(),
                file=self.file,
                row=row,
                scores=(None if math.isnan(score) else score,),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionScores:
    """The questions of one run in columns, in the order of file name and row.

    `names` are the data sources, `families` their families, `source` an index into both; `file` is one into `files`.
    `total` is the sum of the `n_scored` scores of a question, `n_right` the number of them that reach the threshold,
    `noise` the variance of their mean (NaN with one score). `unverifiable` are the data sources without a bootcamp.
    """

    name: str
    names: tuple[str, ...]
    families: tuple[str, ...]
    files: tuple[str, ...]
    unverifiable: frozenset[str]
    source: Integers
    file: Integers
    row: Integers
    key: npt.NDArray[np.uint64]
    truth: npt.NDArray[np.uint64]
    total: Floats
    n_scored: Integers
    n_missing: Integers
    n_right: Integers
    noise: Floats
    is_binary: npt.NDArray[np.bool_]
    is_bounded: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def right_shares(self) -> Floats:
        """The share of right answers among those of a question that have a score; NaN where none has."""
        with np.errstate(invalid="ignore"):
            shares: Floats = self.n_right / self.n_scored
        return shares

    def place(self, i: int) -> tuple[str, int]:
        """File and row of a question."""
        return self.files[self.file[i]], int(self.row[i])


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One entry of a comparison: the run, a family or a bootcamp.

    `difference` is that of the mean scores of the `n_pairs` questions with a score in both runs, of a run and a family
    the unweighted mean over its `n_groups`; errors and tests rest on their `n_prompts` different prompts.
    `significant` means `p_adjusted` < 0.05, adjusted by Holm over the entries of the level; `p_changed` is adjusted
    by Benjamini & Hochberg instead (of bootcamps only). `disagrees` says that p and interval do not tell the same
    of 0: about one null comparison in twenty where few pairs differ. `smallest_detectable` is the smallest
    difference that would have been found with 80 %, None where none would. `discordance` is the share of pairs
    whose scores differ.
    """

    name: str
    n_pairs: int
    n_prompts: int
    n_groups: int
    difference: float
    interval: Interval
    p: float
    p_adjusted: float
    significant: bool
    smallest_detectable: float | None
    discordance: float
    disagrees: bool
    p_changed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A question that most repeats got right in one run and most got wrong in the other."""

    data_source: str
    file: str
    row: int
    baseline_file: str
    baseline_row: int
    baseline_score: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What became of a gate.

    `low` and `high` are the one-sided 95 % bounds of the difference with the `n_missing` samples without a score
    counted as worst and as best; the outcome is undecided where these two differ. `if_unchanged` is how often a gate of
    this margin passes, fails and stays undecided where nothing changed. `repeats_needed` would decide it if the
    difference of the scores that there are stayed; None where it is decided, or more repeats would not decide it.
    """

    gate: Gate
    outcome: Outcome
    difference: float
    low: float
    high: float
    n_missing: int
    if_unchanged: GateShares
    repeats_needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """One run against the baseline.

    `n_unpaired` questions of the run, and `n_unpaired_baseline` of the baseline, are not in the other;
    `n_without_score` pairs lack a score on one side. `left_out` are the data sources that have no bootcamp in both.
    `repeats` is the smaller mean number of scored repeats, 1 where the repeats of a run never differ.
    """

    name: str
    baseline: str
    n_pairs: int
    n_unpaired: int
    n_unpaired_baseline: int
    n_without_score: int
    left_out: tuple[str, ...]
    repeats: float
    run: Difference
    families: tuple[Difference, ...]
    bootcamps: tuple[Difference, ...]
    worse: tuple[Flip, ...]
    better: tuple[Flip, ...]
    gates: tuple[GateResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One of several runs in order: its own unweighted mean over groups, and its difference from the run before it."""

    name: str
    mean: float | None
    step: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs against a baseline, with the corrections made over all of them; the curve is of three or more runs."""

    baseline: str
    runs: tuple[RunComparison, ...]
    curve: tuple[CurvePoint, ...]


def collect_scores(
    name: str,
    questions: Iterable[Question | AskedOnce],
    *,
    threshold: float = 1.0,
    unverifiable: Collection[str] = (),
) -> QuestionScores:
    """The questions of a run, in any order, as columns; a score is right from `threshold` on.

    Raises:
        UsageError: a score is larger than can be compared.
    """
    columns = _Columns(threshold)
    for question in questions:
        try:
            if isinstance(question, Question):
                columns.add(question)
            else:
                columns.add_once(question)
        except _TooLargeError as error:
            raise UsageError(
                f"{name}: {error.file}, row {error.row}: scores beyond {MAX_SCORE:g} cannot be compared",
                hint=f"see what {error.data_source} gives for that row",
            ) from None
    return columns.scores(name, unverifiable)


@dataclass(slots=True)
class _TooLargeError(Exception):
    """The place of a score that cannot be compared."""

    data_source: str
    file: str
    row: int


class _Columns:
    """The columns of a run while its questions are added."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._names, self._files = _Codes(), _Codes()
        self._families: dict[int, str] = {}
        self._source, self._file, self._row = array("q"), array("q"), array("q")
        self._digests = bytearray()
        self._total, self._noise = array("d"), array("d")
        self._n_scored, self._n_missing, self._n_right = array("q"), array("q"), array("q")
        self._is_binary, self._is_bounded = bytearray(), bytearray()

    def add(self, question: Question) -> None:
        """Add a question that was asked any number of times."""
        self._source.append(self._coded(question.data_source, question.family))
        self._file.append(self._files[question.file])
        self._row.append(question.row)
        self._digests += _digest(question.prompt, size=16) + _digest(question.ground_truth, size=8)
        scores = [score for score in question.scores if score is not None]
        if any(abs(score) > MAX_SCORE for score in scores):
            raise _TooLargeError(question.data_source, question.file, question.row)
        self._total.append(math.fsum(scores))
        self._n_scored.append(len(scores))
        self._n_missing.append(len(question.scores) - len(scores) if question.scores else 1)
        self._n_right.append(sum(score >= self._threshold for score in scores))
        self._noise.append(_noise(scores))
        self._is_binary.append(all(score in (0, 1) for score in scores))
        self._is_bounded.append(all(0 <= score <= 1 for score in scores))

    def add_once(self, part: AskedOnce) -> None:
        """Add questions that were asked once."""
        n, score, is_missing = len(part.row), part.score, np.isnan(part.score)
        if (too_large := np.flatnonzero(np.abs(score) > MAX_SCORE)).size:
            first = too_large[0]
            raise _TooLargeError(part.names[part.source[first]], part.file, int(part.row[first]))
        codes = np.array(list(map(self._coded, part.names, part.families)), dtype=np.int64)
        for column, values in (
            (self._source, codes[part.source]),
            (self._file, np.full(n, self._files[part.file])),
            (self._row, part.row),
            (self._total, np.where(is_missing, 0.0, score)),
            (self._noise, np.full(n, np.nan)),
            (self._n_scored, (~is_missing).astype(np.int64)),
            (self._n_missing, is_missing.astype(np.int64)),
            (self._n_right, (score >= self._threshold).astype(np.int64)),
        ):
            column.frombytes(values.tobytes())
        self._digests += part.digests.tobytes()
        self._is_binary += (is_missing | (score == 0) | (score == 1)).tobytes()
        self._is_bounded += (is_missing | ((score >= 0) & (score <= 1))).tobytes()

    def _coded(self, data_source: str, family: str) -> int:
        code = self._names[data_source]
        self._families.setdefault(code, family)
        return code

    def scores(self, name: str, unverifiable: Collection[str]) -> QuestionScores:
        """All that was added, in the order of file name and row."""
        files = np.array(list(self._files), dtype=object)
        ranks = np.argsort(np.argsort(files)) if len(files) else np.empty(0, dtype=np.int64)
        source, file, row, n_scored, n_missing, n_right = (
            np.frombuffer(column, dtype=np.int64)
            for column in (self._source, self._file, self._row, self._n_scored, self._n_missing, self._n_right)
        )
        order = np.lexsort((row, ranks[file]))
        words = np.frombuffer(self._digests, dtype=np.uint64).reshape(len(row), 3)[order]
        own = np.frombuffer(
            b"".join(_digest(f"data source {each}", size=16) for each in self._names), dtype=np.uint64
        ).reshape(-1, 2)
        return QuestionScores(
            name=name,
            names=tuple(self._names),
            families=tuple(self._families[code] for code in range(len(self._names))),
            files=tuple(self._files),
            unverifiable=frozenset(unverifiable),
            source=source[order],
            file=file[order],
            row=row[order],
            key=words[:, :2] ^ own[source[order]],  # a prompt is another question in another data source
            truth=words[:, 2],
            total=np.frombuffer(self._total, dtype=np.float64)[order],
            n_scored=n_scored[order],
            n_missing=n_missing[order],
            n_right=n_right[order],
            noise=np.frombuffer(self._noise, dtype=np.float64)[order],
            is_binary=np.frombuffer(self._is_binary, dtype=np.bool_)[order],
            is_bounded=np.frombuffer(self._is_bounded, dtype=np.bool_)[order],
        )


class _Codes(dict[str, int]):
    """Numbers texts in the order of their first use."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


def _digest(text: str | bytes, *, size: int) -> bytes:
    """The digest of a text; bytes are one already."""
    return text if isinstance(text, bytes) else blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()


def _noise(scores: Sequence[float]) -> float:
    """The variance of the mean of the scores of a question; NaN with fewer than two."""
    n = len(scores)
    if n < 2:
        return math.nan
    mean = math.fsum(scores) / n
    return math.fsum([(score - mean) ** 2 for score in scores]) / (n - 1) / n


def halves(questions: Iterable[Question]) -> Iterator[tuple[Question, Question]]:
    """Of each question its even and its odd repeats: a run against itself."""
    for question in questions:
        yield replace(question, scores=question.scores[::2]), replace(question, scores=question.scores[1::2])


def pair(a: QuestionScores, b: QuestionScores) -> tuple[Integers, Integers]:
    """The questions of two runs that are the same: their indices in the one and the other, in the order of the first.

    By data source and prompt; where several share these, by ground truth, then in the order of file and row.
    """
    keys = np.concatenate([a.key, b.key])
    by_key = _ids(keys[:, 0], keys[:, 1])
    by_truth = _ids(by_key, np.concatenate([a.truth, b.truth]))
    index_a, index_b = np.arange(len(a)), np.arange(len(b))
    first_a, first_b = _matches(by_truth[: len(a)], by_truth[len(a) :])
    rest_a, rest_b = np.delete(index_a, first_a), np.delete(index_b, first_b)
    second_a, second_b = _matches(by_key[: len(a)][rest_a], by_key[len(a) :][rest_b])
    paired_a = np.concatenate([first_a, rest_a[second_a]])
    paired_b = np.concatenate([first_b, rest_b[second_b]])
    order = np.argsort(paired_a)
    return paired_a[order], paired_b[order]


def _ids(*columns: npt.NDArray[np.generic]) -> Integers:
    """Numbers of the different rows of columns."""
    order = np.lexsort(columns)
    is_new = np.zeros(len(order), dtype=np.bool_)
    for column in columns:
        is_new[1:] |= np.diff(column[order].astype(np.uint64)) != 0
    ids = np.empty(len(order), dtype=np.int64)
    ids[order] = np.cumsum(is_new)
    return ids


def _matches(a: Integers, b: Integers) -> tuple[Integers, Integers]:
    """Where the ids of two runs meet: the first of each id with the first, the second with the second."""
    n = max(len(a), len(b), 1)
    _, in_a, in_b = np.intersect1d(
        a * n + _occurrences(a), b * n + _occurrences(b), assume_unique=True, return_indices=True
    )
    return in_a, in_b


def _occurrences(ids: Integers) -> Integers:
    """How many times each id stands before in the same array."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    counts = np.empty(len(ids), dtype=np.int64)
    counts[order] = np.arange(len(ids)) - starts
    return counts


def compare(
    baseline: QuestionScores,
    others: Sequence[QuestionScores],
    *,
    gates: Sequence[Gate] = (),
    order: Sequence[QuestionScores] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare runs with a baseline, and, where there are three or more, each with the one before it.

    With several runs each correction is over the entries of its level in all of them. `order` is that of the same runs
    in the curve, by default the baseline first.

    Raises:
        UsageError: no question pairs, or none has a score in both runs; with gates, also where runs do not ask the same
            questions or have no family of that name.
    """
    paired = [_Paired(baseline, other) for other in others]
    checked = [_gates(pairs, gates) for pairs in paired]
    runs, families, bootcamps = (
        _level([groups(pairs) for pairs in paired], seed=seed) for groups in (_of_run, _of_families, _of_bootcamps)
    )
    compared = tuple(
        RunComparison(
            name=pairs.b.name,
            baseline=baseline.name,
            n_pairs=len(pairs.in_a),
            n_unpaired=len(pairs.b) - len(pairs.in_b),
            n_unpaired_baseline=len(baseline) - len(pairs.in_a),
            n_without_score=pairs.n_without_score,
            left_out=pairs.left_out,
            repeats=pairs.repeats,
            run=of_run[0],
            families=of_families,
            bootcamps=of_bootcamps,
            worse=pairs.flips(worse=True),
            better=pairs.flips(worse=False),
            gates=results,
        )
        for pairs, of_run, of_families, of_bootcamps, results in zip(
            paired, runs, families, bootcamps, checked, strict=True
        )
    )
    return Comparison(baseline=baseline.name, runs=compared, curve=_curve(order or [baseline, *others], paired, seed))


class _Paired:
    """Two runs with their pairs: those with a score in both, by group (a data source in one file of the baseline)."""

    def __init__(self, a: QuestionScores, b: QuestionScores) -> None:
        self.a, self.b = a, b
        self.in_a, self.in_b = pair(a, b)
        if not len(self.in_a):
            raise UsageError(
                f"{b.name} and {a.name} have no question in common",
                hint="compare runs of the same test dir",
            )
        self.left_out = tuple(sorted(a.unverifiable & b.unverifiable & {*a.names}))
        self.is_counted = ~np.isin(a.source[self.in_a], [a.names.index(name) for name in self.left_out])
        has_scores = (a.n_scored[self.in_a] > 0) & (b.n_scored[self.in_b] > 0)
        self.n_without_score = int(np.count_nonzero(self.is_counted & ~has_scores))
        chosen = self.is_counted & has_scores
        if not chosen.any():
            raise UsageError(
                f"no question has a score in both {b.name} and {a.name}", hint="score the answers with bootcamp rescore"
            )
        self.groups = _grouped(a, b, self.in_a[chosen], self.in_b[chosen])
        self.repeats = _repeats(a, b, self.in_a[chosen], self.in_b[chosen])

    def flips(self, *, worse: bool) -> tuple[Flip, ...]:
        """The questions that most repeats got right in one run and wrong in the other, the largest change first."""
        a, b = self.a, self.b
        share_a, share_b = a.right_shares[self.in_a], b.right_shares[self.in_b]
        flipped = (share_a > 0.5) & (share_b < 0.5) if worse else (share_a < 0.5) & (share_b > 0.5)
        found = np.flatnonzero(flipped & self.is_counted)
        found = found[np.argsort(-np.abs(share_b[found] - share_a[found]), kind="stable")]
        in_a, in_b = self.in_a[found], self.in_b[found]
        mean_a, mean_b = a.total[in_a] / a.n_scored[in_a], b.total[in_b] / b.n_scored[in_b]
        columns = (a.source[in_a], b.file[in_b], b.row[in_b], a.file[in_a], a.row[in_a], mean_a, mean_b)
        return tuple(
            Flip(
                data_source=a.names[source],
                file=b.files[file],
                row=row,
                baseline_file=a.files[baseline_file],
                baseline_row=baseline_row,
                baseline_score=baseline_score,
                score=score,
            )
            for source, file, row, baseline_file, baseline_row, baseline_score, score in zip(
                *(column.tolist() for column in columns), strict=True
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The pairs of one data source in one file of the baseline, with a score in both runs.

    `differences` are those of prompts; `exact` gives what each adds to their mean. `discordant` counts the pairs
    that got worse and better where each has one 0/1 score in both runs and a prompt of its own, else it is None.
    """

    name: str
    family: str
    n_pairs: int
    n_differing: int
    differences: Floats
    moments: PairedMoments
    is_bounded: bool
    discordant: tuple[int, int] | None
    exact: Callable[[], list[Fraction]]


def _grouped(a: QuestionScores, b: QuestionScores, in_a: Integers, in_b: Integers) -> list[_Group]:
    """The groups of pairs, sorted by data source and file."""
    ids = a.source[in_a] * max(len(a.files), 1) + a.file[in_a]
    order = np.argsort(ids, kind="stable")
    in_a, in_b, ids = in_a[order], in_b[order], ids[order]
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    places = [(a.names[a.source[i]], a.files[a.file[i]]) for i in in_a[starts].tolist()]
    n_files = Counter(source for source, _ in places)
    total_a, total_b, n_a, n_b = a.total[in_a], b.total[in_b], a.n_scored[in_a], b.n_scored[in_b]
    by_row = _without_rounding(total_b / n_b - total_a / n_a)
    is_once = (n_a == 1) & (n_b == 1) & a.is_binary[in_a] & b.is_binary[in_b]
    is_bounded = a.is_bounded[in_a] & b.is_bounded[in_b]
    keys = a.key[in_a, 0]
    groups = []
    for (source, file), start, end in zip(places, starts, [*starts[1:], len(ids)], strict=True):
        part = slice(start, end)
        own, prompts = by_row[part], _prompts(keys[part])
        n_worse, n_better = int((own < 0).sum()), int((own > 0).sum())
        differences = own if prompts is None else _by_prompt(own, prompts)
        groups.append(
            (
                (source, file),
                _Group(
                    name=source if n_files[source] == 1 else f"{source} ({file})",
                    family=a.families[a.source[in_a[start]]],
                    n_pairs=len(own),
                    n_differing=n_worse + n_better,
                    differences=differences,
                    moments=_moments(differences, a.noise[in_a[part]], b.noise[in_b[part]]),
                    is_bounded=bool(is_bounded[part].all()),
                    discordant=(n_worse, n_better) if prompts is None and is_once[part].all() else None,
                    exact=partial(_fractions, total_a[part], n_a[part], total_b[part], n_b[part], own, prompts),
                ),
            )
        )
    return [group for _, group in sorted(groups, key=lambda entry: entry[0])]


def _without_rounding(differences: Floats) -> Floats:
    """Differences of which none is but the rounding of the numbers it was made of."""
    differences[np.abs(differences) < 1e-12] = 0.0
    return differences


def _prompts(keys: npt.NDArray[np.uint64]) -> Integers | None:
    """The number of each row's prompt; None where each row has its own."""
    unique, prompts = np.unique(keys, return_inverse=True)
    return None if len(unique) == len(keys) else prompts.astype(np.int64)


def _by_prompt(by_row: Floats, prompts: Integers) -> Floats:
    """The differences of prompts, whose mean is that of the rows'."""
    sums = np.bincount(prompts, weights=by_row)
    return _without_rounding(np.multiply(sums, len(sums) / len(by_row), dtype=np.float64))


def _moments(differences: Floats, noise_a: Floats, noise_b: Floats) -> PairedMoments:
    """The moments of the differences of prompts; what is within comes from the variances of rows asked several times.

    Rows of one prompt add up their variances, in a difference that is theirs times (prompts / rows).
    """
    values = differences.tolist()
    square = math.fsum([value * value for value in values]) / len(values)
    known_a, known_b = noise_a[~np.isnan(noise_a)], noise_b[~np.isnan(noise_b)]
    within = square  # asked once, nothing tells chance from change
    if len(known_a) and len(known_b):
        of_rows = math.fsum(known_a) / len(known_a) + math.fsum(known_b) / len(known_b)
        within = min(square, of_rows * len(values) / len(noise_a))
    return PairedMoments(n=len(values), mean=math.fsum(values) / len(values), square=square, within=within)


def _fractions(
    total_a: Floats, n_a: Integers, total_b: Floats, n_b: Integers, by_row: Floats, prompts: Integers | None
) -> list[Fraction]:
    """What each prompt adds to the mean difference of a group, exactly; those that add nothing are left out."""
    changed = np.flatnonzero(by_row)
    columns = (column[changed].tolist() for column in (total_a, n_a, total_b, n_b))
    exact = [_exact_part(ta, ka, tb, kb, len(by_row)) for ta, ka, tb, kb in zip(*columns, strict=True)]
    if prompts is None:
        return exact
    sums: defaultdict[int, Fraction] = defaultdict(Fraction)
    for prompt, part in zip(prompts[changed].tolist(), exact, strict=True):
        sums[prompt] += part
    return [part for part in sums.values() if part]


def _exact_part(total_a: float, n_a: int, total_b: float, n_b: int, n: int) -> Fraction:
    """What one of n rows adds to the mean difference: (total_b / n_b - total_a / n_a) / n."""
    if total_a.is_integer() and total_b.is_integer():
        return Fraction(int(total_b) * n_a - int(total_a) * n_b, n_a * n_b * n)
    return (_fraction(total_b) / n_b - _fraction(total_a) / n_a) / n


def _fraction(value: float) -> Fraction:
    """The number that a float stands for: 1/3 and 0.1 themselves, not the floats next to them."""
    near = Fraction(value).limit_denominator(1000)
    return near if abs(float(near) - value) <= 1e-12 * max(1.0, abs(value)) else Fraction(repr(value))


def _repeats(a: QuestionScores, b: QuestionScores, in_a: Integers, in_b: Integers) -> float:
    """The smaller run's mean number of scored repeats; a run whose repeats never differ asked once."""
    means = []
    for scores, chosen in ((a, in_a), (b, in_b)):
        differs = np.nan_to_num(scores.noise[chosen]).any()
        means.append(float(scores.n_scored[chosen].mean()) if differs else 1.0)
    return min(means)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry before the tests of its level are corrected: its groups, and what smooths their variances."""

    name: str
    groups: Sequence[_Group]
    repeats: float
    pseudo: float
    is_bootcamp: bool = False


def _of_run(pairs: _Paired) -> list[_Entry]:
    return [_entry(OVERALL, pairs.groups, pairs.repeats)]


def _of_families(pairs: _Paired) -> list[_Entry]:
    return [_entry(family, groups, pairs.repeats) for family, groups in _by_family(pairs.groups).items()]


def _of_bootcamps(pairs: _Paired) -> list[_Entry]:
    return [
        _Entry(name=group.name, groups=[group], repeats=pairs.repeats, pseudo=1.0, is_bootcamp=True)
        for group in pairs.groups
    ]


def _entry(name: str, groups: Sequence[_Group], repeats: float) -> _Entry:
    return _Entry(name=name, groups=groups, repeats=repeats, pseudo=1 / math.sqrt(repeats))


def _by_family(groups: Sequence[_Group]) -> dict[str, list[_Group]]:
    families: dict[str, list[_Group]] = {family: [] for family in sorted({group.family for group in groups})}
    for group in groups:
        families[group.family].append(group)
    return families


def _level(entries: Sequence[Sequence[_Entry]], *, seed: int) -> list[tuple[Difference, ...]]:
    """The differences of one level in each of several runs, corrected over all of them."""
    flat = [entry for of_run in entries for entry in of_run]
    p_values = [_p_value(entry, n_tests=len(flat), seed=seed) for entry in flat]
    adjusted, changed = holm(p_values), benjamini_hochberg(p_values)
    differences = iter(
        [
            _difference(entry, p, n_tests=len(flat), p_adjusted=p_holm, p_changed=p_bh if entry.is_bootcamp else None)
            for entry, p, p_holm, p_bh in zip(flat, p_values, adjusted, changed, strict=True)
        ]
    )
    return [tuple(next(differences) for _ in of_run) for of_run in entries]


def _p_value(entry: _Entry, *, n_tests: int, seed: int) -> float:
    """Mid-p McNemar for a bootcamp with 0/1 scores asked once, else the sign flip, stratified by group."""
    only = entry.groups[0]
    if entry.is_bootcamp and only.discordant is not None:
        return mcnemar_mid_p(*only.discordant)
    if sum(np.count_nonzero(group.differences) for group in entry.groups) > MAX_FLIPPED:
        weighted_floats = [group.differences / group.moments.n for group in entry.groups]
        return normal_sign_flip_p(np.concatenate(weighted_floats).tolist())
    parts = [part for group in entry.groups for part in group.exact()]
    unit = math.lcm(*(part.denominator for part in parts))
    return sign_flip_p((part.numerator * (unit // part.denominator) for part in parts), n_tests=n_tests, seed=seed)


def _difference(entry: _Entry, p: float, *, n_tests: int, p_adjusted: float, p_changed: float | None) -> Difference:
    moments = [group.moments for group in entry.groups]
    n_pairs = sum(group.n_pairs for group in entry.groups)
    difference, interval = _mean_difference(moments), _interval(entry)
    return Difference(
        name=entry.name,
        n_pairs=n_pairs,
        n_prompts=sum(m.n for m in moments),
        n_groups=len(moments),
        difference=difference,
        interval=interval,
        p=p,
        p_adjusted=p_adjusted,
        significant=p_adjusted < ALPHA,
        smallest_detectable=smallest_detectable(moments, repeats=entry.repeats, n_tests=n_tests),
        discordance=sum(group.n_differing for group in entry.groups) / n_pairs,
        disagrees=(p < ALPHA) == (interval.low <= 0 <= interval.high),
        p_changed=p_changed,
    )


def _mean_difference(moments: Sequence[PairedMoments]) -> float:
    return math.fsum([m.mean for m in moments]) / len(moments)


def _interval(entry: _Entry) -> Interval:
    """Tango's for a bootcamp with 0/1 scores asked once, else estimate +- z SE; within [-1, 1] where scores are."""
    only = entry.groups[0]
    if entry.is_bootcamp and only.discordant is not None:
        return tango_interval(*only.discordant, only.moments.n)
    moments = [group.moments for group in entry.groups]
    difference, half = _mean_difference(moments), Z95 * difference_error(moments, entry.pseudo)
    low, high = difference - half, difference + half
    if all(group.is_bounded for group in entry.groups):
        low, high = max(-1.0, low), min(1.0, high)
    return Interval(low=low, high=high)


def _gates(pairs: _Paired, gates: Sequence[Gate]) -> tuple[GateResult, ...]:
    """What becomes of each gate."""
    if not gates:
        return ()
    a, b = pairs.a, pairs.b
    n_unpaired = len(a) + len(b) - 2 * len(pairs.in_a)
    if n_unpaired:
        raise UsageError(
            f"{b.name} and {a.name} do not ask the same questions: {n_unpaired} are in one of them only",
            hint="a gate needs runs of the same questions",
        )
    in_a, in_b = pairs.in_a[pairs.is_counted], pairs.in_b[pairs.is_counted]
    worst = _grouped(_filled(a, 1.0), _filled(b, 0.0), in_a, in_b)
    best = _grouped(_filled(a, 0.0), _filled(b, 1.0), in_a, in_b)
    n_missing = _missing(pairs, in_a, in_b)
    return tuple(_gate(pairs, gate, worst, best, n_missing) for gate in gates)


def _filled(scores: QuestionScores, score: float) -> QuestionScores:
    """The same questions with every missing score taken for this one."""
    return replace(scores, total=scores.total + score * scores.n_missing, n_scored=scores.n_scored + scores.n_missing)


def _missing(pairs: _Paired, in_a: Integers, in_b: Integers) -> Mapping[str, int]:
    """The samples without a score by family."""
    a, b = pairs.a, pairs.b
    missing = np.bincount(
        a.source[in_a], weights=a.n_missing[in_a] + b.n_missing[in_b], minlength=len(a.names)
    ).tolist()
    result: dict[str, int] = {}
    for family, n in zip(a.families, missing, strict=True):
        result[family] = result.get(family, 0) + int(n)
    return result


def _gate(
    pairs: _Paired, gate: Gate, worst: Sequence[_Group], best: Sequence[_Group], n_missing: Mapping[str, int]
) -> GateResult:
    is_meant = partial(_is_meant, gate.name, {group.family for group in worst})
    pseudo, margin = 1 / math.sqrt(pairs.repeats), gate.margin
    sides = [[group.moments for group in groups if is_meant(group.family)] for groups in (worst, best)]
    bounds, outcomes = [], set[Outcome]()
    for moments in sides:
        difference, error = _mean_difference(moments), difference_error(moments, pseudo)
        bounds.append(gate_bounds(difference, error))
        outcomes.add(gate_outcome(difference, error, margin))
    found = [group for group in pairs.groups if is_meant(group.family)]
    scored = [group.moments for group in found] or sides[0]
    missing = sum(n for family, n in n_missing.items() if is_meant(family))
    is_bounded = all(group.is_bounded for group in found)
    # what is missing has no worst and no best where scores are outside [0, 1]
    outcome: Outcome = outcomes.pop() if len(outcomes) == 1 and (is_bounded or not missing) else "undecided"
    difference, error = _mean_difference(scored), difference_error(scored, pseudo)
    repeats_needed = None
    if outcome == "undecided" and any(moments.within for moments in scored) and not missing:
        repeats_needed = repeats_to_decide(
            scored, difference=difference, margin=margin, repeats=pairs.repeats, pseudo=pseudo
        )
    return GateResult(
        gate=gate,
        outcome=outcome,
        difference=difference,
        low=bounds[0][0],
        high=bounds[1][1],
        n_missing=missing,
        if_unchanged=gate_shares(scored, error=error, margin=margin),
        repeats_needed=repeats_needed,
    )


def _is_meant(name: str, families: Collection[str], family: str) -> bool:
    """Whether a gate of this name is about a family."""
    if name != OVERALL and name not in families:
        raise UsageError(f"no family is named {name!r}", hint=f"use {OVERALL} or one of {', '.join(sorted(families))}")
    return name in (OVERALL, family)


def _curve(runs: Sequence[QuestionScores], paired: Sequence[_Paired], seed: int) -> tuple[CurvePoint, ...]:
    """The runs in order, each against the one before it."""
    if len(runs) < 3:
        return ()
    known = {(id(pairs.a), id(pairs.b)): pairs for pairs in paired}
    neighbours = [known.get((id(a), id(b))) or _Paired(a, b) for a, b in pairwise(runs)]
    steps = _level([_of_run(pairs) for pairs in neighbours], seed=seed)
    return tuple(
        CurvePoint(name=run.name, mean=_own_mean(run), step=step)
        for run, step in zip(runs, (None, *(step[0] for step in steps)), strict=True)
    )


def _own_mean(run: QuestionScores) -> float | None:
    """The unweighted mean over the groups of a run."""
    scored = run.n_scored > 0
    ids = run.source[scored] * max(len(run.files), 1) + run.file[scored]
    order = np.argsort(ids, kind="stable")
    means = (run.total[scored] / run.n_scored[scored])[order]
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    groups = np.split(means, starts[1:]) if len(means) else []
    return exact_mean([math.fsum(group.tolist()) / len(group) for group in groups])
