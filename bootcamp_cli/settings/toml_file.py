"""One TOML file of settings: read, its keys checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.model import parameters_by_name
from bootcamp_cli.settings.suggest import suggestion

TABLES = ("profile", "templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlFile:
    """The checked tables of a file; `shown` is how messages name it, `found` that nobody asked for it.

    `values` are the top-level parameters, not converted. Their repr is left out: it may hold secrets.
    """

    shown: str
    directory: Path
    kind: Literal["file", "user file"]
    found: bool
    values: Mapping[str, Any] = field(repr=False)
    profiles: Mapping[str, Mapping[str, Any]] = field(repr=False)
    templates: Mapping[str, Mapping[str, Any]] = field(repr=False)


def read_toml_file(path: Path, shown: str, *, kind: Literal["file", "user file"], found: bool = False) -> TomlFile:
    """Read a settings file and check its keys, those of all profiles included.

    Raises:
        SettingsError: it cannot be read, is not TOML, has an unknown key, or sets what a found file may not.
    """
    content = _parsed(path, shown)
    values = {key: value for key, value in content.items() if key not in TABLES}
    file = TomlFile(
        shown=shown,
        directory=path.parent,
        kind=kind,
        found=found,
        values=values,
        profiles=_tables(content, "profile", shown),
        templates=_tables(content, "templates", shown),
    )
    _check_keys(values, shown, "", found=found, extra=TABLES)
    for name, table in file.profiles.items():
        _check_keys(table, shown, f"profile.{shown_key(name)}.", found=found)
    return file


def _parsed(path: Path, shown: str) -> dict[str, Any]:
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
            raise SettingsError(f"{shown}: {key}.{shown_key(name)}: must be a table", hint=f"write [{key}.NAME]")
    return tables


def _check_keys(table: Mapping[str, Any], shown: str, prefix: str, *, found: bool, extra: tuple[str, ...] = ()) -> None:
    known = parameters_by_name()
    for key in table:
        parameter = known.get(key)
        if parameter is None:
            hint = suggestion(key, [*known, *extra]) or "`bootcamp config show` lists the parameters"
            raise SettingsError(f"{shown}: {prefix}{shown_key(key)}: unknown key", hint=hint)
        if found and not parameter.param.found_file:
            raise SettingsError(
                f"{shown}: {prefix}{key}: may not be set by a file that was merely found",
                hint=f"give the file by --config, or set {key} in the user file",
            )


def shown_key(key: str) -> str:
    """A key of a file in a message: escaped and cut where it is not a plain one."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else ascii(key[:60])
