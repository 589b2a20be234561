"""Values of parameters: from the text of a flag, variable, TOML or JSON key to the value, and back to shown text.

Durations are written `90s`, `10m`, `1h30m`, `250ms`, or as a bare number in the parameter's own unit.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.model import BareUnit, EndpointSettings, Parameter, Settings, parameters
from bootcamp_cli.text import (
    MASK,
    MAX_VALUE_CHARS,
    NO_KEY,
    DataUrl,
    Secret,
    command_secrets,
    command_words,
    is_url,
    mask_command,
    mask_credentials,
    mask_mapping,
    secret_texts,
    shortened,
    shown_url,
    visible,
)
from bootcamp_cli.types import MAX_SHARDS, Shard, parse_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the paths of a source are relative to: its directory, and `~` if `home` is known.

    `confined`: a file that the source names must lie inside `directory`, symlinks resolved.
    """

    directory: Path
    home: Path | None = None
    confined: bool = False


WORKING_DIRECTORY = Base(directory=Path())


class WrongValueError(ValueError):
    """A value is not accepted; the text completes "must ..." and shows nothing secret."""

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.hint = hint


def convert(parameter: Parameter, raw: object, place: str, *, base: Base = WORKING_DIRECTORY) -> Any:
    """The value of a parameter.

    `raw` is a string from a flag or variable, a sequence of strings from a repeated flag, or a native TOML or JSON
    value. `place` names its source (`--max-tokens`, `bootcamp.toml: max_tokens`) and begins every message.

    Raises:
        SettingsError: `raw` is not a value of this parameter.
    """
    try:
        value = _value(parameter, raw, base)
        _refuse_forbidden(parameter, value)
        return value  # noqa: TRY300 - both may raise
    except WrongValueError as error:
        raise SettingsError(visible(f"{place}: must {error}"), hint=error.hint) from None


def _refuse_forbidden(parameter: Parameter, value: Any) -> None:
    for word in value if isinstance(value, tuple) else (value,):
        if word in parameter.param.forbidden:
            raise WrongValueError(f"not be {word}: that is a key of its own in every request")


def argument_value(parameter: Parameter, value: object) -> Any:  # noqa: PLR0911 - one for each kind
    """The value of a keyword argument of `Settings`: text as on the command line, all else as `Settings` holds it.

    A system prompt is taken as it is, and a number that is a duration is in seconds.

    Raises:
        SettingsError: it is not a value of this parameter.
    """
    place = f"Settings: {parameter.name}"
    if value is None and parameter.optional:
        return None
    try:
        if parameter.param.several and isinstance(value, list | tuple):
            return _one_or_all([argument_value(parameter, _single(item)) for item in value])
        match parameter.param.kind, value:
            case "prompt", str():
                return value
            case "secret", Secret():
                return value
            case "data", DataUrl():
                return checked_data_url(value.reveal())
            case "data", str() if is_url(value):
                return checked_data_url(value)
            case "path" | "data", Path():
                return _local(value)
            case "path" | "data", str():
                return _expanded(value) if value.strip() and not is_url(value) else _path(value, WORKING_DIRECTORY)
            case "duration", int() | float() if not isinstance(value, bool):
                return _seconds(parameter, _float(value), value)
    except WrongValueError as error:
        raise SettingsError(visible(f"{place}: must {error}"), hint=error.hint) from None
    return convert(parameter, value, place)


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home directory is known, or no such user
        return Path(path)


def stored_value(parameter: Parameter, value: Any) -> Any:  # noqa: PLR0911, PLR0912 - one for each kind
    """The value as JSON, for eval_args.json and `--json`: durations as bare numbers, paths absolute, secrets masked."""
    if value is None:
        return None
    if parameter.param.several and isinstance(value, tuple):
        return [stored_value(parameter, item) for item in value]
    match parameter.param.kind:
        case "secret":
            return value.reveal() if value.is_placeholder else MASK
        case "url":
            return mask_credentials(value)
        case "command":
            return mask_command(value)
        case "headers":
            return dict.fromkeys(value, MASK)
        case "json":
            return mask_mapping(value)
        case "duration":
            return duration_number(value, parameter.bare_unit)
        case "data" if isinstance(value, DataUrl):
            return str(value)
        case "path" | "data":
            return str(Path(value).absolute())
        case "words" | "globs":
            return list(value)
        case "shard":
            return str(value)
        case "endpoints":
            return [_stored_endpoint(item) for item in value]
        case "text" | "prompt" | "integer" | "number" | "switch" | "choice":
            return value


