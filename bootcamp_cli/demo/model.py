"""The demo's "model": a right, wrong or unfinished answer to a prompt, always the same for the same prompt.

It knows the rows of a test dir, recognises them in the text of a request, and solves them with the built-in bootcamps.
"""

import gzip
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

import anyio

from bootcamp_cli.bootcamps.asked_formats import ANGLE_TAGS, ASKED_FORMATS, BOXED, TAGS, WIDE_BRACKETS
from bootcamp_cli.bootcamps.registry import CATALOG, BuiltinBootcamp, load_builtin
from bootcamp_cli.bootcamps.scoring import CheckVerifier, score
from bootcamp_cli.errors import SettingsError

FinishReason = Literal["stop", "length"]

Flaw = Literal["other_format", "truncated", "empty", "repetition_loop"]
"""What can be wrong with an answer besides its contents, by the name that an audit has for it."""

THINK_END = "</think>"

OTHER_BOOTCAMPS = "*"
"""The key in `skills` for every bootcamp without a key of its own."""

FLAWS: tuple[Flaw, ...] = get_args(Flaw)

_MAX_KNOWN_ANSWERS = 10_000
_N_LOOPS = 24
_OPENING = "Here is my answer."
_NO_ANSWER = "I could not find an answer that I trust."
_MARKERS = re.compile(r"\[/?answer\]|```\w*|\\[a-z]+|<[^>]*>")
_MUTABLE = re.compile(r"[0-9A-Za-z]", re.ASCII)

