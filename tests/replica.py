"""A replica of a model that tests let die, come back, refuse or be another model; in the test's own event loop."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bootcamp_cli.server.health import PROBE_PROMPT
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.raw_server import completion, http

BOS = BUILTIN_TEMPLATES[0].bos


@dataclass(slots=True, kw_only=True)
class Replica:
    """What it is and does, and what it has counted; `entry` is its model in the list, besides the name.

    `refusal` is its reply to every completion in place of an answer. `before` sees each prompt that is not neutral
    before it is answered, and may let the replica die.
    """

    latency_s: float = 0.0
    entry: dict[str, Any] = field(default_factory=dict)
    refusal: bytes | None = None
    before: Callable[["Replica", str], Any] | None = None
    port: int = 0
    n_received: int = 0
    n_answered: int = 0
    n_neutral: int = 0
    n_in_flight: int = 0
    most_in_flight: int = 0
    ranks: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = field(default=None, repr=False)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> "Replica":
        """Listen, always at the same port."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def die(self) -> None:
        """Stop listening and reset every connection, as the kernel does for a process that was killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
                reply = await self._reply(head, await reader.readexactly(length))
                writer.write(reply)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _reply(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1]
        if path == b"/v1/models":
            return http(200, {"data": [{"id": "demo", **self.entry}]})
        if path != b"/v1/completions":
            return http(404, {})
        prompt = json.loads(body)["prompt"]
        is_neutral = PROBE_PROMPT in prompt or prompt == BOS
        self.n_neutral += is_neutral
        self.n_received += not is_neutral
        rank = head.lower().partition(b"x-data-parallel-rank:")[2].split(b"\r\n")[0].strip()
        if rank and not is_neutral:
            self.ranks[rank.decode()] += 1
        if self.refusal is not None:
            return self.refusal
        self.n_in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.n_in_flight)
        try:
            if self.before is not None and not is_neutral:
                self.before(self, prompt)
            if not is_neutral:
                await asyncio.sleep(self.latency_s)
        finally:
            self.n_in_flight -= 1
        self.n_answered += not is_neutral
        return http(200, completion("[[42]]", usage={"prompt_tokens": 9, "completion_tokens": 3}))


@asynccontextmanager
async def serving(*replicas: Replica) -> AsyncIterator[None]:
    """Let replicas serve within the block."""
    for replica in replicas:
        await replica.start()
    try:
        yield
    finally:
        for replica in replicas:
            replica.die()
