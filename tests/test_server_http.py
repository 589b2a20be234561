"""One request against real servers: whole replies, statuses and everything that can happen to a connection."""

import asyncio
import gzip
import json
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import ByteStream

from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.types import Answer
from tests.raw_server import (
    KEY,
    Reply,
    client_of,
    closing,
    completion,
    failed,
    http,
    outcome,
    resetting,
    serving,
    silent,
    stalling,
    tried,
)

pytestmark = pytest.mark.usefixtures("transport")


def test_an_answer_carries_what_the_server_sent() -> None:
    """Text, finish_reason, usage and the unknown model name of a reply are in the answer."""
    reply = http(200, completion("ja", "length", usage={"completion_tokens": 3}, model="other"))
    assert tried(reply) == Answer(text="ja", finish_reason="length", usage={"completion_tokens": 3}, model="other")


def test_a_request_carries_key_payload_and_path() -> None:
    """The completion endpoint gets the key as Bearer, the JSON body, and no wish for a compressed reply."""

    async def scenario() -> None:
        async with serving(http(200, completion())) as server, client_of(server.url) as client:
            await client.complete("täglich")
        assert server.heads[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")
        assert f"authorization: bearer {KEY}".encode() in server.heads[0].lower()
        assert b"accept-encoding: identity" in server.heads[0].lower()
        assert json.loads(server.bodies[0])["prompt"] == "täglich"

    anyio.run(scenario)


def test_requests_share_connections() -> None:
    """Requests that follow each other share a connection; as many connections are made as requests are in flight."""

    async def scenario() -> None:
        async with serving(http(200, completion())) as server, client_of(server.url) as client:
            for _ in range(3):
                await client.complete("p")
            assert server.n_connections == 1
            for _ in range(2):
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(client.complete, "p")
            assert server.n_connections <= 20

    anyio.run(scenario)


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "scope"),
    [
        (400, "http_400", False, "sample"),
        (401, "http_401", False, "run_stop"),
        (403, "http_403", False, "sample"),
        (404, "http_404", False, "model_missing"),
        (408, "http_408", True, "sample"),
        (409, "http_409", True, "sample"),
        (413, "http_413", False, "sample"),
        (422, "http_422", False, "sample"),
        (425, "http_425", True, "sample"),
        (429, "rate_limited", True, "sample"),
        (500, "http_500", True, "sample"),
        (502, "http_502", True, "sample"),
        (503, "http_503", True, "sample"),
    ],
)
def test_statuses(status: int, kind: str, retryable: bool, scope: str) -> None:  # noqa: FBT001 - a table's column
    """Each status has its kind, is retried or not, and concerns the sample or the run; the server's words are shown."""
    failure = failed(http(status, {"error": {"message": f"no: {KEY}\x1b[2J\nnever"}}))
    assert (failure.kind, failure.retryable, failure.scope, failure.status) == (kind, retryable, scope, status)
    assert failure.message == f"HTTP {status}: no: ***\\x1b[2J never"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("Sun, 09 Sep 2001 01:47:40 GMT", 60.0), ("99999999999", 99999999999.0), ("-1", None), ("soon", None)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """A 429 hands on the seconds until a Retry-After, date or number, and nothing where it is senseless."""
    assert failed(http(429, {}, retry_after=value)).retry_after_s == seconds


def test_an_html_error_page_shows_its_title() -> None:
    """Of a gateway's HTML page only the title is shown."""
    page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
    assert failed(http(502, page)).message == "HTTP 502: 502 Bad Gateway"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": [{"loc": ["body", "top_k"], "msg": "not an integer"}]}, "not an integer (['body', 'top_k'])"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error": "no"}, "no"),
        ({"message": "no"}, "no"),
        ({"error": {"code": 7}}, '{"code": 7}'),
        ({"status": "no"}, '{"status": "no"}'),
        ("no", "no"),
        ("", ""),
    ],
)
def test_the_servers_words(body: Any, words: str) -> None:
    """The message of a refusal is found in every form in use."""
    assert failed(http(422, body)).message.removeprefix("HTTP 422").removeprefix(": ") == words


def test_a_long_message_is_cut_after_redaction() -> None:
    """A key across the place where a long message is cut does not show in part."""
    message = failed(http(400, {"error": "x" * 380 + KEY + "y" * 900})).message
    assert len(message) == 400
    assert "sk-" not in message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded"}},
        {"object": "error", "message": "overloaded"},
        "<html>please log in</html>",
        '{"choices": [{"text": "an ans',
        "",
        {"choices": []},
        {"choices": [{"text": None, "finish_reason": None}]},
        b'{"choices": [{"text": "\xff", "finish_reason": "stop"}]}',
    ],
)
def test_a_reply_that_is_no_answer(body: bytes | str | dict[str, Any]) -> None:
    """Error bodies, HTML, truncated JSON and choices without anything are bad responses, and retried."""
    failure = failed(http(200, body))
    assert (failure.kind, failure.retryable, failure.scope) == ("bad_response", True, "sample")


