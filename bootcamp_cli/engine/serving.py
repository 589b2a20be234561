"""The server of a run where it is one's own: started when the run needs it, watched while it runs."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.session import Session
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.events import Emit, RunPaused, RunResumed
from bootcamp_cli.server.client import CompletionClient, open_client
from bootcamp_cli.server.own_server import (
    OwnServer,
    Said,
    ServeCommand,
    environment_secrets,
    own_server,
    serve_command,
)
from bootcamp_cli.server.server_log import ServerLog
from bootcamp_cli.settings.convert import secrets_of
from bootcamp_cli.settings.sources import SERVERS, Resolved
from bootcamp_cli.text import Secrets


class Serving:
    """What a run does about its server: nothing, unless it is one's own.

    With `is_missing` the run had one, and nothing says where it is now.
    """

    def __init__(self, server: OwnServer | None = None, *, is_missing: bool = False) -> None:
        self._server = server
        self._is_missing = is_missing

    @property
    def is_own(self) -> bool:
        """Whether the server is one's own."""
        return self._server is not None

    async def begin(self, plan: Plan) -> Plan:
        """Start the server, unless it was, and give the plan with its URL; whether it answers is not waited for.

        Raises:
            SettingsError: the run is to be continued without the server that it had.
            ServerUnavailableError: somebody else answers at its address.
            DiskError: its log cannot be written.
        """
        if self._is_missing:
            raise SettingsError(
                "serve: the run started its own server, and a command is never taken from its eval_args.json",
                hint="give --serve again, or --url of a server that runs",
            )
        server = self._server
        if server is None:
            return plan
        plan = replace(plan, settings=replace(plan.settings, url=server.command.url, endpoints=(), url_file=None))
        await server.start(lambda: open_client(plan.settings, plan.generation))
        return plan

    async def wait_until_up(self) -> None:
        """Return when the server answers.

        Raises:
            ServerUnavailableError: it ended before, or does not answer in time.
        """
        if self._server is not None:
            await self._server.wait_until_up()

    @asynccontextmanager
    async def during(self, session: Session, client: CompletionClient, emit: Emit) -> AsyncIterator[None]:
        """Keep the server's log with the run, and send again what was in flight when the server died.

        Raises:
            ServerUnavailableError: the server is given up.
        """
        server = self._server
        if server is None or not server.is_started:  # nothing is to be requested
            yield
            return
        await server.keep_log(session.run_dir.server_log)
        server.paused = lambda reason: emit(RunPaused(reason=reason))
        server.resumed = lambda away_s: emit(RunResumed(paused_s=away_s))
        client.came_back = server.came_back
        try:
            async with server.guarding():
                yield
        finally:
            server.paused = server.resumed = None


def checked_command(resolved: Resolved, environ: Mapping[str, str]) -> ServeCommand | None:
    """The command that starts the server, where it is one's own. Blocks: call it in a thread.

    Raises:
        SettingsError: it cannot be started, or nothing says where the server would be.
    """
    settings, url = resolved.settings, resolved.origins["url"]
    if settings.serve is None:
        return None
    others = [resolved.origins[name].text for name in ("endpoints", "url_file") if resolved.chosen(name)]
    if others or isinstance(settings.url, tuple):
        raise SettingsError(
            f"serve: starts one server, but {(others or [url.text])[0]} names others", hint="leave one of them out"
        )
    return serve_command(
        settings.serve,
        url=settings.url,
        is_url_given=url.kind != "default",
        is_url_asked=url.kind == "flag",
        environ=environ,
        cwd=Path.cwd(),
    )


@asynccontextmanager
async def serving(
    resolved: Resolved, *, said: Said, warned: Said, before: Mapping[str, Any] | None = None
) -> AsyncIterator[Serving]:
    """What a run does about its server; a server that it starts is ended with the block.

    `before` is the eval_args.json of a run that is continued.

    Raises:
        SettingsError: as `checked_command` does.
    """
    settings, environ = resolved.settings, os.environ
    command = await anyio.to_thread.run_sync(checked_command, resolved, environ)
    if command is None:
        is_missing = bool((before or {}).get("serve")) and all(
            resolved.origins[name].kind != "flag" for name in SERVERS
        )
        yield Serving(is_missing=is_missing)
        return
    name = f"server_{datetime.now().astimezone():%Y%m%d_%H%M%S}_{os.getpid()}.log"
    secrets = Secrets.of([*secrets_of(settings), *environment_secrets(environ)])
    async with own_server(
        command,
        ServerLog(settings.output_dir / name, secrets),
        environ=environ,
        wait_s=settings.wait,
        said=said,
        warned=warned,
    ) as server:
        yield Serving(server)
