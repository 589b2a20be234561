"""What a loss is made of: answers that scored 0 and look right, or never had a chance.

Nothing here changes a score. An audit names a likely cause for each answer that scored 0, and gives two bounds beside
the score: the score as a share of what can be reached, and the score if losses by format were forgiven.

Detectors are pure functions of the text and a few facts; they raise on no text, take linear time, and say yes only
where a wrong answer in the right format would not look the same. `examine` applies them in the order of `Cause`, and
the first that fits counts: an answer has one cause or none. What is known of the asked format stands in
`bootcamps/asked_formats.py`; bootcamps without an entry there get the detectors that need none.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property, partial
from itertools import islice
from typing import Any

import anyio
import anyio.lowlevel

from bootcamp_cli.analysis.statistics import exact_mean, exact_sum
from bootcamp_cli.bootcamps.asked_formats import (
    ASKED_FORMATS,
    BLOCKS,
    AskedFormat,
    Loosen,
    Span,
    accepted_forms,
    cannot_be_won,
    is_defective,
    stored_solutions,
)
from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.errors import ungrouped
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.journal import StoredRecord
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import Record, SampleKey, bootcamp_name, verified_text
from bootcamp_cli.verification.executor import verification_executor


class Cause(StrEnum):
    """Why an answer scored 0, in the order in which causes are looked for; the first that fits counts.

    A row that cannot be won comes first, as nothing in the answer matters there. Then what ended the answer before its
    time, the most specific first. Then right contents: in an earlier block, in the form that the prompt asks for and
    the verifier refuses, in another format, outside the block. At last, that there is no block at all.
    """

    UNWINNABLE = "unwinnable"
    EMPTY = "empty"
    REPETITION_LOOP = "repetition_loop"
    TRUNCATED = "truncated"
    EARLIER_BLOCK_RIGHT = "earlier_block_right"
    ASKED_FORMAT_REFUSED = "asked_format_refused"
    OTHER_FORMAT = "other_format"
    SOLUTION_OUTSIDE_BLOCK = "solution_outside_block"
    NO_ANSWER_BLOCK = "no_answer_block"

    @property
    def meaning(self) -> str:
        """The cause in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Cause.UNWINNABLE: "the row cannot be won",
    Cause.EMPTY: "empty",
    Cause.REPETITION_LOOP: "repetition loop: the end repeats itself",
    Cause.TRUNCATED: "truncated before an answer",
    Cause.EARLIER_BLOCK_RIGHT: "an earlier block was right",
    Cause.ASKED_FORMAT_REFUSED: "the asked format is not accepted by the verifier",
    Cause.OTHER_FORMAT: "a block in another format than asked",
    Cause.SOLUTION_OUTSIDE_BLOCK: "the solution stands outside the block",
    Cause.NO_ANSWER_BLOCK: "no answer block",
}

FORMAT_LOSSES = frozenset(
    {
        Cause.EARLIER_BLOCK_RIGHT,
        Cause.ASKED_FORMAT_REFUSED,
        Cause.OTHER_FORMAT,
        Cause.SOLUTION_OUTSIDE_BLOCK,
        Cause.NO_ANSWER_BLOCK,
    }
)
"""The causes by which an answer may be lost that is right in substance."""

Verify = Callable[[str], float | None]
"""The score of another text as an answer to the same row; None where the verifier fails."""

VerifyText = Callable[[str, str, Any], float | None]
"""The score of a text, given the data source, the text and the ground truth; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The cause of one answer's score of 0; `is_right` where its contents were found to be the right ones."""

    cause: Cause
    is_right: bool = False


