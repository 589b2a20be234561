"""From all sources to one set of settings: flag > environment > file > user file > foreign variable > default."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import Base, convert, json_strings, suggestion
from bootcamp_cli.settings.model import Parameter, Settings, parameters, parameters_by_name

OriginKind = Literal["flag", "environment", "file", "user file", "run", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source of a value; `text` names it: `--max-tokens`, `BOOTCAMP_URL`, `./bootcamp.toml: max_tokens`."""

    kind: OriginKind
    text: str


DEFAULT = Origin(kind="default", text="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawValue:
    """A value as its source has it, before conversion unless `is_converted`."""

    value: object = field(repr=False)
    origin: Origin
    base: Base
    is_converted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, the origin of each by parameter name, and what else the sources hold.

    `unused_key` is a variable with a key that does not go to this URL.

    `templates` are the raw `[templates.NAME]` tables with their places, `warnings` tell what is odd about the sources.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    templates: Mapping[str, tuple[Mapping[str, Any], str]]
    warnings: tuple[str, ...] = ()
    unused_key: str | None = None

    def chosen(self, name: str) -> bool:
        """Whether the parameter comes from anything but the default."""
        return self.origins[name].kind != "default"

    @property
    def key_note(self) -> str:
        """Where the key came from that was sent, for who has to find out why it is refused."""
        if self.settings.api_key.is_placeholder:
            rest = f"; {self.unused_key} is set, but goes only to {OPENAI_HOST} or a URL from {OPENAI_URL_VARIABLE}"
            return "no key was sent" + (rest if self.unused_key else "")
        key = self.origins["api_key"]
        url = next((self.origins[name] for name in SERVERS if self.chosen(name)), DEFAULT)
        apart = url.kind != key.kind and not {key.text, url.text} <= {OPENAI_KEY_VARIABLE, OPENAI_URL_VARIABLE}
        of_url = " the default" if url.kind == "default" else f" from {url.text}"
        return f"the key that was sent is from {key.text}" + (f", the URL is{of_url}" if apart else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where settings come from.

    `flags` has the options that were given, by parameter name, as text; a repeated one as a sequence. `arguments` are
    the keyword arguments of a function, as `Settings` holds them, and rank as flags do; `kept` are earlier settings,
    which only stand in for what no other source has. `config` and `profile` are `--config` and `--profile`, else
    `BOOTCAMP_CONFIG` and `BOOTCAMP_PROFILE` of `env` count. `user_file` is the user's own settings file.
    """

    flags: Mapping[str, str | Sequence[str]] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    config: Path | None = None
    profile: str | None = None
    user_file: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kept: Settings | None = field(default=None, repr=False)


_PREFIX = "BOOTCAMP_"
PROFILE_VARIABLE = "BOOTCAMP_PROFILE"
CONFIG_VARIABLE = "BOOTCAMP_CONFIG"
FOUND_FILE = "bootcamp.toml"
OPENAI_HOST = "api.openai.com"
OPENAI_KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_URL_VARIABLE = "OPENAI_BASE_URL"
_TABLES = ("profile", "templates")

SERVERS = ("url", "endpoints", "url_file")
"""The parameters that say where the servers are: one of them is in force."""


def load_settings(sources: Sources) -> Resolved:
    """Merge all sources of settings; only they and the files they name are read.

    Only the value that wins is converted, so a flag overrides even an invalid value. Relative paths in a file start at
    its directory, all others at `cwd`; all come out absolute if `cwd` is.

    Raises:
        SettingsError: a wrong value, an unknown key, an unknown profile or an unreadable file; the message has the
            place.
    """
    env = sources.env
    home = Path(env["HOME"]) if env.get("HOME") else None
    here = Base(directory=sources.cwd, home=home)
    files = _setting_files(sources)
    chosen_profile = _profile(sources.profile, env, files)
    raw = _strongest(
        _argument_values(sources.arguments, here),
        _flag_values(sources.flags, here),
        _environment_values(env, here),
        *(_file_values(file, chosen_profile, home) for file in files),
        _fallback_values(env, here),
        _kept_values(sources.kept, here),
    )
    _refuse_two_places(raw)
    values = {p.name: _converted(p, raw[p.name]) if p.name in raw else default_value(p, here) for p in parameters()}
    origins = {p.name: raw[p.name].origin if p.name in raw else DEFAULT for p in parameters()}
    settings = Settings(**values)
    from_openai = _is_openai(origins["url"])
    if "api_key" not in raw and (key := openai_key(env, settings, from_openai=from_openai)):
        origins["api_key"] = key.origin
        settings = replace(settings, api_key=_converted(parameters_by_name()["api_key"], key))
    return Resolved(
        settings=settings,
        origins=origins,
        templates=_templates(files),
        warnings=tuple(_unknown_variables(env)),
        unused_key=OPENAI_KEY_VARIABLE if origins["api_key"] is DEFAULT and env.get(OPENAI_KEY_VARIABLE) else None,
    )


def user_config_file() -> Path | None:
    """The user's own settings file, `config.toml` in the platform's usual place; it need not exist.

    None where there is no such place: without HOME, for a user of whom the system knows nothing.
    """
    from platformdirs import user_config_path  # noqa: PLC0415 - most commands never ask

    try:
        path = user_config_path("bootcamp", appauthor=False) / "config.toml"
    except RuntimeError:
        return None
    return path if path.is_absolute() else None  # older releases leave the `~` in it


@dataclass(frozen=True, slots=True, kw_only=True)
class _TomlFile:
    """The checked tables of a file; `shown` is how messages name it, `found` says that nobody asked for it.

    `values` are the top-level parameters, not converted. Their repr is left out: it may hold secrets.
    """

    shown: str
    directory: Path
    kind: Literal["file", "user file"]
    found: bool
    values: Mapping[str, Any] = field(repr=False)
    profiles: Mapping[str, Mapping[str, Any]] = field(repr=False)
    templates: Mapping[str, Mapping[str, Any]] = field(repr=False)


def _setting_files(sources: Sources) -> tuple[_TomlFile, ...]:
    """The existing settings files, strongest first: the requested one or `./bootcamp.toml`, then the user file."""
    files = []
    cwd, user_file, named = sources.cwd, sources.user_file, sources.env.get(CONFIG_VARIABLE)
    asked = sources.config if sources.config is not None else Path(named) if named else None
    found = cwd / FOUND_FILE
    if asked is not None:
        files.append(_read_toml_file(cwd / asked, str(asked), kind="file"))
    elif _is_file(found):
        files.append(_read_toml_file(found, f"./{FOUND_FILE}", kind="file", found=True))
    if user_file is not None and _is_file(user_file):
        files.append(_read_toml_file(user_file, str(user_file), kind="user file"))
    return tuple(files)


def _is_file(path: Path) -> bool:
    """Whether a file is there; what is below a HOME that may not be read is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def _read_toml_file(path: Path, shown: str, *, kind: Literal["file", "user file"], found: bool = False) -> _TomlFile:
    """Read a settings file and check its keys, including those of all profiles.

    Raises:
        SettingsError: it cannot be read, is not TOML, has an unknown key, or sets what a file that was merely found may
            not set.
    """
    content = _toml_content(path, shown)
    values = {key: value for key, value in content.items() if key not in _TABLES}
    file = _TomlFile(
        shown=shown,
        directory=path.parent,
        kind=kind,
        found=found,
        values=values,
        profiles=_tables(content, "profile", shown),
        templates=_tables(content, "templates", shown),
    )
    _check_keys(values, shown, "", found=found, extra=_TABLES)
    for name, table in file.profiles.items():
        _check_keys(table, shown, f"profile.{_shown_key(name)}.", found=found)
    return file


def _toml_content(path: Path, shown: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most commands read no file

    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{shown}: cannot be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{shown}: line {line}: is not UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{shown}: {_located(str(error), text)}") from None
    except RecursionError:
        raise SettingsError(f"{shown}: is nested too deeply") from None


def _located(message: str, text: str) -> str:
    """The message `what (at line 3, column 5)` as `line 3, column 5: what`."""
    what, _, where = message.rpartition(" (at ")
    place = re.fullmatch(r"line \d+, column \d+", where.removesuffix(")"))
    line = place.group() if place else f"line {text.count(chr(10)) + 1}"
    what = what or message
    return f"{line}: {what[:1].lower()}{what[1:]}"


def _tables(content: Mapping[str, Any], key: str, shown: str) -> dict[str, Mapping[str, Any]]:
    tables = content.get(key, {})
    if not isinstance(tables, dict):
        raise SettingsError(f"{shown}: {key}: must be tables", hint=f"write [{key}.NAME]")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{shown}: {key}.{_shown_key(name)}: must be a table", hint=f"write [{key}.NAME]")
    return tables


def _check_keys(table: Mapping[str, Any], shown: str, prefix: str, *, found: bool, extra: tuple[str, ...] = ()) -> None:
    known = parameters_by_name()
    for key in table:
        parameter = known.get(key)
        if parameter is None:
            hint = suggestion(key, [*known, *extra]) or "`bootcamp config show` lists the parameters"
            raise SettingsError(f"{shown}: {prefix}{_shown_key(key)}: unknown key", hint=hint)
        if found and not parameter.param.found_file:
            raise SettingsError(
                f"{shown}: {prefix}{key}: may not be set by a file that was merely found",
                hint=f"name the file with --config, or set {key} in the user file",
            )


def _shown_key(key: str) -> str:
    """A key of a file as messages show it: escaped and shortened unless it is a plain one."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else ascii(key[:60])


def _profile(profile: str | None, env: Mapping[str, str], files: Iterable[_TomlFile]) -> str | None:
    name, place = (profile, "--profile") if profile is not None else (env.get(PROFILE_VARIABLE), PROFILE_VARIABLE)
    if not name:
        return None
    known = sorted({known for file in files for known in file.profiles})
    if name in known:
        return name
    listed = f"known are {', '.join(map(_shown_key, known))}" if known else "no file has a [profile.NAME] table"
    guess = suggestion(name, known)
    raise SettingsError(f"{place}: unknown profile {name!r}, {listed}", hint=guess)


def _strongest(*sources: Mapping[str, RawValue]) -> dict[str, RawValue]:
    """Every parameter from the first source that has it; where the servers are, from one source."""
    merged: dict[str, RawValue] = {}
    for source in reversed(sources):
        merged = _over(merged, source)
    return merged


def _over(weaker: Mapping[str, RawValue], stronger: Mapping[str, RawValue]) -> dict[str, RawValue]:
    if any(name in stronger for name in SERVERS):
        weaker = {name: value for name, value in weaker.items() if name not in SERVERS}
    return {**weaker, **stronger}


def _refuse_two_places(raw: Mapping[str, RawValue]) -> None:
    """Refuse a source that says in two ways where the servers are."""
    places = [raw[name].origin.text for name in SERVERS if name in raw]
    if len(places) > 1:
        raise SettingsError(f"{' and '.join(places)} both say where the servers are", hint="give one of them")


def _flag_values(flags: Mapping[str, str | Sequence[str]], base: Base) -> dict[str, RawValue]:
    """The options of the command line by parameter name."""
    known = parameters_by_name()
    for name in flags:
        if name not in known:
            raise SettingsError(f"--{name}: unknown parameter", hint=suggestion(name, known))
    return {
        name: RawValue(value=value, origin=Origin(kind="flag", text=known[name].flag), base=base)
        for name, value in flags.items()
    }


def _argument_values(arguments: Mapping[str, Any], base: Base) -> dict[str, RawValue]:
    """The keyword arguments of a function by parameter name."""
    return {
        name: RawValue(value=value, origin=Origin(kind="flag", text=f"{name}="), base=base, is_converted=True)
        for name, value in arguments.items()
    }


def _kept_values(kept: Settings | None, base: Base) -> dict[str, RawValue]:
    """What earlier settings have besides defaults."""
    if kept is None:
        return {}
    origin = Origin(kind="run", text="the settings of the run")
    values = {p.name: getattr(kept, p.name) for p in parameters() if not p.param.of_process}
    return {
        name: RawValue(value=value, origin=origin, base=base, is_converted=True)
        for name, value in values.items()
        if value != parameters_by_name()[name].default
    }


def resolved_arguments(settings: Settings) -> Resolved:
    """Settings that come from keyword arguments alone."""
    origins = {
        parameter.name: DEFAULT
        if getattr(settings, parameter.name) == parameter.default
        else Origin(kind="flag", text=f"Settings: {parameter.name}")
        for parameter in parameters()
    }
    return Resolved(settings=settings, origins=origins, templates={})


def _environment_values(env: Mapping[str, str], base: Base) -> dict[str, RawValue]:
    """The `BOOTCAMP_*` variables by parameter name; an empty variable counts as not set."""
    return {
        parameter.name: RawValue(
            value=_split(parameter, text), origin=Origin(kind="environment", text=parameter.env), base=base
        )
        for parameter in parameters()
        if (text := env.get(parameter.env))
    }


def _split(parameter: Parameter, text: str) -> object:
    """The value of a variable for a repeatable parameter: a JSON list, or one word, or patterns separated by commas."""
    if not parameter.repeatable:
        return text
    listed = json_strings(text)
    if listed is not None:
        return listed
    if parameter.param.kind == "globs":
        return [part.strip() for part in text.split(",") if part.strip()]
    return [text]


def _file_values(file: _TomlFile, profile: str | None, home: Path | None) -> dict[str, RawValue]:
    """The parameters of one file; its profile table takes precedence over its top level."""
    base = Base(directory=file.directory, home=home, confined=file.found)

    def raw(table: Mapping[str, Any], prefix: str) -> dict[str, RawValue]:
        return {
            key: RawValue(value=value, origin=Origin(kind=file.kind, text=f"{file.shown}: {prefix}{key}"), base=base)
            for key, value in table.items()
        }

    own = raw(file.values, "")
    if profile is None:
        return own
    return _over(own, raw(file.profiles.get(profile, {}), f"profile.{_shown_key(profile)}."))


def _fallback_values(env: Mapping[str, str], base: Base) -> dict[str, RawValue]:
    """The variables of other tools, which take precedence only over the default."""
    return {
        parameter.name: RawValue(value=env[name], origin=Origin(kind="environment", text=name), base=base)
        for parameter in parameters()
        if (name := parameter.param.fallback_env) and env.get(name)
    }


def _converted(parameter: Parameter, raw: RawValue) -> Any:
    """The value of a parameter from its source."""
    if raw.is_converted:
        return raw.value
    return convert(parameter, raw.value, raw.origin.text, base=raw.base)


def default_value(parameter: Parameter, here: Base) -> Any:
    """The default; a path is relative to the same directory as the paths of flags."""
    default = parameter.default
    return here.directory / default if parameter.param.kind == "path" and default is not None else default


def openai_key(env: Mapping[str, str], settings: Settings, *, from_openai: bool) -> RawValue | None:
    """`OPENAI_API_KEY`, where the URL is OpenAI's own or came from `OPENAI_BASE_URL`: no other server gets it."""
    parts = [urlsplit(server.url) for server in settings.servers]
    is_theirs = all(part.scheme == "https" and part.hostname == OPENAI_HOST for part in parts)
    key = env.get(OPENAI_KEY_VARIABLE)
    if not key or settings.url_file is not None or not (from_openai or is_theirs):
        return None
    origin = Origin(kind="environment", text=OPENAI_KEY_VARIABLE)
    return RawValue(value=key, origin=origin, base=Base(directory=Path()))


def _is_openai(origin: Origin) -> bool:
    return origin.text == OPENAI_URL_VARIABLE


def _templates(files: Sequence[_TomlFile]) -> dict[str, tuple[Mapping[str, Any], str]]:
    return {
        name: (table, f"{file.shown}: templates.{_shown_key(name)}")
        for file in reversed(files)
        for name, table in file.templates.items()
    }


def _unknown_variables(env: Mapping[str, str]) -> list[str]:
    """One line for each `BOOTCAMP_*` variable that is no setting."""
    known = [parameter.env for parameter in parameters()] + [PROFILE_VARIABLE, CONFIG_VARIABLE]
    unknown = sorted(name for name in env if name.startswith(_PREFIX) and name not in known)
    return [f"{name}: no such setting; {suggestion(name, known) or 'it is ignored'}" for name in unknown]
