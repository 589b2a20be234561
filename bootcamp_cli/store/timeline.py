"""When the answers of a run came: `timeline.jsonl`, counts by stretches of time (see `stretches`)."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from bootcamp_cli.store.atomic import Check
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.stretches import (
    Count,
    StretchFile,
    StretchOfTime,
    longest_s,
    read_stretches,
    thinned,
    write_stretches,
)
from bootcamp_cli.types import MAX_LEN, FailureRecord, Record

_LEAST_S = 10
_MOST_STRETCHES = 1000
_MAX_BYTES = 1 << 20


class Stretch(StretchOfTime, kw_only=True):
    """What ended in a stretch: answers, failures, the answers' tokens.

    `latency_s` is the sum of the answers' latencies.
    """

    answers: Count = 0
    failures: Count = 0
    tokens: Count = 0
    latency_s: Annotated[float, Meta(ge=0, le=1e18)] = 0.0


def read_timeline(run_dir: RunDir) -> list[Stretch]:
    """The stretches of a run in which something ended, in order; empty where nothing tells."""
    found = read_stretches(run_dir.timeline, Stretch, max_bytes=_MAX_BYTES)
    return _merged(found, longest_s(found, least=_LEAST_S))


def merge_timelines(sources: Iterable[RunDir], target: RunDir) -> None:
    """Write a timeline of several runs that went on side by side, or one after the other; none where none has one."""
    found = [stretch for source in sources for stretch in read_timeline(source)]
    if found:
        stretches = thinned(found, _merged, longest_s(found, least=_LEAST_S), most=_MOST_STRETCHES)
        write_stretches(target.timeline, stretches)


class Timeline:
    """Counts what ends in a run, and writes it down every few seconds."""

    def __init__(self, run_dir: RunDir, check: Check, clock: Callable[[], float] = time.time) -> None:
        self._file = StretchFile(run_dir.timeline, check)
        self._clock = clock
        self._stretches = read_timeline(run_dir)
        self._seconds = longest_s(self._stretches, least=_LEAST_S)
        self._saved = -math.inf

    def add(self, records: Sequence[Record], failures: Sequence[FailureRecord]) -> None:
        """Count answers and failures that have just ended; writes where the last time was some seconds ago."""
        if not records and not failures:
            return
        now = self._clock()
        stretch = self._at(max(0, int(now)))
        stretch.answers += len(records)
        stretch.failures += len(failures)
        stretch.tokens += sum(record.output_len for record in records if record.output_len <= MAX_LEN)
        stretch.latency_s += math.fsum(record.latency_s for record in records if math.isfinite(record.latency_s))
        self._file.is_stale = True
        if not 0 <= now - self._saved < _LEAST_S:
            self.save()

    def save(self) -> None:
        """Write what was counted; where the disk refuses, it is kept for the next time."""
        self._saved = self._clock()
        self._file.save(self._stretches)

    def _at(self, now: int) -> Stretch:
        """The stretch of a time, made where there is none."""
        start = now - now % self._seconds
        if not self._stretches or self._stretches[-1].start != start:
            self._stretches.append(Stretch(start=start, seconds=self._seconds))
            if len(self._stretches) > _MOST_STRETCHES:
                self._stretches = thinned(self._stretches, _merged, 2 * self._seconds, most=_MOST_STRETCHES)
                self._seconds = self._stretches[-1].seconds
        return self._stretches[-1]


def _merged(stretches: Iterable[Stretch], seconds: int) -> list[Stretch]:
    """The stretches put together to some of one length."""
    by_start: dict[int, Stretch] = {}
    for stretch in stretches:
        start = stretch.start - stretch.start % seconds
        total = by_start.setdefault(start, Stretch(start=start, seconds=seconds))
        total.answers += stretch.answers
        total.failures += stretch.failures
        total.tokens += stretch.tokens
        total.latency_s += stretch.latency_s
    return [by_start[start] for start in sorted(by_start)]
