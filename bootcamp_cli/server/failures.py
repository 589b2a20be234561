"""A failed attempt: what went wrong, whether another attempt can help, and what it affects.

All kinds of failure are named here, and what the exceptions of the HTTP libraries mean. Also which of a server's own
objects may be kept on disk.
"""

import errno
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from bootcamp_cli.server.endpoint import Endpoint
from bootcamp_cli.text import MAX_RAW_CHARS, one_line, shown_url
from bootcamp_cli.types import RequestFailure, has_non_finite

Scope = Literal["sample", "run_stop", "connect", "model_missing", "abandoned"]
"""What a failure affects: this sample; the whole run, which cannot go on; the server, which cannot be reached;
the model, which the server does not have (yet); nothing, as the request was given up to be sent again."""

_RETRIED_4XX = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.FAILED_DEPENDENCY,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        498,
        499,
    }
)
"""Those that are not about the request itself.

Gateways give 424 where the model server behind them fails (Hugging Face), 498 where its capacity is exceeded (Groq),
499 where the connection to it was closed (nginx).
"""

OF_PROXIES = frozenset({400, 403, 407, 500, 502, 503, 504, 511})
"""Statuses that a proxy gives of its own, where it reads the request."""

_OF_GATEWAYS = frozenset({502, 503, 504, *range(520, 531)})
"""Statuses that a gateway gives while the server behind it is away: those from 520 on are Cloudflare's."""

_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,9})?", re.ASCII)
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""From these numbers on, a reset is a time, not a duration: thirty years."""

_PART = r"(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)%s)?"
_DURATION = re.compile("".join(_PART % unit for unit in ("h", "m", "s", "ms")), re.ASCII)
_RETRY_DELAY = re.compile(rb'"retryDelay"\s*:\s*"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"')
_LOAD = re.compile(r"overload|too many|rate.?limit|throttl|capacity|busy|queue", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"request (?:is )?too large|prompt (?:is )?too (?:long|large)|reduce the (?:length|size)", re.IGNORECASE
)
_DELAY = re.compile(
    r"\b(?:retry|again|wait)\b[^.0-9]{0,30}?(?=[0-9])(?:([0-9]{1,4})m(?:in)?(?!s))?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?(ms|s)(?:ec|econds?)?\b)?",
    re.IGNORECASE,
)
# both take linear time on any text: neither looks beyond the next "<"
_TITLE = re.compile(r"<title\b[^<>]*>([^<]+)", re.IGNORECASE)
_TAG = re.compile(r"<(?:style|script)\b[^<]*|<[^<>]*>", re.IGNORECASE)
# how aiohttp and httpcore tell a CONNECT that was refused, and httpcore a SOCKS proxy that does not know the user
_PROXY_CREDENTIALS = re.compile(r"^407\b|username|authentication", re.IGNORECASE)
# how asyncio tells why each address of a host could not be reached
_CONNECT_FAILED = re.compile(r"\[Errno ([0-9]{1,4})\] Connect call failed \([^()]*\)")
_CONTEXT = re.compile(r"(?:context (?:length|size|window)\b[^0-9]{0,40}|must be <= ?)([0-9]{1,12})\b", re.IGNORECASE)
_PROMPT = re.compile(
    r"\b([0-9]{1,12}) (?:tokens )?(?:(?:in|from|of) (?:the |your )?(?:messages|prompt|text input|input)\b)"
    r"|\b([0-9]{1,12}) `?(?:input|inputs|prompt)`? tokens\b"
    r"|\bprompt contains ([0-9]{1,12}) tokens\b",
    re.IGNORECASE,
)

_TLS_ERRORS = frozenset(
    value for value in vars(ssl).values() if isinstance(value, type) and issubclass(value, ssl.SSLError)
)
"""The standard library's own: aiohttp derives others from them, without their fields."""

MAX_DEPTH = 20

MAX_KEPT_CHARS = 20_000