@dataclass(frozen=True, kw_only=True)
class ZeroScore:
    """An answer that scored 0, and what the detectors look at; each part is derived when it is asked for.

    `text` is what was verified, `answer` its part without separate reasoning, `extracted` what the verifier took for
    the answer.
    """

    data_source: str
    text: str
    answer: str
    prompt: str = ""
    ground_truth: Any = None
    extracted: Any = None
    finish_reason: str | None = None

    @cached_property
    def asked(self) -> AskedFormat | None:
        """What the prompt asks for, where that is known."""
        return ASKED_FORMATS.get(self.data_source)

    @cached_property
    def solutions(self) -> frozenset[str]:
        """The stored solutions in the form of comparison."""
        return stored_solutions(self.asked, self.ground_truth) if self.asked else frozenset()

    @cached_property
    def tail(self) -> str:
        """The end of the text, as far as blocks are looked for."""
        return self.text[-_TAIL_CHARS:]

    @cached_property
    def spans(self) -> list[Span]:
        """The blocks of the asked kind in the tail."""
        return self.asked.block.spans(self.tail) if self.asked else []

    @cached_property
    def conclusion(self) -> str:
        """The answer's part after the thinking, as far as it is looked at; empty where the thinking has no end."""
        return concluding_part(self.answer)[-_TAIL_CHARS:]

    @cached_property
    def is_unread(self) -> bool:
        """Whether the verifier took nothing out of the text, or only blanks and dots."""
        if self.extracted is None:
            return True
        if self.asked is None:
            return False
        is_blank = bool(self.spans) and is_blank_content(self.spans[-1].content)
        return is_blank or self.asked.is_unread(self.extracted)


_TAIL_CHARS = 256 * 1024


def cause_of(zero: ZeroScore, verify: Verify | None = None) -> Cause | None:
    """Why an answer scored 0; None where it looks like a wrong answer in the right format."""
    finding = examine(zero, verify)
    return finding.cause if finding else None


def examine(zero: ZeroScore, verify: Verify | None = None) -> Finding | None:  # noqa: PLR0911 - a return for each cause
    """The first cause that fits an answer that scored 0, in the order of `Cause`.

    `verify` scores other texts as answers to the same row, a few at most; without it no cause is found that needs it.
    """
    if cannot_be_won(zero.data_source, zero.ground_truth):
        return Finding(cause=Cause.UNWINNABLE)
    if is_empty(zero.text):
        return Finding(cause=Cause.EMPTY)
    if is_repetition_loop(zero.text):
        return Finding(cause=Cause.REPETITION_LOOP)
    if is_truncated(zero.text, zero.finish_reason, is_unread=zero.is_unread):
        return Finding(cause=Cause.TRUNCATED)
    if zero.asked is None:
        return Finding(cause=Cause.NO_ANSWER_BLOCK) if zero.is_unread else None
    is_right = partial(_is_right, zero=zero, asked=zero.asked, verify=verify)
    if is_earlier_block_right(zero.tail, zero.spans, is_right, is_unread=zero.is_unread):
        return Finding(cause=Cause.EARLIER_BLOCK_RIGHT, is_right=True)
    if is_asked_format_refused(zero.spans, zero.asked, zero.ground_truth, verify):
        return Finding(cause=Cause.ASKED_FORMAT_REFUSED, is_right=True)
    contents = other_contents(zero.conclusion, zero.spans, zero.asked) if zero.is_unread else []
    if any(map(is_right, contents)) or has_loose_solution(zero.spans, zero.solutions, zero.asked.loosen):
        return Finding(cause=Cause.OTHER_FORMAT, is_right=True)
    if contents:
        return Finding(cause=Cause.OTHER_FORMAT)
    if zero.is_unread and any(map(is_right, concluding_statements(zero.conclusion))):
        return Finding(cause=Cause.SOLUTION_OUTSIDE_BLOCK, is_right=True)
    if stands_outside(zero.conclusion, zero.asked, zero.solutions, zero.prompt):
        return Finding(cause=Cause.SOLUTION_OUTSIDE_BLOCK, is_right=True)
    return Finding(cause=Cause.NO_ANSWER_BLOCK) if zero.is_unread else None


def _is_right(content: str, *, zero: ZeroScore, asked: AskedFormat, verify: Verify | None) -> bool:
    """Whether a content is right: like a stored solution, or by the verifier's verdict on it in the asked block.

    The verdict does not count where the verifier accepts more than right answers.
    """
    if len(content) > _MAX_CONTENT_CHARS:
        return False
    if asked.loosen(content) in zero.solutions:
        return True
    return verify is not None and not asked.is_lenient and verify(asked.block.wrapped(content)) == 1