def _stored_endpoint(item: EndpointSettings) -> dict[str, Any]:
    """The keys that an endpoint sets, as JSON with its secrets masked."""
    key, headers = item.api_key, item.headers
    stored = {
        "url": mask_credentials(item.url),
        "api_key": None if key is None else key.reveal() if key.is_placeholder else MASK,
        "headers": None if headers is None else dict.fromkeys(headers, MASK),
        "max_concurrent_requests": item.max_concurrent_requests,
        "data_parallel_ranks": item.data_parallel_ranks,
    }
    return {name: value for name, value in stored.items() if value is not None}


def shown_argument(parameter: Parameter, value: Any) -> Any:
    """The value as a keyword argument of `Settings` would give it: as stored, but every duration in seconds."""
    if parameter.param.kind == "duration" and value is not None:
        return duration_number(value, "s")
    return stored_value(parameter, value)


def shown_value(parameter: Parameter, value: Any) -> str:  # noqa: PLR0911 - as above
    """The value for people, in one line without control characters, secrets masked; `none` where it is not set."""
    stored = stored_value(parameter, value)
    if stored is None or stored == []:
        return "none"
    if parameter.param.several and isinstance(value, tuple):
        return ", ".join(shown_value(parameter, item) for item in value)
    match parameter.param.kind:
        case "duration":
            return format_duration(value)
        case "switch":
            return "true" if value else "false"
        case "json" | "headers" | "words" | "globs" | "endpoints":
            return visible(json.dumps(stored, ensure_ascii=False))
        case "prompt":
            return shortened(stored, MAX_VALUE_CHARS)
        case "path" | "data":
            return visible(str(value))
        case "number":
            return f"{value:g}"
        case "command":
            return visible(stored)
        case "text" | "url" | "secret" | "integer" | "choice" | "shard":
            return f"{stored} {parameter.param.unit}".rstrip() if parameter.param.unit else str(stored)


def shown_servers(settings: Settings) -> list[str]:
    """Where requests go, for people: URLs without credentials and query, or the file that has them."""
    if settings.url_file is not None:
        return [visible(str(settings.url_file))]
    return [mask_credentials(server.url).partition("?")[0] for server in settings.servers]


