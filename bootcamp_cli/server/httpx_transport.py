"""Requests through httpx, for what aiohttp cannot do (SOCKS proxies); the only file that imports httpx and httpcore."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

import anyio
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
from bootcamp_cli.server.transport import KEEPALIVE_S, OpenReply, Reply
from bootcamp_cli.settings.convert import is_host
from bootcamp_cli.text import shown_url

_MOST_PER_CLIENT = 8
"""How many requests a client has in flight before another client is opened: the time that httpcore takes to find a free
connection grows with the square of their number."""

_LAST_CHUNK = b"0\r\n\r\n"
_MAX_HEAD_BYTES = 128 * 1024


class HttpxTransport:
    """Several clients, each with a few connections of its own; a request goes to the one with the fewest in flight.

    They share one TLS context and one reading of `environ`. Redirects, cookies and .netrc are left out.
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
        self._url("")

    async def post(self, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        return await self._whole(httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        return self._send(httpx.Request("POST", self._url(path), headers=self._headers, content=body))

    async def get(self, path: str) -> Reply:
        """Ask for a path and read the whole reply."""
        return await self._whole(httpx.Request("GET", self._url(path), headers=self._headers))

    async def aclose(self) -> None:
        """Close all connections."""
        while self._clients:
            await self._clients.pop().aclose()

    async def _whole(self, request: httpx.Request) -> Reply:
        async with self._send(request) as reply:
            body = await read_body(reply.chunks, reply.headers, max_bytes=self._max_body_bytes)
        return Reply(status=reply.status, headers=reply.headers, body=body)

    @asynccontextmanager
    async def _send(self, request: httpx.Request) -> AsyncIterator[OpenReply]:
        client = self._least_busy()
        client.n_in_flight += 1
        try:
            with translated(self.endpoint, MEANINGS):
                response = await client.handle_async_request(request)
                try:
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    yield OpenReply(status=response.status_code, headers=headers, chunks=response.aiter_raw())
                finally:
                    await response.aclose()
        finally:
            client.n_in_flight -= 1

    def _least_busy(self) -> "_Client":
        client = min(self._clients, key=lambda client: client.n_in_flight, default=None)
        if client is None or client.n_in_flight >= _MOST_PER_CLIENT:
            client = _Client(tls=self._tls, proxy=self._proxy)
            self._clients.append(client)
        return client

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            try:
                url = httpx.URL(self.endpoint.url_of(path))
                url.host  # noqa: B018 - raises for a host name that cannot be decoded
            except (httpx.InvalidURL, ValueError) as error:
                raise SettingsError(f"url: {self.endpoint.base_url}: not a usable host name ({error})") from None
            self._urls[path] = url
        return self._urls[path]

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
    """An httpcore pool that closes a connection that received more than the reply.

    Unasked data would be read as the reply to the next request. httpcore only checks for unread data, so the bytes are
    counted here as they are read.
    """

    def __init__(self, *, tls: ssl.SSLContext, proxy: httpcore.Proxy | None) -> None:
        self.n_in_flight = 0
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            proxy=proxy,
            max_connections=None,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_CountingBackend(),
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
        """Give the connection back, or close it if it cannot take another request."""
        connection = self._response.extensions.get("network_stream")
        await self._response.aclose()
        if isinstance(connection, _CountingStream) and connection.has_surplus(self._response.headers):
            await connection.aclose()


class _CountingBackend(httpcore.AsyncNetworkBackend):
    """anyio's connections, with their bytes counted."""

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
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _CountingStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


class _CountingStream(httpcore.AsyncNetworkStream):
    """A connection that knows how much was read since the last request was written, and its first and last bytes."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._is_closed = False
        self._n_read = 0
        self._start = bytearray()
        self._end = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        """Read what has arrived."""
        data = await self._stream.read(max_bytes, timeout)
        self._n_read += len(data)
        self._end = (self._end + data)[-len(_LAST_CHUNK) :]
        if b"\r\n\r\n" not in self._start and len(self._start) < _MAX_HEAD_BYTES:
            self._start += data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """Write a part of a request: what is read from here on is its reply."""
        self._n_read = 0
        self._start.clear()
        self._end = b""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        self._is_closed = True
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore.AsyncNetworkStream:
        """Continue over TLS."""
        return _CountingStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks about a connection: a closed one counts as readable, so that it is thrown away."""
        return True if info == "is_readable" and self._is_closed else self._stream.get_extra_info(info)

    def has_surplus(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether more was read than the one reply with these headers."""
        by_name = {name.lower(): value for name, value in headers}
        if b"chunked" in by_name.get(b"transfer-encoding", b"").lower():
            return not self._end.endswith(_LAST_CHUNK)
        n_head_bytes = self._start.find(b"\r\n\r\n") + 4
        length = by_name.get(b"content-length", b"0")
        return not length.isdigit() or self._n_read > n_head_bytes + int(length)


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