_MAX_CONTENT_CHARS = 16 * 1024
_MAX_TRIES = 6
"""How many contents of an answer are looked at, from the last."""


def zero_score(record: Record) -> ZeroScore | None:
    """What the detectors look at in a record; None where it did not score 0."""
    if record.score != 0:
        return None
    return ZeroScore(
        data_source=record.data_source,
        text=verified_text(record.output, record.reasoning_content),
        answer=record.output,
        prompt=record.prompt,
        ground_truth=record.ground_truth,
        extracted=record.extracted_output,
        finish_reason=record.finish_reason,
    )


# Audits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareBounds:
    """A lower and an upper bound of an average score under an assumption that its owner names. Never the score."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseCount:
    """The answers that one cause explains.

    `share_of_loss` is their share of all points lost, `n_right` how many of them were found to be right in substance,
    `examples` the first few.
    """

    cause: Cause
    n: int
    share_of_loss: float
    n_right: int
    examples: tuple[SampleKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAudit:
    """The audit of one data source in one test file.

    `n_scored` counts the answers with a score, `n_zero` those that scored 0, `loss` the points that all of them lack to
    a score of 1 each. `causes` are those that were found, in the order of `Cause`; what they do not explain looks like
    wrong answers in the right format (`n_unexplained`). `n_unwinnable` counts the answers to rows that cannot be won,
    `n_unreached` those below 1 to rows that cannot be won in the asked format.
    """

    bootcamp: str
    data_source: str
    file: str
    n_scored: int
    n_zero: int
    score_sum: float
    loss: float
    causes: tuple[CauseCount, ...]
    n_unwinnable: int = 0
    n_unreached: int = 0

    @property
    def avg_score(self) -> float | None:
        """The mean score of the answers that have one."""
        return self.score_sum / self.n_scored if self.n_scored else None

    @property
    def n_unexplained(self) -> int:
        """The answers with a score of 0 for which no cause was found."""
        return self.n_zero - sum(count.n for count in self.causes)

    @property
    def reached(self) -> ShareBounds | None:
        """The score as a share of what can be reached; None where nothing can.

        The lower bound leaves out the rows that no output wins, as far as they are known. The upper bound leaves out as
        well what was lost in rows whose asked format is refused.
        """
        return self._shared(self.score_sum)

    def _shared(self, score_sum: float) -> ShareBounds | None:
        n_winnable = self.n_scored - self.n_unwinnable
        if n_winnable <= 0:
            return None
        low = score_sum / n_winnable
        n_reachable = n_winnable - self.n_unreached
        return ShareBounds(low=low, high=score_sum / n_reachable if n_reachable > 0 else low)

    @property
    def forgiven(self) -> ShareBounds | None:
        """The mean score if losses by format were forgiven.

        The lower bound counts 1 for the answers found to be right in substance, the upper bound for every answer whose
        cause is one of `FORMAT_LOSSES`.
        """
        if not self.n_scored:
            return None
        lost = [count for count in self.causes if count.cause in FORMAT_LOSSES]
        return ShareBounds(
            low=(self.score_sum + sum(count.n_right for count in lost)) / self.n_scored,
            high=(self.score_sum + sum(count.n for count in lost)) / self.n_scored,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the loss of a run is made of: one entry for each test file and data source, and totals.

    Averages and bounds of the run are unweighted means of its entries, as the reference's `Total Average` is; in those
    of `reached`, entries of which nothing can be reached are left out.
    """

    groups: tuple[GroupAudit, ...]
    causes: tuple[CauseCount, ...]

    @property
    def n_scored(self) -> int:
        """Answers with a score."""
        return sum(group.n_scored for group in self.groups)

    @property
    def n_zero(self) -> int:
        """Answers with a score of 0."""
        return sum(group.n_zero for group in self.groups)

    @property
    def n_unexplained(self) -> int:
        """Answers with a score of 0 for which no cause was found."""
        return sum(group.n_unexplained for group in self.groups)

    @property
    def loss(self) -> float:
        """The points that all answers lack to a score of 1 each."""
        return exact_sum([group.loss for group in self.groups])

    @property
    def avg_score(self) -> float | None:
        """The unweighted mean of the averages of the entries."""
        return exact_mean([group.avg_score for group in self.groups if group.avg_score is not None])

    @property
    def reached(self) -> ShareBounds | None:
        """The means of the entries' shares of what can be reached."""
        return _mean_bounds([group.reached for group in self.groups])

    @property
    def forgiven(self) -> ShareBounds | None:
        """The means of the entries' scores if losses by format were forgiven."""
        return _mean_bounds([group.forgiven for group in self.groups])


