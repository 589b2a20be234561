"""What is allowed but probably unintended: parameters without effect, and what deserves a second look."""

from urllib.parse import urlsplit

from bootcamp_cli.settings.convert import duration_number, format_duration
from bootcamp_cli.settings.model import AUTO, parameters, sent_keys
from bootcamp_cli.settings.sources import Resolved

TOKENS_PER_S = 200
"""The rate of a fast server for one answer: a timeout too short for max_tokens at this rate cuts off long answers."""


def mode_warnings(resolved: Resolved, *, template_system_prompt: str | None = None) -> list[str]:
    """One line for each parameter that has no effect as things are, and for what is dangerous.

    What is odd about the sources is in `resolved.warnings`. `template_system_prompt` is the default system prompt
    of the chosen template, which chat mode uses.
    """
    return [
        *_of_the_data(resolved),
        *_of_the_mode(resolved, template_system_prompt),
        *_of_sampling(resolved),
        *_of_requests(resolved),
        *_of_tls(resolved),
    ]


def template_note(resolved: Resolved) -> str | None:
    """Which template completion mode uses if none was chosen."""
    settings = resolved.settings
    if settings.api_mode != "completion" or resolved.chosen("template"):
        return None
    return f"no template chosen: using {settings.template}"


def _of_the_data(resolved: Resolved) -> list[str]:
    if resolved.settings.sample is None and resolved.chosen("sample_seed"):
        return [f"{_place(resolved, 'sample_seed')}: no effect without sample"]
    return []


def _of_the_mode(resolved: Resolved, template_system_prompt: str | None) -> list[str]:
    settings = resolved.settings
    if settings.api_mode == "completion":
        place = _place(resolved, "sys_prompt")
        text = f"{place}: no effect in completion mode, where only the template decides on a system prompt"
        return [] if settings.sys_prompt is None else [text]
    if not resolved.chosen("template"):
        return []
    used = template_system_prompt is not None and settings.sys_prompt is None
    rest = "; only its default system prompt is used" if used else ""
    place = _place(resolved, "template")
    return [f"{place}: {settings.template} is not applied in chat mode, where the server has its own{rest}"]


def _of_sampling(resolved: Resolved) -> list[str]:
    settings = resolved.settings
    body = settings.extra_body or {}
    greedy = settings.temperature == 0 and "temperature" not in body
    names = [name for name in ("top_p", "top_k", "min_p") if greedy and getattr(settings, name) is not None]
    lines = [f"{_place(resolved, name)}: no effect at temperature 0" for name in names]
    lines += [f"{_place(resolved, 'omit')}: nothing is sent as {name}" for name in _unsent(resolved)]
    return lines + [
        f"{_place(resolved, 'extra_body')}: {parameter.param.sent_as} overrides the parameter {parameter.name}"
        for parameter in parameters()
        if parameter.param.sent_as in body
    ]


def _unsent(resolved: Resolved) -> list[str]:
    """What is left out although nothing is ever sent under that key."""
    settings = resolved.settings
    known = {*sent_keys(), settings.max_tokens_field}
    return [name for name in settings.omit if name not in known]


def _of_requests(resolved: Resolved) -> list[str]:
    settings = resolved.settings
    lines = []
    if not settings.stream and resolved.chosen("idle_timeout"):
        lines.append(f"{_place(resolved, 'idle_timeout')}: no effect without stream")
    needed_s = 0.0 if settings.max_tokens == AUTO else settings.max_tokens / TOKENS_PER_S
    if settings.timeout < needed_s:
        as_seconds = duration_number(settings.timeout, "ms")
        lines.append(
            f"{_place(resolved, 'timeout')}: {format_duration(settings.timeout)} is short: an answer of max_tokens "
            f"({settings.max_tokens}) takes {needed_s:.0f} s at {TOKENS_PER_S} tokens/s; a bare number is in "
            f"milliseconds, but the reference script reads the number as seconds (that would be {as_seconds}s)"
        )
    if settings.bootcamps == "builtin" and settings.bootcamps_path is not None:
        lines.append(f"{_place(resolved, 'bootcamps_path')}: no effect with bootcamps = builtin")
    return lines


def _of_tls(resolved: Resolved) -> list[str]:
    settings = resolved.settings
    plain = all(urlsplit(server.url).scheme == "http" for server in settings.servers)
    lines = []
    if settings.insecure:
        effect = (
            "no effect on an http URL"
            if plain
            else "the server's certificate is not verified: anyone in between can read and change what is sent"
        )
        lines.append(f"{_place(resolved, 'insecure')}: {effect}")
    if settings.ca_bundle is not None and (plain or settings.insecure):
        why = "on an http URL" if plain else "with insecure"
        lines.append(f"{_place(resolved, 'ca_bundle')}: no effect {why}")
    if settings.client_cert is not None and plain:
        lines.append(f"{_place(resolved, 'client_cert')}: no effect on an http URL")
    return lines


def _place(resolved: Resolved, name: str) -> str:
    origin = resolved.origins[name]
    return name if origin.kind == "default" else origin.text
