"""`bootcamp completion install`: put the completion script where the user's shell finds it."""

from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK


@command(example="bootcamp completion install\nbootcamp completion install --shell zsh --dest ~/.zfunc")
def install_command(
    call: Call,
    shell: Annotated[
        str | None,
        typer.Option(metavar="bash|zsh|fish", help="the shell, by default that of $SHELL", rich_help_panel="Place"),
    ] = None,
    dest: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="where to, by default the user's directory", rich_help_panel="Place"),
    ] = None,
) -> int:
    """Install the completions for bash, zsh or fish.

    The script is copied to the user's directory for completions and nothing else is changed; what is left to do is
    said. Repeat it after an update.
    """
    import os
    from pathlib import Path

    from bootcamp_cli.cli.completion_files import choose_shell, install

    chosen = choose_shell(shell, os.environ)
    done = install(chosen, env=os.environ, home=Path.home(), dest=None if dest is None else Path(dest))
    data = {"shell": chosen, "path": str(done.path), "changed": done.changed, "next_step": done.next_step}
    call.console.result(data, text=f"{done.path}: {'written' if done.changed else 'already up to date'}")
    call.console.say(done.next_step)
    return EXIT_OK
