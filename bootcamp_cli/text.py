"""Text from elsewhere as it may be shown: what a terminal would obey is shown instead, secrets are taken out.

The only place that recognises, masks and redacts secrets.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit


def visible(text: str) -> str:
    r"""The text with each character that is obeyed or not seen as an escape: ESC as `\x1b`, a newline as `\n`.

    Names and messages from files, rows and servers may hold line ends, terminal escapes, directional overrides, lone
    surrogates, and (by surrogateescape) bytes that are no UTF-8, which come out as `\xff`. The result is one line, can
    be encoded as UTF-8 and stand in XML. It is for reading, not for reading back.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    stray_byte = ord(char) - 0xDC00
    if 0x80 <= stray_byte <= 0xFF:
        return f"\\x{stray_byte:02x}"
    return char.encode("unicode_escape").decode("ascii")


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


MASK: Final = "***"

NO_KEY: Final = "EMPTY"
"""The api_key of servers that want none: not a secret."""


class Secret:
    """A text that shows itself as `***`; only `reveal()` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    @property
    def is_placeholder(self) -> bool:
        """Whether it is the `EMPTY` of servers that want no key, which may be shown."""
        return self._text == NO_KEY

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def strip_credentials(url: str) -> str:
    """The URL without user and password: `http://u:p@h/v1` -> `http://h/v1`."""
    return _with_userinfo(url, "")


def mask_credentials(url: str) -> str:
    """The URL with what is secret masked: `http://u:p@h/v1?api-key=k` -> `http://***@h/v1?api-key=***`."""
    masked = _with_userinfo(url, f"{MASK}@")
    address, mark, query = masked.partition("?")
    return f"{address}{mark}{'&'.join(map(_masked_pair, query.split('&')))}" if mark else masked


def url_credentials(url: str) -> tuple[str, str] | None:
    """User and password of a URL, percent-decoded; None where it has neither."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return None
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def _with_userinfo(url: str, userinfo: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=userinfo + parts.netloc.rpartition("@")[2]))


def _masked_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    return f"{name}={MASK}" if equals and value and _is_secret_query(name) else pair


def _is_secret_query(name: str) -> bool:
    return is_secret_key(unquote(name)) or name.lower() in ("sig", "code")


def mask_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a JSON object with the values of keys that look like secrets masked, at any depth.

    Below such a key every string and number is masked; true, false and null never are.
    """
    return {key: _masked(child, secret=is_secret_key(key)) for key, child in value.items()}


def secrets_in_mapping(value: Any, *, secret: bool = False) -> list[str]:
    """The texts that `mask_mapping` masks."""
    if isinstance(value, Mapping):
        return [
            t for key, child in value.items() for t in secrets_in_mapping(child, secret=secret or is_secret_key(key))
        ]
    if isinstance(value, list | tuple):
        return [text for child in value for text in secrets_in_mapping(child, secret=secret)]
    return [str(value)] if secret and not isinstance(value, bool | None) else []


def _masked(value: Any, *, secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(child, secret=secret or is_secret_key(key)) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(child, secret=secret) for child in value]
    return MASK if secret and not isinstance(value, bool | None) else value


_ANYWHERE = re.compile(
    r"apikey|accesskey|privatekey|secret|passw(or)?d|passphrase|credential|authoriz|bearer|cookie|"
    r"(access|auth|refresh|session|bearer|api)tokens?"
)
_WORDS = frozenset({"key", "keys", "auth", "pwd", "pass", "jwt", "signature"})
_CACHE_WORDS = frozenset({"cache", "kv"})
_VOCABULARY_WORDS = frozenset(
    {
        "bos",
        "eos",
        "pad",
        "unk",
        "sep",
        "cls",
        "stop",
        "start",
        "end",
        "first",
        "last",
        "mask",
        "image",
        "think",
        "thinking",
    }
    | {"special", "n", "num", "max", "min", "per", "add", "ban", "ignore", "skip", "force", "forced", "prompt"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


def is_secret_key(key: str) -> bool:
    """Whether the name of a JSON key says that its value is a secret.

    `api_key`, `X-Api-Key`, `hf_token`, `clientSecret`, `Authorization` are; `max_tokens`, `stop_token_ids`, `top_k`,
    `eos_token`, `add_special_tokens`, `prompt_cache_key` are not: a `token` is a secret only as the last word, and not
    beside a word about vocabulary.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if _ANYWHERE.search("".join(words)):
        return True
    if _WORDS.intersection(words):
        return not _CACHE_WORDS.intersection(words)
    return words[-1:] == ["token"] and not _VOCABULARY_WORDS.intersection(words)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced by `***`, also as it looks in a JSON string.

    Secrets of fewer than 4 characters stay: replacing them would destroy the text and hide nothing.
    """
    forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1]) if len(secret) >= 4}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def credential_texts(url: str) -> list[str]:
    """The texts in which a URL's secrets may come back: as written, decoded, and as a Basic authorization."""
    pairs = [pair.partition("=") for pair in urlsplit(url).query.split("&")]
    in_query = [value for name, _, value in pairs if _is_secret_query(name)]
    texts = [form for value in in_query for form in (value, unquote(value))]
    credentials = url_credentials(url)
    if credentials is not None:
        user, password = credentials
        written = urlsplit(url).netloc.rpartition("@")[0]
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        texts += [written, f"{user}:{password}", basic, written.partition(":")[2], password]
        texts += [] if password else [user]
    return [text for text in dict.fromkeys(texts) if text]
