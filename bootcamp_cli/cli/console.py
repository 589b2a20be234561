"""What a command prints: its result on stdout, messages for people on stderr."""

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, TextIO

from bootcamp_cli.text import Redaction, visible_lines

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
            write_line(sys.stdout, text if styled else visible_lines(text))

    def notify(self, text: str) -> None:
        """Print a message for the user, unless asked to be quiet."""
        if not self.quiet:
            write_line(sys.stderr, visible_lines(self.redaction.own(text)))

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


def paged(texts: Iterable[str], *, in_pager: bool, env: Mapping[str, str]) -> None:
    """Write texts one after the other to stdout, or to a pager: $PAGER, else less where it is installed.

    The texts must be safe for a terminal. A reader who leaves ends it: no further text is asked for.
    """
    pager = _pager(env) if in_pager else None
    if pager is None:
        for text in texts:
            if not _written(sys.stdout, text):
                silence(sys.stdout)
                return
        return
    import subprocess

    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own choice
            pager, stdin=subprocess.PIPE, encoding="utf-8", errors="backslashreplace", env={"LESS": "FRX", **env}
        )
    except OSError:
        paged(texts, in_pager=False, env=env)
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's, as in git
    try:
        assert process.stdin is not None  # noqa: S101 - what was asked for
        for text in texts:
            if not _written(process.stdin, text):
                break
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _written(stream: IO[str], text: str) -> bool:
    """Whether a text could be written."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        return False
    return True


def _pager(env: Mapping[str, str]) -> list[str] | None:
    """The command of the pager; None where there is none or it is `cat`."""
    try:
        words = shlex.split(env.get("PAGER", "less"))
    except ValueError:
        return None
    if not words or words == ["cat"]:
        return None
    found = shutil.which(words[0], path=env.get("PATH"))
    return None if found is None else [found, *words[1:]]


def silence(stream: TextIO) -> None:
    """Discard everything written to the stream from here on, and what it still buffers."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _as_json(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