def _mean_bounds(bounds: Iterable[ShareBounds | None]) -> ShareBounds | None:
    known = [each for each in bounds if each is not None]
    low, high = exact_mean([each.low for each in known]), exact_mean([each.high for each in known])
    return None if low is None or high is None else ShareBounds(low=low, high=high)


OnFinding = Callable[[SampleKey, Finding | None], object]
"""Is told of each answer with a score, in their order, and the cause of its 0."""


def audit(
    records: Iterable[tuple[str, Record]],
    verify: VerifyText | None = None,
    *,
    executor: Executor | None = None,
    on_finding: OnFinding = lambda *_: None,
) -> Audit:
    """Audit records, each with the name of its test file; those without a score do not count.

    `verify` scores other texts, a few for an answer at most; without it the causes that need it are not found. With an
    `executor` several answers are examined at once, and `verify` is called by its threads. Memory does not grow with
    the number of records.
    """
    tallies: dict[tuple[str, str], _Tally] = {}
    for file, record, finding in _examined(records, verify, executor):
        key = (file, record.data_source)
        if key not in tallies:
            tallies[key] = _Tally(file=file, data_source=record.data_source)
        tallies[key].add(record, finding)
        on_finding(SampleKey(file, record.row, record.repeat), finding)
    ordered = [tallies[key] for key in sorted(tallies, key=lambda key: key[0])]
    groups = tuple(tally.audit() for tally in ordered)
    loss = exact_sum([group.loss for group in groups])
    counts = {cause: [count for group in groups for count in group.causes if count.cause is cause] for cause in Cause}
    causes = tuple(
        CauseCount(
            cause=cause,
            n=sum(count.n for count in found),
            share_of_loss=_share(sum(count.n for count in found), loss),
            n_right=sum(count.n_right for count in found),
            examples=_spread([count.examples for count in found]),
        )
        for cause, found in counts.items()
        if found
    )
    return Audit(groups=groups, causes=causes)


def _examined(
    records: Iterable[tuple[str, Record]], verify: VerifyText | None, executor: Executor | None
) -> Iterator[tuple[str, Record, Finding | None]]:
    """The records that have a score, in their order, each with the cause of its 0."""
    ahead: deque[tuple[str, Record, Future[Finding | None]]] = deque()
    n_chars = 0
    for file, record in records:
        if record.score is None:
            continue
        zero = zero_score(record)
        if zero is None or executor is None:
            finding = examine(zero, _bound(verify, record)) if zero else None
            examined: Future[Finding | None] = Future()
            examined.set_result(finding)
        else:
            examined = executor.submit(examine, zero, _bound(verify, record))
        ahead.append((file, record, examined))
        n_chars += len(record.output)
        while ahead and (ahead[0][2].done() or len(ahead) > _MAX_AHEAD or n_chars > _MAX_CHARS_AHEAD):
            n_chars -= len(ahead[0][1].output)
            yield _result(ahead.popleft())
    while ahead:
        yield _result(ahead.popleft())


def _result(
    awaited: tuple[str, Record, "Future[Finding | None]"],
) -> tuple[str, Record, Finding | None]:
    file, record, examined = awaited
    return file, record, examined.result()


_N_THREADS = 32
_MAX_AHEAD = 256
_MAX_CHARS_AHEAD = 8 * 1024 * 1024

