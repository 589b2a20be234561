"""What README.md says of the command line: its generated parts, its commands and options."""

import re
import shlex

import pytest

from bootcamp_cli.cli.app import COMMANDS, EntryGroup, load_command
from bootcamp_cli.cli.command import BootcampCommand
from bootcamp_cli.cli.docs import README, parameter_table, replace_generated, with_generated_parts
from bootcamp_cli.settings.model import parameters

BEGIN = "<!-- parameters:begin -->"
END = "<!-- parameters:end -->"
LEAVES = tuple(
    (name, *below)
    for name, entry in COMMANDS.items()
    for below in ([(child,) for child in entry.entries] if isinstance(entry, EntryGroup) else [()])
)


def command_of(words: tuple[str, ...]) -> BootcampCommand:
    """The command that these words call."""
    entry = COMMANDS[words[0]]
    command = load_command(words[-1], entry.entries[words[1]] if isinstance(entry, EntryGroup) else entry)
    assert isinstance(command, BootcampCommand)
    return command


def parses(line: str) -> None:
    """Fail unless a command line is one of this tool's."""
    words = shlex.split(line.removesuffix("&"), comments=True)
    assert words[0] == "bootcamp"
    called = next(leaf for leaf in LEAVES if tuple(words[1 : 1 + len(leaf)]) == leaf)
    command_of(called).make_context(called[-1], words[1 + len(called) :])


def test_the_table_is_renewed_between_its_markers() -> None:
    """What stands between the markers is replaced, the rest stays, and a second time changes nothing."""
    text = replace_generated(f"before\n{BEGIN}\nold\n{END}\nafter\n", "parameters", parameter_table())
    assert text == f"before\n{BEGIN}\n\n{parameter_table().strip()}\n\n{END}\nafter\n"
    assert replace_generated(text, "parameters", parameter_table()) == text


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{END}", f"{BEGIN}{BEGIN}{END}"])
def test_missing_markers_are_an_error(readme: str) -> None:
    """Without the two markers, once each and in order, nothing is guessed."""
    with pytest.raises(ValueError, match="around the generated part"):
        replace_generated(readme, "parameters", parameter_table())


def test_the_committed_readme_is_up_to_date() -> None:
    """README.md has the parameters and report forms that the declarations give."""
    text = README.read_text("utf-8")
    assert with_generated_parts(text) == text, "run python -m bootcamp_cli.cli.docs"


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_and_option_is_documented(words: tuple[str, ...]) -> None:
    """README.md names each command, and each of its options: settings in the table of parameters, others by flag."""
    text = README.read_text("utf-8")
    assert f"`{' '.join(('bootcamp', *words))}" in text or f"`{' '.join(words)}" in text
    settings = {parameter.name for parameter in parameters()}
    command = command_of(words)
    options = [
        param.opts[0] for param in command.params if param.opts[0].startswith("--") and param.name not in settings
    ]
    assert [option for option in options if not re.search(rf"{option}\b", text)] == []


def test_the_commands_of_the_readme_parse() -> None:
    """Every command line in a code block of README.md is one that the tool takes."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [
        found.group() for line in lines if (found := re.search(r"(?<![\w./])bootcamp .*|(?<=bin/)bootcamp .*", line))
    ]
    assert len(commands) >= 2
    for command in commands:
        parses(command)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_the_examples_of_the_help_parse(words: tuple[str, ...]) -> None:
    """Every example in a help text is a command line that the tool takes."""
    for line in (command_of(words).epilog or "").splitlines():
        parses(line)
