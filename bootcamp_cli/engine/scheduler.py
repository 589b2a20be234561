"""The order of work: one queue over all test files, the file with the longest expected outputs first.

A run that ends with its longest answers has idle slots at its end. Where no earlier run tells the lengths, they are
learned on the way: first a quarter of each such file is sent, a few samples of each at a time, then the file with the
longest mean output leads. A smaller share would mislead: short answers come back first, and a file that seemed short is
not sampled again before the end.
"""

import heapq
import json
from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import anyio

from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.session import Session
from bootcamp_cli.errors import DiskError, RunDirectoryError
from bootcamp_cli.store.run_dir import MAX_EARLIER, RunDir, recently_changed
from bootcamp_cli.types import Sample

MIN_FIRST = 2
"""At least this many samples of each file, and at most _MAX_FIRST, are sent before lengths count."""

_MAX_FIRST = 64
_FIRST_AT_ONCE = 4
"""Samples of one file that are sent in a row: rows of one file are read, verified and written together."""

_FIRST_SHARE = 0.25
_WEIGHT = 4
"""An expected length counts as much as this many answers: the model may have changed since."""


PER_ROUND = 64
"""Requests that go out before signals, the lock, verdicts and the display are served: some 13 ms of work."""


@dataclass(slots=True)
class _FileQueue:
    name: str
    samples: Iterator[Sample]
    n_seen: float = 0
    n_tokens: float = 0

    @property
    def expected(self) -> float:
        """Mean output length so far; a file without any answer yet is expected to be long."""
        return self.n_tokens / self.n_seen if self.n_seen else float("inf")


@dataclass(slots=True)
class WorkQueue:
    """Streams the owed samples of all files; rows are read when they are taken.

    `expected` holds the mean lengths of answers by file, in tokens, as far as they are known beforehand; `n_owed` the
    number of samples by file, as far as that is known.
    """

    files: dict[str, Iterator[Sample]]
    expected: Mapping[str, float] = field(default_factory=dict)
    n_owed: Mapping[str, int] = field(default_factory=dict)
    _queues: dict[str, _FileQueue] = field(init=False)
    _learning: list[str] = field(init=False)
    _heap: list[tuple[float, int, str]] = field(init=False)
    _n_pushed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._queues = {name: _FileQueue(name, samples) for name, samples in self.files.items()}
        for name in self._queues.keys() & self.expected.keys():
            self._queues[name].n_seen = _WEIGHT
            self._queues[name].n_tokens = _WEIGHT * self.expected[name]
        n_first = {name: self._n_first(name) for name in self.files if name not in self.expected}
        rounds = range(0, max(n_first.values(), default=0), _FIRST_AT_ONCE)
        self._learning = [
            name for i in rounds for name, n in n_first.items() for _ in range(min(n - i, _FIRST_AT_ONCE))
        ]
        self._learning.reverse()
        self._heap = []
        for name in self.files:
            self._push(name)

    def _n_first(self, name: str) -> int:
        return min(_MAX_FIRST, max(MIN_FIRST, int(_FIRST_SHARE * self.n_owed.get(name, 0))))

    def take_many(self, n: int) -> list[Sample]:
        """The next samples, at most `n`; none when none is owed any more. Reads files: call it in a thread."""
        return list(islice(iter(self.take, None), n))

    def take(self) -> Sample | None:
        """The next sample, None when none is owed any more."""
        while self._learning:
            sample = self._next(self._learning.pop())
            if sample is not None:
                return sample
        while self._heap:
            expected, _, name = self._heap[0]
            queue = self._queues.get(name)
            if queue is None:
                heapq.heappop(self._heap)
            elif -queue.expected != expected:
                heapq.heappop(self._heap)
                self._push(name)
            else:
                sample = self._next(name)
                if sample is not None:
                    return sample
        return None

    def observe(self, file: str, n_tokens: int) -> None:
        """Learn from an answer of `n_tokens` tokens."""
        queue = self._queues.get(file)
        if queue is not None:
            queue.n_seen += 1
            queue.n_tokens += n_tokens

    def _next(self, name: str) -> Sample | None:
        queue = self._queues.get(name)
        if queue is None:
            return None
        sample = next(queue.samples, None)
        if sample is None:
            del self._queues[name]
            return None
        return sample

    def _push(self, name: str) -> None:
        self._n_pushed += 1
        heapq.heappush(self._heap, (-self._queues[name].expected, self._n_pushed, name))


