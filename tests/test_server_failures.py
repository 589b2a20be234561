"""Failures: the mapping of the HTTP library's exceptions, TLS, and Retry-After."""

import json
import math
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import anyio
import httpcore
import httpx
import pytest
from anyio.abc import ByteStream, SocketAttribute
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import ServerUnavailableError, SettingsError
from bootcamp_cli.server import aiohttp_transport, httpx_transport
from bootcamp_cli.server.aiohttp_transport import AiohttpTransport
from bootcamp_cli.server.client import make_transport
from bootcamp_cli.server.endpoint import _kept_authorities, endpoint
from bootcamp_cli.server.failures import (
    NO_CONNECTION,
    AttemptFailed,
    delay_in_body,
    html_words,
    is_refusal,
    meaning_of,
    parse_reset,
    parse_retry_after,
    refuses_connections,
    stated_room,
    status_failure,
    translate,
)
from bootcamp_cli.server.health import wait_for_model
from bootcamp_cli.server.httpx_transport import HttpxTransport
from bootcamp_cli.server.transport import TransportName
from bootcamp_cli.types import Answer
from tests.raw_server import EVENT_STREAM, client_of, closing, completion, failed, http, outcome, piece, serving, tried


def errors_of(library: ModuleType) -> list[type[Exception]]:
    """The exceptions that a library makes public, warnings left out."""
    classes = [value for value in vars(library).values() if isinstance(value, type)]
    return [one for one in classes if issubclass(one, Exception) and not issubclass(one, Warning)]


HTTPX_UNREACHED = {
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError),
    *(httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError),
}
AIOHTTP_UNREACHED = {
    aiohttp.ClientConnectorError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientConnectorDNSError,
    aiohttp.ClientConnectorSSLError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientSSLError,
    aiohttp.ConnectionTimeoutError,
}


@pytest.mark.parametrize("error_class", [*errors_of(httpx), *errors_of(httpcore)])
def test_every_exception_of_httpx_has_a_meaning(error_class: type[Exception]) -> None:
    """The mapping names each exception of httpx and httpcore, and only failures to connect concern the server."""
    assert error_class in httpx_transport.MEANINGS
    failure = translate(error_class.__new__(error_class), endpoint("http://h/v1"), httpx_transport.MEANINGS)
    assert (failure.scope == "connect") == (error_class in HTTPX_UNREACHED)
    assert failure.message.isprintable()


@pytest.mark.parametrize("error_class", [one for one in errors_of(aiohttp) if issubclass(one, aiohttp.ClientError)])
def test_every_exception_of_aiohttp_has_a_meaning(error_class: type[Exception]) -> None:
    """Each class of aiohttp's exception tree means something, and only failures to connect concern the server."""
    meaning = meaning_of(error_class, aiohttp_transport.MEANINGS)
    assert (meaning.scope == "connect") == (error_class in AIOHTTP_UNREACHED)


@given(st.integers(100, 999), st.binary(max_size=50), st.text(max_size=20))
def test_any_reply_of_another_status_is_a_failure(status: int, body: bytes, value: str) -> None:
    """Whatever comes with a status, there is a failure of that status in one line, and a wait only if retried."""
    headers = {"retry-after": value, "location": value}
    failure = status_failure(status, headers, body, now_s=0.0)
    assert failure.status == status
    assert failure.message.startswith(f"HTTP {status}")
    assert failure.message.isprintable()
    assert failure.retryable or failure.retry_after_s is None


@pytest.mark.parametrize("status", [408, 409, 424, 425, 498, 499, 500, 502, 503, 504, 520, 529, 599])
def test_what_a_gateway_could_not_do_is_tried_again(status: int) -> None:
    """Statuses that speak of the server behind, not of the request, are retried and are no refusals."""
    failure = failed(http(status, {}, retry_after="3"))
    assert (failure.kind, failure.retryable, failure.retry_after_s) == (f"http_{status}", True, 3)
    assert not is_refusal(failure)


