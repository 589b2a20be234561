"""What the faults do: a table from name to behaviour. A new fault is a function and a line in `FAULTS`."""

import difflib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Protocol

from bootcamp_cli.demo.faults import Fault, Route
from bootcamp_cli.demo.protocol import Ask, as_reply, error_body, json_reply, no_such_model, too_long
from bootcamp_cli.demo.wire import ConnectionEndedError, Reply, Wire
from bootcamp_cli.errors import SettingsError

_BOTH: frozenset[Route] = frozenset({"completions", "models"})
_COMPLETIONS: frozenset[Route] = frozenset({"completions"})
_MODELS: frozenset[Route] = frozenset({"models"})


class Exchange(Protocol):
    """A request that meets a fault: the connection it came on, and what would be answered."""

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


async def _status(_exchange: Exchange, fault: Fault) -> Reply:
    options = dict(fault.options)
    headers: tuple[tuple[str, str], ...] = ()
    if "retry-after" in options:
        headers = (("retry-after", f"{options['retry-after']:g}"),)
    elif "retry-after-date" in options:
        headers = (("retry-after", formatdate(time.time() + options["retry-after-date"], usegmt=True)),)
    status = int(fault.name)
    return json_reply(status, error_body(status, f"scripted fault {status}"), headers=headers)


async def _html(_exchange: Exchange, fault: Fault) -> Reply:
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
    return Reply(status=int(fault.option("status", 200)), pieces=(page,), content_type="text/html")


async def _drop(_exchange: Exchange, _fault: Fault) -> Reply:
    raise ConnectionEndedError


async def _reset(exchange: Exchange, _fault: Fault) -> Reply:
    exchange.wire.reset()
    raise ConnectionEndedError


async def _reset_body(exchange: Exchange, _fault: Fault) -> Reply:
    await exchange.wire.send_half(await exchange.regular())
    exchange.wire.reset()
    raise ConnectionEndedError


async def _drop_body(exchange: Exchange, _fault: Fault) -> Reply:
    await exchange.wire.send_half(await exchange.regular())
    raise ConnectionEndedError


async def _hang(exchange: Exchange, _fault: Fault) -> Reply:
    await exchange.wire.wait()
    raise ConnectionEndedError


async def _stall(exchange: Exchange, _fault: Fault) -> Reply:
    await exchange.wire.send_half(await exchange.regular())
    await exchange.wire.wait()
    raise ConnectionEndedError


async def _slow(exchange: Exchange, fault: Fault) -> Reply:
    await exchange.wire.wait(fault.option("seconds", 1.0))
    return await exchange.regular()


async def _close(exchange: Exchange, _fault: Fault) -> Reply:
    return replace(await exchange.regular(), hang_up=True)