class AttemptFailed(Exception):  # noqa: N818 - a failed attempt is an outcome, not an error of the program
    """One attempt to get an answer, a model list or a probe failed.

    `kind` is `timeout`, `idle_timeout`, `connection`, `tls`, `rate_limited`, `bad_response`, `cut_off`,
    `balance_used_up` or `http_<status>`;
    `message` one line without control characters; `retry_after_s` the wait that the server asked for, in seconds,
    uncapped.
    """

    def __init__(
        self,
        *,
        kind: str,
        message: str,
        status: int | None = None,
        retryable: bool = True,
        retry_after_s: float | None = None,
        scope: Scope = "sample",
    ) -> None:
        super().__init__(one_line(message))
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.scope: Scope = scope

    @property
    def message(self) -> str:
        """What went wrong, in one line."""
        return str(self.args[0])

    @property
    def is_limit(self) -> bool:
        """Whether the server takes no more requests for now: no fault of the sample.

        That is a 429, and a 503 that asks to wait or speaks of too much load.
        """
        if not self.retryable or self.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            return False
        return self.kind == "rate_limited" or self.retry_after_s is not None or bool(_LOAD.search(self.message))

    @property
    def end(self) -> RequestFailure:
        """The end of the sample whose last attempt this was."""
        return RequestFailure(kind=self.kind, message=self.message, status=self.status)

    def reword(self, message: str) -> None:
        """Replace the message, as redaction does."""
        self.args = (message,)

    def without_frames(self) -> "AttemptFailed":
        """The failure without traceback and causes, whose frames would keep the reply in memory."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


def timed_out(what: str) -> AttemptFailed:
    """The failure of an attempt that took too long."""
    return AttemptFailed(kind="timeout", message=what)


def fell_silent(what: str) -> AttemptFailed:
    """The failure of a stream that began and then brought nothing for too long."""
    return AttemptFailed(kind="idle_timeout", message=what)


def bad_response(what: str, words: str = "") -> AttemptFailed:
    """The failure for a reply that is not an answer; `words` are the server's own."""
    return AttemptFailed(kind="bad_response", message=f"{what}: {words}" if words else what)


CUT_OFF = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})
"""The finish_reasons by which a server says that it did not let the model finish.

vLLM, SGLang and LMDeploy say `abort` or `error`, DeepSeek `insufficient_system_resource`, Zhipu `network_error`; the
text before is the beginning of an answer, not an answer.
"""


def cut_off(finish_reason: str, words: str = "") -> AttemptFailed:
    """The failure for an answer that the server cut off; `words` are its own."""
    what = f"the server cut the answer off (finish_reason {finish_reason})"
    return AttemptFailed(kind="cut_off", message=f"{what}: {words}" if words else what)


_NO_BALANCE = frozenset(
    {
        "402",
        "insufficient_quota",
        "insufficient_balance",
        "insufficient_user_quota",
        "exceeded_current_quota_error",
        "billing_hard_limit_reached",
        "Arrearage",
    }
)
"""The codes and types of an error by which OpenAI, OpenRouter, Moonshot, Alibaba and gateways ask for money.

Some come with 429, like the limits of a rate, or within a 200; none of them goes away by waiting.
"""


def lacks_balance(reply: Any) -> bool:
    """Whether an error, as JSON, says that the balance is used up."""
    error = reply.get("error") if isinstance(reply, dict) else None
    found = error if isinstance(error, dict) else reply if isinstance(reply, dict) else {}
    return any(str(found.get(key)) in _NO_BALANCE for key in ("code", "type") if isinstance(found.get(key), str | int))


def balance_used_up(what: str, words: str, *, status: int | None = None) -> AttemptFailed:
    """The failure for a reply that asks for money: no other request would be answered either."""
    return AttemptFailed(
        kind="balance_used_up",
        message=f"{what}: balance used up: {words}" if words else f"{what}: balance used up",
        status=status,
        retryable=False,
        scope="run_stop",
    )


def error_within(reply: dict[str, Any], where: str) -> AttemptFailed:
    """The failure for an error that a server reports where an answer should be."""
    words = server_words(reply)
    if lacks_balance(reply):
        return balance_used_up(where, words)
    return bad_response(where, words)


