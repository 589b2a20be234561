"""A few samples of a run to look at: chosen while it is read, their texts cut, whatever the size of the run.

Of each data source in each file some answers are kept by what became of them. Which ones depends on row and repeat
only: other runs of the same questions show the same ones where they can, and the order of the records does not matter.
"""

from bisect import insort
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import msgspec
from msgspec import Raw, UnsetType

from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.analysis.counting import AnswerHead, outcome_of
from bootcamp_cli.analysis.summary import GroupSummary
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import SampleKey, decode

KEPT: Mapping[str, int] = {
    "correct": 2,
    "wrong": 3,
    "truncated": 2,
    "empty": 1,
    "filtered": 1,
    "without_verdict": 2,
}
"""How many samples are kept of each data source in each file, by what became of them."""

MAX_GROUPS = 500
"""How many data sources in files have samples kept; there are no more in any known test set."""

_MAX_CHARS = 8000
"""How many characters are kept of a text."""

_THINK, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutText:
    """A text, or its beginning and end with the number of characters that stood between them."""

    head: str = ""
    n_left_out: int = 0
    tail: str = ""

    def __len__(self) -> int:
        return len(self.head) + len(self.tail)

    def cut(self, max_chars: int) -> "CutText":
        """The text with at most so many characters: of what is cut a third of them from its beginning."""
        if len(self) <= max_chars:
            return self
        text = self.head + self.tail
        n_head = max_chars // 3
        n_tail = max_chars - n_head
        n_left_out = self.n_left_out + len(text) - max_chars
        return CutText(head=text[:n_head], n_left_out=n_left_out, tail=text[len(text) - n_tail :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A sample to look at.

    `outcome` is a part of `Account`. `thinking` is separate reasoning, or what stands in the output up to `</think>`;
    ground truth and what was extracted are JSON, as written. `has_row`: the record names its row; else `key.row` is its
    place in the file.
    """

    key: SampleKey
    has_row: bool
    data_source: str | None
    outcome: str
    score: float | None
    failure: str | None
    output_len: int | None
    finish_reason: str | None
    prompt: CutText
    thinking: CutText
    output: CutText
    ground_truth: CutText
    extracted: CutText

    def cut(self, max_chars: int) -> "Excerpt":
        """The sample with at most so many characters of each text."""
        return replace(self, **{name: getattr(self, name).cut(max_chars) for name in TEXTS})


TEXTS = ("prompt", "thinking", "output", "ground_truth", "extracted")
"""The texts of an excerpt."""


@dataclass(slots=True, kw_only=True)
class ExcerptChooser:
    """An observer of `read_run` that keeps a few samples of each data source in each file."""

    is_full: bool = False
    _kept: dict[tuple[str, str | None], dict[str, list[tuple[int, int, Excerpt]]]] = field(default_factory=dict)

    def add(self, file: str, number: int, head: AnswerHead, right_at: float) -> None:
        """Keep an answer if it comes before those that are kept, in an order that spreads over the rows."""
        group = self._kept.get((file, head.data_source))
        if group is None:
            if len(self._kept) >= MAX_GROUPS:
                self.is_full = True
                return
            group = self._kept[file, head.data_source] = {name: [] for name in KEPT}
        outcome = outcome_of(head, right_at)
        kept, unverified = group[outcome], group["without_verdict"]
        if unverified and head.row is not None:
            key = SampleKey(file, head.row, head.repeat)
            unverified[:] = [entry for entry in unverified if entry[2].key != key]
        rank = _rank(number if head.row is None else head.row, head.repeat)
        if len(kept) >= KEPT[outcome]:
            if kept[-1][0] <= rank:
                return
            kept.pop()
        insort(kept, (rank, number, _excerpt(file, number, head, outcome)), key=lambda entry: entry[:2])

    def of(self, group: GroupSummary) -> list[Excerpt]:
        """The samples of a row of the summary: wrong ones first, each kind by row and repeat."""
        found = self._kept.get((group.file, group.data_source)) or self._kept.get((group.file, None), {})
        order = ("wrong", "truncated", "empty", "filtered", "without_verdict", "correct")
        return [
            excerpt
            for outcome in order
            for excerpt in sorted((entry[2] for entry in found.get(outcome, ())), key=lambda excerpt: excerpt.key)
        ]


def _rank(row: int, repeat: int) -> int:
    """A number that looks random, of which the smallest belong to rows that are spread over a file (Fibonacci's)."""
    return ((row + 1) * 2654435761 + repeat * 1640531527) % 2**32


def _excerpt(file: str, number: int, head: AnswerHead, outcome: str) -> Excerpt:
    output, reasoning = _text(head.output), _text(head.reasoning_content)
    thinking, said = reasoning, output
    if not reasoning:
        thinking, said = _thinking(output)
    finish_reason = head.finish_reason
    return Excerpt(
        key=SampleKey(file, number - 1 if head.row is None else head.row, head.repeat),
        has_row=head.row is not None,
        data_source=head.data_source,
        outcome=outcome,
        score=head.score if isinstance(head.score, float) else None,
        failure=head.failure,
        output_len=head.output_len,
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        prompt=_cut(_text(head.prompt)),
        thinking=_cut(thinking),
        output=_cut(said),
        ground_truth=_cut(_json(head.ground_truth)),
        extracted=_cut(_json(head.extracted_output)),
    )


def _thinking(output: str) -> tuple[str, str]:
    """The part of an output up to the end of its thinking, and the rest; all of it is thinking that has no end."""
    thinking, tag, rest = output.rpartition(_THOUGHT)
    if tag:
        return thinking.strip().removeprefix(_THINK).strip("\n"), rest.strip("\n")
    if output.lstrip().startswith(_THINK):
        return output.lstrip().removeprefix(_THINK).strip("\n"), ""
    return "", output


def _cut(text: str) -> CutText:
    return CutText(head=text).cut(_MAX_CHARS)


def _text(raw: Raw | UnsetType) -> str:
    """A text of a record; JSON where it is none."""
    if not isinstance(raw, Raw) or bytes(raw) in (b"", b"null"):
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except ValueError:
        pass
    try:
        value = decode(bytes(raw))
    except (ValueError, RecursionError):
        return _json(raw)
    return value if isinstance(value, str) else _json(raw)


def _json(raw: Raw | UnsetType) -> str:
    return bytes(raw).decode(errors="backslashreplace") if isinstance(raw, Raw) else ""


def find_excerpts(
    run_dir: RunDir, questions: Collection[tuple[str, int]], *, repeats: slice = slice(None), right_at: float = 1.0
) -> dict[tuple[str, int], list[Excerpt]]:
    """The answers to some questions, given by file and row, in the order of their repeats.

    `repeats` chooses from the repeats of the run. Records without a row count by their place in the file.

    Raises:
        RunDirectoryError: the run directory cannot be read.
    """
    finder = _Finder(wanted=frozenset(questions), repeats=repeats)
    read_run(run_dir, right_at=right_at, observer=finder)
    return {question: sorted(found, key=lambda excerpt: excerpt.key) for question, found in finder.found.items()}


@dataclass(slots=True, kw_only=True)
class _Finder:
    wanted: frozenset[tuple[str, int]]
    repeats: slice
    found: dict[tuple[str, int], list[Excerpt]] = field(default_factory=dict)

    def add(self, file: str, number: int, head: AnswerHead, right_at: float) -> None:
        """Keep an answer to a question that is wanted."""
        question = (file, number - 1 if head.row is None else head.row)
        if question in self.wanted and head.repeat in range(10**9)[self.repeats]:
            found = _excerpt(file, number, head, outcome_of(head, right_at))
            self.found[question] = [*(each for each in self.found.get(question, ()) if each.key != found.key), found]