def test_refused_connection() -> None:
    """Where nobody listens, the failure concerns the server and names its address and the reason."""

    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
            async with client_of(url) as client:
                failure = await outcome(client)
            assert isinstance(failure, AttemptFailed)
            assert (failure.kind, failure.scope, failure.retryable) == ("connection", "connect", True)
            assert failure.message == f"cannot connect to {url}: Connection refused"

    anyio.run(scenario)


def test_a_host_that_does_not_exist() -> None:
    """An unknown host name concerns the server."""

    async def scenario() -> None:
        async with client_of("http://nowhere.invalid/v1") as client:
            failure = await outcome(client)
        assert isinstance(failure, AttemptFailed)
        assert (failure.kind, failure.scope) == ("connection", "connect")

    anyio.run(scenario)


@pytest.mark.parametrize(
    "reply",
    [
        resetting(),
        closing(b"HTTP/1.1 200 OK\r\ncontent-le"),
        closing(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
        resetting(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
        resetting(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"),
        closing(b"SSH-2.0-OpenSSH_9.6\r\n"),
    ],
)
def test_a_connection_that_breaks(reply: Any) -> None:
    """A connection that is lost before or within the reply, or that speaks no HTTP, is a connection failure."""
    failure = failed(reply)
    assert (failure.kind, failure.retryable, failure.scope) == ("connection", True, "sample")


@pytest.mark.parametrize("reply", [stalling(), stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")])
def test_the_deadline_covers_the_whole_reply(reply: Any) -> None:
    """A server that never answers, or never ends its answer, is a timeout."""
    failure = failed(reply, timeout_s=0.2)
    assert (failure.kind, failure.retryable, failure.scope) == ("timeout", True, "sample")
    assert "within 0.2 s" in failure.message


def test_a_client_works_again_after_a_timeout() -> None:
    """The connection of a try that ran out of time is not used for the next one."""

    async def scenario() -> None:
        async with serving(stalling(), http(200, completion())) as server:
            async with client_of(server.url, timeout_s=0.2) as client:
                assert isinstance(await outcome(client), AttemptFailed)
                client.timeout_s = 30
                assert isinstance(await outcome(client), Answer)
            assert server.n_connections == 2

    anyio.run(scenario)


def test_a_connection_closed_while_idle_costs_no_attempt() -> None:
    """A server that closes a kept connection after its reply is asked again over a new one."""

    async def scenario() -> None:
        closed = anyio.Event()

        async def once(stream: ByteStream) -> None:
            await closing(http(200, completion()))(stream)
            closed.set()

        async with serving(once, http(200, completion())) as server, client_of(server.url) as client:
            assert isinstance(await outcome(client), Answer)
            await closed.wait()
            assert isinstance(await outcome(client), Answer)
            assert server.n_connections == 2

    anyio.run(scenario)


@pytest.mark.parametrize("headers", [{"x_trace": "x" * 60_000}, {f"x_{i}": "1" for i in range(300)}])
def test_a_large_head_is_read(headers: dict[str, str]) -> None:
    """One long header, or hundreds of them, as gateways add, cost no answer."""
    assert isinstance(tried(http(200, completion(), **headers)), Answer)


def test_http_1_0() -> None:
    """A reply of HTTP/1.0 without a length, ended by closing, is read."""
    body = json.dumps(completion("old")).encode()
    assert tried(closing(b"HTTP/1.0 200 OK\r\n\r\n" + body)) == Answer(text="old", finish_reason="stop", model="m")


def test_a_redirect_is_not_followed() -> None:
    """A redirect ends the try without a second request, and shows where it points to without credentials."""

    async def scenario() -> None:
        async with serving(http(200, completion())) as elsewhere:
            target = elsewhere.url.replace("//", "//u:secret@") + "?token=secret"
            async with serving(http(307, "", location=target)) as server, client_of(server.url) as client:
                failure = await outcome(client)
            assert isinstance(failure, AttemptFailed)
            assert (failure.kind, failure.retryable) == ("http_307", False)
            assert elsewhere.url in failure.message
            assert "secret" not in failure.message
            assert not elsewhere.heads

    anyio.run(scenario)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(json.dumps(completion("packed")).encode(), mtime=0), "gzip"),
        (gzip.compress(b"x" * 10_000_000, mtime=0), "x-gzip"),
        (b"no gzip", "gzip"),
        (b"{}", "br"),
        (b" " * 1_000_001, "identity"),
    ],
)
def test_bodies_that_are_too_large_or_encoded(body: bytes, encoding: str) -> None:
    """A body over the limit is a bad response, and so is one in an encoding that was not offered, gzip included."""
    assert failed(http(200, body, content_encoding=encoding)).kind == "bad_response"


def test_a_body_without_a_length_is_limited_too() -> None:
    """A body that goes on and on is left when it reaches the limit."""
    assert (
        "more than 1000 bytes" in failed(closing(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000), max_body_bytes=1000).message
    )


def test_a_large_reply_is_read() -> None:
    """A reply large enough to be parsed in a thread is an answer like any other."""
    answer = tried(http(200, completion("x" * 500_000)))
    assert isinstance(answer, Answer)
    assert len(answer.text) == 500_000


def test_the_model_list() -> None:
    """The entries of /models that have an id are listed."""

    async def scenario() -> None:
        listed = http(200, {"data": [{"id": "a", "max_model_len": 5}, {"name": "b"}, "c"]})
        async with serving(listed) as server, client_of(server.url) as client:
            assert await client.models() == [{"id": "a", "max_model_len": 5}]
        assert server.heads[0].startswith(b"GET /v1/models HTTP/1.1\r\n")

    anyio.run(scenario)


def test_a_path_missing_for_the_model_list_says_nothing_of_the_model() -> None:
    """A 404 on /models does not mean that the model is gone."""

    async def scenario() -> None:
        async with serving(http(404, {})) as server, client_of(server.url) as client:
            with pytest.raises(AttemptFailed) as caught:
                await client.models()
            assert caught.value.scope == "sample"

    anyio.run(scenario)


def test_proxies_are_read_once() -> None:
    """A proxy of the environment is used, and what happens to the environment later does not matter."""

    async def scenario() -> None:
        async with serving(http(200, completion("by proxy"))) as proxy:
            environ = {"http_proxy": proxy.url.removesuffix("/v1")}
            async with client_of("http://model.invalid/v1", environ=environ) as client:
                environ.clear()
                answer = await outcome(client)
            assert isinstance(answer, Answer)
            assert proxy.heads[0].startswith(b"POST http://model.invalid/v1/completions HTTP/1.1\r\n")

    anyio.run(scenario)


@pytest.mark.parametrize(("context", "n_requests"), [(2000, 2), (100, 1)])
def test_auto_takes_the_number_that_a_refusal_states(context: int, n_requests: int) -> None:
    """With max_tokens auto a refusal that states what fits is followed once by that; one that leaves nothing is not."""
    words = f"maximum context length is {context} tokens and your request has 1000 input tokens"

    async def scenario() -> None:
        replies = (http(400, words), http(200, completion()))
        async with serving(*replies) as server, client_of(server.url) as client:
            client.config = replace(client.config.sending(max_tokens="auto"), context_length=2000)
            result = await outcome(client)
        sent = [json.loads(body)["max_tokens"] for body in server.bodies]
        assert sent == [2000 - 64 - 2, 1000][:n_requests]
        if n_requests == 1:
            assert isinstance(result, AttemptFailed)
        else:
            assert isinstance(result, Answer)
            assert result.max_tokens == 1000

    anyio.run(scenario)


@pytest.mark.parametrize("end", [closing(b""), resetting()], ids=["closed", "reset"])
def test_a_kept_connection_that_ends_unanswered_costs_no_attempt(end: Reply) -> None:
    """A server that keeps a connection and closes it while the next request arrives gets that on a new one, at once."""

    async def scenario() -> None:
        good = http(200, completion())
        async with serving(good, end, good) as server, client_of(server.url) as client:
            assert isinstance(await outcome(client), Answer)
            assert isinstance(await outcome(client), Answer)
            assert (server.n_connections, len(server.bodies)) == (2, 3)

    anyio.run(scenario)


@pytest.mark.parametrize("end", [closing(b""), resetting()], ids=["closed", "reset"])
def test_a_new_connection_that_ends_unanswered_is_a_failure(end: Reply) -> None:
    """A server that closes new connections without a reply may be in trouble: the attempt counts."""

    async def scenario() -> None:
        good = http(200, completion())
        async with serving(end, good, end, end, good) as server, client_of(server.url) as client:
            assert isinstance(failure := await outcome(client), AttemptFailed)
            assert failure.kind == "connection"
            assert isinstance(await outcome(client), Answer)
            assert isinstance(await outcome(client), AttemptFailed)
            assert len(server.bodies) == 4

    anyio.run(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "began", [b"H", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_kept_connection_that_ends_in_its_reply_is_a_failure(began: bytes, *, stream: bool) -> None:
    """A request whose reply had begun is never sent again by itself."""

    async def scenario() -> None:
        good = http(200, completion(), content_type="application/json")
        async with (
            serving(good, closing(began), good) as server,
            client_of(server.url, stream=stream) as client,
        ):
            assert isinstance(await outcome(client), Answer)
            assert isinstance(await outcome(client), AttemptFailed)
            assert len(server.bodies) == 2

    anyio.run(scenario)


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="reads the timers of Linux")
def test_a_silent_connection_is_kept_alive() -> None:
    """While an answer is awaited, the kernel asks the other side within 30 s whether it is still there."""

    async def scenario() -> None:
        asked = anyio.Event()

        async with (
            serving(silent(asked)) as server,
            client_of(server.url) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.complete, "p")
            await asked.wait()
            port = f":{urlsplit(server.url).port:04X}"
            table = await anyio.Path("/proc/net/tcp").read_text()
            [timer] = [
                line.split()[5] for line in table.splitlines() if line.split()[2].endswith(port) and " 01 " in line
            ]
            kind, _, left = timer.partition(":")
            assert kind == "02"
            assert 0 < int(left, 16) <= 30 * os.sysconf("SC_CLK_TCK")
            tasks.cancel_scope.cancel()

    anyio.run(scenario)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_kept_tls_connection_that_ends_unanswered_costs_no_attempt(
    certificate: Path, version: ssl.TLSVersion
) -> None:
    """What TLS itself says at the end of a connection is no part of a reply."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.maximum_version = version

    async def scenario() -> None:
        n_requests = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal n_requests
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                for n in range(2):
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                    n_requests += 1
                    if n == 0:
                        writer.write(http(200, completion()))
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with client_of(url, ca_bundle=certificate) as client:
            for _ in range(3):
                assert isinstance(await outcome(client), Answer)
        assert n_requests == 5
        server.close()

    anyio.run(scenario)


def test_every_request_has_its_own_deadline() -> None:
    """Requests that began one after the other end one after the other, but for the one that is answered in time."""
    ends: list[str] = []

    async def scenario() -> None:
        arrived = [anyio.Event() for _ in range(3)]

        def answering(n: int) -> Reply:
            async def reply(stream: ByteStream) -> None:
                arrived[n].set()
                await (stream.send(http(200, completion())) if n == 1 else anyio.sleep_forever())

            return reply

        async with (
            serving(*map(answering, range(3))) as server,
            client_of(server.url, timeout_s=0.3) as client,
            anyio.create_task_group() as tasks,
        ):

            async def ask(name: str) -> None:
                end = await outcome(client)
                ends.append(f"{name} {end.kind if isinstance(end, AttemptFailed) else 'answered'}")

            for n, name in enumerate(("first", "second", "third")):
                tasks.start_soon(ask, name)
                await arrived[n].wait()

    anyio.run(scenario)
    assert ends == ["second answered", "first timeout", "third timeout"]


@pytest.mark.parametrize("also_cancelled", [False, True], ids=["alone", "cancelled as well"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_that_is_given_up_ends_alone(*, also_cancelled: bool, stream: bool) -> None:
    """One that is abandoned fails and cuts off nothing else; a scope cancelled in the same moment stays cancelled."""
    ends: list[AttemptFailed | Answer] = []

    async def scenario() -> None:
        arrived = anyio.Event()

        async def ask() -> None:
            with scope:
                end = await outcome(client)
                await anyio.lowlevel.checkpoint()
                ends.append(end)
            await anyio.lowlevel.checkpoint()  # a cancellation that is left over would be raised here
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            ended.set()

        async with serving(silent(arrived)) as server, client_of(server.url, stream=stream) as client:
            scope, ended = anyio.CancelScope(), anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await arrived.wait()
                client.abandon(before_s=float("inf"), silent_s=-1)
                client.abandon(before_s=float("inf"), silent_s=-1)
                if also_cancelled:
                    scope.cancel()
                await ended.wait()

    anyio.run(scenario)
    assert [end.scope for end in ends if isinstance(end, AttemptFailed)] == ([] if also_cancelled else ["abandoned"])


def test_closing_while_a_kept_connection_is_used_is_a_failure() -> None:
    """A server that leaves the run while it is asked about its load is a failure of that request alone."""

    async def scenario() -> None:
        arrived = anyio.Event()

        async with serving(http(200, completion()), silent(arrived)) as server, client_of(server.url) as client:
            assert isinstance(await outcome(client), Answer)
            failures: list[AttemptFailed] = []

            async def ask() -> None:
                try:
                    await client.text_beside("/metrics", timeout_s=0.5, max_bytes=1000)
                except AttemptFailed as failure:
                    failures.append(failure)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await arrived.wait()
                await client.aclose()
            assert [failure.kind for failure in failures] in (["connection"], ["timeout"])  # httpx lets it go on

    anyio.run(scenario)
