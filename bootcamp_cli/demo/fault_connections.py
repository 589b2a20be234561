"""Faults of the connection: cut, silent, slow, or not speaking HTTP/1.1."""

from dataclasses import replace

from bootcamp_cli.demo.exchange import Exchange
from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.demo.wire import ConnectionEndedError, Reply

_MAX_HEAD_BYTES = 64 * 1024 * 1024
_HEADER_LINES = b"x-more: and more\r\n" * 1000


async def drop(_exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection without a reply."""
    raise ConnectionEndedError


async def drop_body(exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    raise ConnectionEndedError


async def reset(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection without a reply."""
    exchange.wire.reset()
    raise ConnectionEndedError


async def reset_body(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    exchange.wire.reset()
    raise ConnectionEndedError


async def reset_after(exchange: Exchange, _fault: Fault) -> Reply:
    """Reset the connection behind the answer."""
    reply = await exchange.regular()
    exchange.wire.reset()
    return replace(reply, hang_up=True)


async def close(exchange: Exchange, _fault: Fault) -> Reply:
    """Close the connection behind the answer, unannounced."""
    return replace(await exchange.regular(), hang_up=True)


async def hang(exchange: Exchange, _fault: Fault) -> Reply:
    """Never answer."""
    await exchange.wire.wait()
    raise ConnectionEndedError


async def stall(exchange: Exchange, _fault: Fault) -> Reply:
    """Fall silent in mid-body."""
    await exchange.wire.send_half(await exchange.regular())
    await exchange.wire.wait()
    raise ConnectionEndedError


async def slow(exchange: Exchange, fault: Fault) -> Reply:
    """Answer later."""
    await exchange.wire.wait(fault.option("seconds", 1.0))
    return await exchange.regular()


async def slow_head(exchange: Exchange, fault: Fault) -> Reply:
    """Send the headers byte by byte."""
    return replace(await exchange.regular(), head_pause_s=fault.option("seconds", 1.0))


async def drip(exchange: Exchange, fault: Fault) -> Reply:
    """Send the body byte by byte."""
    reply = await exchange.regular()
    body = b"".join(reply.pieces)
    pieces = tuple(body[at : at + 1] for at in range(len(body)))
    return replace(reply, pieces=pieces, pause_s=fault.option("seconds", 1.0))


async def http10(exchange: Exchange, _fault: Fault) -> Reply:
    """Answer as HTTP/1.0 does: without a length, to the end of the connection."""
    return replace(await exchange.regular(), http10=True, hang_up=True)


async def no_http(exchange: Exchange, _fault: Fault) -> Reply:
    """Speak another protocol."""
    await exchange.wire.send_raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    raise ConnectionEndedError


async def endless_head(exchange: Exchange, _fault: Fault) -> Reply:
    """Send headers until the client has enough of them."""
    await exchange.wire.send_raw(b"HTTP/1.1 200 OK\r\n")
    for _ in range(_MAX_HEAD_BYTES // len(_HEADER_LINES)):
        await exchange.wire.send_raw(_HEADER_LINES)
    raise ConnectionEndedError


async def broken_chunks(exchange: Exchange, _fault: Fault) -> Reply:
    """Send a chunk whose size is no number."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    await exchange.wire.send_raw(head + b"a lot\r\n{}\r\n0\r\n\r\n")
    raise ConnectionEndedError
