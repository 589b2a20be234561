"""Is the model there? Ask until it is, and request one short completion to see it work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import anyio

from bootcamp_cli.errors import KeyRefusedError, ServerUnavailableError, SettingsError, WrongModeError
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.diagnosis import api_elsewhere, diagnosed
from bootcamp_cli.server.endpoint import Endpoint, has_version
from bootcamp_cli.server.failures import AttemptFailed, has_no_list, is_keepable, is_refusal
from bootcamp_cli.settings.model import AUTO, MAX_TOKENS, ApiMode
from bootcamp_cli.text import one_line, shortened, shown_s
from bootcamp_cli.types import Answer

PROBE_PROMPT = "What is 2 + 2? Answer with a number."
"""What no server has a reason to refuse: short, and harmless in the eyes of any moderation."""

PROBE_MAX_TOKENS = 16
"""Length of the probe's answer."""

_MAX_NAMES = 10
_BOS_TIMEOUT_S = 60.0
_DOUBLED = 2
_OTHER_MODE: Mapping[ApiMode, ApiMode] = {"completion": "chat_completion", "chat_completion": "completion"}
_OTHER_MODE_TIMEOUT_S = 60.0
_UNKNOWN = "unknown"
_WRONG_VERSION = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
_WITHOUT_LIST = "--no-check-model-url goes on without the list"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as the server lists it.

    `context_length` is in tokens, None where the server does not tell it; `raw` is the whole entry where it is safe to
    keep. `listed` is False where no list tells whether the model is there, `answered` whether a completion did then.
    `endpoint` is the server that lists it, where several were asked.
    """

    name: str
    context_length: int | None = None
    raw: dict[str, Any] | None = field(default=None, repr=False)
    listed: bool = True
    answered: bool = False
    endpoint: Endpoint | None = field(default=None, repr=False)


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

    Without `model_name` the only listed model is taken. `notify` gets a line each time the model is not there. A server
    whose list is refused is asked for a short completion instead. Raises ServerUnavailableError when the time is up,
    and at once for what waiting cannot fix: a refused key or certificate, a redirect, a wrong protocol or path, a model
    that failed to load or is listed under a similar name. Raises SettingsError where a model name is needed.
    """
    endpoint = client.endpoint
    started = anyio.current_time()
    is_first = True
    while True:
        missing: str | None
        way_out = ""
        try:
            models = await client.models()
        except AttemptFailed as failure:
            missing, hint = failure.message, "check --url and that the server runs"
            await _refuse_wrong_path(client, failure, is_first=is_first)
            if has_no_list(failure):
                return _unlisted(endpoint, model_name, f"/models: {missing}", notify)
            if failure.scope == "run_stop" or _is_redirect(failure) or failure.status == _WRONG_VERSION:
                raise _stopped(endpoint, failure) from failure
            if is_refusal(failure):
                if (entry := await _despite_refused_list(client, model_name, failure, notify)) is not None:
                    return entry
            elif (found := await diagnosed(endpoint, failure)) is not None:
                raise ServerUnavailableError(found.problem, hint=found.hint) from failure
        else:
            if _lists_nothing_real(models, model_name):
                return _unlisted(endpoint, model_name, f" lists only {_names(endpoint, models)}", notify)
            entry = _find(endpoint, models, model_name)
            missing = _not_ready(entry) if entry else _missing(endpoint, models, model_name)
            if entry is not None and missing is None:
                _tell_of(entry, endpoint, notify, chosen=model_name is not None)
                return entry
            if entry is None and models:
                way_out = f" ({_WITHOUT_LIST})"
            hint = f"check --model-name; {_WITHOUT_LIST}"
        waited_s = anyio.current_time() - started
        if waited_s >= wait_s:
            what = f"{missing}; waited {shown_s(waited_s)}"
            raise _gave_up(endpoint, what, f"{hint}; --wait sets how long to wait")
        pause_s = min(poll_interval_s, wait_s - waited_s)
        left = shown_s(wait_s - waited_s)
        notify(
            f"{endpoint.base_url} is not ready: {missing}; asking again in {shown_s(pause_s)}, for {left} more{way_out}"
        )
        await anyio.sleep(pause_s)
        is_first = False


