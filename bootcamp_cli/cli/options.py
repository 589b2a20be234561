'''From declared settings to the options of a command.

A command file declares its own options with typer's annotations, names the settings that it reads, and returns its exit
code:

    @command(settings=ALL_SETTINGS, example="bootcamp eval --url http://127.0.0.1:8000/v1 --test-dir tests")
    def eval_command(call: Call) -> int:
        """Evaluate a model on a test dir.

        More about it: --help shows all of this text.
        """
        from bootcamp_cli import api  # here, so that --help does not load it

        settings = call.learn(api.read_settings(call.sources))
        ...
        call.console.result(data, text=...)
        return EXIT_OK

    @command(example="bootcamp report output/r1_32B_tests_20260101_120000 --format csv")
    def report_command(
        call: Call,
        run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="The run directory.")],
        format_: Annotated[str, typer.Option("--format", metavar="table|csv", rich_help_panel="Output")] = "table",
        dry_run: Annotated[bool, typer.Option("--dry-run/--no-dry-run", help="Only show.")] = False,
    ) -> int:

The metavar of an option or argument also says what the shell completes: `a|b` these words, DIR, FILE, RUN_DIR, PROFILE,
TEMPLATE and BOOTCAMP what they name, PATH a test dir or file. `app.py` names the command and its file. Every command
gets --json, --quiet and --debug; those with settings also get --config and --profile.
'''

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter as Argument
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Literal, get_args

import typer
from typer.models import ArgumentInfo

from bootcamp_cli.cli.command import CONTEXT, PAGE, BootcampCommand, Help, as_typed
from bootcamp_cli.cli.console import Console
from bootcamp_cli.cli.help_text import GENERAL, OptionNote
from bootcamp_cli.errors import UsageError
from bootcamp_cli.settings.convert import default_text
from bootcamp_cli.settings.model import Parameter, Settings, parameters
from bootcamp_cli.text import Redaction

if TYPE_CHECKING:
    from bootcamp_cli.settings.sources import Resolved, Sources

Flags = dict[str, str | list[str]]
"""The settings given on the command line, by name, as they were typed; a boolean one is `true` or `false`."""

GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="TEXT",
        help="what the difference must be above, like 'overall > -1%' or 'FAMILY > -2%'; repeatable",
        rich_help_panel="Comparison",
    ),
]
GateAgainstOption = Annotated[
    str | None,
    typer.Option(
        "--gate-against", metavar="RUN_DIR", help="the run to compare with when done", rich_help_panel="Comparison"
    ),
]
HtmlOption = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar=PAGE,
        help="also write a page to look at, one .html file that needs no network; by default report.html in the run "
        "directory",
        rich_help_panel="Output",
    ),
]

RedoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--redo",
        metavar="KIND|FILE:ROW[:REPEAT]",
        help="ask again for samples that are failed, truncated, empty, filtered or unscored, or for one; repeatable",
        rich_help_panel="Redoing",
    ),
]

RunOption = Annotated[
    str | None,
    typer.Option(
        "--run", metavar="RUN_DIR", help="the run directory that gets the answers", rich_help_panel="Importing"
    ),
]

TrackerOption = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        metavar="trackio[:PROJECT]",
        help="log parameters and scores there when done; a failure is a warning",
        rich_help_panel="Tracking",
    ),
]
TrackerStepOption = Annotated[
    int | None,
    typer.Option("--tracker-step", metavar="N", help="step of the checkpoint", rich_help_panel="Tracking"),
]
TrackerRunOption = Annotated[
    str | None,
    typer.Option(
        "--tracker-run",
        metavar="NAME",
        help="name of the run in the tracker; checkpoints under one name make a curve; by default the run directory's",
        rich_help_panel="Tracking",
    ),
]

ALL_SETTINGS: frozenset[str] = frozenset(parameter.name for parameter in parameters())


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every command is called with, besides its own arguments.

    `config` and `profile` tell where else settings are read from, `debug` asks for tracebacks.
    """

    console: Console
    flags: Flags
    config: str | None = None
    profile: str | None = None
    debug: bool = False

    @property
    def sources(self) -> "Sources":
        """Where the settings of this call come from: its flags, this process's environment, the files."""
        from bootcamp_cli.settings.sources import Sources, user_config_file

        return Sources(
            flags=self.flags,
            env=os.environ,
            cwd=Path.cwd(),
            config=None if self.config is None else Path(self.config),
            profile=self.profile,
            user_file=user_config_file(),
        )

    def learn(self, resolved: "Resolved") -> Settings:
        """Hide the secrets of these settings from all further messages, and print the warnings."""
        from bootcamp_cli.settings.convert import secrets_of, shown_names

        self.console.redaction.add(secrets_of(resolved.settings), shown=shown_names(resolved.settings))
        for warning in resolved.warnings:
            self.console.warn(warning)
        return resolved.settings


Rest = Literal["sources", "run", "defaults"]
"""Where settings come from that are not given as flags: environment, files and defaults; a run that is continued; the
defaults alone."""


