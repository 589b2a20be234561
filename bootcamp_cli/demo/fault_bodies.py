"""Faults of the body's size and encoding; none of them takes memory of the server."""

import zlib
from dataclasses import replace
from functools import cache

import anyio

from bootcamp_cli.demo.exchange import Exchange
from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.demo.wire import Reply

_SPACES = b" " * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


async def huge(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of spaces before the body, with their length told beforehand where `declared` is 1."""
    reply = await exchange.regular()
    padding = (_SPACES,) * int(fault.option("mib", 65))
    return replace(reply, pieces=(*padding, *reply.pieces), declares_length=bool(fault.option("declared", 0)))


async def truncated_json(exchange: Exchange, _fault: Fault) -> Reply:
    """Send a whole reply with half of the JSON."""
    reply = await exchange.regular()
    kept = reply.pieces[: len(reply.pieces) // 2 + 1]
    return replace(reply, pieces=(*kept[:-1], kept[-1][: len(kept[-1]) // 2]))


async def gzipped(exchange: Exchange, _fault: Fault) -> Reply:
    """Compress the body although nobody asked for that."""
    reply = await exchange.regular()
    return _encoded(reply, _member(b"".join(reply.pieces)))


async def gzip_bomb(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of spaces before the body, all of it compressed to a thousandth."""
    reply = await exchange.regular()
    body = b"".join(reply.pieces)
    return _encoded(reply, *await anyio.to_thread.run_sync(_bomb, int(fault.option("mib", 1024)), body))


async def gzip_members(exchange: Exchange, fault: Fault) -> Reply:
    """Send mebibytes of empty gzip members before that of the body."""
    reply = await exchange.regular()
    empty = _member(b"")
    block = empty * (len(_SPACES) // len(empty))
    return _encoded(reply, *[block] * int(fault.option("mib", 16)), _member(b"".join(reply.pieces)))


async def other_encoding(exchange: Exchange, _fault: Fault) -> Reply:
    """Claim an encoding that the client did not offer."""
    return replace(await exchange.regular(), headers=(("content-encoding", "br"),))


async def wrong_type(exchange: Exchange, _fault: Fault) -> Reply:
    """Claim that the body is text."""
    return replace(await exchange.regular(), content_type="text/plain; charset=iso-8859-1")


def _encoded(reply: Reply, *pieces: bytes) -> Reply:
    return replace(reply, pieces=pieces, headers=(*reply.headers, ("content-encoding", "gzip")))


def _member(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(data) + packer.flush()


def _bomb(mib: int, body: bytes) -> tuple[bytes, ...]:
    """A gzip member: a compressed mebibyte over and over, each independent of the ones before, then the body."""
    head, block = _spaces()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    tail = packer.compress(body) + packer.flush()
    size = (mib * len(_SPACES) + len(body)) % 2**32
    trailer = zlib.crc32(body, _crc(mib)).to_bytes(4, "little") + size.to_bytes(4, "little")
    return (head, *[block] * mib, tail + trailer)


@cache
def _crc(mib: int) -> int:
    crc = 0
    for _ in range(mib):
        crc = zlib.crc32(_SPACES, crc)
    return crc


@cache
def _spaces() -> tuple[bytes, bytes]:
    """The head of a gzip member, and a mebibyte of spaces as it stands in one."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = packer.compress(_SPACES) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff", block
