"""The load of the servers of a run: `server_metrics.jsonl`, by stretches of time (see `stretches`) and endpoint."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from bootcamp_cli.store.atomic import Check
from bootcamp_cli.store.endpoints import endpoint_name
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.stretches import StretchFile, StretchOfTime, longest_s, read_stretches, thinned, write_stretches

LEAST_S = 15
_MOST_LOADS = 8000
_MAX_BYTES = 4 << 20

_Number = Annotated[float, Meta(ge=0, le=1e18)]


class Load(StretchOfTime, kw_only=True, omit_defaults=True):
    """The load of an endpoint in a stretch of time, of `n` times that it was asked.

    `running` and `waiting` are means, `least_waiting` the smallest number that waited, `cache` is the fullest share of
    the cache, `preemptions` are those that came within the stretch. None is what the server does not tell.
    """

    endpoint: str
    n: Annotated[int, Meta(ge=1, le=1 << 40)] = 1
    running: _Number | None = None
    waiting: _Number | None = None
    least_waiting: _Number | None = None
    cache: Annotated[float, Meta(ge=0, le=1)] | None = None
    preemptions: _Number | None = None


def read_loads(run_dir: RunDir) -> list[Load]:
    """The loads of a run in the order of time, then endpoint; empty where nothing tells."""
    read = read_stretches(run_dir.server_metrics, Load, max_bytes=_MAX_BYTES)
    named = ((load, endpoint_name(load.endpoint)) for load in read)
    found = [replace(load, endpoint=name) for load, name in named if name is not None]
    return _merged(found, longest_s(found, least=LEAST_S))


def merge_loads(sources: Iterable[RunDir], target: RunDir) -> None:
    """Write the loads of several runs, as the servers told them to each; no file where none has one."""
    found = [load for source in sources for load in read_loads(source)]
    if found:
        write_stretches(target.server_metrics, _thinned(found))


class LoadLog:
    """Takes the loads of a run as they come and writes them down."""

    def __init__(self, run_dir: RunDir, check: Check, clock: Callable[[], float] = time.time) -> None:
        self._file = StretchFile(run_dir.server_metrics, check)
        self._clock = clock
        self._loads = read_loads(run_dir)

    def add(self, loads: Iterable[Load]) -> None:
        """Take what servers told just now; `start` is set here."""
        start = max(0, int(self._clock()))
        self._loads = _thinned([*self._loads, *(replace(load, start=start) for load in loads)])
        self._file.is_stale = True

    def save(self) -> None:
        """Write everything; where the disk refuses, it is kept for the next time."""
        self._file.save(self._loads)


def _thinned(loads: list[Load]) -> list[Load]:
    return thinned(loads, _merged, longest_s(loads, least=LEAST_S), most=_MOST_LOADS)


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
