"""One client connection: requests in, replies out, over h11 and an anyio stream."""

import math
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import responses
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream

from bootcamp_cli.demo.protocol import MAX_BODY_BYTES, Ask, json_bytes, stream_events

_SENT_BYTES = 256 * 1024

_LINGER_ZERO = struct.pack("ii", 1, 0)


class ConnectionEndedError(Exception):
    """The connection is over: the client went, or a fault cut it."""


class TooLargeError(Exception):
    """The request's body exceeds `MAX_BODY_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request; `authorization` is the header's value or empty."""

    method: bytes
    path: str
    authorization: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply: one piece is sent with its length, several are sent chunked, `pause_s` seconds between them.

    With `declares_length` several pieces have their length told beforehand. With `hang_up` the server closes the
    connection behind the reply, unannounced. `head_pause_s` seconds pass before each byte of the head. With `http10`,
    which goes with `hang_up`, it is a reply of HTTP/1.0 without a length.
    """

    status: int
    pieces: tuple[bytes, ...]
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pause_s: float = 0.0
    hang_up: bool = False
    declares_length: bool = False
    head_pause_s: float = 0.0
    http10: bool = False


def json_reply(status: int, body: Any, *, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A reply with a JSON body."""
    return Reply(status=status, pieces=(json_bytes(body),), headers=headers)


def as_reply(ask: Ask, body: dict[str, Any]) -> Reply:
    """The reply that carries a body: JSON, or the same as server-sent events if that was asked for."""
    if ask.stream:
        return Reply(status=200, pieces=stream_events(ask, body), content_type="text/event-stream")
    return json_reply(200, body)


class Wire:
    """Reads requests from a connection and writes replies to it, one at a time.

    All methods raise `ConnectionEndedError` when the client is gone. A client that closes its sending side counts as
    gone, as with the usual servers: what it asked for is aborted.
    """

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER)

    async def receive(self) -> Request:
        """Wait for the next request of the connection, and take its body.

        Raises:
            h11.RemoteProtocolError: it is no HTTP.
            TooLargeError: the body is too large to take.
        """
        http = self._http
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
        if http.our_state is not h11.IDLE:
            raise ConnectionEndedError
        head: h11.Request | None = None
        body: list[bytes] = []
        size = 0
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    await self.send_raw(_encode(http, h11.InformationalResponse(status_code=100, headers=[])))
                http.receive_data(await self._receive_bytes())
            elif type(event) is h11.Request:
                head = event
            elif type(event) is h11.Data:
                body.append(bytes(event.data))
                size += len(event.data)
                if size > MAX_BODY_BYTES:
                    raise TooLargeError
            elif type(event) is h11.EndOfMessage and head:
                return _request(head, b"".join(body))
            else:  # closed by the client, or not to be used again
                raise ConnectionEndedError

    async def send(self, reply: Reply) -> None:
        """Send a whole reply; a large one is never in memory as a whole."""
        blocks = _http10(reply) if reply.http10 else self._encoded(reply)
        if reply.head_pause_s:
            for byte in next(blocks):
                await self.wait(reply.head_pause_s)
                await self.send_raw(bytes([byte]))
        if reply.pause_s:
            for block in blocks:
                await self.wait(reply.pause_s)
                await self.send_raw(block)
            return
        waiting = bytearray()
        for block in blocks:
            waiting += block
            if len(waiting) >= _SENT_BYTES:
                await self.send_raw(bytes(waiting))
                waiting.clear()
        await self.send_raw(bytes(waiting))

    async def send_half(self, reply: Reply) -> None:
        """Send the head and about half of the body: the client waits for the rest."""
        head, *pieces = self._encoded(reply)
        rest = b"".join(pieces)
        await self.send_raw(head + rest[: len(rest) // 2])

    async def wait(self, seconds: float = math.inf) -> None:
        """Wait, and notice a client that goes away meanwhile."""
        if seconds <= 0:
            return
        with anyio.move_on_after(seconds):
            while True:
                # what comes before the reply is the next request, sent ahead
                self._http.receive_data(await self._receive_bytes())

    def reset(self) -> None:
        """Make the coming close a reset, which loses what the client has not read."""
        raw = self._stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)

    def _encoded(self, reply: Reply) -> Iterator[bytes]:
        """The head, then the pieces; the last one ends the message."""
        *_, last = pieces = reply.pieces
        headers = [("content-type", reply.content_type), *reply.headers]
        if len(pieces) == 1 or reply.declares_length:
            headers.append(("content-length", str(sum(len(piece) for piece in pieces))))
        reason = responses.get(reply.status, "")
        yield _encode(self._http, h11.Response(status_code=reply.status, headers=headers, reason=reason))
        for piece in pieces[:-1]:
            yield _encode(self._http, h11.Data(data=piece))
        yield _encode(self._http, h11.Data(data=last)) + _encode(self._http, h11.EndOfMessage())

    async def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be HTTP."""
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionEndedError from error

    async def _receive_bytes(self) -> bytes:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionEndedError from error


def _http10(reply: Reply) -> Iterator[bytes]:
    reason = responses.get(reply.status, "")
    yield f"HTTP/1.0 {reply.status} {reason}\r\ncontent-type: {reply.content_type}\r\n\r\n".encode("latin-1")
    yield from reply.pieces


def _encode(http: h11.Connection, event: h11.Event) -> bytes:
    return http.send(event) or b""


def _request(head: h11.Request, body: bytes) -> Request:
    authorization = next((value.decode("latin-1") for name, value in head.headers if name == b"authorization"), "")
    path = head.target.decode("latin-1").partition("?")[0]
    return Request(method=head.method, path=path, authorization=authorization, body=body)
