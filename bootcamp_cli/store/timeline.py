"""When the answers of a run came: `timeline.jsonl`, counts by stretches of time, for pictures of speed and slowness.

No result rests on it: what cannot be read of it is left out, and a power cut may take the last seconds. Stretches begin
at multiples of their length since 1970 and are doubled where there are too many, so that the file stays small however
long a run takes and however often it is resumed.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from bootcamp_cli.errors import DiskError
from bootcamp_cli.store.atomic import Check, replacing
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import MAX_LEN, FailureRecord, Record

_LEAST_S = 10
_MOST_STRETCHES = 1000
_MAX_BYTES = 1 << 20

_Count = Annotated[int, Meta(ge=0, le=1 << 60)]


class Stretch(msgspec.Struct, kw_only=True):
    """What ended in `seconds` seconds from `start` (since 1970): answers, failures, the answers' tokens.

    `latency_s` is the sum of the answers' latencies.
    """

    start: _Count
    seconds: Annotated[int, Meta(ge=1, le=1 << 40)]
    answers: _Count = 0
    failures: _Count = 0
    tokens: _Count = 0
    latency_s: Annotated[float, Meta(ge=0, le=1e18)] = 0.0


def read_timeline(run_dir: RunDir) -> list[Stretch]:
    """The stretches of a run in which something ended, in order; empty where nothing tells."""
    try:
        with run_dir.timeline.open("rb") as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(_decoder.decode(line))
        except (msgspec.MsgspecError, RecursionError):
            continue
    return _merged(found, max((stretch.seconds for stretch in found), default=_LEAST_S))


def merge_timelines(sources: Iterable[RunDir], target: RunDir) -> None:
    """Write a timeline of several runs that went on side by side, or one after the other; none where none has one."""
    found = [stretch for source in sources for stretch in read_timeline(source)]
    seconds = max((stretch.seconds for stretch in found), default=_LEAST_S)
    while len(stretches := _merged(found, seconds)) > _MOST_STRETCHES:
        seconds *= 2
    if stretches:
        with replacing(target.timeline) as file:
            file.write(_encoded(stretches))


class Timeline:
    """Counts what ends in a run, and writes it down every few seconds."""

    def __init__(self, run_dir: RunDir, check: Check, clock: Callable[[], float] = time.time) -> None:
        self._path = run_dir.timeline
        self._check = check
        self._clock = clock
        self._stretches = read_timeline(run_dir)
        self._seconds = max((stretch.seconds for stretch in self._stretches), default=_LEAST_S)
        self._saved = -math.inf
        self._is_new = False

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
        self._is_new = True
        if not 0 <= now - self._saved < _LEAST_S:
            self.save()

    def save(self) -> None:
        """Write what was counted; where the disk refuses, it is kept for the next time."""
        if not self._is_new:
            return
        self._saved = self._clock()
        try:
            with replacing(self._path, self._check, durable=False) as file:
                file.write(_encoded(self._stretches))
        except DiskError:
            return
        self._is_new = False

    def _at(self, now: int) -> Stretch:
        """The stretch of a time, made where there is none."""
        start = now - now % self._seconds
        if not self._stretches or self._stretches[-1].start != start:
            self._stretches.append(Stretch(start=start, seconds=self._seconds))
            while len(self._stretches) > _MOST_STRETCHES:
                self._seconds *= 2
                self._stretches = _merged(self._stretches, self._seconds)
        return self._stretches[-1]


def _encoded(stretches: Iterable[Stretch]) -> bytes:
    return b"".join(_encoder.encode(stretch) + b"\n" for stretch in stretches)


def _merged(stretches: Sequence[Stretch], seconds: int) -> list[Stretch]:
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


_decoder = msgspec.json.Decoder(Stretch)
_encoder = msgspec.json.Encoder()
