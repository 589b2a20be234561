"""The lines of a test file, counted and hashed as they are read; each is a row, or an error that says what is wrong."""

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import filterfalse
from typing import Any, BinaryIO, NoReturn

import msgspec

from bootcamp_cli.types import DATA_SOURCE_PREFIX, encode, encode_exactly

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is not a row but a sign of a broken file (a hole full of zeros, a missing line feed)."""

_BOM = b"\xef\xbb\xbf"


class LineReader:
    """Reads the lines of a binary file in batches; between two of them the file may be closed.

    Lines keep their line feed and lose a byte order mark; a line above MAX_LINE_BYTES is cut to one byte more than
    that. `n_read` and `digest()` cover the bytes up to the end of the last batch. Reading ends with the file or after
    `n_bytes`. `check` is called before each batch; what it raises ends the reading.
    """

    def __init__(self, *, n_bytes: int | None = None, check: Callable[[], object] = lambda: None) -> None:
        self.n_read = 0
        self._n_bytes = n_bytes
        self._check = check
        self._sha256 = hashlib.sha256()

    def batch(self, file: BinaryIO, n_bytes: int) -> list[bytes]:
        """The next lines, of about `n_bytes` in total and at least one; none at the end.

        `file` stands where the last batch ended, `n_read` bytes after its start.
        """
        is_first = not self.n_read
        lines = lines_of(*self.block(file, n_bytes))
        if is_first and lines:
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def block(self, file: BinaryIO, n_bytes: int) -> tuple[bytes, bytes]:
        """What `batch` splits, with the byte order mark; the second piece is the rest of the first one's last line."""
        self._check()
        rest = b""
        if self._n_bytes is not None:
            n_bytes = min(n_bytes, self._n_bytes - self.n_read)
        block = file.read(n_bytes)
        self._count(block)
        if block and not block.endswith(b"\n"):
            rest = self._read(file)
        return block, rest

    def digest(self) -> str:
        """The SHA-256 (hex) of the bytes read so far."""
        return self._sha256.hexdigest()

    def _read(self, file: BinaryIO) -> bytes:
        line = chunk = self._read_chunk(file)
        while len(chunk) > MAX_LINE_BYTES and not chunk.endswith(b"\n"):
            chunk = self._read_chunk(file)
        return line

    def _read_chunk(self, file: BinaryIO) -> bytes:
        n_wanted = MAX_LINE_BYTES + 1
        if self._n_bytes is not None:
            n_wanted = min(n_wanted, self._n_bytes - self.n_read)
        chunk = file.readline(n_wanted)
        self._count(chunk)
        return chunk

    def _count(self, chunk: bytes) -> None:
        self.n_read += len(chunk)
        self._sha256.update(chunk)


def lines_of(block: bytes, rest: bytes) -> list[bytes]:
    """The lines of a block, which a line feed alone ends; four times as fast as `splitlines`, which knows others."""
    lines = io.BytesIO(block).readlines()
    if rest:
        lines[-1] = (lines[-1] + rest)[: MAX_LINE_BYTES + 1]
    return lines


def n_lines_of(block: bytes) -> int:
    """How many they are, whatever the rest is."""
    return block.count(b"\n") + (not block.endswith(b"\n"))


MAX_NESTING = 200
"""Deepest ground truth: one that is nested deeper cannot be reliably copied and written again."""

_MISSING: Any = object()
_SCALARS = frozenset({str, int, float, bool})


class InvalidRowError(ValueError):
    """The line is not a usable row; the text says why, in one line."""


def array_over_lines(first_line: bytes) -> str | None:
    """What a file is whose first line is only the beginning of a JSON array: not one of rows, which are lines."""
    text = first_line.strip()
    if not text.startswith(b"["):
        return None
    try:
        json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        return "a JSON array over several lines, not one row per line (jq -c '.[]' FILE makes rows of it)"
    return None


def is_scalar(own_id: Any) -> bool:
    """Whether the `id` of a row is a string, number or boolean, which alone can serve as one."""
    return type(own_id) in _SCALARS


class Row(msgspec.Struct, gc=False):
    """The parts of a row that count."""

    data_source: str
    prompt: str
    ground_truth: Any
    id: Any = None

    @property
    def own_id(self) -> str | float | bool | None:
        """The row's `id`; None where it is absent or not a scalar."""
        return self.id if is_scalar(self.id) else None


class ChatRow(Row, gc=False):
    """A row whose prompt is a list of messages: `messages` is that list as JSON, `prompt` its last text of the user."""

    messages: bytes = b""


class RowHead(Row, gc=False):
    """A row that was checked without decoding its prompt and its ground truth, which stay JSON text."""

    prompt: msgspec.Raw  # type: ignore[assignment] # a head serves the check alone, which asks for no prompt
    ground_truth: msgspec.Raw


