"""Addresses, headers, proxies, and that nothing secret shows."""

from base64 import b64encode
from typing import Any

import pytest

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.server.aiohttp_transport import AiohttpTransport
from bootcamp_cli.server.client import make_transport
from bootcamp_cli.server.endpoint import Endpoint, endpoint, lasting_url, proxy_for
from bootcamp_cli.server.httpx_transport import HttpxTransport
from bootcamp_cli.server.transport import TransportName
from tests.raw_server import KEY


def header(target: Endpoint, name: bytes) -> bytes | None:
    """The only value of a header."""
    values = [value for known, value in target.headers if known.lower() == name.lower()]
    assert len(values) <= 1
    return values[0] if values else None


@pytest.mark.parametrize(
    ("url", "base_url", "completions"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/completions"),
        (" https://h/v1/ ", "https://h/v1", "https://h/v1/completions"),
        ("HTTP://[::1]:80/", "http://[::1]:80", "http://[::1]:80/completions"),
        ("https://u:p@h/v1?api-version=2", "https://h/v1", "https://h/v1/completions?api-version=2"),
    ],
)
def test_addresses(url: str, base_url: str, completions: str) -> None:
    """The base URL is free of credentials, query and last slash; the query is kept for the requests."""
    target = endpoint(url)
    assert (target.base_url, target.url_of("/completions")) == (base_url, completions)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000/v1",
        "ftp://h/v1",
        "http://",
        "http://h:99999/v1",
        "http://u:pa/ss-s3cret@h/v1",
        "u:s3cret@h/v1",
        "http://h/v 1",
        "http://h/v1/chat/completions/",
        "http://h/v1\r\nX: s",
    ],
)
def test_unusable_addresses(url: str) -> None:
    """What is no base URL is an error of the setting that does not show a password."""
    with pytest.raises(SettingsError) as caught:
        endpoint(url)
    assert str(caught.value).startswith("url: ")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", ".x", ".", "x" * 64, "ü" * 64, f"a.{'x' * 70}.b"])
def test_a_host_name_that_cannot_be_looked_up(host: str) -> None:
    """A host with an empty label, or one of more than 63 characters, is an error of the setting."""
    with pytest.raises(SettingsError, match=r"^url: must have a usable host name, got 'http://.*'"):
        endpoint(f"http://{host}/v1")


@pytest.mark.parametrize("host", ["a.b.", "[::1]", "x" * 63, "münchen.example", "a_b"])
def test_host_names_that_can_be_asked_for(host: str, transport: TransportName) -> None:
    """Names of whole labels are left to the resolver."""
    make_transport(endpoint(f"http://{host}/v1"), transport, environ={})


@pytest.mark.parametrize("host", ["xn--\xff", "xn--a", "ü" * 60])
def test_a_host_name_that_cannot_be_encoded(host: str) -> None:
    """A host that is no internet name is an error of the setting."""
    with pytest.raises(SettingsError, match=r"^url: .*: not a usable host name"):
        HttpxTransport(endpoint(f"http://{host}/v1"), environ={})


@pytest.mark.parametrize(
    ("url", "options", "value"),
    [
        ("http://h", {}, None),
        ("http://h", {"api_key": "EMPTY"}, b"Bearer EMPTY"),
        ("http://h", {"api_key": f"{KEY}\n"}, f"Bearer {KEY}".encode()),
        ("http://u:p%40@h", {"api_key": "EMPTY"}, b"Basic " + b64encode(b"u:p@")),
        ("http://u:p@h", {"api_key": KEY}, f"Bearer {KEY}".encode()),
        ("http://u:p@h", {"api_key": KEY, "headers": {"authorization": "own"}}, b"own"),
    ],
)
def test_authorization(url: str, options: dict[str, Any], value: bytes | None) -> None:
    """Headers win over an API key, a key over the URL's credentials, those over the key EMPTY."""
    assert header(endpoint(url, **options), b"authorization") == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-A", "se\r\ncret"), ("X A", "secret"), ("Content-Length", "5cret"), ("X-A", "\ud800cret"), ("X-A", "écret")],
)
def test_unusable_headers(name: str, value: str) -> None:
    """A header that would break the request is an error that does not show its value."""
    with pytest.raises(SettingsError) as caught:
        endpoint("http://h", headers={name: value})
    assert "cret" not in str(caught.value)


