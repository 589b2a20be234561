"""Keys and passwords that a server or proxy sends back: no message shows them, in whatever form they come."""

import json
from base64 import b64encode

import anyio
import pytest
from anyio.abc import ByteStream

from bootcamp_cli.client.failures import TryFailed
from tests.client_server import KEY, Reply, client_of, outcome, serving

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

    async def scenario() -> TryFailed:
        async with serving(quoting_proxy(b"407 " + reason)) as proxy:
            environ = {f"{scheme}_proxy": proxy.url.removesuffix("/v1").replace("//", f"//{WRITTEN}@")}
            async with client_of(f"{scheme}://model.invalid/v1", environ=environ) as client:
                result = await outcome(client)
            assert b"proxy-authorization: basic " + BASIC.lower() in proxy.heads[0].lower()
        assert isinstance(result, TryFailed)
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
