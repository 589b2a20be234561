"""A completion server that costs next to nothing: fixed answers, latencies from a distribution, loopback only.

`python -m tests.benchmarks.stub` prints its base URL (with `--ports 8` eight of them, for clients that take it for so
many servers) and ends with its standard input. GET /stats gives what it saw of its clients, at whichever URL: requests,
connections, and how busy the slots were between the first and the last request.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["none", "fixed", "exponential", "pareto", "lognormal", "prompt"]
"""How latencies are distributed; `prompt`: each prompt says its own, as in `latency=0.25;`."""

TOKENS_PER_S = 1000.0
"""How fast an answer comes whose latency is the prompt's."""

_LIFETIME_S = 3600.0
_N_BODIES = 64
_PARETO_ALPHA = 2.5
_LATENCY = re.compile(rb"latency=([0-9.]+);")


def request_latency(shape: Shape, mean_s: float, seed: int) -> Callable[[bytes], float]:
    """The latency of a request in seconds."""
    if shape == "prompt":
        return lambda request: float(found[1]) if (found := _LATENCY.search(request)) else 0.0
    drawn = latencies(shape, mean_s, seed)
    return lambda _: drawn()


def latencies(shape: Shape, mean_s: float, seed: int) -> Callable[[], float]:
    """A source of latencies in seconds with this mean."""
    source = random.Random(seed)  # noqa: S311 - latencies are no secrets
    match shape:
        case "none" | "prompt":
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
    """What clients did.

    `slot_s` is the time integral of the requests in flight, from the first request to the last; `sum_s` and `longest_s`
    are of the latencies, `ended_s` is when the last reply was sent.
    """

    n_requests: int = 0
    n_connections: int = 0
    n_in_flight: int = 0
    max_in_flight: int = 0
    sum_s: float = 0.0
    longest_s: float = 0.0
    slot_s: float = 0.0
    first_s: float = 0.0
    last_s: float = 0.0
    ended_s: float = 0.0
    _area_s: float = 0.0
    _seen_s: float = 0.0

    def start(self, latency_s: float) -> None:
        """A request came."""
        now = self._advance()
        self.first_s = self.first_s or now
        self.last_s = now
        self.slot_s = self._area_s
        self.n_requests += 1
        self.n_in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.n_in_flight)
        self.sum_s += latency_s
        self.longest_s = max(self.longest_s, latency_s)

    def end(self) -> None:
        """Its reply is sent."""
        self.ended_s = self._advance()
        self.n_in_flight -= 1

    def _advance(self) -> float:
        now = time.monotonic()
        self._area_s += self.n_in_flight * (now - self._seen_s)
        self._seen_s = now
        return now

    def summary(self) -> dict[str, float | int]:
        """The counts; times in seconds, `first_epoch_s` by the wall clock."""
        return {
            "n_requests": self.n_requests,
            "n_connections": self.n_connections,
            "max_in_flight": self.max_in_flight,
            "sum_s": self.sum_s,
            "longest_s": self.longest_s,
            "slot_s": self.slot_s,
            "spread_s": self.last_s - self.first_s,
            "makespan_s": self.ended_s - self.first_s,
            "first_epoch_s": time.time() - (time.monotonic() - self.first_s),
        }


Bodies = tuple[list[bytes], list[bytes]]
"""Whole replies of completions and of chat completions."""


class Stub(asyncio.Protocol):
    """One connection: requests one after another, each answered when its latency is over."""

    def __init__(self, traffic: Traffic, bodies: Bodies, latency: Callable[[bytes], float]) -> None:
        self._traffic = traffic
        self._bodies, self._chat_bodies = bodies
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
            request, self._buffer = self._buffer[: end + 4 + length], self._buffer[end + 4 + length :]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if not request.startswith(b"POST"):
            self._send(_reply(self._lookup(request)))
            return
        latency_s = self._latency(request)
        self._traffic.start(latency_s)
        if b"latency=" in request:
            body = body_of("short", n_tokens=round(TOKENS_PER_S * latency_s), chat=False)
        else:
            bodies_ = self._bodies if b" /v1/completions" in request[:40] else self._chat_bodies
            body = bodies_[self._traffic.n_requests % len(bodies_)]
        if latency_s:
            asyncio.get_running_loop().call_later(latency_s, self._finish, body)
        else:
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        self._traffic.end()
        self._send(body)

    def _lookup(self, request: bytes) -> bytes:
        if request.split(b" ", 2)[1].endswith(b"/stats"):
            return json.dumps(self._traffic.summary()).encode()
        return b'{"object":"list","data":[{"id":"stub","object":"model","max_model_len":65536}]}'

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


def bodies(n_chars: int, *, chat: bool) -> list[bytes]:
    """Replies whose text is about `n_chars` long, in the form that many bootcamps ask for."""
    found = []
    for number in range(_N_BODIES):
        words = random.Random(number).choices(_WORDS, k=max(1, n_chars // 6))  # noqa: S311 - no secrets
        text = f"{' '.join(words)}\nThe answer is [[{number}]] \\boxed{{{number}}}"
        found.append(body_of(text, n_tokens=len(words), chat=chat))
    return found


def body_of(text: str, *, n_tokens: int, chat: bool) -> bytes:
    """The whole reply with a text."""
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    reply = {
        "id": "cmpl-1",
        "object": "chat.completion" if chat else "text_completion",
        "created": 1_700_000_000,
        "model": "stub",
        "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": n_tokens, "total_tokens": 300 + n_tokens},
    }
    return _reply(json.dumps(reply).encode())


_WORDS = ("first", "then", "the", "row", "holds", "three", "so", "cell", "must", "be", "seven", "and", "hence")


def _reply(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _content_length(head: bytes) -> int:
    start = head.lower().find(b"content-length:")
    return int(head[start + 15 :].split(b"\r", 1)[0]) if start >= 0 else 0


async def _serve(given: argparse.Namespace) -> None:
    traffic, replies = Traffic(), (bodies(given.chars, chat=False), bodies(given.chars, chat=True))
    latency = request_latency(given.shape, given.latency, given.seed)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Stub(traffic, replies, latency), "127.0.0.1", given.port, backlog=65535)
        for _ in range(given.ports)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    sys.stdout.write(" ".join(f"http://127.0.0.1:{port}/v1" for port in ports) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), _LIFETIME_S)
    for server in servers:
        server.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stub")
    parser.add_argument("--shape", choices=get_args(Shape), default="none")
    parser.add_argument("--latency", type=float, default=0.3, help="mean seconds (default: %(default)s)")
    parser.add_argument("--chars", type=int, default=1000, help="characters of an answer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ports", type=int, default=1, help="how many to listen at")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