MAX_EXAMPLES = 3


def _spread(examples: Sequence[Sequence[SampleKey]]) -> tuple[SampleKey, ...]:
    """The first example of each entry, then the second ones."""
    in_turn = (each[i] for i in range(MAX_EXAMPLES) for each in examples if i < len(each))
    return tuple(islice(in_turn, MAX_EXAMPLES))


def _share(n: int, loss: float) -> float:
    return n / loss if loss else 0.0


@dataclass(slots=True, kw_only=True)
class _Tally:
    """The running counts of one data source in one test file."""

    file: str
    data_source: str
    n_scored: int = 0
    n_zero: int = 0
    n_unwinnable: int = 0
    n_unreached: int = 0
    score_sum: float = 0.0
    loss: float = 0.0
    found: dict[Cause, list[int]] = field(default_factory=dict)
    examples: dict[Cause, list[SampleKey]] = field(default_factory=dict)

    def add(self, record: Record, finding: Finding | None) -> None:
        score = record.score or 0.0
        self.n_scored += 1
        self.score_sum += score
        self.loss += max(0.0, 1.0 - score)
        if score < 1 and cannot_be_won(record.data_source, record.ground_truth):
            self.n_unwinnable += 1
        elif score < 1 and is_defective(record.data_source, record.ground_truth):
            self.n_unreached += 1
        self.n_zero += score == 0
        if finding is None:
            return
        counts = self.found.setdefault(finding.cause, [0, 0])
        counts[0] += 1
        counts[1] += finding.is_right
        examples = self.examples.setdefault(finding.cause, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(SampleKey(self.file, record.row, record.repeat))

    def audit(self) -> GroupAudit:
        return GroupAudit(
            bootcamp=bootcamp_name(self.data_source),
            data_source=self.data_source,
            file=self.file,
            n_scored=self.n_scored,
            n_zero=self.n_zero,
            score_sum=self.score_sum,
            loss=self.loss,
            causes=tuple(
                CauseCount(
                    cause=cause,
                    n=self.found[cause][0],
                    share_of_loss=_share(self.found[cause][0], self.loss),
                    n_right=self.found[cause][1],
                    examples=tuple(self.examples[cause]),
                )
                for cause in Cause
                if cause in self.found
            ),
            n_unwinnable=self.n_unwinnable,
            n_unreached=self.n_unreached,
        )


def _bound(verify: VerifyText | None, record: Record) -> Verify | None:
    """The scores of other texts as answers to the row of a record."""
    return None if verify is None else lambda text: verify(record.data_source, text, record.ground_truth)


async def audit_run(run_dir: RunDir, settings: Settings, on_finding: OnFinding = lambda *_: None) -> Audit:
    """Audit a run directory; texts are verified in worker processes, as the settings say.

    `on_finding` is called by another thread. Once cancelled it reads and verifies no more; the workers live until the
    threads that wait for them have ended.

    Raises:
        RunDirectoryError: a line of details is not a record; the message names it.
        UsageError: nothing tells the data source of a record.
    """
    stopping = threading.Event()
    results: list[Audit] = []
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_set_when_cancelled, stopping)
            with anyio.CancelScope(shield=True), suppress(_StoppedError):
                results.append(await _audited(run_dir, settings, stopping, on_finding))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    return results[0]


class _StoppedError(Exception):
    """Ends a thread whose audit nobody waits for any more."""


async def _set_when_cancelled(event: threading.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        event.set()


async def _audited(run_dir: RunDir, settings: Settings, stopping: threading.Event, on_finding: OnFinding) -> Audit:
    resolver = await anyio.to_thread.run_sync(Resolver, settings.bootcamps, settings.bootcamps_path)
    resolve = cache(resolver.resolve)
    token = anyio.lowlevel.current_token()

    def go_on() -> None:
        if stopping.is_set():
            raise _StoppedError

    def records() -> Iterator[tuple[str, Record]]:
        for found in run_records(run_dir):
            go_on()
            yield found

    async with await verification_executor(settings, run_dir.path) as pool:

        def verify(data_source: str, text: str, ground_truth: Any) -> float | None:
            go_on()
            ref = resolve(data_source)
            if ref is None:
                return None
            return anyio.from_thread.run(pool.verify, ref, text, ground_truth, token=token).score

        def work() -> Audit:
            with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="bootcamp audit") as executor:
                return audit(records(), verify, executor=executor, on_finding=on_finding)

        return await anyio.to_thread.run_sync(work)


