"""The OpenAI-compatible protocol: what a request asks for, and the bodies of the replies."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bootcamp_cli.demo.model import Generated

COMPLETIONS_PATH = "/v1/completions"
CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A request with a larger body is refused."""

DEFAULT_MAX_TOKENS = {"completion": 16, "chat": 1_000_000}
"""The limit of a request that names none: 16 for completions, as in the protocol, unlimited for chats."""

_WORD = re.compile(r"\s*\S+|\s+")
_WORDS_PER_EVENT = 8
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class RefusedError(Exception):
    """The request is answered with an error body."""

    def __init__(self, status: int, message: str, *, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """The error as a body."""
        return error_body(self.status, self.message, kind=self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request for one answer; `text` is the rendered prompt, in chat mode the last user message.

    `seed` is None where none was sent.
    """

    is_chat: bool
    model: str
    text: str
    max_tokens: int
    stream: bool
    include_usage: bool
    seed: int | None = None


def parse_ask(body: bytes, *, is_chat: bool) -> Ask:
    """Read a request's body.

    Raises:
        RefusedError: it is not a JSON object, or a key has a value of the wrong type.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(asked, dict):
        raise RefusedError(400, "the body is not a JSON object")
    match asked:
        case {"messages": list(messages)} if is_chat:
            text = _last_user_message(messages)
        case {"prompt": str(text) | [str(text)]} if not is_chat:
            pass
        case _:
            raise RefusedError(400, f"{'messages' if is_chat else 'prompt'}: missing or of the wrong type")
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens")
    if limit is None:
        limit = DEFAULT_MAX_TOKENS["chat" if is_chat else "completion"]
    if type(limit) is not int or limit < 1:
        raise RefusedError(400, f"max_tokens must be at least 1, got {limit!r}.")
    options = asked.get("stream_options")
    return Ask(
        is_chat=is_chat,
        model=str(asked.get("model", "")),
        text=text,
        max_tokens=limit,
        stream=asked.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        seed=seed if type(seed := asked.get("seed")) is int else None,
    )


def check_ask(ask: Ask, *, models: Iterable[str], max_model_len: int | None) -> None:
    """Check that a request can be answered: by a model that is served, within its context length.

    Raises:
        RefusedError: it cannot.
    """
    if ask.model not in models:
        raise no_such_model(ask.model)
    if max_model_len is not None and count_prompt_tokens(ask) + ask.max_tokens > max_model_len:
        raise too_long(ask, max_model_len)


def answer_body(ask: Ask, generated: Generated, *, name: str) -> dict[str, Any]:
    """The body of a reply without streaming; a token is a word here."""
    text, finish_reason = generated.text, generated.finish_reason
    n_tokens = len(text.split())
    if n_tokens > ask.max_tokens:
        text = "".join(_WORD.findall(text)[: ask.max_tokens])
        n_tokens, finish_reason = ask.max_tokens, "length"
    n_prompt = count_prompt_tokens(ask)
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
    if ask.is_chat:
        choice["message"] = {"role": "assistant", "content": text and f"<think>\n{text}"}
    else:
        opening = "" if not text or ask.text.endswith("<think>\n") else "<think>\n"
        choice["text"] = opening + text
    return {
        "id": f"{'chatcmpl' if ask.is_chat else 'cmpl'}-{name}",
        "object": "chat.completion" if ask.is_chat else "text_completion",
        "created": int(time.time()),
        "model": ask.model,
        "choices": [choice],
        "usage": {"prompt_tokens": n_prompt, "completion_tokens": n_tokens, "total_tokens": n_prompt + n_tokens},
    }


def stream_events(ask: Ask, body: dict[str, Any]) -> tuple[bytes, ...]:
    """The same as `body`, as the server-sent events of a stream, with the end mark."""
    frame = {key: body[key] for key in ("id", "created", "model")}
    frame["object"] = "chat.completion.chunk" if ask.is_chat else "text_completion"
    events: list[bytes] = []
    for choice in body["choices"]:
        parts = choice["message"] if ask.is_chat else {"text": choice["text"]}
        for key, text in parts.items():
            words = _WORD.findall(text or "") if key != "role" else []
            for start in range(0, len(words), _WORDS_PER_EVENT):
                piece = {key: "".join(words[start : start + _WORDS_PER_EVENT])}
                shown = {"delta": piece} if ask.is_chat else piece
                events.append(_event({**frame, "choices": [{"index": 0, **shown, "finish_reason": None}]}))
        closing: dict[str, Any] = {"delta": {}} if ask.is_chat else {"text": ""}
        events.append(_event({**frame, "choices": [{"index": 0, **closing, "finish_reason": choice["finish_reason"]}]}))
    if ask.include_usage and "usage" in body:
        events.append(_event({**frame, "choices": [], "usage": body["usage"]}))
    return (*events, b"data: [DONE]\n\n")


def models_body(models: Iterable[str], *, max_model_len: int | None) -> dict[str, Any]:
    """The body of the list of models."""
    entry: dict[str, Any] = {"object": "model", "created": 0, "owned_by": "bootcamp"}
    if max_model_len is not None:
        entry["max_model_len"] = max_model_len
    return {"object": "list", "data": [{"id": name, **entry} for name in models]}


def error_body(status: int, message: str, *, kind: str = "BadRequestError") -> dict[str, Any]:
    """An error in vLLM's wording."""
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def json_bytes(value: Any) -> bytes:
    """A body as it is sent."""
    # truncated text may end in half of a surrogate pair
    return _ENCODER.encode(value).encode("utf-8", "replace")


def retry_after(seconds: float) -> str:
    """The value of the header: a number without an exponent, which headers do not allow."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def check_key(authorization: str, key: str | None) -> None:
    """Check that a request carries the key in its header, if one is required.

    Raises:
        RefusedError: it does not.
    """
    if key is not None and authorization != f"Bearer {key}":
        raise RefusedError(401, "Unauthorized", kind="AuthenticationError")


def no_such_model(name: str) -> RefusedError:
    """The refusal of a request for a model that is not served."""
    return RefusedError(404, f"The model `{name}` does not exist.", kind="NotFoundError")


def too_long(ask: Ask, limit: int) -> RefusedError:
    """The refusal of a request that does not fit into the context length."""
    n_prompt = count_prompt_tokens(ask)
    return RefusedError(
        400,
        f"'max_tokens' or 'max_completion_tokens' is too large: {ask.max_tokens}. This model's maximum context length "
        f"is {limit} tokens and your request has {n_prompt} input tokens ({ask.max_tokens} > {limit} - {n_prompt}).",
    )


def count_prompt_tokens(ask: Ask) -> int:
    """About one token for every four characters."""
    return len(ask.text) // 4 + 1


def _last_user_message(messages: list[Any]) -> str:
    for message in reversed(messages):
        match message:
            case {"role": "user", "content": str(text)}:
                return text
            case {"role": "user", "content": list(parts)}:
                return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
            case _:
                continue
    raise RefusedError(400, "messages: there is no user message")


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json_bytes(data) + b"\n\n"