def status_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, now_s: float, missing: Scope = "sample"
) -> AttemptFailed:
    """The failure that a reply with a status other than 2xx means.

    `headers` have lower-case names, `now_s` is the time since the epoch by which a Retry-After date is read, and
    `missing` the scope of a 404.
    """
    words, is_out_of_balance = _words_of_body(body)
    message = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if 300 <= status < 400:
        target = shown_url(headers.get("location", "")) or "nowhere"
        message = f"HTTP {status}: redirected to {target}, which is not followed; give that address as url"
    if status == HTTPStatus.PAYMENT_REQUIRED or (400 <= status < 500 and is_out_of_balance):
        return balance_used_up(f"HTTP {status}", words, status=status)
    scope: Scope = "sample"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
        scope = "run_stop"
    elif status == HTTPStatus.NOT_FOUND:
        scope = missing
    retryable = status in _RETRIED_4XX or status >= 500
    if status == HTTPStatus.TOO_MANY_REQUESTS and _TOO_LARGE.search(words):
        retryable = False  # it will be too large the next time, too
    return AttemptFailed(
        kind="rate_limited" if status == HTTPStatus.TOO_MANY_REQUESTS else f"http_{status}",
        message=message,
        status=status,
        retryable=retryable,
        retry_after_s=_wish_s(headers, body, now_s=now_s) if retryable else None,
        scope=scope,
    )


def is_refusal(failure: AttemptFailed) -> bool:
    """Whether the server refused the request itself: a 4xx that is not retried, or a redirect."""
    status = failure.status
    return (
        status is not None and 300 <= status < 500 and status not in _RETRIED_4XX and failure.kind.startswith("http_")
    )


def is_of_gateway(failure: AttemptFailed) -> bool:
    """Whether a gateway may have given the reply because the server behind it is away."""
    return failure.status in _OF_GATEWAYS


def refuses_connections(failure: AttemptFailed) -> bool:
    """Whether nobody listens at the address any more."""
    return failure.scope == "connect" and os.strerror(errno.ECONNREFUSED) in failure.message


def abandoned() -> AttemptFailed:
    """The failure of a request that was given up because the server that had it is gone."""
    return AttemptFailed(kind="connection", message="the server went away and came back", scope="abandoned")


def stated_room(failure: AttemptFailed) -> int | None:
    """How many tokens a refusal says that the context leaves beside the prompt; None where it does not say both.

    vLLM, SGLang, OpenAI and others: "maximum context length is 4096 tokens and your request has 1000 input tokens";
    text-generation-inference: "must be <= 4096. Given: 1000 `inputs` tokens".
    """
    if failure.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return None
    context, prompt = _CONTEXT.search(failure.message), _PROMPT.search(failure.message)
    if context is None or prompt is None:
        return None
    return int(context[1]) - int(next(number for number in prompt.groups() if number))


def has_no_list(failure: AttemptFailed) -> bool:
    """Whether a failed request for the model list says that the server has none, rather than that it is not ready."""
    return failure.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