def parse_row(line: bytes) -> Row:
    """Parse and check one line.

    A row may also be as later packages write it: with a list of messages as `prompt`, with `ground_truth` in
    `reward_model`, and with `bootcamp/` before its data source, which is left out here.

    Raises:
        InvalidRowError: the line is not UTF-8, not JSON, not an object, or lacks a key of the right type.
    """
    with suppress(ValueError, RecursionError):
        line.decode()  # msgspec does not check the encoding of what it skips
        row = _named(_decode_row(line))
        if row.data_source and len(line) <= MAX_LINE_BYTES and not _is_deep(line):
            return row
    return _examined(line)


def parse_heads(lines: Sequence[bytes]) -> list[RowHead] | None:
    """Check many lines at once; None if one of them may be wrong, which is for `parse_row` to tell."""
    if len(lines[-1]) > MAX_LINE_BYTES:
        return None
    try:
        for line in filterfalse(bytes.isascii, lines):
            line.decode()  # msgspec does not check the encoding of what it skips
        if memoryview(_decode_head(lines[0]).prompt)[0] != _QUOTE:  # a chat, as the others are most probably
            return None
        heads = list(map(_decode_head, lines))
        for head in heads:
            if not _named(head).data_source or memoryview(head.prompt)[0] != _QUOTE:
                return None
        for suspect in _suspects(b"\n".join([head.ground_truth for head in heads])):
            parse_row(lines[suspect])
    except (ValueError, RecursionError):
        return None
    return heads


def parse_known_row(line: bytes) -> Row:
    """Parse a line that was valid when scanned; raises InvalidRowError if it has changed."""
    try:
        return _named(_decode_row(line))
    except (ValueError, RecursionError):
        return parse_row(line)


