"""Where requests go and what they carry: base URL, headers, how TLS is verified, through which proxy."""

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bootcamp_cli import __version__
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import WrongValueError, checked_headers, checked_key, checked_url
from bootcamp_cli.text import NO_KEY, Secrets, secret_texts, shown_url, strip_credentials, url_credentials, url_secrets

_RANK_HEADER = b"X-data-parallel-rank"
_MIN_QUERY_VALUE_CHARS = 6
_API_VERSION = re.compile(r"(?<![/:])/v[0-9]+[a-z0-9]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible server; made by `endpoint`.

    `base_url` has no credentials, no query and no trailing slash, so it may be shown. `headers` are those
    of every request. `secrets` are what no reply may bring back into a message or a file: the key, header values,
    credentials. `proxy` is the one in between, as messages name it. Nothing secret shows in the repr.
    `max_concurrent_requests` bounds the requests in flight to it, where it is one of several; `data_parallel_ranks` is
    how many ranks behind it are addressed by header, None where they are not.
    """

    base_url: str
    query: str = field(default="", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    secrets: Secrets = field(default=Secrets(), repr=False)
    ca_bundle: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure: bool = False
    proxy: str | None = None
    max_concurrent_requests: int | None = None
    data_parallel_ranks: int | None = None

    def of_rank(self, rank: int) -> "Endpoint":
        """The endpoint as requests to one of its ranks are sent."""
        return replace(self, headers=(*self.headers, (_RANK_HEADER, str(rank).encode("ascii"))))

    def url_of(self, path: str) -> str:
        """The address of `/completions` and the like, with the query of the given URL."""
        if not self.query:
            return f"{self.base_url}{path}"
        return f"{self.base_url}{path}{'&' if '?' in path else '?'}{self.query}"

    def url_beside(self, path: str) -> str:
        """The address of what a server offers beside the API: `/version` of `http://h/v1` is `http://h/version`.

        Only a version at the end of the base URL is left out: what is above the given address is not the server's.
        """
        beside = replace(self, base_url=_API_VERSION.sub("", self.base_url))
        return beside.url_of(path)

    def behind(self, proxy: str | None) -> "Endpoint":
        """The endpoint behind a proxy, whose credentials are secrets, too."""
        if not proxy:
            return self
        return replace(self, proxy=shown_url(proxy), secrets=self.secrets | Secrets.of(url_secrets(proxy)))


def endpoint(
    url: str,
    *,
    api_key: str = "",
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    ca_bundle: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    insecure: bool = False,
) -> Endpoint:
    """The endpoint of a base URL such as `http://127.0.0.1:8000/v1`.

    User and password in the URL become a Basic Authorization header, unless an API key other than EMPTY is given,
    which is sent as Bearer; `headers` win over both. `body` is what every request carries besides the prompt, including
    its secrets.

    Raises:
        SettingsError: one of them cannot be sent; the message shows neither key nor header values.
    """
    key = api_key.strip()
    place = "url"
    try:
        url = checked_url(url)
        place = "api_key"
        if key:
            checked_key(key)
        place = "headers"
        own = checked_headers(headers or {})
    except WrongValueError as error:
        raise SettingsError(f"{place}: must {error}", hint=error.hint) from None
    parts = urlsplit(url)
    given = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "User-Agent": f"bootcamp-cli/{__version__}",
    }
    credentials = url_credentials(url)
    if credentials and key in ("", NO_KEY):
        given["Authorization"] = f"Basic {b64encode(':'.join(credentials).encode()).decode('ascii')}"
    elif key:
        given["Authorization"] = f"Bearer {key}"
    replaced = {name.lower() for name in own}
    sent = {name: value for name, value in given.items() if name.lower() not in replaced} | own
    return Endpoint(
        base_url=strip_credentials(parts._replace(query="").geturl()).rstrip("/"),
        query=parts.query,
        headers=tuple((name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()),
        secrets=Secrets.of((*secret_texts(url=url, api_key=key, headers=own, body=body), *_query_values(parts.query))),
        ca_bundle=ca_bundle,
        client_cert=client_cert,
        client_key=client_key,
        insecure=insecure,
    )


def has_version(base_url: str) -> bool:
    """Whether a base URL ends in the version of an API, as most do: `/v1`."""
    return _API_VERSION.search(base_url) is not None


def _query_values(query: str) -> list[str]:
    """The longer values of the URL's query: any of them may be a key, whatever its name, and a server may quote it."""
    values = [pair.partition("=")[2] for pair in query.split("&")]
    return [value for value in values if len(value) >= _MIN_QUERY_VALUE_CHARS]


def tls_context(endpoint: Endpoint, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The one TLS context of all connections to an endpoint, which shows its client certificate where it has one.

    Endpoints that trust the same authorities and show no certificate share it: it takes 25 ms and 0.8 MB to read those.

    Raises:
        SettingsError: certificates or the key cannot be used.
    """
    context = _trusting_context(endpoint, environ)
    if endpoint.client_cert is None:
        if endpoint.client_key is not None:
            raise SettingsError("client_key: there is no client_cert", hint="give --client-cert as well")
        return context
    try:  # with an empty password an encrypted key is an error instead of a question at the terminal
        context.load_cert_chain(endpoint.client_cert, endpoint.client_key, password=lambda: "")
    except OSError as error:
        files = " and ".join(str(path) for path in (endpoint.client_cert, endpoint.client_key) if path)
        reason = getattr(error, "reason", None) or error.strerror or error
        raise SettingsError(
            f"client_cert: no usable certificate and key in {files}: {reason}",
            hint="both must be PEM, belong together, and the key not be encrypted",
        ) from None
    return context


def _trusting_context(endpoint: Endpoint, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The context without a client certificate.

    It trusts the endpoint's bundle, else SSL_CERT_FILE or SSL_CERT_DIR, else certifi's authorities. For an http address
    it trusts nobody, because reading certificates takes 25 ms.

    Raises:
        SettingsError: the certificates cannot be read.
    """
    if endpoint.insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    bundle = str(endpoint.ca_bundle) if endpoint.ca_bundle else None
    trusting = _shared_authorities if endpoint.client_cert is None else _read_authorities
    try:
        if bundle:
            is_dir = endpoint.ca_bundle is not None and endpoint.ca_bundle.is_dir()
            return trusting(None if is_dir else bundle, bundle if is_dir else None)
        proxied = (proxy_for(endpoint.base_url, environ) or "").startswith("https")
        if not endpoint.base_url.startswith("https:") and not proxied:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
            cafile, capath = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
            return trusting(cafile or None, None if cafile else capath)
        import certifi  # noqa: PLC0415 - needed only for https

        return trusting(certifi.where(), None)
    except OSError as error:
        where = f"ca_bundle: {bundle}" if bundle else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise SettingsError(f"{where}: no usable certificates: {error.strerror or error}") from None


def _read_authorities(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile, capath=capath)


def _shared_authorities(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    """The same for each endpoint, until the file changes; what is in a folder is read as connections need it."""
    if cafile is None:
        return _read_authorities(cafile, capath)
    return _kept_authorities(cafile, Path(cafile).stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _kept_authorities(cafile: str, _changed_ns: int) -> ssl.SSLContext:
    return _read_authorities(cafile, None)


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for a URL by `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, or None for a direct connection.

    The lower-case name takes precedence over the upper-case one. What only this machine answers (loopback, 0.0.0.0) is
    never reached through a proxy. `socks://` is `socks5://`, as other tools take it.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if _is_loopback(host) or _is_exempt(host, parts.port, _variable(environ, "no_proxy")):
        return None
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy:
        return None
    if "://" not in proxy:
        return f"http://{proxy}"
    scheme, _, rest = proxy.partition("://")
    return f"socks5://{rest}" if scheme.lower() == "socks" else proxy


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def lasting_url(url: str) -> str:
    """A URL as reports name it: without credentials and query, and with `*` for a port of this machine.

    Each start of a server here may take another port; it tells nothing, and would make equal reports differ.
    """
    shown = shown_url(url)
    try:
        parts = urlsplit(shown)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return shown
    if port is None or not _is_loopback(host):
        return shown
    return shown.replace(f":{port}", ":*", 1)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


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
