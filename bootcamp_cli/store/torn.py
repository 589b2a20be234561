"""What a killed writer leaves behind the last newline: the start of a line of ours, and nothing else."""

import codecs
import json
import re

_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_GOING_ON = re.compile(r"\.|(\.\d+)?[eE][+-]?")
_ESCAPE_GOING_ON = re.compile(r"\\?u[0-9a-fA-F]{0,4}")


def is_torn(tail: bytes) -> bool:
    """Whether `tail` is a line of ours that was cut off: the start of a JSON object in UTF-8, no whole one.

    After a power cut NULs may stand where the rest was to be written. Anything else was put there by someone else, and
    must not be cut off. A line with its newline was not cut off either.
    """
    if b"\n" in tail:
        return False
    written = tail.rstrip(b"\0")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(written)
    except UnicodeDecodeError:
        return False
    return not text or (text.startswith("{") and _goes_on(text))


def _goes_on(text: str) -> bool:
    """Whether a text that is no whole JSON document could become one by what follows."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        return (
            not rest.strip()
            or error.msg.startswith("Unterminated string")
            or _ESCAPE_GOING_ON.fullmatch(rest) is not None
            or any(literal.startswith(rest) for literal in _LITERALS)
            or _NUMBER_GOING_ON.fullmatch(rest) is not None
        )
    except (ValueError, RecursionError):
        return False
    return False
