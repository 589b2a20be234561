"""The help of a command as text: usage, description, example, and sections of two columns.

typer only groups options by `rich_help_panel` with rich, whose import costs more than a whole `--help` may.
"""

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typer.core import TyperArgument, TyperOption

GENERAL = "General"
"""The group of options that every command has; it comes last."""

_WIDEST = 80
_NARROWEST = 50
_NAME_COLUMN = 28
"""Widest option name that still has its help next to it, in columns."""

_LONGEST_METAVAR = 40
"""Longest list of choices that is shown next to its option name, in columns."""

_USAGE = "Usage: "
_NO_NOTES: Mapping[str, "OptionNote"] = {}

Rows = Sequence[tuple[str, str]]
"""Names with what the help says about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionNote:
    """What the help says about a setting besides its help text: default as text, and variable; empty for none."""

    default: str = ""
    variable: str = ""


def help_text(*, usage: Sequence[str], about: str, example: str, sections: Mapping[str, Rows]) -> str:
    """The whole help. `usage` is the command's path and what may follow it; empty sections are left out."""
    width = max(min(shutil.get_terminal_size().columns, _WIDEST) - 2, _NARROWEST)
    parts = [
        _usage(*usage, width=width),
        _description(about, width),
        _example(example, width),
        *_sections(sections, width),
    ]
    return "\n".join(part for part in parts if part).rstrip("\n")


def _usage(path: str, *pieces: str, width: int) -> str:
    before = f"{_USAGE}{path} "
    if width >= len(before) + 20:
        return _wrapped(" ".join(pieces), width, first=before, rest=" " * len(before))
    indent = " " * (len(_USAGE) + 4)
    return f"{before}\n{_wrapped(' '.join(pieces), width, first=indent, rest=indent)}"


def _description(text: str, width: int) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n".join(_wrapped(" ".join(paragraph.split()), width, first="  ", rest="  ") for paragraph in paragraphs)


def _example(example: str, width: int) -> str:
    """A section with command lines that can be copied; long ones continue after a backslash."""
    lines = [part for line in example.strip("\n").splitlines() for part in _continued(line, width - 4)]
    return "Example:\n" + "".join(f"  {line}\n" for line in lines) if example else ""


def _continued(line: str, width: int) -> list[str]:
    """A command line in parts of at most `width` columns if it can be broken, which is before an option."""
    parts = [""]
    for piece in re.split(r" (?=--)", line):
        if parts[-1] and len(parts[-1]) + 1 + len(piece) > width:
            parts[-1] += " \\"
            parts.append(f"  {piece}")
        else:
            parts[-1] = f"{parts[-1]} {piece}" if parts[-1] else piece
    return parts


def _sections(sections: Mapping[str, Rows], width: int) -> list[str]:
    """Named sections of two columns that are aligned across all of them."""
    short = [len(name) for rows in sections.values() for name, _ in rows if len(name) <= _NAME_COLUMN]
    column = max(short, default=0) + 2
    return [
        "".join(f"{line}\n" for line in (f"{title}:", *(line for row in rows for line in _lines(*row, column, width))))
        for title, rows in sections.items()
        if rows
    ]


def _lines(name: str, text: str, column: int, width: int) -> list[str]:
    """A name with its text next to it, or below it if the name is too long."""
    wrapped = textwrap.wrap(text, max(width - column - 2, 10), break_long_words=False)
    if wrapped and len(name) + 2 <= column:
        return [f"  {name:{column}}{wrapped[0]}", *(f"{'':{column + 2}}{line}" for line in wrapped[1:])]
    return [f"  {name}", *(f"{'':{column + 2}}{line}" for line in wrapped)]


def _wrapped(text: str, width: int, *, first: str, rest: str) -> str:
    """The text in lines of at most `width` columns, each with its line feed."""
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False) + "\n"


def option_name(option: TyperOption, notes: Mapping[str, OptionNote] = _NO_NOTES) -> str:
    """How the help names an option: `--url URL`, `--resume`, `--verify / --no-verify` where true is the default."""
    if not option.is_flag:
        metavar = option.metavar or (option.name or "").upper()
        return f"{option.opts[0]} {'NAME' if len(metavar) > _LONGEST_METAVAR else metavar}"
    if _default(option, notes) == "true":
        return f"{option.opts[0]} / {option.secondary_opts[0]}"
    return ", ".join(sorted(option.opts, key=len))


def option_help(option: TyperOption, notes: Mapping[str, OptionNote] = _NO_NOTES) -> str:
    """What the help says about an option, with its default and its variable."""
    default = _default(option, notes)
    brackets = [] if default in ("", "false") else [default if default == "required" else f"default: {default}"]
    if (note := notes.get(option.name or "")) and note.variable:
        brackets.append(f"${note.variable}")
    text = option.help or ""
    if option.metavar and len(option.metavar) > _LONGEST_METAVAR:
        text = f"{text.rstrip('.')}: {option.metavar.replace('|', ', ')}"
    return f"{text} [{'; '.join(brackets)}]" if brackets else text


def _default(option: TyperOption, notes: Mapping[str, OptionNote]) -> str:
    """The default that the help shows, empty for none."""
    if note := notes.get(option.name or ""):
        return note.default
    if isinstance(option.default, bool):
        return str(option.default).lower()
    return "" if option.default is None or not option.show_default else str(option.default)


def argument_name(argument: TyperArgument) -> str:
    """How the help names an argument: `RUN_DIR`."""
    return argument.metavar or (argument.name or "").upper()


def argument_usage(argument: TyperArgument) -> str:
    """`RUN_DIR`, in brackets where it may be left out."""
    name = argument_name(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"
