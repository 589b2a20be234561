"""A failed try: what went wrong, whether another try can help, and whom it concerns."""

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from bootcamp_cli.client.keepable import is_keepable
from bootcamp_cli.client.shown import MAX_RAW_CHARS, one_line, shown_url

Scope = Literal["sample", "run_stop", "connect", "model_missing"]
"""Whom a failure concerns: this sample; the whole run, which cannot go on; the server, which cannot be reached;
the model, which the server does not (yet) have."""

_RETRIED_4XX = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_STOPPING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
# both take time in proportion to the text, whatever stands in it: neither looks beyond the next "<"
_TITLE = re.compile(r"<title\b[^<>]*>([^<]+)", re.IGNORECASE)
_TAG = re.compile(r"<(?:style|script)\b[^<]*|<[^<>]*>", re.IGNORECASE)


class TryFailed(Exception):  # noqa: N818 - a try that failed is an outcome, not an error of the program
    """One try to get an answer, model list or probe failed.

    `kind` is `timeout`, `idle_timeout`, `connection`, `tls`, `rate_limited`, `bad_response` or `http_<status>`;
    `message` one line without control characters; `retry_after_s` what the server asked for, in seconds, uncapped.
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

    def reword(self, message: str) -> None:
        """Replace the message, as redaction does."""
        self.args = (message,)

    def without_frames(self) -> "TryFailed":
        """The failure without traceback and causes, whose frames would hold the reply for as long as it is kept."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


def bad_response(what: str, words: str = "") -> TryFailed:
    """The failure of a reply that is no answer; `words` are the server's own."""
    return TryFailed(kind="bad_response", message=f"{what}: {words}" if words else what)


def status_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, now_s: float, missing: Scope = "sample"
) -> TryFailed:
    """The failure that a reply with a status other than 2xx stands for.

    `headers` have lower-case names, `now_s` is the time since the epoch by which a Retry-After date is read, and
    `missing` the scope of a 404.
    """
    words = _words_of_body(body)
    message = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if 300 <= status < 400:
        target = shown_url(headers.get("location", "")) or "nowhere"
        message = f"HTTP {status}: redirected to {target}, which is not followed; give the address itself as url"
    scope: Scope = "sample"
    if status in _STOPPING:
        scope = "run_stop"
    elif status == HTTPStatus.NOT_FOUND:
        scope = missing
    retryable = status in _RETRIED_4XX or status >= 500
    return TryFailed(
        kind="rate_limited" if status == HTTPStatus.TOO_MANY_REQUESTS else f"http_{status}",
        message=message,
        status=status,
        retryable=retryable,
        retry_after_s=parse_retry_after(headers.get("retry-after", ""), now_s=now_s) if retryable else None,
        scope=scope,
    )


def parse_retry_after(value: str, *, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    A date in the past is 0. None where there is no such header or it says nothing sensible (negative, not a number).
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


def server_words(reply: Any) -> str:
    """The server's own message in a JSON reply, in any of the forms in use; the reply itself as text otherwise."""
    match reply:
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


def _words_of_body(body: bytes) -> str:
    """The message in a body that may be JSON, HTML or anything else."""
    try:
        return server_words(json.loads(body)) if len(body) <= MAX_RAW_CHARS else html_words(body)
    except (ValueError, RecursionError):
        return html_words(body)


def html_words(body: bytes) -> str:
    """The title of an HTML page, else its text without tags; any other text as it is."""
    text = body[:MAX_RAW_CHARS].decode("utf-8", errors="replace")
    if not text.lstrip().startswith("<"):
        return text
    title = _TITLE.search(text)
    return one_line(title.group(1) if title else _TAG.sub(" ", text))
