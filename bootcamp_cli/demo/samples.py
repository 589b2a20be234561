"""The samples of a test dir as the demo's "model" knows them, found again in the text of a request."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bootcamp_cli.bootcamps.registry import CATALOG

_START_CHARS = 24

_WRAPPERS = (
    # longest opening first; the last closing ends the text, since a prompt may quote the markers themselves
    ("<|im_start|>user\n", "<|im_end|>"),
    ("<｜User｜>", "<｜Assistant｜>"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSample:
    """A row's data source and, where a built-in bootcamp can use it, its ground truth as JSON bytes.

    `others` are the ground truths of later rows with the same prompt; those of all of them, first to last, are `turns`
    where one differs. `answer` is what a row of a test dir made for the demo wants said, word for word.
    """

    data_source: str
    ground_truth: bytes | None
    answer: str | None = None
    others: tuple[bytes | None, ...] = ()

    @property
    def turns(self) -> tuple[bytes | None, ...]:
        """The ground truths in row order, where the rows with this prompt differ; else the only one."""
        every = (self.ground_truth, *self.others)
        return every if len(set(every)) > 1 else every[:1]

    def at_turn(self, turn: int) -> "KnownSample":
        """The sample of the row that the request number `turn` (from 0) for this prompt is taken for."""
        turns = self.turns
        return KnownSample(data_source=self.data_source, ground_truth=turns[turn % len(turns)])

    def truth(self) -> Any:
        """The ground truth, a fresh copy each time."""
        return None if self.ground_truth is None else json.loads(self.ground_truth)


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """Samples by the digest of their prompt; prompts themselves are not kept.

    Of rows with the same prompt, the first in file name and row order stands; the others only have their turns.
    """

    _samples: dict[str, KnownSample] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    # how known prompts begin, and which lengths they have: where to look in a text around a prompt
    _starts: dict[str, set[int]] = field(default_factory=dict)

    def find(self, text: str) -> tuple[str, KnownSample | None]:
        """Find the sample that a request's text asks about.

        Gives the digest of its prompt and the sample: of the whole text, of what the well-known templates wrap, or of
        the longest known prompt anywhere in it. An unknown text has the digest of the text itself, and no sample.
        """
        own = digest(text)
        if own in self._samples:
            return own, self._samples[own]
        for opening, closing in _WRAPPERS:
            begin, end = text.find(opening), text.rfind(closing)
            if 0 <= begin < end:
                inner = digest(text[begin + len(opening) : end])
                if inner in self._samples:
                    return inner, self._samples[inner]
        return next(((found, self._samples[found]) for found in self._contained(text)), (own, None))

    def number(self, prompt: str) -> int | None:
        """The place of a prompt, given by its digest, among the known ones, from 0; None where it is not known."""
        return self._numbers.get(prompt)

    def _contained(self, text: str) -> Iterator[str]:
        sizes = {len(start) for start in self._starts}
        candidates = sorted(
            (-length, begin)
            for begin in range(len(text))
            for size in sizes
            for length in self._starts.get(text[begin : begin + size], ())
            if begin + length <= len(text)
        )
        for negative_length, begin in candidates:
            found = digest(text[begin : begin - negative_length])
            if found in self._samples:
                yield found

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, prompt: str, data_source: str, ground_truth: Any, answer: str | None = None) -> None:
        """Make a prompt known, or one more ground truth of a prompt that is."""
        solvable = data_source in CATALOG
        kept = json.dumps(ground_truth).encode() if solvable else None
        key = digest(prompt)
        if key not in self._samples:
            self._samples[key] = KnownSample(data_source=data_source, ground_truth=kept, answer=answer)
            self._numbers[key] = len(self._numbers)
            self._starts.setdefault(prompt[:_START_CHARS], set()).add(len(prompt))
        else:
            known = self._samples[key]
            self._samples[key] = replace(known, others=(*known.others, kept))


def load_samples(test_dir: Path | None) -> SampleIndex:
    """Index the `*.jsonl` files of a directory; lines that are no samples are passed over. None: an empty index.

    Raises:
        NotADirectoryError: there is no such directory.
    """
    if test_dir is not None and not test_dir.is_dir():
        raise NotADirectoryError(f"test dir {test_dir}: no such directory")
    index = SampleIndex()
    for path in sorted(test_dir.glob("*.jsonl")) if test_dir else ():
        with path.open("rb") as lines:
            for line in lines:
                match row := _row(line):
                    case {"prompt": str(prompt), "data_source": str(data_source), "ground_truth": ground_truth}:
                        answer = row.get("answer")
                        index.add(prompt, data_source, ground_truth, answer if isinstance(answer, str) else None)
                    case _:
                        continue
    return index


def digest(text: str) -> str:
    """The short name of a prompt in statistics and seeded decisions."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _row(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
