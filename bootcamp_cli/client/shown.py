"""What may be shown of text from outside: one line, escapes visible, URLs without credentials."""

import re

from bootcamp_cli.visible import visible

MAX_RAW_CHARS = 20_000
"""Longer text from a server is cut before anything else is done with it."""

MAX_SHOWN_CHARS = 400


def one_line(text: str) -> str:
    r"""Text as one printable line: white space collapsed, everything else unprintable as an escape (`\x1b[2J`)."""
    return visible(" ".join(text[:MAX_RAW_CHARS].split()))


def shortened(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """Text of at most `max_chars` characters, cut with an ellipsis where it is longer."""
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def shown_url(url: str) -> str:
    """A URL as it may be printed: without query and fragment, and without anything before its last `@`.

    Works on text that is no valid URL too, such as one whose password holds a slash.
    """
    url = one_line(url).partition("?")[0].partition("#")[0]
    scheme, separator, _ = url.rpartition("://")
    _, at, rest = url.rpartition("@")
    if not at:
        return url
    return f"{scheme}{separator}{rest}" if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) else rest


def shown_s(seconds: float) -> str:
    """A duration as people write it: `90 s`, `0.5 s`."""
    return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
