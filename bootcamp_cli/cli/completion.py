"""`bootcamp completion install`: put the completion script where the user's shell finds it."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK


@command(example="bootcamp completion install --shell zsh")
def install_command(
    call: Call,
    shell: Annotated[
        str | None,
        typer.Option(
            metavar="bash|zsh|fish", help="The shell; by default that of $SHELL.", rich_help_panel="Completion"
        ),
    ] = None,
    dest: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Directory for the script; by default the shell's own.", rich_help_panel="Completion"
        ),
    ] = None,
) -> int:
    """Install the completions for bash, zsh or fish.

    The script is copied to the user's directory for completions; nothing else is changed. Run it again after an update.
    """
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from bootcamp_cli.cli.completion_files import choose_shell, install  # noqa: PLC0415 - not for --help

    written = install(choose_shell(shell, os.environ), env=os.environ, home=Path.home(), dest=dest)
    return EXIT_OK
