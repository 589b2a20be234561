"""A server of one's own: started for a run, waited for, started again where it dies, ended with the run.

    OwnServer -> supervisor (its own session) -> the command (a process group) -> what it starts
    (this process)  ends with this process       ends with the supervisor

The output of the command passes through this process into the log, so that no key gets there and the log has a bound.
"""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from subprocess import PIPE, STDOUT, Popen
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from bootcamp_cli.errors import ServerEndedError, ServerUnavailableError, SettingsError, disk_error, ungrouped
from bootcamp_cli.server import supervisor
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.server_log import ServerLog
from bootcamp_cli.text import OWN_URL, PORT, command_words, is_secret_key, shown_s, visible

GRACE_S = 10.0
"""How long a server gets to end by itself, after SIGTERM, before it is killed."""

MAX_RESTARTS = 5
"""How often in a row a server is started again; one that was up for `_LASTING_S` begins a new row."""

_LASTING_S = 600.0
_FIRST_DELAY_S = 1.0
_MAX_DELAY_S = 60.0
_POLL_S = 0.25
_MAX_POLL_S = 2.0
_ASK_S = 10.0
_NOTICE_S = 1.0
_TELL_S = 60.0
_TOLD_AFTER_S = 1.0
_KILLED_S = 15.0
_HURRY_S = 3.0
"""How long a run that is ended at once waits for its server, which is ended in any case."""

_READ_BYTES = 256 * 1024
_LAST_OUTPUT_S = 0.5
_NOT_READY = frozenset({502, 503, 504})
_PORTS = range(20_000, 32_768)
"""Where no system takes the ports of outgoing connections from: a large model may load for half an hour before its
server listens, and until then any connection of this machine could take a port from there."""

Said = Callable[[str], None]
OpenedClient = Callable[[], AbstractAsyncContextManager[CompletionClient]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeCommand:
    """What starts the server: words without placeholders, and the base URL at which it then answers."""

    words: tuple[str, ...]
    url: str


def serve_command(
    serve: str, *, url: str, is_url_given: bool, is_url_asked: bool, environ: Mapping[str, str], cwd: Path
) -> ServeCommand:
    """The command of `--serve` with a free port in place of `{port}`, checked without starting anything.

    With the placeholder the URL follows from the port, whatever variables and files say; one that is asked for, by
    flag, contradicts it. Without it the server is where the URL says.

    Raises:
        SettingsError: the URL is told twice or not at all, or there is no such program.
    """
    words = command_words(serve)
    if PORT in serve and is_url_asked:
        raise SettingsError(
            f"serve: {PORT} in the command says where the server is, and so does --url",
            hint=f"leave out --url, or write its port into the command in place of {PORT}",
        )
    if PORT not in serve and not is_url_given:
        raise SettingsError(
            f"serve: nothing says where the server is: the command has no {PORT}, and there is no --url",
            hint=f"write {PORT} in place of the port, or give --url",
        )
    _check_program(words[0], environ, cwd)
    if PORT not in serve:
        return ServeCommand(words=tuple(words), url=url)
    port = str(free_port())
    return ServeCommand(words=tuple(word.replace(PORT, port) for word in words), url=OWN_URL.replace(PORT, port))


def _check_program(program: str, environ: Mapping[str, str], cwd: Path) -> None:
    if "/" not in program:
        if shutil.which(program, path=environ.get("PATH")) is None:
            raise SettingsError(
                f"serve: {visible(program)}: command not found", hint="install it, or give the path of the program"
            )
        return
    path = cwd / program
    if not path.is_file():
        raise SettingsError(f"serve: {visible(program)}: {'is a directory' if path.is_dir() else 'no such file'}")
    if not os.access(path, os.X_OK):
        raise SettingsError(f"serve: {visible(program)}: is not executable", hint="chmod +x, or name its interpreter")


def free_port(random: Random | None = None) -> int:
    """A port of 127.0.0.1 at which nobody listens, and which no outgoing connection will be given."""
    ports = random or Random()  # noqa: S311 - which one does not matter
    for port in ports.sample(_PORTS, 100):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        found: int = tried.getsockname()[1]
        return found


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the server gets: everything but this tool's own settings, among which the key may be.

    Keys of other tools stay: a server may need them, to load a model or as a gateway.
    """
    return {name: value for name, value in environ.items() if not name.startswith("BOOTCAMP_")}


def environment_secrets(environ: Mapping[str, str]) -> list[str]:
    """The values of variables whose names tell that they are secret: no log is to show them."""
    return [
        value for name, value in environ.items() if is_secret_key(name) and len(value) >= 8 and value[0] not in "/.~"
    ]


@asynccontextmanager
async def own_server(
    command: ServeCommand,
    log: ServerLog,
    *,
    environ: Mapping[str, str],
    wait_s: float,
    said: Said,
    warned: Said,
) -> AsyncIterator["OwnServer"]:
    """A server that is not started yet; what `start` starts is ended with the block, however that ends."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            server = OwnServer(
                command,
                log,
                tasks,
                environ=environ,
                wait_s=wait_s,
                said=said,
                warned=warned,
            )
            patience_s = GRACE_S + _KILLED_S
            try:
                yield server
            except anyio.get_cancelled_exc_class():
                patience_s = _HURRY_S
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    await server.end(patience_s)
                tasks.cancel_scope.cancel()