def default_text(parameter: Parameter) -> str:
    """The default in words, as help and README show it."""
    return parameter.param.default_text or shown_value(parameter, parameter.default)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every text of the settings that no file and no message may show."""
    found = secret_texts(api_key=settings.api_key.reveal(), headers=settings.headers, body=settings.extra_body)
    for item in settings.servers:
        key = "" if item.api_key is None else item.api_key.reveal()
        found += secret_texts(url=item.url, api_key=key, headers=item.headers)
    urls = (place for place in test_data(settings) if isinstance(place, DataUrl))
    of_command = command_secrets(settings.serve) if settings.serve else ()
    return tuple(dict.fromkeys((*found, *of_command, *(text for url in urls for text in url.secrets))))


def test_data(settings: Settings) -> tuple[Path | DataUrl, ...]:
    """Where the test data is, one place or several."""
    match settings.test_dir:
        case None:
            return ()
        case tuple() as several:
            return several
        case single:
            return (single,)


test_data.__test__ = False  # type: ignore[attr-defined] # not a test, despite its name


def shown_names(settings: Settings) -> tuple[str, ...]:
    """The names of the settings that messages show as they are, even where a secret equals part of one.

    These are the paths, as they were given and from the root, and the name of the model.
    """
    values = [getattr(settings, p.name) for p in parameters()]
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    paths = [path for items in several for path in items if isinstance(path, Path)]
    places = (str(place) for path in paths for place in (path, path.absolute()))
    return tuple(dict.fromkeys((settings.model_name or "", *places)))


def _value(parameter: Parameter, raw: object, base: Base) -> Any:  # noqa: PLR0911, PLR0912 - one for each kind
    if parameter.param.several and isinstance(raw, list | tuple):
        values = [_value(parameter, _string(item), base) for item in raw]
        if parameter.param.kind == "url":
            refuse_repeated(values)
        return _one_or_all(values)
    match parameter.param.kind:
        case "text":
            return _text(raw)
        case "url":
            return checked_url(_string(raw))
        case "command":
            return _command(raw)
        case "secret":
            return _secret(raw)
        case "prompt":
            return _prompt(raw, base)
        case "path":
            return _path(_string(raw), base)
        case "data":
            return checked_data_url(_string(raw)) if is_url(_string(raw).strip()) else _path(_string(raw), base)
        case "integer":
            return raw if raw is not None and raw == parameter.param.word else _integer(parameter, raw)
        case "number":
            return _number(parameter, raw)
        case "duration":
            return _duration(parameter, raw)
        case "switch":
            return _switch(raw)
        case "choice":
            return _choice(parameter, raw)
        case "words" | "globs":
            return _words(raw)
        case "json":
            return _body(raw)
        case "headers":
            return checked_headers(_json_object(raw))
        case "shard":
            return raw if raw == parameter.param.word else _shard(raw)
        case "endpoints":
            return _endpoints(raw)


def _single(item: object) -> Path | DataUrl | str:
    """One of several values given in Python."""
    return item if isinstance(item, Path | DataUrl) else _string(item)


def _one_or_all(values: list[Any]) -> Any:
    """A single value as it is, several as a tuple."""
    if not values:
        raise WrongValueError("not be an empty list")
    return values[0] if len(values) == 1 else tuple(values)


def _text(raw: object) -> str:
    text = _string(raw).strip()
    if not text:
        raise WrongValueError("not be empty")
    if not text.isprintable():
        raise WrongValueError(f"be one line without control characters, got {_got(raw)}")
    return text


def _string(raw: object) -> str:
    if not isinstance(raw, str):
        raise WrongValueError(f"be a string, got {_got(raw)}")
    return raw


def _got(raw: object) -> str:
    """A wrong value as messages show it: in TOML's terms, short and without control characters."""
    match raw:
        case bool():
            got = "true" if raw else "false"
        case str():
            got = f"'{shortened(raw, MAX_VALUE_CHARS)}'"
        case int() if abs(raw) > 10**60:
            got = "a huge number"
        case int() | float():
            got = str(raw)
        case None:
            got = "null"
        case Mapping():
            got = "a table"
        case list() | tuple():
            got = "a list"
        case _:
            got = f"a {type(raw).__name__}"
    return got


_FUNCTIONS = ("/chat/completions", "/completions", "/models")
_MAX_LABEL_CHARS = 63


def checked_url(text: str) -> str:
    """The base URL of a server without trailing slashes, scheme in lower case.

    Raises:
        WrongValueError: it is not an http or https URL with a usable host, or it is that of `/completions` or the like.
    """
    text = text.strip()
    if re.search(r"[\s\\]", text) or not text.isprintable():
        raise WrongValueError("hold no spaces, backslashes or control characters")
    got = f"got {shown_url(text)!r}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise WrongValueError(f"be a URL with a valid host and port, {got}") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise WrongValueError(
            f"be an http or https URL with a host, {got}", hint="for example http://127.0.0.1:8000/v1"
        )
    if not is_host(host):
        raise WrongValueError(f"have a usable host name, {got}")
    if parts.fragment:
        raise WrongValueError(f"have no fragment (#...), {got}")
    if "@" in parts.path:
        raise WrongValueError("hold an @ only in front of the host (write %40 in a user name, password or path)")
    path = parts.path.rstrip("/")
    for function in _FUNCTIONS:
        if path.endswith(function):
            raise WrongValueError(f"be the base URL, not that of {function}, {got}", hint=f"leave out {function}")
    return urlunsplit(parts._replace(path=path))


