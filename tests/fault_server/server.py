"""A raw OpenAI-compatible server that misbehaves as told: `async with serve(FaultServerConfig(...)) as server`.

Its regular answers are those of the demo's model, and `GET /stats` shows what it has counted.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from bootcamp_cli.demo.model import THINK_END, Answers, DemoModel, KnownSample, read_samples
from bootcamp_cli.demo.protocol import (
    CHAT_PATH,
    COMPLETIONS_PATH,
    MODELS_PATH,
    Ask,
    RefusedError,
    answer_body,
    check_ask,
    check_key,
    models_body,
    parse_ask,
)
from tests.fault_server.config import FaultServerConfig
from tests.fault_server.faults import Arrival, choose
from tests.fault_server.menu import fault_kind
from tests.fault_server.rows import Rows
from tests.fault_server.traffic import TrackedRequest, Traffic
from tests.fault_server.wire import ConnectionEndedError, Reply, Request, TooLargeError, Wire, as_reply, json_reply

_COMPLETION_PATHS = (COMPLETIONS_PATH, CHAT_PATH)
_STATS_PATH = "/stats"
_METRICS_PATH = "/metrics"


@asynccontextmanager
async def serve(config: FaultServerConfig) -> AsyncIterator["FaultServer"]:
    """Run a server until the block ends.

    Raises:
        SettingsError: a fault that does not exist.
        OSError: the port is taken, or the test dir cannot be read.
    """
    for fault in config.faults:
        fault_kind(fault)
    rows = await anyio.to_thread.run_sync(_rows, config, abandon_on_cancel=True)
    listener = await anyio.create_tcp_listener(local_host=config.host, local_port=config.port, backlog=1024)
    server = FaultServer(config, rows, port=_port(listener))
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.talk)
        yield server
        tasks.cancel_scope.cancel()


class FaultServer:
    """A running server: where it listens, and what it has counted."""

    def __init__(self, config: FaultServerConfig, rows: Rows, *, port: int) -> None:
        self.config = config
        self.port = port
        self.traffic = Traffic(keep_log=config.log_requests)
        self._rows = rows
        self._model = DemoModel(seed=config.seed, skills=config.skills)
        self.answers = Answers(self._model)

    @property
    def url(self) -> str:
        """The base URL, as a client takes it."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self.port}/v1"

    async def talk(self, stream: SocketStream) -> None:
        """Answer the requests of one connection until it ends."""
        wire = Wire(stream)
        with self.traffic.connection():
            async with stream:
                with suppress(ConnectionEndedError):
                    while True:
                        await self._respond(wire, await _receive(wire))

    async def _respond(self, wire: Wire, request: Request) -> None:
        if request.path == _STATS_PATH:
            await wire.send(json_reply(200, self.traffic.as_json()))
            return
        if request.path == _METRICS_PATH and self.config.metrics:
            text = self.traffic.as_metrics().encode()
            await wire.send(Reply(status=200, pieces=(text,), content_type="text/plain; version=0.0.4"))
            return
        with self.traffic.request(request.path) as tracked:
            try:
                await self._route(wire, request, tracked)
            except RefusedError as error:
                await _send(wire, tracked, _refusal(error))

    async def _route(self, wire: Wire, request: Request, tracked: TrackedRequest) -> None:
        check_key(request.authorization, self.config.api_key)
        if request.path in _COMPLETION_PATHS:
            await self._complete(wire, request, tracked)
        elif request.path == MODELS_PATH:
            await self._list_models(wire, request, tracked)
        else:
            raise RefusedError(404, "Not Found", kind="NotFoundError")

    async def _list_models(self, wire: Wire, request: Request, tracked: TrackedRequest) -> None:
        _expect_method(request, b"GET")
        exchange = _Exchange(server=self, wire=wire, path=request.path)
        n_earlier = self.traffic.paths[MODELS_PATH] - 1
        await self._reply(exchange, tracked, Arrival(on="models", n_earlier=n_earlier, n_attempts=n_earlier))

    async def _complete(self, wire: Wire, request: Request, tracked: TrackedRequest) -> None:
        _expect_method(request, b"POST")
        config, traffic = self.config, self.traffic
        ask = parse_ask(request.body, is_chat=request.path == CHAT_PATH)
        check_ask(ask, models=config.models, max_model_len=config.max_model_len)
        prompt, sample = self._rows.find(ask.text)
        number = self._rows.number(prompt)
        n_earlier, n_attempts = traffic.n_received, traffic.received[prompt]
        if config.by_row:
            sample = self._rows.row(prompt, n_attempts)
        with traffic.completion(tracked, prompt):
            exchange = _Exchange(server=self, wire=wire, path=request.path, ask=ask, prompt=prompt, sample=sample)
            arrival = Arrival(
                on="completions", prompt=prompt, number=number, n_earlier=n_earlier, n_attempts=n_attempts
            )
            await self._reply(exchange, tracked, arrival)

    async def _reply(self, exchange: "_Exchange", tracked: TrackedRequest, arrival: Arrival) -> None:
        fault = choose(self.config.faults, arrival, seed=self.config.seed)
        if fault is None:
            tracked.is_answer = True
            reply = await exchange.regular()
        else:
            self.traffic.faults[fault.name] += 1
            kind = fault_kind(fault)
            tracked.is_answer = kind.is_answer
            try:
                reply = await kind.behave(exchange, fault)
            except RefusedError as error:
                tracked.is_answer = False
                reply = _refusal(error)
        await _send(exchange.wire, tracked, reply)

    def latency_s(self, prompt: str) -> float:
        """How long the answer to a prompt takes."""
        if self.config.latency_shape == "fixed":
            return self.config.latency_s
        return self._model.latency_s(prompt, mean_s=self.config.latency_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One request and its regular reply; without `ask` it is for the list of models."""

    server: FaultServer
    wire: Wire
    path: str
    ask: Ask | None = None
    prompt: str = ""
    sample: KnownSample | None = None

    async def body(self) -> dict[str, Any]:
        await self.wire.wait(self._latency_s())
        return await self._body()

    async def regular(self) -> Reply:
        if self.ask is None:
            return json_reply(200, await self.body())
        if not self.ask.stream:
            return as_reply(self.ask, await self.body())
        reply = as_reply(self.ask, await self._body())
        # a stream takes as long as a reply at once, spread over its pieces
        return replace(reply, pause_s=self._latency_s() / (len(reply.pieces) + 1))

    def _latency_s(self) -> float:
        return self.server.latency_s(self.prompt) if self.ask else 0.0

    async def _body(self) -> dict[str, Any]:
        if self.ask is None:
            config = self.server.config
            return models_body(config.models, max_model_len=config.max_model_len)
        prompt = self.prompt
        if self.server.config.by_seed and self.ask.seed is not None:
            prompt = f"{prompt} {self.ask.seed}"
        generated = await self.server.answers.to(prompt, self.sample)
        body = answer_body(self.ask, generated, name=self.prompt)
        return _reasoned(body) if self.ask.is_chat and self.server.config.reasoning_parser else body


def _reasoned(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat with the thoughts in a key of their own, as a server with a reasoning parser sends it."""
    [choice] = body["choices"]
    thoughts, end, content = choice["message"]["content"].removeprefix("<think>\n").partition(THINK_END)
    message = {
        "role": "assistant",
        "reasoning_content": thoughts,
        "content": content.lstrip() if end else None,
    }
    return {**body, "choices": [{**choice, "message": message}]}


async def _receive(wire: Wire) -> Request:
    try:
        return await wire.receive()
    except h11.RemoteProtocolError as error:
        refused = RefusedError(400, f"this is no HTTP/1.1: {error}")
    except TooLargeError:
        refused = RefusedError(413, "the body is too large")
    await wire.send(_refusal(refused))
    raise ConnectionEndedError


async def _send(wire: Wire, tracked: TrackedRequest, reply: Reply) -> None:
    await wire.send(reply)
    tracked.status = reply.status
    if reply.hang_up:
        raise ConnectionEndedError


def _refusal(error: RefusedError) -> Reply:
    return json_reply(error.status, error.body())


def _expect_method(request: Request, method: bytes) -> None:
    if request.method != method:
        raise RefusedError(405, "Method Not Allowed")


def _rows(config: FaultServerConfig) -> Rows:
    return Rows(read_samples(config.test_dir) if config.test_dir else ())


def _port(listener: MultiListener[SocketStream]) -> int:
    port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    return port
