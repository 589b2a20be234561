"""Faults within the answer: keys that are missing, of a wrong type, or not to be believed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bootcamp_cli.demo.exchange import Exchange
from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.demo.protocol import as_reply, error_body, json_reply
from bootcamp_cli.demo.wire import Reply

_MARK = "@@@"
_HUGE_TOKENS = 10**400


async def empty_choices(exchange: Exchange, _fault: Fault) -> Reply:
    """No choice at all."""
    return await _edited(exchange, lambda body: {**body, "choices": []})


async def null_content(exchange: Exchange, _fault: Fault) -> Reply:
    """Null text with a finish_reason."""
    return await _edited(exchange, lambda body: _without_text(body, finish_reason="stop"))


async def null_choice(exchange: Exchange, _fault: Fault) -> Reply:
    """Neither text nor finish_reason."""
    return await _edited(exchange, lambda body: _without_text(body, finish_reason=None))


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
    event = json_reply(200, error_body(500, "scripted fault: the engine died")).pieces[0]
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


def _without_text(body: dict[str, Any], *, finish_reason: str | None) -> dict[str, Any]:
    choice = {**body["choices"][0], "finish_reason": finish_reason}
    if "message" in choice:
        choice["message"] = {"role": "assistant", "content": None}
    else:
        choice["text"] = None
    return {**body, "choices": [choice]}