def is_host(host: str) -> bool:
    """Whether the labels of a host name are neither empty nor too long to be looked up; IPv6 addresses have none."""
    return ":" in host or all(0 < len(label) <= _MAX_LABEL_CHARS for label in host.removesuffix(".").split("."))


def _command(raw: object) -> str:
    """A command line that a shell could split into words; messages show none of it, as it may hold a key."""
    if not isinstance(raw, str):
        raise WrongValueError("be a string, the command line")
    text = raw.strip()
    try:
        words = command_words(text)
    except ValueError as error:
        what = str(error)
        raise WrongValueError(f"be a command as for a shell: {what[:1].lower()}{what[1:]}") from None
    if not words or not words[0]:
        raise WrongValueError("not be empty")
    if not text.replace("\n", " ").replace("\t", " ").isprintable():
        raise WrongValueError("hold no control characters")
    return text


def _secret(raw: object) -> Secret:
    if isinstance(raw, Secret):
        raw = raw.reveal()
    if not isinstance(raw, str):
        raise WrongValueError("be a string")
    text = raw.strip()
    if not text:
        raise WrongValueError("not be empty", hint=f"use {NO_KEY} for a server that needs no key")
    return Secret(checked_key(text))


def checked_key(text: str) -> str:
    """An API key, checked to be sendable as it is.

    Raises:
        WrongValueError: it cannot be sent.
    """
    if not re.fullmatch(r"[!-~]+", text):
        raise WrongValueError("consist of visible ASCII characters, without spaces")
    return text


def _prompt(raw: object, base: Base) -> str:
    text = _string(raw)
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@"):
        return _prompt_file(_path(text[1:], base), inside=base.directory if base.confined else None)
    return text


_MAX_PROMPT_BYTES = 1 << 20


