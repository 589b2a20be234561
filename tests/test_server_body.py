"""Bodies: how many of them may be large at the same time, and how much is read at once."""

import socket
from collections.abc import AsyncIterator

import anyio
import pytest

from bootcamp_cli.server import body
from bootcamp_cli.server.aiohttp_transport import piecewise_socket
from bootcamp_cli.server.body import LARGE_BYTES, BodyRoom, read_body
from bootcamp_cli.server.failures import AttemptFailed
from tests.raw_server import failed, http

CHUNK = b" " * (LARGE_BYTES // 2)


@pytest.mark.anyio
async def test_two_bodies_at_a_time_are_large() -> None:
    """A third large body waits until one of the first two is done with, and small ones never wait."""
    taken: list[int] = []
    done = [anyio.Event() for _ in range(3)]

    async def chunks(number: int, n: int) -> AsyncIterator[bytes]:
        for _ in range(n):
            yield CHUNK
        taken.append(number)

    async def read(number: int) -> None:
        with BodyRoom():
            assert len(await read_body(chunks(number, 4), {}, max_bytes=10 * LARGE_BYTES)) == 4 * len(CHUNK)
            await done[number].wait()

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(read, number)
        await anyio.wait_all_tasks_blocked()
        assert taken == [0, 1]
        with BodyRoom():
            await read_body(chunks(9, 2), {}, max_bytes=LARGE_BYTES)
        done[1].set()
        await anyio.wait_all_tasks_blocked()
        assert taken == [0, 1, 9, 2]
        for event in done:
            event.set()


@pytest.mark.anyio
async def test_a_body_that_fails_gives_its_room_back() -> None:
    """After bodies that are cut off or too large there is room as before."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield CHUNK
        raise AttemptFailed(kind="connection", message="lost")

    for limit in (LARGE_BYTES, 10 * LARGE_BYTES) * 3:
        with pytest.raises(AttemptFailed), BodyRoom():
            await read_body(chunks(), {}, max_bytes=limit)


@pytest.mark.anyio
@pytest.mark.parametrize("rest", [b"", b"x"])
async def test_large_bodies_that_stall_starve_no_other(monkeypatch: pytest.MonkeyPatch, rest: bytes) -> None:
    """A large body that falls silent or trickles is given up, and the next one gets its room."""
    monkeypatch.setattr(body, "_STALL_S", 0.1)
    kinds: list[str] = []

    async def stalled() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield CHUNK
        while True:
            await anyio.sleep(0.01)
            if rest:
                yield rest

    async def read() -> None:
        try:
            with BodyRoom():
                await read_body(stalled(), {}, max_bytes=10 * LARGE_BYTES)
        except AttemptFailed as failure:
            kinds.append(failure.kind)

    async def steady() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield CHUNK
            await anyio.sleep(0.02)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            with BodyRoom():
                assert len(await read_body(steady(), {}, max_bytes=10 * LARGE_BYTES)) == 12 * len(CHUNK)
    assert kinds == ["timeout"] * 2


@pytest.mark.parametrize("text", ["x" * 100, "[" * 100, "<html>"])
def test_a_failure_holds_no_reply(text: str) -> None:
    """The failure of a try, which is kept while the next one is waited for, has no frame that holds the body."""
    failure = failed(http(200, text))
    assert failure.__context__ is None
    assert failure.__cause__ is None
    frames = []
    trace = failure.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    assert not [name for frame in frames for name, value in frame.f_locals.items() if value == text.encode()]


def test_connections_are_read_in_pieces() -> None:
    """However much has arrived, at most 64 KiB are taken at once, so that other connections are served."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        piecewise_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", server.getsockname())) as ours,
    ):
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            theirs.sendall(bytes(100_000))
            assert len(ours.recv(100_000, socket.MSG_PEEK | socket.MSG_WAITALL)) == 65_536
            assert ours.recv_into(bytearray(100_000), 0, socket.MSG_WAITALL) == 65_536
            assert ours.recv_into(bytearray(100), 10) == 10
            assert len(ours.recv(100)) == 100
