"""Replies that nobody asked for, on connections that are kept: none of them becomes the answer to another request."""

import json
import os
from collections.abc import Callable

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from bootcamp_cli.server.client import CompletionClient
from tests.raw_server import Reply, client_of, completion, http, serving

pytestmark = pytest.mark.usefixtures("transport")

N_REQUESTS = 4


def chunked(body: bytes, trailer: bytes = b"") -> bytes:
    """A whole reply in one chunk, with what follows the last one."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)


def twice(text: str, gap_s: float | None, *, is_chunked: bool = False) -> Reply:
    """Send a reply two times, with a gap or in one piece."""
    raw = http(200, completion(text), content_type="application/json")
    if is_chunked:
        raw = chunked(json.dumps(completion(text)).encode())

    async def reply(stream: ByteStream) -> None:
        if gap_s is None:
            await stream.send(raw + raw)
            return
        await stream.send(raw)
        await anyio.sleep(gap_s)
        await stream.send(raw)

    return reply


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("gap_s", [None, 0.02])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_sent_twice_answers_one_request(
    gap_s: float | None,
    stream: bool,  # noqa: FBT001 - a table
    is_chunked: bool,  # noqa: FBT001 - a table
) -> None:
    """The second copy, in the same piece or on the idle connection, is thrown away with the connection."""
    texts = [str(n) for n in range(N_REQUESTS)]
    answers = []

    async def scenario() -> None:
        replies = [twice(text, gap_s, is_chunked=is_chunked) for text in texts]
        async with serving(*replies) as server, client_of(server.url, stream=stream) as client:
            for _ in texts:
                answers.append((await client.complete("p")).text)
                await anyio.sleep(0.1)
            assert server.n_connections == N_REQUESTS

    anyio.run(scenario)
    assert answers == texts


@pytest.mark.parametrize("is_chunked", [False, True])
def test_no_copy_answers_another_request_at_the_same_time(is_chunked: bool) -> None:  # noqa: FBT001 - a table
    """Of many requests at once, each of whose replies comes twice, every one gets the answer to its own prompt."""
    answers: dict[str, str] = {}

    async def scenario() -> None:
        async def echo(stream: ByteStream) -> None:
            prompt = json.loads(server.bodies[-1])["prompt"]
            await twice(prompt, None, is_chunked=is_chunked)(stream)  # type: ignore[operator]

        async def ask(client: CompletionClient, numbers: range) -> None:
            for number in numbers:
                answers[str(number)] = (await client.complete(str(number))).text

        async with serving(echo) as server, client_of(server.url) as client, anyio.create_task_group() as tasks:
            for start in range(12):
                tasks.start_soon(ask, client, range(start, 240, 12))

    anyio.run(scenario)
    assert answers == {str(number): str(number) for number in range(240)}


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, completion("x")),
        chunked(json.dumps(completion("x")).encode()),
        chunked(json.dumps(completion("x")).encode(), b"checksum: 1\r\n"),
        http(200, completion("x")).replace(b"\r\n", b"\n"),
    ],
)
def test_odd_framing_costs_no_connection(raw: bytes) -> None:
    """An interim reply, chunks, trailers and bare line feeds are one reply each: the connection is used again."""

    async def scenario() -> None:
        async with serving(raw) as server, client_of(server.url) as client:
            for _ in range(N_REQUESTS):
                assert (await client.complete("p")).text == "x"
            assert server.n_connections == 1

    anyio.run(scenario)


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
