"""From the bytes of a reply, whole or streamed as server-sent events, to an answer or a failure; pure."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bootcamp_cli.server.failures import (
    CUT_OFF,
    bad_response,
    cut_off,
    error_within,
    html_words,
    is_keepable,
    lacks_balance,
    server_words,
)
from bootcamp_cli.settings.model import ApiMode
from bootcamp_cli.types import Answer

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A larger reply is not an answer."""

_MAX_VALUES = 1_000_000
"""Nor is one with more values: parsed as JSON it would take 10 to 30 times the memory of its text, and block the
interpreter for seconds."""

_BLOCK_BYTES = 1024 * 1024

_MAX_FINGERPRINT_CHARS = 200

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_LINE_END = re.compile(rb"\r\n|\n|\r")

_PIECE_BYTES = 8 * 1024
"""How much is split into lines at once: no other thread can run meanwhile, and lines may be empty."""


def parse_reply(body: bytes, api_mode: ApiMode) -> Answer:
    """The answer in a whole reply.

    A choice with text, with reasoning or with a finish_reason is an answer. Raises AttemptFailed of kind cut_off where
    the finish_reason says that the server did not let it finish, and of kind bad_response for everything else: empty
    `choices`, an error with status 200, HTML, truncated JSON, wrong types.
    """
    reply = load_object(body)
    refuse_error(reply)
    choice = first_choice(reply)
    if choice is None:
        raise bad_response("a reply without choices", server_words(reply))
    message = choice
    if api_mode == "chat_completion":
        message = choice.get("message") or {}
        if not isinstance(message, dict):
            raise bad_response("a choice whose message is not an object")
    content = message.get("text" if api_mode == "completion" else "content")
    return make_answer(
        text=text_of(content) or refusal_of(message),
        reasoning=reasoning_of(message, content),
        finish_reason=choice.get("finish_reason"),
        usage=reply.get("usage"),
        model=reply.get("model"),
        system_fingerprint=reply.get("system_fingerprint"),
    )


def load_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. NaN and infinite numbers, which are not JSON, are read as null."""
    value = load_json(body)
    if not isinstance(value, dict):
        raise bad_response("a reply that is not a JSON object")
    return value


def load_json(body: bytes) -> Any:
    """The JSON value of a body, read as `load_object` does."""
    if len(body) > _MAX_VALUES and _n_separators(body) > _MAX_VALUES and _has_many_values(body):
        raise bad_response(f"a reply with more than {_MAX_VALUES} values")
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return _leniently_decoded(body)


def _n_separators(text: bytes) -> int:
    """An upper bound of the number of values in a JSON text; separators within strings count, too."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _has_many_values(body: bytes) -> bool:
    """Whether there are too many values; strings are left out, and other threads can run in between."""
    n_values = 0
    in_string = False
    escape = b""
    for start in range(0, len(body), _BLOCK_BYTES):
        block = (escape + body[start : start + _BLOCK_BYTES]).replace(b"\\\\", b"")
        escape = b"\\" if block.endswith(b"\\") else b""
        parts = block.removesuffix(escape).replace(b'\\"', b"").split(b'"')
        n_values += _n_separators(b"".join(parts[in_string::2]))
        in_string ^= len(parts) % 2 == 0
        if n_values > _MAX_VALUES:
            return True
    return False


