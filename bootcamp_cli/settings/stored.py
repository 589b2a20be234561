"""eval_args.json: what a run was started with; `resume` reads it back and fills in what is masked."""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bootcamp_cli.errors import ResumeRefusedError, SettingsError
from bootcamp_cli.settings.array_job import with_shard_of
from bootcamp_cli.settings.convert import Base, convert, secrets_of, stored_value, test_data
from bootcamp_cli.settings.model import EndpointSettings, Kind, Parameter, Settings, is_omitted, parameters
from bootcamp_cli.settings.sources import (
    DEFAULT,
    OPENAI_KEY_VARIABLE,
    OPENAI_URL_VARIABLE,
    SERVERS,
    Origin,
    Resolved,
    Sources,
    default_value,
    load_settings,
    openai_key,
)
from bootcamp_cli.text import (
    MASK,
    MAX_VALUE_CHARS,
    NO_KEY,
    PORT,
    DataUrl,
    Secrets,
    is_secret_key,
    is_url,
    mask_command,
    mask_credentials,
    mask_mapping,
    shortened,
    shown_url,
)


def to_eval_args(settings: Settings) -> dict[str, Any]:
    """Every parameter under the guide's name, as JSON.

    `timeout` is in milliseconds, every other duration in seconds; paths are absolute; secrets - the API key, header
    values, credentials in URLs and in `serve`, the queries of those of test data, extra_body keys that look like
    secrets - are `***`; unset values are null, and so are those that `omit` keeps from being sent.
    """
    stored: dict[str, Any] = {
        parameter.name: None
        if is_omitted(settings, parameter)
        else stored_value(parameter, getattr(settings, parameter.name))
        for parameter in parameters()
    }
    if settings.serve is not None:  # the key of the run may stand anywhere in it
        stored["serve"] = Secrets.of(secrets_of(settings)).redact(stored["serve"])
    return stored


