"""The commands of `bootcamp` as data: `--help` imports none of them, a command imports only its own."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from bootcamp_cli import __version__
from bootcamp_cli.cli.command import CONTEXT, BootcampCommand, Help, dashed, usage_errors_translated
from bootcamp_cli.cli.console import write_line
from bootcamp_cli.cli.help_text import help_text, option_help, option_name
from bootcamp_cli.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command: where it is (`module:attribute`), its line in the list of commands, and the section of that list."""

    target: str
    help: str
    section: str = "Commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryGroup:
    """Commands below a common word, as in `bootcamp templates list`; `default` is called where none is named."""

    help: str
    entries: Mapping[str, Entry]
    section: str = "Commands"
    example: str = ""
    default: str | None = None


COMMANDS: Mapping[str, Entry | EntryGroup] = {
    "eval": Entry(
        target="bootcamp_cli.cli.eval:eval_command",
        help="Evaluate a model on a test dir.",
        section="Evaluate",
    ),
    "resume": Entry(
        target="bootcamp_cli.cli.resume:resume_command",
        help="Continue an interrupted run with the settings that it was started with.",
        section="Evaluate",
    ),
    "merge": Entry(
        target="bootcamp_cli.cli.merge:merge_command",
        help="Make one run directory of the shards of a run (`eval --shard I/N`).",
        section="Evaluate",
    ),
    "batch": EntryGroup(
        help="Requests as batch files, and their results as answers: no server, half the price.",
        section="Evaluate",
        example="bootcamp batch export --test-dir tests --model-name r1_32B --api-mode chat_completion\n"
        "bootcamp batch import results.jsonl",
        entries={
            "export": Entry(
                target="bootcamp_cli.cli.batch:export_command",
                help="Write what a run owes as batch files: requests for OpenAI's Batch API or `vllm run-batch`.",
            ),
            "import": Entry(
                target="bootcamp_cli.cli.batch:import_command",
                help="Take the results of batches as answers, and verify them; without --run into the newest "
                "unfinished run.",
            ),
        },
    ),
    "import": Entry(
        target="bootcamp_cli.cli.import_outputs:import_command",
        help="Take outputs that were generated elsewhere as answers, and verify them, without any request.",
        section="Evaluate",
    ),
    "check-model": Entry(
        target="bootcamp_cli.cli.check_model:check_model_command",
        help="Wait until the server offers the model.",
        section="Evaluate",
    ),
    "demo": Entry(
        target="bootcamp_cli.cli.demo:demo_command",
        help="Evaluate an embedded, imperfect model on generated samples, through HTTP and with some faults.",
        section="Evaluate",
    ),
    "report": Entry(
        target="bootcamp_cli.cli.report:report_command",
        help="Rebuild meta.jsonl and the workbook from details, and show the results.",
        section="Results",
    ),
    "audit": Entry(
        target="bootcamp_cli.cli.audit:audit_command",
        help="Show what a loss is made of: answers that scored 0, by cause.",
        section="Results",
    ),
    "view": Entry(
        target="bootcamp_cli.cli.view:view_command",
        help="Look at the samples of a run in the browser, or at two runs side by side.",
        section="Results",
    ),
    "show": Entry(
        target="bootcamp_cli.cli.show:show_command",
        help="Show samples in the terminal: prompt, thinking, output, extracted beside ground truth.",
        section="Results",
    ),
    "compare": Entry(
        target="bootcamp_cli.cli.compare:compare_command",
        help="Compare runs question by question: which differences are real, and which gates they pass.",
        section="Results",
    ),
    "power": Entry(
        target="bootcamp_cli.cli.power:power_command",
        help="Show which differences comparing two runs would find, before they are made.",
        section="Results",
    ),
    "rescore": Entry(
        target="bootcamp_cli.cli.rescore:rescore_command",
        help="Verify the kept outputs of a run directory again, without any request.",
        section="Results",
    ),
    "runs": EntryGroup(
        help="The run directories: what they hold, and how to be rid of them. Without a command: list.",
        section="Results",
        example="bootcamp runs\nbootcamp runs rm output/demo_tests_20260101_120000",
        default="list",
        entries={
            "list": Entry(
                target="bootcamp_cli.cli.runs:list_command",
                help="List the run directories: state, samples done, score with interval, start and size.",
            ),
            "rm": Entry(
                target="bootcamp_cli.cli.runs:rm_command",
                help="Remove run directories and all that is in them, after asking.",
            ),
        },
    ),
    "export": Entry(
        target="bootcamp_cli.cli.export:export_command",
        help="Write the samples of a run in the form of another tool.",
        section="Results",
    ),
    "templates": EntryGroup(
        help="The prompt templates for completion mode.",
        section="Look up",
        example="bootcamp templates show r1",
        entries={
            "list": Entry(
                target="bootcamp_cli.cli.templates:list_command",
                help="List the built-in templates and those of your settings files: system prompt, stop words, origin.",
            ),
            "show": Entry(
                target="bootcamp_cli.cli.templates:show_command",
                help="Show an example prompt as the template renders it.",
            ),
        },
    ),
    "bootcamps": EntryGroup(
        help="The bootcamps that can verify answers.",
        section="Look up",
        example="bootcamp bootcamps list",
        entries={
            "list": Entry(
                target="bootcamp_cli.cli.bootcamps:list_command",
                help="List the data sources that can be verified, with their origin and, for the public ones, "
                "the highest scores.",
            ),
            "verify": Entry(
                target="bootcamp_cli.cli.bootcamps:verify_command",
                help="Check the bootcamps against golden cases: outputs with known verdicts.",
            ),
        },
    ),
    "config": EntryGroup(
        help="The settings and where they come from.",
        section="Look up",
        example="bootcamp config show",
        entries={
            "show": Entry(
                target="bootcamp_cli.cli.config_show:show_command",
                help="Show the value of every parameter and its source.",
            ),
        },
    ),
    "completion": EntryGroup(
        help="Shell completion of commands and options.",
        section="Set up",
        example="bootcamp completion install",
        entries={
            "install": Entry(
                target="bootcamp_cli.cli.completion:install_command",
                help="Install the completions for bash, zsh or fish.",
            ),
        },
    ),
}

