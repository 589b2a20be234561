"""The scripted faults of the fault server: their short notation, and which of them a request meets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from bootcamp_cli.demo.model import chance
from bootcamp_cli.errors import SettingsError

Route = Literal["completions", "models"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_COUNTS = ("first", "after", "attempts", "sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong with a share of the requests of one route.

    `name` is a row of the table in `menu.py`. `probability` is per request. `first` limits the fault to the
    first N requests of the route, `after` spares the first N, `attempts` limits it to the first N of every prompt,
    `sample` to one prompt: that of the N-th sample of the test dir, from 0, prompts that come again not counted.
    `options` are numbers that the behaviour reads, seconds for durations.
    """

    name: str
    probability: float = 1.0
    on: Route = "completions"
    first: int | None = None
    after: int = 0
    attempts: int | None = None
    sample: int | None = None
    options: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        """The notation that `parse_fault` reads."""
        parts = [self.name, repr(self.probability)]
        if self.on != "completions":
            parts.append(f"on={self.on}")
        if self.after:
            parts.append(f"after={self.after}")
        parts += [
            f"{key}={value}" for key in ("first", "attempts", "sample") if (value := getattr(self, key)) is not None
        ]
        parts += [f"{key}={value!r}" for key, value in self.options]
        return ":".join(parts)

    def option(self, name: str, default: float) -> float:
        """The number given for an option, or the default."""
        return dict(self.options).get(name, default)


def parse_fault(spec: str) -> Fault:
    """Read `NAME[:PROBABILITY][:KEY=NUMBER ...]`: `500:0.05`, `429:0.05:retry-after=0.1`, `503:first=20`.

    Raises:
        SettingsError: the notation is wrong; whether the name exists, the table says.
    """
    name, *parts = spec.split(":")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"fault: {spec!r}: {name!r} is no name", hint="write NAME[:PROBABILITY][:KEY=NUMBER ...]")
    probability = 1.0
    if parts and "=" not in parts[0]:
        probability = _number(spec, "probability", parts.pop(0))
    if not 0 <= probability <= 1:
        raise SettingsError(f"fault: {spec!r}: the probability must be between 0 and 1")
    route: Route = "completions"
    counts: dict[str, int] = {}
    options: dict[str, float] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise SettingsError(f"fault: {spec!r}: {part!r} is not of the form KEY=NUMBER")
        if key == "on":
            route = _route(spec, value)
        elif key in _COUNTS:
            counts[key] = _count(spec, key, value)
        else:
            options[key] = _number(spec, key, value)
    return Fault(
        name=name,
        probability=probability,
        on=route,
        first=counts.get("first"),
        after=counts.get("after", 0),
        attempts=counts.get("attempts"),
        sample=counts.get("sample"),
        options=tuple(options.items()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request as it arrives, which may meet a fault.

    `prompt` is the digest of its prompt, `number` the place of that among the samples where it is known. `n_earlier`
    counts the route's requests before this one, `n_attempts` those with the same prompt.
    """

    on: Route
    n_earlier: int
    n_attempts: int
    prompt: str = ""
    number: int | None = None


def choose(faults: Sequence[Fault], arrival: Arrival, *, seed: int) -> Fault | None:
    """Decide which fault a request meets, if any.

    The draw depends on the prompt and its attempt alone, so the order in which prompts arrive changes nothing, and a
    prompt that failed draws anew. The shares of several faults add up.
    """
    draw: float | None = None
    share = 0.0
    for fault in faults:
        if not _applies(fault, arrival):
            continue
        if draw is None:
            draw = chance(seed, "fault", arrival.on, arrival.prompt, arrival.n_attempts)
        share += fault.probability
        if draw < share:
            return fault
    return None


def _applies(fault: Fault, arrival: Arrival) -> bool:
    return (
        fault.on == arrival.on
        and arrival.n_earlier >= fault.after
        and (fault.first is None or arrival.n_earlier < fault.first)
        and (fault.attempts is None or arrival.n_attempts < fault.attempts)
        and (fault.sample is None or arrival.number == fault.sample)
    )


def _route(spec: str, value: str) -> Route:
    if value not in get_args(Route):
        raise SettingsError(f"fault: {spec!r}: on: must be one of {', '.join(get_args(Route))}, got {value!r}")
    return cast("Route", value)


def _count(spec: str, key: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise SettingsError(f"fault: {spec!r}: {key}: must be a whole number, got {value!r}")
    return int(value)


def _number(spec: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise SettingsError(f"fault: {spec!r}: {key}: must be a number of at least 0, got {value!r}")
    return number
