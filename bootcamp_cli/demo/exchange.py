"""What a fault gets to work with: the request that meets it, and what would be answered."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.demo.protocol import Ask
from bootcamp_cli.demo.wire import Reply, Wire


class Exchange(Protocol):
    """A request that meets a fault: the connection it came on, and what would be answered."""

    @property
    def path(self) -> str:
        """The path that was asked for."""

    @property
    def wire(self) -> Wire:
        """The connection."""

    @property
    def ask(self) -> Ask | None:
        """What a completion request asks for; None for the list of models."""

    async def body(self) -> dict[str, Any]:
        """The body of the regular reply, after the regular latency."""

    async def regular(self) -> Reply:
        """The regular reply, after the regular latency."""


Behaviour = Callable[[Exchange, Fault], Awaitable[Reply]]
"""Gives the reply to send, or raises `ConnectionEndedError` to close, or `RefusedError`."""
