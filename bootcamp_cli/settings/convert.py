"""The one way from a raw value - of a flag, a variable, a TOML or JSON key - to a parameter's value."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.duration import LONGEST_S, format_duration, parse_duration, seconds_of
from bootcamp_cli.settings.json_values import checked_body, checked_headers, json_object
from bootcamp_cli.settings.masking import shortened
from bootcamp_cli.settings.param import Kind, Parameter
from bootcamp_cli.settings.prompt_file import read_prompt_file
from bootcamp_cli.settings.secrets import Secret
from bootcamp_cli.settings.suggest import suggestion
from bootcamp_cli.settings.url import checked_url
from bootcamp_cli.visible import visible

TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
FALSE_WORDS = frozenset({"false", "no", "0", "off"})

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the paths of a source start from: its directory, and `~` if `home` is known.

    `confined`: a file that the source names must lie inside `directory`, symlinks resolved.
    """

    directory: Path
    home: Path | None = None
    confined: bool = False


WORKING_DIRECTORY = Base(directory=Path())


def convert(parameter: Parameter, raw: object, place: str, *, base: Base = WORKING_DIRECTORY) -> Any:
    """The value of a parameter.

    `raw` is a string as flags and variables hold it, a sequence of strings of a repeated flag, or a native TOML or JSON
    value. `place` names where it stands (`--max-tokens`, `bootcamp.toml: max_tokens`) and begins every message.

    Raises:
        SettingsError: `raw` is no value of this parameter.
    """
    try:
        return _CONVERTERS[parameter.param.kind](parameter, raw, base)
    except _Wrong as error:
        raise SettingsError(visible(f"{place}: {error}"), hint=error.hint) from None
    except ValueError as error:
        raise SettingsError(visible(f"{place}: must {error}")) from None


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """The text behind the place."""

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.hint = hint


def _text(_parameter: Parameter, raw: object, _base: Base) -> str:
    text = _string(raw).strip()
    if not text:
        raise _Wrong("must not be empty")
    if not text.isprintable():
        raise _Wrong(f"must be one line without control characters, got {_got(raw)}")
    return text


def _url(_parameter: Parameter, raw: object, _base: Base) -> str:
    return checked_url(_string(raw))


def _secret(_parameter: Parameter, raw: object, _base: Base) -> Secret:
    if not isinstance(raw, str):
        raise _Wrong("must be a string")
    text = raw.strip()
    if not text:
        raise _Wrong("must not be empty", "EMPTY stands for a server that wants no key")
    if not re.fullmatch(r"[!-~]+", text):
        raise _Wrong("must be of visible ASCII characters, without spaces")
    return Secret(text)


def _prompt(_parameter: Parameter, raw: object, base: Base) -> str:
    text = _string(raw)
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@"):
        return read_prompt_file(_path_of(text[1:], base), inside=base.directory if base.confined else None)
    return text


def _path(_parameter: Parameter, raw: object, base: Base) -> Path:
    return _path_of(_string(raw), base)


def _path_of(text: str, base: Base) -> Path:
    if not text.strip() or "\0" in text:
        raise _Wrong(f"must be a path, got {_got(text)}")
    if base.home is not None and (text == "~" or text.startswith("~/")):
        return base.home / text[2:]
    return base.directory / text


def _integer(parameter: Parameter, raw: object, _base: Base) -> int:
    if isinstance(raw, str) and _INTEGER.fullmatch(raw.strip()):
        value = int(raw)
    elif isinstance(raw, int) and not isinstance(raw, bool):
        value = raw
    else:
        raise _Wrong(f"must be a whole number, got {_got(raw)}")
    return cast("int", _bounded(parameter, value, str(value)))


def _number(parameter: Parameter, raw: object, _base: Base) -> float:
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        value = float(raw)
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        value = _float(raw)
    else:
        raise _Wrong(f"must be a number, got {_got(raw)}")
    if not math.isfinite(value):
        raise _Wrong(f"must be a finite number, got {_got(raw)}")
    return _bounded(parameter, value, _got(raw).strip("'"))


def _duration(parameter: Parameter, raw: object, _base: Base) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        seconds = seconds_of(_float(raw), parameter.bare_unit)
    else:
        unit = "milliseconds" if parameter.bare_unit == "ms" else "seconds"
        expected = f"must be a duration such as 90s, 10m, 1h30m, 250ms or a number of {unit}, got {_got(raw)}"
        if not isinstance(raw, str):
            raise _Wrong(expected)
        try:
            seconds = parse_duration(raw, parameter.bare_unit)
        except ValueError:
            raise _Wrong(expected) from None
    if not seconds <= LONGEST_S:
        raise _Wrong(f"must be at most {format_duration(LONGEST_S)}, got {_got(raw)}")
    return _bounded(parameter, seconds, _got(raw).strip("'"), format_duration)


def _switch(_parameter: Parameter, raw: object, _base: Base) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise _Wrong(f"must be true or false (or yes, no, 1, 0, on, off), got {_got(raw)}")
    return word in TRUE_WORDS


def _choice(parameter: Parameter, raw: object, _base: Base) -> str:
    text = _string(raw).strip()
    if text not in parameter.choices:
        hint = suggestion(text, parameter.choices)
        raise _Wrong(f"must be one of {', '.join(parameter.choices)}, got {_got(raw)}", hint)
    return text


def _words(_parameter: Parameter, raw: object, _base: Base) -> tuple[str, ...]:
    words = [raw] if isinstance(raw, str) else raw
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise _Wrong(f"must be a string or a list of strings, got {_got(raw)}")
    if not all(words):
        raise _Wrong("must not hold an empty string")
    return tuple(words)


def _json(_parameter: Parameter, raw: object, _base: Base) -> dict[str, Any]:
    return checked_body(json_object(raw))


def _headers(_parameter: Parameter, raw: object, _base: Base) -> dict[str, str]:
    return checked_headers(json_object(raw))


_CONVERTERS: Mapping[Kind, Callable[[Parameter, object, Base], Any]] = {
    "text": _text,
    "url": _url,
    "secret": _secret,
    "prompt": _prompt,
    "path": _path,
    "integer": _integer,
    "number": _number,
    "duration": _duration,
    "switch": _switch,
    "choice": _choice,
    "words": _words,
    "globs": _words,
    "json": _json,
    "headers": _headers,
}


def _string(raw: object) -> str:
    if not isinstance(raw, str):
        raise _Wrong(f"must be a string, got {_got(raw)}")
    return raw


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _bounded(parameter: Parameter, value: float, got: str, shown: Callable[[float], str] = "{:g}".format) -> float:
    param = parameter.param
    if param.minimum is not None and value < param.minimum:
        raise _Wrong(f"must be at least {shown(param.minimum)}, got {got}")
    if param.above is not None and value <= param.above:
        raise _Wrong(f"must be more than {shown(param.above)}, got {got}")
    if param.maximum is not None and value > param.maximum:
        raise _Wrong(f"must be at most {shown(param.maximum)}, got {got}")
    return value


def _got(raw: object) -> str:
    """A wrong value in a message, in TOML's words, short and without control characters."""
    match raw:
        case bool():
            got = "true" if raw else "false"
        case str():
            got = f"'{shortened(raw)}'"
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