EXAMPLE = """\
bootcamp demo
bootcamp eval --url http://127.0.0.1:8000/v1 --model-name r1_32B --test-dir path/to/test_dir
bootcamp report output/r1_32B_tests_20260101_120000
"""


def root_group() -> "LazyGroup":
    """The whole command line."""
    return _group(
        name="bootcamp",
        help="Evaluate a model on verifiable reasoning tasks, over an OpenAI-compatible API.",
        example=EXAMPLE,
        entries=COMMANDS,
        has_version=True,
    )


def load_command(name: str, entry: Entry | EntryGroup) -> "BootcampCommand | LazyGroup":
    """The command that an entry of the table names, imported by this call."""
    if isinstance(entry, EntryGroup):
        return _group(name=name, help=entry.help, example=entry.example, entries=entry.entries, default=entry.default)
    module, _, attribute = entry.target.partition(":")
    command = getattr(import_module(module), attribute)
    if not isinstance(command, BootcampCommand):
        raise TypeError(f"{entry.target} is not a command")
    return command


def _group(
    *,
    name: str,
    help: str,  # noqa: A002 - typer's word
    example: str,
    entries: Mapping[str, Entry | EntryGroup],
    has_version: bool = False,
    default: str | None = None,
) -> "LazyGroup":
    app = typer.Typer(
        name=name,
        cls=LazyGroup,
        callback=_with_version if has_version else _without_version,
        help=help,
        epilog=example,
        add_help_option=False,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
    )
    group = typer.main.get_group(app)
    assert isinstance(group, LazyGroup)  # noqa: S101 - what `cls` asked for
    group.entries, group.default = entries, default
    return group


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - what typer calls
    if wanted:
        write_line(sys.stdout, f"bootcamp {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and exit")
]


def _without_version(*, help: Help = False) -> None:  # noqa: A002
    """The options of a group."""


def _with_version(*, version: Version = False, help: Help = False) -> None:  # noqa: A002
    """The options of the whole command line."""


_HELP_FLAGS = ("--help", "-h")


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called."""

    entries: Mapping[str, Entry | EntryGroup] = {}
    default: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words before the command; without any, show the help, or call the default command."""
        if self.default is not None and not (args and (dashed(args[0]) in self.entries or args[0] in _HELP_FLAGS)):
            args = [self.default, *args]
        if not args:
            write_line(sys.stderr, ctx.get_help())
            raise typer.Exit(2)
        with usage_errors_translated(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Call the command that the words name."""
        with usage_errors_translated(ctx):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, TyperCommand | TyperGroup, list[str]]:
        """Find the command that the first word names, or suggest one that may be meant."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            close = get_close_matches(name, self.entries)
            hint = f"did you mean {close[0]}?" if close else f"see {ctx.command_path} --help"
            raise UsageError(f"no such command {name!r}", hint=hint)
        return name, command, args[1:]

    def get_command(self, ctx: Any, cmd_name: str) -> "BootcampCommand | LazyGroup | None":  # noqa: ARG002 - typer's signature
        """Import the named command; None where there is no such command."""
        entry = self.entries.get(dashed(cmd_name))
        return None if entry is None else load_command(cmd_name, entry)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names in the order of the table."""
        return list(self.entries)

    def get_help(self, ctx: Any) -> str:
        """The example, the commands by section and the options, from the table alone."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        options = [param for param in self.params if isinstance(param, TyperOption)]
        sections["Options"] = [(option_name(option), option_help(option)) for option in options]
        return help_text(
            usage=(ctx.command_path, "COMMAND ..."),
            about=self.help or "",
            example=self.epilog or "",
            sections=sections,
        )
