"""Requests through httpx, for what aiohttp cannot do (SOCKS proxies); the only file that imports httpx and httpcore."""

import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

import anyio
import h11
import httpcore
import httpx

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
    Meaning,
    Meanings,
    translated,
)
from bootcamp_cli.server.response import MAX_BODY_BYTES
from bootcamp_cli.server.transport import KEEPALIVE_S, SOCKET_OPTIONS, OpenReply, Reply
from bootcamp_cli.settings.convert import is_host
from bootcamp_cli.text import shown_url

_MAX_HEAD_BYTES = 100 * 1024
"""As in httpcore."""


class HttpxTransport:
    """Several clients, each with at most one request in flight: httpcore looks through all its connections.

    A request goes to the client that was in use last, or to a new one when none is idle. They share one TLS context and
    one reading of `environ`. Redirects, cookies and .netrc are left out.
    Raises SettingsError for a certificate bundle, proxy or host name that cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, environ: Mapping[str, str], max_body_bytes: int = MAX_BODY_BYTES) -> None:
        proxy = proxy_for(endpoint.base_url, environ)
        self.endpoint = endpoint.behind(proxy)
        self._max_body_bytes = max_body_bytes
        self._tls = tls_context(endpoint, environ)
        self._proxy = self._proxy_of(proxy)
        self._headers = httpx.Headers([*endpoint.headers, (b"Accept-Encoding", b"identity")])
        self._urls: dict[str, httpx.URL] = {}
        self._clients: list[_Client] = []
        self._idle: list[_Client] = []
        self._url("")

    async def post(self, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        return await self._whole(httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        return self._send(httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    async def get(self, path: str, *, beside_api: bool = False) -> Reply:
        """Ask for a path, of the API or of what the server offers beside it, and read the whole reply."""
        url = self._usable(self.endpoint.url_beside(path) if beside_api else self.endpoint.url_of(path))
        return await self._whole(httpx.Request("GET", url, headers=self._headers))

    async def aclose(self) -> None:
        """Close all connections."""
        self._idle.clear()
        while self._clients:
            await self._clients.pop().aclose()

    async def _whole(self, request: httpx.Request) -> Reply:
        async with self._send(request) as reply:
            body = await read_body(reply.chunks, reply.headers, max_bytes=self._max_body_bytes)
        return Reply(status=reply.status, headers=reply.headers, body=body)

    @asynccontextmanager
    async def _send(self, request: httpx.Request) -> AsyncIterator[OpenReply]:
        client = self._idle.pop() if self._idle else self._new_client()
        try:
            with translated(self.endpoint, MEANINGS):
                try:
                    response = await client.handle_async_request(request)
                except _UnansweredError:
                    response = await client.handle_async_request(request)  # on a new connection
                try:
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    yield OpenReply(status=response.status_code, headers=headers, chunks=response.aiter_raw())
                finally:
                    await response.aclose()
        finally:
            self._idle.append(client)

    def _new_client(self) -> "_Client":
        client = _Client(tls=self._tls, proxy=self._proxy)
        self._clients.append(client)
        return client

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = self._usable(self.endpoint.url_of(path))
        return self._urls[path]

    def _usable(self, address: str) -> httpx.URL:
        try:
            url = httpx.URL(address)
            url.host  # noqa: B018 - raises for a host name that cannot be decoded
        except (httpx.InvalidURL, ValueError) as error:
            raise SettingsError(f"url: {self.endpoint.base_url}: not a usable host name ({error})") from None
        return url

    def _proxy_of(self, url: str | None) -> httpcore.Proxy | None:
        if url is None:
            return None
        if url.startswith("socks") and find_spec("socksio") is None:
            raise SettingsError(
                f"proxy {shown_url(url)}: the package socksio is not installed", hint="pip install 'httpx[socks]'"
            )
        with suppress(httpx.InvalidURL, ValueError):
            proxy = httpx.Proxy(url)
            if is_host(proxy.url.host):
                return httpcore.Proxy(
                    _core_url(proxy.url),
                    auth=proxy.raw_auth,
                    headers=proxy.headers.raw,
                    ssl_context=self._tls if url.startswith("https:") else None,
                )
        raise SettingsError(f"proxy {shown_url(url)}: not a usable proxy address", hint="see http_proxy")


class _Client(httpx.AsyncBaseTransport):
    """An httpcore pool that never reuses a connection on which more came than the reply.

    Unasked data would be read as the reply to the next request. httpcore only checks for what is not yet read, so what
    is read is watched here.
    """

    def __init__(self, *, tls: ssl.SSLContext, proxy: httpcore.Proxy | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            proxy=proxy,
            max_connections=None,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_WatchedBackend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the reply's body is read from the response, which must be closed."""
        response = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                _core_url(request.url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a reply."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._response.aclose()


class _WatchedBackend(httpcore.AsyncNetworkBackend):
    """anyio's connections, watched."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host."""
        options = [*SOCKET_OPTIONS, *(socket_options or ())]
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, options)
        return _WatchedStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


class _UnansweredError(httpcore.ReadError):
    """A connection that had been used before ended before a byte of the reply: the server closed it just then."""


