"""The sources of settings - flags, environment, files - as raw values by parameter name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import Base
from bootcamp_cli.settings.json_values import json_strings
from bootcamp_cli.settings.model import parameters, parameters_by_name
from bootcamp_cli.settings.origin import Origin, RawValue
from bootcamp_cli.settings.param import Parameter
from bootcamp_cli.settings.suggest import suggestion
from bootcamp_cli.settings.toml_file import TomlFile, read_toml_file, shown_key

PREFIX = "BOOTCAMP_"
PROFILE_VARIABLE = "BOOTCAMP_PROFILE"
CONFIG_VARIABLE = "BOOTCAMP_CONFIG"
FOUND_FILE = "bootcamp.toml"


def user_config_file() -> Path:
    """The user's own settings file, `config.toml` in the platform's place; it need not exist."""
    from platformdirs import user_config_path  # noqa: PLC0415 - most commands never ask

    return user_config_path("bootcamp", appauthor=False) / "config.toml"


def flag_values(flags: Mapping[str, str | Sequence[str]], base: Base) -> dict[str, RawValue]:
    """The options of the command line by parameter name."""
    known = parameters_by_name()
    for name in flags:
        if name not in known:
            raise SettingsError(f"--{name}: unknown parameter", hint=suggestion(name, known))
    return {
        name: RawValue(value=value, origin=Origin(kind="flag", text=known[name].flag), base=base)
        for name, value in flags.items()
    }


def environment_values(env: Mapping[str, str], base: Base) -> dict[str, RawValue]:
    """The `BOOTCAMP_*` variables by parameter name; an empty variable counts as not set."""
    return {
        parameter.name: RawValue(
            value=_split(parameter, text), origin=Origin(kind="environment", text=parameter.env), base=base
        )
        for parameter in parameters()
        if (text := env.get(parameter.env))
    }


def fallback_values(env: Mapping[str, str], base: Base) -> dict[str, RawValue]:
    """The foreign variables that count just above the default."""
    return {
        parameter.name: RawValue(value=env[name], origin=Origin(kind="environment", text=name), base=base)
        for parameter in parameters()
        if (name := parameter.param.fallback_env) and env.get(name)
    }


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """One line for each `BOOTCAMP_*` variable that is no setting."""
    known = [parameter.env for parameter in parameters()] + [PROFILE_VARIABLE, CONFIG_VARIABLE]
    unknown = sorted(name for name in env if name.startswith(PREFIX) and name not in known)
    return [f"{name}: no such setting; {suggestion(name, known) or 'it is ignored'}" for name in unknown]


def _split(parameter: Parameter, text: str) -> object:
    """The variable of a repeatable parameter: a JSON list, or one word, or patterns separated by commas."""
    if not parameter.repeatable:
        return text
    listed = json_strings(text)
    if listed is not None:
        return listed
    if parameter.param.kind == "globs":
        return [part.strip() for part in text.split(",") if part.strip()]
    return [text]


def setting_files(
    *, env: Mapping[str, str], cwd: Path, config: Path | None, user_file: Path | None
) -> tuple[TomlFile, ...]:
    """The settings files there are, the strongest first: the one asked for or `./bootcamp.toml`, then the user file."""
    files = []
    asked = config if config is not None else Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None
    found = cwd / FOUND_FILE
    if asked is not None:
        files.append(read_toml_file(cwd / asked, str(asked), kind="file"))
    elif found.is_file():
        files.append(read_toml_file(found, f"./{FOUND_FILE}", kind="file", found=True))
    if user_file is not None and user_file.is_file():
        files.append(read_toml_file(user_file, str(user_file), kind="user file"))
    return tuple(files)


def file_values(file: TomlFile, profile: str | None, home: Path | None) -> dict[str, RawValue]:
    """The parameters of one file; its table of the profile beats its top level."""
    base = Base(directory=file.directory, home=home, confined=file.found)
    values = {key: (f"{file.shown}: {key}", value) for key, value in file.values.items()}
    if profile is not None:
        table = file.profiles.get(profile, {})
        values |= {key: (f"{file.shown}: profile.{shown_key(profile)}.{key}", value) for key, value in table.items()}
    return {
        key: RawValue(value=value, origin=Origin(kind=file.kind, text=place), base=base)
        for key, (place, value) in values.items()
    }
