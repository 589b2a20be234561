"""What an exception of an HTTP library stands for: the failure of a try."""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bootcamp_cli.client.endpoint import Endpoint
from bootcamp_cli.client.failures import Scope, TryFailed


@dataclass(frozen=True, slots=True)
class Meaning:
    """The kind of failure, its text with `{url}` in it, whom it concerns, and whether another try can help."""

    kind: str
    text: str
    scope: Scope = "sample"
    retryable: bool = True


Meanings = Mapping[type[Exception], Meaning]
"""What the exceptions of a library stand for; a class that is not named means what its base does."""

NO_CONNECTION = Meaning("connection", "cannot connect to {url}", "connect")
NO_CONNECTION_IN_TIME = Meaning("timeout", "no connection to {url} in time", "connect")
NO_PROXY = Meaning("connection", "cannot reach {url} through the proxy", "connect")
LOST = Meaning("connection", "connection to {url} lost")
UNUSABLE = Meaning("connection", "{url} cannot be asked", "run_stop", retryable=False)
BROKEN = Meaning("bad_response", "a broken reply of {url}")
NO_REPLY_IN_TIME = Meaning("timeout", "no reply of {url} in time")


_TLS_ERRORS = frozenset(
    value for value in vars(ssl).values() if isinstance(value, type) and issubclass(value, ssl.SSLError)
)
"""The standard library's own: aiohttp derives others from them, without their fields."""


@contextmanager
def translated(endpoint: Endpoint, meanings: Meanings) -> Iterator[None]:
    """Raise the failure that stands for what is raised within."""
    try:
        yield
    except tuple(meanings) as error:
        raise translate(error, endpoint, meanings) from error


def translate(error: Exception, endpoint: Endpoint, meanings: Meanings) -> TryFailed:
    """The failure that an exception stands for; certificate errors stop the run."""
    reason = ""
    for cause in _causes(error):
        if type(cause) is ssl.SSLCertVerificationError:
            text = f"certificate of {endpoint.base_url} not accepted: {cause.verify_message}"
            return TryFailed(kind="tls", message=text, retryable=False, scope="run_stop")
        if type(cause) in _TLS_ERRORS and isinstance(cause, ssl.SSLError):
            text = f"no TLS connection to {endpoint.base_url}: {cause.reason or cause}"
            return TryFailed(kind="tls", message=text, scope="connect")
        reason = _reason(cause) or reason
    meaning = meaning_of(type(error), meanings)
    text = meaning.text.format(url=endpoint.base_url)
    return TryFailed(
        kind=meaning.kind,
        message=f"{text}: {reason}" if reason else text,
        retryable=meaning.retryable,
        scope=meaning.scope,
    )


def meaning_of(error_class: type[Exception], meanings: Meanings) -> Meaning:
    """What a class of exceptions, or its nearest base that is named, stands for."""
    return next(meanings[base] for base in error_class.__mro__ if base in meanings)


def _reason(cause: BaseException) -> str:
    """What one exception says; for a system error the system's words, without asyncio's address tuples."""
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno:
        return os.strerror(cause.errno)
    status, message = getattr(cause, "status", None), getattr(cause, "message", None)
    if isinstance(status, int) and isinstance(message, str):  # aiohttp's own text has the address with all its parts
        return f"{status} {message}".strip()
    return str(getattr(cause, "strerror", None) or cause).rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it, down to the first cause; of a group the first member."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        yield cause
        cause = cause.__cause__ or cause.__context__