def run_records(run_dir: RunDir) -> Iterator[tuple[str, Record]]:
    """The records of a run directory, each with the name of its test file.

    Raises:
        RunDirectoryError: a line of details is not a record; the message names it.
        UsageError: nothing tells the data source of a record.
    """
    details = RunDetails(run_dir)
    for path in details.files()[0]:
        yield from ((path.name, each.record) for each in details.records(path) if isinstance(each, StoredRecord))


# Detectors


def is_empty(text: str) -> bool:
    """Whether nothing was said: only whitespace, or thinking that holds nothing."""
    return not text.strip() or (len(text) < 64 and not re.sub(r"</?think>", "", text).strip())


def is_blank_content(content: str) -> bool:
    """Whether a block holds nothing, or the dots of the prompt's example."""
    return content.strip() in ("", "...", "…")


def is_repetition_loop(text: str) -> bool:
    """Whether the end repeats itself: one piece four times or more, over 200 characters at least.

    A piece may have up to 64 KiB. Rules of dashes and rows of blanks are no loops, nor is
    what stands before a last word that breaks the pattern.
    """
    end = text[-_LOOP_WINDOW:].rstrip()
    probe = end[-_PROBE_CHARS:]
    if len(end) < _LOOP_CHARS or not any(map(str.isalnum, probe)):
        return False
    found = len(end) - len(probe)
    for _ in range(_LOOP_TRIES):
        found = end.rfind(probe, 0, found + len(probe) - 1)
        period = len(end) - len(probe) - found
        length = max(_LOOP_CHARS, _LOOP_TIMES * period - 1)  # the last blank may be gone
        if found < 0 or length > len(end):
            return False
        if end[-length:-period] == end[period - length :]:
            return True
    return False


_LOOP_WINDOW = 256 * 1024
_LOOP_CHARS = 200
_LOOP_TIMES = 4
_LOOP_TRIES = 64
_PROBE_CHARS = 48


def is_truncated(text: str, finish_reason: str | None, *, is_unread: bool) -> bool:
    """Whether the token limit came before an answer: nothing was extracted, or only from thinking without an end."""
    is_thinking = text.rfind("<think>") > text.rfind("</think>")
    return finish_reason == "length" and (is_unread or is_thinking)


def is_earlier_block_right(
    text: str, spans: Sequence[Span], is_right: Callable[[str], bool], *, is_unread: bool
) -> bool:
    """Whether a block of the asked kind before the last one is right by itself.

    Where the last one can be read, a draft that the answer itself gives up is no answer: one in the thinking before it,
    or one that is called a guess or wrong.
    """
    earlier = {span.content: span for span in spans if span.content != spans[-1].content}
    if not is_unread:
        start = text.rfind("</think>", 0, spans[-1].start) if spans else -1
        earlier = {
            content: span for content, span in earlier.items() if span.start > start and not _is_draft(text, span)
        }
    return any(map(is_right, list(earlier)[: -_MAX_TRIES - 1 : -1]))


def _is_draft(text: str, span: Span) -> bool:
    """Whether the words before or after a block say that it is a guess or wrong."""
    before, after = text[max(0, span.start - 48) : span.start], text[span.end : span.end + 48]
    return bool(_GUESS.search(before) or _WITHDRAWN.match(after))


_GUESS = re.compile(r"(?i)(?:perhaps|maybe|could be|might be|guess|idea|draft|attempt|try|可能|也许|猜)[^\n]*$")
_WITHDRAWN = re.compile(r"(?i)\W{0,16}(?:no|not|wrong|incorrect|but|however|let me|hmm|不对|不是|错)(?![a-z])")


