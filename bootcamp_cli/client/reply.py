"""From the body of a reply to an answer, or to what is wrong with it; pure."""

import json
import math
from typing import Any

import msgspec

from bootcamp_cli.client.failures import bad_response, html_words, server_words
from bootcamp_cli.client.keepable import is_keepable
from bootcamp_cli.records import Answer, ApiMode

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A larger reply is no answer."""

_MAX_VALUES = 1_000_000
"""Nor is one of more values: read as JSON it would take 10 to 30 times the memory that it takes as text, and the
interpreter for seconds."""

_BLOCK_BYTES = 1024 * 1024


def parse_reply(body: bytes, api_mode: ApiMode) -> Answer:
    """The answer in a whole reply.

    A choice with text, with reasoning or with a finish_reason is an answer. Raises TryFailed of kind bad_response
    for everything else: empty `choices`, an error with status 200, HTML, truncated JSON, wrong types.
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
            raise bad_response("a choice whose message is no object")
    return make_answer(
        text=text_of(message.get("text" if api_mode == "completion" else "content")),
        reasoning=reasoning_of(message),
        finish_reason=choice.get("finish_reason"),
        usage=reply.get("usage"),
        model=reply.get("model"),
    )


def load_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. NaN and infinite numbers, which are no JSON, are read as null."""
    if len(body) > _MAX_VALUES and _n_separators(body) > _MAX_VALUES and _has_many_values(body):
        raise bad_response(f"a reply of more than {_MAX_VALUES} values")
    try:
        value = _decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = _leniently_decoded(body)
    if not isinstance(value, dict):
        raise bad_response("a reply that is no JSON object")
    return value


def _n_separators(text: bytes) -> int:
    """How many values a JSON text has at most; those within strings count, too."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _has_many_values(body: bytes) -> bool:
    """Whether there are too many values; what stands in strings is left out, and other threads get their turn."""
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
    """What msgspec refuses: a byte order mark, NaN, lone surrogates; TryFailed where it is not to be read at all."""
    try:
        return _LENIENT.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise bad_response(f"a reply that is no UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise bad_response("a reply that is nested too deeply") from None
    except ValueError as error:
        if body[:200].lstrip().startswith(b"<"):
            raise bad_response("HTML instead of JSON", html_words(body)) from None
        what = "an empty reply" if not body.strip() else f"a reply that is no JSON ({error})"
        raise bad_response(what) from None


def refuse_error(reply: dict[str, Any]) -> None:
    """Raise what the server reports as an error within a reply of status 200."""
    if reply.get("error") or (reply.get("object") == "error" and "choices" not in reply):
        raise bad_response("an error with status 200", server_words(reply))


def first_choice(reply: dict[str, Any]) -> dict[str, Any] | None:
    """The choice of index 0, else the first, or None where there is none; only one is ever asked for."""
    choices = reply.get("choices")
    if not choices:
        return None
    if not isinstance(choices, list):
        raise bad_response("choices of a wrong type")
    first = choices[0]
    if len(choices) > 1:
        first = next((one for one in choices if isinstance(one, dict) and one.get("index") == 0), first)
    if not isinstance(first, dict):
        raise bad_response("choices of a wrong type")
    refuse_error(first)
    return first


def text_of(content: Any) -> str | None:
    """The text of a message's content: a string, or a list of parts of which the text ones are joined."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad_response(f"a text of type {type(content).__name__}")
    texts = []
    for part in content:
        text = part.get("text", "") if isinstance(part, dict) else part
        if isinstance(part, dict) and part.get("type", "text") != "text":
            continue
        if not isinstance(text, str):
            raise bad_response("a part of a text of a wrong type")
        texts.append(text)
    return "".join(texts)


def reasoning_of(message: dict[str, Any]) -> str | None:
    """The separate reasoning of a message: `reasoning_content` (vLLM, SGLang, DeepSeek), else `reasoning`."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not reasoning:
        return None
    if not isinstance(reasoning, str):
        raise bad_response(f"a reasoning of type {type(reasoning).__name__}")
    return reasoning


def make_answer(*, text: str | None, reasoning: str | None, finish_reason: Any, usage: Any, model: Any) -> Answer:
    """An answer of checked parts; every text in it can be written as UTF-8, and usage as JSON.

    Raises TryFailed of kind bad_response where there is neither text nor reasoning nor a finish_reason.
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
    )


def well_formed(text: str) -> str:
    """Text without lone surrogates: two that belong together become their character, others U+FFFD."""
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
