"""The embedded OpenAI-compatible server: `async with serve(DemoConfig(...)) as server: server.url`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from bootcamp_cli.demo.config import DemoConfig
from bootcamp_cli.demo.fault_table import fault_kind
from bootcamp_cli.demo.faults import Meeting, choose
from bootcamp_cli.demo.model import Generated, generate, latency_s
from bootcamp_cli.demo.protocol import (
    Ask,
    RefusedError,
    answer_body,
    as_reply,
    count_prompt_tokens,
    error_body,
    json_reply,
    no_such_model,
    parse_ask,
    too_long,
)
from bootcamp_cli.demo.samples import KnownSample, SampleIndex, load_samples
from bootcamp_cli.demo.traffic import Traffic, Visit
from bootcamp_cli.demo.wire import ConnectionEndedError, Reply, Request, TooLargeError, Wire

_COMPLETION_PATHS = {"/v1/completions": False, "/v1/chat/completions": True}
_MODELS_PATH = "/v1/models"
_STATS_PATH = "/stats"
_MAX_CACHED_ANSWERS = 10_000


@asynccontextmanager
async def serve(config: DemoConfig) -> AsyncIterator["DemoServer"]:
    """Run a server until the block ends.

    Raises:
        SettingsError: a fault that does not exist.
        OSError: the port is taken, or the test dir cannot be read.
    """
    for fault in config.faults:
        fault_kind(fault)
    samples = await anyio.to_thread.run_sync(load_samples, config.test_dir, abandon_on_cancel=True)
    listener = await anyio.create_tcp_listener(local_host=config.host, local_port=config.port, backlog=1024)
    server = DemoServer(config, samples, port=_port(listener))
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.talk)
        yield server
        tasks.cancel_scope.cancel()


class DemoServer:
    """A running server: where it listens, and what it has counted."""

    def __init__(self, config: DemoConfig, samples: SampleIndex, *, port: int) -> None:
        self.config = config
        self.port = port
        self.traffic = Traffic(keep_log=config.log_requests)
        self._samples = samples
        self._answers: dict[tuple[str, bytes | None], Generated] = {}
        # one puzzle is solved at a time: more threads would only compete
        self._solver = anyio.CapacityLimiter(1)

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
        with self.traffic.visit(request.path) as visit:
            try:
                await self._route(wire, request, visit)
            except RefusedError as error:
                await _send(wire, visit, _refusal(error))

    async def _route(self, wire: Wire, request: Request, visit: Visit) -> None:
        key = self.config.api_key
        if key is not None and request.authorization != f"Bearer {key}".encode():
            raise RefusedError(401, "Unauthorized", kind="AuthenticationError")
        if request.path in _COMPLETION_PATHS:
            await self._complete(wire, request, visit)
        elif request.path == _MODELS_PATH:
            await self._list_models(wire, request, visit)
        else:
            raise RefusedError(404, "Not Found", kind="NotFoundError")

    async def _list_models(self, wire: Wire, request: Request, visit: Visit) -> None:
        _expect_method(request, b"GET")
        exchange = _Exchange(server=self, wire=wire, path=request.path)
        n_earlier = self.traffic.paths[_MODELS_PATH] - 1
        await self._reply(exchange, visit, Meeting(on="models", n_earlier=n_earlier, n_attempts=n_earlier))

    async def _complete(self, wire: Wire, request: Request, visit: Visit) -> None:
        _expect_method(request, b"POST")
        config, traffic = self.config, self.traffic
        ask = parse_ask(request.body, is_chat=_COMPLETION_PATHS[request.path])
        if ask.model not in config.models:
            raise no_such_model(ask.model)
        if config.max_model_len and count_prompt_tokens(ask) + ask.max_tokens > config.max_model_len:
            raise too_long(ask, config.max_model_len)
        prompt, sample = self._samples.find(ask.text)
        number = self._samples.number(prompt)
        n_earlier, n_attempts = traffic.n_received, traffic.received[prompt]
        if config.by_turns and sample is not None:
            sample = sample.at_turn(n_attempts)
        with traffic.completion(visit, prompt):
            exchange = _Exchange(server=self, wire=wire, path=request.path, ask=ask, prompt=prompt, sample=sample)
            met = Meeting(on="completions", prompt=prompt, number=number, n_earlier=n_earlier, n_attempts=n_attempts)
            await self._reply(exchange, visit, met)

    async def _reply(self, exchange: "_Exchange", visit: Visit, met: Meeting) -> None:
        fault = choose(self.config.faults, met, seed=self.config.seed)
        if fault is None:
            visit.is_answer = True
            reply = await exchange.regular()
        else:
            self.traffic.faults[fault.name] += 1
            kind = fault_kind(fault)
            visit.is_answer = kind.is_answer
            try:
                reply = await kind.behave(exchange, fault)
            except RefusedError as error:
                visit.is_answer = False
                reply = _refusal(error)
        await _send(exchange.wire, visit, reply)

    def model_list(self) -> dict[str, Any]:
        """The body of `GET /v1/models`."""
        entry: dict[str, Any] = {"object": "model", "created": 0, "owned_by": "bootcamp"}
        if self.config.max_model_len:
            entry["max_model_len"] = self.config.max_model_len
        return {"object": "list", "data": [{"id": name, **entry} for name in self.config.models]}

    async def generated(self, prompt: str, sample: KnownSample | None) -> Generated:
        """The model's output for a prompt; where a puzzle is to be solved, that happens in a thread, once."""
        key = (prompt, sample.ground_truth if sample else None)
        answer = self._answers.get(key)
        if answer is None:
            if sample is None or sample.ground_truth is None:
                answer = generate(self.config, prompt, sample)
            else:
                answer = await anyio.to_thread.run_sync(generate, self.config, prompt, sample, limiter=self._solver)
            if len(self._answers) >= _MAX_CACHED_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One request and its regular reply; without `ask` it is for the list of models."""

    server: DemoServer
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
        return latency_s(self.server.config, self.prompt) if self.ask else 0.0

    async def _body(self) -> dict[str, Any]:
        if self.ask is None:
            return self.server.model_list()
        generated = await self.server.generated(self.prompt, self.sample)
        return answer_body(self.ask, generated, name=self.prompt, reasoning_parser=self.server.config.reasoning_parser)


async def _receive(wire: Wire) -> Request:
    try:
        return await wire.receive()
    except h11.RemoteProtocolError as error:
        refused = RefusedError(400, f"this is no HTTP/1.1: {error}")
    except TooLargeError:
        refused = RefusedError(413, "the body is too large")
    await wire.send(_refusal(refused))
    raise ConnectionEndedError


async def _send(wire: Wire, visit: Visit, reply: Reply) -> None:
    await wire.send(reply)
    visit.status = reply.status
    if reply.hang_up:
        raise ConnectionEndedError


def _refusal(error: RefusedError) -> Reply:
    return json_reply(error.status, error_body(error.status, error.message, kind=error.kind))


def _expect_method(request: Request, method: bytes) -> None:
    if request.method != method:
        raise RefusedError(405, "Method Not Allowed")


def _port(listener: MultiListener[SocketStream]) -> int:
    port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    return port
