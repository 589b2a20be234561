"""Text from elsewhere in a form that may be shown: control characters are escaped, secrets are taken out.

The only place that recognises, masks and redacts secrets.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit


def visible(text: str) -> str:
    r"""The text with control and invisible characters as escapes: ESC as `\x1b`, a newline as `\n`.

    Names and messages from files, rows and servers may hold line ends, terminal escapes, directional overrides, lone
    surrogates, and (by surrogateescape) bytes that are not UTF-8, which come out as `\xff`. The result is one line, can
    be encoded as UTF-8 and can stand in XML. It is meant for people, not for parsing.
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
"""Text from a server is cut to this length before anything else is done with it."""

MAX_SHOWN_CHARS = 400
"""The longest message of a server that is shown."""

MAX_VALUE_CHARS = 80
"""The longest value that is quoted within a message."""


def one_line(text: str) -> str:
    r"""Text as one printable line: white space collapsed, everything else unprintable as an escape (`\x1b[2J`)."""
    return visible(" ".join(text[:MAX_RAW_CHARS].split()))


def shortened(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """Text as one printable line of at most `max_chars` characters, cut with an ellipsis where it is longer."""
    line = visible(text[: max_chars + 1])
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def shown_url(url: str) -> str:
    """A URL that may be printed: without query and fragment, and without anything before its last `@`.

    Also works on text that is not a valid URL, such as one whose password holds a slash or a question mark.
    """
    address = _address(one_line(url))
    scheme, slashes, _ = address.partition("://")
    _, at, rest = address.rpartition("@")
    shown = f"{scheme}{slashes}{rest}" if at and slashes and _SCHEME.fullmatch(scheme) else rest
    return _QUERY.split(shown, maxsplit=1)[0]


def _address(url: str) -> str:
    """A URL up to its query or fragment; all of it where a later `@` may still end a password."""
    address = _QUERY.split(url, maxsplit=1)[0]
    if "@" not in url[len(address) :] or address.startswith("/"):
        return address
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    return address if has_host else url


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_QUERY = re.compile(r"[?#]")


def shown_s(seconds: float) -> str:
    """A duration as people write it: `90 s`, `0.5 s`."""
    return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"


MASK: Final = "***"

NO_KEY: Final = "EMPTY"
"""The api_key for servers that need none: not a secret."""


class Secret:
    """A text that is shown as `***`; only `reveal()` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    @property
    def is_placeholder(self) -> bool:
        """Whether it is `EMPTY`, the key for servers that need none, which may be shown."""
        return self._text == NO_KEY

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secret texts in every form in which they may come back, longest first; made by `Secrets.of`."""

    forms: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Secrets":
        """The secrets as they are, as a single line, and both as they look inside JSON text.

        Texts of fewer than 4 characters are left out: replacing them would garble every message and hide nothing.
        """
        lines = {line for text in texts if len(text) >= _MIN_CHARS for line in (text, one_line(text))}
        forms = {
            form
            for line in lines
            if len(line) >= _MIN_CHARS
            for form in (line, json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1])
        }
        return cls(_longest_first(forms))

    def __or__(self, other: "Secrets") -> "Secrets":
        return Secrets(_longest_first({*self.forms, *other.forms}))

    def redact(self, text: str) -> str:
        """The text with every secret replaced by `***`."""
        for form in self.forms:
            text = text.replace(form, MASK)
        return text

    def redacted(self, value: Any) -> Any:
        """A JSON value with its texts redacted; the names in it stay, as a name such as `token` may equal a secret."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {name: self.redacted(child) for name, child in value.items()}
        return [self.redacted(child) for child in value] if isinstance(value, list) else value


_MIN_CHARS = 4
_MIN_WORD_CHARS = 6


def _longest_first(forms: Iterable[str]) -> tuple[str, ...]:
    """Ordered so that a form is replaced before any other form that it contains."""
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def secret_texts(
    *,
    url: str = "",
    api_key: str = "",
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Every text in what a server is asked with that no file and no message may show.

    That is the key, what is secret in the URL, the values of headers and the last word of each (the token behind
    `Bearer`), and the values of keys of the body that look like secrets.
    """
    texts = [] if api_key == NO_KEY else [api_key]
    for value in (headers or {}).values():
        word = value.rpartition(" ")[2]
        texts += [value, word] if len(word) >= _MIN_WORD_CHARS else [value]
    texts += _secrets_within(body or {}, secret=False)
    texts += url_secrets(url)
    return tuple(dict.fromkeys(text for text in texts if text))


