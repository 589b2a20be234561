"""Replies of a server that keeps to no rule: bytes for one request, whole heads or nonsense."""

import asyncio
import gzip
import json
from typing import Any

import anyio
from hypothesis import strategies as st

from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.transport import TransportName
from bootcamp_cli.types import Answer
from tests.chaos.strategies import damaged_bytes, damaged_json, texts
from tests.raw_server import chosen_transport, client_of, closing, completion, outcome, piece, serving

BODY = json.dumps(completion("an answer", usage={"completion_tokens": 3})).encode()
STREAM = piece("an ") + piece("answer", "stop") + b"data: [DONE]\n\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

_STATUS_LINES = (
    *(f"HTTP/1.1 {status} X" for status in (100, 101, 103, 200, 204, 206, 301, 304, 400, 401, 429, 500, 599, 999)),
    *("HTTP/1.0 200 OK", "HTTP/1.1 200", "HTTP/1.1  200 OK", "HTTP/2 200", "HTTP/1.1 099 X", "HTTP/1.1 2000 X"),
    *("http/1.1 200 OK", "HTTP/1.1 200 \xff\x80", "ICY 200 OK", "HTTP/1.1 abc X", "HTTP/-1.1 200 OK", ""),
)
_VALUES = {
    "Content-Length": ("0", "5", "-5", "+5", "5, 5", "5 5", "99999999999999999999999", "0x5", "\xb2", "1e3", ""),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "chunked, gzip", "identity", "x", "chunked, chunked", ""),
    "Content-Encoding": ("gzip", "br", "zstd", "deflate", "identity", "gzip, gzip", "x", ""),
    "Content-Type": ("application/json", "text/event-stream", "application/json; charset=x", "multipart/x", ";;", ""),
    "Retry-After": ("3", "-3", "1e400", "NaN", "Wed, 99 Foo 2026 99:99:99 GMT", "\xb2", ""),
    "Location": ("http://127.0.0.1:1/", "//", "http://[", "\x7f", ""),
    "Set-Cookie": ("a=b", "=", ";;;", "a=b; Expires=Foo; Max-Age=x", 'a="\\', "\xff"),
    "Connection": ("close", "keep-alive", "upgrade", "x", ""),
    "Keep-Alive": ("timeout=5", "timeout=-1", "x", ""),
    "Upgrade": ("websocket", "h2c", "x"),
    "Link": ("<x>; rel=y", "<", ";", "<http://[>"),
    "Content-Disposition": ("attachment; filename=x", ";", "\xff"),
    "WWW-Authenticate": ("Basic", "x"),
    "Trailer": ("x", "Content-Length"),
    "X": ("\x00", "\x0b", "\xff" * 3, "x" * 9000, " ", "a\r\n b"),
    "\xff": ("x",),
    "Bad Name": ("x",),
    "": ("x", ""),
}


@st.composite
def _chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks, of which a size or an end may be wrong."""
    size = draw(st.sampled_from((1, 7, 1000)))
    whole = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part)
        for part in (body[start : start + size] for start in range(0, len(body), size))
    )
    odd = (
        b"0\r\n\r\n",
        b"0\r\n\r\n",
        b"0\r\n\r\n",
        b"",
        b"-1\r\n",
        b"zz\r\n",
        b"0;x=y\r\nA: b\r\n\r\n",
        b"f" * 40 + b"\r\n",
    )
    return whole + draw(st.sampled_from(odd))


@st.composite
def _composed(draw: st.DrawFn) -> bytes:
    """A head of a status line and headers, and some body, which may or may not fit."""
    body = draw(
        st.sampled_from((BODY, BODY, STREAM, b"", b"\xff", b"[" * 5000, gzip.compress(BODY)))
        | damaged_json(BODY)
        | texts.map(lambda text: json.dumps(completion(text)).encode())
    )
    lines = [draw(st.sampled_from(("HTTP/1.1 200 OK",) * 12 + _STATUS_LINES))]
    framing = draw(st.sampled_from(("length", "chunked", "close")))
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = draw(_chunked(body))
    for name in draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=4)):
        lines.insert(draw(st.integers(1, len(lines))), f"{name}: {draw(st.sampled_from(_VALUES[name]))}")
    end: str = draw(st.sampled_from(("\r\n",) * 9 + ("\n", "\r", "\r\n ")))
    return end.join([*lines, "", ""]).encode("latin-1") + body


raw_replies = _composed() | _composed().flatmap(damaged_bytes) | damaged_bytes(REPLY) | st.binary(max_size=60)


def outcome_of(raw: bytes, transport: TransportName, *, stream: bool) -> Answer | AttemptFailed:
    """What a request ends in whose reply are these bytes and the end of the connection.

    Raises AssertionError where the event loop was told of an error that nobody took.
    """
    loose: list[dict[str, Any]] = []

    async def ask() -> Answer | AttemptFailed:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
        async with (
            serving(closing(raw)) as server,
            client_of(server.url, timeout_s=20, idle_timeout_s=10, stream=stream) as client,
        ):
            return await outcome(client)

    chosen_transport.set(transport)
    end = anyio.run(ask)
    assert not loose, loose
    return end