_THOUGHTS = (
    "Let me read the task once more and write down what is given.",
    "First I look at the part that leaves the fewest possibilities.",
    "If this holds then the next step follows directly.",
    "Wait, that would break one of the rules.",
    "So I go back and try the other case.",
    "That fits so far.",
    "Checking this against every condition in turn, I see no conflict.",
    "The remaining steps are forced.",
    "Let me verify the result from the beginning.",
    "Hmm, I should be careful with the order here.",
    "Another way to see it gives the same result.",
    "Now I only have to put it into the form that was asked for.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """The whole output: thoughts, `</think>`, the answer. Unfinished outputs have neither of the last two."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoModel:
    """How well the model answers, and at what length.

    `skills` are the shares of right answers by data source; without an entry they differ from bootcamp to bootcamp, as
    with a real model. `losses` lower the shares of all bootcamps of a family: some answers that would be right are
    wrong, and nothing else changes. `flaws` are shares of all answers that have a flaw, whatever they would have been.
    `n_tokens` is the mean length of answers in tokens, which are words here; without it, answers have their natural
    length.
    """

    seed: int = 0
    skills: Mapping[str, float] = field(default_factory=dict)
    n_tokens: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    flaws: Mapping[Flaw, float] = field(default_factory=dict)

    def answer(self, prompt: str, sample: "KnownSample | None") -> Generated:
        """Answer a prompt, given by its digest, as well as the skill for its bootcamp allows.

        CPU-bound for a few milliseconds where a puzzle has to be solved. A row's own `answer` is returned word for
        word.
        """
        if sample is not None and sample.answer is not None:
            return Generated(text=sample.answer, finish_reason="stop")
        data_source = sample.data_source if sample else ""
        random, thoughts, is_able = self._begun(prompt, data_source)
        flaw = self.flaw(prompt)
        fate = 1.0 if is_able else random.random()
        match flaw:
            case "empty":
                return Generated(text="", finish_reason="stop")
            case "repetition_loop":
                loop = " ".join([random.choice(_THOUGHTS)] * _N_LOOPS)
                thoughts = f"{self._fitted(thoughts, prompt, n_other=len(loop.split()))} {loop}"
                return Generated(text=thoughts, finish_reason="length")
            case "other_format":
                answer = _in_another_block(sample, random)
            case None if is_able and not self._loses(prompt, data_source):
                answer = _right_answer(sample)
            case None if 0.25 <= fate < 0.35:
                answer = _NO_ANSWER
            case None if fate >= 0.35:
                answer = _wrong_answer(sample, random)
            case _:
                thoughts = f"{thoughts} {_thoughts(random, n=30)} So the next"
                return Generated(text=self._fitted(thoughts, prompt, n_other=0), finish_reason="length")
        ending = f"{THINK_END}\n\n{_OPENING}\n\n{answer}"
        fitted = self._fitted(thoughts, prompt, n_other=len(ending.split()))
        return Generated(text=f"{fitted}\n{ending}", finish_reason="stop")

    def is_right(self, prompt: str, data_source: str) -> bool:
        """Whether the answer to a prompt, given by its digest, is to be right; nothing is solved to know it."""
        _, _, is_able = self._begun(prompt, data_source)
        return is_able and self.flaw(prompt) is None and not self._loses(prompt, data_source)

    def drawn(self, prompt: str, seed: int | None) -> str:
        """The name by which a prompt is answered to a request with a seed: another one in three of ten draws."""
        is_other = seed is not None and chance(self.seed, "draw", prompt, seed) < 0.3
        return f"{prompt} {seed}" if is_other else prompt

    def flaw(self, prompt: str) -> Flaw | None:
        """The flaw of the answer to a prompt, given by its digest; the shares of several add up."""
        if not self.flaws:
            return None
        draw, share = chance(self.seed, "flaw", prompt), 0.0
        for flaw in FLAWS:
            share += self.flaws.get(flaw, 0.0)
            if draw < share:
                return flaw
        return None

    def _begun(self, prompt: str, data_source: str) -> tuple[Random, str, bool]:
        """The random numbers of an answer, how it begins, and whether the skill suffices."""
        skill = self._skill(data_source)
        random = Random(f"{self.seed} {prompt}")  # noqa: S311 - puzzles, not secrets
        thoughts = _thoughts(random, n=4 + int(24 * (1.2 - skill) * random.random()))
        return random, thoughts, random.random() < skill

    def _loses(self, prompt: str, data_source: str) -> bool:
        """Whether an answer for which the skill suffices is lost, so that the share of right ones falls by the loss."""
        entry = CATALOG.get(data_source) if self.losses else None
        loss = self.losses.get(entry.family, 0.0) if entry else 0.0
        return chance(self.seed, "loss", prompt) * self._skill(data_source) < loss

    def latency_s(self, prompt: str, *, mean_s: float) -> float:
        """How long the answer to a prompt takes, in seconds: exponentially distributed over the prompts."""
        if not mean_s:
            return 0.0
        return -mean_s * math.log(1 - chance(self.seed, "latency", prompt))

    def _skill(self, data_source: str) -> float:
        if data_source in self.skills:
            return self.skills[data_source]
        if OTHER_BOOTCAMPS in self.skills:
            return self.skills[OTHER_BOOTCAMPS]
        return 0.3 + 0.65 * chance("skill", data_source)

    def _fitted(self, thoughts: str, prompt: str, *, n_other: int) -> str:
        """Cut or extend the thoughts so that, with `n_other` words, the output gets the intended length.

        That length is drawn for each prompt, between half and one and a half times the mean.
        """
        if self.n_tokens is None:
            return thoughts
        n_words = max(1, round(self.n_tokens * (0.5 + chance(self.seed, "tokens", prompt)))) - n_other
        random = Random(f"{self.seed} tokens {prompt}")  # noqa: S311 - as above
        words = thoughts.split()
        while len(words) < n_words:
            words += random.choice(_THOUGHTS).split()
        return " ".join(words[: max(0, n_words)])


class Answers:
    """A model's answers to the requests of a server: each is thought of once, and puzzles are solved in a thread."""

    def __init__(self, model: DemoModel) -> None:
        self._model = model
        self._known: dict[tuple[str, bytes | None], Generated] = {}
        # one puzzle is solved at a time: more threads would only compete
        self._solver = anyio.CapacityLimiter(1)

    async def to(self, prompt: str, sample: "KnownSample | None") -> Generated:
        """The answer to a prompt; rows that differ in nothing but their ground truth have answers of their own."""
        key = (prompt, sample.ground_truth if sample else None)
        answer = self._known.get(key)
        if answer is None:
            if sample is None or sample.ground_truth is None:
                answer = self._model.answer(prompt, sample)
            else:
                answer = await anyio.to_thread.run_sync(self._model.answer, prompt, sample, limiter=self._solver)
            if len(self._known) >= _MAX_KNOWN_ANSWERS:
                self._known.clear()
            self._known[key] = answer
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSample:
    """A row's data source and, where a built-in bootcamp can use it, its ground truth as JSON bytes.

    `answer` is the answer that a row of a test dir made for the demo prescribes, word for word.
    """

    data_source: str
    ground_truth: bytes | None
    answer: str | None = None

    def truth(self) -> Any:
        """The ground truth, a fresh copy each time."""
        return None if self.ground_truth is None else json.loads(self.ground_truth)


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """Samples by the digest of their prompt; prompts themselves are not kept."""

    _samples: dict[str, KnownSample] = field(default_factory=dict)
    # how known prompts begin, and their lengths: where to look in a text around a prompt
    _starts: dict[str, set[int]] = field(default_factory=dict)

    def find(self, text: str) -> tuple[str, KnownSample | None]:
        """Find the sample that a request's text asks about.

        Returns the digest of its prompt and the sample: for the whole text, for what the well-known templates wrap, or
        for the longest known prompt anywhere in it. An unknown text has the digest of the text itself, and no sample.
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

    def add(self, prompt: str, sample: KnownSample) -> None:
        """Add a prompt; if it occurs again, the first sample counts."""
        key = digest(prompt)
        if key not in self._samples:
            self._samples[key] = sample
            self._starts.setdefault(prompt[:_START_CHARS], set()).add(len(prompt))


_START_CHARS = 24

_WRAPPERS = (
    # longest opening first; the last closing ends the text, since a prompt may quote the markers themselves
    ("<|im_start|>user\n", "<|im_end|>"),
    ("<｜User｜>", "<｜Assistant｜>"),
)


def load_samples(test_dir: Path | None) -> SampleIndex:
    """Index the rows of a test dir by their prompts. None: an empty index.

    Raises:
        SettingsError: there is no such directory.
    """
    index = SampleIndex()
    for prompt, sample in read_samples(test_dir) if test_dir else ():
        index.add(prompt, sample)
    return index


def read_samples(test_dir: Path) -> Iterator[tuple[str, KnownSample]]:
    """The prompts and samples of the `*.jsonl` and `*.jsonl.gz` files of a directory, or of one, by name and row.

    Lines that are not samples are skipped.

    Raises:
        SettingsError: there is no such directory or file.
    """
    is_file = test_dir.is_file() and test_dir.name.endswith((".jsonl", ".jsonl.gz"))
    if not test_dir.is_dir() and not is_file:
        raise SettingsError(
            f"test_dir: {test_dir} is not a directory", hint="give the one that holds the *.jsonl files, or such a file"
        )
    for path in [test_dir] if is_file else sorted((*test_dir.glob("*.jsonl"), *test_dir.glob("*.jsonl.gz"))):
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as lines:
            for line in lines:
                match row := _row(line):
                    case {"prompt": str(prompt), "data_source": str(data_source), "ground_truth": ground_truth}:
                        answer = row.get("answer")
                        yield (
                            prompt,
                            KnownSample(
                                data_source=data_source,
                                ground_truth=json.dumps(ground_truth).encode() if data_source in CATALOG else None,
                                answer=answer if isinstance(answer, str) else None,
                            ),
                        )
                    case _:
                        continue


def digest(text: str) -> str:
    """The short name of a prompt in statistics and seeded decisions."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def chance(*about: object) -> float:
    """A number in [0, 1), always the same for the same arguments, on every machine.

    Decisions that are seeded by their subject do not depend on the order in which they are made.
    """
    drawn = blake2b(repr(about).encode(), digest_size=8).digest()
    # 53 bits are what a float holds: more could round up to 1.0
    return (int.from_bytes(drawn) >> 11) / 2**53


def _row(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _thoughts(random: Random, *, n: int) -> str:
    return " ".join(random.choices(_THOUGHTS, k=n))


def _right_answer(sample: KnownSample | None) -> str:
    if sample is None or sample.data_source not in CATALOG:
        return _NO_ANSWER
    return _solved(load_builtin(sample.data_source), sample.truth()) or _NO_ANSWER


def _in_another_block(sample: KnownSample | None, random: Random) -> str:
    """The contents of the right answer in a block of another kind than asked, of which the verifier reads nothing.

    No answer where there is no such block.
    """
    answer = _right_answer(sample)
    asked = ASKED_FORMATS.get(sample.data_source) if sample else None
    spans = asked.block.spans(answer) if asked else []
    if sample is None or asked is None or not spans:
        return _NO_ANSWER
    bootcamp = load_builtin(sample.data_source)
    verifier = CheckVerifier(extract_output=bootcamp.extract_output, check=bootcamp.check)
    for block in random.sample(_OTHER_BLOCKS, len(_OTHER_BLOCKS)):
        answer = block.wrapped(spans[-1].content)
        verdict = score(verifier, f"{THINK_END}\n\n{_OPENING}\n\n{answer}", sample.truth())
        if verdict.score == 0 and (verdict.extracted is None or asked.is_unread(verdict.extracted)):
            return answer
    return _NO_ANSWER


_OTHER_BLOCKS = (TAGS, ANGLE_TAGS, BOXED, WIDE_BRACKETS)


def _wrong_answer(sample: KnownSample | None, random: Random) -> str:
    """The right answer with a digit or letter changed, so that it does not score in full."""
    answer = _right_answer(sample)
    if sample is None or answer == _NO_ANSWER:
        return answer
    bootcamp = load_builtin(sample.data_source)
    verifier = CheckVerifier(extract_output=bootcamp.extract_output, check=bootcamp.check)
    for _ in range(8):
        answer = _mutated(answer, random)
        if score(verifier, answer, sample.truth()).score != 1:
            return answer
    return _NO_ANSWER


def _solved(bootcamp: BuiltinBootcamp, ground_truth: Any) -> str | None:
    try:
        return bootcamp.solve(ground_truth)
    except Exception:  # noqa: BLE001 - a test dir may hold invalid ground truths: the demo answers all the same
        return None


def _mutated(answer: str, random: Random) -> str:
    markers = {position for marker in _MARKERS.finditer(answer) for position in range(*marker.span())}
    positions = [found.start() for found in _MUTABLE.finditer(answer) if found.start() not in markers]
    if not positions:
        return _NO_ANSWER
    position = random.choice(positions)
    return answer[:position] + _other(answer[position], random) + answer[position + 1 :]


def _other(character: str, random: Random) -> str:
    if character.isdigit():
        return random.choice([digit for digit in "0123456789" if digit != character])
    first = "a" if character.islower() else "A"
    return chr(ord(first) + (ord(character) - ord(first) + random.randrange(1, 26)) % 26)
