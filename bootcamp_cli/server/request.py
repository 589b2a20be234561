"""The body of a request, from the generation parameters and the prompt; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bootcamp_cli.types import ApiMode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """What decides an answer beside the prompt. None means: not sent, the server decides.

    `stop` holds the template's and the user's stop words together, `extra_body` goes into the body last and at the
    top level, `sys_prompt` is the system message of chat mode.
    """

    model: str
    api_mode: ApiMode
    max_tokens: int
    temperature: float
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra_body: Mapping[str, Any] | None = None
    stream: bool = False
    sys_prompt: str | None = None


def build_payload(config: GenerationConfig, prompt: str) -> bytes:
    """The JSON body of one request, in UTF-8.

    In completion mode `prompt` is sent as it is, already rendered by the template. Lone surrogates, which UTF-8
    cannot hold, are sent as JSON escapes.
    """
    payload: dict[str, Any] = {"model": config.model}
    if config.api_mode == "completion":
        payload["prompt"] = prompt
    else:
        system = [] if config.sys_prompt is None else [{"role": "system", "content": config.sys_prompt}]
        payload["messages"] = [*system, {"role": "user", "content": prompt}]
    payload["max_tokens"] = config.max_tokens
    payload["temperature"] = config.temperature
    chosen = {"top_p": config.top_p, "top_k": config.top_k, "min_p": config.min_p, "seed": config.seed}
    payload |= {name: value for name, value in chosen.items() if value is not None}
    if config.stop:
        payload["stop"] = config.stop
    if config.stream:
        payload |= {"stream": True, "stream_options": {"include_usage": True}}
    payload |= config.extra_body or {}
    return encode(payload)
