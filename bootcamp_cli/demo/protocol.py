"""The OpenAI-compatible protocol: what a request asks for, and the bodies of the replies."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from bootcamp_cli.demo.model import THINK_END, Generated
from bootcamp_cli.demo.wire import Reply

_WORD = re.compile(r"\s*\S+|\s+")
_WORDS_PER_EVENT = 8
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

DEFAULT_MAX_TOKENS = {"completion": 16, "chat": 1_000_000}
"""What applies where a request names no limit: 16 for completions, as the protocol has it, no limit for chats."""


class RefusedError(Exception):
    """The request is answered with an error body."""

    def __init__(self, status: int, message: str, *, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request for one answer; `text` is the rendered prompt, in chat mode the last user message."""

    is_chat: bool
    model: str
    text: str
    max_tokens: int
    stream: bool
    include_usage: bool


def parse_ask(body: bytes, *, is_chat: bool) -> Ask:
    """Read a request's body.

    Raises:
        RefusedError: it is no JSON object, or a key has a value of the wrong type.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is no JSON") from None
    if not isinstance(asked, dict):
        raise RefusedError(400, "the body is no JSON object")
    match asked:
        case {"messages": list(messages)} if is_chat:
            text = _last_user_message(messages)
        case {"prompt": str(text) | [str(text)]} if not is_chat:
            pass
        case _:
            raise RefusedError(400, f"{'messages' if is_chat else 'prompt'}: missing or of a wrong type")
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
    )


def answer_body(ask: Ask, generated: Generated, *, name: str, reasoning_parser: bool) -> dict[str, Any]:
    """The body of a reply without streaming; a token is a word here."""
    text, finish_reason = generated.text, generated.finish_reason
    n_tokens = len(text.split())
    if n_tokens > ask.max_tokens:
        text = "".join(_WORD.findall(text)[: ask.max_tokens])
        n_tokens, finish_reason = ask.max_tokens, "length"
    n_prompt = count_prompt_tokens(ask)
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
    if not ask.is_chat:
        opening = "" if ask.text.endswith("<think>\n") else "<think>\n"
        choice["text"] = opening + text
    elif reasoning_parser:
        thoughts, end, content = text.partition(THINK_END)
        choice["message"] = {
            "role": "assistant",
            "content": content.lstrip() if end else None,
            "reasoning_content": thoughts,
        }
    else:
        choice["message"] = {"role": "assistant", "content": f"<think>\n{text}"}
    return {
        "id": f"{'chatcmpl' if ask.is_chat else 'cmpl'}-{name}",
        "object": "chat.completion" if ask.is_chat else "text_completion",
        "created": int(time.time()),
        "model": ask.model,
        "choices": [choice],
        "usage": {"prompt_tokens": n_prompt, "completion_tokens": n_tokens, "total_tokens": n_prompt + n_tokens},
    }


def count_prompt_tokens(ask: Ask) -> int:
    """About a token for every four characters."""
    return len(ask.text) // 4 + 1


def as_reply(ask: Ask, body: dict[str, Any], *, pause_s: float = 0.0) -> Reply:
    """The reply that carries a body: JSON, or the same as server-sent events if that was asked for."""
    if ask.stream:
        return Reply(status=200, pieces=_events(ask, body), content_type="text/event-stream", pause_s=pause_s)
    return json_reply(200, body)


def json_reply(status: int, body: Any, *, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A reply with a JSON body."""
    return Reply(status=status, pieces=(_json(body),), headers=headers)


def error_body(status: int, message: str, *, kind: str = "BadRequestError") -> dict[str, Any]:
    """An error as vLLM words it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def no_such_model(name: str) -> RefusedError:
    """What is said to a request for a model that is not served."""
    return RefusedError(404, f"The model `{name}` does not exist.", kind="NotFoundError")


def too_long(ask: Ask, limit: int) -> RefusedError:
    """What is said to a request that does not fit into the context length."""
    n_prompt = count_prompt_tokens(ask)
    return RefusedError(
        400,
        f"'max_tokens' or 'max_completion_tokens' is too large: {ask.max_tokens}. This model's maximum context length "
        f"is {limit} tokens and your request has {n_prompt} input tokens ({ask.max_tokens} > {limit} - {n_prompt}).",
    )


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


def _events(ask: Ask, body: dict[str, Any]) -> tuple[bytes, ...]:
    frame = {key: body[key] for key in ("id", "created", "model")}
    frame["object"] = "chat.completion.chunk" if ask.is_chat else "text_completion"
    events: list[bytes] = []
    for choice in body["choices"]:
        parts = choice["message"] if ask.is_chat else choice
        keys = ("reasoning_content", "content") if ask.is_chat else ("text",)
        for key in keys:
            words = _WORD.findall(parts.get(key) or "")
            for start in range(0, len(words), _WORDS_PER_EVENT):
                piece = {key: "".join(words[start : start + _WORDS_PER_EVENT])}
                shown = {"delta": piece} if ask.is_chat else piece
                events.append(_event({**frame, "choices": [{"index": 0, **shown, "finish_reason": None}]}))
        closing: dict[str, Any] = {"delta": {}} if ask.is_chat else {"text": ""}
        events.append(_event({**frame, "choices": [{"index": 0, **closing, "finish_reason": choice["finish_reason"]}]}))
    if ask.include_usage and "usage" in body:
        events.append(_event({**frame, "choices": [], "usage": body["usage"]}))
    return (*events, b"data: [DONE]\n\n")


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + _json(data) + b"\n\n"


def _json(value: Any) -> bytes:
    # a cut text may hold half of a surrogate pair
    return _ENCODER.encode(value).encode("utf-8", "replace")
