"""The class of every command: options in named groups, names with dashes or underscores, an example in the help.

typer prints option groups with rich only, whose import costs more than a whole `--help` may. It knows no boolean option
with an optional value, so the words are rewritten before it reads them.
"""

import re
import sys
from collections.abc import Container, Iterable, Mapping, Sequence

from typer._click.core import Context
from typer._click.exceptions import UsageError
from typer._click.formatting import HelpFormatter
from typer.core import TyperArgument, TyperCommand, TyperOption

from bootcamp_cli.cli.console import write_line
from bootcamp_cli.errors import SettingsError

# `_click` is vendored by typer, which exports none of this; pyproject.toml holds typer to the release that has it here


GENERAL = "General"
"""The group of options that every command has; it comes last."""

_NAME_COLUMN = 28
"""Widest name of an option that still has its help beside it, in columns."""

_LONGEST_METAVAR = 40
"""Longest list of choices that stands beside the name of its option, in columns."""


class BootcampCommand(TyperCommand):
    """A command whose epilog is its example.

    The group of an option is its `rich_help_panel`.
    """

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the words in any of their spellings."""
        options = [param for param in self.get_params(ctx) if isinstance(param, TyperOption)]
        words = canonical_words(args, booleans=_booleans(options), valued=_valued(options))
        try:
            return super().parse_args(ctx, words)
        except UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def get_help_option(self, ctx: Context) -> TyperOption:  # noqa: ARG002 - typer's signature
        """The option `--help`, always the same one."""
        if self._help_option is None:
            self._help_option = help_option()
        return self._help_option

    def collect_usage_pieces(self, ctx: Context) -> list[str]:  # noqa: ARG002 - typer's signature
        """`[OPTIONS] RUN_DIR`, in brackets where it may be left out."""
        arguments = [param for param in self.params if isinstance(param, TyperArgument)]
        return ["[OPTIONS]", *(_usage(argument) for argument in arguments)]

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Print nothing: the example stands before the options."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Print the example, the arguments, and the options by group in one common column."""
        write_example(formatter, self.epilog or "")
        sections: dict[str, list[tuple[str, str]]] = {}
        general: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if isinstance(param, TyperArgument):
                sections.setdefault("Arguments", []).append((argument_name(param), param.help or ""))
            elif isinstance(param, TyperOption) and not param.hidden:
                group = param.rich_help_panel or GENERAL
                rows = general if group == GENERAL else sections.setdefault(group, [])
                rows.append((option_name(param), option_help(param)))
        write_sections(formatter, {**sections, GENERAL: general})


def help_option() -> TyperOption:
    """The option `--help`: typer's own takes a reader that goes away for an error."""

    def show(ctx: Context, _param: TyperOption, wanted: bool) -> None:  # noqa: FBT001 - typer's signature
        if wanted and not ctx.resilient_parsing:
            write_line(sys.stdout, ctx.get_help())
            ctx.exit()

    return TyperOption(
        param_decls=["help", "--help", "-h"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="show this help and exit",
    )


def option_name(option: TyperOption) -> str:
    """How the help names an option: `--url URL`, `--resume`, `--verify / --no-verify` where true is the default."""
    if not option.is_flag:
        metavar = option.metavar or (option.name or "").upper()
        return f"{option.opts[0]} {'NAME' if len(metavar) > _LONGEST_METAVAR else metavar}"
    if default_text(option) == "true":
        return f"{option.opts[0]} / {option.secondary_opts[0]}"
    return ", ".join(sorted(option.opts, key=len))


def default_text(option: TyperOption) -> str:
    """The default that the help shows, empty for none."""
    if isinstance(option, RawOption):
        return option.default_text
    if isinstance(option.default, bool):
        return str(option.default).lower()
    return "" if option.default is None or not option.show_default else str(option.default)


def option_help(option: TyperOption) -> str:
    """What the help says of an option, with its default and its variable."""
    default = default_text(option)
    notes = [] if default in ("", "false") else [default if default == "required" else f"default: {default}"]
    if isinstance(option, RawOption) and option.variable:
        notes.append(f"${option.variable}")
    text = option.help or ""
    if option.metavar and len(option.metavar) > _LONGEST_METAVAR:
        text = f"{text.rstrip('.')}: {option.metavar.replace('|', ', ')}"
    return f"{text} [{'; '.join(notes)}]" if notes else text


def write_example(formatter: HelpFormatter, example: str) -> None:
    """A section with command lines that can be copied; long ones go on behind a backslash."""
    if not example:
        return
    formatter.write("\nExample:\n")
    for line in example.strip("\n").splitlines():
        formatter.write("".join(f"  {part}\n" for part in _continued(line, formatter.width - 4)))


def _continued(line: str, width: int) -> list[str]:
    """A command line in parts of at most `width` columns where it can be broken: before an option."""
    parts = [""]
    for piece in re.split(r" (?=--)", line):
        if parts[-1] and len(parts[-1]) + 1 + len(piece) > width:
            parts[-1] += " \\"
            parts.append(f"  {piece}")
        else:
            parts[-1] = f"{parts[-1]} {piece}" if parts[-1] else piece
    return parts


def write_sections(formatter: HelpFormatter, sections: dict[str, list[tuple[str, str]]]) -> None:
    """Named sections of two columns that begin at the same place in all of them."""
    short = [len(name) for rows in sections.values() for name, _ in rows if len(name) <= _NAME_COLUMN]
    width = max(short, default=0)
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)


