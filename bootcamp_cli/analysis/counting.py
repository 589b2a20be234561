"""The records and failures of a run counted as they come: some bytes for each answer, in whatever order they come."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import mul
from typing import Any

from msgspec import UNSET, Raw, UnsetType, structs

from bootcamp_cli.analysis.drift import Sums
from bootcamp_cli.analysis.endpoints import EndpointCounts
from bootcamp_cli.analysis.statistics import (
    Distribution,
    DistributionCounter,
    PassK,
    exact_mean,
    exact_sum,
    group_mean,
    majority_score,
    mean_of_values,
    missing_bounds,
    pass_curve,
)
from bootcamp_cli.analysis.summary import RIGHT_AT, GroupSummary, Majority, RunSummary
from bootcamp_cli.bootcamps.registry import catalog_entry, family_of
from bootcamp_cli.store.endpoints import endpoint_name
from bootcamp_cli.store.records import ENDS, RecordHead, UsageHead
from bootcamp_cli.types import (
    KNOWN_ENDS,
    LATENCY_UNIT_S,
    MAX_LEN,
    FailureRecord,
    TokenTotals,
    bootcamp_name,
    generated_tokens,
    reasoning_tokens,
)


class AnswerHead(RecordHead, frozen=True, kw_only=True, gc=False):
    """The head of a record with what a summary counts beyond what every reader needs."""

    endpoint: str | UnsetType | None = UNSET
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
    `repeats` times. Memory: 21 bytes per answer, 45 where each question is asked several times, and 7 more
    where records name endpoints.
    """

    def __init__(self, files: Iterable[FileGroups] = (), *, repeats: int = 1) -> None:
        self._repeats = repeats
        self._names = _Names()
        self._files = {plan.file: _File(plan, repeats, self._names) for plan in files}

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
            file = self._files[name] = _File(FileGroups(file=name), self._repeats, self._names)
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

    def __init__(self, plan: FileGroups, repeats: int, names: "_Names") -> None:
        self.name = plan.file
        self.repeats = repeats
        self.names = names
        self.fallback = plan.fallback or plan.file.removesuffix(".jsonl")
        self.planned = {g.data_source: _Group(g, repeats, names) for g in plan.groups}
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
                GroupPlan(bootcamp=bootcamp, data_source=data_source), self.repeats, self.names
            )
        group.first = min(group.first, (1, self.n_taken) if row is None else (0, row))
        return group

    def ordered(self) -> list["_Group"]:
        """Planned groups in the order of the plan, then found ones by first row; at least one.

        An empty planned group of unknown size is listed only where the file has no other.
        """
        found = sorted(self.found.values(), key=lambda group: group.first)
        groups = [*self.planned.values(), *found] or [
            _Group(GroupPlan(bootcamp=self.fallback), self.repeats, self.names)
        ]
        return [group for group in groups if group.plan.n is not None or group.n_taken] or groups[:1]


class _Group:
    """The running counts of one row of the summary."""

    def __init__(self, plan: "GroupPlan", repeats: int, names: "_Names") -> None:
        self.plan = plan
        self.names = names
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
        else:
            self.answers.add_effort(0, -1, is_estimate=True)
        if score is None:
            self.unverified[record.failure or "unscored"] += 1
            return
        self.n_scored += 1

    def _add_effort(self, record: "AnswerHead") -> None:
        """Count what differs between runs with the same answers: time and repeated attempts."""
        if record.retries and isinstance(record.retries, tuple):
            self.retries.update(record.retries)
        latency = None
        if isinstance(record.latency_s, float) and 0 < record.latency_s <= MAX_LEN:  # 0: an answer from elsewhere
            latency = round(record.latency_s / LATENCY_UNIT_S)
        endpoint = self.names.number(record.endpoint) if record.endpoint else 0
        is_estimate = record.output_len_estimated is True
        self.answers.add_effort(endpoint, -1 if latency is None else latency, is_estimate=is_estimate)
        if latency is None:
            return
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
        latency = self.latency.distribution()
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
            latency=latency,
            n_tokens_timed=self.n_tokens_timed,
            timed=self.timed,
            tokens=self.tokens.totals(),
            retries=dict(sorted(self.retries.items())),
            endpoints=dict(self._by_endpoint(latency)),
        )

    def _by_endpoint(self, latency: Distribution) -> Iterator[tuple[str, EndpointCounts]]:
        """The answers by endpoint; where there is one only, what is counted of the group is counted of it."""
        answers = self.answers
        match sorted(set(answers.endpoints)):
            case [] | [0]:
                return
            case [number]:
                scores = [score for score in answers.scores if not math.isnan(score)]
                lengths = [length for length in answers.lengths if length >= 0]
                yield (
                    self.names[number],
                    _endpoint_counts(
                        scores,
                        n=self.n_answered,
                        n_truncated=self.n_truncated,
                        n_len=len(lengths),
                        len_sum=sum(lengths),
                        latency=latency,
                        n_tokens_timed=self.n_tokens_timed,
                        timed=self.timed,
                    ),
                )
            case numbers:
                counters = answers.by_endpoint(numbers)
                yield from ((self.names[number], counters[number].counts()) for number in numbers if number)


