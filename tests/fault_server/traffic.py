"""What a fault server counts: tests prove by it what was asked, how often and how much at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

CUT = "cut"
"""The status of a request whose connection ended before the whole reply was sent."""


@dataclass(slots=True, kw_only=True)
class TrackedRequest:
    """One request under way: its prompt once that is known, its outcome, and whether that is an answer."""

    prompt: str | None = None
    status: int | None = None
    is_answer: bool = False


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Counts since the server started; `keep_log` keeps an entry per answered or failed completion request too."""

    keep_log: bool = False
    n_received: int = 0
    n_connections: int = 0
    max_connections: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    log: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count a connection while it is open."""
        self.n_connections += 1
        self.max_connections = max(self.max_connections, self.n_connections)
        try:
            yield
        finally:
            self.n_connections -= 1

    @contextmanager
    def request(self, path: str) -> Iterator[TrackedRequest]:
        """Count a request; what the block notes about it decides how."""
        self.paths[path] += 1
        tracked = TrackedRequest()
        try:
            yield tracked
        finally:
            self.statuses[CUT if tracked.status is None else str(tracked.status)] += 1

    @contextmanager
    def completion(self, tracked: TrackedRequest, prompt: str) -> Iterator[None]:
        """Count a completion request while it is in flight."""
        tracked.prompt = prompt
        self.n_received += 1
        self.received[prompt] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        start = anyio.current_time()
        try:
            yield
        finally:
            self.in_flight -= 1
            if tracked.is_answer and tracked.status is not None:
                self.answered[prompt] += 1
            if self.keep_log:
                end = anyio.current_time()
                self.log.append({"prompt": prompt, "start": start, "end": end, "status": tracked.status})

    def as_metrics(self, n_slots: int = 4) -> str:
        """The load in the text form of Prometheus under vLLM's names, as if `n_slots` requests ran at once."""
        running = min(self.in_flight, n_slots)
        figures = {
            "num_requests_running": running,
            "num_requests_waiting": self.in_flight - running,
            "kv_cache_usage_perc": running / n_slots,
            "num_preemptions_total": self.n_received // 2,
        }
        return "".join(
            f'# TYPE vllm:{name} gauge\nvllm:{name}{{engine="0",model_name="demo"}} {float(value)}\n'
            for name, value in figures.items()
        )

    def as_json(self) -> dict[str, Any]:
        """The counts by the names that `GET /stats` shows them under; times in seconds of the server's clock."""
        return {
            "requests": self.paths.total(),
            "by_path": dict(self.paths),
            "by_status": dict(self.statuses),
            "by_fault": dict(self.faults),
            "connections": self.n_connections,
            "max_connections": self.max_connections,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "received": self.n_received,
            "answered": self.answered.total(),
            "distinct_prompts": len(self.received),
            "distinct_answered": len(self.answered),
            "max_received": max(self.received.values(), default=0),
            "max_answered": max(self.answered.values(), default=0),
            "log": self.log,
        }
