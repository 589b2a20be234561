"""`bootcamp view`."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from bootcamp_cli.cli.options import Call, command
from bootcamp_cli.errors import EXIT_OK, UsageError

_MAX_PORT = 65535


@command(
    settings=("bootcamps", "bootcamps_path", "verify_timeout", "verify_memory", "verify_workers"),
    example="bootcamp view output/r1_32B_tests_20260101_120000\nbootcamp view output/before output/after --port 8123",
)
def view_command(
    call: Call,
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN_DIR", help="one or two run directories, also of run_eval.py")
    ],
    port: Annotated[
        int,
        typer.Option(metavar="N", help="port of the page on 127.0.0.1; 0 takes any free one", rich_help_panel="View"),
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser", help="open a browser where there is a desktop session", rich_help_panel="View"
        ),
    ] = True,
) -> int:
    """Look at the samples of a run in the browser, or at two runs side by side.

    The page is for this machine only, at the address that is printed; from elsewhere it is reached by the printed ssh
    command. It is there at once, also while a run is read or still writes, and until Ctrl-C. It changes nothing.
    """
    import signal

    import anyio

    from bootcamp_cli import api

    if len(runs) > 2:
        raise UsageError(f"{len(runs)} run directories", hint="one is looked at, or two side by side")
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"--port: must be from 0 to {_MAX_PORT}, got {port}")
    opened = [api.open_run(run) for run in runs]
    settings = call.learn(api.read_settings(call.sources))
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ending = (signal.SIGTERM,) if is_ignored else (signal.SIGTERM, signal.SIGINT)

    async def run() -> None:
        with anyio.open_signal_receiver(*ending) as signals:
            async with api.view(*opened, settings=settings, port=port) as url:
                found = url.partition("://")[2].partition("/")[0].rpartition(":")[2]
                call.console.result({"url": url, "run_dirs": [str(run.path) for run in opened]}, text=url)
                call.console.notify(
                    f"until Ctrl-C; from another machine: ssh -L {found}:127.0.0.1:{found} {_here(os.environ)}, "
                    "then open this address there"
                )
                if browser and has_desktop(os.environ, sys.platform):
                    await anyio.to_thread.run_sync(_open, url, abandon_on_cancel=True)
                await anext(signals)

    anyio.run(run)
    return EXIT_OK


def has_desktop(env: Mapping[str, str], platform: str) -> bool:
    """Whether a browser that opens here would be seen: there is a desktop session, and it is not reached by SSH."""
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return False
    return platform in ("darwin", "win32") or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _here(env: Mapping[str, str]) -> str:
    """This machine as ssh would be told of it."""
    import getpass
    import socket
    from contextlib import suppress

    user = env.get("USER", "")
    with suppress(KeyError, OSError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}" if user else socket.gethostname()
