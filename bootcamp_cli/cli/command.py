"""The class of every command: options in named groups, an example in the help, misuse reported in one line.

typer has no boolean options with an optional value (`--resume true`), and no file that may be left out (`--html`), so
the words are rewritten before it reads them.
"""

import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from bootcamp_cli.cli.console import write_line
from bootcamp_cli.cli.help_text import (
    GENERAL,
    OptionNote,
    argument_name,
    argument_usage,
    help_text,
    option_help,
    option_name,
)
from bootcamp_cli.errors import SettingsError, UsageError

TRUE_WORDS = frozenset({"true", "yes", "1", "on"})
FALSE_WORDS = frozenset({"false", "no", "0", "off"})


def dashed(name: str) -> str:
    """The name of an option or a command with dashes for underscores."""
    return name.replace("_", "-")


CONTEXT: dict[str, Any] = {"token_normalize_func": dashed}
"""The settings of every context: options may be written with underscores. Values are left alone."""


def _print_help(context: typer.Context, wanted: bool) -> None:  # noqa: FBT001 - what typer calls
    if wanted:
        write_line(sys.stdout, context.get_help())
        raise typer.Exit


Help = Annotated[
    bool, typer.Option("--help", "-h", is_eager=True, callback=_print_help, help="show this help and exit")
]
"""The option `--help` of every group and command: typer's own treats a reader that goes away as an error."""


