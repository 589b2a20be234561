"""Text from elsewhere in a form that may be shown: control characters are escaped, secrets are taken out.

The only place that recognises, masks and redacts secrets. Text from elsewhere is redacted where it comes in
(`Secrets.redact`), so that the tool's own text holds no secret; that text is searched all the same before it is shown
(`Secrets.redact_own`), in a way that leaves paths and commands alone, whatever word the user took for a key.
"""

import json
import math
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
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
    text = text.replace("\n", r"\n")  # most that comes from a model cannot be printed for its line ends alone
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def visible_lines(text: str) -> str:
    r"""Text of several lines as `visible` shows it: ESC as `\x1b`; line breaks and tabs stay."""
    if text.isprintable():
        return text
    hidden = {ord(char): _escape(char) for char in set(text) if not char.isprintable() and char not in "\n\t"}
    return text.translate(hidden) if hidden else text


def _escape(char: str) -> str:
    stray_byte = ord(char) - 0xDC00
    if 0x80 <= stray_byte <= 0xFF:
        return f"\\x{stray_byte:02x}"
    return char.encode("unicode_escape").decode("ascii")


def encodable(text: str) -> str:
    r"""The text with lone surrogates, which UTF-8 cannot hold, as escapes: `\ud800`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take the text for a formula, even after leading blanks."""
    first = text[:1]
    return first in _STARTERS or (first.isspace() and text.lstrip()[:1] in _STARTERS) if text else False


_STARTERS = frozenset("=+-@\t\r\n＝＋－＠")
"""First characters that Excel, LibreOffice or Google Sheets take for the start of a formula."""


def as_text(text: str) -> str:
    """The text as a CSV cell that no spreadsheet runs: an apostrophe goes in front of what could be a formula.

    One goes in front of an apostrophe as well, so that removing a leading one always restores the text.
    """
    return f"'{text}" if is_formula(text) or text.startswith("'") else text


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


def listed(names: Sequence[str], most: int) -> str:
    """Names for a message: `a, b, c and 4 more` where there are more than `most`."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def counted(n: int, noun: str) -> str:
    """A number with its noun: `1 sample`, `1,176 samples`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


SCORE_DIGITS = 4
"""The decimals of a score where no interval says how many it bears."""


def score_text(score: float, digits: int = SCORE_DIGITS) -> str:
    """A score with so many decimals: 0.78125 is 0.7813, as in a workbook; Python's own formats make it 0.7812."""
    return _rounded(score, digits, "f")


def length_text(length: float) -> str:
    """A mean length with one decimal: `1,234.5`."""
    return _rounded(length, 1, ",f")