def test_nothing_secret_shows() -> None:
    """Neither the repr nor a redacted text holds key, password, header value or the URL's query."""
    target = endpoint(
        "http://user:pass%2Fword@h/v1?key=queried", api_key=KEY, headers={"X-Token": "Token header-value"}
    )
    secrets = (KEY, "pass/word", "pass%2Fword", "queried", "header-value")
    for text in (repr(target), target.secrets.redact(" ".join(secrets))):
        assert not any(secret in text for secret in secrets)
    assert target.secrets.redact("the EMPTY h") == "the EMPTY h"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("http://h/v1", {}, None),
        ("http://h/v1", {"http_proxy": "p:1", "HTTP_PROXY": "q:1"}, "http://p:1"),
        ("https://h/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:1"}, "http://p:1"),
        ("https://h/v1", {"ALL_PROXY": "socks5://q:1"}, "socks5://q:1"),
        ("http://127.0.0.1:8000/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::1]:8000/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://localhost/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://0.0.0.0:8000/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::]:8000/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::ffff:127.0.0.1]:8000/v1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::ffff:10.1.2.3]:8000/v1", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://h/v1", {"ALL_PROXY": "socks://u:p@q:1"}, "socks5://u:p@q:1"),
        ("http://a.example.org/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "x, .example.org"}, None),
        ("http://example.org:80/v1", {"ALL_PROXY": "http://p:1", "no_proxy": "example.org:80"}, None),
        ("http://badexample.org/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "example.org"}, "http://p:1"),
        ("http://10.1.2.3/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://11.1.2.3/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8,,"}, "http://p:1"),
        ("http://h/v1", {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
    ],
)
def test_proxies(url: str, environ: dict[str, str], proxy: str | None) -> None:
    """The proxy variables are read as curl does, and loopback is always direct."""
    assert proxy_for(url, environ) == proxy


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package for SOCKS the error says how to get it, before anything is sent."""
    monkeypatch.setattr("bootcamp_cli.server.httpx_transport.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"pip install 'httpx\[socks\]'"):
        make_transport(endpoint("http://h"), environ={"all_proxy": "socks://p:1"})


def test_the_transport_follows_the_proxy() -> None:
    """By default requests go through aiohttp, and through httpx where the proxy is a SOCKS one."""
    assert isinstance(make_transport(endpoint("http://h"), environ={}), AiohttpTransport)
    assert isinstance(make_transport(endpoint("http://h"), environ={"all_proxy": "http://p:1"}), AiohttpTransport)
    direct = make_transport(endpoint("http://h"), environ={"all_proxy": "socks5://p:1", "no_proxy": "h"})
    assert isinstance(direct, AiohttpTransport)
    assert isinstance(make_transport(endpoint("http://h"), "httpx", environ={}), HttpxTransport)


@pytest.mark.parametrize("address", ["gopher://p:1", "http://a..b:1", "http://:1"])
def test_an_unusable_proxy_is_named_without_its_password(transport: TransportName, address: str) -> None:
    """A proxy that cannot be used is an error of the settings that hides the credentials."""
    written = address.replace("//", "//u:secret@")
    with pytest.raises(SettingsError, match=f"proxy {address}: not a usable proxy address") as caught:
        make_transport(endpoint("http://h"), transport, environ={"http_proxy": written})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:*/v1"),
        ("http://localhost:65001", "http://localhost:*"),
        ("http://[::1]:80/v1", "http://[::1]:*/v1"),
        ("https://user:secret@api.example.com:8443/v1?key=secret", "https://api.example.com:8443/v1"),
        ("http://127.0.0.1/v1", "http://127.0.0.1/v1"),
        ("http://127.0.0.1:port/v1", "http://127.0.0.1:port/v1"),
    ],
)
def test_reports_name_a_server_without_secrets_and_passing_ports(url: str, shown: str) -> None:
    """Credentials and query are left out, and the port of a server on this machine is `*`."""
    assert lasting_url(url) == shown
