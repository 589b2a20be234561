"""A node's side of verification on a cluster: batches come in, and worker processes of the node verify them.

Batches are those that workers get (see `protocol`). The answer to one has the families that bootcamps name, as a JSON
object, on its first line, and below it the reply to each sample as a worker writes it, which here may be a timeout.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from bootcamp_cli.bootcamps.digest import verifier_digest
from bootcamp_cli.bootcamps.upstream import find_package
from bootcamp_cli.types import BootcampRef, Verdict, encode_exactly
from bootcamp_cli.verification.pool import VerifierPool
from bootcamp_cli.verification.protocol import (
    Loaded,
    Task,
    Verified,
    WireError,
    decode_batch,
    decode_reply,
    encode_reply,
)


class NodeVerifier:
    """Verifies batches in a pool of this node's own, with the limits that a local one would have."""

    def __init__(self, *, workers: int, timeout_s: float, memory_mib: int) -> None:
        self._pool = VerifierPool(workers=workers, timeout_s=timeout_s, memory_mib=memory_mib, batch=1)
        self._is_open = anyio.Event()
        self._is_closing = anyio.Event()

    async def serve(self) -> None:
        """Keep the workers until `close`."""
        async with self._pool:
            self._is_open.set()
            await self._is_closing.wait()

    async def close(self) -> None:
        """End the workers."""
        self._is_closing.set()

    async def verify(self, batch: bytes) -> bytes:
        """The answer to a batch, when all of its samples are verified."""
        await self._is_open.wait()
        tasks = decode_batch(batch)
        replies: dict[int, bytes] = {}
        finished = anyio.Event()

        def finish(id_: int, reply: bytes) -> None:
            replies[id_] = reply
            if len(replies) == len(tasks):
                finished.set()

        def submit(task: Task) -> None:
            self._pool.submit(
                _local(task.ref),
                task.output or "",
                task.ground_truth,
                lambda verdict: finish(task.id, _reply(task.id, verdict)),
            )

        async def load(task: Task) -> None:
            failure = await self._pool.load(_local(task.ref))
            finish(task.id, encode_reply(Loaded(id=task.id, failure=failure)))

        async with anyio.create_task_group() as loading:
            for task in tasks:
                if task.output is None:
                    loading.start_soon(load, task)
                else:
                    submit(task)
        await finished.wait()
        return encode_exactly(self._pool.families) + b"\n" + b"".join(replies[task.id] for task in tasks)

    async def digests(self, batch: bytes) -> bytes:
        """The digest of the verifier of each sample of a batch, in order, as a JSON array."""
        refs = [_local(task.ref) for task in decode_batch(batch)]
        return msgspec.json.encode([await anyio.to_thread.run_sync(verifier_digest, ref) for ref in refs])


def _reply(id_: int, verdict: Verdict | None) -> bytes:
    if verdict is None:
        raise anyio.ClosedResourceError
    return encode_reply(Verified(id=id_, verdict=verdict, retire=False))


def _local(ref: BootcampRef) -> BootcampRef:
    """The bootcamp as it is found on this node: a package that came by its path is somewhere else here."""
    return ref if ref.path is None else replace(ref, path=_package_path())


@cache
def _package_path() -> str | None:
    package = find_package(None)
    return None if package is None else str(package.parent)


def decode_answer(answer: bytes) -> tuple[dict[str, str], Sequence[Verified | Loaded]]:
    """The families and the replies of an answer.

    Raises:
        WireError: it is none.
    """
    head, *lines = answer.removesuffix(b"\n").split(b"\n")
    families = _loaded(head)
    if not (isinstance(families, dict) and all(isinstance(family, str) for family in families.values())):
        raise WireError("not the families of bootcamps")
    replies = [decode_reply(line, from_node=True) for line in lines]
    return families, [reply for reply in replies if isinstance(reply, (Verified, Loaded))]


def decode_digests(answer: bytes, *, n: int) -> Sequence[str | None]:
    """The digests of `n` verifiers.

    Raises:
        WireError: the answer has not so many.
    """
    digests = _loaded(answer)
    if not (isinstance(digests, list) and len(digests) == n and all(isinstance(each, str | None) for each in digests)):
        raise WireError("not the digests of verifiers")
    return digests


def _loaded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error
