"""From all sources to one set of settings: flag > environment > file > user file > foreign variable > default."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import Base, convert
from bootcamp_cli.settings.model import EvalSettings, parameters, parameters_by_name
from bootcamp_cli.settings.origin import DEFAULT, Origin, RawValue, Resolved
from bootcamp_cli.settings.param import Parameter
from bootcamp_cli.settings.sources import (
    PROFILE_VARIABLE,
    environment_values,
    fallback_values,
    file_values,
    flag_values,
    setting_files,
    unknown_variables,
)
from bootcamp_cli.settings.suggest import suggestion
from bootcamp_cli.settings.toml_file import TomlFile, shown_key

OPENAI_HOST = "api.openai.com"
OPENAI_KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_URL_VARIABLE = "OPENAI_BASE_URL"


def load_settings(
    *,
    flags: Mapping[str, str | Sequence[str]],
    env: Mapping[str, str],
    cwd: Path,
    config: Path | None,
    profile: str | None,
    user_file: Path | None,
) -> Resolved:
    """Merge every source of settings; nothing but the arguments and the files they name is read.

    `flags` has the options that were given, by parameter name, as text; a repeated one as a sequence. `config` and
    `profile` are `--config` and `--profile`, else `BOOTCAMP_CONFIG` and `BOOTCAMP_PROFILE` count. Only the value that
    wins is converted, so a flag gets past a wrong value below it. Relative paths of a file start at its directory,
    all others at `cwd`; all come out absolute if `cwd` is.

    Raises:
        SettingsError: a wrong value, an unknown key, an unknown profile, an unreadable file; the message has the place.
    """
    home = Path(env["HOME"]) if env.get("HOME") else None
    here = Base(directory=cwd, home=home)
    files = setting_files(env=env, cwd=cwd, config=config, user_file=user_file)
    chosen_profile = _profile(profile, env, files)
    raw = strongest(
        flag_values(flags, here),
        environment_values(env, here),
        *(file_values(file, chosen_profile, home) for file in files),
        fallback_values(env, here),
    )
    values = {p.name: converted(p, raw[p.name]) if p.name in raw else default_value(p, here) for p in parameters()}
    origins = {p.name: raw[p.name].origin if p.name in raw else DEFAULT for p in parameters()}
    if "api_key" not in raw and (key := openai_key(env, values["url"], from_openai=_is_openai(origins["url"]))):
        origins["api_key"] = key.origin
        values["api_key"] = converted(parameters_by_name()["api_key"], key)
    return Resolved(
        settings=EvalSettings(**values),
        origins=origins,
        templates=_templates(files),
        warnings=tuple(unknown_variables(env)),
    )


def strongest(*sources: Mapping[str, RawValue]) -> dict[str, RawValue]:
    """Every parameter from the first source that has it."""
    merged: dict[str, RawValue] = {}
    for source in reversed(sources):
        merged |= source
    return merged


def converted(parameter: Parameter, raw: RawValue) -> Any:
    """The value of a parameter from its source."""
    return convert(parameter, raw.value, raw.origin.text, base=raw.base)


def default_value(parameter: Parameter, here: Base) -> Any:
    """The default; a path starts where the paths of flags do."""
    default = parameter.default
    return here.directory / default if parameter.param.kind == "path" and default is not None else default


def openai_key(env: Mapping[str, str], url: str, *, from_openai: bool) -> RawValue | None:
    """`OPENAI_API_KEY`, where the URL is OpenAI's own or came from `OPENAI_BASE_URL`: nobody else sees it."""
    parts = urlsplit(url)
    trusted = from_openai or (parts.scheme == "https" and parts.hostname == OPENAI_HOST)
    key = env.get(OPENAI_KEY_VARIABLE)
    if not trusted or not key:
        return None
    origin = Origin(kind="environment", text=OPENAI_KEY_VARIABLE)
    return RawValue(value=key, origin=origin, base=Base(directory=Path()))


def _is_openai(origin: Origin) -> bool:
    return origin.text == OPENAI_URL_VARIABLE


def _profile(profile: str | None, env: Mapping[str, str], files: Iterable[TomlFile]) -> str | None:
    name, place = (profile, "--profile") if profile is not None else (env.get(PROFILE_VARIABLE), PROFILE_VARIABLE)
    if not name:
        return None
    known = sorted({known for file in files for known in file.profiles})
    if name in known:
        return name
    listed = f"known are {', '.join(map(shown_key, known))}" if known else "no file has a [profile.NAME] table"
    guess = suggestion(name, known)
    raise SettingsError(f"{place}: unknown profile {name!r}, {listed}", hint=guess)


def _templates(files: Sequence[TomlFile]) -> dict[str, tuple[Mapping[str, Any], str]]:
    return {
        name: (table, f"{file.shown}: templates.{shown_key(name)}")
        for file in reversed(files)
        for name, table in file.templates.items()
    }
