"""All templates: the built-in ones as data, and the user's `[templates.NAME]` tables.

r1 and deepseek_v3 use the fullwidth bar U+FF5C and the lower one eighth block U+2581, as DeepSeek's tokens do.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.templates.template import Template

_INTERNTHINKER_SYSTEM_PROMPT = (
    "You are an expert reasoner with extensive experience in mathematical and code competitions. "
    "You approach problems through systematic thinking and rigorous reasoning. "
    "Your response should reflect deep understanding and precise logical thinking, "
    "making your solution path and reasoning clear to others. "
    "Please put your thinking process within <think>...</think> tags."
)
_INTERNBOOTCAMP_SYSTEM_PROMPT = (
    "You are an expert reasoner with extensive experience in mathematical and code competitions. "
    "You approach problems through systematic thinking and rigorous reasoning. "
    "Your response should reflect deep understanding and precise logical thinking, making your solution "
    "path and reasoning clear to others. "
    "Please put your thinking process within <think>...</think> tags. "
    "After careful thought, present your final solution or answer clearly."
)
_INTERNBOOTCAMP_V2_SYSTEM_PROMPT = (
    "You are a helpful assistant, skilled at solving various complex reasoning problems. "
    "When faced with any user questions, please first conduct a detailed thinking process, similar to "
    "drafting, where you can freely analyze problem-solving strategies and verify the correctness of "
    "your thought process. "
    "Please put your thinking process within <think> and </think> tags. "
    "After completing the thinking process, provide the user with a detailed response. "
    'Please note that the response accessible to the user will start after "</think>", so ensure that '
    "detailed chain-of-thought solution steps should be provided after the </think> tag."
)
_QWEN_SYSTEM_PROMPT = "You are a helpful assistant."

_DEEPSEEK_BOS = "<｜begin▁of▁sentence｜>"
_DEEPSEEK = f"{_DEEPSEEK_BOS}<｜User｜>{{input}}<｜Assistant｜>"
_DEEPSEEK_STOP = ("<｜end▁of▁sentence｜>",)
_CHATML = "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n"
_CHATML_STOP = ("<|im_end|>", "<|endoftext|>")


def _with_system_message(name: str, system_prompt: str) -> Template:
    """A ChatML template that begins with a system prompt."""
    text = f"<|im_start|>system\n{system_prompt}<|im_end|>\n{_CHATML}"
    return Template(name=name, text=text, stop=_CHATML_STOP, system_prompt=system_prompt)


BUILTIN_TEMPLATES: tuple[Template, ...] = (
    Template(name="r1", text=f"{_DEEPSEEK}<think>\n", stop=_DEEPSEEK_STOP, bos=_DEEPSEEK_BOS),
    _with_system_message("qwen", _QWEN_SYSTEM_PROMPT),
    _with_system_message("internthinker", _INTERNTHINKER_SYSTEM_PROMPT),
    _with_system_message("internbootcamp", _INTERNBOOTCAMP_SYSTEM_PROMPT),
    _with_system_message("internbootcamp_v2", _INTERNBOOTCAMP_V2_SYSTEM_PROMPT),
    Template(name="chatml", text=_CHATML, stop=_CHATML_STOP),
    Template(name="deepseek_v3", text=_DEEPSEEK, stop=_DEEPSEEK_STOP, bos=_DEEPSEEK_BOS),
    Template(name="qwq", text=f"{_CHATML}<think>\n", stop=_CHATML_STOP),
)

KEYS = ("text", "stop", "system_prompt", "bos")
_OTHER_WORDS = {
    "chat_template": "text",
    "template": "text",
    "prompt": "text",
    "stop_words": "stop",
    "stops": "stop",
    "sys_prompt": "system_prompt",
    "system": "system_prompt",
    "bos_token": "bos",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def template_catalog(user: Mapping[str, tuple[Mapping[str, Any], str]]) -> dict[str, Template]:
    """The templates by name, the built-in ones first.

    `user` has the raw tables, each with its place (`./bootcamp.toml: templates.mine`). Their keys are `text` (with
    `{input}` once, required), `stop` (a string or a list), `system_prompt` and `bos` (what the text begins
    with). A table may replace a built-in template.

    Raises:
        SettingsError: a table has an unknown key, lacks its text or holds a wrong type; the message names the place.
    """
    catalog = {template.name: template for template in BUILTIN_TEMPLATES}
    for name, (table, place) in user.items():
        catalog[name] = _template(name, table, place, replaces=name in catalog)
    return catalog


def choose(catalog: Mapping[str, Template], name: str, place: str) -> Template:
    """The template with this name; `place` (`--template`) begins the message about an unknown one."""
    if name in catalog:
        return catalog[name]
    guess = _nearest(name, catalog)
    known = f"known are {', '.join(catalog)}"
    raise SettingsError(
        f"{place}: unknown template {name!r}", hint=f"did you mean {guess}? {known}" if guess else known
    )


def _template(name: str, table: Mapping[str, Any], place: str, *, replaces: bool) -> Template:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{place}: a template's name consists of letters, digits, dots, dashes and underscores")
    for key in table:
        if key not in KEYS:
            guess = _OTHER_WORDS.get(key.lower().replace("-", "_")) or _nearest(key, KEYS)
            known = f"a template has {', '.join(KEYS)}"
            raise SettingsError(
                f"{place}.{key}: unknown key", hint=f"did you mean {guess}? {known}" if guess else known
            )
    text = table.get("text")
    if not isinstance(text, str):
        raise SettingsError(f"{place}.text: must be a string that contains {{input}}")
    system_prompt = table.get("system_prompt")
    if not isinstance(system_prompt, str | None):
        raise SettingsError(f"{place}.system_prompt: must be a string")
    bos = table.get("bos", "")
    if not isinstance(bos, str):
        raise SettingsError(f"{place}.bos: must be a string")
    origin = f"{place} (replaces the built-in)" if replaces else place
    return Template(
        name=name,
        text=text,
        stop=_stop(table.get("stop", []), place),
        system_prompt=system_prompt,
        bos=bos,
        origin=origin,
    )


def _stop(value: Any, place: str) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise SettingsError(f"{place}.stop: must be a string or a list of strings, none of them empty")
    return tuple(words)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    import difflib  # noqa: PLC0415 - only a wrong name needs it

    found = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return found[0] if found else None
