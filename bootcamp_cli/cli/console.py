"""What a command prints: its result on stdout, messages for people on stderr."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from bootcamp_cli.text import Redaction, visible

if TYPE_CHECKING:
    from bootcamp_cli.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The two channels of a command.

    `json` asks for the result as JSON, `quiet` for nothing besides it and errors. `redaction` holds the secrets known
    so far: code that learns one adds it, and no message or error shows it.
    """

    json: bool = False
    quiet: bool = False
    redaction: Redaction = field(default_factory=Redaction)

    def result(self, data: object, *, text: str, styled: bool = False) -> None:
        """Print what the command was asked for: `data` as JSON for machines, else `text`.

        `styled` says that `text` comes from a renderer that escaped what it shows, and may hold terminal styles.
        """
        if self.json:
            write_line(sys.stdout, json_text(data))
        elif text:
            write_line(sys.stdout, text if styled else escape_controls(text))

    def notify(self, text: str) -> None:
        """Print a message for the user, unless asked to be quiet."""
        if not self.quiet:
            write_line(sys.stderr, escape_controls(self.redaction.own(text)))

    def warn(self, text: str) -> None:
        """Warn the user about something probably unintended, unless asked to be quiet."""
        self.notify(f"warning: {text}")

    def on_event(self, event: "Event") -> None:
        """Print the messages among the events of an evaluation."""
        from bootcamp_cli.events import Noted, Warned

        if isinstance(event, Noted):
            self.notify(event.message)
        elif isinstance(event, Warned):
            self.warn(event.message)


def aligned(rows: Sequence[Sequence[str]], *, widest: int | None = None) -> str:
    """The rows as aligned columns; a cell of more than `widest` characters pushes the rest of its row.

    rich, which draws the report in a terminal, would take a third of the time of `templates list` for the same lines.
    """
    widths = [min(max(map(len, column)), widest or sys.maxsize) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def json_text(data: object) -> str:
    """The data as JSON that people can read: indented, letters of all scripts unescaped, control characters escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=2, default=_as_json)
    if text.isascii():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def write_line(stream: TextIO | None, text: str) -> None:
    """Write a line at once, in the stream's encoding; a closed stream or a reader that has gone ends no command."""
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding).rstrip("\n") + "\n")
        stream.flush()
    except BrokenPipeError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Discard everything written to the stream from here on, and what it still buffers."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def escape_controls(text: str) -> str:
    r"""Text of any origin, safe for a terminal: ESC as `\x1b`; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else visible(char) for char in text)


def _as_json(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