async def _refuse_wrong_path(client: CompletionClient, failure: AttemptFailed, *, is_first: bool) -> None:
    """Refuse a base URL without a model list where another one on the host has one; looked at once.

    Where there is a completion all the same, the server just has no list.

    Raises:
        ServerUnavailableError: the API is at another path.
    """
    url = client.endpoint.base_url
    is_page = failure.kind == "bad_response" and not has_version(url)
    if not is_first or (failure.status != HTTPStatus.NOT_FOUND and not is_page):
        return
    found = await api_elsewhere(client.endpoint)
    if found is None:
        return
    if client.config.model and has_no_list(failure):
        try:
            await probe(client, PROBE_PROMPT)
        except AttemptFailed as refusal:
            if not has_no_list(refusal):
                return
        else:
            return
    raise ServerUnavailableError(
        f"{url} is not the base URL of the API: {failure.message}; the server answers at {found}",
        hint=f"give --url {found}",
    ) from failure


async def wait_for_answer(
    client: CompletionClient, prompt: str, *, wait_s: float, poll_interval_s: float, notify: Callable[[str], None]
) -> None:
    """Ask for a short completion of a server whose list did not tell of the model, until there is some reply to it.

    A refusal is one, too: the run itself tells whether it is about the parameters.

    Raises:
        ServerUnavailableError: there is no such path, the key is refused, or the time is up.
    """
    url = client.endpoint.base_url
    started = anyio.current_time()
    while True:
        try:
            await probe(client, prompt)
        except AttemptFailed as failure:
            if failure.scope == "run_stop":
                raise _stopped(client.endpoint, failure) from failure
            if has_no_list(failure):
                await refuse_wrong_mode(client, failure)
                raise ServerUnavailableError(
                    f"{url} has neither a model list nor completions: {failure.message}",
                    hint="check --url: most base URLs end in /v1",
                ) from failure
            if is_refusal(failure):
                return
            waited_s = anyio.current_time() - started
            if waited_s >= wait_s:
                what = f"{failure.message}; waited {shown_s(waited_s)}"
                raise _gave_up(client.endpoint, what, "--wait sets how long to wait") from failure
            pause_s = min(poll_interval_s, wait_s - waited_s)
            notify(f"{url} is not ready: {failure.message}; asking again in {shown_s(pause_s)}")
            await anyio.sleep(pause_s)
        else:
            return


async def refuse_wrong_mode(client: CompletionClient, failure: AttemptFailed) -> None:
    """Refuse an api_mode whose path the server does not know, where it takes a short completion in the other one.

    Raises:
        WrongModeError: that is so.
    """
    config, other = client.config, _OTHER_MODE[client.config.api_mode]
    asking = CompletionClient(
        client.transport,
        replace(config, api_mode=other),
        timeout_s=min(client.timeout_s, _OTHER_MODE_TIMEOUT_S),
        idle_timeout_s=client.idle_timeout_s,
    )
    try:
        await probe(asking, PROBE_PROMPT)
    except AttemptFailed as refusal:
        if not is_refusal(refusal) or has_no_list(refusal):
            return
    raise WrongModeError(
        f"{client.endpoint.base_url} takes no requests of api_mode {config.api_mode} ({failure.message}), "
        f"but those of {other}",
        hint=f"give --api-mode {other}",
    ) from failure


async def probe(client: CompletionClient, prompt: str) -> ProbeResult:
    """Ask for one short completion. Raises AttemptFailed."""
    most = client.config.sent.get(MAX_TOKENS, PROBE_MAX_TOKENS)
    config = client.config.sending(**{MAX_TOKENS: PROBE_MAX_TOKENS if most == AUTO else min(most, PROBE_MAX_TOKENS)})
    short = CompletionClient(client.transport, config, timeout_s=client.timeout_s, idle_timeout_s=client.idle_timeout_s)
    started = anyio.current_time()
    answer = await short.complete(prompt)
    return ProbeResult(answer=answer, latency_s=anyio.current_time() - started)