def _start_supervisor(words: Sequence[str], environ: Mapping[str, str]) -> tuple["Popen[bytes]", int]:
    """Start the supervisor with a command, and give it with a pipe that tells of the server's end, then of its own.

    Blocks: call it in a thread.

    Raises:
        OSError: the system starts no process.
    """
    ended, held = os.pipe()
    try:
        process = Popen(  # noqa: S603 - the user's own command, without a shell
            [sys.executable, "-I", "-S", supervisor.__file__, str(GRACE_S), str(held), *words],
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            bufsize=0,
            env=environ,
            start_new_session=True,
            pass_fds=(held,),
        )
    except BaseException:
        os.close(ended)
        raise
    finally:
        os.close(held)
    return process, ended


class _Process:
    """A supervisor, with the server below it.

    asyncio's own processes are killed when their loop ends, which would leave the server without a supervisor. `gone`
    is set when the server has ended, `done` when nothing of it is left and its output was taken.
    """

    def __init__(self, process: "Popen[bytes]", ended: int) -> None:
        self.gone = anyio.Event()
        self.done = anyio.Event()
        self.scope = anyio.CancelScope(shield=True)
        self._process = process
        self._ended = ended
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self._held, self._output = process.stdin, process.stdout
        for descriptor in (ended, self._output.fileno()):
            os.set_blocking(descriptor, False)

    @property
    def returncode(self) -> int | None:
        """How it ended, as the server did; None while it runs."""
        return self._process.returncode

    def release(self) -> None:
        """Have it end the server."""
        with suppress(OSError):
            self._held.close()

    async def wait_for_server(self) -> None:
        """Return when the server has ended; for one task."""
        await anyio.wait_readable(self._ended)

    async def wait(self) -> None:
        """Return when nothing of the server is left, and the supervisor has ended; for one task."""
        while os.read(self._ended, 1):
            await anyio.wait_readable(self._ended)
        await anyio.to_thread.run_sync(self._process.wait)

    async def output(self) -> AsyncIterator[bytes]:
        """What the server writes, as it comes."""
        while True:
            await anyio.wait_readable(self._output)
            if not (data := os.read(self._output.fileno(), _READ_BYTES)):
                return
            yield data

    def close(self) -> None:
        """Close the pipes; a server that still runs is ended by its supervisor."""
        self.release()
        self._output.close()
        os.close(self._ended)
        self.done.set()


