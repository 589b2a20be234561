"""What the faults do: a table from name to behaviour. A new fault is a function and a line in `FAULTS`."""

import difflib
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import cache
from typing import Any, Protocol

import anyio

from bootcamp_cli.demo.protocol import Ask, error_body, json_bytes, no_such_model, retry_after, too_long
from bootcamp_cli.errors import SettingsError
from tests.fault_server.faults import Fault, Route
from tests.fault_server.wire import ConnectionEndedError, Reply, Wire, as_reply, json_reply

_BOTH: frozenset[Route] = frozenset({"completions", "models"})
_COMPLETIONS: frozenset[Route] = frozenset({"completions"})
_MODELS: frozenset[Route] = frozenset({"models"})
_MARK = "@@@"
_HUGE_TOKENS = 10**400
_SPACES = b" " * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_MAX_HEAD_BYTES = 64 * 1024 * 1024
_HEADER_LINES = b"x-more: and more\r\n" * 1000


class Exchange(Protocol):
    """A request that meets a fault: the connection it came on, and what would be answered."""

    @property
    def path(self) -> str:
        """The path that was asked for."""

    @property
    def wire(self) -> Wire:
        """The connection."""

    @property
    def ask(self) -> Ask | None:
        """What a completion request asks for; None for the list of models."""

    async def body(self) -> dict[str, Any]:
        """The body of the regular reply, after the regular latency."""

    async def regular(self) -> Reply:
        """The regular reply, after the regular latency."""


Behaviour = Callable[[Exchange, Fault], Awaitable[Reply]]
"""Gives the reply to send, or raises `ConnectionEndedError` to close, or `RefusedError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """A behaviour, the routes it makes sense on, the options it reads.

    `is_answer` says that the client gets a usable answer all the same.
    """

    behave: Behaviour
    meaning: str
    routes: frozenset[Route] = _BOTH
    options: frozenset[str] = frozenset()
    is_answer: bool = False


def fault_kind(fault: Fault) -> FaultKind:
    """Look up what a fault does.

    Raises:
        SettingsError: no such fault, not on this route, or an option that it does not have.
    """
    kind = _STATUS if _is_error_status(fault.name) else FAULTS.get(fault.name)
    if kind is None:
        near = difflib.get_close_matches(fault.name, FAULTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are a status of 400 to 599, {', '.join(FAULTS)}"
        raise SettingsError(f"fault: there is no {fault.name!r}", hint=hint)
    if fault.on not in kind.routes:
        raise SettingsError(f"fault: {fault.name}: does not apply to {fault.on}")
    if unknown := sorted({key for key, _ in fault.options} - kind.options):
        known = f"it takes {', '.join(sorted(kind.options))}" if kind.options else "it takes no options"
        raise SettingsError(f"fault: {fault.name}: no option {unknown[0]!r}", hint=known)
    return kind


def _is_error_status(name: str) -> bool:
    return len(name) == 3 and name.isdigit() and 400 <= int(name) <= 599


# Faults told by the status: refusals, gateways' pages, redirects.


async def status(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with the status that the fault is named by."""
    options = dict(fault.options)
    headers: tuple[tuple[str, str], ...] = ()
    if "retry-after" in options:
        headers = (("retry-after", retry_after(options["retry-after"])),)
    elif "retry-after-date" in options:
        headers = (("retry-after", formatdate(time.time() + options["retry-after-date"], usegmt=True)),)
    number = int(fault.name)
    return json_reply(number, error_body(number, f"scripted fault {number}"), headers=headers)


async def nonsense_429(_exchange: Exchange, _fault: Fault) -> Reply:
    """Ask for patience in words that no client can read."""
    return json_reply(429, error_body(429, "scripted fault 429"), headers=(("retry-after", "in a while"),))