NO_QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": None}}
JSON = {"content_type": "application/json"}
NO_CREDITS = {"error": {"message": "Insufficient balance", "code": 402}}


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (http(402, {"error": {"message": "Insufficient Balance"}}), 402),
        (http(402, "<html>pay</html>"), 402),
        (http(429, NO_QUOTA, retry_after="1"), 429),
        (http(429, {"error": {"message": "no quota", "code": "insufficient_quota"}}), 429),
        (http(403, {"error": {"message": "no quota", "code": "insufficient_user_quota"}}), 403),
        (http(200, NO_CREDITS, **JSON), None),
        (http(200, {"choices": [{"index": 0, "text": "", **NO_CREDITS}]}, **JSON), None),
        (http(200, {"choices": [{"index": 0, "text": "", "finish_reason": "error"}], **NO_CREDITS}, **JSON), None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_balance_that_is_used_up_stops_the_run(reply: bytes, status: int | None, *, stream: bool) -> None:
    """Whatever status it comes with, it is told in that word and not retried: no request would be answered."""
    failure = failed(reply, stream=stream)
    assert (failure.kind, failure.status, failure.scope) == ("balance_used_up", status, "run_stop")
    assert (failure.retryable, failure.retry_after_s, is_refusal(failure)) == (False, None, False)
    assert "balance used up" in failure.message


def test_a_balance_may_end_in_mid_stream() -> None:
    """An error event with that code means the same as a reply with it."""
    event = b"event: error\ndata: " + json.dumps(NO_CREDITS).encode() + b"\n\n"
    for end in (event, event.removeprefix(b"event: error\n")):
        failure = failed(closing(EVENT_STREAM + piece("half") + end), stream=True)
        assert (failure.kind, failure.message) == (
            "balance_used_up",
            f"an error {'in the stream' if end is event else 'with status 200'}: balance used up: Insufficient balance",
        )


@pytest.mark.parametrize(
    "body", [{"error": {"message": "insufficient_quota"}}, {"error": {"code": None}}, {"error": "x"}, {"code": [402]}]
)
def test_a_rate_limit_is_no_empty_balance(body: dict[str, Any]) -> None:
    """Only the code or type of an error says so, not what its message is about."""
    assert failed(http(429, body)).kind == "rate_limited"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<html><head><style>a {}</style><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway"),
        ("<html><style>p { color: red }</style><h1>Busy</h1><script>x()</script> later</html>", "Busy later"),
        ("<TITLE lang=en>Down</TITLE>", "Down"),
        ("<title></title><p>Down</p>", "Down"),
        ("<title <title <title", "<title <title <title"),
        ("plain words", "plain words"),
    ],
)
def test_the_words_of_a_page(page: str, said: str) -> None:
    """A page's title or else its text is what it says; tags that never end are text."""
    assert html_words(page.encode()) == said


@given(st.text(max_size=40) | st.integers().map(str) | st.floats().map(str))
def test_retry_after_is_sensible_or_nothing(value: str) -> None:
    """Any header value gives finite seconds that are not negative, or None."""
    wait_s = parse_retry_after(value, now_s=1e9)
    assert wait_s is None or (wait_s >= 0 and math.isfinite(wait_s))


@given(now=st.integers(0, 4_000_000_000), ahead=st.integers(-100_000, 100_000))
def test_retry_after_as_a_date(now: int, ahead: int) -> None:
    """A date is the time until then, and no time where it is past."""
    assert parse_retry_after(formatdate(now + ahead, usegmt=True), now_s=now) == max(0, ahead)


def server_context(certificate: Path) -> ssl.SSLContext:
    """The TLS context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.usefixtures("transport")
def test_a_certificate_that_is_not_trusted_stops_the_run(certificate: Path) -> None:
    """A self-signed certificate is refused by default, which no further attempt can fix."""
    failure = failed(http(200, completion()), tls=server_context(certificate))
    assert (failure.kind, failure.scope, failure.retryable) == ("tls", "run_stop", False)
    assert "self" in failure.message


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("how", ["ca_bundle", "insecure", "environment"])
def test_ways_to_trust_a_certificate(certificate: Path, how: str) -> None:
    """The own bundle, SSL_CERT_FILE and insecure let the same server answer."""
    options: dict[str, dict[str, Any]] = {
        "ca_bundle": {"ca_bundle": certificate},
        "insecure": {"insecure": True},
        "environment": {"environ": {"SSL_CERT_FILE": str(certificate)}},
    }
    assert isinstance(tried(http(200, completion()), tls=server_context(certificate), **options[how]), Answer)


@pytest.mark.usefixtures("transport")
def test_a_server_without_tls_concerns_the_server() -> None:
    """A server that speaks no TLS where the address says https is a TLS failure, but none of the certificate."""

    async def scenario() -> Answer | AttemptFailed:
        async def refuse(stream: ByteStream) -> None:
            async with stream:
                await stream.receive()
                await stream.send(http(400, "plain HTTP only"))

        async with plain_listener(refuse) as port, client_of(f"https://127.0.0.1:{port}/v1") as client:
            return await outcome(client)

    failure = anyio.run(scenario)
    assert isinstance(failure, AttemptFailed)
    assert (failure.kind, failure.scope) == ("tls", "connect")


@asynccontextmanager
async def plain_listener(handle: Callable[[ByteStream], Awaitable[None]]) -> AsyncIterator[int]:
    """A listener that hands each connection on as it comes; yields its port."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used(tmp_path: Path, content: str | None, transport: TransportName) -> None:
    """A missing or empty certificate bundle is an error of the setting, before anything is sent."""
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(SettingsError, match="ca_bundle: "):
        make_transport(endpoint("https://h", ca_bundle=bundle), transport, environ={})