async def _truncated_json(exchange: Exchange, _fault: Fault) -> Reply:
    reply = await exchange.regular()
    kept = reply.pieces[: len(reply.pieces) // 2 + 1]
    return replace(reply, pieces=(*kept[:-1], kept[-1][: len(kept[-1]) // 2]))


async def _error_200(_exchange: Exchange, _fault: Fault) -> Reply:
    return json_reply(200, error_body(500, "scripted fault: an error with status 200", kind="InternalServerError"))


async def _huge(exchange: Exchange, fault: Fault) -> Reply:
    reply = await exchange.regular()
    padding = b" " * int(fault.option("mib", 65) * 1024 * 1024)
    return replace(reply, pieces=(padding, *reply.pieces))


async def _empty_choices(exchange: Exchange, _fault: Fault) -> Reply:
    return await _edited(exchange, lambda body: {**body, "choices": []})


async def _no_usage(exchange: Exchange, _fault: Fault) -> Reply:
    return await _edited(exchange, lambda body: {key: body[key] for key in body if key != "usage"})


async def _other_model(exchange: Exchange, _fault: Fault) -> Reply:
    return await _edited(exchange, lambda body: {**body, "model": "another-model"})


async def _null_content(exchange: Exchange, _fault: Fault) -> Reply:
    return await _edited(exchange, lambda body: _without_text(body, finish_reason="stop"))


async def _null_choice(exchange: Exchange, _fault: Fault) -> Reply:
    return await _edited(exchange, lambda body: _without_text(body, finish_reason=None))


async def _model_404(exchange: Exchange, _fault: Fault) -> Reply:
    raise no_such_model(exchange.ask.model if exchange.ask else "demo")


async def _context_400(exchange: Exchange, fault: Fault) -> Reply:
    limit = int(fault.option("limit", 4096))
    if exchange.ask and exchange.ask.max_tokens >= limit:
        raise too_long(exchange.ask, limit)
    return await exchange.regular()


async def _unlisted(exchange: Exchange, _fault: Fault) -> Reply:
    body = await exchange.body()
    return json_reply(200, {**body, "data": [{**body["data"][0], "id": "another-model"}]})


async def _edited(exchange: Exchange, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    ask = exchange.ask
    if ask is None:
        return await exchange.regular()
    return as_reply(ask, edit(await exchange.body()))


def _without_text(body: dict[str, Any], *, finish_reason: str | None) -> dict[str, Any]:
    choice = {**body["choices"][0], "finish_reason": finish_reason}
    if "message" in choice:
        choice["message"] = {"role": "assistant", "content": None}
    else:
        choice["text"] = None
    return {**body, "choices": [choice]}


_STATUS = FaultKind(
    behave=_status,
    meaning="that status and an error body",
    options=frozenset({"retry-after", "retry-after-date"}),
)

FAULTS: dict[str, FaultKind] = {
    "400-context": FaultKind(
        behave=_context_400,
        meaning="400 where max_tokens is not below limit",
        routes=_COMPLETIONS,
        options=frozenset({"limit"}),
        is_answer=True,
    ),
    "404-model": FaultKind(behave=_model_404, meaning="404, the model does not exist", routes=_COMPLETIONS),
    "unlisted": FaultKind(behave=_unlisted, meaning="another model is listed", routes=_MODELS),
    "html": FaultKind(behave=_html, meaning="a gateway's page, with status 200", options=frozenset({"status"})),
    "error-200": FaultKind(behave=_error_200, meaning="an error body with status 200"),
    "truncated-json": FaultKind(behave=_truncated_json, meaning="a whole reply with half of the JSON"),
    "huge": FaultKind(behave=_huge, meaning="65 MiB of spaces before the body", options=frozenset({"mib"})),
    "empty-choices": FaultKind(behave=_empty_choices, meaning="an empty list of choices", routes=_COMPLETIONS),
    "null-choice": FaultKind(behave=_null_choice, meaning="neither text nor finish_reason", routes=_COMPLETIONS),
    "null-content": FaultKind(
        behave=_null_content, meaning="null text with a finish_reason", routes=_COMPLETIONS, is_answer=True
    ),
    "no-usage": FaultKind(behave=_no_usage, meaning="an answer without usage", routes=_COMPLETIONS, is_answer=True),
    "other-model": FaultKind(
        behave=_other_model, meaning="an answer of another model", routes=_COMPLETIONS, is_answer=True
    ),
    "drop": FaultKind(behave=_drop, meaning="the connection is closed without a reply"),
    "drop-body": FaultKind(behave=_drop_body, meaning="the connection is closed in mid-body"),
    "reset": FaultKind(behave=_reset, meaning="the connection is reset without a reply"),
    "reset-body": FaultKind(behave=_reset_body, meaning="the connection is reset in mid-body"),
    "close": FaultKind(behave=_close, meaning="the connection is closed behind the answer", is_answer=True),
    "slow": FaultKind(behave=_slow, meaning="the answer comes later", options=frozenset({"seconds"}), is_answer=True),
    "stall": FaultKind(behave=_stall, meaning="half of the reply, then silence"),
    "hang": FaultKind(behave=_hang, meaning="silence"),
}
"""The menu of `--fault`, beside the HTTP statuses 400 to 599."""
