"""The demo's "model": a right, wrong or unfinished answer to a prompt, always the same for the same prompt."""

import math
import re
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from bootcamp_cli.bootcamps.registry import CATALOG, BuiltinBootcamp
from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.bootcamps.scoring import CheckVerifier, score
from bootcamp_cli.demo.chance import chance
from bootcamp_cli.demo.config import OTHER_BOOTCAMPS, DemoConfig
from bootcamp_cli.demo.samples import KnownSample

FinishReason = Literal["stop", "length"]

THINK_END = "</think>"

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


def generate(config: DemoConfig, prompt: str, sample: KnownSample | None) -> Generated:
    """Answer a prompt, given by its digest, as well as the skill for its bootcamp has it.

    CPU-bound for some milliseconds where a puzzle has to be solved. A row's own `answer` is given word for word.
    """
    if sample is not None and sample.answer is not None:
        return Generated(text=sample.answer, finish_reason="stop")
    data_source = sample.data_source if sample else ""
    skill = _skill(config, data_source)
    random = Random(f"{config.seed} {prompt}")  # noqa: S311 - puzzles, not secrets
    thoughts = _thoughts(random, n=4 + int(24 * (1.2 - skill) * random.random()))
    if random.random() >= skill:
        fate = random.random()
        if fate < 0.25:
            return Generated(text=f"{thoughts} {_thoughts(random, n=30)} So the next", finish_reason="length")
        answer = _NO_ANSWER if fate < 0.35 else _wrong_answer(sample, random)
    else:
        answer = _right_answer(sample)
    return Generated(text=f"{thoughts}\n{THINK_END}\n\nHere is my answer.\n\n{answer}", finish_reason="stop")


def latency_s(config: DemoConfig, prompt: str) -> float:
    """How long the answer to a prompt takes, in seconds."""
    if config.latency_shape == "fixed" or not config.latency_s:
        return config.latency_s
    return -config.latency_s * math.log(1 - chance(config.seed, "latency", prompt))


def _skill(config: DemoConfig, data_source: str) -> float:
    if data_source in config.skills:
        return config.skills[data_source]
    if OTHER_BOOTCAMPS in config.skills:
        return config.skills[OTHER_BOOTCAMPS]
    return 0.3 + 0.65 * chance("skill", data_source)


def _thoughts(random: Random, *, n: int) -> str:
    return " ".join(random.choices(_THOUGHTS, k=n))


def _right_answer(sample: KnownSample | None) -> str:
    if sample is None or sample.data_source not in CATALOG:
        return _NO_ANSWER
    return _solved(load(sample.data_source), sample.truth()) or _NO_ANSWER


def _wrong_answer(sample: KnownSample | None, random: Random) -> str:
    """The right answer with a digit or letter changed, such that it does not score in full."""
    answer = _right_answer(sample)
    if sample is None or answer == _NO_ANSWER:
        return answer
    bootcamp = load(sample.data_source)
    verifier = CheckVerifier(extract_output=bootcamp.extract_output, check=bootcamp.check)
    for _ in range(8):
        answer = _mutated(answer, random)
        if score(verifier, answer, sample.truth()).score != 1:
            return answer
    return _NO_ANSWER


def _solved(bootcamp: BuiltinBootcamp, ground_truth: Any) -> str | None:
    try:
        return bootcamp.solve(ground_truth)
    except Exception:  # noqa: BLE001 - a test dir may hold ground truths that are none: the demo answers all the same
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
