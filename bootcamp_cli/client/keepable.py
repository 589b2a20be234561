"""What of a server's own objects is kept on disk: nothing that whoever reads it back could choke on."""

import json
from contextlib import suppress
from typing import Any

import msgspec

MAX_DEPTH = 20
MAX_KEPT_CHARS = 20_000


def is_keepable(value: Any) -> bool:
    """Whether a JSON value is small and shallow enough to be kept, and can be written as UTF-8.

    How deep a value may be to be written and read back depends on the depth of the calls around the parser, which
    differs from place to place: what is within `MAX_DEPTH` can be read in all of them.
    """
    with suppress(UnicodeEncodeError, RecursionError):
        text = msgspec.json.encode(value)
        n_levels = text.count(b"{") + text.count(b"[")
        if len(text) <= MAX_KEPT_CHARS and n_levels <= MAX_DEPTH and b"null" not in text:
            return True
    room = MAX_KEPT_CHARS
    left = [(value, 0)]
    while left:
        item, depth = left.pop()
        children: list[Any] = []
        if isinstance(item, str):
            room -= len(item)
        elif isinstance(item, dict | list):
            room -= len(item)
            if room < 0 or depth == MAX_DEPTH:
                return False
            children = [*item, *item.values()] if isinstance(item, dict) else item
        left += [(child, depth + 1) for child in children]
    if room < 0:
        return False
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True
