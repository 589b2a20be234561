"""Requests through httpx, for what aiohttp cannot do (SOCKS proxies); the only file that imports httpx."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

import anyio
import httpx

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.server.body import read_body
from bootcamp_cli.server.endpoint import Endpoint, is_host, proxy_for, tls_context
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
from bootcamp_cli.text import shown_url

_MODELS_LANE = -1


class HttpxTransport:
    """One httpx transport, with its own connection, for each lane.

    A pool shared by all lanes costs time with the square of the connections. The lanes share one TLS context and one
    reading of `environ`. httpx's client above the transport is left out, and with it redirects, cookies and .netrc.
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
        with translated(self.endpoint, MEANINGS):
            transport = self._lane(lane)
            response = await transport.handle_async_request(request)
            try:
                headers = {name.lower(): value for name, value in response.headers.items()}
                yield OpenReply(status=response.status_code, headers=headers, chunks=response.aiter_raw())
            finally:
                await response.aclose()
                if _has_unasked(transport):
                    await transport.aclose()

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
                url = httpx.URL(self.endpoint.url_of(path))
                url.host  # noqa: B018 - raises for a host name that cannot be decoded
            except (httpx.InvalidURL, ValueError) as error:
                raise SettingsError(f"url: {self.endpoint.base_url}: not a usable host name ({error})") from None
            self._urls[path] = url
        return self._urls[path]

    def _proxy_of(self, url: str | None) -> httpx.Proxy | None:
        if url is None:
            return None
        if url.startswith("socks") and find_spec("socksio") is None:
            raise SettingsError(
                f"proxy {shown_url(url)}: the package socksio is not installed", hint="pip install 'httpx[socks]'"
            )
        with suppress(httpx.InvalidURL, ValueError):
            proxy = httpx.Proxy(url, ssl_context=self._tls if url.startswith("https:") else None)
            if is_host(proxy.url.host):
                return proxy
        raise SettingsError(f"proxy {shown_url(url)}: not a usable proxy address", hint="see http_proxy")


def _has_unasked(lane: httpx.AsyncHTTPTransport) -> bool:
    """Whether more was read than the reply: it would be read as the next one.

    httpcore looks only at what it has not yet read, and shows its parser to nobody: hence the private names. Proxied
    connections hold the plain one within.
    """
    for kept in lane._pool.connections:  # noqa: SLF001
        connection: Any = kept
        while hasattr(connection, "_connection"):
            connection = connection._connection  # noqa: SLF001
        parser = getattr(connection, "_h11_state", None)
        if parser is not None and parser.trailing_data[0]:
            return True
    return False


MEANINGS: Meanings = {
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
"""Every exception of httpx, and those of the layers below that it lets through."""
