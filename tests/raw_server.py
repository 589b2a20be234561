"""A raw server on loopback for the client's tests: the n-th request gets the n-th reply, the last one for ever."""

import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, get_args

import anyio
import anyio.to_thread
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

from bootcamp_cli.server.client import CompletionClient, make_transport
from bootcamp_cli.server.endpoint import endpoint
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.request import GenerationConfig
from bootcamp_cli.server.transport import TransportName
from bootcamp_cli.settings.model import ApiMode
from bootcamp_cli.types import Answer

KEY = "sk-marked-key-0123456789"

TRANSPORTS = get_args(TransportName)

chosen_transport: ContextVar[TransportName] = ContextVar("chosen_transport", default="aiohttp")
"""What `client_of` sends with."""

_TLS_HANDSHAKE = b"\x16"


@dataclass(frozen=True, slots=True)
class Answering:
    """A reply that depends on the body of the request."""

    reply_to: Callable[[Any], bytes]


Reply = bytes | Answering | Callable[[ByteStream], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """What a running server knows: its address and the requests that came."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    n_connections: int = 0


@asynccontextmanager
async def serving(*replies: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server within the context."""
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = tcp.extra(SocketAttribute.local_port)  # noqa: S610 - not Django
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1")

    async def handle(stream: ByteStream) -> None:
        server.n_connections += 1
        buffered = BufferedByteReceiveStream(stream)
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with stream:
                while True:
                    start = await buffered.receive_exactly(1)
                    if start == _TLS_HANDSHAKE:  # refused at once, as servers do
                        return
                    head = start + await buffered.receive_until(b"\r\n\r\n", 100_000)
                    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0"
                    server.bodies.append(await buffered.receive_exactly(int(length)) if int(length) else b"")
                    server.heads.append(head)
                    reply = replies[min(len(server.heads), len(replies)) - 1]
                    if isinstance(reply, bytes):
                        await stream.send(reply)
                    elif isinstance(reply, Answering):
                        await stream.send(reply.reply_to(json.loads(server.bodies[-1])))
                    else:
                        await reply(stream)

    listener = TLSListener(tcp, tls, standard_compatible=False) if tls else tcp
    error: Exception | None = None
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        try:
            yield server
        except Exception as raised:  # noqa: BLE001 - raised below, out of the task group that would wrap it
            error = raised
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error


@asynccontextmanager
async def serving_paths(replies: Mapping[str, Reply]) -> AsyncIterator[Server]:
    """Run a server that replies by path, and with 404 to any other."""
    running: list[Server] = []

    async def reply(stream: ByteStream) -> None:
        chosen = replies.get(path_of(running[0].heads[-1]), http(404, {"detail": "Not Found"}))
        if isinstance(chosen, bytes):
            await stream.send(chosen)
        elif isinstance(chosen, Answering):
            await stream.send(chosen.reply_to(json.loads(running[0].bodies[-1])))
        else:
            await chosen(stream)

    async with serving(reply) as server:
        running.append(server)
        yield server


def path_of(head: bytes) -> str:
    """The path and query that a request asks for."""
    return head.split(b" ", 2)[1].decode()


def http(status: int, body: bytes | str | dict[str, Any], **headers: str) -> bytes:
    """A whole reply with its length; `retry_after` stands for Retry-After, and so on."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    headers = {"content-length": str(len(raw))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + raw


def completion(text: str | None = "an answer", finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A body of /completions."""
    return {"model": "m", "choices": [{"index": 0, "text": text, "finish_reason": finish_reason}], **more}


def closing(raw: bytes) -> Callable[[ByteStream], Awaitable[None]]:
    """Send the bytes and close the connection."""

    async def reply(stream: ByteStream) -> None:
        await stream.send(raw)
        await stream.aclose()

    return reply


def resetting(raw: bytes = b"") -> Reply:
    """Send the bytes and reset the connection."""

    async def reply(stream: ByteStream) -> None:
        if raw:
            await stream.send(raw)
        raw_socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django
        raw_socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    return reply


def stalling(raw: bytes = b"") -> Reply:
    """Send the bytes and nothing more, without closing."""

    async def reply(stream: ByteStream) -> None:
        if raw:
            await stream.send(raw)
        await anyio.sleep_forever()

    return reply


def silent(arrived: anyio.Event) -> Reply:
    """Tell that a request came, and send nothing, without closing."""

    async def reply(_: ByteStream) -> None:
        arrived.set()
        await anyio.sleep_forever()

    return reply


EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def piece(text: str = "", finish_reason: str | None = None, **more: Any) -> bytes:
    """One event of a stream in completion mode."""
    return b"data: " + json.dumps(completion(text, finish_reason, **more)).encode() + b"\n\n"


def config(
    *,
    api_mode: ApiMode = "completion",
    extra_body: dict[str, Any] | None = None,
    sys_prompt: str | None = None,
    **sent: Any,
) -> GenerationConfig:
    """What decides an answer, in completion mode where nothing else is said; `sent` are values of the body."""
    sent = {"model": "m", "max_tokens": 100, "temperature": 0.0} | sent
    return GenerationConfig(api_mode=api_mode, sent=sent, extra_body=extra_body, sys_prompt=sys_prompt)


@asynccontextmanager
async def client_of(
    url: str,
    *,
    timeout_s: float = 30.0,
    idle_timeout_s: float = 30.0,
    max_body_bytes: int = 1_000_000,
    environ: dict[str, str] | None = None,
    stream: bool = False,
    **endpoint_options: Any,
) -> AsyncIterator[CompletionClient]:
    """A client of an address, with the marked key."""
    target = endpoint(url, **({"api_key": KEY} | endpoint_options))
    name = chosen_transport.get()
    made = partial(make_transport, target, name, environ=environ or {}, max_body_bytes=max_body_bytes)
    transport = await anyio.to_thread.run_sync(made)
    try:
        yield CompletionClient(
            transport, config(stream=stream), timeout_s=timeout_s, idle_timeout_s=idle_timeout_s, clock=lambda: 1e9
        )
    finally:
        await transport.aclose()


async def outcome(client: CompletionClient, prompt: str = "a prompt") -> Answer | AttemptFailed:
    """What one try ends in."""
    try:
        return await client.complete(prompt)
    except AttemptFailed as failure:
        return failure


def tried(*replies: Reply, tls: ssl.SSLContext | None = None, **options: Any) -> Answer | AttemptFailed:
    """What one try ends in at a server that sends these replies."""

    async def scenario() -> Answer | AttemptFailed:
        async with serving(*replies, tls=tls) as server, client_of(server.url, **options) as client:
            return await outcome(client)

    return anyio.run(scenario)


def failed(*replies: Reply, tls: ssl.SSLContext | None = None, **options: Any) -> AttemptFailed:
    """The failure that one try ends in; its message never shows the key."""
    result = tried(*replies, tls=tls, **options)
    assert isinstance(result, AttemptFailed), result
    assert KEY not in result.message
    return result