def _leniently_decoded(body: bytes) -> Any:
    """Read what msgspec refuses: a byte order mark, NaN, lone surrogates; AttemptFailed where that fails as well."""
    try:
        return _LENIENT.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise bad_response(f"a reply that is not UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise bad_response("a reply that is nested too deeply") from None
    except ValueError as error:
        if body[:200].lstrip().startswith(b"<"):
            raise bad_response("HTML instead of JSON", html_words(body)) from None
        what = "an empty reply" if not body.strip() else f"a reply that is not JSON ({error})"
        raise bad_response(what) from None


def refuse_error(reply: dict[str, Any]) -> None:
    """Raise what the server reports as an error within a reply of status 200."""
    if reply.get("error") or (reply.get("object") == "error" and "choices" not in reply):
        raise error_within(reply, "an error with status 200")


def first_choice(reply: dict[str, Any]) -> dict[str, Any] | None:
    """The choice with index 0, else the first, or None where there is none; only one is ever requested."""
    choices = reply.get("choices")
    if not choices:
        return None
    if not isinstance(choices, list):
        raise bad_response("choices of the wrong type")
    first = choices[0]
    if len(choices) > 1:
        first = next((one for one in choices if isinstance(one, dict) and one.get("index") == 0), first)
    if not isinstance(first, dict):
        raise bad_response("choices of the wrong type")
    refuse_cut_off(reply, first)
    refuse_error(first)
    return first


def refuse_cut_off(reply: dict[str, Any], choice: dict[str, Any]) -> None:
    """Raise where the finish_reason of a choice says that the server cut the answer off."""
    finish_reason = choice.get("finish_reason")
    if isinstance(finish_reason, str) and finish_reason in CUT_OFF:
        error = {"error": choice.get("error") or reply.get("error")}
        if lacks_balance(error):
            raise error_within(error, "an error with status 200")
        raise cut_off(finish_reason, server_words(error) if error["error"] else "")


def text_of(content: Any) -> str | None:
    """The text of a message's content: a string, or a list of parts of which the text ones are joined."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad_response(f"text of type {type(content).__name__}")
    texts = []
    for part in content:
        text = part.get("text", "") if isinstance(part, dict) else part
        if isinstance(part, dict) and part.get("type", "text") != "text":
            continue
        if not isinstance(text, str):
            raise bad_response("a part of the text of the wrong type")
        texts.append(text)
    return "".join(texts)


def refusal_of(message: dict[str, Any]) -> str | None:
    """The words with which a model declines: OpenAI puts them beside the content, which is then null."""
    refusal = message.get("refusal")
    return refusal if isinstance(refusal, str) else None


def reasoning_of(message: dict[str, Any], content: Any) -> str | None:
    """The separate reasoning of a message: `reasoning_content` (vLLM, SGLang, DeepSeek), else `reasoning`.

    Else it is in parts of the content (Magistral): each holds text, or text parts of its own.
    """
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not reasoning and isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "thinking"]
        reasoning = "".join(text_of(part.get("thinking")) or "" for part in parts)
    if not reasoning:
        return None
    if not isinstance(reasoning, str):
        raise bad_response(f"reasoning of type {type(reasoning).__name__}")
    return reasoning


def make_answer(
    *,
    text: str | None,
    reasoning: str | None,
    finish_reason: Any,
    usage: Any,
    model: Any,
    system_fingerprint: Any,
    n_pieces: int | None = None,
) -> Answer:
    """An answer of checked parts; every text in it can be written as UTF-8, and usage as JSON.

    A fingerprint that is longer than any server's is left out.

    Raises AttemptFailed of kind bad_response where there is neither text nor reasoning nor a finish_reason.
    """
    finish_reason = well_formed(finish_reason) if finish_reason and isinstance(finish_reason, str) else None
    if not (text or reasoning or finish_reason):
        raise bad_response("a choice with neither text nor reasoning nor finish_reason")
    return Answer(
        text=well_formed(text or ""),
        reasoning=well_formed(reasoning) if reasoning else None,
        finish_reason=finish_reason,
        usage=usage if isinstance(usage, dict) and is_keepable(usage) else None,
        model=well_formed(model) if model and isinstance(model, str) else None,
        system_fingerprint=_fingerprint(system_fingerprint) if system_fingerprint else None,
        n_pieces=n_pieces,
    )


def _counts_tokens(usage: object) -> bool:
    return isinstance(usage, dict) and usage.get("completion_tokens") is not None


def _fingerprint(value: Any) -> str | None:
    return well_formed(value) if isinstance(value, str) and len(value) <= _MAX_FINGERPRINT_CHARS else None


def well_formed(text: str) -> str:
    """Text without lone surrogates: pairs become their character, others U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


_decode = msgspec.json.Decoder().decode
_LENIENT = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event: its name (empty for the usual kind) and its data, lines joined by a newline."""

    name: str
    data: bytes


class EventDecoder:
    """Takes the bytes of a stream as they arrive; lines may end in LF, CRLF or CR, and comments are skipped.

    So is a byte order mark at the beginning.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self) -> None:
        self._open_line = bytearray()
        self._at_start = True
        self._after_cr = False
        self._name = ""
        self._data = bytearray()

    @property
    def n_pending_bytes(self) -> int:
        """Bytes of the event that is not complete."""
        return len(self._open_line) + len(self._data)

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that these bytes complete."""
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield from self._piece(chunk[start : start + _PIECE_BYTES])

    def close(self) -> Iterator[ServerEvent]:
        """The event that the end of the stream completes, if the server left out the last blank line."""
        yield from self._line(self._closed_line(b""))
        yield from self._line(b"")

    def _piece(self, chunk: bytes) -> Iterator[ServerEvent]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        for line in ended:
            yield from self._line(self._closed_line(line) if self._open_line else line)
        self._open_line += rest

    def _closed_line(self, end: bytes) -> bytes:
        """The line that was open so far, with its end."""
        self._open_line += end
        line = bytes(self._open_line)
        self._open_line.clear()
        return line

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            if self._data:
                del self._data[-1]
                yield ServerEvent(name=self._name, data=bytes(self._data))
                self._data.clear()
            self._name = ""
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data += value
            self._data += b"\n"
        elif field == b"event":
            self._name = value.decode("utf-8", errors="replace")


class StreamedAnswer:
    """Takes the bytes of a stream and makes an answer of them.

    `complete` says that everything that decides the answer has arrived: a finish_reason or `[DONE]` was seen. Only the
    usage may still follow. Raises AttemptFailed of kind bad_response like `parse_reply`.
    """

    def __init__(self, api_mode: ApiMode, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._api_mode: ApiMode = api_mode
        self._max_bytes = max_bytes
        self._events = EventDecoder()
        self._n_bytes = 0
        self._beginning = b""
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._n_pieces = 0
        self._reasoning: list[str] = []
        self._finish_reason: object = None
        self._usage: object = None
        self._model: object = None
        self._system_fingerprint: object = None
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, even if the stream breaks off."""
        return self.done or bool(self._finish_reason)

    @property
    def n_pending_bytes(self) -> int:
        """Bytes of the event that is not complete."""
        return self._events.n_pending_bytes

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self._n_bytes += len(chunk)
        if self._n_bytes > self._max_bytes:
            raise bad_response(f"a stream of more than {self._max_bytes} bytes")
        if len(self._beginning) < 500:
            self._beginning += chunk[:500]
        for event in self._events.feed(chunk):
            self._take(event)

    def answer(self) -> Answer:
        """The answer, at the end of the stream."""
        if not self.complete:
            for event in self._events.close():
                self._take(event)
        if not self.complete:
            if self._beginning.lstrip().startswith((b"<", b"{")):
                raise bad_response("not an event stream", html_words(self._beginning))
            raise bad_response("a stream that ends before the answer does")
        return make_answer(
            text="".join(self._texts) or "".join(self._refusals),
            reasoning="".join(self._reasoning) or None,
            finish_reason=self._finish_reason,
            usage=self._usage,
            model=self._model,
            system_fingerprint=self._system_fingerprint,
            n_pieces=None if _counts_tokens(self._usage) else self._n_pieces,
        )

    def _take(self, event: ServerEvent) -> None:
        if self.done:
            return
        if event.data.strip() == b"[DONE]":
            self.done = True
            return
        if not event.data.strip():
            return
        if event.name == "error":
            raise error_within(load_object(event.data), "an error in the stream")
        piece = load_object(event.data)
        refuse_error(piece)
        self._usage = piece.get("usage") or self._usage
        self._model = piece.get("model") or self._model
        self._system_fingerprint = piece.get("system_fingerprint") or self._system_fingerprint
        choice = first_choice(piece)
        if choice is None or choice.get("index"):
            return
        delta = choice
        if self._api_mode == "chat_completion":
            delta = choice.get("delta") or choice.get("message") or {}
            if not isinstance(delta, dict):
                raise bad_response("a choice whose delta is not an object")
        content = delta.get("text" if self._api_mode == "completion" else "content")
        text, refusal, reasoning = text_of(content), refusal_of(delta), reasoning_of(delta, content)
        for taken, into in ((text, self._texts), (refusal, self._refusals), (reasoning, self._reasoning)):
            if taken:
                into.append(taken)
        self._n_pieces += bool(text or refusal or reasoning)
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
