"""Replies that nobody asked for, on connections that are kept: none of them becomes the answer to another request."""

import os
from collections.abc import Callable

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from tests.raw_server import Reply, client_of, completion, http, serving

pytestmark = pytest.mark.usefixtures("transport")

N_REQUESTS = 4


def twice(text: str, gap_s: float | None) -> Reply:
    """Send a reply two times, with a gap or in one piece."""
    raw = http(200, completion(text), content_type="application/json")

    async def reply(stream: ByteStream) -> None:
        if gap_s is None:
            await stream.send(raw + raw)
            return
        await stream.send(raw)
        await anyio.sleep(gap_s)
        await stream.send(raw)

    return reply


@pytest.mark.parametrize("gap_s", [None, 0.02])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_sent_twice_answers_one_request(gap_s: float | None, stream: bool) -> None:  # noqa: FBT001 - a table
    """The second copy, in the same piece or on the idle connection, is thrown away with the connection."""
    texts = [str(n) for n in range(N_REQUESTS)]
    answers = []

    async def scenario() -> None:
        replies = [twice(text, gap_s) for text in texts]
        async with serving(*replies) as server, client_of(server.url, stream=stream) as client:
            for _ in texts:
                answers.append((await client.complete("p")).text)
                await anyio.sleep(0.1)
            assert server.n_connections == N_REQUESTS

    anyio.run(scenario)
    assert answers == texts


def test_a_copy_that_is_not_yet_read_answers_nothing() -> None:
    """What waits at the socket when a connection is taken, unseen by the event loop, is thrown away, too."""
    copy: list[Callable[[], int]] = []

    def once(text: str) -> Reply:
        raw = http(200, completion(text))

        async def reply(stream: ByteStream) -> None:
            fd = stream.extra(SocketAttribute.raw_socket).fileno()  # noqa: S610 - not Django
            await stream.send(raw)
            copy.append(lambda: os.write(fd, raw))

        return reply

    async def scenario() -> None:
        async with serving(once("0"), once("1")) as server, client_of(server.url) as client:
            assert (await client.complete("p")).text == "0"
            await anyio.sleep(0.05)
            copy[0]()
            assert (await client.complete("p")).text == "1"

    anyio.run(scenario)
