"""What is wrong with the address of a server that gives no usable reply, found by looking.

It may speak something else: TLS on an http address, plain HTTP on an https one, HTTP/2 only, TLS with a certificate on
both sides. Or its API is at another path, or has another one than that of the api_mode. No wait changes any of these,
and the HTTP libraries only tell that the connection was lost. So connections of its own are made to the same host,
which carry neither key nor prompt; what is found is told, never used.
"""

import socket
import ssl
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.server.client import make_transport
from bootcamp_cli.server.endpoint import Endpoint, has_version
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.response import load_json
from bootcamp_cli.server.transport import Reply

LOOK_S = 2.0
"""Longest wait for each step of a look."""

_HTTP2_SETTINGS, _HTTP2_GOAWAY = 4, 7
_FRAME_HEAD_BYTES = 9

_WANTS_CERTIFICATE = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"}
)
"""How OpenSSL names what a server says of a client that shows no certificate."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with the settings, and what to do about it."""

    problem: str
    hint: str


async def diagnosed(endpoint: Endpoint, failure: AttemptFailed) -> Diagnosis | None:
    """What a failed request says about the settings; None where the server may just not be there yet.

    Only what connected and then brought nothing that could be read is looked into, and nothing behind a proxy.
    """
    parts = urlsplit(endpoint.base_url)
    # aiohttp calls a TLS handshake that the server ends "cannot connect"
    scopes = ("sample", "connect") if parts.scheme == "https" else ("sample",)
    is_unread = failure.kind in ("connection", "timeout", "tls") and failure.scope in scopes
    if endpoint.proxy is not None or not is_unread:
        return None
    if any(name in failure.message for name in _WANTS_CERTIFICATE):
        return _certificate_wanted(endpoint.base_url)
    look = _of_https if parts.scheme == "https" else _of_http
    port = parts.port or (443 if parts.scheme == "https" else 80)
    work = partial(look, _Peer(host=parts.hostname or "", port=port, name=parts.netloc, url=endpoint.base_url))
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


_USUAL_PATHS = ("/v1", "/api/v1", "/openai/v1")
"""Where APIs are at the root of a host: most of them, OpenRouter's and Open WebUI's, Groq's."""

_SHOWN_HEADERS = frozenset({b"accept", b"user-agent"})


async def api_elsewhere(endpoint: Endpoint) -> str | None:
    """The base URL on the same host at which a model list is, where the given one has none; None where none is found.

    A list that wants a key counts. The requests carry no key, header or query of the user's.
    """
    parts = urlsplit(endpoint.base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    bare = replace(
        endpoint, query="", headers=tuple(header for header in endpoint.headers if header[0].lower() in _SHOWN_HEADERS)
    )
    below = [] if has_version(endpoint.base_url) else [f"{endpoint.base_url}/v1"]
    for url in dict.fromkeys((*below, *(f"{root}{path}" for path in _USUAL_PATHS))):
        if url != endpoint.base_url and await _has_list(replace(bare, base_url=url)):
            return url
    return None


async def _has_list(endpoint: Endpoint) -> bool:
    try:
        transport = await anyio.to_thread.run_sync(make_transport, endpoint)
    except SettingsError:
        return False
    try:
        with anyio.move_on_after(LOOK_S):
            return _is_list(await transport.get("/models"))
    except AttemptFailed:
        return False
    finally:
        await transport.aclose()
    return False


def _is_list(reply: Reply) -> bool:
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return True
    try:
        page = load_json(reply.body) if reply.status == HTTPStatus.OK else None
    except AttemptFailed:
        return False
    return isinstance(page, list) or (isinstance(page, dict) and isinstance(page.get("data"), list))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """Where to connect, and how requests and messages name it."""

    host: str
    port: int
    name: str
    url: str

    def takes_tls(self) -> bool:
        """Whether the server answers a TLS handshake, be it with an alert."""
        try:
            with (
                socket.create_connection((self.host, self.port), timeout=LOOK_S) as plain,
                _trusting().wrap_socket(plain, server_hostname=self.host),
            ):
                return True
        except ssl.SSLError as error:
            return "ALERT" in (error.reason or "")
        except (OSError, ValueError):
            return False

    def first_bytes(self, context: ssl.SSLContext | None) -> bytes:
        """The beginning of what comes in reply to a request of HTTP/1.1; empty where nothing comes.

        Raises:
            ssl.SSLError: the TLS connection failed.
        """
        request = f"GET / HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n\r\n"
        with socket.create_connection((self.host, self.port), timeout=LOOK_S) as plain:
            if context is None:
                plain.sendall(request.encode("ascii", "replace"))
                return plain.recv(_FRAME_HEAD_BYTES)
            with context.wrap_socket(plain, server_hostname=self.host) as stream:
                stream.sendall(request.encode("ascii", "replace"))
                return stream.recv(_FRAME_HEAD_BYTES)


def _certificate_wanted(url: str) -> Diagnosis:
    return Diagnosis(f"{url} wants a client certificate that it trusts", "give --client-cert and --client-key")


def _of_http(peer: _Peer) -> Diagnosis | None:
    if peer.takes_tls():
        return Diagnosis(f"{peer.url} is a port for TLS", f"give url as https://{peer.url.removeprefix('http://')}")
    try:
        start = peer.first_bytes(None)
    except (OSError, ValueError):
        return None
    return _http2_only(peer) if _is_http2(start) else None


def _of_https(peer: _Peer) -> Diagnosis | None:
    try:
        start = peer.first_bytes(_trusting())
    except ssl.SSLError as error:
        if "APPLICATION_PROTOCOL" in (error.reason or ""):
            return _http2_only(peer)
        if error.reason in _WANTS_CERTIFICATE:
            return _certificate_wanted(peer.url)
    except (OSError, ValueError):
        pass
    else:
        return _http2_only(peer) if _is_http2(start) else None
    try:
        start = peer.first_bytes(None)
    except (OSError, ValueError):
        return None
    if not start.startswith(b"HTTP/"):
        return None
    return Diagnosis(f"{peer.url} speaks HTTP without TLS", f"give url as http://{peer.url.removeprefix('https://')}")


def _trusting() -> ssl.SSLContext:
    """A context for connections that carry nothing secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_http2(start: bytes) -> bool:
    """Whether it is the head of a frame that HTTP/2 begins with: SETTINGS or GOAWAY of the connection itself."""
    is_head = len(start) == _FRAME_HEAD_BYTES and start[0] == 0 and start[5:] == bytes(4)
    return is_head and start[3] in (_HTTP2_SETTINGS, _HTTP2_GOAWAY)


def _http2_only(peer: _Peer) -> Diagnosis:
    return Diagnosis(f"{peer.url} speaks HTTP/2 only", "put a gateway in between that speaks HTTP/1.1")