def _named(row: Row) -> Row:
    """The row, which has its data source without the prefix from here on."""
    if row.data_source.startswith(DATA_SOURCE_PREFIX):
        row.data_source = row.data_source.removeprefix(DATA_SOURCE_PREFIX)
    return row


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a row under their own names, wherever a later package puts them."""
    plain = {**values}
    source, reward = values.get("data_source"), values.get("reward_model")
    if isinstance(source, str):
        plain["data_source"] = source.removeprefix(DATA_SOURCE_PREFIX)
    if "ground_truth" not in values and isinstance(reward, dict) and "ground_truth" in reward:
        plain["ground_truth"] = reward["ground_truth"]
    return plain


def _suspects(texts: bytes) -> set[int]:
    """Which of some JSON texts, each on a line of its own, may hold what msgspec does not see where it skips.

    That is a number beyond the range of a float or the digits of an integer, and too deep a nesting.
    """
    numbers = texts.translate(_NUMBER_CLASSES, _SIGNS)
    suspects: set[int] = set()
    if _has_extreme_number(numbers):
        suspects.update(at for at, text in enumerate(numbers.split(b"\n")) if _has_extreme_number(text))
    brackets = texts.translate(None, _NO_BRACKETS).split(b"\n")
    if max(map(len, brackets)) > _FEW_BRACKETS:
        suspects.update(at for at, text in enumerate(texts.split(b"\n")) if _is_deep(text))
    return suspects


def _has_extreme_number(classes: bytes) -> bool:
    """Whether a text may hold such a number, in which each digit is written as 0; an escaped character may count."""
    return b"e000" in classes or _MANY_DIGITS in classes


def _is_deep(text: bytes) -> bool:
    """Whether a JSON text is nested deeper than MAX_NESTING."""
    if len(text) <= _FEW_BRACKETS or len(text.translate(None, _NO_BRACKETS)) <= _FEW_BRACKETS:
        return False
    outside_strings = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_strings).translate(None, _NO_BRACKETS).rstrip()
    for _ in range(MAX_NESTING):
        left = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    return bool(brackets)


def _examined(line: bytes) -> Row:
    """Parse a line slowly and say what is wrong with it, if anything is."""
    values = plain_values(parse_object(line, constants=True))
    faults = list(_faults(values))
    if faults:
        raise InvalidRowError("; ".join(faults))
    if _is_deep(line):
        for key in ("ground_truth", "prompt"):
            if is_deeper(values[key], MAX_NESTING):
                raise InvalidRowError(f"`{key}` is nested deeper than {MAX_NESTING} levels")
    if (rb"\ud" in line or rb"\uD" in line) and _has_lone_surrogate(values):
        raise InvalidRowError("a lone surrogate escape (\\ud800 to \\udfff), which is not a character")
    prompt = values["prompt"]
    own_id = values.get("id")
    if isinstance(own_id, float) and not math.isfinite(own_id):
        own_id = None
    row = Row(values["data_source"], last_user_text(prompt) or "", values["ground_truth"], own_id)
    if isinstance(prompt, str):
        return row
    messages = encode(prompt)
    if messages != encode_exactly(prompt):
        raise InvalidRowError("`prompt` holds NaN or an infinity, which no request can")
    return ChatRow(row.data_source, row.prompt, row.ground_truth, row.id, messages=messages)


def last_user_text(prompt: Any) -> str | None:
    """The text of the last message of the user in a list of messages, or the prompt itself; None where there is none.

    Of a message in parts it is that of its parts with text.
    """
    if isinstance(prompt, str):
        return prompt
    for message in reversed(prompt if isinstance(prompt, list) else []):
        match message:
            case {"role": "user", "content": str(text)}:
                return text
            case {"role": "user", "content": list(parts)}:
                return "".join(part["text"] for part in parts if _has_text(part))
            case _:
                continue
    return None


def _has_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def parse_object(line: bytes, *, constants: bool = False) -> dict[str, Any]:
    """The JSON object of one line; with `constants` NaN, Infinity and -Infinity are numbers, as for Python's json.

    Raises:
        InvalidRowError: the line is too long, not UTF-8, not JSON, or not an object.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InvalidRowError(f"line longer than {MAX_LINE_BYTES // 2**20} MiB")
    nul = line.find(b"\0")
    if nul >= 0:
        raise InvalidRowError(f"NUL byte at byte {nul + 1}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InvalidRowError(f"invalid UTF-8 at byte {error.start + 1}: 0x{line[error.start]:02x}") from None
    try:
        values = (_DECODER_WITH_CONSTANTS if constants else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise InvalidRowError(f"invalid JSON at column {error.pos + 1}: {what}") from None
    except RecursionError:
        raise InvalidRowError("invalid JSON: nested too deeply") from None
    except InvalidRowError:
        raise
    except ValueError:  # the interpreter's limit on the digits of an integer
        raise InvalidRowError("invalid JSON: an integer with thousands of digits") from None
    if not isinstance(values, dict):
        hint = " (jq -c '.[]' FILE makes one row per line of it)" if isinstance(values, list) and values else ""
        raise InvalidRowError(f"a row must be a JSON object, got {_kind(values)}{hint}")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRowError(f"invalid JSON: {name} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRowError(f"number out of range: {text[:20]}")
    return value


_QUOTE = ord('"')
_NUMBER_CLASSES = bytes.maketrans(b"0123456789E", b"0000000000e")
_SIGNS = b"+-"
_MANY_DIGITS = b"0" * 209  # with an exponent of two digits it is beyond the range
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}\n")
_FEW_BRACKETS = 2 * MAX_NESTING

_decode_row = msgspec.json.Decoder(Row).decode
_decode_head = msgspec.json.Decoder(RowHead).decode
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
_DECODER_WITH_CONSTANTS = json.JSONDecoder(parse_float=_finite_float)


_OTHER_FORMS: Mapping[tuple[str, ...], str] = {
    ("messages",): "the list of `messages` belongs under `prompt`",
    ("conversations",): "the `conversations` belong under `prompt`, as a list of messages with role and content",
    ("question", "answer"): "the `question` belongs under `prompt`, the `answer` under `ground_truth`",
    ("problem", "answer"): "the `problem` belongs under `prompt`, the `answer` under `ground_truth`",
    ("problem", "solution"): "the `problem` belongs under `prompt`, the `solution` under `ground_truth`",
    ("instruction", "output"): "the `instruction` belongs under `prompt`, the `output` under `ground_truth`",
}
"""Rows of other data sets by the keys that they have in place of ours, and where the contents belong."""


def _faults(values: dict[str, Any]) -> Iterator[str]:
    missing = [f"`{key}`" for key in ("data_source", "prompt", "ground_truth") if key not in values]
    if missing:
        what = f"missing key{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        form = next((form for form in _OTHER_FORMS if values.keys() >= set(form)), None)
        if form is None or "prompt" in values:
            yield what
        else:
            named = " and ".join(f"`{key}`" for key in form)
            yield f"a row in the form of {named}: {what} ({_OTHER_FORMS[form]}; `data_source` names the bootcamp)"
    for key, kinds, expected in (
        ("data_source", str, "a string"),
        ("prompt", (str, list), "a string or a list of messages"),
    ):
        value = values.get(key, _MISSING)
        if value is not _MISSING and not isinstance(value, kinds):
            yield f"`{key}` must be {expected}, got {_kind(value)}"
    if values.get("data_source") == "":
        yield "`data_source` is empty"
    if isinstance(values.get("prompt"), list) and (fault := _fault_of_messages(values["prompt"])):
        yield fault


def _fault_of_messages(messages: list[Any]) -> str | None:
    """What is wrong with the first bad message; None where all are fine and one of them is the user's."""
    for number, message in enumerate(messages, start=1):
        place = f"message {number} of `prompt`"
        if not isinstance(message, dict):
            return f"{place} must be an object, got {_kind(message)}"
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not role:
            return f"{place} has no `role`"
        is_parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
        if not isinstance(content, str) and not is_parts and (content is not None or role != "assistant"):
            return f"`content` of {place} must be a string or a list of parts"
    return None if last_user_text(messages) is not None else "`prompt` has no message of the user"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def is_deeper(value: object, max_levels: int) -> bool:
    """Whether a JSON value holds arrays and objects within each other on more than `max_levels` levels."""
    level = [value]
    for _ in range(max_levels + 1):
        level = [child for container in level for child in _children(container)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _has_lone_surrogate(values: dict[str, Any]) -> bool:
    own_id = values.get("id")
    kept = [values[key] for key in ("data_source", "prompt", "ground_truth")]
    try:
        json.dumps([*kept, own_id if type(own_id) in _SCALARS else None], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
