"""The load of the servers of a run over time: `server_metrics.jsonl`, for pictures of speed and slowness.

No result rests on it: what cannot be read of it is left out, and a power cut may take the last minute. Like the
timeline it holds stretches of time, by endpoint, that are doubled where there are too many.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from bootcamp_cli.errors import DiskError
from bootcamp_cli.store.atomic import Check, replacing
from bootcamp_cli.store.endpoints import endpoint_name
from bootcamp_cli.store.run_dir import RunDir

LEAST_S = 15
_MOST_LOADS = 8000
_MAX_BYTES = 4 << 20

_Count = Annotated[int, Meta(ge=0, le=1 << 60)]
_Number = Annotated[float, Meta(ge=0, le=1e18)]


class Load(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The load of an endpoint in `seconds` seconds from `start` (since 1970), of `n` times that it was asked.

    `running` and `waiting` are means, `least_waiting` the smallest number that waited, `cache` is the fullest share of
    the cache, `preemptions` are those that came within the stretch. None is what the server does not tell.
    """

    start: _Count
    seconds: Annotated[int, Meta(ge=1, le=1 << 40)]
    endpoint: str
    n: Annotated[int, Meta(ge=1, le=1 << 40)] = 1
    running: _Number | None = None
    waiting: _Number | None = None
    least_waiting: _Number | None = None
    cache: Annotated[float, Meta(ge=0, le=1)] | None = None
    preemptions: _Number | None = None


def read_loads(run_dir: RunDir) -> list[Load]:
    """The loads of a run in the order of time, then endpoint; empty where nothing tells."""
    try:
        if not run_dir.server_metrics.is_file():
            return []
        with run_dir.server_metrics.open("rb") as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            load = _decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if (name := endpoint_name(load.endpoint)) is not None:
            found.append(replace(load, endpoint=name))
    return _merged(found, max((load.seconds for load in found), default=LEAST_S))


def merge_loads(sources: Iterable[RunDir], target: RunDir) -> None:
    """Write the loads of several runs, as the servers told them to each; no file where none has one."""
    found = [load for source in sources for load in read_loads(source)]
    loads = _thinned(found, max((load.seconds for load in found), default=LEAST_S))
    if loads:
        with replacing(target.server_metrics) as file:
            file.write(_encoded(loads))


class LoadLog:
    """Takes the loads of a run as they come and writes them down."""

    def __init__(self, run_dir: RunDir, check: Check, clock: Callable[[], float] = time.time) -> None:
        self._path = run_dir.server_metrics
        self._check = check
        self._clock = clock
        self._loads = read_loads(run_dir)
        self._is_new = False

    def add(self, loads: Iterable[Load]) -> None:
        """Take what servers told just now; `start` and `seconds` are set here."""
        seconds = max((load.seconds for load in self._loads), default=LEAST_S)
        start = max(0, int(self._clock()))
        self._loads += [replace(load, start=start, seconds=seconds) for load in loads]
        self._loads = _thinned(self._loads, seconds)
        self._is_new = True

    def save(self) -> None:
        """Write everything; where the disk refuses, it is kept for the next time."""
        if not self._is_new:
            return
        try:
            with replacing(self._path, self._check, durable=False) as file:
                file.write(_encoded(self._loads))
        except DiskError:
            return
        self._is_new = False


def _thinned(loads: Sequence[Load], seconds: int) -> list[Load]:
    """The loads put together so far that the file stays small."""
    while len(merged := _merged(loads, seconds)) > _MOST_LOADS and seconds < 1 << 39:
        seconds *= 2
    return merged[-_MOST_LOADS:]


def _merged(loads: Iterable[Load], seconds: int) -> list[Load]:
    """The loads put together to stretches of one length."""
    by_place: dict[tuple[int, str], Load] = {}
    for load in loads:
        start = load.start - load.start % seconds
        place = start, load.endpoint
        before = by_place.get(place)
        by_place[place] = (
            replace(load, start=start, seconds=seconds) if before is None else _together(before, load, start, seconds)
        )
    return [by_place[place] for place in sorted(by_place)]


def _together(one: Load, other: Load, start: int, seconds: int) -> Load:
    n = one.n + other.n

    def mean(a: float | None, b: float | None) -> float | None:
        return b if a is None else a if b is None else (a * one.n + b * other.n) / n

    least = [each for each in (one.least_waiting, other.least_waiting) if each is not None]
    cache = [each for each in (one.cache, other.cache) if each is not None]
    preemptions = [each for each in (one.preemptions, other.preemptions) if each is not None]
    return Load(
        start=start,
        seconds=seconds,
        endpoint=one.endpoint,
        n=min(n, 1 << 40),
        running=mean(one.running, other.running),
        waiting=mean(one.waiting, other.waiting),
        least_waiting=min(least, default=None),
        cache=max(cache, default=None),
        preemptions=min(math.fsum(preemptions), 1e18) if preemptions else None,
    )


def _encoded(loads: Iterable[Load]) -> bytes:
    return b"".join(_encoder.encode(load) + b"\n" for load in loads)


_decoder = msgspec.json.Decoder(Load)
_encoder = msgspec.json.Encoder()