def parse_retry_after(value: str, *, now_s: float) -> float | None:
    """The seconds to wait from a Retry-After header: a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    A date in the past is 0. None where there is no such header or its value makes no sense (negative, not a number).
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        at_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, at_s - now_s)


def _wish_s(headers: Mapping[str, str], body: bytes, *, now_s: float) -> float | None:
    """How long the server asks to wait, in seconds: by the more exact header, by Retry-After, or in the body."""
    in_ms = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(in_ms):
        return float(in_ms) / 1000
    asked = parse_retry_after(headers.get("retry-after", ""), now_s=now_s)
    if asked is None:
        asked = delay_in_body(body)
    return _time_to_reset(headers, now_s=now_s) if asked is None else asked


def _time_to_reset(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """The seconds until the limits that are used up are reset, by `x-ratelimit-*`; None where none is told of.

    OpenAI, Groq and others tell of requests and of tokens in a header each, some gateways of one limit alone.
    """
    found = []
    for of in ("", "-requests", "-tokens"):
        remaining = headers.get(f"x-ratelimit-remaining{of}", "").strip()
        if _SECONDS.fullmatch(remaining) and not float(remaining):
            found.append(parse_reset(headers.get(f"x-ratelimit-reset{of}", ""), now_s=now_s))
    return max((reset_s for reset_s in found if reset_s is not None), default=None)


def parse_reset(value: str, *, now_s: float) -> float | None:
    """The seconds until a limit is reset: `6m0s`, `12ms`, a number of them, or a time in seconds or ms since the epoch.

    None for anything else.
    """
    value = value.strip()
    if _NUMBER.fullmatch(value):
        number = float(value)
        if number >= _EPOCH_S:
            number = number / (1000 if number >= _EPOCH_MS else 1) - now_s
        return max(0.0, number)
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds, ms = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds + ms / 1000


def delay_in_body(body: bytes) -> float | None:
    """The seconds to wait that an error body states: `retryDelay` of its details, or words as in `retry in 7.66s`."""
    if len(body) > MAX_RAW_CHARS:
        return None
    for stated in _RETRY_DELAY.finditer(body):
        return float(stated[1])
    for found in _DELAY.finditer(body.decode("utf-8", errors="replace")):
        minutes, number, unit = found.groups()
        if minutes or number:
            return 60.0 * float(minutes or 0) + float(number or 0) * (0.001 if unit and unit.lower() == "ms" else 1)
    return None


def server_words(reply: Any) -> str:
    """The server's own message in a JSON reply, in any of the forms in use; the reply itself as text otherwise."""
    match reply:
        case {"error": {"message": str(words), "param": str(name)}} if name and name not in words:
            return f"{words[:MAX_RAW_CHARS]} (parameter '{name[:MAX_RAW_CHARS]}')"
        case (
            str(words)
            | {"error": {"message": str(words)}}
            | {"error": str(words)}
            | {"message": str(words)}
            | {"detail": str(words)}
        ):
            return words[:MAX_RAW_CHARS]
        case {"detail": [{"msg": str(words), "loc": place}, *_]}:  # FastAPI's validation errors
            return f"{words[:MAX_RAW_CHARS]} ({place})" if is_keepable(place) else words[:MAX_RAW_CHARS]
        case {"error": error} if error:
            reply = error
    try:
        if is_keepable(reply):
            return json.dumps(reply, ensure_ascii=False)
        return msgspec.json.encode(reply)[:MAX_RAW_CHARS].decode(errors="replace")  # large ones in a tenth of the time
    except (ValueError, RecursionError):
        return ""


def _words_of_body(body: bytes) -> tuple[str, bool]:
    """The message in a body that may be JSON, HTML or anything else, and whether it asks for money."""
    if len(body) > MAX_RAW_CHARS:
        return html_words(body), False
    try:
        reply = json.loads(body)
        return server_words(reply), lacks_balance(reply)
    except (ValueError, RecursionError):
        return html_words(body), False


def html_words(body: bytes) -> str:
    """The title of an HTML page, else its text without tags; any other text as it is."""
    text = body[:MAX_RAW_CHARS].decode("utf-8", errors="replace")
    if not text.lstrip().startswith("<"):
        return text
    title = _TITLE.search(text)
    return one_line(title.group(1) if title else _TAG.sub(" ", text))


@dataclass(frozen=True, slots=True)
class Meaning:
    """The kind of failure, its text with `{url}` in it, what it affects, and whether another attempt can help."""

    kind: str
    text: str
    scope: Scope = "sample"
    retryable: bool = True


Meanings = Mapping[type[Exception], Meaning]
"""What the exceptions of a library mean; a class that is not listed means what its base class does."""

