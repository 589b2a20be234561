"""Verification on the nodes of a cluster: the queue is here, and each node has worker processes as this machine has.

A node that is lost has its samples given out again, to other nodes: each sample gets one verdict, from the node whose
answer arrived. What makes the nodes a cluster is behind a small interface, `Cluster`; Ray is one (`ray_cluster`).
"""

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import anyio.to_thread

from bootcamp_cli.bootcamps.digest import verifier_digest
from bootcamp_cli.errors import ServerUnavailableError, UsageError
from bootcamp_cli.events import Emit, Event, Noted, Warned
from bootcamp_cli.text import counted, duration_words, visible
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.executor import OnVerdict
from bootcamp_cli.verification.jobs import LOADS, Intake, Job, JobQueue, encoded
from bootcamp_cli.verification.node import decode_answer, decode_digests
from bootcamp_cli.verification.protocol import Loaded, Verified, WireError

MAX_LOSSES = 3
"""A sample that was on so many lost nodes is not given out again: perhaps it is what they died of."""

_GRACE_S = 10.0
"""How long the first node, or another one, may take before anything is said or decided."""

_MOST = 256
"""The most samples that a node is given at once: a call to it costs as much as verifying several quick ones."""


class NodeLostError(Exception):
    """The node is gone, or its part of the tool is; the text says why."""


