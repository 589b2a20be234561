"""Requests through aiohttp, a quarter of httpx's cost; the only file that imports aiohttp."""

import asyncio
import io
import selectors
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.server.body import read_body
from bootcamp_cli.server.endpoint import Endpoint, proxy_for, tls_context
from bootcamp_cli.server.failures import (
    BROKEN,
    LOST,
    NO_CONNECTION,
    NO_CONNECTION_IN_TIME,
    NO_PROXY,
    NO_REPLY_IN_TIME,
    UNUSABLE,
    Meanings,
    translate,
    translated,
)
from bootcamp_cli.server.response import MAX_BODY_BYTES
from bootcamp_cli.server.transport import KEEPALIVE_S, SOCKET_OPTIONS, OpenReply, Reply
from bootcamp_cli.settings.convert import is_host
from bootcamp_cli.text import shown_url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


_LARGE_BODY_BYTES = 1024 * 1024
"""aiohttp writes a larger body piece by piece where it comes as a file."""

_SMALL_BODY_BYTES = 128 * 1024
"""A body whose announced length is smaller is read at once."""

_READ_BYTES = 64 * 1024
"""The most that is read from a connection at once, so that the event loop serves hundreds of full ones fairly."""

_MAX_FIELD_BYTES = 64 * 1024
"""The longest line of a reply's head: gateways add policies, tokens and traces that are longer than aiohttp's 8 KiB."""

_MAX_FIELDS = 512


