"""What the faults do: a table from name to behaviour. A new fault is a function and a line in `FAULTS`."""

import difflib
from dataclasses import dataclass

from bootcamp_cli.demo import fault_answers as answers
from bootcamp_cli.demo import fault_bodies as bodies
from bootcamp_cli.demo import fault_connections as connections
from bootcamp_cli.demo import fault_statuses as statuses
from bootcamp_cli.demo.exchange import Behaviour
from bootcamp_cli.demo.faults import Fault, Route
from bootcamp_cli.errors import SettingsError

_BOTH: frozenset[Route] = frozenset({"completions", "models"})
_COMPLETIONS: frozenset[Route] = frozenset({"completions"})
_MODELS: frozenset[Route] = frozenset({"models"})


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


_STATUS = FaultKind(
    behave=statuses.status,
    meaning="that status and an error body",
    options=frozenset({"retry-after", "retry-after-date"}),
)

FAULTS: dict[str, FaultKind] = {
    "400-context": FaultKind(
        behave=statuses.context_400,
        meaning="400 where max_tokens is not below limit",
        routes=_COMPLETIONS,
        options=frozenset({"limit"}),
        is_answer=True,
    ),
    "404-model": FaultKind(behave=statuses.model_404, meaning="404, the model does not exist", routes=_COMPLETIONS),
    "429-nonsense": FaultKind(behave=statuses.nonsense_429, meaning="429 with a Retry-After that says nothing"),
    "unlisted": FaultKind(behave=answers.unlisted, meaning="another model is listed", routes=_MODELS),
    "deep-list": FaultKind(
        behave=answers.deep_list,
        meaning="the model is listed, with lists within lists",
        routes=_MODELS,
        options=frozenset({"kib", "levels"}),
        is_answer=True,
    ),
    "redirect": FaultKind(
        behave=statuses.redirect, meaning="a redirect to another port", options=frozenset({"port", "status"})
    ),
    "html": FaultKind(behave=statuses.html, meaning="a gateway's page, with status 200", options=frozenset({"status"})),
    "markup": FaultKind(
        behave=statuses.markup,
        meaning="a page of tags that are never closed, with status 500",
        options=frozenset({"status"}),
    ),
    "no-content": FaultKind(behave=statuses.no_content, meaning="an empty body with status 200"),
    "error-200": FaultKind(behave=statuses.error_200, meaning="an error body with status 200"),
    "truncated-json": FaultKind(behave=bodies.truncated_json, meaning="a whole reply with half of the JSON"),
    "huge": FaultKind(
        behave=bodies.huge, meaning="65 MiB of spaces before the body", options=frozenset({"declared", "mib"})
    ),
    "gzip": FaultKind(behave=bodies.gzipped, meaning="the answer, compressed", routes=_COMPLETIONS, is_answer=True),
    "gzip-bomb": FaultKind(
        behave=bodies.gzip_bomb,
        meaning="1024 MiB of spaces before the body, compressed to 1 MiB",
        options=frozenset({"mib"}),
    ),
    "gzip-members": FaultKind(
        behave=bodies.gzip_members,
        meaning="16 MiB of empty gzip members before the answer",
        options=frozenset({"mib"}),
    ),
    "other-encoding": FaultKind(behave=bodies.other_encoding, meaning="a content encoding that was not offered"),
    "wrong-type": FaultKind(
        behave=bodies.wrong_type, meaning="the answer as plain text in Latin-1", routes=_COMPLETIONS, is_answer=True
    ),
    "invalid-utf8": FaultKind(behave=answers.invalid_utf8, meaning="a text that is no UTF-8", routes=_COMPLETIONS),
    "deep-json": FaultKind(
        behave=answers.deep_json,
        meaning="100,000 lists within each other",
        routes=_COMPLETIONS,
        options=frozenset({"kib", "levels"}),
    ),
    "empty-choices": FaultKind(behave=answers.empty_choices, meaning="an empty list of choices", routes=_COMPLETIONS),
    "null-choice": FaultKind(behave=answers.null_choice, meaning="neither text nor finish_reason", routes=_COMPLETIONS),
    "null-content": FaultKind(
        behave=answers.null_content, meaning="null text with a finish_reason", routes=_COMPLETIONS, is_answer=True
    ),
    "no-usage": FaultKind(
        behave=answers.no_usage, meaning="an answer without usage", routes=_COMPLETIONS, is_answer=True
    ),
    "negative-usage": FaultKind(
        behave=answers.negative_usage,
        meaning="an answer with negative token counts",
        routes=_COMPLETIONS,
        is_answer=True,
    ),
    "huge-usage": FaultKind(
        behave=answers.huge_usage, meaning="an answer of 10^400 tokens", routes=_COMPLETIONS, is_answer=True
    ),
    "deep-usage": FaultKind(
        behave=answers.deep_usage,
        meaning="900 lists within each other in the usage",
        routes=_COMPLETIONS,
        options=frozenset({"kib", "levels"}),
        is_answer=True,
    ),
    "nan": FaultKind(
        behave=answers.nan, meaning="an answer with NaN as token count", routes=_COMPLETIONS, is_answer=True
    ),
    "other-model": FaultKind(
        behave=answers.other_model, meaning="an answer of another model", routes=_COMPLETIONS, is_answer=True
    ),
    "long-model": FaultKind(
        behave=answers.long_model,
        meaning="an answer of a model with a name of 1 MiB",
        routes=_COMPLETIONS,
        options=frozenset({"mib"}),
        is_answer=True,
    ),
    "stream-error": FaultKind(behave=answers.stream_error, meaning="an error in mid-stream", routes=_COMPLETIONS),
    "unasked-stream": FaultKind(
        behave=answers.unasked_stream, meaning="a stream where none was asked for, and vice versa", routes=_COMPLETIONS
    ),
    "pings": FaultKind(
        behave=answers.pings, meaning="a stream of comments", routes=_COMPLETIONS, options=frozenset({"seconds"})
    ),
    "drop": FaultKind(behave=connections.drop, meaning="the connection is closed without a reply"),
    "drop-body": FaultKind(behave=connections.drop_body, meaning="the connection is closed in mid-body"),
    "reset": FaultKind(behave=connections.reset, meaning="the connection is reset without a reply"),
    "reset-body": FaultKind(behave=connections.reset_body, meaning="the connection is reset in mid-body"),
    "reset-after": FaultKind(
        behave=connections.reset_after, meaning="the connection is reset behind the answer", is_answer=True
    ),
    "close": FaultKind(behave=connections.close, meaning="the connection is closed behind the answer", is_answer=True),
    "http10": FaultKind(behave=connections.http10, meaning="the answer by HTTP/1.0", is_answer=True),
    "no-http": FaultKind(behave=connections.no_http, meaning="another protocol than HTTP"),
    "endless-head": FaultKind(behave=connections.endless_head, meaning="headers without end"),
    "broken-chunks": FaultKind(behave=connections.broken_chunks, meaning="a chunk whose size is no number"),
    "slow": FaultKind(
        behave=connections.slow, meaning="the answer comes later", options=frozenset({"seconds"}), is_answer=True
    ),
    "slow-head": FaultKind(
        behave=connections.slow_head, meaning="headers a byte a second", options=frozenset({"seconds"}), is_answer=True
    ),
    "drip": FaultKind(
        behave=connections.drip, meaning="a body a byte a second", options=frozenset({"seconds"}), is_answer=True
    ),
    "stall": FaultKind(behave=connections.stall, meaning="half of the reply, then silence"),
    "hang": FaultKind(behave=connections.hang, meaning="silence"),
}
"""The menu of `--fault`, beside the HTTP statuses 400 to 599."""
