"""The order of work: one queue over all test files, the file with the longest expected outputs first.

A run that ends with its longest answers has idle slots at its end. Where an earlier run tells nothing, lengths are
learned while the run goes: a quarter of each such file, in turn, then the file with the longest mean output leads.
Fewer would not do: short answers come back first, and a file that seemed short is not looked at again before the end.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from bootcamp_cli.records import Sample

PROBES = 2
"""Of each file at least so many samples are sent before lengths count, at most _MAX_PROBES."""

_MAX_PROBES = 64
_PROBES_AT_ONCE = 4
"""Of one file in a row: its rows are read, verified and written together."""

_PROBED_SHARE = 0.25


_WEIGHT = 4
"""An expected length counts as much as so many answers: a model may have changed since."""


@dataclass(slots=True)
class _FileQueue:
    name: str
    samples: Iterator[Sample]
    n_seen: float = 0
    n_tokens: float = 0

    @property
    def expected(self) -> float:
        """Mean output length so far; a file of which nothing has come back yet is expected to be long."""
        return self.n_tokens / self.n_seen if self.n_seen else float("inf")


@dataclass(slots=True)
class WorkQueue:
    """Streams the owed samples of all files; rows are read when they are taken.

    `expected` holds mean lengths of answers, in tokens, by file, as far as they are known before; `n_owed` the number
    of samples by file, as far as that is known.
    """

    files: dict[str, Iterator[Sample]]
    expected: Mapping[str, float] = field(default_factory=dict)
    n_owed: Mapping[str, int] = field(default_factory=dict)
    _queues: dict[str, _FileQueue] = field(init=False)
    _probing: list[str] = field(init=False)
    _heap: list[tuple[float, int, str]] = field(init=False)
    _n_pushed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._queues = {name: _FileQueue(name, samples) for name, samples in self.files.items()}
        for name in self._queues.keys() & self.expected.keys():
            self._queues[name].n_seen = _WEIGHT
            self._queues[name].n_tokens = _WEIGHT * self.expected[name]
        n_probes = {name: self._n_probes(name) for name in self.files if name not in self.expected}
        rounds = range(0, max(n_probes.values(), default=0), _PROBES_AT_ONCE)
        self._probing = [
            name for i in rounds for name, n in n_probes.items() for _ in range(min(n - i, _PROBES_AT_ONCE))
        ]
        self._probing.reverse()
        self._heap = []
        for name in self.files:
            self._push(name)

    def _n_probes(self, name: str) -> int:
        return min(_MAX_PROBES, max(PROBES, int(_PROBED_SHARE * self.n_owed.get(name, 0))))

    def take_many(self, n: int) -> list[Sample]:
        """The next samples, at most `n`; none when none is owed any more. Reads files: belongs into a thread."""
        return list(islice(iter(self.take, None), n))

    def take(self) -> Sample | None:
        """The next sample, None when none is owed any more."""
        while self._probing:
            sample = self._next(self._probing.pop())
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