class _Names:
    """The endpoints of a run by number, from 1; 0 is none."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._by_text: dict[str, int] = {}

    def number(self, text: "str | UnsetType | None") -> int:
        """The number of the endpoint that a record names."""
        if not isinstance(text, str):
            return 0
        found = self._by_text.get(text)
        if found is None:
            if len(self._by_text) >= _MOST_ENDPOINTS:
                return 0
            name = endpoint_name(text)
            found = 0 if name is None else self._numbers.setdefault(name, len(self._names) + 1)
            if name is not None and found > len(self._names):
                self._names.append(name)
            self._by_text[text] = found
        return found

    def __getitem__(self, number: int) -> str:
        """The name of a number."""
        return self._names[number - 1]


_MOST_ENDPOINTS = 10_000
_LONGEST = 2**31 - 1


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
        self.endpoints, self.latencies, self.are_estimates = array("H"), array("i"), bytearray()

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

    def add_effort(self, endpoint: int, latency: int, *, is_estimate: bool) -> None:
        """Keep of the answer just added who gave it, and how long it took, from the first on that names an endpoint.

        A latency of -1 is not known.
        """
        if not self.endpoints:
            if not endpoint:
                return
            n_before = len(self.scores) - 1
            self.endpoints, self.latencies = array("H", [0]) * n_before, array("i", [-1]) * n_before
            self.are_estimates = bytearray(b"\1") * n_before
        self.endpoints.append(endpoint)
        self.latencies.append(min(latency, _LONGEST))
        self.are_estimates.append(is_estimate)

    def by_endpoint(self, numbers: Iterable[int]) -> "dict[int, _EndpointCounter]":
        """The answers of each of these endpoints, which are all that there are."""
        counters = {number: _EndpointCounter() for number in numbers}
        for number, score, end, length, latency, is_estimate in zip(
            self.endpoints, self.scores, self.ends, self.lengths, self.latencies, self.are_estimates, strict=True
        ):
            counters[number].add(score, end, length, latency, is_estimate=is_estimate)
        return counters

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


class _EndpointCounter:
    """Adds up the answers of one endpoint in a row of the summary."""

    def __init__(self) -> None:
        self.n = self.n_truncated = self.n_len = self.len_sum = self.n_tokens_timed = self.timed = 0
        self.scores = array("d")
        self.latency = DistributionCounter()
        self.sums = Sums()

    def add(self, score: float, end: int, length: int, latency: int, *, is_estimate: int) -> None:
        """Count an answer as `_Answers` keeps it."""
        self.n += 1
        is_truncated = end == _TRUNCATED
        self.n_truncated += is_truncated
        is_scored = not math.isnan(score)
        if is_scored:
            self.scores.append(score)
        if length >= 0:
            self.n_len += 1
            self.len_sum += length
        if latency >= 0:
            self.latency.add(latency)
            if length >= 0 and not is_estimate:
                self.n_tokens_timed += length
                self.timed += latency
        n_tokens = None if length < 0 or is_estimate else length
        self.sums.add(score if is_scored else None, n_tokens, truncated=is_truncated)

    def counts(self) -> EndpointCounts:
        """What was counted."""
        return _endpoint_counts(
            self.scores,
            n=self.n,
            n_truncated=self.n_truncated,
            n_len=self.n_len,
            len_sum=self.len_sum,
            latency=self.latency.distribution(),
            n_tokens_timed=self.n_tokens_timed,
            timed=self.timed,
            sums=self.sums,
        )


def _endpoint_counts(scores: Sequence[float], **counts: Any) -> EndpointCounts:
    """The counts of an endpoint with these scores."""
    return EndpointCounts(
        n_scored=len(scores),
        score_sum=exact_sum(scores),
        score_squares=exact_sum([*map(mul, scores, scores)]),
        is_bounded=not scores or (min(scores) >= 0 and max(scores) <= 1),
        **counts,
    )


def _text_hash(text: Raw | UnsetType, nothing: bytes) -> int:
    """A hash of a JSON text by which equal ones are known; _NO_TEXT where there is none."""
    content = bytes(text) if isinstance(text, Raw) else b""
    return _NO_TEXT if content in (b"", nothing) else hash(content)