def _rounded(value: float, digits: int, form: str) -> str:
    """A number rounded as spreadsheets do: from its decimal form, halves away from zero."""
    from decimal import ROUND_HALF_UP, Context, Decimal  # noqa: PLC0415  # most commands show no score

    if not math.isfinite(value):
        return f"{value}"
    places, enough = Decimal(1).scaleb(-digits), Context(prec=400)
    return format(Decimal(f"{value:.15g}").quantize(places, ROUND_HALF_UP, enough), form)


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
    """A duration as people write it: `0.5 s`, `90 s`, `50 min`, `1 h 30 min`; below a tenth of a second `0 s`."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    return duration_words(seconds) if seconds >= _LONG_S else f"{seconds:.0f} s"


_LONG_S = 120
"""From this many seconds on, people count in minutes."""


def duration_words(seconds: float) -> str:
    """A duration to two units: `45 s`, `12 min`, `3 h 50 min`, `2 d 4 h`."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    whole = max(1, round(seconds))
    for (large, n_large), (small, n_small) in pairwise(units):
        if whole >= n_large:
            n_first, n_second = divmod(round(whole / n_small), n_large // n_small)
            return f"{n_first} {large}" + (f" {n_second} {small}" if n_second else "")
    return f"{whole} s"


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


class DataUrl:
    """The URL of test data, a file or a folder, that is shown as `https://***@host/dir/x.jsonl?***`.

    Whatever stands in its query may let anybody read who has it, as in a presigned URL: only `reveal()` returns it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The URL itself."""
        return self._text

    @property
    def scheme(self) -> str:
        """What stands before the `://`."""
        return self._text.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part of its path, percent-decoded where it is of the web; of a bucket alone the bucket's name."""
        name = _QUERY.split(self._text, maxsplit=1)[0].rstrip("/").rpartition("/")[2]
        return name if self.scheme == "s3" else unquote(name)

    @property
    def secrets(self) -> list[str]:
        """The texts in it that no file and no message may show."""
        query = self._text.partition("?")[2]
        values = [pair.partition("=")[2] for pair in query.split("&")]
        long = [form for value in values if len(value) >= _MIN_KEY_CHARS for form in (value, unquote(value))]
        query_forms = [query, unquote(query)] if len(query) >= _MIN_KEY_CHARS else []
        return list(dict.fromkeys((*url_secrets(self._text), *query_forms, *long)))

    def __str__(self) -> str:
        masked = _with_userinfo(self._text, f"{MASK}@")
        address, mark, _ = masked.partition("?")
        return f"{address}{mark}{MASK}" if mark else masked

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def is_url(text: str) -> bool:
    """Whether a text that may be a path is a URL."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and _SCHEME.fullmatch(scheme) is not None


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

    def occur_in(self, text: str) -> bool:
        """Whether one of them may stand in a text, which may be JSON."""
        return any(form in text for form in self.forms)

    def redact(self, text: str, *, keep: Collection[str] = ()) -> str:
        """Text from elsewhere with every secret replaced by `***`.

        A secret that is a common word (`test`) is replaced as a whole word only: `latest` is none. Names and addresses
        in `keep` stay as they are, also where a secret is part of them.
        """
        for form in self.forms:
            if form in text:
                text = _redacted(text, form, [name for name in keep if form in name and form != name])
        return text

    def redact_own(self, text: str, *, shown: Collection[str] = ()) -> str:
        """Text of this tool with the secrets replaced by `***`, but never part of a path or a command.

        The tool writes no secret into its own text on purpose, so that this is a second line of defence. A key as
        services give them out is replaced wherever it stands. A shorter one is replaced only where it is not part of a
        longer name or path, and a common word not at all. Nor is a secret that stands in a name or path which is
        `shown` in any case, such as that of the model or a directory, or in a path below such a directory: hiding it
        would hide the directory, too.
        """
        for form in self.forms:
            if form in text and not _is_word(form) and not any(form in name for name in shown):
                pieces = _paths_below(shown).split(text)
                pieces[::2] = [_redacted_own(piece, form) for piece in pieces[::2]]
                text = "".join(pieces)
        return text

    def redacted(self, value: Any, *, keep: Collection[str] = ()) -> Any:
        """A JSON value with its texts redacted; the names in it stay, as a name such as `token` may equal a secret."""
        if isinstance(value, str):
            return self.redact(value, keep=keep)
        if isinstance(value, dict):
            return {name: self.redacted(child, keep=keep) for name, child in value.items()}
        return [self.redacted(child, keep=keep) for child in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Redaction:
    """What a command has learnt so far: secrets, and texts such as paths that it shows in any case."""

    secrets: list[str] = field(default_factory=list, repr=False)
    shown: list[str] = field(default_factory=list)

    def add(self, secrets: Iterable[str], *, shown: Iterable[str] = ()) -> None:
        """Learn of secrets, and of texts that are shown."""
        self.secrets.extend(secrets)
        self.shown.extend(text for text in shown if text)

    def own(self, text: str) -> str:
        """The tool's own text without the secrets; paths and commands stay as they are."""
        return Secrets.of(self.secrets).redact_own(text, shown=self.shown)

    def foreign(self, text: str) -> str:
        """Text from elsewhere, such as a traceback, without the secrets."""
        return Secrets.of(self.secrets).redact(text, keep=self.shown)


def _redacted(text: str, form: str, keep: Sequence[str]) -> str:
    """The text with a secret masked, but for the names in `keep`, each of which holds it."""
    if keep:
        names = "|".join(map(re.escape, sorted(keep, key=len, reverse=True)))
        pieces = re.split(f"({names})", text)
        return "".join(piece if piece in keep else _redacted(piece, form, ()) for piece in pieces)
    return _whole(form, _WORD_BEFORE, _WORD_AFTER, text) if _is_word(form) else text.replace(form, MASK)


def _redacted_own(text: str, form: str) -> str:
    return text.replace(form, MASK) if _is_long_key(form) else _whole(form, _NAME_BEFORE, _NAME_AFTER, text)


def _paths_below(directories: Iterable[str]) -> re.Pattern[str]:
    """Matches the paths below directories that are given from the root, as one group."""
    roots = sorted((path for path in directories if path.startswith("/") and len(path) > 1), key=len, reverse=True)
    return re.compile(rf"((?:{'|'.join(map(re.escape, roots))})/[\w./-]*)" if roots else r"((?!))")


def _whole(form: str, before: str, after: str, text: str) -> str:
    """The text with a secret masked where it stands for itself."""
    return re.sub(f"{before}{re.escape(form)}{after}", MASK, text)


_WORD_BEFORE, _WORD_AFTER = r"(?:(?<!\w)|(?<=\\[nrt])|(?<=\\u[\da-fA-F]{4})|(?<=%[\da-fA-F]{2}))", r"(?!\w)"
"""The ends of a word; an escape of JSON or of a URL may stand before it."""

_NAME_BEFORE, _NAME_AFTER = r"(?<![\w./\\-])", r"(?![\w/\\-]|\.\w)"
"""The ends of a name or path; a full stop may follow it."""


def _is_word(text: str) -> bool:
    """Whether a secret may well occur by chance: it is very short, or made of letters or of digits alone."""
    return len(text) < _MIN_WORD_CHARS or (len(text) < _MIN_KEY_CHARS and (text.isalpha() or text.isdecimal()))


def _is_long_key(text: str) -> bool:
    """Whether a secret cannot occur by chance."""
    is_mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return len(text) >= (_MIN_KEY_CHARS if is_mixed else _MIN_PHRASE_CHARS)


_MIN_CHARS = 4
_MIN_WORD_CHARS = 6
_MIN_KEY_CHARS = 16
_MIN_PHRASE_CHARS = 24


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


PORT: Final = "{port}"
"""Stands in the command of a server for a free port."""

OWN_URL: Final = f"http://127.0.0.1:{PORT}/v1"
"""The base URL of a server at that port."""


def command_words(command: str) -> list[str]:
    """The words of a command, as a shell splits it; a backslash at the end of a line continues it.

    Raises:
        ValueError: a quotation is not closed, or nothing follows the last backslash.
    """
    return shlex.split(_in_one_line(command))


def mask_command(command: str) -> str:
    """A command with its secrets masked, and otherwise as it was written: `vllm serve M --api-key ***`.

    See `command_secrets`. The command can be split into words.
    """
    masked = iter(_masked_words(command_words(command)))

    def shown(match: re.Match[str]) -> str:
        text, secrets = next(masked)
        if not secrets:
            return match.group()
        return text if _PLAIN_WORD.fullmatch(text) else shlex.quote(text)

    return _SHELL_WORD.sub(shown, _in_one_line(command))


def command_secrets(command: str) -> list[str]:
    """The secret texts in a command.

    They are what follows an option that is called like a secret (`--api-key K`, `--api-key=K`), the value of such a
    variable (`env HF_TOKEN=T`), credentials in URLs, and what is secret in JSON.
    """
    words = _masked_words(command_words(command))
    return [text for text in dict.fromkeys(text for _, secrets in words for text in secrets) if text]


def _in_one_line(command: str) -> str:
    return command.replace("\\\n", " ")


_SHELL_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", re.DOTALL)
"""A word as it is written, quotes included."""

_PLAIN_WORD = re.compile(r"[^\s'\"\\]+")


def _masked_words(words: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each word masked, with the secrets that were in it."""
    follows = False
    for word in words:
        name, equals, value = word.partition("=")
        is_option = word.startswith("-")
        is_named = is_secret_key(name) and not _OF_A_FILE.search(name)
        if follows and not is_option:
            yield MASK, [word]
        elif equals and is_named and (is_option or _VARIABLE.fullmatch(name)):
            yield f"{name}={MASK}", [value]
        elif equals and (is_option or _VARIABLE.fullmatch(name)):
            masked, secrets = _masked_value(value)
            yield f"{name}={masked}", secrets
        else:
            yield _masked_value(word)
        follows = is_option and is_named and not equals


def _masked_value(text: str) -> tuple[str, list[str]]:
    """A word that is not called secret: it may be a URL or a JSON object."""
    with suppress(ValueError, RecursionError):
        if text.startswith("{") and isinstance(value := json.loads(text), dict):
            secrets = _secrets_within(value, secret=False)
            return (json.dumps(mask_mapping(value), ensure_ascii=False), secrets) if secrets else (text, [])
    if "://" not in text or not (secrets := url_secrets(text)):
        return text, []
    try:
        return mask_credentials(text), secrets
    except ValueError:
        return MASK, [text, *secrets]


_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_OF_A_FILE = re.compile(r"(file|path|dir)$", re.IGNORECASE)


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