def test_endpoints_share_what_they_trust(certificate: Path, tmp_path: Path, transport: TransportName) -> None:
    """Authorities are read once for all endpoints, again when their file changes, and apart where a key is shown."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(certificate.read_bytes())

    def trusted(url: str, **given: Any) -> ssl.SSLContext:
        made = make_transport(endpoint(url, ca_bundle=bundle, **given), transport, environ={})
        assert isinstance(made, AiohttpTransport | HttpxTransport)
        return made._tls

    first = trusted("https://one")
    assert trusted("https://two") is first
    assert trusted("https://two", insecure=True) is not first
    assert trusted("https://two", client_cert=certificate) is not first
    os.utime(bundle, ns=(0, 0))
    assert trusted("https://two") is not first


def test_clients_share_one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients the httpx transport opens, certificates are read once."""
    _kept_authorities.cache_clear()
    made: list[object] = []
    original = ssl.create_default_context

    def counted(**options: Any) -> ssl.SSLContext:
        made.append(options)
        return original(**options)

    monkeypatch.setattr(ssl, "create_default_context", counted)

    transport = HttpxTransport(endpoint("https://127.0.0.1:9"), environ={})

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(asked, transport)

    async def asked(transport: HttpxTransport) -> None:
        with pytest.raises(AttemptFailed):
            await transport.get("/models")

    anyio.run(scenario)
    assert len(made) == 1


def told_at_once(
    *, tls: ssl.SSLContext | None, scheme: str, proxied: str | None = None, **options: Any
) -> tuple[str, str]:
    """What the check of the model list says without waiting, and what to do, asked under another scheme."""

    async def scenario() -> tuple[str, str]:
        async with serving(http(407 if proxied else 200, {"data": [{"id": "m"}]}), tls=tls) as server:
            address = server.url.partition("://")[2]
            environ = {f"{scheme}_proxy": f"http://user:wrong-pass@{address.removesuffix('/v1')}"} if proxied else None
            url = f"{scheme}://{proxied or address}"
            async with client_of(url, environ=environ, **options) as client:
                with pytest.raises(ServerUnavailableError) as caught:
                    await wait_for_model(client, "m", wait_s=0.0, poll_interval_s=1.0, notify=lambda _: None)
        assert "waited" not in caught.value.message
        return caught.value.message.replace(address, "ADDRESS"), str(caught.value.hint).replace(address, "ADDRESS")

    return anyio.run(scenario)


@pytest.mark.usefixtures("transport")
def test_the_wrong_scheme_is_told_at_once(certificate: Path) -> None:
    """Plain HTTP to a port for TLS, and the reverse, are no hour of waiting, but an error with the right address."""
    assert told_at_once(tls=server_context(certificate), scheme="http") == (
        "http://ADDRESS is a port for TLS",
        "give url as https://ADDRESS",
    )
    assert told_at_once(tls=None, scheme="https") == (
        "https://ADDRESS speaks HTTP without TLS",
        "give url as http://ADDRESS",
    )


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_wrong_proxy_password_is_told_at_once(scheme: str) -> None:
    """A proxy that refuses the password stops at once, whether it is asked for a tunnel or for the page itself."""
    message, _ = told_at_once(tls=None, scheme=scheme, proxied="example.test/v1")
    assert ("HTTP 407" if scheme == "http" else "refuses user or password: 407") in message
    assert "wrong-pass" not in message


