"""Is the model there? Ask until it is, and request one short completion to see it work."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import anyio

from bootcamp_cli.errors import ServerUnavailableError, SettingsError
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.endpoint import Endpoint
from bootcamp_cli.server.failures import AttemptFailed, is_keepable
from bootcamp_cli.settings.model import MAX_TOKENS
from bootcamp_cli.text import one_line, shortened, shown_s
from bootcamp_cli.types import Answer

PROBE_PROMPT = "What is 2 + 2? Answer with a number."
"""What no server has a reason to refuse: short, and harmless in the eyes of any moderation."""

PROBE_MAX_TOKENS = 16
"""Length of the probe's answer."""

_MAX_NAMES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as the server lists it.

    `max_model_len` is the context length in tokens where the server tells it, `raw` the whole entry where it is safe to
    keep. `listed` is False where the server has no model list to ask.
    """

    name: str
    max_model_len: int | None = None
    raw: dict[str, Any] | None = field(default=None, repr=False)
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The answer to the probe and the time it took, in seconds."""

    answer: Answer
    latency_s: float


async def wait_for_model(
    client: CompletionClient,
    model_name: str | None,
    *,
    wait_s: float,
    poll_interval_s: float,
    notify: Callable[[str], None],
) -> ModelEntry:
    """Request the model list every `poll_interval_s` until it has `model_name`, for at most `wait_s` seconds.

    Without `model_name` the only listed model is taken. `notify` gets a line each time the model is not there. Raises
    ServerUnavailableError when the time is up, and at once for what waiting cannot fix: a refused key or certificate, a
    forbidden list, a redirect. Raises SettingsError where a model name is needed.
    """
    url = client.endpoint.base_url
    started = anyio.current_time()
    while True:
        try:
            models = await client.models()
        except AttemptFailed as failure:
            if failure.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                return _unlisted(url, model_name, failure, notify)
            if failure.scope == "run_stop" or failure.status == HTTPStatus.FORBIDDEN or _is_redirect(failure):
                raise _gave_up(url, failure.message, _next_step(failure)) from failure
            missing, hint = failure.message, "check --url and that the server runs"
        else:
            entry = _find(client.endpoint, models, model_name)
            if entry is not None:
                if model_name is None:
                    notify(f"using model {one_line(entry.name)}, the only one at {url}")
                return entry
            missing, hint = _missing(client.endpoint, models, model_name), "check --model-name"
        waited_s = anyio.current_time() - started
        if waited_s >= wait_s:
            raise _gave_up(url, f"{missing}; waited {shown_s(waited_s)}", f"{hint}; --wait sets how long to wait")
        pause_s = min(poll_interval_s, wait_s - waited_s)
        notify(
            f"{url} is not ready: {missing}; asking again in {shown_s(pause_s)}, for {shown_s(wait_s - waited_s)} more"
        )
        await anyio.sleep(pause_s)


async def probe(client: CompletionClient, prompt: str) -> ProbeResult:
    """Ask for one short completion. Raises AttemptFailed."""
    own = client.config.sent.get(MAX_TOKENS, PROBE_MAX_TOKENS)
    config = client.config.sending(**{MAX_TOKENS: min(own, PROBE_MAX_TOKENS)})
    short = CompletionClient(client.transport, config, timeout_s=client.timeout_s, idle_timeout_s=client.idle_timeout_s)
    started = anyio.current_time()
    answer = await short.complete(prompt)
    return ProbeResult(answer=answer, latency_s=anyio.current_time() - started)


def _find(endpoint: Endpoint, models: list[dict[str, Any]], model_name: str | None) -> ModelEntry | None:
    """The entry of the model, or of the only one if no name is given."""
    if model_name is None and len(models) > 1:
        several = f"{endpoint.base_url} has several models: {_names(endpoint, models)}"
        raise SettingsError(f"model_name: {several}", hint="choose with --model-name")
    for entry in models:
        if model_name in (None, entry["id"]):
            length = entry.get("max_model_len")
            is_length = type(length) is int and length > 0
            kept = () if model_name is None else (model_name,)
            raw = endpoint.secrets.redacted(entry, keep=kept) if is_keepable(entry) else None
            return ModelEntry(name=entry["id"], max_model_len=length if is_length else None, raw=raw)
    return None


def _is_redirect(failure: AttemptFailed) -> bool:
    return failure.status is not None and failure.status // 100 == 3


def _missing(endpoint: Endpoint, models: list[dict[str, Any]], model_name: str | None) -> str:
    if model_name is None or not models:
        return "no model is listed"
    return f"model {one_line(model_name)} is not listed, only {_names(endpoint, models)}"


def _names(endpoint: Endpoint, models: list[dict[str, Any]]) -> str:
    names = [shortened(one_line(entry["id"]), 80) for entry in models[:_MAX_NAMES]]
    more = len(models) - len(names)
    return endpoint.secrets.redact(", ".join(names)) + (f" and {more} more" if more else "")


def _unlisted(url: str, model_name: str | None, failure: AttemptFailed, notify: Callable[[str], None]) -> ModelEntry:
    if model_name is None:
        raise SettingsError(f"model_name: {url} has no list of models to choose from", hint="give --model-name")
    base = "" if urlsplit(url).path.strip("/") else "; most base URLs end in /v1"
    notify(f"warning: {url}/models: {failure.message}; cannot tell whether model {one_line(model_name)} is there{base}")
    return ModelEntry(name=model_name, listed=False)


def _next_step(failure: AttemptFailed) -> str:
    """What to do about a failure that waiting cannot fix."""
    if failure.kind == "tls":
        return "check --url, or name the authority to trust with --ca-bundle"
    if _is_redirect(failure):
        return "give the URL to which it redirects with --url"
    if failure.status == HTTPStatus.FORBIDDEN:
        return "check the key (--api-key or BOOTCAMP_API_KEY), or start without asking with --no-check-model-url"
    return "check the key (--api-key or BOOTCAMP_API_KEY)"


def _gave_up(url: str, missing: str, hint: str) -> ServerUnavailableError:
    return ServerUnavailableError(missing if url in missing else f"{url}: {missing}", hint=hint)
