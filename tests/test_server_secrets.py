"""Keys and passwords that a server or proxy sends back: no message shows them, in whatever form they come."""

import json
from base64 import b64encode

import anyio
import pytest
from anyio.abc import ByteStream

from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.types import Answer
from tests.raw_server import KEY, Reply, client_of, closing, completion, config, http, outcome, serving, tried

pytestmark = pytest.mark.usefixtures("transport")

USER, PASSWORD = "us3r", "pr0xy/pässwort"
WRITTEN = "us3r:pr0xy%2Fp%C3%A4sswort"
BASIC = b64encode(f"{USER}:{PASSWORD}".encode())
QUOTED = ("pr0xy", "pr0xy%2F", WRITTEN, BASIC.decode())


def quoting_proxy(status_line: bytes) -> Reply:
    """Refuse with the credentials in the reason phrase and, in all their forms, in the body."""
    body = json.dumps({"error": f"{USER}:{PASSWORD} {WRITTEN} {BASIC.decode()}"}).encode()

    async def reply(stream: ByteStream) -> None:
        await stream.send(
            b"HTTP/1.1 %b\r\nproxy-authenticate: Basic\r\ncontent-length: %d\r\n\r\n%b" % (status_line, len(body), body)
        )
        await stream.aclose()

    return reply


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("reason", [b"Proxy Auth", b"who is Basic " + BASIC])
def test_the_proxys_password_is_never_shown(scheme: str, reason: bytes) -> None:
    """A proxy that refuses may quote the credentials that it got: it gets them, and the failure shows none of them."""

    async def scenario() -> AttemptFailed:
        async with serving(quoting_proxy(b"407 " + reason)) as proxy:
            environ = {f"{scheme}_proxy": proxy.url.removesuffix("/v1").replace("//", f"//{WRITTEN}@")}
            async with client_of(f"{scheme}://model.invalid/v1", environ=environ) as client:
                result = await outcome(client)
            assert b"proxy-authorization: basic " + BASIC.lower() in proxy.heads[0].lower()
        assert isinstance(result, AttemptFailed)
        return result

    failure = anyio.run(scenario)
    assert "407" in failure.message
    assert not any(quoted in failure.message for quoted in QUOTED)


@pytest.mark.parametrize("credentials", ["", "us3r:pr0xy@"])
def test_a_proxy_that_tunnels_does_not_get_the_key(credentials: str) -> None:
    """Of the headers for the server none goes to the proxy with the request for a tunnel."""

    async def scenario() -> bytes:
        async with serving(quoting_proxy(b"407 no")) as proxy:
            environ = {"https_proxy": proxy.url.removesuffix("/v1").replace("//", f"//{credentials}")}
            async with client_of("https://model.invalid/v1", environ=environ, headers={"X-Own": "s3cret"}) as client:
                await outcome(client)
            return proxy.heads[0]

    head = anyio.run(scenario)
    assert head.startswith(b"CONNECT model.invalid:443 ")
    assert KEY.encode() not in head
    assert b"s3cret" not in head


ODD_KEY = 'sk-"odd\\kéy"-0123'


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("reply", [{"error": {"said": ODD_KEY}}, {"odd": [ODD_KEY]}, {"error": ODD_KEY}])
def test_a_key_quoted_in_json_is_not_shown(reply: dict[str, object], ascii_only: bool) -> None:  # noqa: FBT001 - a table
    """A key of extra_body with characters that JSON escapes is masked however the server writes it."""
    raw = json.dumps(reply, ensure_ascii=ascii_only)
    for body in (raw, raw + " no JSON"):
        failure = tried(http(400, body), api_key="", body={"key": ODD_KEY})
        assert isinstance(failure, AttemptFailed)
        assert "***" in failure.message
        assert not any(part in failure.message for part in ("odd\\", "k\\u00e9y", "-0123"))


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_names_no_key_beside_its_text(stream: bool) -> None:  # noqa: FBT001 - a table's column
    """In model, fingerprint, finish_reason and usage a key is masked; the text is data and stays."""
    usage = {"completion_tokens": 3, "by": [{"key": KEY}]}
    body = completion(KEY, f"stop {KEY}", usage=usage, model=f"m for {KEY}", system_fingerprint=f"fp-{KEY}")
    raw = http(200, body, content_type="application/json", connection="close")
    if stream:
        raw = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: " + json.dumps(body).encode() + b"\n\n"
    assert tried(closing(raw), stream=stream) == Answer(
        text=KEY,
        finish_reason="stop ***",
        usage={"completion_tokens": 3, "by": [{"key": "***"}]},
        model="m for ***",
        system_fingerprint="fp-***",
    )


def test_the_name_that_was_asked_for_is_no_secret() -> None:
    """A key that is part of the model's name does not make another model of it."""

    async def scenario() -> None:
        reply = http(200, completion(model="own-model-7"))
        async with serving(reply) as server, client_of(server.url, api_key="own-model") as client:
            client.config = config(model="own-model-7")
            assert (await client.complete("p")).model == "own-model-7"

    anyio.run(scenario)