def is_asked_format_refused(
    spans: Sequence[Span], asked: AskedFormat, ground_truth: Any, verify: Verify | None
) -> bool:
    """Whether the last block has the form that the prompt shows, and scores in the form that the verifier accepts."""
    if not spans or verify is None or len(spans[-1].content) > _MAX_CONTENT_CHARS:
        return False
    forms = accepted_forms(asked, spans[-1].content, ground_truth)
    return any(verify(asked.block.wrapped(form)) == 1 for form in forms)


def other_contents(conclusion: str, spans: Sequence[Span], asked: AskedFormat) -> list[str]:
    """What stands in blocks of another kind than asked, or in the last of the asked kind, closed or not.

    For texts of which nothing could be read. The last ones first. The blocks of the asked kind (`spans`) count wherever
    they are, others after the thinking.
    """
    found = [asked.block.unclosed(conclusion), *(span.content for span in spans[-1:])]
    for block in BLOCKS:
        if block is not asked.block:
            found += [span.content for span in block.spans(conclusion)[: -_MAX_TRIES - 1 : -1]]
    return [content for content in dict.fromkeys(found) if not is_blank_content(content)][:_MAX_TRIES]


def has_loose_solution(spans: Sequence[Span], solutions: frozenset[str], loosen: Loosen) -> bool:
    """Whether the last block holds a stored solution, only written otherwise than the verifier wants it."""
    if not spans or not solutions or len(spans[-1].content) > _MAX_CONTENT_CHARS:
        return False
    return loosen(spans[-1].content) in solutions


def concluding_part(answer: str) -> str:
    """The part of an answer after its thinking, which may lack its opening tag."""
    _, tag, after = answer.rpartition("</think>")
    if tag:
        return after
    return "" if "<think>" in after else after


def concluding_statements(conclusion: str) -> list[str]:
    """What a text may state as its answer: after "answer is" and the like, its last paragraph, line and bold words."""
    end = conclusion[-_STATEMENT_CHARS:].strip()
    found = [end[match.end() :] for match in islice(_last(_STATEMENT, end), 2)]
    found += [rest.partition("\n")[0] for rest in found]
    found += [end.rpartition("\n\n")[2], end.rpartition("\n")[2]]
    found += [match[1] for match in islice(_last(_BOLD, end), 1)]
    bare = [text.strip(_AROUND) for text in found]
    bare += [text[1:-1] for text in bare if text[:1] + text[-1:] in _BRACKETS]
    return [text for text in dict.fromkeys(bare) if text]


_STATEMENT_CHARS = 4096
_STATEMENT = re.compile(
    r"(?:answer|result|solution|conclusion|答案|结果|结论)\**\s{0,4}"
    r"(?:(?:is|are|as follows|为|是|如下)\**\s{0,4})?[:：]?\s{0,4}",
    re.IGNORECASE,
)
_AROUND = " \t\r\n.。*"
_BRACKETS = ("[]", "()", "{}")
_BOLD = re.compile(r"\*\*([^*]{1,200})\*\*")


def _last(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return reversed(list(pattern.finditer(text)))


def stands_outside(conclusion: str, asked: AskedFormat, solutions: frozenset[str], prompt: str) -> bool:
    """Whether a stored solution stands in the text after the thinking, outside the asked blocks.

    Only one that is long enough not to be there by chance, and does not stand in the prompt.
    """
    telling = [solution for solution in solutions if len(solution) >= _TELLING_CHARS]
    if not telling:
        return False
    pieces, end = [], 0
    for span in asked.block.spans(conclusion):
        pieces.append(conclusion[end : span.start])
        end = span.end
    outside = asked.loosen("\n\0\n".join([*pieces, conclusion[end:]])[-_OUTSIDE_CHARS:])
    found = [solution for solution in telling if solution in outside]
    return bool(found) and not any(solution in asked.loosen(prompt) for solution in found)


_TELLING_CHARS = 12
_OUTSIDE_CHARS = 64 * 1024
