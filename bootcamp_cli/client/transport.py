"""The seam between requests and the HTTP library; the only file that imports httpx."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import anyio
import httpx

from bootcamp_cli.client.body import read_body
from bootcamp_cli.client.endpoint import Endpoint
from bootcamp_cli.client.failures import Scope, TryFailed
from bootcamp_cli.client.proxies import proxy_for
from bootcamp_cli.client.reply import MAX_BODY_BYTES
from bootcamp_cli.client.shown import shown_url
from bootcamp_cli.errors import SettingsError

KEEPALIVE_S = 3.0
"""An idle connection older than this is not used again: servers commonly close theirs after 5 s."""

_MODELS_LANE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply of any status; `headers` have lower-case names, `body` is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReply:
    """A reply whose body is still to come; `chunks` are its raw bytes."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Sends requests to one endpoint. A lane is one connection: its user sends one request at a time.

    Everything raises TryFailed where there is no whole reply, and sets no time limits: those are the caller's.
    """

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        ...

    async def post(self, lane: int, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        ...

    def post_stream(self, lane: int, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        ...

    async def get(self, path: str) -> Reply:
        """Ask for a path and read the whole reply."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class HttpxTransport:
    """One httpx transport, with its own connection, for each lane.

    A pool shared by all lanes costs time with the square of the connections. The lanes share one TLS context and one
    reading of `environ` (proxies, SSL_CERT_FILE, SSL_CERT_DIR). httpx's client above the transport, with its cookies,
    redirects and .netrc, is left out: there is one address, and a key must not follow a redirect.
    Raises SettingsError for a certificate bundle, proxy or host name that cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        environ: Mapping[str, str] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.endpoint = endpoint
        self._max_body_bytes = max_body_bytes
        self._tls = _tls_context(endpoint, environ)
        self._proxy = _proxy(endpoint, environ, self._tls)
        self._headers = httpx.Headers([*endpoint.headers, (b"Accept-Encoding", b"identity")])
        self._urls: dict[str, httpx.URL] = {}
        self._lanes: dict[int, httpx.AsyncHTTPTransport] = {}
        self._url("")

    async def post(self, lane: int, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        return await self._whole(lane, httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    def post_stream(self, lane: int, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        return self._send(lane, httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    async def get(self, path: str) -> Reply:
        """Ask for a path and read the whole reply."""
        return await self._whole(_MODELS_LANE, httpx.Request("GET", self._url(path), headers=self._headers))

    async def aclose(self) -> None:
        """Close all connections."""
        while self._lanes:
            _, lane = self._lanes.popitem()
            await lane.aclose()

    async def _whole(self, lane: int, request: httpx.Request) -> Reply:
        async with self._send(lane, request) as reply:
            body = await read_body(reply.chunks, reply.headers, max_bytes=self._max_body_bytes)
        return Reply(status=reply.status, headers=reply.headers, body=body)

    @asynccontextmanager
    async def _send(self, lane: int, request: httpx.Request) -> AsyncIterator[OpenReply]:
        with _translated(self.endpoint):
            response = await self._lane(lane).handle_async_request(request)
            try:
                headers = {name.lower(): value for name, value in response.headers.items()}
                yield OpenReply(status=response.status_code, headers=headers, chunks=response.aiter_raw())
            finally:
                await response.aclose()

    def _lane(self, lane: int) -> httpx.AsyncHTTPTransport:
        if lane not in self._lanes:
            self._lanes[lane] = httpx.AsyncHTTPTransport(
                verify=self._tls,
                trust_env=False,
                proxy=self._proxy,
                limits=httpx.Limits(max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_S),
            )
        return self._lanes[lane]

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            try:
                self._urls[path] = httpx.URL(self.endpoint.url_of(path))
            except httpx.InvalidURL as error:
                raise SettingsError(f"url: {self.endpoint.base_url}: {error}") from None
        return self._urls[path]


def _tls_context(endpoint: Endpoint, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The TLS context of all lanes; for an http address one that trusts nobody, as reading certificates takes 25 ms."""
    if endpoint.insecure:
        return httpx.create_ssl_context(verify=False)
    bundle = str(endpoint.ca_bundle) if endpoint.ca_bundle else None
    try:
        if bundle:
            is_dir = endpoint.ca_bundle is not None and endpoint.ca_bundle.is_dir()
            return ssl.create_default_context(cafile=None if is_dir else bundle, capath=bundle if is_dir else None)
        proxied = (proxy_for(endpoint.base_url, environ) or "").startswith("https")
        if not endpoint.base_url.startswith("https:") and not proxied:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
            cafile, capath = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
            return ssl.create_default_context(cafile=cafile or None, capath=None if cafile else capath)
        return httpx.create_ssl_context(trust_env=False)
    except OSError as error:
        where = f"ca_bundle: {bundle}" if bundle else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise SettingsError(f"{where}: no usable certificates: {error.strerror or error}") from None