class Scheduler:
    """Hands out the samples of a queue in its order, read ahead so that nobody waits for the disk.

    At most `n_ahead` samples wait to be handed out, so that their order does not become stale; more are read when half
    of them are gone. (A memory object stream would wake its sender once for each sample.)
    """

    def __init__(self, queue: WorkQueue, *, n_ahead: int) -> None:
        self._queue = queue
        self._n_ahead = n_ahead
        self._ready: deque[Sample] = deque()
        self._available = Permits(0)
        self._room: anyio.Event | None = None

    async def read_ahead(self, admit: Callable[[], Awaitable[None]]) -> None:
        """Read until no sample is owed any more; each sample waits for `admit` before it is handed out."""
        try:
            while batch := await anyio.to_thread.run_sync(self._queue.take_many, self._n_ahead):
                for sample in batch:
                    await admit()
                    while len(self._ready) >= self._n_ahead:
                        self._room = anyio.Event()
                        await self._room.wait()
                    self._ready.append(sample)
                    self._available.give_back()
        finally:
            self._available.give_back()

    async def next(self) -> Sample | None:
        """The next sample; None when all were handed out. Any number of tasks may call it."""
        await self._available.take()
        if not self._ready:
            self._available.give_back()  # for the next caller
            return None
        sample = self._ready.popleft()
        if self._room is not None and 2 * len(self._ready) <= self._n_ahead:
            self._room.set()
            self._room = None
        return sample

    def observe(self, file: str, n_tokens: int) -> None:
        """Learn from an answer of `n_tokens` tokens."""
        self._queue.observe(file, n_tokens)


class Permits:
    """A number of permits, which tasks get in the order in which they ask; who asks `first` gets one before all others.

    Where one is free, taking it does not yield to the event loop: yielding costs ten times as much.
    """

    def __init__(self, n: int) -> None:
        self._n_free = n
        self._first: deque[Future[None]] = deque()
        self._others: deque[Future[None]] = deque()

    async def take(self, *, first: bool = False) -> None:
        """Wait for a permit."""
        if self._n_free:
            self._n_free -= 1
            return
        waiting, permit = self._first if first else self._others, get_running_loop().create_future()
        waiting.append(permit)
        try:
            await permit
        except BaseException:
            if permit.done() and not permit.cancelled():
                self.give_back()
            elif permit in waiting:
                waiting.remove(permit)
            raise

    def give_back(self, n: int = 1) -> None:
        """Give permits back, to those who wait for them."""
        while n and (waiting := self._first or self._others):
            permit = waiting.popleft()
            if not permit.done():  # it is done where its task was cancelled
                permit.set_result(None)
                n -= 1
        self._n_free += n


class StartRounds:
    """When hundreds of answers arrive at once, hundreds of requests follow: they go out in several rounds.

    A round is one pass of the event loop. Every sender asks first, and they begin in the order in which they asked.
    """

    __slots__ = ("_n_begun", "_waiting")

    def __init__(self) -> None:
        self._n_begun = 0
        self._waiting: deque[Future[None]] = deque()

    async def begin(self) -> None:
        """Return at once where only a few requests have begun in this round, else in a later round."""
        if self._n_begun < PER_ROUND:
            if not self._n_begun:
                get_running_loop().call_soon(self._open_round)
            self._n_begun += 1
            return
        place: Future[None] = get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _open_round(self) -> None:
        self._n_begun = min(PER_ROUND, len(self._waiting))
        for _ in range(self._n_begun):
            place = self._waiting.popleft()
            if not place.done():  # it is done where the sender was cancelled
                place.set_result(None)
        if self._n_begun:
            get_running_loop().call_soon(self._open_round)


def expected_lengths(session: Session) -> dict[str, float]:
    """Mean output lengths by test file, for the files about which anything is known.

    An earlier run counts where it had the same test file, whatever its model: which files are long hardly depends on
    the model. Of several, the newest with the same model is taken, else the newest. Reads files: call it in a thread.
    """
    own = {
        name: index.len_sum / index.n_answered for name, index in session.journal.details.items() if index.n_answered
    }
    return earlier_lengths(session.plan, beside=session.run_dir.path.name)[0] | own


def earlier_lengths(plan: Plan, *, beside: str = "") -> tuple[dict[str, float], RunDir | None]:
    """The mean lengths of answers by test file in an earlier run, and that run; its directory is not `beside`."""
    digests = {file.name: file.digest for file in plan.test_set.files}
    found: tuple[dict[str, float], RunDir | None] = {}, None
    try:
        run_dirs = recently_changed(plan.settings.output_dir, most=MAX_EARLIER)
    except DiskError:
        return found
    for run_dir in run_dirs:
        identity = _identity(run_dir)
        if run_dir.path.name == beside or not digests.items() & identity.get("files", {}).items():
            continue
        lengths = {
            name: length
            for name, length in _mean_lengths(run_dir).items()
            if name in digests and identity["files"].get(name) == digests[name]
        }
        if lengths and identity.get("model_name") == plan.generation.model:
            return lengths, run_dir
        if lengths and found[1] is None:
            found = lengths, run_dir
    return found


def _identity(run_dir: RunDir) -> Mapping[str, Any]:
    """What decided the answers of an earlier run; empty where that is not readable."""
    try:
        manifest = run_dir.read_manifest()
    except RunDirectoryError:
        return {}
    return manifest.identity if manifest is not None and isinstance(manifest.identity.get("files"), dict) else {}


def _mean_lengths(run_dir: RunDir) -> dict[str, float]:
    """The mean lengths in meta.jsonl; empty where it is missing or not readable."""
    sums: dict[str, tuple[float, int]] = {}
    try:
        for line in run_dir.meta.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["avg_len"] is None:  # none of its answers was scored
                continue
            total, n = sums.get(row["file"], (0.0, 0))
            sums[row["file"]] = total + float(row["avg_len"]) * int(row["n_scored"]), n + int(row["n_scored"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: total / n for name, (total, n) in sums.items() if n}
