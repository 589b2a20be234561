"""JSON objects as parameters: extra_body and headers, as JSON text or as a table."""

import math
import re
from collections.abc import Mapping
from typing import Any

OWN_KEYS = frozenset({"model", "prompt", "messages", "stream"})
"""Keys of the request body that follow from parameters and the test data; extra_body may not set them."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")


def json_object(raw: object) -> dict[str, Any]:
    """The object that JSON text or a TOML or JSON table stands for.

    Raises:
        ValueError: it is none; the message completes "must" and shows a position, none of the text: it may be secret.
    """
    value = _parsed(raw) if isinstance(raw, str) else raw
    if not isinstance(value, Mapping):
        raise ValueError("be a JSON object or a table")  # noqa: TRY004 - every wrong value is a ValueError here
    return {key: _plain(child, key) for key, child in value.items()}


def checked_body(body: dict[str, Any]) -> dict[str, Any]:
    """extra_body, which must not set what follows from other parameters."""
    if taken := sorted(OWN_KEYS.intersection(body)):
        raise ValueError(f"not hold the key {taken[0]}: it is set by the tool")
    return body


def checked_headers(headers: dict[str, Any]) -> dict[str, str]:
    """Header names and values that can be sent as they are; messages name a header and never show its value."""
    seen: set[str] = set()
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"hold valid header names, got {name!a}")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise ValueError(
                f"hold text for header {name}: ASCII without line breaks, control characters or spaces around it"
            )
        if name.lower() in seen:
            raise ValueError(f"hold header {name} once: upper and lower case are the same")
        seen.add(name.lower())
    return headers


def json_strings(text: str) -> list[str] | None:
    """The strings of a JSON list of strings; None where the text is something else, say a pattern in brackets."""
    import json  # noqa: PLC0415 - most runs have none

    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and all(isinstance(word, str) for word in value) else None


def _parsed(text: str) -> object:
    import json  # noqa: PLC0415 - most runs have none

    def refuse(word: str) -> None:
        raise ValueError(f"be JSON, which has no {word}")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise ValueError(f"be a JSON object: {what} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError("be a JSON object that is not nested so deeply") from None


def _plain(value: Any, where: str) -> Any:
    """A copy of plain dicts and lists; what JSON cannot hold (dates of TOML, infinity) is refused by its key."""
    match value:
        case Mapping():
            return {key: _plain(child, f"{where}.{key}") for key, child in value.items()}
        case list() | tuple():
            return [_plain(child, where) for child in value]
        case float() if not math.isfinite(value):
            raise ValueError(f"hold finite numbers, not so {where}")
        case None | bool() | str() | int() | float():
            return value
        case _:
            raise ValueError(f"hold what JSON has; {where} is a {type(value).__name__}")
