"""Reading a body of unknown size and encoding without letting it fill the memory."""

import zlib
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from bootcamp_cli.server.failures import AttemptFailed, bad_response
from bootcamp_cli.text import shown_s

LARGE_BYTES = 1024 * 1024
"""No answer of a usual length is larger; what is larger needs room, and there is room for few at a time."""

_MAX_LARGE = 2
_STALL_S = 30.0
_STEP_BYTES = 64 * 1024
_MAX_MEMBERS = 1000
_WINDOW_BYTES = 64 * 1024

_limiter: RunVar[CapacityLimiter] = RunVar("_limiter")
_room: ContextVar["BodyRoom | None"] = ContextVar("_room", default=None)


class BodyRoom:
    """The block within which one reply is read and understood; whatever room its body takes is free again behind it.

    However many replies are read at once, only two of them are large at any time: the others wait where they became
    large, and their senders with them. One that does not get on gives its place up.
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
        """Make the place free, if there is one."""
        if self._limiter is not None:
            self._limiter.release_on_behalf_of(self)
            self._limiter = None


async def room_for_large() -> None:
    """Wait until the reply of this block may be large; outside such a block nothing is waited for."""
    room = _room.get()
    if room is not None:
        await room.enter()


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """The decoded body of a reply; raises AttemptFailed of kind bad_response where it has more than `max_bytes`.

    A gzip body is unpacked in a thread, and never beyond the limit. `headers` have lower-case names.
    """
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
            body = await _large_body(parts, chunks, max_bytes)
            break
    else:
        body = b"".join(parts)
    match headers.get("content-encoding", "identity").strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return await _unzipped(body, max_bytes)
        case other:
            raise bad_response(f"a body with the content encoding {other}, which was not asked for")


async def _large_body(parts: list[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """The body that begins with `parts`; AttemptFailed where it does not get on, as others wait for its room."""
    # one block that grows: thousands of small ones would leave the heap full of holes
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
        raise AttemptFailed(kind="timeout", message=f"a large reply that brings next to nothing in {shown_s(_STALL_S)}")
    return bytes(body)


def int_of(text: str) -> int:
    """A header's number, 0 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _the_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(_MAX_LARGE)
        _limiter.set(limiter)
        return limiter


async def _unzipped(packed: bytes, max_bytes: int) -> bytes:
    """A gzip body unpacked in a thread; only one that turns out to be large needs room."""
    body = await to_thread.run_sync(_gunzip, packed, min(max_bytes, LARGE_BYTES))
    if body is None and max_bytes > LARGE_BYTES:
        await room_for_large()
        body = await to_thread.run_sync(_gunzip, packed, max_bytes)
    if body is None:
        raise _too_large(max_bytes)
    return body


def _gunzip(packed: bytes, max_bytes: int) -> bytes | None:
    """Unpack all members of a gzip body, in steps of bounded size; None where they hold more than `max_bytes`."""
    body = bytearray()
    member: zlib._Decompress | None = None
    n_members = 0
    for start in range(0, len(packed), _WINDOW_BYTES):
        window = packed[start : start + _WINDOW_BYTES]
        while window:
            if member is None:
                n_members += 1
                member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            part, window = _unpacked(member, window, LARGE_BYTES)
            body += part
            if len(body) > max_bytes:
                return None
            if member.eof:
                member = None
            if n_members > _MAX_MEMBERS:
                raise bad_response(f"a gzip body of more than {_MAX_MEMBERS} members")
    if member is not None:
        raise bad_response("a truncated gzip body")
    return bytes(body)


def _unpacked(member: "zlib._Decompress", packed: bytes, max_bytes: int) -> tuple[bytes, bytes]:
    """The next bytes of a member, and what is not unpacked of `packed`."""
    try:
        part = member.decompress(packed, max_bytes)
    except zlib.error as error:
        raise bad_response(f"a broken gzip body ({error})") from None
    return part, member.unused_data if member.eof else member.unconsumed_tail


def _too_large(max_bytes: int) -> Exception:
    return bad_response(f"a body of more than {max_bytes} bytes")
