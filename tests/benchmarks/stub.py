"""A completion server that costs next to nothing: fixed answers, latencies from a distribution, loopback only.

`python -m tests.benchmarks.stub` prints its base URL and ends with its standard input. GET /stats gives what it saw of
its clients: requests, connections, and how busy the slots were between the first and the last request.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

Shape = Literal["none", "fixed", "exponential", "pareto", "lognormal"]

_LIFETIME_S = 3600.0
_N_BODIES = 64
_PARETO_ALPHA = 2.5


def latencies(shape: Shape, mean_s: float, seed: int) -> Callable[[], float]:
    """A source of latencies in seconds with this mean."""
    source = random.Random(seed)  # noqa: S311 - latencies are no secrets
    match shape:
        case "none":
            return lambda: 0.0
        case "fixed":
            return lambda: mean_s
        case "exponential":
            return lambda: source.expovariate(1 / mean_s)
        case "pareto":
            scale = mean_s * (_PARETO_ALPHA - 1) / _PARETO_ALPHA
            return lambda: scale * source.paretovariate(_PARETO_ALPHA)
        case "lognormal":
            return lambda: source.lognormvariate(math.log(mean_s) - 0.5, 1.0)


@dataclass(slots=True)
class Traffic:
    """What clients did: `busy_s` is the sum of the times that requests were in the server's hands."""

    n_requests: int = 0
    n_connections: int = 0
    n_open: int = 0
    busy_s: float = 0.0
    first_s: float | None = None
    last_s: float = 0.0
    n_in_flight: int = 0
    max_in_flight: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float | int | None]:
        """The counts as JSON; times are of the monotonic clock, `first_epoch_s` of the wall clock."""
        spread_s = self.last_s - (self.first_s or 0.0)
        since_s = time.monotonic() - (self.first_s or time.monotonic())
        return {
            "n_requests": self.n_requests,
            "n_connections": self.n_connections,
            "max_in_flight": self.max_in_flight,
            "busy_s": self.busy_s,
            "spread_s": spread_s,
            "longest_s": max(self.latencies_s, default=0.0),
            "first_epoch_s": time.time() - since_s,
        }


class Stub(asyncio.Protocol):
    """One connection: requests one after another, each answered when its latency is over."""

    def __init__(self, traffic: Traffic, bodies: list[bytes], latency: Callable[[], float]) -> None:
        self._traffic = traffic
        self._bodies = bodies
        self._latency = latency
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._traffic.n_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Answer nobody any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take whole requests out of what came."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _content_length(self._buffer[:end])
            if len(self._buffer) < end + 4 + length:
                return
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if not head.startswith(b"POST"):
            self._send(_reply(self._lookup(head)))
            return
        traffic = self._traffic
        now = time.monotonic()
        traffic.first_s = now if traffic.first_s is None else traffic.first_s
        traffic.last_s = now
        traffic.n_requests += 1
        traffic.n_in_flight += 1
        traffic.max_in_flight = max(traffic.max_in_flight, traffic.n_in_flight)
        body = self._bodies[traffic.n_requests % len(self._bodies)]
        latency_s = self._latency()
        if latency_s:
            traffic.busy_s += latency_s
            traffic.latencies_s.append(latency_s)
            asyncio.get_running_loop().call_later(latency_s, self._finish, body)
        else:
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        self._traffic.n_in_flight -= 1
        self._send(body)

    def _lookup(self, head: bytes) -> bytes:
        if head.split(b" ", 2)[1].endswith(b"/stats"):
            return json.dumps(self._traffic.summary()).encode()
        return b'{"object":"list","data":[{"id":"stub","object":"model","max_model_len":65536}]}'

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


def bodies(n_chars: int) -> list[bytes]:
    """Replies whose text is about `n_chars` long, in the form that many bootcamps ask for."""
    found = []
    for number in range(_N_BODIES):
        words = random.Random(number).choices(_WORDS, k=max(1, n_chars // 6))  # noqa: S311 - no secrets
        text = f"{' '.join(words)}\nThe answer is [[{number}]] \\boxed{{{number}}}"
        reply = {
            "id": f"cmpl-{number}",
            "object": "text_completion",
            "created": 1_700_000_000,
            "model": "stub",
            "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": len(words), "total_tokens": 300 + len(words)},
        }
        found.append(_reply(json.dumps(reply).encode()))
    return found


_WORDS = ("first", "then", "the", "row", "holds", "three", "so", "cell", "must", "be", "seven", "and", "hence")


def _reply(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _content_length(head: bytes) -> int:
    start = head.lower().find(b"content-length:")
    return int(head[start + 15 :].split(b"\r", 1)[0]) if start >= 0 else 0


async def _serve(given: argparse.Namespace) -> None:
    traffic, replies = Traffic(), bodies(given.chars)
    latency = latencies(given.shape, given.latency, given.seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(traffic, replies, latency), "127.0.0.1", given.port, backlog=65535)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), _LIFETIME_S)
    server.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stub")
    parser.add_argument("--shape", choices=get_args(Shape), default="none")
    parser.add_argument("--latency", type=float, default=0.3, help="mean seconds (default: %(default)s)")
    parser.add_argument("--chars", type=int, default=1000, help="characters of an answer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
