"""The pool's side of one worker process: start, send, receive within a limit, kill."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Self

import anyio
from anyio.abc import Process
from anyio.lowlevel import checkpoint

from bootcamp_cli.processes import python_command, worker_environment
from bootcamp_cli.types import BootcampRef
from bootcamp_cli.verification.protocol import MAX_REPLY_BYTES, Ready, Reply, WireError, decode_reply

_ALARM_GRACE_S = 5.0
_READ_BYTES = 256 * 1024
_N_LAST_WORDS = 20
_EXIT_STATUS_WAIT_S = 1.0
_KILL_WAIT_S = 10.0


class WorkerEndedError(Exception):
    """The worker is gone, or sent something that is not a message; the text says how it ended."""


class WorkerTimeoutError(Exception):
    """No message within the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What a worker may use: MiB of address space; seconds per sample, per import of a bootcamp, and for its start."""

    memory_mib: int
    timeout_s: float
    load_limit_s: float
    start_limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How workers are started: the command, and the environment without the directory of the single worker."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    limits: WorkerLimits


def plan_workers(limits: WorkerLimits, environ: Mapping[str, str]) -> WorkerPlan:
    """Put together what all workers of a pool have in common.

    They do not look for modules in their working directory, where verifiers may write. A worker ends itself long after
    its limit, in case this process was killed.
    """
    options = {
        "memory_mib": limits.memory_mib,
        "sample_alarm_s": 2 * limits.timeout_s + _ALARM_GRACE_S,
        "load_alarm_s": 2 * limits.load_limit_s + _ALARM_GRACE_S,
    }
    return WorkerPlan(
        command=python_command("bootcamp_cli.verification.worker", json.dumps(options)),
        environment=worker_environment(environ),
        limits=limits,
    )


class WorkerProcess:
    """A started worker. `loaded` has the bootcamps that it has imported, each with the time limit of its own."""

    def __init__(self, process: Process, channel: socket.socket) -> None:
        self.loaded: dict[BootcampRef, float | None] = {}
        self._process = process
        self._channel = channel
        self._buffer = bytearray()
        self._n_searched = 0

    @classmethod
    async def start(cls, plan: WorkerPlan, directory: Path) -> Self:
        """Start a worker with the working directory `directory` and wait until it is ready.

        Raises:
            WorkerEndedError: it could not be started or did not become ready; the text includes its last output.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the signature is the standard library's
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(ours.close)
            with theirs:
                try:
                    process = await anyio.open_process(
                        plan.command,
                        stdin=DEVNULL,
                        stdout=DEVNULL,
                        stderr=theirs.fileno(),
                        cwd=directory,
                        env={**plan.environment, "TMPDIR": str(directory)},
                        start_new_session=True,
                    )
                except OSError as error:
                    raise WorkerEndedError(f"a worker process cannot be started: {error}") from error
            cleanup.pop_all()
        worker = cls(process, ours)
        try:
            await worker._await_ready(plan.limits.start_limit_s)
        except BaseException:
            await worker.kill()
            raise
        return worker

    @property
    def is_fresh(self) -> bool:
        """Whether the worker is alive and has sent nothing unasked: only then may it get samples."""
        if self._buffer or self._process.returncode is not None:
            return False
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def send(self, data: bytes, limit_s: float) -> None:
        """Send a line.

        Raises:
            WorkerEndedError: the worker is gone.
            WorkerTimeoutError: it does not take the line within `limit_s`.
        """
        rest = memoryview(data)
        with anyio.move_on_after(limit_s):
            while rest:
                try:
                    rest = rest[self._channel.send(rest) :]
                    if rest:
                        await checkpoint()  # a worker that reads as fast as this writes would hog the event loop
                except BlockingIOError:
                    await anyio.wait_writable(self._channel)
                except OSError:
                    raise await self._ended() from None
        if rest:
            raise WorkerTimeoutError

    async def receive(self, limit_s: float) -> Reply:
        """Wait for one message.

        Raises:
            WorkerEndedError: the worker is gone, or sent something else.
            WorkerTimeoutError: nothing within `limit_s`.
        """
        line = await self._receive_line(limit_s)
        if line is None:
            raise await self._ended()
        return _reply(line)

    def arrived(self) -> Reply | None:
        """The next message, as from `receive`, if it has already arrived; else None."""
        line = self._next_line()
        return _reply(line) if line is not None else None

    async def kill(self) -> None:
        """End the worker and what its verifiers started, and wait until it is gone."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with anyio.move_on_after(_KILL_WAIT_S, shield=True):
            await self._process.wait()

    async def _await_ready(self, limit_s: float) -> None:
        """Read until the worker says that it is ready; anything else it writes tells why it does not get there."""
        words: list[str] = []
        try:
            while (line := await self._receive_line(limit_s)) is not None:
                with contextlib.suppress(WireError):
                    if isinstance(decode_reply(line), Ready):
                        return
                words = [*words, line.decode("utf-8", "replace").strip()][-_N_LAST_WORDS:]
        except WorkerTimeoutError:
            raise WorkerEndedError(f"the worker did not start within {limit_s:g} s") from None
        fatal = [line for line in words if line.startswith("Fatal Python error")]
        reason = (fatal or words[-1:] or [str(await self._ended())])[0]
        raise WorkerEndedError(f"the worker did not start: {reason}")

    async def _receive_line(self, limit_s: float) -> bytes | None:
        """The next line without its end, or None at the end of the stream.

        What arrived in time counts, even if this process looks too late.
        """
        if not self._has_arrived():
            with anyio.move_on_after(limit_s):
                while not self._has_arrived():
                    await anyio.wait_readable(self._channel)
            if not self._has_arrived():
                raise WorkerTimeoutError
        return self._next_line()

    def _next_line(self) -> bytes | None:
        """Take the next line out of the buffer, without its end; None if it holds no complete line."""
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._n_searched = 0
        return line

    def _has_arrived(self) -> bool:
        """Whether a complete line or the end of the stream is here; reads what can be read without waiting."""
        while self._buffer.find(b"\n", self._n_searched) < 0:
            self._n_searched = len(self._buffer)
            if self._n_searched > MAX_REPLY_BYTES:
                raise WorkerEndedError(f"the worker sent a message of over {MAX_REPLY_BYTES} bytes")
            try:
                data = self._channel.recv(_READ_BYTES)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self._buffer += data
        return True

    async def _ended(self) -> WorkerEndedError:
        """How the process ended, as an error to raise."""
        with anyio.move_on_after(_EXIT_STATUS_WAIT_S):
            await self._process.wait()
        match self._process.returncode:
            case None:
                return WorkerEndedError("the worker closed its channel")
            case -9:
                return WorkerEndedError("the worker was killed by SIGKILL, perhaps by the system for lack of memory")
            case code if code < 0:
                return WorkerEndedError(f"the worker was killed by {signal.Signals(-code).name}")
            case code:
                return WorkerEndedError(f"the worker exited with code {code}")


def _reply(line: bytes) -> Reply:
    try:
        return decode_reply(line)
    except WireError as error:
        raise WorkerEndedError(f"the worker's channel was disturbed: {error}") from error