class AiohttpTransport:
    """One pool of connections: finding a free one takes the same time, however many there are.

    Raises SettingsError for a certificate bundle, proxy or host name that cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, environ: Mapping[str, str], max_body_bytes: int = MAX_BODY_BYTES) -> None:
        proxy = proxy_for(endpoint.base_url, environ)
        self.endpoint = endpoint.behind(proxy)
        self._max_body_bytes = max_body_bytes
        self._tls = tls_context(endpoint, environ)
        self._tls.sslobject_class = _TlsObject
        self._proxy, self._proxy_headers = _proxy(proxy)
        headers = {name.decode("ascii"): value.decode() for name, value in endpoint.headers}
        headers["Accept-Encoding"] = "identity"
        if endpoint.base_url.startswith("http:"):  # no tunnel: the proxy reads the request itself
            headers |= self._proxy_headers
        # the headers of a session, which cost less, would also go to the proxy, including the key
        self._headers, self._session_headers = ({}, headers) if self._proxy is None else (headers, {})
        self._urls: dict[str, URL] = {}
        self._opened: aiohttp.ClientSession | None = None
        self._url("")

    async def post(self, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        return await self._whole("POST", self._url(path), body)

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        return self._stream(self._url(path), body)

    async def get(self, path: str, *, beside_api: bool = False) -> Reply:
        """Ask for a path, of the API or of what the server offers beside it, and read the whole reply."""
        url = self._usable(self.endpoint.url_beside(path) if beside_api else self.endpoint.url_of(path))
        return await self._whole("GET", url, None)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            connector = self._opened.connector  # the session forgets it
            await self._opened.close()
            if isinstance(connector, _Connector):
                connector.unwatch()

    async def _whole(self, method: str, url: URL, body: bytes | None) -> Reply:
        try:
            response = await self._response(method, url, body)
            headers = response.headers
            if self._is_small(response):
                content = await response.read()  # it closes itself where that fails
            else:
                async with response:
                    content = await read_body(response.content.iter_any(), headers, max_bytes=self._max_body_bytes)
        except _TRANSLATED as error:
            raise translate(error, self.endpoint, MEANINGS) from error
        return Reply(status=response.status, headers=headers, body=content)

    @asynccontextmanager
    async def _stream(self, url: URL, body: bytes) -> AsyncIterator[OpenReply]:
        with translated(self.endpoint, MEANINGS):
            async with await self._response("POST", url, body) as response:
                chunks = response.content.iter_any()
                yield OpenReply(status=response.status, headers=response.headers, chunks=chunks)

    def _is_small(self, response: aiohttp.ClientResponse) -> bool:
        """Whether the body's announced length is small enough to read it without checks."""
        announced = response.content_length
        limit = min(_SMALL_BODY_BYTES, self._max_body_bytes)
        return announced is not None and announced <= limit and "Content-Encoding" not in response.headers

    async def _response(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        """Send a request; where a kept connection turns out to be closed, at once again on a new one."""
        session, use = self._session(), _Use()
        token = _use.set(use)
        try:
            while True:
                if session.closed:  # by now: a server that has left the run may be asked about its load
                    raise aiohttp.ClientConnectionError("all connections were closed")
                data = _payload(body) if body else None
                try:
                    return await session.request(
                        method,
                        url,
                        data=data,
                        headers=self._headers,
                        proxy=self._proxy,
                        proxy_headers=self._proxy_headers,
                        allow_redirects=False,
                    )
                except aiohttp.ClientConnectionError as error:
                    if use.needs_new or not (use.is_unanswered or _was_closing(error)):
                        raise
                    use.needs_new = True
        finally:
            _use.reset(token)

    def _session(self) -> aiohttp.ClientSession:
        """The session, which can only be made within a running event loop."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=_Connector(
                    limit=0,
                    keepalive_timeout=KEEPALIVE_S,
                    ssl=self._tls,
                    resolver=aiohttp.ThreadedResolver(),
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers=self._session_headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=_MAX_FIELD_BYTES,
                max_field_size=_MAX_FIELD_BYTES,
                max_headers=_MAX_FIELDS,
                trust_env=False,
            )
        return self._opened

    def _url(self, path: str) -> URL:
        if path not in self._urls:
            self._urls[path] = self._usable(self.endpoint.url_of(path))
        return self._urls[path]

    def _usable(self, address: str) -> URL:
        try:
            url = URL(address)
            url.raw_host  # noqa: B018 - raises for a host name that cannot be encoded
        except ValueError as error:
            raise SettingsError(f"url: {self.endpoint.base_url}: not a usable host name ({error})") from None
        return url


class _Socket(socket.socket):
    """A socket that reads in small pieces, and counts what it read."""

    n_received = 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Like the base method, but never more than a piece at once."""
        data = super().recv(min(bufsize, _READ_BYTES), flags)
        self.n_received += len(data)
        return data

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Like the base method, but never more than a piece at once."""
        n_bytes = super().recv_into(buffer, min(nbytes or memoryview(buffer).nbytes, _READ_BYTES), flags)
        self.n_received += n_bytes
        return n_bytes


class _TlsObject(ssl.SSLObject):
    """A TLS connection that counts what was read of replies; TLS itself ends with a message, too."""

    n_received = 0

    def read(self, *args: Any, **options: Any) -> Any:
        """Like the base method."""
        read: Any = super().read(*args, **options)
        self.n_received += read if isinstance(read, int) else len(read)
        return read


def piecewise_socket(address: aiohttp.AddrInfoType) -> _Socket:
    """A socket for the connector that is read in small pieces."""
    family, kind, protocol, _, _ = address
    made = _Socket(family, kind, protocol)
    for level, option, value in SOCKET_OPTIONS:
        made.setsockopt(level, option, value)
    return made


class _Use:
    """The connection that a request got: a kept one may have been closed by the server just before.

    Some servers promise to keep connections and close each after its reply. A request that meets such an end is not
    lost, as long as no byte of a reply has come.
    """

    __slots__ = ("_kept", "_n_before", "needs_new")

    def __init__(self) -> None:
        self.needs_new = False
        self._kept: _Socket | _TlsObject | None = None
        self._n_before = 0

    def take(self, kept: "_Socket | _TlsObject | None") -> None:
        """The request goes out on this kept connection, or on a new one."""
        self._kept = kept
        self._n_before = kept.n_received if kept is not None else 0

    @property
    def is_unanswered(self) -> bool:
        """Whether nothing came on a connection that had been used before."""
        return self._kept is not None and self._kept.n_received == self._n_before


_use: ContextVar[_Use] = ContextVar("_use")


class _Connector(aiohttp.TCPConnector):
    """A connector that reuses no connection that received unasked data, which would be read as the next reply."""

    def __init__(self, **options: Any) -> None:
        super().__init__(socket_factory=self._new_socket, **options)
        self._sockets: WeakValueDictionary[int, _Socket] = WeakValueDictionary()
        self._watched: WeakKeyDictionary[ResponseHandler, _Socket] = WeakKeyDictionary()
        self._selector = selectors.DefaultSelector()
        self._readable: Collection[int] | None = None

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> "Connection":
        """A new connection, or a kept one that is silent; aiohttp itself only checks when it puts one back."""
        use = _use.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                return connection
            kept = self._watched.get(protocol)
            # neither read by the event loop nor waiting to be read
            if kept is None or not (use.needs_new or protocol.should_close or kept.fileno() in self._with_data()):
                use.take(kept and transport.get_extra_info("ssl_object", kept))
                if kept is None:
                    self._watched[protocol] = self._watch(transport.get_extra_info("socket").fileno())
                return connection
            connection.close()

    def unwatch(self) -> None:
        """Give back what watching the connections takes, once they are closed."""
        self._selector.close()

    def _new_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        made = piecewise_socket(address)
        self._sockets[made.fileno()] = made
        return made

    def _watch(self, descriptor: int) -> _Socket:
        with suppress(KeyError):  # of a connection that was closed
            self._selector.unregister(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ)
        return self._sockets[descriptor]

    def _with_data(self) -> Collection[int]:
        """The connections on which data waits, looked up once in each pass of the event loop, for all of them.

        A look lets other threads run, which delays this one: once for each request costs a twentieth of a run.
        """
        if self._readable is None:
            self._readable = {key.fd for key, _ in self._selector.select(0)}
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._readable

    def _look_again(self) -> None:
        self._readable = None


def _payload(body: bytes) -> aiohttp.Payload:
    return aiohttp.BytesPayload(body) if len(body) <= _LARGE_BODY_BYTES else aiohttp.BytesIOPayload(io.BytesIO(body))


def _was_closing(error: aiohttp.ClientConnectionError) -> bool:
    """Whether the connection was closing before a byte of the request could be written."""
    return isinstance(error, aiohttp.ClientConnectionResetError) or isinstance(
        error.__cause__, aiohttp.ClientConnectionResetError
    )


def _proxy(url: str | None) -> tuple[URL | None, dict[str, str]]:
    """The proxy's address without its credentials, which errors would show, and the credentials as a header."""
    if url is None:
        return None, {}
    try:
        proxy = URL(url)
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not is_host(proxy.host or ""):
        raise SettingsError(f"proxy {shown_url(url)}: not a usable proxy address", hint="see http_proxy")
    if proxy.user is None and proxy.password is None:
        return proxy, {}
    basic = b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode()).decode("ascii")
    return proxy.with_user(None), {"Proxy-Authorization": f"Basic {basic}"}


MEANINGS: Meanings = {
    aiohttp.ConnectionTimeoutError: NO_CONNECTION_IN_TIME,
    aiohttp.ServerTimeoutError: NO_REPLY_IN_TIME,
    aiohttp.ClientHttpProxyError: NO_PROXY,
    aiohttp.ClientProxyConnectionError: NO_PROXY,
    aiohttp.ClientConnectorError: NO_CONNECTION,
    aiohttp.ClientSSLError: NO_CONNECTION,
    aiohttp.InvalidURL: UNUSABLE,
    aiohttp.ClientResponseError: LOST,
    aiohttp.ClientPayloadError: LOST,
    aiohttp.ClientConnectionError: LOST,
    aiohttp.ContentTypeError: BROKEN,
    aiohttp.TooManyRedirects: BROKEN,
    aiohttp.ClientError: BROKEN,
    http_exceptions.HttpProcessingError: LOST,
    UnicodeError: BROKEN,
    OSError: LOST,
}
"""Every exception of aiohttp, directly or through a base class, and those of lower layers that it lets through."""

_TRANSLATED = tuple(MEANINGS)