def _prompt_file(path: Path, *, inside: Path | None) -> str:
    """The text of a UTF-8 file without byte order mark and without its last line break.

    Where `inside` is given, the file must be a regular one in that directory or below, symlinks resolved.
    """
    if inside is not None:
        path = _resolved_inside(path, inside)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PROMPT_BYTES + 1)
    except OSError as error:
        raise WrongValueError(f"name a readable file: {path}: {error.strerror or error}") from None
    except ValueError:  # a name that the file system cannot hold
        raise WrongValueError(f"name a readable file: {path}") from None
    if len(data) > _MAX_PROMPT_BYTES:
        raise WrongValueError(f"name a file of at most {_MAX_PROMPT_BYTES} bytes: {path}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongValueError(f"name a UTF-8 file: {path}: invalid byte at offset {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _resolved_inside(path: Path, inside: Path) -> Path:
    try:
        resolved = path.resolve()
        is_inside = resolved.is_relative_to(inside.resolve())
    except (OSError, RuntimeError, ValueError):
        raise WrongValueError(f"name a readable file: {path}") from None
    if not is_inside:
        raise WrongValueError(
            f"name a file inside {inside}, got {path} (a ./bootcamp.toml that was merely found "
            "may read no other files; name it with --config)"
        )
    if not resolved.is_file():
        raise WrongValueError(f"name a regular file: {path}")
    return resolved


def _path(text: str, base: Base) -> Path:
    if not text.strip() or "\0" in text:
        raise WrongValueError(f"be a path, got {_got(text)}")
    if is_url(text.strip()):
        raise WrongValueError(f"be a path on this machine, got the URL {shown_url(text.strip())}")
    if base.home is not None and (text == "~" or text.startswith("~/")):
        return base.home / text[2:]
    return base.directory / text


def _local(path: Path) -> Path:
    """A path given in Python, unless it was made of a URL, which has lost a slash by that."""
    if re.match(r"(s3|https?):/", str(path)):
        raise WrongValueError(f"be given as text where it is a URL, not as {type(path).__name__}")
    return path


_DATA_SCHEMES = ("s3", "http", "https")
_MAX_NAME_BYTES = 255


def checked_data_url(text: str) -> DataUrl:
    """The URL of a test file, or of a folder of them in a bucket.

    Raises:
        WrongValueError: test data cannot be there.
    """
    text = text.strip()
    scheme, got = text.partition("://")[0].lower(), f"got {shown_url(text)!r}"
    if scheme not in _DATA_SCHEMES:
        raise WrongValueError(f"be a path, or a URL that begins with {', '.join(_DATA_SCHEMES)}, {got}")
    if not text.isprintable() or (scheme != "s3" and re.search(r"[\s\\]", text)):
        raise WrongValueError("hold no spaces, backslashes or control characters where it is a URL (write %20)")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise WrongValueError(f"be a URL with a valid host and port, {got}") from None
    if not host or port == 0 or "@" in parts.path:
        raise WrongValueError(f"be a URL with a {'bucket' if scheme == 's3' else 'usable host'}, {got}")
    url = DataUrl(f"{scheme}{text[len(scheme) :]}")
    if scheme == "s3":
        _check_bucket_url(text, got)
        return url
    if parts.fragment or not is_host(host):
        raise WrongValueError(f"be a URL with a usable host name and without fragment (#...), {got}")
    name = url.name
    if not name.endswith((".jsonl", ".jsonl.gz")) or parts.path.endswith("/"):
        raise WrongValueError(
            f"be the URL of a file whose name ends in .jsonl or .jsonl.gz, {got}",
            hint=f"a folder cannot be listed over {scheme}: name each of its files",
        )
    if "/" in name or not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise WrongValueError(f"end in a usable file name, {got}")
    return url


def _check_bucket_url(text: str, got: str) -> None:
    address = urlsplit(text).netloc
    if "@" in address or ":" in address:
        raise WrongValueError(
            f"name a bucket, without key, secret or port, {got}",
            hint="credentials come from where AWS tools find them (AWS_PROFILE, AWS_ACCESS_KEY_ID, ...), "
            "another endpoint from AWS_ENDPOINT_URL",
        )
    if "?" in text or "#" in text:
        raise WrongValueError(f"be an s3 URL without query and fragment, {got}")


_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def _integer(parameter: Parameter, raw: object) -> int:
    if isinstance(raw, str) and _INTEGER.fullmatch(raw.strip()):
        value = int(raw)
    elif isinstance(raw, int) and not isinstance(raw, bool):
        value = raw
    else:
        raise WrongValueError(f"be a whole number, got {_got(raw)}")
    return cast("int", _bounded(parameter, value, _got(value)))


def _shard(raw: object) -> Shard:
    text = str(raw) if isinstance(raw, Shard) else _string(raw)
    try:
        return parse_shard(text)
    except ValueError:
        raise WrongValueError(
            f"be I/N, part I of N from 1/N to N/N and N at most {MAX_SHARDS:,}, got {_got(text)}",
            hint="for example 3/8, or auto in an array job",
        ) from None


_ENDPOINT_KEYS = tuple(declaration.name for declaration in fields(EndpointSettings))


def _endpoints(raw: object) -> tuple[EndpointSettings, ...]:
    items = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise WrongValueError("be a JSON list of objects, or [[endpoints]] tables")
    found = tuple(_endpoint(item, f"its entry {number}") for number, item in enumerate(items, start=1))
    refuse_repeated([item.url for item in found])
    return found


def _endpoint(raw: object, which: str) -> EndpointSettings:
    """One endpoint, its keys checked as the parameters of these names are, also where it was made in Python."""
    if isinstance(raw, EndpointSettings):
        raw = {key: value for key in _ENDPOINT_KEYS if (value := getattr(raw, key)) is not None}
    if not isinstance(raw, Mapping) or "url" not in raw:
        raise WrongValueError(f"hold objects with a url, but {which} is not one")
    for key in raw:
        if key not in _ENDPOINT_KEYS:
            raise WrongValueError(
                f"hold only known keys, but {which} has {_got(key)}", hint=suggestion(key, _ENDPOINT_KEYS)
            )
    try:
        return EndpointSettings(
            url=checked_url(_string(raw["url"])),
            api_key=_secret(raw["api_key"]) if "api_key" in raw else None,
            headers=checked_headers(_json_object(raw["headers"])) if "headers" in raw else None,
            max_concurrent_requests=_count(raw.get("max_concurrent_requests"), "max_concurrent_requests"),
            data_parallel_ranks=_count(raw.get("data_parallel_ranks"), "data_parallel_ranks", most=_MAX_RANKS),
        )
    except WrongValueError as error:
        raise WrongValueError(f"hold usable endpoints, but {which} must {error}", hint=error.hint) from None


def _count(raw: object, key: str, most: int = 100_000) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= most:
        raise WrongValueError(f"have a whole number from 1 to {most:,} as {key}, got {_got(raw)}")
    return raw


_MAX_RANKS = 1024
"""Each has connections of its own."""


def refuse_repeated(urls: Sequence[str]) -> None:
    """Refuse one server twice among several: it would be taken for two.

    Raises:
        WrongValueError: that is so.
    """
    seen: set[str] = set()
    for url in urls:
        plain = shown_url(url).rstrip("/")
        if (address := _address(plain)) in seen:
            raise WrongValueError(f"name each server once, but {plain} is there twice")
        seen.add(address)


def _address(url: str) -> str:
    """A checked URL as it is the same for all ways to write host and port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    return f"{parts.scheme}://{host} {parts.port or _PORTS[parts.scheme]} {parts.path}"


_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


def _number(parameter: Parameter, raw: object) -> float:
    if isinstance(raw, str) and _DECIMAL.fullmatch(raw.strip()):
        value = float(raw)
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        value = _float(raw)
    else:
        raise WrongValueError(f"be a number, got {_got(raw)}")
    if not math.isfinite(value):
        raise WrongValueError(f"be a finite number, got {_got(raw)}")
    return _bounded(parameter, value, _got(raw).strip("'"))


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _bounded(parameter: Parameter, value: float, got: str, shown: Callable[[float], str] = "{:g}".format) -> float:
    param = parameter.param
    if param.minimum is not None and value < param.minimum:
        raise WrongValueError(f"be at least {shown(param.minimum)}, got {got}")
    if param.above is not None and value <= param.above:
        raise WrongValueError(f"be more than {shown(param.above)}, got {got}")
    if param.maximum is not None and value > param.maximum:
        raise WrongValueError(f"be at most {shown(param.maximum)}, got {got}")
    return value


LONGEST_S = 366 * 24 * 3600.0
"""Longer than any run; clocks and deadlines can represent it."""


def _duration(parameter: Parameter, raw: object) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        seconds = seconds_of(_float(raw), parameter.bare_unit)
    else:
        unit = "milliseconds" if parameter.bare_unit == "ms" else "seconds"
        expected = f"be a duration such as 90s, 10m, 1h30m, 250ms or a number of {unit}, got {_got(raw)}"
        if not isinstance(raw, str):
            raise WrongValueError(expected)
        try:
            seconds = parse_duration(raw, parameter.bare_unit)
        except ValueError:
            raise WrongValueError(expected) from None
    return _seconds(parameter, seconds, raw)


def _seconds(parameter: Parameter, seconds: float, raw: object) -> float:
    if not seconds <= LONGEST_S:
        raise WrongValueError(f"be at most {format_duration(LONGEST_S)}, got {_got(raw)}")
    return _bounded(parameter, seconds, _got(raw).strip("'"), format_duration)


_UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_PART = re.compile(rf"({_NUMBER})\s*(ms|[smhd])\s*")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_BARE = re.compile(rf"[+-]?{_NUMBER}")


def parse_duration(text: str, bare_unit: BareUnit) -> float:
    """The duration in seconds.

    Raises:
        ValueError: the text is not a duration; units must go from large to small, each at most once.
    """
    text = text.strip().lower()
    if _BARE.fullmatch(text):
        return seconds_of(float(text), bare_unit)
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a duration")
    parts = _PART.findall(text)
    sizes = [_UNIT_MS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError("units out of order")
    whole_ms = sum(int(number) * size for (number, _), size in zip(parts, sizes, strict=True) if number.isdecimal())
    rest_s = sum(
        float(number) * (size / 1000) for (number, _), size in zip(parts, sizes, strict=True) if not number.isdecimal()
    )
    return whole_ms / 1000 + rest_s


def seconds_of(number: float, bare_unit: BareUnit) -> float:
    """A bare number of milliseconds or seconds, converted to seconds."""
    return number / 1000 if bare_unit == "ms" else float(number)


def duration_number(seconds: float, bare_unit: BareUnit) -> int | float:
    """A duration as a bare number, without a fraction if it is whole."""
    if bare_unit == "ms":
        whole_ms = round(seconds * 1000)
        return whole_ms if whole_ms / 1000 == seconds else seconds * 1000
    return int(seconds) if math.isfinite(seconds) and seconds == int(seconds) else seconds


def format_duration(seconds: float) -> str:
    """A duration in its units, which `parse_duration` reads back as the same number: `5400.0` -> `1h30m`."""
    whole_ms = round(seconds * 1000)
    if whole_ms / 1000 != seconds:
        return f"{seconds!r}s"
    if not whole_ms:
        return "0s"
    text = ""
    for unit in ("h", "m", "s", "ms"):
        count, whole_ms = divmod(whole_ms, _UNIT_MS[unit])
        text += f"{count}{unit}" if count else ""
    return text


_TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
_FALSE_WORDS = frozenset({"false", "no", "0", "off"})


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in _TRUE_WORDS | _FALSE_WORDS:
        raise WrongValueError(f"be true or false (or yes, no, 1, 0, on, off), got {_got(raw)}")
    return word in _TRUE_WORDS


def _choice(parameter: Parameter, raw: object) -> str:
    text = _string(raw).strip()
    if text not in parameter.choices:
        hint = suggestion(text, parameter.choices)
        raise WrongValueError(f"be one of {', '.join(parameter.choices)}, got {_got(raw)}", hint=hint)
    return text


def _words(raw: object) -> tuple[str, ...]:
    words = [raw] if isinstance(raw, str) else raw
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise WrongValueError(f"be a string or a list of strings, got {_got(raw)}")
    if not all(words):
        raise WrongValueError("not hold an empty string")
    return tuple(words)


_OWN_KEYS = frozenset({"model", "prompt", "messages", "stream"})
"""Keys of the request body that follow from parameters and the test data; extra_body may not set them."""


def _body(raw: object) -> dict[str, Any]:
    body = _json_object(raw)
    if taken := sorted(_OWN_KEYS.intersection(body)):
        raise WrongValueError(f"not hold the key {taken[0]}: it is set by the tool")
    return body


def _json_object(raw: object) -> dict[str, Any]:
    """The object that JSON text or a TOML or JSON table stands for; messages show none of it, as it may be secret."""
    value = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(value, Mapping):
        raise WrongValueError("be a JSON object or a table")
    return {key: _plain_json(child, key) for key, child in value.items()}


def _parsed(text: str) -> object:
    def refuse(word: str) -> None:
        raise WrongValueError(f"be JSON, which has no {word}")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise WrongValueError(f"be a JSON object: {what} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise WrongValueError("be a JSON object that is less deeply nested") from None
    except WrongValueError:
        raise
    except ValueError:
        raise WrongValueError("be a JSON object without numbers of thousands of digits") from None


def _plain_json(value: Any, where: str) -> Any:
    """A copy of plain dicts and lists; what JSON cannot hold (TOML dates, infinity) is refused with its key."""
    match value:
        case Mapping():
            return {key: _plain_json(child, f"{where}.{key}") for key, child in value.items()}
        case list() | tuple():
            return [_plain_json(child, where) for child in value]
        case float() if not math.isfinite(value):
            raise WrongValueError(f"hold finite numbers, but {where} is not one")
        case None | bool() | str() | int() | float():
            return value
        case _:
            raise WrongValueError(f"hold only what JSON can express; {where} is a {type(value).__name__}")


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")
_REQUEST_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "accept-encoding"})


def checked_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Header names and values that can be sent as they are; messages name a header and never show its value.

    Raises:
        WrongValueError: a name or a value cannot be sent, or is set for each request.
    """
    seen: set[str] = set()
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise WrongValueError(f"hold valid header names, got {name!a}")
        if name.lower() in _REQUEST_HEADERS:
            raise WrongValueError(f"not hold header {name}: it is set for each request")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise WrongValueError(
                f"hold text for header {name}: ASCII without line breaks, control characters or spaces around it"
            )
        if name.lower() in seen:
            raise WrongValueError(f"hold header {name} once: names are not case-sensitive")
        seen.add(name.lower())
    return dict(headers)


def json_strings(text: str) -> list[str] | None:
    """The strings of a JSON list of strings; None where the text is something else, such as a pattern in brackets."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(word, str) for word in value) else None


_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "max_concurrent_requests": (
        *(
            "concurrency",
            "max_concurrency",
            "num_concurrent",
            "max_connections",
            "parallel",
            "parallelism",
            "n_parallel",
        ),
        *("workers", "num_workers", "n_workers", "max_workers", "num_threads", "threads", "jobs", "batch_size", "b"),
    ),
    "model_name": ("model", "models", "m", "model_id", "model_path", "model_args"),
    "url": ("base_url", "api_base", "api_url", "endpoint", "server", "host", "openai_api_base"),
    "api_key": ("key", "token", "openai_api_key"),
    "repeats": ("n", "n_repeats", "num_repeats", "n_samples", "num_generations", "num_return_sequences", "epochs", "k"),
    "shard": ("shards", "num_shards", "n_shards", "shard_id", "shard_index", "rank", "part", "split"),
    "limit": ("num_samples", "num_examples", "max_samples", "n_examples", "num_questions", "num_prompts"),
    "test_dir": ("data", "dataset", "datasets", "data_dir", "data_path", "dataset_path", "input", "input_file"),
    "include": ("tasks", "task", "subset", "subsets", "bench", "eval"),
    "output_dir": ("output", "out", "o", "output_path", "out_dir", "save_dir", "log_dir", "work_dir", "results_dir"),
    "max_tokens": ("max_new_tokens", "max_gen_toks", "max_completion_tokens", "max_output_tokens", "max_gen_tokens"),
    "temperature": ("temp", "t"),
    "sys_prompt": ("system_prompt", "system_message", "system_instruction", "system"),
    "max_retries": ("retries", "num_retries", "retry"),
    "stop": ("until", "stop_words", "stop_sequences"),
    "template": ("chat_template", "prompt_template", "apply_chat_template"),
    "extra_body": ("extra_args", "gen_kwargs", "generation_config"),
}
"""What other tools call our parameters."""

_BESIDE: Mapping[str, str] = {
    "num_samples": "repeats, for several answers to each question",
    "workers": "verify_workers, for verifiers",
    "num_workers": "verify_workers, for verifiers",
}
"""What a name may mean as well."""


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """`did you mean X?`, or None where nothing is close; case and the difference between `-` and `_` are ignored.

    What other tools call a parameter is known, whatever else is spelt alike.
    """
    import difflib  # noqa: PLC0415 - only a wrong name needs it

    by_plain = {_plain(entry): entry for entry in known}
    plain, prefix = _plain(name), _plain(name)[: len(_VARIABLE)] if _plain(name).startswith(_VARIABLE) else ""
    wanted = plain.removeprefix(prefix)
    for parameter, others in _ELSEWHERE.items():
        if wanted in others and (found := by_plain.get(f"{prefix}{parameter}")):
            beside = f" (or {_in_style(_BESIDE[wanted], found)})" if wanted in _BESIDE else ""
            return f"did you mean {found}{beside}?"
    close = difflib.get_close_matches(plain, by_plain, n=1, cutoff=0.65)
    return f"did you mean {by_plain[close[0]]}?" if close else None


_VARIABLE = "bootcamp_"


def _in_style(words: str, example: str) -> str:
    """The parameter that begins these words, written as in the example: as a flag, a variable or a key."""
    name, comma, rest = words.partition(",")
    if example.startswith("--"):
        name = f"--{name.replace('_', '-')}"
    elif example.startswith(_VARIABLE.upper()):
        name = f"{_VARIABLE.upper()}{name.upper()}"
    return f"{name}{comma}{rest}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip("_")
