"""What a killed writer leaves behind the last newline: the start of a line of ours, and nothing else."""

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any

from bootcamp_cli.encoding import decode
from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.atomic import Check, no_check

_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_NUMBER_GOING_ON = re.compile(r"\.|(\.\d+)?[eE][+-]?")
_ESCAPE_GOING_ON = re.compile(r"\\?u[0-9a-fA-F]{0,4}")


def mend_tail(path: Path, check: Check = no_check) -> bool:
    """Cut off a torn last line, or end it where the record is whole; True where something was cut.

    Only the holder of the lock may call it, whose `check` is asked once the file is open.

    Raises:
        RunDirectoryError: what stands behind the last newline is no line of ours; nothing was changed.
    """
    try:
        with path.open("r+b") as file:
            check()
            size = file.seek(0, os.SEEK_END)
            start = _last_line_start(file, size)
            file.seek(start)
            tail = file.read()
            if not tail:
                return False
            if _is_object(tail):
                file.write(b"\n")
                return False
            if not is_torn(tail):
                raise RunDirectoryError(
                    f"{path}: the last line, which has no end, is not the start of a record",
                    hint="mend or remove that line; nothing was changed",
                )
            file.truncate(start)
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise disk_error(error, f"mend {path}") from error


def _last_line_start(file: Any, size: int) -> int:
    """The offset behind the last newline."""
    end = size
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + int(newline) + 1
        end = start
    return 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except (ValueError, RecursionError):
        return False


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
