"""The driver of a Ray cluster, in a process of its own: puts an actor on every node, and passes batches on.

An actor is a `NodeVerifier`, which knows nothing of Ray. It takes as many of the node's CPUs as it has worker
processes, so that Ray gives them to nobody else. `ray_cluster` is the other end of standard input and output.
"""

import asyncio
import itertools
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bootcamp_cli.verification.node import NodeVerifier
from bootcamp_cli.verification.ray_cluster import (
    LENGTH,
    Answered,
    Call,
    Connected,
    FromDriver,
    Joined,
    Left,
    RayPlan,
    Refused,
    framed,
)

_POLL_S = 1.0
_LONGEST_PAUSE_S = 60.0
_END_S = 5.0
_decode = msgspec.msgpack.Decoder(Call).decode


def main(plan: str) -> None:
    """Serve until standard input ends; `plan` is a RayPlan as JSON."""
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    given = msgspec.json.decode(plan, type=RayPlan)
    try:
        _connect(given)
    except Exception as error:  # noqa: BLE001 - whatever Ray raises is the reason
        _send(channel, Refused(_reason(error)))
        sys.exit(1)
    _send(channel, Connected())
    asyncio.run(_Driver(given, channel).run())
    ray.shutdown()


def _connect(plan: RayPlan) -> None:
    ray.init(
        address=plan.address or "auto",
        log_to_driver=False,
        configure_logging=False,
        runtime_env={
            "py_modules": list(plan.modules),
            "excludes": ["**/__pycache__/"],
            "env_vars": {"RAY_USE_UVLOOP": "0"},  # workers are started by asyncio's own loop
        },
    )


def _send(channel: int, message: FromDriver) -> None:
    data = memoryview(framed(message))
    while data:
        data = data[os.write(channel, data) :]


def _reason(error: BaseException) -> str:
    """An error of Ray's in one line: the last of those that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:500]


@dataclass(slots=True, kw_only=True, eq=False)
class _Place:
    """A node of the cluster: the actor on it, if there is one, and since when it may be tried again."""

    id: str
    name: str
    n_workers: int
    actor: Any = None
    number: int = 0
    n_failed: int = 0
    not_before: float = 0.0


class _Driver:
    """The actors, and the calls to them."""

    def __init__(self, plan: RayPlan, channel: int) -> None:
        self._plan = plan
        self._channel = channel
        self._places: dict[str, _Place] = {}
        self._actors: dict[int, Any] = {}
        self._reasons: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Pass calls on until there are no more."""
        calls = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(calls), sys.stdin)
        watching = asyncio.create_task(self._watch_nodes())
        try:
            while True:
                (length,) = LENGTH.unpack(await calls.readexactly(LENGTH.size))
                self._start(self._answer(_decode(await calls.readexactly(length))))
        except asyncio.IncompleteReadError:
            pass
        watching.cancel()
        endings = [actor.close.remote() for actor in self._actors.values()]
        if endings:
            await asyncio.wait([asyncio.ensure_future(_quietly(ending)) for ending in endings], timeout=_END_S)
            still = [task for task in self._tasks if not task.done()]
            if still:  # the actors' `serve` ends when their workers have
                await asyncio.wait(still, timeout=_END_S)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch_nodes(self) -> None:
        """Put an actor on every node that is alive and has none."""
        while True:
            for node in await asyncio.to_thread(ray.nodes):
                n_cpus = int(node["Resources"].get("CPU", 0))
                if not (node["Alive"] and n_cpus):
                    continue
                place = self._places.get(node["NodeID"])
                if place is None:
                    n_workers = min(self._plan.workers or n_cpus, n_cpus)
                    name = f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"
                    place = self._places[node["NodeID"]] = _Place(id=node["NodeID"], name=name, n_workers=n_workers)
                if place.actor is None and time.monotonic() >= place.not_before:
                    place.number = next(self._numbers)
                    place.actor = self._actor(place)
                    self._start(self._serve(place))
            await asyncio.sleep(_POLL_S)

    def _actor(self, place: _Place) -> Any:
        return (
            ray.remote(NodeVerifier)
            .options(
                num_cpus=place.n_workers,
                max_restarts=0,
                max_concurrency=4 * place.n_workers + 16,
                scheduling_strategy=NodeAffinitySchedulingStrategy(place.id, soft=False),
            )
            .remote(workers=place.n_workers, timeout_s=self._plan.timeout_s, memory_mib=self._plan.memory_mib)
        )

    async def _serve(self, place: _Place) -> None:
        """Announce an actor when it works, and tell when it is gone."""
        number, joined = place.number, time.monotonic()
        reason = "it ended"
        try:
            serving = place.actor.serve.remote()
            await place.actor.digests.remote(b"[]\n")
            self._actors[number] = place.actor
            joined = time.monotonic()
            _send(self._channel, Joined(number, place.name, place.n_workers))
            await serving
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the actor is of no use
            reason = _reason(error)
        self._actors.pop(number, None)
        place.actor = None
        has_lasted = time.monotonic() - joined > _LONGEST_PAUSE_S
        place.n_failed = 1 if has_lasted else place.n_failed + 1
        place.not_before = time.monotonic() + min(_LONGEST_PAUSE_S, 2.0 ** min(place.n_failed, 10))
        _send(self._channel, Left(number, place.name, self._reasons.pop(number, reason)))

    async def _answer(self, call: Call) -> None:
        """Pass a call on; where it fails, the actor is given up, and with it all of its calls."""
        actor = self._actors.get(call.node)
        if actor is None:
            return  # it was told that the node has left
        try:
            answer = await getattr(actor, call.method).remote(call.batch)
        except RayError as error:
            self._reasons.setdefault(call.node, _reason(error))
            ray.kill(actor)  # its `serve` ends, which is told
        else:
            _send(self._channel, Answered(call.number, answer))


async def _quietly(ref: Any) -> None:
    try:
        await ref
    except RayError:
        return
