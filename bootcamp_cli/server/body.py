"""Reading a body of unknown size without letting it fill the memory."""

from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType

import anyio
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

from bootcamp_cli.server.failures import bad_response, timed_out
from bootcamp_cli.text import shown_s

LARGE_BYTES = 1024 * 1024
"""Ordinary answers are smaller; a larger one needs room, and there is room for only a few at a time."""

_MAX_LARGE = 2
_STALL_S = 30.0
_STEP_BYTES = 64 * 1024

_limiter: RunVar[CapacityLimiter] = RunVar("_limiter")
_room: ContextVar["BodyRoom | None"] = ContextVar("_room", default=None)


class BodyRoom:
    """The block within which one reply is read and parsed; the room that its body takes is freed afterwards.

    However many replies are read at once, only two of them are large at any time; the others pause where they became
    large, and so do their senders. A reply that makes no progress loses its place.
    """

    __slots__ = ("_limiter", "_token")

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        self._token: Token[BodyRoom | None]

    def __enter__(self) -> None:
        self._token = _room.set(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _room.reset(self._token)
        self.leave()

    async def enter(self) -> None:
        """Wait for a place among the few bodies that may be large."""
        if self._limiter is None:
            limiter = _the_limiter()
            await limiter.acquire_on_behalf_of(self)
            self._limiter = limiter

    def leave(self) -> None:
        """Give the place back, if one is held."""
        if self._limiter is not None:
            self._limiter.release_on_behalf_of(self)
            self._limiter = None


async def room_for_large() -> None:
    """Wait until the reply of this block may be large; outside such a block return at once."""
    room = _room.get()
    if room is not None:
        await room.enter()


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """The body of a reply.

    `headers` have lower-case names. Raises AttemptFailed of kind bad_response where it has more than `max_bytes` or is
    compressed: compression was not offered, and a small body may be huge once unpacked.
    """
    refuse_encoding(headers, "body")
    if int_of(headers.get("content-length", "")) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    n_bytes = 0
    async for chunk in chunks:
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise _too_large(max_bytes)
        parts.append(chunk)
        if n_bytes > LARGE_BYTES:
            await room_for_large()
            return await _large_body(parts, chunks, max_bytes)
    return b"".join(parts)


def refuse_encoding(headers: Mapping[str, str], what: str) -> None:
    """Raise AttemptFailed where a reply is compressed; `what` names the part of it in the message."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise bad_response(f"a {what} with the content encoding {encoding}, which was not asked for")


async def _large_body(parts: list[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """The body that begins with `parts`; AttemptFailed if it makes no progress, as others wait for its room."""
    # one block that grows: thousands of small ones would fragment the heap
    body = bytearray().join(parts)
    parts.clear()
    n_awaited = len(body) + _STEP_BYTES
    with anyio.move_on_after(_STALL_S) as limit:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            if len(body) >= n_awaited:
                n_awaited = len(body) + _STEP_BYTES
                limit.deadline = anyio.current_time() + _STALL_S
    if limit.cancelled_caught:
        raise timed_out(f"a large reply that made almost no progress in {shown_s(_STALL_S)}")
    return bytes(body)


def int_of(text: str) -> int:
    """A header's number, 0 where it is not a number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _the_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(_MAX_LARGE)
        _limiter.set(limiter)
        return limiter


def _too_large(max_bytes: int) -> Exception:
    return bad_response(f"a body of more than {max_bytes} bytes")