def url_secrets(url: str) -> list[str]:
    """The forms in which the secrets of a URL may come back: as written, decoded, quoted, as Basic authorization.

    Also works on text that is not a valid URL, such as a proxy's whose password holds a slash.
    """
    import base64  # noqa: PLC0415 - `--help` shows no URL

    texts = []
    if userinfo := _userinfo(url):
        user, _, password = userinfo.partition(":")
        decoded = f"{unquote(user)}:{unquote(password)}"
        basic = base64.b64encode(decoded.encode(errors="replace")).decode("ascii")
        secret = unquote(password or user)
        quoted = quote(secret, safe="", errors="replace")
        texts = [userinfo, decoded, basic, password or user, secret, quoted]
    for pair in url.partition("?")[2].partition("#")[0].split("&"):
        name, _, value = pair.partition("=")
        if _is_secret_query(name):
            texts += [value, unquote(value)]
    return [text for text in dict.fromkeys(texts) if text]


def url_credentials(url: str) -> tuple[str, str] | None:
    """User and password of a URL, percent-decoded; None where it has neither."""
    userinfo = _userinfo(url)
    user, _, password = userinfo.partition(":")
    return (unquote(user), unquote(password)) if userinfo else None


def _userinfo(url: str) -> str:
    """What stands before the last `@` of a URL's address, as written."""
    address = _address(url)
    return (address.partition("://")[2] or address).rpartition("@")[0]


def strip_credentials(url: str) -> str:
    """The URL without user and password: `http://u:p@h/v1` -> `http://h/v1`."""
    return _with_userinfo(url, "")


def mask_credentials(url: str) -> str:
    """The URL with its secrets masked: `http://u:p@h/v1?api-key=k` -> `http://***@h/v1?api-key=***`."""
    masked = _with_userinfo(url, f"{MASK}@")
    address, mark, query = masked.partition("?")
    return f"{address}{mark}{'&'.join(map(_masked_pair, query.split('&')))}" if mark else masked


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


def _masked(value: Any, *, secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(child, secret=secret or is_secret_key(key)) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(child, secret=secret) for child in value]
    return MASK if secret and not isinstance(value, bool | None) else value


def _secrets_within(value: Any, *, secret: bool) -> list[str]:
    """The texts that `mask_mapping` masks."""
    if isinstance(value, Mapping):
        return [
            text for key, child in value.items() for text in _secrets_within(child, secret=secret or is_secret_key(key))
        ]
    if isinstance(value, list | tuple):
        return [text for child in value for text in _secrets_within(child, secret=secret)]
    return [str(value)] if secret and not isinstance(value, bool | None) else []


def is_secret_key(key: str) -> bool:
    """Whether the name of a JSON key suggests that its value is a secret.

    `api_key`, `X-Api-Key`, `hf_token`, `clientSecret`, `Authorization` are; `max_tokens`, `stop_token_ids`, `top_k`,
    `eos_token`, `add_special_tokens`, `prompt_cache_key` are not: `token` marks a secret only as the last word, and not
    next to a word about vocabulary.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if _ANYWHERE.search("".join(words)):
        return True
    if _WORDS.intersection(words):
        return not _CACHE_WORDS.intersection(words)
    return words[-1:] == ["token"] and not _VOCABULARY_WORDS.intersection(words)


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
