"""A Ray cluster as one that verifies: its driver is a process of its own, which this talks to.

Ray installs signal handlers and hooks, writes to the terminal, blocks while it connects, and ends its process where the
cluster's head is gone for good. None of that may happen to the process that writes the run. What the two send each
other are frames: four bytes of length, and a message in MessagePack.
"""

import itertools
import math
import os
import signal
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TypeAlias, cast

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from bootcamp_cli.bootcamps.upstream import find_package
from bootcamp_cli.errors import ServerUnavailableError, SettingsError
from bootcamp_cli.events import Emit, Warned
from bootcamp_cli.processes import python_command, worker_environment
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.text import duration_words, visible
from bootcamp_cli.verification.cluster import ClusterExecutor, NodeLostError

_CONNECT_LIMIT_S = 60.0
_REACH_LIMIT_S = 10.0
_MOST_PORT = 65_535
_RECONNECT_S = 5.0
_END_S = 10.0
_KEPT = ("RAY_", "TMPDIR", "NVIDIA_", "CUDA_")
"""Beginnings of the names of further variables that the driver gets: Ray's own, and no secrets of the run."""


class RayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver needs to know; `modules` are the directories of the packages that nodes get."""

    address: str | None
    modules: tuple[str, ...]
    timeout_s: float
    memory_mib: int
    workers: int | None


class Call(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the driver: have a node do something with a batch."""

    number: int
    node: int
    method: str
    batch: bytes