def masked_eval_args(data: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of an eval_args.json: secrets masked as `to_eval_args` does, whichever program wrote it.

    The reference script writes its key as it is.
    """
    kinds = {parameter.name: parameter.param.kind for parameter in parameters()}
    return {name: _masked(name, value, kinds.get(name)) for name, value in data.items()}


def _masked(name: str, value: Any, kind: Kind | None) -> Any:  # noqa: PLR0911 - one for each kind
    match kind, value:
        case "secret", str():
            return value if value == NO_KEY else MASK
        case "headers", Mapping():
            return dict.fromkeys(value, MASK)
        case "headers" | "endpoints", str():
            return MASK
        case "url" | None, str() if "://" in value:
            return _masked_text(value, mask_credentials, otherwise=shown_url)
        case "data", str() if is_url(value):
            return _masked_text(value, lambda url: str(DataUrl(url)), otherwise=shown_url)
        case "command", str():
            return _masked_text(value, mask_command, otherwise=lambda _: MASK)
        case "url" | "data", list():
            return [_masked(name, item, kind) for item in value]
        case "endpoints", list():
            return [_masked_endpoint(item) for item in value]
        case _:
            may_hold_more = kind in (None, "json") or isinstance(value, Mapping | list)
            return mask_mapping({name: value})[name] if may_hold_more else value


def _masked_endpoint(item: Any) -> Any:
    kinds: Mapping[str, Kind] = {"url": "url", "api_key": "secret", "headers": "headers"}
    if not isinstance(item, Mapping):
        return MASK
    return {key: _masked(key, value, kinds.get(key)) for key, value in item.items()}


def _masked_text(text: str, mask: Callable[[str], str], *, otherwise: Callable[[str], str]) -> str:
    """A text masked in one way, or in another where it is not what it should be."""
    try:
        return mask(text)
    except ValueError:
        return otherwise(text)


def settings_from_eval_args(
    data: Mapping[str, Any], *, place: str, sources: Sources, may_differ: Container[str] = ()
) -> Resolved:
    """The settings with which `resume` continues a run.

    `data` is the content of its eval_args.json, `place` that file's name in messages. Flags of the parameters that
    `may_differ` are taken whatever they decide.

    The file decides. Flags override what does not change the answers; whether they change the verifiers is not seen
    here. Environment and TOML only provide what the file masks: the API key, header values, extra_body values, and URLs
    that are the same but for credentials, those of test data also but for the query; a header or a key that the run did
    not have is not added. Unknown keys are ignored and missing ones take the default, as the reference script's file
    has only some of the keys. The templates, and what is about the process and not the run, are those of the current
    sources; so is the URL of a run that started its own server at a free port, as that was another one each time.

    Raises:
        ResumeRefusedError: a flag would change the answers; all of them are listed with both values.
        SettingsError: a wrong value, or masked ones that no source provides, all of them named.
    """
    current = load_settings(sources)
    if current.origins["shard"].kind == "flag":
        current = replace(current, settings=with_shard_of(sources.env, current.settings))
    base = Base(directory=sources.cwd)
    run = _Run(data=data, place=place, base=base)
    _refuse_other_answers(run, current, may_differ)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    missing: list[str] = []
    others = any(current.origins[name].kind == "flag" for name in SERVERS)
    for parameter in sorted(parameters(), key=lambda parameter: parameter.name not in SERVERS):
        name = parameter.name
        is_given = current.origins[name].kind == "flag" and not _is_open(parameter, getattr(current.settings, name))
        is_past = name == "url" and PORT in str(data.get("serve"))
        if is_given or is_past or parameter.param.of_process or (others and name in SERVERS):
            values[name], origins[name] = getattr(current.settings, name), current.origins[name]
            continue
        stored, unknown = _unmasked(parameter, data.get(name), current, env=sources.env, servers=values)
        missing += unknown
        values[name] = run.value(parameter, stored)
        is_default = values[name] == default_value(parameter, base)
        origins[name] = DEFAULT if is_default else Origin(kind="run", text=f"{place}: {name}")
        if parameter.param.kind == "secret" and data.get(name) == MASK:
            used = current.chosen(name)
            origins[name] = current.origins[name] if used else Origin(kind="environment", text=OPENAI_KEY_VARIABLE)
    if missing:
        raise SettingsError(
            f"{place}: only masks are stored for {', '.join(missing)}",
            hint="give them as for the first run: by flag, environment, TOML or keyword argument",
        )
    return Resolved(
        settings=Settings(**values),
        origins=origins,
        templates=current.templates,
        warnings=current.warnings,
        unused_key=current.unused_key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The content of an eval_args.json, how messages name it, and what its relative paths are relative to."""

    data: Mapping[str, Any] = field(repr=False)
    place: str
    base: Base

    def value(self, parameter: Parameter, stored: Any) -> Any:
        """A stored JSON value converted; null and a missing key are the default."""
        if stored is None:
            return default_value(parameter, self.base)
        if parameter.param.kind == "prompt" and isinstance(stored, str) and stored.startswith("@"):
            stored = f"@{stored}"
        return convert(parameter, stored, f"{self.place}: {parameter.name}", base=self.base)


def _refuse_other_answers(run: _Run, current: Resolved, may_differ: Container[str]) -> None:
    refused = []
    for parameter in parameters():
        if parameter.name in may_differ:
            continue
        if parameter.param.decides != "answers" or current.origins[parameter.name].kind != "flag":
            continue
        before = stored_value(parameter, run.value(parameter, run.data.get(parameter.name)))
        after = stored_value(parameter, getattr(current.settings, parameter.name))
        if _is_open(parameter, after):
            continue
        if _is_open(parameter, before):
            before = parameter.param.settled
        if before != after:
            refused.append(f"{parameter.flag}: the run has {_shown(before)}, not {_shown(after)}")
    if refused:
        raise ResumeRefusedError(
            "; ".join(refused), hint="leave it out to continue the run, or start a new run with `bootcamp eval`"
        )


def _is_open(parameter: Parameter, value: object) -> bool:
    """Whether a value leaves to the run what it is."""
    return parameter.param.settled is not None and value == parameter.default


def _shown(stored: Any) -> str:
    return "none" if stored is None else shortened(json.dumps(stored, ensure_ascii=False).strip('"'), MAX_VALUE_CHARS)


def _unmasked(  # noqa: PLR0911 - one for each kind
    parameter: Parameter, stored: Any, current: Resolved, *, env: Mapping[str, str], servers: Mapping[str, Any]
) -> tuple[Any, list[str]]:
    """The stored JSON value with its masks replaced, and the names of the masks for which there is no value.

    `servers` says where the resumed run finds its servers: it decides whether `OPENAI_API_KEY` is used.
    """
    have = getattr(current.settings, parameter.name)
    match parameter.param.kind:
        case "secret" if stored == MASK:
            asked = Settings(**{name: value for name, value in servers.items() if name in SERVERS})
            key = _key(current, env, asked)
            return (key, []) if key is not None else (stored, [parameter.name])
        case "url" if stored is not None and MASK in str(stored):
            same = stored_value(parameter, have) == stored
            return (have, []) if same else (stored, [f"{parameter.name} (its credentials)"])
        case "data":
            return _places(stored, test_data(current.settings), parameter.name)
        case "endpoints" if isinstance(stored, list):
            return _endpoints(stored, stored_value(parameter, have), have)
        case "headers" if isinstance(stored, Mapping):
            return _headers(stored, have or {})
        case "json":
            missing: list[str] = []
            return _body(stored, have, parameter.name, missing, secret=False), missing
        case _:
            return stored, []


def _endpoints(stored: list[Any], shown: list[Any], have: Sequence[EndpointSettings]) -> tuple[list[Any], list[str]]:
    """Each endpoint that holds masks as a source now has it, which must be the same but for what is masked."""
    filled: list[Any] = []
    missing: list[str] = []
    for number, item in enumerate(stored, start=1):
        if MASK not in json.dumps(item):
            filled.append(item)
        elif item in shown:
            filled.append(have[shown.index(item)])
        else:
            filled.append(item)
            missing.append(f"endpoints: {number}")
    return filled, missing


def _key(current: Resolved, env: Mapping[str, str], asked: Settings) -> str | None:
    """A key given for this tool; else `OPENAI_API_KEY` where it belongs to the URL."""
    if current.chosen("api_key") and current.origins["api_key"].text != OPENAI_KEY_VARIABLE:
        return current.settings.api_key.reveal()
    raw = openai_key(env, asked, from_openai=env.get(OPENAI_URL_VARIABLE, "").strip().rstrip("/") == asked.url)
    return None if raw is None else str(raw.value)


def _places(stored: Any, have: Iterable[object], name: str) -> tuple[Any, list[str]]:
    """The stored paths and URLs, each masked one replaced by what has its place."""
    known = {str(place): place.reveal() for place in have if isinstance(place, DataUrl)}
    several = stored if isinstance(stored, list) else [stored]
    masked = [place for place in several if isinstance(place, str) and is_url(place) and MASK in place]
    filled = [known.get(place, place) if place in masked else place for place in several]
    missing = [f"{name} (the credentials or the query of {place})" for place in masked if place not in known]
    return (filled if isinstance(stored, list) else filled[0]), missing


def _headers(stored: Mapping[str, Any], have: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    by_name = {name.lower(): value for name, value in have.items()}
    filled = {name: by_name.get(name.lower(), MASK) if value == MASK else value for name, value in stored.items()}
    missing = [name for name, value in stored.items() if value == MASK and name.lower() not in by_name]
    return filled, [f"headers: {name}" for name in missing]


def _body(stored: Any, have: Any, where: str, missing: list[str], *, secret: bool) -> Any:
    if isinstance(stored, Mapping):
        known = have if isinstance(have, Mapping) else {}
        return {
            key: _body(child, known.get(key), f"{where}.{key}", missing, secret=secret or is_secret_key(key))
            for key, child in stored.items()
        }
    if isinstance(stored, list):
        items = have if isinstance(have, list) and len(have) == len(stored) else [None] * len(stored)
        return [_body(child, item, where, missing, secret=secret) for child, item in zip(stored, items, strict=True)]
    if not secret or stored != MASK:
        return stored
    if not isinstance(have, str | int | float):
        missing.append(where.replace(".", ": ", 1))
        return stored
    return have
