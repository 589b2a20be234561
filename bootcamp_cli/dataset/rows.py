"""One line of a test file -> a row, or what is wrong with it."""

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from bootcamp_cli.dataset.lines import MAX_LINE_BYTES

MAX_NESTING = 200
"""Deepest ground truth: what is nested deeper cannot be relied on to be copied and written again."""

_MISSING: Any = object()


class InvalidRowError(ValueError):
    """The line is no usable row; the text says why, in one line."""


class Row(NamedTuple):
    """The parts of a row that count; `own_id` is None where its `id` is absent or no scalar."""

    data_source: str
    prompt: str
    ground_truth: Any
    own_id: str | float | bool | None


def parse_row(line: bytes) -> Row:
    """Parse and check one line.

    Raises:
        InvalidRowError: where the line is not UTF-8, not JSON, no object, or lacks a key of the right type.
    """
    values = _parse_object(line)
    faults = list(_faults(values))
    if faults:
        raise InvalidRowError("; ".join(faults))
    own_id = values.get("id")
    own_id = own_id if isinstance(own_id, str | int | float) else None
    row = Row(values["data_source"], values["prompt"], values["ground_truth"], own_id)
    if line.count(b"[") + line.count(b"{") > MAX_NESTING and _is_deeper(row.ground_truth, MAX_NESTING):
        raise InvalidRowError(f"`ground_truth` is nested deeper than {MAX_NESTING} levels")
    if (rb"\ud" in line or rb"\uD" in line) and _has_lone_surrogate(row):
        raise InvalidRowError("a lone surrogate escape (\\ud800 to \\udfff), which is no character")
    return row


def _parse_object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidRowError(f"line longer than {MAX_LINE_BYTES // 2**20} MiB")
    nul = line.find(b"\0")
    if nul >= 0:
        raise InvalidRowError(f"NUL byte at byte {nul + 1}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InvalidRowError(f"invalid UTF-8 at byte {error.start + 1}: 0x{line[error.start]:02x}") from None
    try:
        values = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise InvalidRowError(f"invalid JSON at column {error.pos + 1}: {what}") from None
    except RecursionError:
        raise InvalidRowError("invalid JSON: nested too deep") from None
    except InvalidRowError:
        raise
    except ValueError:  # the interpreter's limit on the digits of an integer
        raise InvalidRowError("invalid JSON: an integer with thousands of digits") from None
    if not isinstance(values, dict):
        raise InvalidRowError(f"a row must be a JSON object, got {_kind(values)}")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRowError(f"invalid JSON: {name} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRowError(f"number out of range: {text[:20]}")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)


def _faults(values: dict[str, Any]) -> Iterator[str]:
    missing = [f"`{key}`" for key in ("data_source", "prompt", "ground_truth") if key not in values]
    if missing:
        yield f"missing key{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    for key in ("data_source", "prompt"):
        value = values.get(key, _MISSING)
        if value is not _MISSING and not isinstance(value, str):
            yield f"`{key}` must be a string, got {_kind(value)}"
    if values.get("data_source") == "":
        yield "`data_source` is empty"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _is_deeper(value: object, max_levels: int) -> bool:
    level = [value]
    for _ in range(max_levels + 1):
        level = [child for container in level for child in _children(container)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _has_lone_surrogate(row: Row) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