class Node(Protocol):
    """A node that has joined: it verifies any number of batches at a time, `n_workers` samples at once."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def n_workers(self) -> int:
        """The number of its worker processes."""
        ...

    async def verify(self, batch: bytes) -> bytes:
        """The answer to a batch (see `node`).

        Raises:
            NodeLostError: the node is lost; it may have verified the batch or not.
        """
        ...

    async def digests(self, batch: bytes) -> bytes:
        """The digests of the verifiers that the samples of a batch have there (see `node`).

        Raises:
            NodeLostError: the node is lost.
        """
        ...


class Cluster(Protocol):
    """Nodes that come and go."""

    async def connect(self) -> None:
        """Find the cluster.

        Raises:
            ServerUnavailableError: it is not there.
        """
        ...

    async def run(self) -> None:
        """Keep the connection; never returns."""
        ...

    async def next_node(self) -> Node:
        """Wait for a node that has not been given yet; one that was lost and is back is a new one."""
        ...

    async def close(self) -> None:
        """End what runs on the nodes."""
        ...


class ClusterExecutor:
    """Gives samples out to the nodes of a cluster, in batches, twice as many at a time as a node has workers.

    A node verifies a data source only where its verifier has the same digest as here; one with another is not used. A
    run waits for nodes for up to `wait_s` when none is there.
    """

    def __init__(self, cluster: Cluster, *, batch: int, wait_s: float, emit: Emit | None = None) -> None:
        self.families: dict[str, str] = {}
        self._cluster = cluster
        self._wait_s = wait_s
        self._emit = emit
        self._intake = Intake(JobQueue(batch, most=_MOST, third_party_alone=False), lambda: False)
        self._n_nodes = 0
        self._changed = anyio.Event()
        self._unfit: str | None = None
        self._has_fit = False
        self._digests: dict[BootcampRef, str | None] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._cluster.connect()
            await self._intake.__aenter__()
        except BaseException:
            await self._close_cluster()
            raise
        tasks = self._intake.tasks
        tasks.start_soon(self._cluster.run)
        tasks.start_soon(self._take_nodes)
        tasks.start_soon(self._watch_nodes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Leave the cluster; calls that are still waiting get ClosedResourceError."""
        try:
            return await self._intake.__aexit__(kind, error, trace)
        finally:
            await self._close_cluster()

    async def _close_cluster(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._cluster.close()

    async def verify(self, ref: BootcampRef, output: str, ground_truth: Any) -> Verdict:
        """Verify one output on a node; a failing verifier is a verdict with `failure`, not an exception.

        Raises:
            anyio.ClosedResourceError: the executor is not open, or was closed in the meantime.
        """
        return await self._intake.verify(ref, output, ground_truth)

    async def load(self, ref: BootcampRef) -> Verdict | None:
        """Import a bootcamp on a node: None, or the failure that each of its samples would get.

        Raises:
            anyio.ClosedResourceError: the executor is not open, or was closed in the meantime.
        """
        return await self._intake.load(ref)

    def submit(self, ref: BootcampRef, output: str, ground_truth: Any, on_verdict: OnVerdict) -> object:
        """Like `verify`, without waiting: `on_verdict` is called with the verdict, or with None if this is closed."""
        return self._intake.submit(ref, output, ground_truth, on_verdict)

    async def _take_nodes(self) -> None:
        while True:
            node = await self._cluster.next_node()
            self._count_node(1)
            self._intake.tasks.start_soon(self._use, node)

    async def _watch_nodes(self) -> None:
        """End the run when there is no node for too long, or none that fits."""
        while True:
            with anyio.move_on_after(self._wait_s):
                with anyio.move_on_after(_GRACE_S):
                    await self._until(lambda: self._n_nodes > 0)
                if not self._n_nodes and not self._none_fits:
                    self._tell(Noted(message="verification: waiting for a node of the cluster with free CPUs"))
                await self._until(lambda: self._n_nodes > 0 or self._none_fits)
            if not self._n_nodes and self._none_fits:
                raise UsageError(
                    f"verification: {self._unfit}, and no other node is there",
                    hint="install the same versions on all nodes (one image), then run `bootcamp resume`",
                )
            if not self._n_nodes:
                raise ServerUnavailableError(
                    f"the cluster has had no node to verify on for {duration_words(self._wait_s)}",
                    hint="see that it has nodes with free CPUs (`ray status`), or give fewer --verify-workers; then "
                    "run `bootcamp resume`",
                )
            await self._until(lambda: not self._n_nodes)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    @property
    def _none_fits(self) -> bool:
        """Whether there was a node, and it has other verifiers, as presumably all have."""
        return self._unfit is not None and not self._has_fit

    def _tell(self, event: Event) -> None:
        if self._emit is not None:
            self._emit(event)

    def _count_node(self, step: int) -> None:
        self._n_nodes += step
        self._changed.set()
        self._changed = anyio.Event()

    async def _use(self, node: Node) -> None:
        """Have a node verify until it is lost."""
        use = _Use(node)
        try:
            async with anyio.create_task_group() as feeding:
                for number in range(2 * node.n_workers):
                    feeding.start_soon(self._feed, use, number >= node.n_workers, feeding.cancel_scope)
        finally:
            self._count_node(-1)
        self._intake.wake()
        left = f"{counted(self._n_nodes, 'node')} left" if self._n_nodes else "waiting for another"
        self._tell(Warned(message=f"verification: node {visible(node.name)}: {visible(use.reason)}; {left}"))

    async def _feed(self, use: "_Use", last: bool, feeding: anyio.CancelScope) -> None:  # noqa: FBT001 - for start_soon
        """Give a node one batch after another, for as long as it is used."""
        while not use.reason:
            await self._intake.wait_for_work(last=last)
            self._intake.come()
            batch = {job.id: job for job in self._intake.queue.take()}
            self._intake.wake()
            try:
                if batch:
                    await self._run(use.node, batch, use.checked)
            except NodeLostError as error:
                use.end(str(error) or "it is lost", is_lost=True)
                feeding.cancel()
            except _UnfitError as error:
                use.end(str(error))
                self._unfit = f"node {visible(use.node.name)}: {visible(str(error))}"
                feeding.cancel()
            finally:
                self._give_out_again(batch.values(), is_lost=use.is_lost)

    async def _run(self, node: Node, batch: dict[int, Job], checked: set[BootcampRef]) -> None:
        """Have a batch verified; what has its verdict is taken out of it.

        Raises:
            NodeLostError: the node is lost.
            _UnfitError: it would verify by other code.
        """
        if new := {job.ref: job for job in batch.values() if job.ref not in checked}:
            await self._check_verifiers(node, list(new.values()))
            checked.update(new)
        begun, n = anyio.current_time(), len(batch)
        try:
            families, replies = decode_answer(await node.verify(await encoded(list(batch.values()))))
        except WireError as error:
            raise NodeLostError(f"it answered out of order: {error}") from error
        self.families.update(families)
        for reply in replies:
            job = batch.get(reply.id)
            if job is None or job.only_loads is not isinstance(reply, Loaded):
                raise NodeLostError("it answered out of order")
            del batch[reply.id]
            job.on_verdict(reply.verdict if isinstance(reply, Verified) else reply.failure or LOADS)
            if not job.only_loads:
                self._intake.queue.learn(job.ref, (anyio.current_time() - begun) / n)
        if batch:
            raise NodeLostError("it left samples out")

    async def _check_verifiers(self, node: Node, jobs: Sequence[Job]) -> None:
        """See that the node would verify these samples by the same code."""
        for job in jobs:
            if job.ref not in self._digests:
                self._digests[job.ref] = await anyio.to_thread.run_sync(verifier_digest, job.ref)
        try:
            theirs = decode_digests(await node.digests(await encoded(jobs)), n=len(jobs))
        except WireError as error:
            raise NodeLostError(f"it answered out of order: {error}") from error
        for job, digest in zip(jobs, theirs, strict=True):
            if digest != self._digests[job.ref]:
                what = "no" if digest is None else "another"
                raise _UnfitError(
                    f"it has {what} version of the {job.ref.origin} verifier of {visible(job.ref.data_source)}"
                )
        self._has_fit = True

    def _give_out_again(self, jobs: Iterable[Job], *, is_lost: bool) -> None:
        """Return what a node has not verified to the queue, unless it was on too many that were lost."""
        again = []
        for job in jobs:
            job.n_lost += is_lost
            if job.n_lost >= MAX_LOSSES and self._intake.is_open:
                error = f"{MAX_LOSSES} nodes were lost while they had it"
                job.on_verdict(Verdict(score=None, failure="verifier_crash", error=error))
            else:
                again.append(job)
        self._intake.queue.put_back(again)


class _UnfitError(Exception):
    """The node would verify by other code."""


class _Use:
    """A node that is used: for which verifiers it was checked, and why it is used no longer."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.checked: set[BootcampRef] = set()
        self.is_lost = False
        self.reason = ""

    def end(self, reason: str, *, is_lost: bool = False) -> None:
        """Use it no longer; the first reason is the one that is told."""
        self.is_lost = self.is_lost or is_lost
        self.reason = self.reason or reason