async def html(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with a gateway's page."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
    return Reply(status=int(fault.option("status", 200)), pieces=(page,), content_type="text/html")


async def markup(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with a page of opening tags that are never closed."""
    page = b"<style " * 3000 + b"<title " * 3000
    return Reply(status=int(fault.option("status", 500)), pieces=(page,), content_type="text/html")


async def no_content(_exchange: Exchange, _fault: Fault) -> Reply:
    """Answer with an empty body."""
    return Reply(status=200, pieces=(b"",))


async def error_200(_exchange: Exchange, _fault: Fault) -> Reply:
    """Answer with an error body and status 200."""
    return json_reply(200, error_body(500, "scripted fault: an error with status 200", kind="InternalServerError"))


async def redirect(exchange: Exchange, fault: Fault) -> Reply:
    """Name the same path on another port."""
    target = f"http://127.0.0.1:{int(fault.option('port', 9))}{exchange.path}"
    number = int(fault.option("status", 307))
    return json_reply(number, error_body(number, "moved"), headers=(("location", target),))


async def model_404(exchange: Exchange, _fault: Fault) -> Reply:
    """Say that the model does not exist."""
    raise no_such_model(exchange.ask.model if exchange.ask else "demo")


async def context_400(exchange: Exchange, fault: Fault) -> Reply:
    """Refuse where max_tokens is not below the limit."""
    limit = int(fault.option("limit", 4096))
    if exchange.ask and exchange.ask.max_tokens >= limit:
        raise too_long(exchange.ask, limit)
    return await exchange.regular()


# Faults within the answer: keys that are missing, of a wrong type, or not to be believed.


async def empty_choices(exchange: Exchange, _fault: Fault) -> Reply:
    """No choice at all."""
    return await _edited(exchange, lambda body: {**body, "choices": []})


async def null_content(exchange: Exchange, _fault: Fault) -> Reply:
    """Null text with a finish_reason."""
    return await _edited(exchange, lambda body: _without_text(body, finish_reason="stop"))


async def null_choice(exchange: Exchange, _fault: Fault) -> Reply:
    """Neither text nor finish_reason."""
    return await _edited(exchange, lambda body: _without_text(body, finish_reason=None))


async def cut_off(exchange: Exchange, _fault: Fault) -> Reply:
    """The beginning of the answer, with the finish_reason of a server that is asked to stop."""
    return await _edited(exchange, lambda body: _with_choice(body, finish_reason="abort"))


async def no_usage(exchange: Exchange, _fault: Fault) -> Reply:
    """No usage."""
    return await _edited(exchange, lambda body: {key: body[key] for key in body if key != "usage"})


async def negative_usage(exchange: Exchange, _fault: Fault) -> Reply:
    """Negative token counts."""
    return await _with_usage(exchange, {"prompt_tokens": -1, "completion_tokens": -7, "total_tokens": -8})


async def huge_usage(exchange: Exchange, _fault: Fault) -> Reply:
    """Token counts that no number of the machine holds."""
    return await _with_usage(exchange, {"prompt_tokens": 1, "completion_tokens": _HUGE_TOKENS, "total_tokens": 1e308})


async def nan(exchange: Exchange, _fault: Fault) -> Reply:
    """NaN and infinity, which are no JSON, in place of token counts."""
    return await _with_usage(exchange, {"completion_tokens": float("nan"), "total_tokens": float("-inf")})


async def deep_usage(exchange: Exchange, fault: Fault) -> Reply:
    """A usage with lists within lists."""
    usage = {"completion_tokens": 7, "details": _MARK}
    edited = await _edited(exchange, lambda body: {**body, "usage": usage})
    return _marked(edited, _nested(fault, 900))


async def deep_json(exchange: Exchange, fault: Fault) -> Reply:
    """A reply with lists within lists."""
    return _marked(await _edited(exchange, lambda body: {**body, "model": _MARK}), _nested(fault, 100_000))


async def invalid_utf8(exchange: Exchange, _fault: Fault) -> Reply:
    """A text with bytes that are no UTF-8."""
    return _marked(await _edited(exchange, _with_marked_text), b'"\xff\xfe caf\xe9"')


async def other_model(exchange: Exchange, _fault: Fault) -> Reply:
    """An answer of another model."""
    return await _edited(exchange, lambda body: {**body, "model": "another-model"})


async def long_model(exchange: Exchange, fault: Fault) -> Reply:
    """An answer of a model whose name fills mebibytes."""
    name = "m" * int(fault.option("mib", 1) * 1024 * 1024)
    return await _edited(exchange, lambda body: {**body, "model": name})


async def unlisted(exchange: Exchange, _fault: Fault) -> Reply:
    """Another model is listed."""
    body = await exchange.body()
    return json_reply(200, {**body, "data": [{**body["data"][0], "id": "another-model"}]})


async def deep_list(exchange: Exchange, fault: Fault) -> Reply:
    """The model is listed, with lists within lists."""
    body = await exchange.body()
    return _marked(json_reply(200, {**body, "data": [{**body["data"][0], "details": _MARK}]}), _nested(fault, 900))


async def stream_error(exchange: Exchange, _fault: Fault) -> Reply:
    """A stream whose second half is an error."""
    reply = await exchange.regular()
    event = json_bytes(error_body(500, "scripted fault: the engine died"))
    if exchange.ask is None or not exchange.ask.stream:
        return replace(reply, pieces=(event,))
    return replace(reply, pieces=(*reply.pieces[: len(reply.pieces) // 2], b"data: " + event + b"\n\n"))


async def unasked_stream(exchange: Exchange, _fault: Fault) -> Reply:
    """A stream where none was asked for, and the other way round."""
    if exchange.ask is None:
        return await exchange.regular()
    return as_reply(replace(exchange.ask, stream=not exchange.ask.stream), await exchange.body())


async def pings(exchange: Exchange, fault: Fault) -> Reply:
    """A stream of nothing but comments, for an hour."""
    pause_s = fault.option("seconds", 0.1)
    pieces = (b": still here\n\n",) * int(3600 / pause_s)
    return replace(await exchange.regular(), content_type="text/event-stream", pieces=pieces, pause_s=pause_s)


async def _with_usage(exchange: Exchange, usage: dict[str, Any]) -> Reply:
    return await _edited(exchange, lambda body: {**body, "usage": usage})


async def _edited(exchange: Exchange, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    ask = exchange.ask
    if ask is None:
        return await exchange.regular()
    return as_reply(ask, edit(await exchange.body()))


def _marked(reply: Reply, raw: bytes) -> Reply:
    """The reply with raw bytes in place of the marked string."""
    mark = f'"{_MARK}"'.encode()
    return replace(reply, pieces=tuple(piece.replace(mark, raw) for piece in reply.pieces))


def _nested(fault: Fault, default: int) -> bytes:
    """Lists within lists; the innermost one is filled with white space, which takes no depth to read."""
    levels = int(fault.option("levels", default))
    return b"[" * levels + b" " * int(fault.option("kib", 0) * 1024) + b"]" * levels


def _with_marked_text(body: dict[str, Any]) -> dict[str, Any]:
    choice = dict(body["choices"][0])
    if "message" in choice:
        choice["message"] = {"role": "assistant", "content": _MARK}
    else:
        choice["text"] = _MARK
    return {**body, "choices": [choice]}


def _with_choice(body: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**body, "choices": [{**body["choices"][0], **values}]}


def _without_text(body: dict[str, Any], *, finish_reason: str | None) -> dict[str, Any]:
    choice = {**body["choices"][0], "finish_reason": finish_reason}
    if "message" in choice:
        choice["message"] = {"role": "assistant", "content": None}
    else:
        choice["text"] = None
    return {**body, "choices": [choice]}


# Faults of the body's size and encoding; none of them takes memory of the server.


async def huge(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of spaces before the body, with their length told beforehand where `declared` is 1."""
    reply = await exchange.regular()
    padding = (_SPACES,) * int(fault.option("mib", 65))
    return replace(reply, pieces=(*padding, *reply.pieces), declares_length=bool(fault.option("declared", 0)))


async def truncated_json(exchange: Exchange, _fault: Fault) -> Reply:
    """Send a whole reply with half of the JSON."""
    reply = await exchange.regular()
    kept = reply.pieces[: len(reply.pieces) // 2 + 1]
    return replace(reply, pieces=(*kept[:-1], kept[-1][: len(kept[-1]) // 2]))


async def gzipped(exchange: Exchange, _fault: Fault) -> Reply:
    """Compress the body although nobody asked for that."""
    reply = await exchange.regular()
    return _encoded(reply, _member(b"".join(reply.pieces)))


async def gzip_bomb(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of spaces before the body, all of it compressed to a thousandth."""
    reply = await exchange.regular()
    body = b"".join(reply.pieces)
    return _encoded(reply, *await anyio.to_thread.run_sync(_bomb, int(fault.option("mib", 1024)), body))


async def gzip_members(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of empty gzip members before that of the body."""
    reply = await exchange.regular()
    empty = _member(b"")
    block = empty * (len(_SPACES) // len(empty))
    return _encoded(reply, *[block] * int(fault.option("mib", 16)), _member(b"".join(reply.pieces)))


async def other_encoding(exchange: Exchange, _fault: Fault) -> Reply:
    """Claim an encoding that the client did not offer."""
    return replace(await exchange.regular(), headers=(("content-encoding", "br"),))


async def wrong_type(exchange: Exchange, _fault: Fault) -> Reply:
    """Claim that the body is text."""
    return replace(await exchange.regular(), content_type="text/plain; charset=iso-8859-1")


def _encoded(reply: Reply, *pieces: bytes) -> Reply:
    return replace(reply, pieces=pieces, headers=(*reply.headers, ("content-encoding", "gzip")))


def _member(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(data) + packer.flush()


def _bomb(mib: int, body: bytes) -> tuple[bytes, ...]:
    """A gzip member: a compressed mebibyte over and over, each independent of the ones before, then the body."""
    head, block = _spaces()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    tail = packer.compress(body) + packer.flush()
    size = (mib * len(_SPACES) + len(body)) % 2**32
    trailer = zlib.crc32(body, _crc(mib)).to_bytes(4, "little") + size.to_bytes(4, "little")
    return (head, *[block] * mib, tail + trailer)


@cache
def _crc(mib: int) -> int:
    crc = 0
    for _ in range(mib):
        crc = zlib.crc32(_SPACES, crc)
    return crc


@cache
def _spaces() -> tuple[bytes, bytes]:
    """The head of a gzip member, and a mebibyte of spaces as it stands in one."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = packer.compress(_SPACES) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff", block


# Faults of the connection: cut, silent, slow, or not speaking HTTP/1.1.


async def drop(_exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection without a reply."""
    raise ConnectionEndedError


async def drop_body(exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    raise ConnectionEndedError


async def reset(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection without a reply."""
    exchange.wire.reset()
    raise ConnectionEndedError


async def reset_body(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    exchange.wire.reset()
    raise ConnectionEndedError


async def reset_after(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection behind the answer."""
    reply = await exchange.regular()
    exchange.wire.reset()
    return replace(reply, hang_up=True)


async def close(exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection behind the answer, unannounced."""
    return replace(await exchange.regular(), hang_up=True)


async def hang(exchange: Exchange, _fault: Fault) -> Reply:
    """Never answer."""
    await exchange.wire.wait()
    raise ConnectionEndedError


async def stall(exchange: Exchange, _fault: Fault) -> Reply:
    """Fall silent in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    await exchange.wire.wait()
    raise ConnectionEndedError


async def slow(exchange: Exchange, fault: Fault) -> Reply:
    """Answer later."""
    await exchange.wire.wait(fault.option("seconds", 1.0))
    return await exchange.regular()


async def slow_head(exchange: Exchange, fault: Fault) -> Reply:
    """Send the headers byte by byte."""
    return replace(await exchange.regular(), head_pause_s=fault.option("seconds", 1.0))


async def drip(exchange: Exchange, fault: Fault) -> Reply:
    """Send the body byte by byte."""
    reply = await exchange.regular()
    body = b"".join(reply.pieces)
    pieces = tuple(body[at : at + 1] for at in range(len(body)))
    return replace(reply, pieces=pieces, pause_s=fault.option("seconds", 1.0))


async def http10(exchange: Exchange, _fault: Fault) -> Reply:
    """Answer as HTTP/1.0 does: without a length, to the end of the connection."""
    return replace(await exchange.regular(), http10=True, hang_up=True)


async def no_http(exchange: Exchange, _fault: Fault) -> Reply:
    """Speak another protocol."""
    await exchange.wire.send_raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    raise ConnectionEndedError


async def endless_head(exchange: Exchange, _fault: Fault) -> Reply:
    """Send headers until the client has enough of them."""
    await exchange.wire.send_raw(b"HTTP/1.1 200 OK\r\n")
    for _ in range(_MAX_HEAD_BYTES // len(_HEADER_LINES)):
        await exchange.wire.send_raw(_HEADER_LINES)
    raise ConnectionEndedError


async def broken_chunks(exchange: Exchange, _fault: Fault) -> Reply:
    """Send a chunk whose size is no number."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    await exchange.wire.send_raw(head + b"a lot\r\n{}\r\n0\r\n\r\n")
    raise ConnectionEndedError


_STATUS = FaultKind(
    behave=status,
    meaning="that status and an error body",
    options=frozenset({"retry-after", "retry-after-date"}),
)

FAULTS: dict[str, FaultKind] = {
    "400-context": FaultKind(
        behave=context_400,
        meaning="400 where max_tokens is not below limit",
        routes=_COMPLETIONS,
        options=frozenset({"limit"}),
        is_answer=True,
    ),
    "404-model": FaultKind(behave=model_404, meaning="404, the model does not exist", routes=_COMPLETIONS),
    "429-nonsense": FaultKind(behave=nonsense_429, meaning="429 with a Retry-After that says nothing"),
    "unlisted": FaultKind(behave=unlisted, meaning="another model is listed", routes=_MODELS),
    "deep-list": FaultKind(
        behave=deep_list,
        meaning="the model is listed, with lists within lists",
        routes=_MODELS,
        options=frozenset({"kib", "levels"}),
        is_answer=True,
    ),
    "redirect": FaultKind(behave=redirect, meaning="a redirect to another port", options=frozenset({"port", "status"})),
    "html": FaultKind(behave=html, meaning="a gateway's page, with status 200", options=frozenset({"status"})),
    "markup": FaultKind(
        behave=markup,
        meaning="a page of tags that are never closed, with status 500",
        options=frozenset({"status"}),
    ),
    "no-content": FaultKind(behave=no_content, meaning="an empty body with status 200"),
    "error-200": FaultKind(behave=error_200, meaning="an error body with status 200"),
    "truncated-json": FaultKind(behave=truncated_json, meaning="a whole reply with half of the JSON"),
    "huge": FaultKind(behave=huge, meaning="65 MiB of spaces before the body", options=frozenset({"declared", "mib"})),
    "gzip": FaultKind(behave=gzipped, meaning="the answer, compressed", routes=_COMPLETIONS, is_answer=True),
    "gzip-bomb": FaultKind(
        behave=gzip_bomb,
        meaning="1024 MiB of spaces before the body, compressed to 1 MiB",
        options=frozenset({"mib"}),
    ),
    "gzip-members": FaultKind(
        behave=gzip_members,
        meaning="16 MiB of empty gzip members before the answer",
        options=frozenset({"mib"}),
    ),
    "other-encoding": FaultKind(behave=other_encoding, meaning="a content encoding that was not offered"),
    "wrong-type": FaultKind(
        behave=wrong_type, meaning="the answer as plain text in Latin-1", routes=_COMPLETIONS, is_answer=True
    ),
    "invalid-utf8": FaultKind(behave=invalid_utf8, meaning="a text that is no UTF-8", routes=_COMPLETIONS),
    "deep-json": FaultKind(
        behave=deep_json,
        meaning="100,000 lists within each other",
        routes=_COMPLETIONS,
        options=frozenset({"kib", "levels"}),
    ),
    "empty-choices": FaultKind(behave=empty_choices, meaning="an empty list of choices", routes=_COMPLETIONS),
    "null-choice": FaultKind(behave=null_choice, meaning="neither text nor finish_reason", routes=_COMPLETIONS),
    "null-content": FaultKind(
        behave=null_content, meaning="null text with a finish_reason", routes=_COMPLETIONS, is_answer=True
    ),
    "cut-off": FaultKind(behave=cut_off, meaning="an answer with the finish_reason abort", routes=_COMPLETIONS),
    "no-usage": FaultKind(behave=no_usage, meaning="an answer without usage", routes=_COMPLETIONS, is_answer=True),
    "negative-usage": FaultKind(
        behave=negative_usage,
        meaning="an answer with negative token counts",
        routes=_COMPLETIONS,
        is_answer=True,
    ),
    "huge-usage": FaultKind(
        behave=huge_usage, meaning="an answer of 10^400 tokens", routes=_COMPLETIONS, is_answer=True
    ),
    "deep-usage": FaultKind(
        behave=deep_usage,
        meaning="900 lists within each other in the usage",
        routes=_COMPLETIONS,
        options=frozenset({"kib", "levels"}),
        is_answer=True,
    ),
    "nan": FaultKind(behave=nan, meaning="an answer with NaN as token count", routes=_COMPLETIONS, is_answer=True),
    "other-model": FaultKind(
        behave=other_model, meaning="an answer of another model", routes=_COMPLETIONS, is_answer=True
    ),
    "long-model": FaultKind(
        behave=long_model,
        meaning="an answer of a model with a name of 1 MiB",
        routes=_COMPLETIONS,
        options=frozenset({"mib"}),
        is_answer=True,
    ),
    "stream-error": FaultKind(behave=stream_error, meaning="an error in mid-stream", routes=_COMPLETIONS),
    "unasked-stream": FaultKind(
        behave=unasked_stream, meaning="a stream where none was asked for, and vice versa", routes=_COMPLETIONS
    ),
    "pings": FaultKind(
        behave=pings, meaning="a stream of comments", routes=_COMPLETIONS, options=frozenset({"seconds"})
    ),
    "drop": FaultKind(behave=drop, meaning="the connection is closed without a reply"),
    "drop-body": FaultKind(behave=drop_body, meaning="the connection is closed in mid-body"),
    "reset": FaultKind(behave=reset, meaning="the connection is reset without a reply"),
    "reset-body": FaultKind(behave=reset_body, meaning="the connection is reset in mid-body"),
    "reset-after": FaultKind(behave=reset_after, meaning="the connection is reset behind the answer", is_answer=True),
    "close": FaultKind(behave=close, meaning="the connection is closed behind the answer", is_answer=True),
    "http10": FaultKind(behave=http10, meaning="the answer by HTTP/1.0", is_answer=True),
    "no-http": FaultKind(behave=no_http, meaning="another protocol than HTTP"),
    "endless-head": FaultKind(behave=endless_head, meaning="headers without end"),
    "broken-chunks": FaultKind(behave=broken_chunks, meaning="a chunk whose size is no number"),
    "slow": FaultKind(behave=slow, meaning="the answer comes later", options=frozenset({"seconds"}), is_answer=True),
    "slow-head": FaultKind(
        behave=slow_head, meaning="headers a byte a second", options=frozenset({"seconds"}), is_answer=True
    ),
    "drip": FaultKind(behave=drip, meaning="a body a byte a second", options=frozenset({"seconds"}), is_answer=True),
    "stall": FaultKind(behave=stall, meaning="half of the reply, then silence"),
    "hang": FaultKind(behave=hang, meaning="silence"),
}
"""The menu of `--fault`, beside the HTTP statuses 400 to 599."""
