'''From declared settings to the options of a command.

A command file declares what is its own with typer's annotations, names the settings that it reads, and returns its
exit code; it has no list of options of its own:

    @command(settings=ALL_SETTINGS, example="bootcamp eval --url http://127.0.0.1:8000/v1 --test-dir tests")
    def eval_command(call: Call) -> int:
        """Evaluate a model on a test dir.

        More about it: --help shows all of this text.
        """
        from bootcamp_cli.cli.evaluation import evaluate  # here, so that --help does not load it

        settings = read_settings(call).settings
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

The metavar of an option or argument is also what the shell completes: `a|b` these words, DIR, FILE, RUN_DIR, TEMPLATE
and BOOTCAMP what they say. `app.py` names the command and its file. Every command gets --json, --quiet and --debug,
those with settings --config and --profile as well.
'''

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter as Argument
from inspect import Signature, signature
from typing import Any, Concatenate

import typer

from bootcamp_cli.cli.command import GENERAL, BootcampCommand, RawOption, given_text
from bootcamp_cli.cli.console import Console
from bootcamp_cli.settings.convert import default_text
from bootcamp_cli.settings.model import Parameter, parameters

Flags = dict[str, str | list[str]]
"""The settings that were given on the command line, by name, as they were typed; a boolean one is `true` or `false`."""

ALL_SETTINGS: frozenset[str] = frozenset(parameter.name for parameter in parameters())


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every command is called with, beside the arguments of its own.

    `config` and `profile` say where else settings are read from, `debug` asks for tracebacks.
    """

    console: Console
    flags: Flags
    config: str | None = None
    profile: str | None = None
    debug: bool = False


def command(
    *, example: str, settings: Iterable[str] | None = None, hidden: Iterable[str] = ()
) -> Callable[[Callable[Concatenate[Call, ...], int]], BootcampCommand]:
    """Make a command of a function whose first parameter is its `Call` and whose others are annotated for typer.

    `settings` names those that the command accepts as flags, None that it reads no settings; the `hidden` ones are
    accepted and not shown in the help. `example` is one or more command lines that run as they are.
    """

    def made(function: Callable[Concatenate[Call, ...], int]) -> BootcampCommand:
        names = frozenset(settings or ())
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(cls=BootcampCommand, epilog=example)(_without_call(function, names))
        built = typer.main.get_command(app)
        assert isinstance(built, BootcampCommand)  # noqa: S101 - what `cls` asked for
        built.params += settings_options(names, hidden=frozenset(hidden))
        built.params += general_options(reads_settings=settings is not None)
        return built

    return made


def settings_options(names: frozenset[str], *, hidden: frozenset[str] = frozenset()) -> list[RawOption]:
    """An option for each of the named settings, in the order of their declaration."""
    wanted = [parameter for parameter in parameters() if parameter.name in names]
    return [_option(parameter, hidden=parameter.name in hidden) for parameter in wanted]


def general_options(*, reads_settings: bool) -> list[RawOption]:
    """The options that every command has; with settings also where else these come from."""
    sources = [
        RawOption(
            name="config", metavar="FILE", group=GENERAL, help="settings file to read instead of ./bootcamp.toml"
        ),
        RawOption(
            name="profile", metavar="NAME", group=GENERAL, help="use the [profile.NAME] table of the settings file"
        ),
    ]
    return [
        *(sources if reads_settings else []),
        RawOption(name="json", boolean=True, group=GENERAL, help="print the result as JSON"),
        RawOption(name="quiet", boolean=True, group=GENERAL, help="print nothing but the result and errors"),
        RawOption(name="debug", boolean=True, group=GENERAL, help="show the traceback of an error"),
    ]


def _option(parameter: Parameter, *, hidden: bool) -> RawOption:
    help_text = f"{parameter.param.help}, repeatable" if parameter.repeatable else parameter.param.help
    return RawOption(
        name=parameter.name,
        help=help_text,
        group=parameter.param.group,
        metavar=metavar(parameter),
        boolean=parameter.param.kind == "switch",
        repeatable=parameter.repeatable,
        hidden=hidden,
        default_text=_shown_default(parameter),
        variable=parameter.env,
    )


def metavar(parameter: Parameter) -> str:
    """The placeholder of the value, which also says how the shell completes it."""
    if parameter.choices:
        return "|".join(parameter.choices)
    if parameter.param.kind == "path":
        return "DIR" if parameter.name.endswith(("_dir", "_path")) else "FILE"
    return "TEMPLATE" if parameter.name == "template" else parameter.metavar


def _shown_default(parameter: Parameter) -> str:
    """The default as the help shows it, empty where nothing is set."""
    shown = default_text(parameter)
    return "" if shown == "none" else shown


def _without_call(function: Callable[Concatenate[Call, ...], int], names: frozenset[str]) -> Callable[..., int]:
    """The function as typer sees it: without its first parameter, which is made of all options that are not its own."""

    def run(context: typer.Context, **values: Any) -> int:
        own = {name: value for name, value in values.items() if name in own_names}
        return function(_call(values, names, masked=context.obj), **own)

    _, *rest = signature(function, eval_str=True).parameters.values()
    own_names = frozenset(argument.name for argument in rest)
    context = Argument("context", Argument.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__signature__ = Signature([context, *rest])  # type: ignore[attr-defined]
    run.__annotations__ = {argument.name: argument.annotation for argument in (context, *rest)}
    return run


def _call(values: dict[str, Any], names: frozenset[str], *, masked: list[str]) -> Call:
    flags = {name: text for name in names if (text := given_text(values[name])) is not None}
    return Call(
        console=Console(json=bool(values["json"]), quiet=bool(values["quiet"]), masked=masked),
        flags=flags,
        config=values.get("config"),
        profile=values.get("profile"),
        debug=bool(values["debug"]),
    )