class _WatchedStream(httpcore.AsyncNetworkStream):
    """A connection that is not used again once more was read from it than the one reply to its request.

    The bytes are followed by a parser of its own: where a reply ends, only its framing tells.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._reply: _Framing | None = None
        self._has_surplus = False
        self._n_requests = 0
        self._is_answered = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        """Read what has arrived."""
        try:
            data = await self._stream.read(max_bytes, timeout)
        except httpcore.ReadError as error:
            self._mind_end(error)
            raise
        if not data:
            self._mind_end()
        self._is_answered = True
        if self._reply is not None and not self._has_surplus:
            self._has_surplus = self._reply.is_exceeded_by(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """Write a part of a request; a proxy's handshake before it is not HTTP and not followed."""
        if buffer.startswith((b"POST ", b"GET ")):
            self._reply = _Framing()
            self._n_requests += 1
            self._is_answered = False
        await self._stream.write(buffer, timeout)

    def _mind_end(self, error: httpcore.ReadError | None = None) -> None:
        if self._n_requests > 1 and not self._is_answered:
            raise _UnansweredError(*(error.args if error else ())) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore.AsyncNetworkStream:
        """Continue over TLS."""
        return _WatchedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks about a connection: an idle one that is readable is thrown away, not used again."""
        return True if info == "is_readable" and self._has_surplus else self._stream.get_extra_info(info)


class _Framing:
    """Where the reply to one request ends, followed in the bytes that arrive.

    Of a 200 with a plain Content-Length, the most frequent reply, the bytes are counted: a second h11 takes a tenth of
    the CPU time of a whole run. h11 follows all others.
    """

    def __init__(self) -> None:
        self._n_to_come: int | None = None
        self._parser: h11.Connection | None = None

    def is_exceeded_by(self, data: bytes) -> bool:
        """Whether the data goes on behind the end of the reply, or is no reply at all."""
        if self._n_to_come is not None:
            self._n_to_come -= len(data)
            return self._n_to_come < 0
        if self._parser is None:
            length = _whole_length(data)
            if length is not None:
                self._n_to_come = length - len(data)
                return self._n_to_come < 0
            self._parser = _parser_of_a_reply()
        return _goes_beyond(self._parser, data)


_HEAD_END = re.compile(rb"\n\r?\n")
"""An empty line, as h11 takes it."""

_CONTENT_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r?\n")


def _whole_length(start: bytes) -> int | None:
    """Bytes of a reply with its head, by its first bytes; None where it takes more than a look at Content-Length."""
    end = _HEAD_END.search(start)
    if end is None or not start.startswith(b"HTTP/1.1 200 "):
        return None
    head = start[: end.end()].lower()
    length = _CONTENT_LENGTH.search(head)
    if length is None or head.count(b"content-length") != 1 or b"transfer-encoding" in head:
        return None
    if b"\n " in head or b"\n\t" in head:  # a header that goes on in the next line
        return None
    return end.end() + int(length[1])


def _parser_of_a_reply() -> h11.Connection:
    """A parser that waits for the reply to a request; what the request was does not matter to it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "server"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    return connection


def _goes_beyond(reply: h11.Connection, data: bytes) -> bool:
    """Whether the data goes on behind the end of the reply, or is no reply at all."""
    try:
        reply.receive_data(data)
        while (event := reply.next_event()) is not h11.NEED_DATA:
            if event is h11.PAUSED or isinstance(event, h11.EndOfMessage):
                return bool(reply.trailing_data[0])
            if isinstance(event, h11.ConnectionClosed):
                break
    except h11.ProtocolError:
        return True
    return False


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


MEANINGS: Meanings = {
    httpcore.ConnectTimeout: NO_CONNECTION_IN_TIME,
    httpcore.ReadTimeout: NO_REPLY_IN_TIME,
    httpcore.WriteTimeout: Meaning("timeout", "request to {url} not taken in time"),
    httpcore.PoolTimeout: Meaning("timeout", "no free connection to {url} in time"),
    httpcore.TimeoutException: NO_REPLY_IN_TIME,
    httpcore.ConnectError: NO_CONNECTION,
    httpcore.ProxyError: NO_PROXY,
    httpcore.UnsupportedProtocol: UNUSABLE,
    httpcore.ConnectionNotAvailable: LOST,
    httpcore.ReadError: LOST,
    httpcore.WriteError: LOST,
    httpcore.NetworkError: LOST,
    httpcore.RemoteProtocolError: LOST,
    httpcore.LocalProtocolError: LOST,
    httpcore.ProtocolError: LOST,
    httpx.ConnectTimeout: NO_CONNECTION_IN_TIME,
    httpx.ReadTimeout: NO_REPLY_IN_TIME,
    httpx.WriteTimeout: Meaning("timeout", "request to {url} not taken in time"),
    httpx.PoolTimeout: Meaning("timeout", "no free connection to {url} in time"),
    httpx.TimeoutException: NO_REPLY_IN_TIME,
    httpx.ConnectError: NO_CONNECTION,
    httpx.ProxyError: NO_PROXY,
    httpx.UnsupportedProtocol: UNUSABLE,
    httpx.InvalidURL: UNUSABLE,
    httpx.CookieConflict: UNUSABLE,
    httpx.ReadError: LOST,
    httpx.WriteError: LOST,
    httpx.CloseError: LOST,
    httpx.NetworkError: LOST,
    httpx.RemoteProtocolError: LOST,
    httpx.LocalProtocolError: LOST,
    httpx.ProtocolError: LOST,
    httpx.TransportError: LOST,
    httpx.DecodingError: BROKEN,
    httpx.TooManyRedirects: BROKEN,
    httpx.RequestError: BROKEN,
    httpx.HTTPStatusError: BROKEN,
    httpx.HTTPError: BROKEN,
    httpx.StreamError: BROKEN,
    httpx.StreamConsumed: BROKEN,
    httpx.StreamClosed: BROKEN,
    httpx.ResponseNotRead: BROKEN,
    httpx.RequestNotRead: BROKEN,
    anyio.BrokenResourceError: LOST,
    anyio.ClosedResourceError: LOST,
    anyio.EndOfStream: LOST,
    UnicodeError: BROKEN,
    OSError: LOST,
}
"""Every exception of httpcore and httpx, and those of lower layers that they let through."""