async def _despite_refused_list(
    client: CompletionClient, model_name: str | None, failure: AttemptFailed, notify: Callable[[str], None]
) -> ModelEntry | None:
    """The model where the server refuses its list, but not a short completion; None where it may not be ready yet.

    A key may be for completions alone, a gateway know no list, and a wrong key be a 400: a completion tells them apart.

    Raises:
        ServerUnavailableError: the completion is refused, too.
        SettingsError: there is no name to ask with.
    """
    endpoint = client.endpoint
    if model_name is None:
        raise ServerUnavailableError(
            f"{endpoint.base_url}/models: {failure.message}",
            hint="give --model-name if the server only has no list, or the right key",
        ) from failure
    notify(f"{endpoint.base_url}/models: {failure.message}; asking for a short completion instead")
    try:
        await probe(client, PROBE_PROMPT)
    except AttemptFailed as refusal:
        if not is_refusal(refusal) and refusal.scope != "run_stop":
            return None
        other = "" if refusal.message == failure.message else f" (the completion: {refusal.message})"
        what = f"{endpoint.base_url} refuses its model list and a short completion: {failure.message}{other}"
        raise ServerUnavailableError(what, hint="see `bootcamp check-model --probe`") from refusal
    entry = _unlisted(endpoint, model_name, f"/models: {failure.message}; a short completion was answered", notify)
    return replace(entry, answered=True)


def _find(endpoint: Endpoint, models: list[dict[str, Any]], model_name: str | None) -> ModelEntry | None:
    """The entry of the model, or of the only one if no name is given; None where it is not there.

    Raises:
        SettingsError: there are several and no name is given.
        ServerUnavailableError: it is listed otherwise.
    """
    if model_name is None:
        if len(models) > 1:
            several = f"{endpoint.base_url} has several models: {_names(endpoint, models)}"
            raise SettingsError(f"model_name: {several}", hint="choose with --model-name")
        if not models:
            return None
        return _entry(endpoint, models[0], models[0]["id"], kept=())
    found_entry = next((entry for entry in models if entry["id"] == model_name), None)
    if found_entry is None:
        found_entry = next((entry for entry in models if _covers(entry["id"], model_name)), None)
    if found_entry is not None:
        return _entry(endpoint, found_entry, model_name, kept=(model_name,))
    if near := [entry for entry in models if is_near(model_name, entry["id"])]:
        name = one_line(model_name)
        raise ServerUnavailableError(
            f"{endpoint.base_url}: model {name} is not listed, but {_names(endpoint, near)} is",
            hint=f"give that as --model-name, or --no-check-model-url if the server takes {name} as well",
        )
    return None


def _entry(endpoint: Endpoint, listed: dict[str, Any], name: str, *, kept: tuple[str, ...]) -> ModelEntry:
    raw = endpoint.secrets.redacted(listed, keep=kept) if is_keepable(listed) else None
    return ModelEntry(name=name, context_length=context_length_of(listed), raw=raw)


def context_length_of(listed: Mapping[str, Any]) -> int | None:
    """The context length of a model in tokens, from its entry in the list; None where it does not tell.

    vLLM and SGLang call it `max_model_len`, llama.cpp `meta.n_ctx`, gateways `max_input_tokens`.
    """
    meta = listed.get("meta")
    of_meta = meta.get("n_ctx") if isinstance(meta, dict) else None
    told = (listed.get("max_model_len"), of_meta, listed.get("max_input_tokens"))
    return next((length for length in told if type(length) is int and length > 0), None)


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """What tells that an entry of the same name is of another model than ours; None where nothing does.

    Compared is what both tell: the model behind the name (vLLM's and SGLang's `root`), the context length, and of
    llama.cpp the size and the number of parameters.
    """
    for what, of in _TOLD_OF_MODEL.items():
        before, after = of(ours), of(theirs)
        if before is not None and after is not None and before != after:
            return f"its {what} is {_shown(after)}, not {_shown(before)}"
    return None


def _shown(value: object) -> str:
    return f"{value:,}" if type(value) is int else shortened(one_line(str(value)), 80)


def _of_meta(key: str) -> Callable[[Mapping[str, Any]], object]:
    def told(listed: Mapping[str, Any]) -> object:
        meta = listed.get("meta")
        return meta.get(key) if isinstance(meta, dict) else None

    return told


_TOLD_OF_MODEL: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "model": lambda listed: listed.get("root"),
    "context length": context_length_of,
    "number of parameters": _of_meta("n_params"),
    "size in bytes": _of_meta("size"),
}


def is_near(wanted: str, listed: str) -> bool:
    """Whether a model may be listed under another form of its name: prefix, tag or case differ.

    `models/x`, `openai/x`, `/path/x`, `x:latest` and `X` are near to `x`, and `x` to its adapter `x:a`.
    """
    bare, other = _bare(wanted), _bare(listed)
    return bool(other) and other in (bare, bare.partition(":")[0])


