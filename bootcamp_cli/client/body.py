"""Reading a body of unknown size and encoding without letting it fill the memory."""

import zlib
from collections.abc import AsyncIterator, Mapping

from anyio import to_thread

from bootcamp_cli.client.failures import bad_response


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], *, max_bytes: int) -> bytes:
    """The decoded body of a reply; raises TryFailed of kind bad_response where it has more than `max_bytes`.

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
    body = b"".join(parts)
    match headers.get("content-encoding", "identity").strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return await to_thread.run_sync(_gunzip, body, max_bytes)
        case other:
            raise bad_response(f"a body with the content encoding {other}, which was not asked for")


def int_of(text: str) -> int:
    """A header's number, 0 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _gunzip(packed: bytes, max_bytes: int) -> bytes:
    """Unpack all members of a gzip body."""
    parts: list[bytes] = []
    room = max_bytes
    while packed:
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(member.decompress(packed, room + 1))
        except zlib.error as error:
            raise bad_response(f"a broken gzip body ({error})") from None
        room -= len(parts[-1])
        if room < 0:
            raise _too_large(max_bytes)
        if not member.eof:
            raise bad_response("a truncated gzip body")
        packed = member.unused_data
    return b"".join(parts)


def _too_large(max_bytes: int) -> Exception:
    return bad_response(f"a body of more than {max_bytes} bytes")