class OwnServer:
    """The server of a run; made by `own_server`, which ends it.

    `said` gets what is good to know, `warned` what is probably unintended; `paused` and `resumed`, where they are set,
    are told of a restart instead. `error` is why the server is given up.
    """

    def __init__(
        self,
        command: ServeCommand,
        log: ServerLog,
        tasks: TaskGroup,
        *,
        environ: Mapping[str, str],
        wait_s: float,
        said: Said,
        warned: Said,
    ) -> None:
        self.command = command
        self.log = log
        self.error: ServerUnavailableError | None = None
        self.paused: Said | None = None
        self.resumed: Callable[[float], None] | None = None
        self._tasks = tasks
        self._environ = environ
        self._wait_s = wait_s
        self._said = said
        self._warned = warned
        self._process: _Process | None = None
        self._launching = anyio.Lock()
        self._is_ending = False
        self._up = anyio.Event()
        self._given_up = anyio.Event()
        self._died_s = -inf
        self._has_been_up = False
        self._n_restarts = 0

    async def start(self, opened: OpenedClient) -> None:
        """Start the server and keep it running, unless it was started before; `opened` gives a client that can ask it.

        Raises:
            ServerUnavailableError: somebody else answers at its address, or its log cannot be written.
        """
        if self.is_started:
            return
        if await anyio.to_thread.run_sync(_is_taken, self.command.url):
            raise ServerUnavailableError(
                f"serve: something already listens at {self.command.url}, where the server is to be started",
                hint="end that, leave out --serve to use it, or choose another port",
            )
        try:
            await anyio.to_thread.run_sync(self.log.open)
        except OSError as error:
            raise disk_error(error, f"write {self.log.path}") from error
        self._said(
            f"starting the server for {self.command.url}, which may take {shown_s(self._wait_s)} (--wait); "
            f"its log is {self.log.path}"
        )
        if await self._launch():
            self._tasks.start_soon(self._keep_running, opened)

    @property
    def is_started(self) -> bool:
        """Whether it was started."""
        return self._process is not None

    async def wait_until_up(self) -> None:
        """Return when the server answers.

        Raises:
            ServerUnavailableError: it ended before, or does not answer in time.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_when_given_up, tasks)
            await self._up.wait()
            tasks.cancel_scope.cancel()
        if self.error is not None:
            raise self.error

    async def _cancel_when_given_up(self, tasks: TaskGroup) -> None:
        await self._given_up.wait()
        tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def guarding(self) -> AsyncIterator[None]:
        """End the block with the error for which the server is given up, if it is."""
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._raise_when_given_up)
                yield
                tasks.cancel_scope.cancel()

    async def _raise_when_given_up(self) -> None:
        await self._given_up.wait()
        assert self.error is not None  # noqa: S101 - what `_give_up` sets first
        raise self.error

    async def came_back(self, sent_s: float) -> bool:
        """Whether the server died after a request was sent, by the clock of `time.monotonic`; waits until it is back.

        The end of a connection arrives before the end of the process that had it.
        """
        if self._up.is_set() and self._died_s < sent_s and self._process is not None:
            with anyio.move_on_after(_NOTICE_S):
                await self._process.gone.wait()
        if self._up.is_set() and self._died_s < sent_s:
            return False
        await self._up.wait()
        return True

    async def keep_log(self, path: Path) -> None:
        """Have the log at `path`, in the run directory."""
        await anyio.to_thread.run_sync(self.log.move, path)

    async def end(self, patience_s: float) -> None:
        """End the server and all that it started, gently; returns when it is gone, or the patience is over."""
        self._is_ending = True
        async with self._launching:
            process = self._process
        if process is None:
            return
        process.release()
        with anyio.move_on_after(patience_s):
            with anyio.move_on_after(_TOLD_AFTER_S):
                await process.done.wait()
            if not process.done.is_set():
                self._said(f"ending the server, which gets {shown_s(GRACE_S)} for it")
                await process.done.wait()
        process.scope.cancel()
        await anyio.to_thread.run_sync(self.log.close)

    async def _launch(self) -> bool:
        """Start the supervisor with the command, unless the end has begun.

        Where the system starts no process, the server is given up.
        """
        async with self._launching:
            if self._is_ending:
                return False
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.log.begin)
                environ = server_environment(self._environ)
                try:
                    started = await anyio.to_thread.run_sync(_start_supervisor, self.command.words, environ)
                except OSError as error:
                    self._give_up(self._ended(f"the server cannot be started: {error.strerror or error}"))
                    return False
                self._process = _Process(*started)
                self._tasks.start_soon(self._look_after, self._process)
        return True

    async def _look_after(self, process: _Process) -> None:
        """Take what the server writes until it is gone; also while the run is cancelled, as a full pipe would stop it.

        What it left behind may keep the pipe open.
        """
        with process.scope:
            async with anyio.create_task_group() as tasks:
                silent = anyio.Event()
                tasks.start_soon(self._take_output, process, silent)
                await process.wait_for_server()
                self._up = anyio.Event() if self._up.is_set() else self._up
                self._died_s = time.monotonic()
                process.gone.set()
                await process.wait()
                with anyio.move_on_after(_LAST_OUTPUT_S):
                    await silent.wait()
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.log.finish)
        process.close()

    async def _take_output(self, process: _Process, silent: anyio.Event) -> None:
        async for data in process.output():
            await anyio.to_thread.run_sync(self.log.take, data)
        silent.set()

    async def _keep_running(self, opened: OpenedClient) -> None:
        """Watch the server to its end, and start it again, until it is given up."""
        while True:
            up_s = await self._watched(opened)
            if self._is_ending or self.error is not None:
                return
            how = self._how_it_ended()
            await anyio.to_thread.run_sync(self.log.say, f"the server {how}")
            if not self._has_been_up:
                self._give_up(self._not_started(how))
                return
            if up_s >= _LASTING_S:
                self._n_restarts = 0
            if self._n_restarts >= MAX_RESTARTS:
                self._give_up(self._ended(f"the server {how}, for the {MAX_RESTARTS + 1}th time in a row"))
                return
            self._n_restarts += 1
            delay_s = min(_FIRST_DELAY_S * 2 ** (self._n_restarts - 1), _MAX_DELAY_S)
            (self.paused or self._warned)(
                f"the server {how}; it is started again in {shown_s(delay_s)} ({self._n_restarts} of {MAX_RESTARTS}), "
                f"see {self.log.path}"
            )
            await anyio.sleep(delay_s)
            if await anyio.to_thread.run_sync(_is_taken, self.command.url):
                self._give_up(self._ended(f"the server {how}, and something else listens at {self.command.url} now"))
                return
            if not await self._launch():
                return

    async def _watched(self, opened: OpenedClient) -> float:
        """Return when the process has ended; gives for how many seconds the server answered."""
        process, since_s = self._process, [inf]
        assert process is not None  # noqa: S101 - `_launch` was there

        async def note_when_up() -> None:
            if await self._answers(opened) and not process.gone.is_set():
                since_s.append(time.monotonic())
                self._is_up()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note_when_up)
            await process.gone.wait()
            tasks.cancel_scope.cancel()
        await process.done.wait()
        return max(0.0, self._died_s - since_s[-1])

    async def _answers(self, opened: OpenedClient) -> bool:
        """Ask until the server answers; where it does not in time it is given up."""
        started_s, told_s, pause_s = time.monotonic(), time.monotonic(), _POLL_S
        async with opened() as client:
            while not await _is_ready(client):
                now_s = time.monotonic()
                if now_s - started_s >= self._wait_s:
                    waited = f"the server did not answer within {shown_s(self._wait_s)}"
                    self._give_up(self._ended(waited, hint="--wait sets how long to wait"))
                    return False
                if now_s - told_s >= _TELL_S:
                    told_s = now_s
                    self._said(f"the server is starting, for {shown_s(now_s - started_s)} so far{self._last_words()}")
                await anyio.sleep(min(pause_s, max(0.0, started_s + self._wait_s - now_s)))
                pause_s = min(pause_s * 1.5, _MAX_POLL_S)
        return True

    def _last_words(self) -> str:
        lines = self.log.last_lines()
        return f"; it says: {lines[-1]}" if lines else ""

    def _is_up(self) -> None:
        if self._has_been_up:
            away_s = time.monotonic() - self._died_s
            if self.resumed is not None:
                self.resumed(away_s)
            else:
                self._said(f"the server is back after {shown_s(away_s)}")
        self._has_been_up = True
        self._up.set()

    def _give_up(self, error: ServerUnavailableError) -> None:
        self.error = error
        self._given_up.set()

    def _how_it_ended(self) -> str:
        """How the process ended: `ended with exit code 1`, `was killed by SIGKILL`."""
        code = None if self._process is None else self._process.returncode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
            perhaps = ", perhaps by the system for lack of memory" if name == "SIGKILL" else ""
            return f"was killed by {name}{perhaps}"
        return f"was killed by signal {-code}"

    def _not_started(self, how: str) -> ServerEndedError:
        hint = "the command must stay in the foreground" if self._process and not self._process.returncode else None
        return self._ended(f"the server {how} before it answered", hint=hint)

    def _ended(self, what: str, hint: str | None = None) -> ServerEndedError:
        see = f"its whole log is {self.log.path}"
        return ServerEndedError(
            what,
            problems=self.log.last_lines(),
            hint=f"{hint}; {see}" if hint else f"fix that and run again; {see}",
        )


async def _is_ready(client: CompletionClient) -> bool:
    """Whether the server answers, and does not say that it is loading: `/health` may, as that of llama.cpp does."""
    with anyio.move_on_after(_ASK_S):
        try:
            for path, beside in (("/models", False), ("/health", True)):
                reply = await client.transport.get(path, beside_api=beside)
                if reply.status in _NOT_READY:
                    return False
        except AttemptFailed:
            return False
        return True
    return False


def _is_taken(url: str) -> bool:
    """Whether somebody listens at the address of a URL."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=2):
            return True
    except OSError:
        return False