def command(
    *, example: str, settings: Iterable[str] | None = None, hidden: Iterable[str] = (), rest: Rest = "sources"
) -> Callable[[Callable[Concatenate[Call, ...], int]], BootcampCommand]:
    """Make a command from a function whose first parameter is its `Call` and whose others are annotated for typer.

    `settings` names those that the command accepts as flags; None means that it reads no settings. The `hidden` ones
    are accepted but not shown in the help. `rest` is where those come from that are not given. `example` is one or more
    command lines that run as they are.
    """

    def made(function: Callable[Concatenate[Call, ...], int]) -> BootcampCommand:
        wanted = [parameter for parameter in parameters() if parameter.name in frozenset(settings or ())]
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        options = [
            *(_setting_option(parameter, hidden=parameter.name in frozenset(hidden)) for parameter in wanted),
            *general_options(reads_settings=settings is not None and rest != "defaults"),
        ]
        app.command(cls=BootcampCommand, epilog=example, add_help_option=False, context_settings=CONTEXT)(
            _as_typer_sees_it(function, options, {parameter.name for parameter in wanted})
        )
        built = typer.main.get_command(app)
        assert isinstance(built, BootcampCommand)  # noqa: S101 - what `cls` asked for
        built.notes = {
            parameter.name: OptionNote(
                default="" if rest == "run" else _shown_default(parameter),
                variable=parameter.env if rest == "sources" else "",
            )
            for parameter in wanted
        }
        return built

    return made


def _setting_option(parameter: Parameter, *, hidden: bool) -> Argument:
    return _option(
        parameter.name,
        help=f"{parameter.param.help}, repeatable" if parameter.repeatable else parameter.param.help,
        group=parameter.param.group,
        metavar=_metavar(parameter),
        boolean=parameter.param.kind == "switch",
        repeatable=parameter.repeatable,
        hidden=hidden,
    )


def _metavar(parameter: Parameter) -> str:
    """The placeholder of the value, which also says how the shell completes it."""
    if parameter.choices:
        return "|".join(parameter.choices)
    if parameter.param.kind == "path" and not parameter.param.several:
        return "DIR" if parameter.name.endswith(("_dir", "_path")) else "FILE"
    return "TEMPLATE" if parameter.name == "template" else parameter.metavar


def _shown_default(parameter: Parameter) -> str:
    """The default as the help shows it, empty where nothing is set."""
    shown = default_text(parameter)
    return "" if shown == "none" else shown


def general_options(*, reads_settings: bool) -> list[Argument]:
    """The options that every command has; with settings also those that tell where else these come from."""
    sources = [
        _option("config", metavar="FILE", help="settings file to read instead of ./bootcamp.toml"),
        _option("profile", metavar="PROFILE", help="use the [profile.NAME] table of the settings file"),
    ]
    return [
        *(sources if reads_settings else []),
        _option("json", boolean=True, help="print the result as JSON"),
        _option("quiet", boolean=True, help="print nothing but the result and errors"),
        _option("debug", boolean=True, help="show the traceback of an error"),
        Argument("help", Argument.KEYWORD_ONLY, default=False, annotation=Help),
    ]


def _option(
    name: str,
    *,
    help: str,  # noqa: A002 - typer's word
    group: str = GENERAL,
    metavar: str = "TEXT",
    boolean: bool = False,
    repeatable: bool = False,
    hidden: bool = False,
) -> Argument:
    """An option whose text is converted elsewhere: None where it was not given, so that other sources count.

    A boolean one is negated by `--no-` and gives a bool; a repeatable one gives a list of texts.
    """
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if boolean else flag,
        help=help,
        metavar=metavar,
        hidden=hidden,
        rich_help_panel=group,
        parser=None if boolean else as_typed,
    )
    kind: Any = bool if boolean else list[str] if repeatable else str
    return Argument(name, Argument.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _as_typer_sees_it(
    function: Callable[Concatenate[Call, ...], int], options: Iterable[Argument], names: Iterable[str]
) -> Callable[..., int]:
    """The function with `options` in place of its first parameter, which is built from their values."""
    _, *own = signature(function, eval_str=True).parameters.values()
    own = [_converted_here(argument) for argument in own]
    places = [argument.name for argument in own if isinstance(get_args(argument.annotation)[1], ArgumentInfo)]

    def run(context: typer.Context, **values: Any) -> int:
        call = _call(values, names, redaction=context.obj)
        call.console.redaction.add((), shown=[str(values[name]) for name in places if values[name]])
        return function(call, **{argument.name: values[argument.name] for argument in own})

    context = Argument("context", Argument.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    arguments = [context, *(argument.replace(kind=Argument.KEYWORD_ONLY) for argument in own), *options]
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__signature__ = Signature(arguments)  # type: ignore[attr-defined]
    run.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    return run


def _converted_here(argument: Argument) -> Argument:
    """A command's own argument with this module's text conversion, which is the same in every typer release."""
    annotation, declared = get_args(argument.annotation)
    kind = next((part for part in get_args(annotation) if part is not type(None)), annotation)
    if kind in (int, float):
        declared.parser = _number_parser(kind, f"--{argument.name.strip('_').replace('_', '-')}")
    elif kind is not bool:
        declared.parser = as_typed
    return argument


def _number_parser(kind: type[int] | type[float], flag: str) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            noun = "an integer" if kind is int else "a number"
            raise UsageError(f"{flag}: must be {noun}, got {text!r}") from None

    return parsed


def _call(values: dict[str, Any], names: Iterable[str], *, redaction: Redaction) -> Call:
    flags = {name: text for name in names if (text := given_text(values[name])) is not None}
    return Call(
        console=Console(json=bool(values["json"]), quiet=bool(values["quiet"]), redaction=redaction),
        flags=flags,
        config=values.get("config"),
        profile=values.get("profile"),
        debug=bool(values["debug"]),
    )


def given_text(value: Iterable[str] | str | bool | None) -> str | list[str] | None:  # noqa: FBT001 - what typer gives
    """What was typed, as text: `true` or `false` for a boolean option, None where the option was not given."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return list(value) or None
