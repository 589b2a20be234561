"""The base URL of a server: checked, in one spelling."""

import re
from urllib.parse import urlsplit, urlunsplit

from bootcamp_cli.settings.secrets import MASK, mask_credentials

_FORBIDDEN = re.compile(r"[\s\\\x00-\x20\x7f]")


def checked_url(text: str) -> str:
    """The URL without slashes at its end, scheme in lower case.

    Raises:
        ValueError: it is no http or https URL with a host; the message completes "must", and shows no credentials.
    """
    text = text.strip()
    if _FORBIDDEN.search(text):
        raise ValueError("hold no spaces, backslashes or control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"be a URL with a valid host and port, got {shown_url(text)}") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"be an http or https URL with a host, got {shown_url(text)}")
    if parts.fragment:
        raise ValueError(f"have no fragment (#...), got {shown_url(text)}")
    if "@" in parts.path:
        raise ValueError("hold an @ only in front of the host (write %40 in a user name, password or path)")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def shown_url(text: str) -> str:
    """A URL, or what was meant to be one, for an error message: whatever stands before an @ may be a password."""
    before_query = re.split(r"[?#]", text, maxsplit=1)[0]
    if "@" in text:
        scheme, slashes, _ = before_query.partition("://")
        rest = text.rpartition("@")[2]
        return repr(f"{scheme}{slashes}{MASK}@{re.split('[?#]', rest, maxsplit=1)[0]}" if slashes else f"{MASK}@{rest}")
    try:
        return repr(mask_credentials(text))
    except ValueError:
        return repr(before_query)
