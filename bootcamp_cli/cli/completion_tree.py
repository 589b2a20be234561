"""The command line as data, for completion: commands, options and what their values may be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from typer.core import TyperArgument, TyperOption

from bootcamp_cli.cli.app import COMMANDS, Entry, EntryGroup, load_command
from bootcamp_cli.cli.command import BootcampCommand, argument_name
from bootcamp_cli.cli.option import RawOption

Place = Literal["DIR", "FILE", "RUN_DIR"]
"""Values that stand on the disk: a directory, any file, a directory with an eval_args.json."""

Values = tuple[str, ...] | Place | None
"""What a value may be: one of these words, something on the disk, or anything."""

_CLOSED = re.compile(r"[a-z0-9_-]+(\|[a-z0-9_-]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionNode:
    """An option: one that ends everything (`bare`), a boolean one, or one with a value.

    `negation` is set where it is worth offering: where another source can have set the option.
    """

    name: str
    help: str
    kind: Literal["bare", "boolean", "value"]
    negation: str = ""
    repeatable: bool = False
    values: Values = None

    @property
    def names(self) -> tuple[str, ...]:
        """The spellings to offer."""
        return (self.name, self.negation) if self.negation else (self.name,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandNode:
    """The words that call a command, what may follow, and what its arguments may be.

    A group has commands with their help, a command has options and the values of each argument by its name.
    """

    path: tuple[str, ...]
    help: str
    commands: Mapping[str, str]
    options: tuple[OptionNode, ...]
    arguments: Mapping[str, Values]


HELP = OptionNode(name="--help", help="show the help and exit", kind="bare")
VERSION = OptionNode(name="--version", help="print the version and exit", kind="bare")


def command_tree() -> tuple[CommandNode, ...]:
    """Every command with its group before it; imports all commands."""
    root = _group((), "", COMMANDS, (VERSION, HELP))
    return (root, *(node for name, entry in COMMANDS.items() for node in _nodes((name,), entry)))


def _nodes(path: tuple[str, ...], entry: Entry | EntryGroup) -> list[CommandNode]:
    if isinstance(entry, EntryGroup):
        group = _group(path, entry.help, entry.entries, (HELP,))
        return [group, *(node for name, child in entry.entries.items() for node in _nodes((*path, name), child))]
    command = load_command(path[-1], entry)
    if not isinstance(command, BootcampCommand):
        raise TypeError(f"{entry.target} is no command")
    options = [param for param in command.params if isinstance(param, TyperOption) and not param.hidden]
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    return [
        CommandNode(
            path=path,
            help=entry.help,
            commands={},
            options=(*(_option(option) for option in options), HELP),
            arguments={argument_name(argument): _values(argument_name(argument)) for argument in arguments},
        )
    ]


def _group(
    path: tuple[str, ...], text: str, entries: Mapping[str, Entry | EntryGroup], options: tuple[OptionNode, ...]
) -> CommandNode:
    commands = {name: entry.help for name, entry in entries.items()}
    return CommandNode(path=path, help=text, commands=commands, options=options, arguments={})


def _option(option: TyperOption) -> OptionNode:
    return OptionNode(
        name=option.opts[0],
        help=_brief(option.help or ""),
        kind="boolean" if option.is_flag else "value",
        negation=option.secondary_opts[0]
        if isinstance(option, RawOption) and option.variable and option.is_flag
        else "",
        repeatable=option.multiple,
        values=None if option.is_flag else _values(option.metavar or ""),
    )


def _brief(text: str) -> str:
    """The first clause of a help text, as a shell shows it beside a completion."""
    return text.split("; ", maxsplit=1)[0].rstrip(".")


def _values(metavar: str) -> Values:
    match metavar:
        case "DIR" | "FILE" | "RUN_DIR":
            return metavar
        case "TEMPLATE":
            return _template_names()
        case "BOOTCAMP":
            return _bootcamp_names()
        case _:
            return tuple(metavar.split("|")) if _CLOSED.fullmatch(metavar) else None


def _template_names() -> tuple[str, ...]:
    from bootcamp_cli.templates.builtin import BUILTIN_TEMPLATES

    return tuple(template.name for template in BUILTIN_TEMPLATES)


def _bootcamp_names() -> tuple[str, ...]:
    from bootcamp_cli.bootcamps.catalog import CATALOG

    return tuple(sorted(CATALOG))
