"""Where requests go and what they carry: base URL, headers, how TLS is verified, through which proxy."""

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from bootcamp_cli import __version__
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.text import one_line, shown_url

NO_KEY = "EMPTY"
"""The API key of servers that ask for none; it is sent, but it is no secret."""

_MIN_SECRET_CHARS = 4
_MIN_SECRET_HEADER_CHARS = 6
_MAX_LABEL_CHARS = 63
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")
_OUR_OWN = frozenset({"content-length", "transfer-encoding", "connection", "accept-encoding"})
_PATHS = ("/chat/completions", "/completions", "/models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible server; made by `endpoint`.

    `base_url` holds neither credentials nor a query nor a slash at its end, so it may be shown. `headers` are those
    of every request. Nothing secret shows in the repr.
    """

    base_url: str
    query: str = field(default="", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ca_bundle: Path | None = None
    insecure: bool = False

    def url_of(self, path: str) -> str:
        """The address of `/completions` and the like, with the query of the URL that was given."""
        return f"{self.base_url}{path}?{self.query}" if self.query else f"{self.base_url}{path}"

    def redact(self, text: str) -> str:
        """Text without the key, the header values and the credentials of the URL, should a server quote them."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def redacted(self, value: Any) -> Any:
        """A JSON value whose texts are redacted; the names in it stay, as one may hold a key such as `token`."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {name: self.redacted(child) for name, child in value.items()}
        return [self.redacted(child) for child in value] if isinstance(value, list) else value

    def behind(self, proxy: str | None) -> "Endpoint":
        """The endpoint that is asked through a proxy, whose credentials are secrets, too."""
        return replace(self, secrets=_forms((*self.secrets, *_credentials(proxy)))) if proxy else self


def endpoint(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    ca_bundle: Path | None = None,
    insecure: bool = False,
) -> Endpoint:
    """The endpoint of a base URL such as `http://127.0.0.1:8000/v1`.

    User and password in the URL become a Basic Authorization header, unless an API key other than EMPTY is given,
    which is sent as Bearer; `headers` win over both. Raises SettingsError, showing neither key nor header values.
    """
    parts = _split(url)
    user = unquote(parts.username or "")
    password = unquote(parts.password or "")
    key = (api_key or "").strip()
    secrets = [*_at_least(_MIN_SECRET_CHARS, key, password or user, parts.password or parts.username or "")]
    given = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "User-Agent": f"bootcamp-cli/{__version__}",
    }
    if (user or password) and key in ("", NO_KEY):
        basic = b64encode(f"{user}:{password}".encode()).decode("ascii")
        given["Authorization"] = f"Basic {basic}"
        secrets.append(basic)
    elif key:
        given["Authorization"] = f"Bearer {key}"
    for name, value in (headers or {}).items():
        given = {known: kept for known, kept in given.items() if known.lower() != name.lower()}
        given[name] = value
        secrets.extend(_at_least(_MIN_SECRET_HEADER_CHARS, value, value.rpartition(" ")[2]))
    secrets.extend(_at_least(_MIN_SECRET_HEADER_CHARS, *(pair.partition("=")[2] for pair in parts.query.split("&"))))
    return Endpoint(
        base_url=parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/"),
        query=parts.query,
        headers=tuple(
            _header(name, value, "headers: " if name in (headers or {}) else "api_key: ")
            for name, value in given.items()
        ),
        secrets=_forms(secret for secret in secrets if secret != NO_KEY),
        ca_bundle=ca_bundle,
        insecure=insecure,
    )


def is_host(host: str) -> bool:
    """Whether the labels of a host name are neither empty nor too long to be looked up; IPv6 addresses have none."""
    return ":" in host or all(0 < len(label) <= _MAX_LABEL_CHARS for label in host.removesuffix(".").split("."))


def _split(url: str) -> SplitResult:
    shown = shown_url(url)
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, SplitResult("", "", "", "", "")
    if not usable or not parts.geturl().isprintable() or " " in parts.geturl():
        raise SettingsError(f"url: not an http or https address: {shown}", hint="for example http://127.0.0.1:8000/v1")
    if not is_host(parts.hostname or ""):
        raise SettingsError(f"url: {shown}: not a usable host name", hint="for example http://127.0.0.1:8000/v1")
    for path in _PATHS:
        if parts.path.rstrip("/").endswith(path):
            raise SettingsError(f"url: {shown} names one function of the server", hint=f"leave out {path}")
    return parts


def _header(name: str, value: str, origin: str) -> tuple[bytes, bytes]:
    shown = one_line(name)
    if not _HEADER_NAME.fullmatch(name):
        raise SettingsError(f"headers: not a header name: {shown!r}")
    if name.lower() in _OUR_OWN:
        raise SettingsError(f"headers: {shown} cannot be set", hint="it is made for each request")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise SettingsError(f"{origin}{shown}: line break, control character or outer white space", hint="remove it")
    try:
        return name.encode("ascii"), value.encode("utf-8")
    except UnicodeEncodeError:
        raise SettingsError(f"{origin}{shown}: the value is no valid text") from None


def _credentials(url: str) -> list[str]:
    """What user and password of a proxy's URL may come back as: written, decoded, as a Basic authorization."""
    written = url.partition("://")[2].rpartition("@")[0]
    decoded = unquote(written)
    user, _, password = written.partition(":")
    pairs = [written, decoded, b64encode(decoded.encode(errors="replace")).decode("ascii")]
    return _at_least(_MIN_SECRET_CHARS, *pairs, password or user, unquote(password or user))


def _forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """Secrets as they look in one line, and there within a JSON text; the longest first, as one may hold another."""
    forms: set[str] = set()
    for secret in map(one_line, secrets):
        forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return tuple(sorted(forms - {""}, key=len, reverse=True))


def _at_least(n_chars: int, *secrets: str) -> list[str]:
    """Those long enough to be secrets: replacing a short one would garble every message."""
    return [secret for secret in secrets if len(secret) >= n_chars]


def tls_context(endpoint: Endpoint, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The one TLS context of all connections to an endpoint.

    Trusted are the endpoint's bundle, else SSL_CERT_FILE or SSL_CERT_DIR, else certifi's authorities. For an http
    address it trusts nobody, as reading certificates takes 25 ms.

    Raises:
        SettingsError: the certificates cannot be read.
    """
    if endpoint.insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    bundle = str(endpoint.ca_bundle) if endpoint.ca_bundle else None
    try:
        if bundle:
            is_dir = endpoint.ca_bundle is not None and endpoint.ca_bundle.is_dir()
            return ssl.create_default_context(cafile=None if is_dir else bundle, capath=bundle if is_dir else None)
        proxied = (proxy_for(endpoint.base_url, environ) or "").startswith("https")
        if not endpoint.base_url.startswith("https:") and not proxied:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
            cafile, capath = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
            return ssl.create_default_context(cafile=cafile or None, capath=None if cafile else capath)
        import certifi  # noqa: PLC0415 - needed for https alone

        return ssl.create_default_context(cafile=certifi.where())
    except OSError as error:
        where = f"ca_bundle: {bundle}" if bundle else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise SettingsError(f"{where}: no usable certificates: {error.strerror or error}") from None


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for a URL by `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, or None for a direct connection.

    The lower-case name goes before the upper-case one. Loopback is never asked for through a proxy.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if _is_loopback(host) or _is_exempt(host, parts.port, _variable(environ, "no_proxy")):
        return None
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether a host is in `no_proxy`: `*`, a name and all below it, with or without port, an address or a network."""
    for entry in no_proxy.lower().split(","):
        name = entry.strip().removeprefix("*").lstrip(".")
        if entry.strip() == "*":
            return True
        if not name:
            continue
        if host in (name, name.strip("[]")) or host.endswith(f".{name}") or f"{host}:{port}" == name:
            return True
        try:
            if ip_address(host) in ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False
