"""The order of work: one queue over all test files, the file with the longest expected outputs first.

A run that ends with its longest answers has idle slots at its end. Lengths are learned while the run goes: the first
`PROBES` samples of every file are sent before anything else, then the file with the longest mean output so far leads.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from bootcamp_cli.records import Sample

PROBES = 2


@dataclass(slots=True)
class _FileQueue:
    name: str
    samples: Iterator[Sample]
    n_seen: int = 0
    n_tokens: int = 0

    @property
    def expected(self) -> float:
        """Mean output length so far; a file of which nothing has come back yet is expected to be long."""
        return self.n_tokens / self.n_seen if self.n_seen else float("inf")


@dataclass(slots=True)
class WorkQueue:
    """Streams the owed samples of all files; rows are read when they are taken."""

    files: dict[str, Iterator[Sample]]
    _queues: dict[str, _FileQueue] = field(init=False)
    _probing: list[str] = field(init=False)
    _heap: list[tuple[float, int, str]] = field(init=False)
    _n_pushed: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._queues = {name: _FileQueue(name, samples) for name, samples in self.files.items()}
        self._probing = list(self.files) * PROBES
        self._probing.reverse()
        self._heap = []
        for name in self.files:
            self._push(name)

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
