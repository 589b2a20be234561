"""`bootcamp completion install`: put the completion script where the user's shell finds it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, BootcampError, UsageError

Shell = Literal["bash", "zsh", "fish"]

_SCRIPTS: Mapping[Shell, str] = {"bash": "bootcamp.bash", "zsh": "_bootcamp", "fish": "bootcamp.fish"}
_INSTALLED: Mapping[Shell, str] = {"bash": "bootcamp", "zsh": "_bootcamp", "fish": "bootcamp.fish"}


@command(example="bootcamp completion install\nbootcamp completion install --shell zsh --dest ~/.zfunc")
def install_command(
    call: Call,
    shell: Annotated[
        str | None,
        typer.Option(metavar="bash|zsh|fish", help="the shell, by default that of $SHELL", rich_help_panel="Place"),
    ] = None,
    dest: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="where to install it, by default the user's directory", rich_help_panel="Place"
        ),
    ] = None,
) -> int:
    """Install the completions for bash, zsh or fish.

    The script is copied to the user's directory for completions, and nothing else is changed; the output tells what is
    left to do. Repeat this after an update.
    """
    chosen = choose_shell(shell, os.environ)
    done = install(chosen, env=os.environ, home=_home(dest), dest=None if dest is None else Path(dest))
    data = {"shell": chosen, "path": str(done.path), "changed": done.changed, "next_step": done.next_step}
    call.console.result(data, text=f"{done.path}: {'written' if done.changed else 'already up to date'}")
    call.console.notify(done.next_step)
    return EXIT_OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A script in its place: `changed` says whether it had to be written, `next_step` what the user does next."""

    path: Path
    changed: bool
    next_step: str


def choose_shell(named: str | None, env: Mapping[str, str]) -> Shell:
    """The requested shell, else that of `$SHELL`.

    Raises:
        UsageError: there is no script for that shell.
    """
    known: tuple[Shell, ...] = get_args(Shell)
    name = named if named is not None else Path(env.get("SHELL", "")).name
    for shell in known:
        if shell == name:
            return shell
    place = "--shell" if named is not None else "$SHELL"
    raise UsageError(f"{place}: must be one of {', '.join(known)}, got {name!r}", hint="choose with --shell")


def _home(dest: str | None) -> Path:
    """The user's home directory, which does not matter with a `dest`.

    Raises:
        UsageError: nothing tells it.
    """
    try:
        return Path.home() if dest is None else Path()
    except RuntimeError:
        raise UsageError("HOME is not set, and no home directory is known", hint="choose one with --dest") from None


def install(shell: Shell, *, env: Mapping[str, str], home: Path, dest: Path | None = None) -> Installed:
    """Copy the script to `dest` or the user's directory for the shell, unless it is already there.

    Raises:
        BootcampError: the directory cannot be created or written to.
    """
    directory = dest.absolute() if dest is not None else user_directory(shell, env, home)
    path = directory / _INSTALLED[shell]
    script = script_text(shell).encode()
    try:
        changed = not path.is_file() or path.read_bytes() != script
        if changed:
            directory.mkdir(parents=True, exist_ok=True)
            path.write_bytes(script)
    except OSError as error:
        raise BootcampError(f"cannot write {path}: {error.strerror}", hint="choose a directory with --dest") from error
    return Installed(path=path, changed=changed, next_step=_next_step(shell, path))


def script_text(shell: Shell) -> str:
    """The script: in an installed package it is next to this file, in a checkout in `completions/`."""
    packaged = files("bootcamp_cli.cli") / "completions" / _SCRIPTS[shell]
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(__file__).parents[2] / "completions" / _SCRIPTS[shell]).read_text("utf-8")


def user_directory(shell: Shell, env: Mapping[str, str], home: Path) -> Path:
    """The directory from which the shell loads completions of this user."""
    match shell:
        case "bash":
            own = env.get("BASH_COMPLETION_USER_DIR")
            return (Path(own) if own else _xdg(env, "XDG_DATA_HOME", home / ".local/share") / "bash-completion") / (
                "completions"
            )
        case "zsh":
            return (Path(env["ZDOTDIR"]) if env.get("ZDOTDIR") else home) / ".zfunc"
        case "fish":
            return _xdg(env, "XDG_CONFIG_HOME", home / ".config") / "fish" / "completions"


def _xdg(env: Mapping[str, str], variable: str, default: Path) -> Path:
    """The directory from a variable, which only counts if it is an absolute path."""
    value = env.get(variable, "")
    return Path(value) if value.startswith("/") else default


def _next_step(shell: Shell, path: Path) -> str:
    match shell:
        case "bash":
            return f"open a new shell; without the package bash-completion, add to ~/.bashrc: source '{path}'"
        case "zsh":
            return (
                "add to ~/.zshrc, unless it is already there, and open a new shell: "
                f"fpath=('{path.parent}' $fpath); autoload -Uz compinit; compinit"
            )
        case "fish":
            return "open a new shell"