def _booleans(options: Iterable[TyperOption]) -> dict[str, str]:
    return {name: option.secondary_opts[0] for option in options if option.secondary_opts for name in option.opts}


def _valued(options: Iterable[TyperOption]) -> frozenset[str]:
    return frozenset(name for option in options if not option.is_flag for name in option.opts)


def argument_name(argument: TyperArgument) -> str:
    """How the help names an argument: `RUN_DIR`."""
    return argument.metavar or (argument.name or "").upper()


def _usage(argument: TyperArgument) -> str:
    name = argument_name(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


class RawOption(TyperOption):
    """An option whose text is converted elsewhere: None where it was not given, so that other sources can supply it.

    A boolean one is negated by `--no-` and gives a bool; a repeatable one gives a tuple of texts.
    `default_text` and `variable` are for the help alone.
    """

    def __init__(  # noqa: PLR0913 - the fields of a declaration
        self,
        *,
        name: str,
        help: str,  # noqa: A002 - typer's word
        group: str,
        metavar: str = "TEXT",
        boolean: bool = False,
        repeatable: bool = False,
        hidden: bool = False,
        default_text: str = "",
        variable: str = "",
    ) -> None:
        super().__init__(
            param_decls=_declarations(name, boolean=boolean),
            type=None if boolean else str,
            is_flag=boolean or None,
            multiple=repeatable,
            help=help,
            metavar=metavar,
            hidden=hidden,
            rich_help_panel=group,
        )
        self.default_text = default_text
        self.variable = variable


def _declarations(name: str, *, boolean: bool) -> list[str]:
    dashed = name.replace("_", "-")
    return [name, f"--{dashed}/--no-{dashed}" if boolean else f"--{dashed}"]


def given_text(value: Sequence[str] | str | bool | None) -> str | list[str] | None:  # noqa: FBT001 - what typer gives
    """What was typed, as text: `true` or `false` for a boolean option, None where the option was not given."""
    match value:
        case None | ():
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return list(value)


TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
FALSE_WORDS = frozenset({"false", "no", "0", "off"})


def canonical_words(words: Sequence[str], *, booleans: Mapping[str, str], valued: Container[str]) -> list[str]:
    """The same command line with every option in its dashed spelling and every boolean option bare or negated.

    `booleans` maps a boolean option to its negation (`--resume` to `--no-resume`), `valued` holds the options that
    take a value: the word behind one of these is copied as it is, whatever it looks like. The word behind a boolean
    option is its value only where it is one of `TRUE_WORDS` or `FALSE_WORDS`. Words behind `--` are left alone.

    Raises:
        SettingsError: a boolean option is given something else behind `=`.
    """
    result: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            return [*result, word, *reversed(waiting)]
        if not word.startswith("--"):
            result.append(word)
            continue
        name, value = _split(word)
        if name in booleans:
            if value is None and waiting and _is_boolean(waiting[-1]):
                value = waiting.pop()
            result.append(name if _truth(name, value) else booleans[name])
            continue
        result.append(name if value is None else f"{name}={value}")
        if value is None and name in valued and waiting:
            result.append(waiting.pop())
    return result


def is_on(flag: str, words: Sequence[str]) -> bool:
    """Whether a bare command line, one that may be wrong elsewhere, asks for a boolean option (`--json`)."""
    options = words[: words.index("--")] if "--" in words else words
    try:
        spelled = canonical_words(options, booleans={flag: _negation(flag)}, valued=())
    except SettingsError:
        return False
    asked = [word for word in spelled if word in (flag, _negation(flag))]
    return asked[-1:] == [flag]


def _negation(flag: str) -> str:
    return f"--no-{flag[2:]}"


def _split(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("_", "-"), value if equals else None


def _is_boolean(word: str) -> bool:
    return word.lower() in TRUE_WORDS or word.lower() in FALSE_WORDS


def _truth(name: str, value: str | None) -> bool:
    if value is None or value.lower() in TRUE_WORDS:
        return True
    if value.lower() in FALSE_WORDS:
        return False
    raise SettingsError(f"{name}: must be true or false, got {value!r}")
