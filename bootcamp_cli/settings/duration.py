"""Durations as people write them: `90s`, `10m`, `1h30m`, `250ms`, or a bare number in a unit of the parameter's own."""

import math
import re

from bootcamp_cli.settings.param import BareUnit

LONGEST_S = 366 * 24 * 3600.0
"""No duration of a run is longer; clocks and deadlines can hold it."""

_UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_PART = re.compile(rf"({_NUMBER})\s*(ms|[smhd])\s*")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_BARE = re.compile(rf"[+-]?{_NUMBER}")


def parse_duration(text: str, bare_unit: BareUnit) -> float:
    """The duration in seconds.

    Raises:
        ValueError: the text is no duration; units must go from large to small, each at most once.
    """
    text = text.strip().lower()
    if _BARE.fullmatch(text):
        return seconds_of(float(text), bare_unit)
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a duration")
    parts = _PART.findall(text)
    sizes = [_UNIT_MS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError("units out of order")
    whole_ms = sum(int(number) * size for (number, _), size in zip(parts, sizes, strict=True) if number.isdecimal())
    rest_s = sum(
        float(number) * (size / 1000) for (number, _), size in zip(parts, sizes, strict=True) if not number.isdecimal()
    )
    return whole_ms / 1000 + rest_s


def seconds_of(number: float, bare_unit: BareUnit) -> float:
    """A bare number of milliseconds or seconds in seconds."""
    return number / 1000 if bare_unit == "ms" else float(number)


def duration_number(seconds: float, bare_unit: BareUnit) -> int | float:
    """A duration as the bare number that stands for it, without a fraction where there is none."""
    if bare_unit == "ms":
        whole_ms = round(seconds * 1000)
        return whole_ms if whole_ms / 1000 == seconds else seconds * 1000
    return int(seconds) if math.isfinite(seconds) and seconds == int(seconds) else seconds


def format_duration(seconds: float) -> str:
    """A duration in its units, such that `parse_duration` gives the same number back: `5400.0` -> `1h30m`."""
    whole_ms = round(seconds * 1000)
    if whole_ms / 1000 != seconds:
        return f"{seconds!r}s"
    if not whole_ms:
        return "0s"
    text = ""
    for unit in ("h", "m", "s", "ms"):
        count, whole_ms = divmod(whole_ms, _UNIT_MS[unit])
        text += f"{count}{unit}" if count else ""
    return text
