"""`python -m tests.fault_server`: the fault server as a process of its own."""

import os
import signal
import sys
from contextlib import suppress

import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus

from bootcamp_cli.cli.process import raise_open_file_limit
from bootcamp_cli.errors import BootcampError
from tests.fault_server.config import Invocation, parse_command
from tests.fault_server.server import serve

_MAX_OPEN_FILES = 65_536
_PARENT_POLL_S = 0.5


def main() -> int:
    """Serve until a signal, or the end of the lifetime, of stdin or of the parent; gives the exit code."""
    invocation = parse_command(sys.argv[1:])
    raise_open_file_limit(_MAX_OPEN_FILES)
    error = anyio.run(_run, invocation, os.getppid())
    if error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


async def _run(invocation: Invocation, parent: int) -> str | None:
    error: str | None = None
    with anyio.move_on_after(invocation.lifetime.max_s):
        async with anyio.create_task_group() as tasks:
            await tasks.start(_end_on_signal, tasks.cancel_scope)
            if invocation.lifetime.until_stdin_closes:
                tasks.start_soon(_end_with_stdin, tasks.cancel_scope)
            if invocation.lifetime.until_parent_exits:
                tasks.start_soon(_end_with_parent, parent, tasks.cancel_scope)
            try:
                await _serve(invocation)
            except (BootcampError, OSError) as failed:
                error = str(failed)
            tasks.cancel_scope.cancel()
    return error


async def _serve(invocation: Invocation) -> None:
    async with serve(invocation.config) as server:
        if invocation.port_file:
            await _write_port(anyio.Path(invocation.port_file), server.port)
        with suppress(BrokenPipeError):
            print(server.url, flush=True)  # noqa: T201 - the one line of this command
        await anyio.sleep_forever()


async def _write_port(path: anyio.Path, port: int) -> None:
    """Write the port such that no reader finds the file empty."""
    partial = path.with_name(f".{path.name}.partial")
    await partial.write_text(f"{port}\n", encoding="ascii")
    await partial.replace(path)


async def _end_on_signal(scope: CancelScope, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _end_with_stdin(scope: CancelScope) -> None:
    stdin = sys.stdin.fileno()
    try:
        await anyio.wait_readable(stdin)
        while os.read(stdin, 4096):
            await anyio.wait_readable(stdin)
    except PermissionError:
        pass  # a file or /dev/null, which cannot be waited for and has an end
    scope.cancel()


async def _end_with_parent(parent: int, scope: CancelScope) -> None:
    """Poll for another parent: no event tells of a parent's end both on Linux and on macOS."""
    while os.getppid() == parent:  # noqa: ASYNC110 - see above
        await anyio.sleep(_PARENT_POLL_S)
    scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
