"""The seam between requests and the HTTP library: what a transport is, and which one an endpoint gets."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from bootcamp_cli.server.endpoint import Endpoint

TransportName = Literal["aiohttp", "httpx"]

KEEPALIVE_S = 3.0
"""A connection that was idle for longer is not used again: servers commonly close theirs after 5 s."""


_MACOS_TCP_KEEPALIVE = 0x10

SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", _MACOS_TCP_KEEPALIVE), 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""What every connection gets: one that a router in between forgot is noticed in a minute, not at the deadline.

After 30 s of silence the other side's kernel is asked every 10 s, and the connection is lost after 3 times without a
reply.
"""


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole reply of any status; `headers` are looked up by lower-case names, `body` is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class OpenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply whose body is still to come; `chunks` are its raw bytes."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Sends requests to one endpoint, any number at a time; it manages its own connections.

    Every method raises AttemptFailed where there is no complete reply; time limits are up to the caller. Redirects are
    not followed, cookies not kept, .netrc not read: there is one address, and its key is for it alone.
    """

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        ...

    async def post(self, path: str, body: bytes) -> Reply:
        """Send a JSON body and read the whole reply."""
        ...

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Send a JSON body; the reply's body is read within the context."""
        ...

    async def get(self, path: str, *, beside_api: bool = False) -> Reply:
        """Ask for a path, of the API or of what the server offers beside it, and read the whole reply."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