class BootcampCommand(TyperCommand):
    """A command whose epilog is its example, and whose options are grouped by their `rich_help_panel`.

    `notes` holds what the help shows about settings, by name, besides their help text.
    """

    notes: Mapping[str, OptionNote] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; a boolean option may have a value."""
        options = [param for param in self.params if isinstance(param, TyperOption)]
        _convert_here(self.params)
        with usage_errors_translated(ctx):
            bare = with_bare_booleans(args, booleans=_booleans(options), valued=_valued(options) - _pages(options))
            return super().parse_args(ctx, with_pages(bare, _pages(options), _valued(options)))

    def get_help(self, ctx: Any) -> str:
        """Usage, description, example, the arguments, and the options by group in one common column."""
        arguments = [param for param in self.params if isinstance(param, TyperArgument)]
        sections: dict[str, list[tuple[str, str]]] = {
            "Arguments": [(argument_name(argument), argument.help or "") for argument in arguments]
        }
        general: list[tuple[str, str]] = []
        for option in self.params:
            if isinstance(option, TyperOption) and not option.hidden:
                group = option.rich_help_panel or GENERAL
                rows = general if group == GENERAL else sections.setdefault(group, [])
                rows.append((option_name(option, self.notes), option_help(option, self.notes)))
        return help_text(
            usage=(ctx.command_path, "[OPTIONS]", *map(argument_usage, arguments)),
            about=self.help or "",
            example=self.epilog or "",
            sections={**sections, GENERAL: general},
        )


class _Converter:
    """In place of what typer 0.29 has pydantic convert a value with: our own function, which raises as typer asks."""

    def __init__(self, parser: Callable[[str], Any]) -> None:
        self._parser = parser

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - as typer calls it
        """The value of a text, or the values of the texts of an option that may be repeated."""
        if param.multiple or param.nargs == -1:
            return [self._parser(text) for text in value] if value else ()
        return self._parser(value) if isinstance(value, str) else value


def as_typed(text: str) -> str:
    """The text as it is: typer 0.29 would have pydantic check it, which rejects bytes that are not UTF-8."""
    return text


def _convert_here(params: Iterable[Any]) -> None:
    """Keep typer 0.29 from making a converter of each option by pydantic, which takes 100 ms: they have their own.

    Releases without such converters ignore the attribute.
    """
    for param in params:
        described = getattr(param, "type_descriptor", None)
        parser = getattr(getattr(described, "parameter_info", None), "parser", None)
        if parser is not None or getattr(described, "annotation", None) is bool:
            param._runtime_param = _Converter(parser or as_typed)  # noqa: SLF001 - typer has no public name for it


@contextmanager
def usage_errors_translated(ctx: Any) -> Iterator[None]:
    """Raise typer's errors about the words as errors of this tool, with the next step.

    Raises:
        UsageError: an option, a value or an argument is wrong.
    """
    try:
        yield
    except typer.TyperException as error:
        hint = f"see {ctx.command_path} --help"
        if not hasattr(error, "possibilities"):  # typer exports no name for the error that has them: unknown option
            text = error.format_message().rstrip(".")
            raise UsageError(text[:1].lower() + text[1:], hint=hint) from error
        from bootcamp_cli.settings.convert import suggestion

        name = str(getattr(error, "option_name", ""))
        options = [param for param in ctx.command.params if isinstance(param, TyperOption) and not param.hidden]
        names = [other for option in options for other in (*option.opts, *option.secondary_opts)]
        known = [other for other in names if other.startswith("--no-") == name.startswith("--no-") and len(other) > 2]
        raise UsageError(f"no such option {name}", hint=suggestion(name, known) or hint) from error


def _booleans(options: Iterable[TyperOption]) -> dict[str, str]:
    return {name: option.secondary_opts[0] for option in options if option.secondary_opts for name in option.opts}


def _valued(options: Iterable[TyperOption]) -> frozenset[str]:
    return frozenset(name for option in options if not option.is_flag for name in option.opts)


PAGE = "[FILE]"
"""The metavar of an option with the name of a page, which may be left out."""


def _pages(options: Iterable[TyperOption]) -> frozenset[str]:
    return frozenset(name for option in options if option.metavar == PAGE for name in option.opts)


def with_pages(words: Sequence[str], pages: Container[str], valued: Container[str]) -> list[str]:
    """The same command line with a value, if an empty one, for each option in `pages`.

    The word after such an option is its value only if it is the name of a page: if it ends in .html or .htm. The word
    after another option that takes a value (`valued`) is copied as it is. Words after `--` are left alone.
    """

    def with_page(name: str, value: str | None, waiting: list[str]) -> str | None:
        if name not in pages or value is not None:
            return None
        is_named = bool(waiting) and waiting[-1].lower().endswith((".html", ".htm"))
        return f"{name}={waiting.pop() if is_named else ''}"

    return _rewritten(words, valued, with_page)


def with_bare_booleans(words: Sequence[str], *, booleans: Mapping[str, str], valued: Container[str]) -> list[str]:
    """The same command line with every boolean option bare or negated.

    `booleans` maps a boolean option to its negation (`--resume` to `--no-resume`), `valued` holds the options that
    take a value: the word after one of these is copied as it is, whatever it looks like. The word after a boolean
    option is its value only if it is one of `TRUE_WORDS` or `FALSE_WORDS`. Words after `--` are left alone.

    Raises:
        SettingsError: a boolean option is given something else after `=`.
    """

    def bare(name: str, value: str | None, waiting: list[str]) -> str | None:
        if name not in booleans:
            return None
        is_given = value is not None
        if not is_given and waiting and _is_boolean(waiting[-1]):
            value = waiting.pop()
        return name if _truth(name, value or "", given=is_given) else booleans[name]

    return _rewritten(words, valued, bare)


_Rewrite = Callable[[str, str | None, list[str]], str | None]
"""Gives what stands for an option, from its name, what it has after `=`, and the words to come, last first; or None."""


def _rewritten(words: Sequence[str], valued: Container[str], rewrite: _Rewrite) -> list[str]:
    """The same command line with options rewritten; values of other options, and all after `--`, are left alone."""
    result: list[str] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            return [*result, word, *reversed(waiting)]
        name, equals, value = word.partition("=")
        name = dashed(name)
        rewritten = rewrite(name, value if equals else None, waiting)
        result.append(word if rewritten is None else rewritten)
        if rewritten is None and not equals and name in valued and waiting:
            result.append(waiting.pop())
    return result


def _is_boolean(word: str) -> bool:
    return word.lower() in TRUE_WORDS or word.lower() in FALSE_WORDS


def _truth(name: str, value: str, *, given: bool) -> bool:
    if value.lower() in TRUE_WORDS or not (value or given):
        return True
    if value.lower() in FALSE_WORDS:
        return False
    raise SettingsError(f"{name}: must be true or false, got {value!r}")


def is_on(flag: str, words: Sequence[str]) -> bool:
    """Whether a raw command line, which may be invalid, asks for a boolean option (`--json`)."""
    options = words[: words.index("--")] if "--" in words else words
    negation = f"--no-{flag[2:]}"
    try:
        bare = with_bare_booleans(options, booleans={flag: negation}, valued=())
    except SettingsError:
        return False
    asked = [dashed(word) for word in bare if dashed(word) in (flag, negation)]
    return asked[-1:] == [flag]