def _proxy(endpoint: Endpoint, environ: Mapping[str, str], tls: ssl.SSLContext) -> httpx.Proxy | None:
    url = proxy_for(endpoint.base_url, environ)
    if url is None:
        return None
    if url.startswith("socks") and find_spec("socksio") is None:
        raise SettingsError(
            f"proxy {shown_url(url)}: the package socksio is not installed", hint="pip install 'httpx[socks]'"
        )
    try:
        return httpx.Proxy(url, ssl_context=tls if url.startswith("https:") else None)
    except (httpx.InvalidURL, ValueError):
        raise SettingsError(f"proxy {shown_url(url)}: not a usable proxy address", hint="see http_proxy") from None


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: str
    text: str
    scope: Scope = "sample"
    retryable: bool = True


_NO_CONNECTION = _Meaning("connection", "cannot connect to {url}", "connect")
_LOST = _Meaning("connection", "connection to {url} lost")
_UNUSABLE = _Meaning("connection", "{url} cannot be asked", "run_stop", retryable=False)
_BROKEN = _Meaning("bad_response", "a broken reply of {url}")

MEANINGS: Mapping[type[Exception], _Meaning] = {
    httpx.ConnectTimeout: _Meaning("timeout", "no connection to {url} in time", "connect"),
    httpx.ReadTimeout: _Meaning("timeout", "no reply of {url} in time"),
    httpx.WriteTimeout: _Meaning("timeout", "request to {url} not taken in time"),
    httpx.PoolTimeout: _Meaning("timeout", "no free connection to {url} in time"),
    httpx.TimeoutException: _Meaning("timeout", "no reply of {url} in time"),
    httpx.ConnectError: _NO_CONNECTION,
    httpx.ProxyError: _Meaning("connection", "cannot reach {url} through the proxy", "connect"),
    httpx.UnsupportedProtocol: _UNUSABLE,
    httpx.InvalidURL: _UNUSABLE,
    httpx.CookieConflict: _UNUSABLE,
    httpx.ReadError: _LOST,
    httpx.WriteError: _LOST,
    httpx.CloseError: _LOST,
    httpx.NetworkError: _LOST,
    httpx.RemoteProtocolError: _LOST,
    httpx.LocalProtocolError: _LOST,
    httpx.ProtocolError: _LOST,
    httpx.TransportError: _LOST,
    httpx.DecodingError: _BROKEN,
    httpx.TooManyRedirects: _BROKEN,
    httpx.RequestError: _BROKEN,
    httpx.HTTPStatusError: _BROKEN,
    httpx.HTTPError: _BROKEN,
    httpx.StreamError: _BROKEN,
    httpx.StreamConsumed: _BROKEN,
    httpx.StreamClosed: _BROKEN,
    httpx.ResponseNotRead: _BROKEN,
    httpx.RequestNotRead: _BROKEN,
    anyio.BrokenResourceError: _LOST,
    anyio.ClosedResourceError: _LOST,
    anyio.EndOfStream: _LOST,
    OSError: _LOST,
}
"""What each exception of httpx, and those of the layers below that it lets through, stand for."""


@contextmanager
def _translated(endpoint: Endpoint) -> Iterator[None]:
    try:
        yield
    except tuple(MEANINGS) as error:
        raise translate(error, endpoint) from error


def translate(error: Exception, endpoint: Endpoint) -> TryFailed:
    """The failure that an exception of the HTTP library stands for; certificate errors stop the run."""
    reason = ""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"certificate of {endpoint.base_url} not accepted: {cause.verify_message}"
            return TryFailed(kind="tls", message=text, retryable=False, scope="run_stop")
        if isinstance(cause, ssl.SSLError):
            text = f"no TLS connection to {endpoint.base_url}: {cause.reason or cause}"
            return TryFailed(kind="tls", message=text, scope="connect")
        reason = _reason(cause) or reason
    meaning = next(MEANINGS[base] for base in type(error).__mro__ if base in MEANINGS)
    text = meaning.text.format(url=endpoint.base_url)
    return TryFailed(
        kind=meaning.kind,
        message=f"{text}: {reason}" if reason else text,
        retryable=meaning.retryable,
        scope=meaning.scope,
    )


def _reason(cause: BaseException) -> str:
    """What one exception says; for a system error the system's words, without asyncio's address tuples."""
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.errno:
        return os.strerror(cause.errno)
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
