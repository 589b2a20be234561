"""What a demo server is configured to do: how its model answers, and which of its requests fail."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.demo.model import FLAWS, OTHER_BOOTCAMPS, DemoModel, Flaw, chance
from bootcamp_cli.errors import SettingsError

FaultStatus = Literal[429, 500]

_STATUSES: dict[str, FaultStatus] = {"429": 429, "500": 500}
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_NOTATION = "write STATUS[:PROBABILITY][:retry-after=SECONDS], such as 500:0.02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The share of completion requests that is answered with an error; `retry_after_s` becomes a header."""

    status: FaultStatus
    probability: float = 1.0
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """A demo server: what it knows, how long its answers are and take, and how often it fails.

    `port` 0 takes a free one. `latency_s` and `n_tokens` are means over the prompts; without `n_tokens`, answers are as
    long as the model makes them. `max_model_len` is listed and enforced as vLLM does it. `skill` is the share of right
    answers, the same for every bootcamp; `losses` lower it by family, `flaws` are shares of all answers (see
    `DemoModel`).

    Raises:
        SettingsError: a value is out of range.
    """

    test_dir: Path | None = None
    port: int = 0
    api_key: str | None = field(default=None, repr=False)
    max_model_len: int | None = None
    latency_s: float = 0.0
    n_tokens: int | None = None
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    skill: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    flaws: Mapping[Flaw, float] = field(default_factory=dict)

    @property
    def model(self) -> DemoModel:
        """The model that answers."""
        skills = {} if self.skill is None else {OTHER_BOOTCAMPS: self.skill}
        return DemoModel(seed=self.seed, skills=skills, n_tokens=self.n_tokens, losses=self.losses, flaws=self.flaws)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise SettingsError(f"port: must be between 0 and 65535, got {self.port}")
        if self.api_key is not None and not _VISIBLE_ASCII.fullmatch(self.api_key):
            raise SettingsError("api_key: must consist of visible ASCII characters, without spaces")
        if not 0 <= self.latency_s < float("inf"):
            raise SettingsError(f"latency: must be at least 0 seconds, got {self.latency_s}")
        if self.n_tokens is not None and self.n_tokens < 1:
            raise SettingsError(f"tokens: must be at least 1, got {self.n_tokens}")
        if self.max_model_len is not None and self.max_model_len < 1:
            raise SettingsError(f"max_model_len: must be at least 1, got {self.max_model_len}")
        if self.skill is not None and not 0 <= self.skill <= 1:
            raise SettingsError(f"skill: must be between 0 and 1, got {self.skill}")
        if sum(self.flaws.values()) > 1 + 1e-9:
            raise SettingsError(f"flaw: the shares must add up to 1 at most, got {sum(self.flaws.values()):g}")


def parse_fault(spec: str) -> Fault:
    """Read `STATUS[:PROBABILITY][:retry-after=SECONDS]`: `500:0.02`, `429:0.02:retry-after=0.1`.

    Raises:
        SettingsError: the notation is wrong, or the status is neither 429 nor 500.
    """
    name, *parts = spec.split(":")
    if name not in _STATUSES:
        raise SettingsError(f"fault: {spec!r}: the status must be one of {', '.join(_STATUSES)}", hint=_NOTATION)
    probability = 1.0
    if parts and "=" not in parts[0]:
        probability = _number("fault", spec, "the probability", parts.pop(0), most=1)
    retry_after_s = None
    for part in parts:
        key, _, value = part.partition("=")
        if key != "retry-after":
            raise SettingsError(f"fault: {spec!r}: {part!r} has no meaning here", hint=_NOTATION)
        # a header takes neither an exponent nor endless digits
        retry_after_s = _number("fault", spec, "retry-after", value, most=10**9)
    return Fault(status=_STATUSES[name], probability=probability, retry_after_s=retry_after_s)


def parse_loss(spec: str) -> tuple[str, float]:
    """Read `FAMILY:SHARE`: `kor_logic:0.15`.

    Raises:
        SettingsError: the notation is wrong, or no built-in bootcamp belongs to such a family.
    """
    family, _, share = spec.partition(":")
    families = sorted({entry.family for entry in CATALOG.values()})
    if family not in families:
        hint = "write FAMILY:SHARE, such as kor_logic:0.15"
        raise SettingsError(f"loss: {spec!r}: the family must be one of {', '.join(families)}", hint=hint)
    return family, _number("loss", spec, "the share", share, most=1)


def parse_flaw(spec: str) -> tuple[Flaw, float]:
    """Read `KIND:SHARE`: `other_format:0.1`.

    Raises:
        SettingsError: the notation is wrong, or there is no such kind.
    """
    name, _, share = spec.partition(":")
    for flaw in FLAWS:
        if flaw == name:
            return flaw, _number("flaw", spec, "the share", share, most=1)
    hint = "write KIND:SHARE, such as other_format:0.1"
    raise SettingsError(f"flaw: {spec!r}: the kind must be one of {', '.join(FLAWS)}", hint=hint)


def choose_fault(faults: Sequence[Fault], prompt: str, n_attempts: int, *, seed: int) -> Fault | None:
    """Decide whether a request fails, and how; `n_attempts` were made for its prompt (a digest) before.

    The draw depends only on the prompt and the attempt, so the order in which prompts arrive changes nothing, and a
    prompt that failed is drawn anew. The shares of several faults add up.
    """
    draw = chance(seed, "fault", "completions", prompt, n_attempts)
    share = 0.0
    for fault in faults:
        share += fault.probability
        if draw < share:
            return fault
    return None


def _number(option: str, spec: str, name: str, text: str, *, most: float) -> float:
    if re.fullmatch(r"\d{1,10}(\.\d{1,9})?|\.\d{1,9}", text, re.ASCII) and float(text) <= most:
        return float(text)
    raise SettingsError(f"{option}: {spec!r}: {name} must be a number between 0 and {most:g}, got {text!r}")