@pytest.mark.parametrize(
    "words",
    [
        "maximum context length is 4096 tokens. However, you requested 5000 tokens (1000 in the messages, 4000 in the",
        "maximum context length is 4096 tokens, however you requested 5000 tokens (1000 in your prompt; 4000 for the",
        "maximum context length is 4096 tokens and your request has 1000 input tokens (4000 > 4096 - 1000).",
        "You passed 1000 input tokens and requested 4000 output tokens. However, the context length is only 4096 t",
        "the maximum context length of 4096 tokens. You requested 5000 tokens: 1000 tokens from the input messages and",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` tokens and 4000 `max_new_tokens`",
        "maximum context length is 4096 tokens. However, you requested about 5000 tokens (1000 of text input, 4000 in",
    ],
)
def test_the_room_that_a_refusal_states(words: str) -> None:
    """What the context leaves is read from the refusals of the servers in use."""
    assert stated_room(status_failure(400, {}, words.encode(), now_s=0.0)) == 3096


@given(st.text(max_size=200))
def test_no_room_in_other_words(words: str) -> None:
    """Any other text of any status is read without an error, and that of another status says nothing."""
    stated_room(status_failure(400, {}, words.encode(errors="replace"), now_s=0.0))
    said = "maximum context length is 4096 tokens, your request has 1000 input tokens"
    assert stated_room(status_failure(500, {}, said.encode(), now_s=0.0)) is None
    assert stated_room(status_failure(400, {}, b"maximum context length is 4096 tokens", now_s=0.0)) is None


@pytest.mark.usefixtures("transport")
def test_a_client_certificate(certificate: Path) -> None:
    """A server that asks for a certificate answers who shows one, and nobody else."""
    asking = server_context(certificate)
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificate)
    both = {"client_cert": certificate, "client_key": certificate}
    assert isinstance(tried(http(200, completion()), tls=asking, ca_bundle=certificate, **both), Answer)
    assert isinstance(tried(http(200, completion()), tls=asking, ca_bundle=certificate), AttemptFailed)


@pytest.mark.usefixtures("transport")
def test_that_a_client_certificate_is_wanted_is_told_at_once(certificate: Path) -> None:
    """Who shows no certificate to a server that wants one does not wait for it, but learns which options to give."""
    asking = server_context(certificate)
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        """Refuse every handshake with OpenSSL's own alert, which anyio's server keeps to itself."""
        with suppress(OSError):  # once the listener is closed
            while True:
                plain, _ = listener.accept()
                with asking.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as stream:
                    with suppress(ssl.SSLError):
                        stream.do_handshake()
                    stream.shutdown(socket.SHUT_WR)
                    while socket.socket.recv(stream, 1000):  # closing at once would take the alert back
                        pass

    async def scenario() -> ServerUnavailableError:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with client_of(url, ca_bundle=certificate) as client:
            with pytest.raises(ServerUnavailableError) as caught:
                await wait_for_model(client, "m", wait_s=0.0, poll_interval_s=1.0, notify=lambda _: None)
        return caught.value

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        error = anyio.run(scenario)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
    assert "wants a client certificate that it trusts" in error.message
    assert error.hint == "give --client-cert and --client-key"


@pytest.mark.parametrize("case", ["missing", "no certificate", "encrypted", "key alone"])
def test_a_client_certificate_that_cannot_be_used(
    certificate: Path, tmp_path: Path, case: str, transport: TransportName
) -> None:
    """What is no certificate with its key is an error of the setting, without a question for a password."""
    files: dict[str, Any] = {"client_cert": tmp_path / "own.pem"}
    if case == "no certificate":
        files["client_cert"].write_text("nothing")
    elif case == "encrypted":
        command = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(certificate)]
        (tmp_path / "key.pem").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
        files = {"client_cert": certificate, "client_key": tmp_path / "key.pem"}
    elif case == "key alone":
        files = {"client_key": certificate}
    with pytest.raises(SettingsError, match=r"^client_(cert|key): "):
        make_transport(endpoint("https://127.0.0.1", **files), transport, environ={})


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(("status", "named"), [(503, True), (422, False)])
def test_a_status_that_a_proxy_may_have_given(status: int, *, named: bool) -> None:
    """Where a proxy reads the requests, what it may have answered itself names it, without its password."""

    async def scenario() -> str:
        async with serving(http(status, "")) as server:
            proxy = server.url.removesuffix("/v1")
            environ = {"http_proxy": proxy.replace("//", "//user:pass-word@")}
            async with client_of("http://example.test/v1", environ=environ) as client:
                failure = await outcome(client)
        assert isinstance(failure, AttemptFailed)
        return failure.message.replace(proxy, "PROXY")

    assert anyio.run(scenario) == f"HTTP {status}" + (" (perhaps from the proxy PROXY)" if named else "")


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"error": {"code": 429, "details": [{"@type": "x"}, {"@type": "RetryInfo", "retryDelay": "7.5s"}]}}', 7.5),
        ('[{"error": {"message": "Please retry in 7.66s."}}]', 7.66),
        ('{"error": {"message": "Limit 3 / min. Please try again in 20s. Contact us."}}', 20),
        ('{"error": {"message": "Please try again in 430ms."}}', 0.43),
        ('{"error": {"message": "try again in 1m2.5s"}}', 62.5),
        ('{"error": {"message": "wait 3 seconds before retrying"}}', 3),
        ('{"error": {"message": "Too many requests, retry later"}}', None),
        ("", None),
    ],
)
def test_a_delay_in_the_body_is_read(body: str, seconds: float | None) -> None:
    """A 429 without Retry-After may state the time in its body, as a field or in words."""
    failure = status_failure(429, {}, body.encode(), now_s=0)
    assert failure.retry_after_s == (None if seconds is None else pytest.approx(seconds))
    assert failure.is_limit


@given(st.binary(max_size=300))
def test_any_body_may_be_searched_for_a_delay(body: bytes) -> None:
    """Whatever a body holds, a delay is a number of at least 0 or none."""
    delay = delay_in_body(b"retry in " + body)
    assert delay is None or delay >= 0


@pytest.mark.parametrize(
    ("status", "headers", "words", "is_limit"),
    [
        (429, {}, "slow down", True),
        (429, {}, "Request too large for m on tokens per min: Limit 10, Requested 20", False),
        (503, {"retry-after": "3"}, "", True),
        (503, {}, "The engine is currently overloaded", True),
        (503, {}, "Service Unavailable", False),
        (500, {"retry-after": "3"}, "overloaded", False),
    ],
)
def test_which_failures_are_about_the_number_of_requests(
    status: int, headers: dict[str, str], words: str, *, is_limit: bool
) -> None:
    """A 429, and a 503 that asks to wait or speaks of load, unless the one request is too large."""
    body = json.dumps({"error": {"message": words}}).encode()
    assert status_failure(status, headers, body, now_s=0).is_limit is is_limit


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("7.66s", 7.66),
        ("59", 59.0),
        ("1000000030", 30.0),
        ("1000000030000", 30.0),
        ("999999999.5", 999999999.5),
        ("1000000", 1000000.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1s2m", None),
    ],
)
def test_a_reset_is_a_duration_or_a_time(value: str, seconds: float | None) -> None:
    """Durations, seconds, and times since the epoch in seconds or milliseconds are read as what they are."""
    assert parse_reset(value, now_s=1e9) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=40))
def test_any_reset_is_read_without_an_error(value: str) -> None:
    """A reset is never negative."""
    reset_s = parse_reset(value, now_s=1e9)
    assert reset_s is None or reset_s >= 0


@pytest.mark.parametrize(
    ("headers", "wish_s"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m3s"}, 63.0),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "1m3s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "5s",
            },
            5.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000000007"}, 7.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000000007", "retry-after": "3"}, 3.0),
        ({"x-ratelimit-remaining": "0"}, None),
    ],
)
def test_a_limit_that_is_used_up_tells_when_it_is_reset(headers: dict[str, str], wish_s: float | None) -> None:
    """Where neither Retry-After nor the body says how long to wait, the headers of the limits do."""
    assert status_failure(429, headers, b"slow down", now_s=1e9).retry_after_s == wish_s


def test_the_addresses_of_a_host_are_told_in_words() -> None:
    """Where no address of a host can be reached, the system's words are told, and a refusal is seen among them."""
    several = OSError(
        "Multiple exceptions: [Errno 113] Connect call failed ('2001:db8::1', 9, 0, 0), "
        "[Errno 111] Connect call failed ('127.0.0.1', 9)"
    )
    target = endpoint("http://dual.test:9/v1", api_key="k")
    failure = translate(several, target, {OSError: NO_CONNECTION})
    assert "Multiple exceptions: No route to host, Connection refused" in failure.message
    assert refuses_connections(failure)
