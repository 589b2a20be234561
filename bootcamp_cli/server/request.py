"""The body of a request, from the parameters that are sent and the prompt; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bootcamp_cli.settings.model import AUTO, MAX_TOKENS, STREAM_OPTIONS, ApiMode, parameters
from bootcamp_cli.types import encode

_BYTES_PER_TOKEN = 3
"""Of English text it is four, of digits one: a guess that is too small costs a refusal, one too large costs room."""

_OVERHEAD_TOKENS = 64
"""What a chat template puts around a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """What decides an answer besides the prompt.

    `sent` has the values of the body by key, including the model; what it lacks is left to the server, and its `stop`
    combines the template's and the user's stop words. `omit` names keys that are not sent; they are taken out of
    `sent`. `max_tokens_field` is the key that holds `max_tokens`. `extra_body` is merged into the top level of the body
    last, and wins; a null in it leaves the key out. `sys_prompt` is the system message of chat mode. `context_length`
    is that of the model, in tokens: where `max_tokens` is auto, each request is sent what its prompt leaves of it.

    Everything in the body but the prompt is encoded once, here. With `seed` among `sent`, repeat r is sent seed + r.
    """

    api_mode: ApiMode
    sent: Mapping[str, Any]
    extra_body: Mapping[str, Any] | None = None
    sys_prompt: str | None = None
    max_tokens_field: str = MAX_TOKENS
    omit: tuple[str, ...] = ()
    context_length: int | None = None
    _before_messages: bytes = field(init=False, repr=False, compare=False)
    _before_prompt: bytes = field(init=False, repr=False, compare=False)
    _after_prompt: bytes = field(init=False, repr=False, compare=False)
    _of_repeats: dict[int, bytes] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        omitted = {*self.omit, MAX_TOKENS} if self.max_tokens_field in self.omit else {*self.omit}
        if omitted.intersection(self.sent):
            object.__setattr__(self, "sent", {key: self.sent[key] for key in self.sent if key not in omitted})
        before = b'{"model":' + encode(self.model)
        if self.api_mode == "completion":
            before += b',"prompt":'
        else:
            system = {"role": "system", "content": self.sys_prompt}
            object.__setattr__(self, "_before_messages", before + b',"messages":')
            before += b',"messages":[' + (b"" if self.sys_prompt is None else encode(system) + b",")
            before += b'{"role":"user","content":'
        object.__setattr__(self, "_before_prompt", before)
        object.__setattr__(self, "_after_prompt", self._encoded_rest(0))

    @property
    def model(self) -> str:
        """The requested model; empty while it is not known."""
        return str(self.sent.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether server-sent events are requested."""
        return bool(self.sent.get("stream"))

    def sending(self, **values: Any) -> "GenerationConfig":
        """The same configuration with these values of the body replaced."""
        return replace(self, sent={**self.sent, **values})

    def unstreamed(self) -> "GenerationConfig":
        """The same configuration for whole replies."""
        return self if not self.stream else replace(self, omit=(*self.omit, "stream"))

    def room(self, prompt: str, messages: bytes | None = None) -> int | None:
        """About how many tokens the context leaves for an answer; None where `max_tokens` is a number.

        Where there are `messages`, these are sent. The same prompt always gets the same number. Where it is too large,
        the server says what the right one is.
        """
        if self.sent.get("max_tokens") != AUTO or "max_tokens" in (self.extra_body or {}):
            return None
        if messages is None:
            n_bytes = len(prompt.encode("utf-8", "surrogatepass")) + len((self.sys_prompt or "").encode())
        else:
            n_bytes = len(messages)
        return max(1, (self.context_length or 0) - n_bytes // _BYTES_PER_TOKEN - _OVERHEAD_TOKENS)

    def body(
        self, prompt: str, repeat: int = 0, *, max_tokens: int | None = None, messages: bytes | None = None
    ) -> bytes:
        """The JSON body of the request for one repeat of a question, in UTF-8.

        In completion mode `prompt` is sent as it is, already rendered by the template. Lone surrogates, which UTF-8
        cannot hold, are sent as JSON escapes. `max_tokens` is this request's own. In chat mode, `messages` (a list as
        JSON) are sent as they are, in place of the prompt and without the system prompt.
        """
        after = self._after_prompt
        if max_tokens is not None:
            after = self._encoded_rest(repeat, max_tokens)
        elif repeat and "seed" in self.sent:
            after = self._of_repeats.get(repeat) or self._of_repeats.setdefault(repeat, self._encoded_rest(repeat))
        if messages is not None:
            return b"".join((self._before_messages, messages, after.removeprefix(_END_OF_CHAT)))
        return b"".join((self._before_prompt, encode(prompt), after))

    def _encoded_rest(self, repeat: int, max_tokens: int | None = None) -> bytes:
        """What follows the prompt in the body."""
        rest = {
            self.max_tokens_field if key == MAX_TOKENS else key: value
            for key, value in self.sent.items()
            if key != "model"
        }
        if max_tokens is not None:
            rest[self.max_tokens_field] = max_tokens
        if "seed" in rest:
            rest["seed"] += repeat
        if self.stream and STREAM_OPTIONS not in self.omit:
            rest[STREAM_OPTIONS] = {"include_usage": True}
        extra = self.extra_body or {}
        rest = {key: value for key, value in {**rest, **extra}.items() if value is not None or key not in extra}
        end = b"" if self.api_mode == "completion" else _END_OF_CHAT
        return end + (b"," + encode(rest)[1:] if rest else b"}")


def estimated_tokens(text: str | bytes) -> int:
    """About how many tokens a prompt has that no server counted: of English text, four bytes make one."""
    return -(-len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")) // 4)


_END_OF_CHAT = b"}]"
"""What ends the user's message and the list of messages."""


def way_around(words: str) -> str | None:
    """The flag that keeps a server from refusing requests for a parameter that its words name; None where they do not.

    A key that is a common word counts only in quotes or brackets.
    """
    for parameter in parameters():
        key = parameter.param.sent_as
        if key is None or key == "model" or not _names_key(words, key):
            continue
        if key != MAX_TOKENS:
            return f"another {parameter.flag}, or --omit {key}"
        if _NOT_KNOWN.search(words) is None:
            return f"another {parameter.flag}"
        renamed = "max_completion_tokens"
        return f"--max-tokens-field {renamed}" if renamed in words else f"--omit {key}"
    return f"--omit {STREAM_OPTIONS}" if _names_key(words, STREAM_OPTIONS) else None


_NOT_KNOWN = re.compile(
    r"support|permitted|instead|unrecogni|unknown|unexpected|allowed|extra inputs|no such|additional", re.IGNORECASE
)
"""How a server says that it does not take a parameter at all, whatever its value."""


def _names_key(words: str, key: str) -> bool:
    if "_" in key or key == "temperature":
        return re.search(rf"(?<![A-Za-z_]){key}(?![A-Za-z_])", words) is not None
    return re.search(rf"""['"`]{key}['"`]""", words) is not None