def _bare(name: str) -> str:
    return name.casefold().rstrip("/").rpartition("/")[2].removesuffix(":latest")


def _covers(listed: str, model_name: str) -> bool:
    """Whether an entry stands for all models whose names begin alike, as gateways list them: `openai/*`."""
    return listed.endswith("*") and model_name.startswith(listed[:-1])


def _lists_nothing_real(models: list[dict[str, Any]], model_name: str | None) -> bool:
    """Whether the list only holds stand-ins: a router's `unknown`, or patterns that do not cover the model."""
    names = [entry["id"] for entry in models]
    if model_name in names or any(_covers(name, model_name or "") for name in names if model_name):
        return False
    return bool(names) and all(name == _UNKNOWN or name.endswith("*") for name in names)


def _tell_of(entry: ModelEntry, endpoint: Endpoint, notify: Callable[[str], None], *, chosen: bool) -> None:
    """Say which model is used where the user did not, and that one is not loaded."""
    name = one_line(entry.name)
    if not chosen:
        notify(f"using model {name}, the only one at {endpoint.base_url}")
    status = (entry.raw or {}).get("status")
    if isinstance(status, dict) and status.get("value") == "unloaded":
        notify(f"model {name} is not loaded: the first request will take longer")


def _not_ready(entry: ModelEntry) -> str | None:
    """What keeps a listed model from answering, as llama.cpp's router tells it; it loads on request what is unloaded.

    Raises:
        ServerUnavailableError: it failed to load.
    """
    status = (entry.raw or {}).get("status")
    if not isinstance(status, dict):
        return None
    name = one_line(entry.name)
    if status.get("failed") is True:
        raise ServerUnavailableError(
            f"the server failed to load model {name} (exit code {one_line(str(status.get('exit_code')))})",
            hint="see its log, or give --no-check-model-url to let it try again with the first request",
        )
    return f"model {name} is loading" if status.get("value") == "loading" else None


async def doubles(client: CompletionClient, bos: str) -> bool:
    """Whether the server puts a begin-of-sentence token before a prompt that has one.

    The token is sent alone; two tokens of a prompt mean that there are two of it. False where that cannot be told.
    """
    config = client.config.sending(max_tokens=1)
    limit_s = min(client.timeout_s, _BOS_TIMEOUT_S)
    asking = CompletionClient(client.transport, config, timeout_s=limit_s, idle_timeout_s=client.idle_timeout_s)
    try:
        answer = await asking.complete(bos)
    except AttemptFailed:
        return False
    return (answer.usage or {}).get("prompt_tokens") == _DOUBLED


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


def _unlisted(endpoint: Endpoint, model_name: str | None, why: str, notify: Callable[[str], None]) -> ModelEntry:
    """A model of which no list tells whether it is there."""
    url = endpoint.base_url
    if model_name is None:
        raise SettingsError(f"model_name: {url} has no list of models to choose from", hint="give --model-name")
    base = "" if urlsplit(url).path.strip("/") else "; most base URLs end in /v1"
    notify(f"warning: {url}{why}; cannot tell whether model {one_line(model_name)} is there{base}")
    return ModelEntry(name=model_name, listed=False)


def _next_step(failure: AttemptFailed) -> str:
    """What to do about a failure that waiting cannot fix."""
    if failure.kind == "tls":
        return "check --url, or name the authority to trust with --ca-bundle"
    if _is_redirect(failure):
        return "give the URL to which it redirects with --url"
    if failure.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "check the proxy's user and password"
    return "check the key (--api-key or BOOTCAMP_API_KEY)"


def _stopped(endpoint: Endpoint, failure: AttemptFailed) -> ServerUnavailableError:
    """The error for a failure that waiting cannot fix."""
    error = _gave_up(endpoint, failure.message, _next_step(failure))
    refused = failure.status == HTTPStatus.UNAUTHORIZED
    return KeyRefusedError(error.message, hint=error.hint) if refused else error


def _gave_up(endpoint: Endpoint, missing: str, hint: str) -> ServerUnavailableError:
    url = endpoint.base_url
    return ServerUnavailableError(missing if url in missing else f"{url}: {missing}", hint=hint)