class Connected(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The driver has found the cluster."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It has not, and ends."""

    reason: str


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A node can be used."""

    node: int
    name: str
    n_workers: int


class Left(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A node can be used no longer, or could not be; its calls get no answer."""

    node: int
    name: str
    reason: str


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a call brought."""

    number: int
    answer: bytes


FromDriver: TypeAlias = Connected | Refused | Joined | Left | Answered
_decoder: msgspec.msgpack.Decoder[FromDriver] = msgspec.msgpack.Decoder(FromDriver)
_encode = msgspec.msgpack.Encoder().encode


def framed(message: Call | FromDriver) -> bytes:
    """A message as it is sent."""
    content = _encode(message)
    return LENGTH.pack(len(content)) + content


LENGTH = struct.Struct(">I")


async def ray_executor(settings: Settings, emit: Emit | None) -> ClusterExecutor:
    """The executor on the Ray cluster that the settings name.

    Raises:
        SettingsError: the address is one of another kind.
    """
    address = settings.ray_address
    if address not in (None, "auto") and _host_and_port(address or "") is None:
        hint = "run this on a node of the cluster, as a job or in its pod, and give the head's address or none"
        raise SettingsError(f"ray_address: {visible(address or '')} is not HOST:PORT", hint=hint)
    plan = RayPlan(
        address=address,
        modules=await anyio.to_thread.run_sync(_modules, settings),
        timeout_s=settings.verify_timeout,
        memory_mib=settings.verify_memory,
        workers=settings.verify_workers,
    )
    return ClusterExecutor(
        RayCluster(plan, os.environ, emit),
        batch=settings.max_concurrent_requests // 4,
        wait_s=settings.wait,
        emit=emit,
    )


def _host_and_port(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > _MOST_PORT:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def _modules(settings: Settings) -> tuple[str, ...]:
    """This package, and the one with the bootcamps of third parties, if there is one."""
    path = None if settings.bootcamps_path is None else str(settings.bootcamps_path)
    package = None if settings.bootcamps == "builtin" else find_package(path)
    return (str(Path(__file__).parents[1]), *([] if package is None else [str(package)]))


class RayCluster:
    """The cluster, by way of the driver; one that has ended is started again."""

    def __init__(self, plan: RayPlan, environ: Mapping[str, str], emit: Emit | None) -> None:
        self._plan = plan
        self._environ = environ
        self._emit = emit
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._nodes: dict[int, _RayNode] = {}
        self._joined, self._came = anyio.create_memory_object_stream["_RayNode"](math.inf)
        self._calls, self._called = anyio.create_memory_object_stream[Call](math.inf)
        self._driver: Process | None = None
        self._input: ByteSendStream
        self._output: BufferedByteReceiveStream

    async def connect(self) -> None:
        """Start the driver and wait until it has found the cluster.

        Raises:
            ServerUnavailableError: there is none.
        """
        reason = await self._unreachable() or await self._connected()
        if reason is not None:
            await self._end_driver()
            place = f"at {visible(self._plan.address)}" if self._plan.address else "on this machine or at RAY_ADDRESS"
            raise ServerUnavailableError(
                f"no Ray cluster {place}: {visible(reason)}",
                hint="start one (`ray start --head`), or give --ray-address HOST:PORT of its head",
            )

    async def _unreachable(self) -> str | None:
        """Why nothing can be at the address; Ray would try for minutes."""
        place = _host_and_port(self._plan.address or self._environ.get("RAY_ADDRESS", ""))
        if place is None:
            return None  # Ray finds one, or says why not
        try:
            with anyio.fail_after(_REACH_LIMIT_S):
                await (await anyio.connect_tcp(*place)).aclose()
        except TimeoutError:
            return f"no connection within {duration_words(_REACH_LIMIT_S)}"
        except OSError as error:
            refused = error.__cause__  # with a cause that has a number, or itself with words
            if isinstance(refused, OSError) and refused.errno:
                return os.strerror(refused.errno)
            return error.strerror or str(error)
        return None

    async def _connected(self) -> str | None:
        """Start the driver; None when it has found the cluster, else why not."""
        self._driver = await anyio.open_process(
            python_command("bootcamp_cli.verification.ray_driver", msgspec.json.encode(self._plan).decode()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=driver_environment(self._environ),
            start_new_session=True,
        )
        self._input = cast("ByteSendStream", self._driver.stdin)
        self._output = BufferedByteReceiveStream(cast("ByteReceiveStream", self._driver.stdout))
        with anyio.move_on_after(_CONNECT_LIMIT_S):
            match await self._receive():
                case Connected():
                    return None
                case Refused(reason=reason):
                    return reason
                case _:
                    return "its driver ended"
        return f"no answer within {duration_words(_CONNECT_LIMIT_S)}"

    async def run(self) -> None:
        """Send and receive; connect again where the driver has ended."""
        while True:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                while (message := await self._receive()) is not None:
                    self._take(message)
                tasks.cancel_scope.cancel()
            for number in list(self._nodes):
                self._lose(number, "the connection to the cluster is lost")
            while True:
                await self._end_driver()
                await anyio.sleep(_RECONNECT_S)
                with suppress(ServerUnavailableError):
                    await self.connect()
                    break

    async def next_node(self) -> "_RayNode":
        """Wait for a node that has joined."""
        return await self._came.receive()

    async def close(self) -> None:
        """Have the driver end what it started on the nodes, and wait until it has ended."""
        if self._driver is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._input.aclose()
            with anyio.move_on_after(_END_S):
                await self._driver.wait()
        await self._end_driver()
        self._joined.close()
        self._came.close()
        self._calls.close()
        self._called.close()

    async def call(self, node: "_RayNode", method: str, batch: bytes) -> bytes:
        """Have a node do something with a batch.

        Raises:
            NodeLostError: it is lost.
        """
        if self._nodes.get(node.number) is not node:
            raise NodeLostError(node.reason)
        number = next(self._numbers)
        self._waiting[number] = waiting = _Waiting(node)
        try:
            self._calls.send_nowait(Call(number, node.number, method, batch))
            await waiting.came.wait()
        finally:
            del self._waiting[number]
        if waiting.answer is None:
            raise NodeLostError(node.reason)
        return waiting.answer

    async def _send(self) -> None:
        ended = (anyio.BrokenResourceError, anyio.ClosedResourceError)  # the other end tells of it
        with suppress(*ended), self._called.clone() as calls:
            async for call in calls:
                if call.number in self._waiting:  # else the caller waits no longer
                    await self._input.send(framed(call))

    async def _receive(self) -> FromDriver | None:
        """The next message; None where there will be none."""
        try:
            (length,) = LENGTH.unpack(await self._output.receive_exactly(LENGTH.size))
            return _decoder.decode(await self._output.receive_exactly(length))
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError, msgspec.MsgspecError):
            return None

    def _take(self, message: FromDriver) -> None:
        match message:
            case Joined(node=number, name=name, n_workers=n_workers):
                self._nodes[number] = node = _RayNode(self, number, name, n_workers)
                self._joined.send_nowait(node)
            case Left(node=number, name=name, reason=reason):
                if number in self._nodes:
                    self._lose(number, reason)
                elif self._emit is not None:
                    self._emit(Warned(message=f"verification: node {visible(name)} cannot be used: {visible(reason)}"))
            case Answered(number=number, answer=answer):
                if waiting := self._waiting.get(number):
                    waiting.answer = answer
                    waiting.came.set()
            case Connected() | Refused():
                pass

    def _lose(self, number: int, reason: str) -> None:
        node = self._nodes.pop(number)
        node.reason = reason
        for waiting in self._waiting.values():
            if waiting.node is node:
                waiting.came.set()

    async def _end_driver(self) -> None:
        """End the driver, and wait until it is gone."""
        driver, self._driver = self._driver, None
        if driver is None:
            return
        with anyio.CancelScope(shield=True):
            if driver.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(driver.pid, signal.SIGKILL)
            await driver.aclose()


def driver_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the driver gets: what Python and Ray need to run."""
    return worker_environment(environ) | {
        name: value for name, value in environ.items() if name.startswith(_KEPT)
    } | {"RAY_USAGE_STATS_ENABLED": environ.get("RAY_USAGE_STATS_ENABLED", "0")}  # fmt: skip


class _Waiting:
    """A call that waits for its answer."""

    def __init__(self, node: "_RayNode") -> None:
        self.node = node
        self.came = anyio.Event()
        self.answer: bytes | None = None


class _RayNode:
    """A node of the cluster, with our actor on it."""

    def __init__(self, cluster: RayCluster, number: int, name: str, n_workers: int) -> None:
        self.number = number
        self.name = name
        self.n_workers = n_workers
        self.reason = "it is lost"
        self._cluster = cluster

    async def verify(self, batch: bytes) -> bytes:
        """The answer to a batch."""
        return await self._cluster.call(self, "verify", batch)

    async def digests(self, batch: bytes) -> bytes:
        """The digests of the verifiers of a batch."""
        return await self._cluster.call(self, "digests", batch)