NO_CONNECTION = Meaning("connection", "cannot connect to {url}", "connect")
NO_CONNECTION_IN_TIME = Meaning("timeout", "no connection to {url} in time", "connect")
NO_PROXY = Meaning("connection", "cannot reach {url} through the proxy {proxy}", "connect")
PROXY_REFUSES_KEY = Meaning("connection", "the proxy {proxy} refuses user or password", "run_stop", retryable=False)
LOST = Meaning("connection", "connection to {url} lost")
UNUSABLE = Meaning("connection", "{url} cannot be asked", "run_stop", retryable=False)
BROKEN = Meaning("bad_response", "a broken reply from {url}")
NO_REPLY_IN_TIME = Meaning("timeout", "no reply from {url} in time")


@contextmanager
def translated(endpoint: Endpoint, meanings: Meanings) -> Iterator[None]:
    """Translate exceptions raised within into failures."""
    try:
        yield
    except tuple(meanings) as error:
        raise translate(error, endpoint, meanings) from error


def translate(error: Exception, endpoint: Endpoint, meanings: Meanings) -> AttemptFailed:
    """The failure that an exception means; certificate errors stop the run."""
    reason = ""
    for cause in _causes(error):
        if type(cause) is ssl.SSLCertVerificationError:
            text = f"certificate of {endpoint.base_url} not accepted: {cause.verify_message}"
            return AttemptFailed(kind="tls", message=text, retryable=False, scope="run_stop")
        if type(cause) in _TLS_ERRORS and isinstance(cause, ssl.SSLError):
            text = f"no TLS connection to {endpoint.base_url}: {cause.reason or cause}"
            return AttemptFailed(kind="tls", message=text, scope="connect")
        reason = _reason(cause) or reason
    meaning = meaning_of(type(error), meanings)
    if meaning is NO_PROXY and _PROXY_CREDENTIALS.search(reason):
        meaning = PROXY_REFUSES_KEY
    text = meaning.text.format(url=endpoint.base_url, proxy=endpoint.proxy)
    return AttemptFailed(
        kind=meaning.kind,
        message=f"{text}: {reason}" if reason else text,
        retryable=meaning.retryable,
        scope=meaning.scope,
    )


def meaning_of(error_class: type[Exception], meanings: Meanings) -> Meaning:
    """What a class of exceptions, or its nearest listed base class, means."""
    return next(meanings[base] for base in error_class.__mro__ if base in meanings)


def _reason(cause: BaseException) -> str:
    """The text of one exception; for a system error the system's words, without asyncio's address tuples."""
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno:
        return os.strerror(cause.errno)
    status, message = getattr(cause, "status", None), getattr(cause, "message", None)
    if isinstance(status, int) and isinstance(message, str):  # aiohttp's own text shows the whole address
        return f"{status} {message}".strip()
    text = str(getattr(cause, "strerror", None) or cause).rstrip(".")
    return _CONNECT_FAILED.sub(lambda found: os.strerror(int(found[1])), text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and its causes, down to the first; of a group, the first member."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_keepable(value: Any) -> bool:
    """Whether a JSON value is small and shallow enough to be kept, and can be written as UTF-8.

    How deep a value the parser can write and read back depends on the depth of the calls around it, which differs from
    place to place: a value within `MAX_DEPTH` can be read in all of them.
    """
    if _is_small(value):
        return True
    room = MAX_KEPT_CHARS
    left = [(value, 0)]
    while left:
        item, depth = left.pop()
        children: list[Any] = []
        if isinstance(item, str):
            room -= len(item)
        elif isinstance(item, dict | list):
            room -= len(item)
            if room < 0 or depth == MAX_DEPTH:
                return False
            children = [*item, *item.values()] if isinstance(item, dict) else item
        left += [(child, depth + 1) for child in children]
    if room < 0:
        return False
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _is_small(value: Any) -> bool:
    """Whether a value can surely be kept; nearly all can."""
    try:
        text = msgspec.json.encode(value)
    except (UnicodeEncodeError, RecursionError):
        return False
    if len(text) > MAX_KEPT_CHARS or text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        return False
    return b"null" not in text or not has_non_finite(value)
