"""How the server's certificate is checked."""

import ssl
from collections.abc import Mapping

from bootcamp_cli.client.endpoint import Endpoint
from bootcamp_cli.client.proxies import proxy_for
from bootcamp_cli.errors import SettingsError


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
