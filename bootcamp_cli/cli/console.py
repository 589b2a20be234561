"""What a command prints: its result on stdout, everything said to a person on stderr."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from bootcamp_cli.text import Secrets, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The two channels of a command.

    `json` asks for the result as JSON, `quiet` for no words beside it and errors. `masked` are the secrets known so
    far: whoever learns one adds it, and nothing that is said, nor an error, shows it.
    """

    json: bool = False
    quiet: bool = False
    masked: list[str] = field(default_factory=list)

    def result(self, data: object, *, text: str, styled: bool = False) -> None:
        """Print what the command was asked for: `data` as JSON for machines, else `text`.

        `styled` says that `text` was made by a renderer that escaped what it shows, and may hold terminal styles.
        """
        if self.json:
            write_line(sys.stdout, json_text(data))
        elif text:
            write_line(sys.stdout, text if styled else escape_controls(text))

    def notify(self, text: str) -> None:
        """Tell the user something, unless asked to be quiet."""
        if not self.quiet:
            write_line(sys.stderr, escape_controls(hide(text, self.masked)))

    def warn(self, text: str) -> None:
        """Tell the user about something that may not be meant, unless asked to be quiet."""
        self.notify(f"warning: {text}")


def aligned(rows: Sequence[Sequence[str]], *, widest: int | None = None) -> str:
    """The rows as columns that begin at the same place, but for cells of more than `widest` characters.

    rich, which draws the report in a terminal, would take a third of the time of `templates list`, for the same lines.
    """
    widths = [min(max(map(len, column)), widest or sys.maxsize) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def json_text(data: object) -> str:
    """The data as JSON for a person's eye as well: indented, letters of all scripts as they are, controls escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=2, default=_as_json)
    if text.isascii():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def hide(text: str, masked: list[str]) -> str:
    """The text without the secrets."""
    return Secrets.of(masked).redact(text)


def write_line(stream: TextIO | None, text: str) -> None:
    """Write a line at once, in whatever encoding the stream has; a closed stream or a reader gone ends no command."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding).rstrip("\n") + "\n")
        stream.flush()
    except BrokenPipeError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Let everything written to the stream from here on, and what it still holds, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def escape_controls(text: str) -> str:
    r"""Text of any origin that a terminal shows and does not obey: ESC as `\x1b`; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else visible(char) for char in text)


def _as_json(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
