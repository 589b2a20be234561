"""Samples that wait for a worker, and how many of them make a batch."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from bootcamp_cli.bootcamps.wire import encode_sample, encode_truth
from bootcamp_cli.records import BootcampRef, Verdict

BATCH_S = 0.1
"""The work that a worker is given at once, in expected seconds."""

MAX_SAMPLES = 32
"""Most samples that a worker is given at once."""

_MAX_BYTES = 1024 * 1024
_FIRST_GUESS_S = 0.005
_LEAST_S = 1e-6
_WEIGHT = 0.2


Then = Callable[[Verdict | None], None]
"""Takes a verdict, or None where there will be none; never raises, never blocks."""


class Job:
    """One sample on its way: `then` is called with the verdict, or with None when the pool closes before."""

    __slots__ = ("_output", "_truth", "abandoned", "expected_s", "id", "ref", "then")

    def __init__(self, id_: int, ref: BootcampRef, output: str, ground_truth: Any, then: Then) -> None:
        """Raises WireError where JSON cannot hold the ground truth."""
        self.id = id_
        self.ref = ref
        self._output = output
        self._truth = encode_truth(ground_truth)
        self.expected_s = 0.0
        self.then = then
        self.abandoned = False

    @property
    def size(self) -> int:
        """About the bytes that the sample takes on its way to a worker."""
        return len(self._output) + len(self._truth)

    def encoded(self) -> bytes:
        """The sample as it is sent to a worker."""
        return encode_sample(self.id, self.ref, self._output, self._truth)


class JobQueue:
    """First in, first out, taken in batches.

    Built-in bootcamps go together, as many as 0.1 s is expected to suffice for, by the pace seen so far; a third-party
    one goes alone, because it may hang or die, and what stands behind it would wait. `batch` samples are worth a
    worker's while.
    """

    def __init__(self, batch: int = MAX_SAMPLES) -> None:
        self._batch = max(1, min(batch, MAX_SAMPLES))
        self._jobs: deque[Job] = deque()
        self._pace_s: dict[BootcampRef, float] = {}
        self._waiting_s = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def waiting_s(self) -> float:
        """Expected seconds of work in the queue; a third-party sample counts as a batch."""
        return max(self._waiting_s, _LEAST_S) if self._jobs else 0.0  # a sum that came and went may end below zero

    @property
    def makes_batch(self) -> bool:
        """Whether what waits is worth a worker's while already."""
        return self._waiting_s >= BATCH_S or len(self._jobs) >= self._batch

    def put(self, job: Job) -> None:
        """Append a job."""
        job.expected_s = self._pace_s.get(job.ref, _FIRST_GUESS_S) if job.ref.origin == "builtin" else BATCH_S
        self._waiting_s += job.expected_s
        self._jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Return jobs of a batch that were not begun to the head of the queue, in their order."""
        jobs = list(jobs)
        self._waiting_s += sum(job.expected_s for job in jobs)
        self._jobs.extendleft(reversed(jobs))

    def take(self) -> list[Job]:
        """The next batch, without what was abandoned; empty where nothing waits."""
        batch: list[Job] = []
        seconds, n_bytes = 0.0, 0
        while self._jobs:
            job = self._jobs[0]
            if not job.abandoned:
                seconds += job.expected_s
                n_bytes += job.size
                if batch and (seconds > BATCH_S or n_bytes > _MAX_BYTES or len(batch) == MAX_SAMPLES):
                    break
                batch.append(job)
            self._jobs.popleft()
            self._waiting_s -= job.expected_s
        if not self._jobs:
            self._waiting_s = 0.0
        return batch

    def learn(self, ref: BootcampRef, seconds: float) -> None:
        """Note how long a verdict took."""
        before = self._pace_s.get(ref, _FIRST_GUESS_S)
        self._pace_s[ref] = before + _WEIGHT * (seconds - before)
