"""Verification on a cluster: nodes come, are lost and differ, and every sample gets one verdict, the local one's.

The nodes are those of a cluster, real pools with real workers, without the cluster between them and the executor; the
tests with Ray are in `tests/interop`.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli import Settings
from bootcamp_cli.errors import ServerUnavailableError, SettingsError, UsageError
from bootcamp_cli.events import Event, Noted, Warned
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification import cluster as cluster_module
from bootcamp_cli.verification import executor as executor_module
from bootcamp_cli.verification.cluster import MAX_LOSSES, ClusterExecutor, Node, NodeLostError
from bootcamp_cli.verification.executor import check_executor
from bootcamp_cli.verification.node import NodeVerifier, decode_digests
from bootcamp_cli.verification.protocol import encode_sample, join_batch
from bootcamp_cli.verification.ray_cluster import driver_environment, ray_executor
from tests.bootcamps_builder import ECHO, until, verify_all, write_bootcamp

ODD = """
import os, time
ODD = {"nan": float("nan"), "lone": chr(0xd800), "big": 2**70, "deep": [[[1]]], "real": 1.0}
def extract_output(output):
    return ODD.get(output, output)
def check(solution, truth):
    if solution == "hang":
        time.sleep(1000)
    if solution == "die":
        os._exit(3)
    if solution == "exhaust":
        return len(bytearray(2**50))
    return truth
"""
"""Extracts what is hard to send, and ends in all ways."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the module search path, also on that of the workers."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


class LocalNode:
    """A node's verifier in this process, lost after `n_answers` answers, together with the next one."""

    def __init__(
        self, name: str, *, n_answers: float = math.inf, digest: bytes | None = None, workers: int = 1
    ) -> None:
        self.name = name
        self.n_workers = workers
        self.n_batches = 0
        self.verifier = NodeVerifier(workers=workers, timeout_s=1, memory_mib=512)
        self._n_answers = n_answers
        self._digest = digest
        self._is_lost = anyio.Event()

    async def verify(self, batch: bytes) -> bytes:
        """The answer to a batch, unless this is lost before that arrives."""
        self.n_batches += 1
        answer: list[bytes] = []

        async def answered() -> None:
            answer.append(await self.verifier.verify(batch))
            self._n_answers -= 1
            if self._n_answers < 0:
                self._is_lost.set()
            calling.cancel_scope.cancel()

        async def lost() -> None:
            await self._is_lost.wait()
            calling.cancel_scope.cancel()

        async with anyio.create_task_group() as calling:
            calling.start_soon(answered)
            calling.start_soon(lost)
        if self._is_lost.is_set():
            raise NodeLostError("unplugged")
        return answer[0]

    async def digests(self, batch: bytes) -> bytes:
        """The digests of the verifiers, or the one that was given."""
        return self._digest or await self.verifier.digests(batch)


class NonsenseNode(LocalNode):
    """A node that answers something else."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("nonsense")
        self._answer = answer

    async def verify(self, batch: bytes) -> bytes:
        """The same to every batch."""
        assert batch
        return self._answer


class LocalCluster:
    """Nodes in this process: each joins as soon as it is there."""

    def __init__(self, *nodes: LocalNode) -> None:
        self._joining, self._joined = anyio.create_memory_object_stream[LocalNode](math.inf)
        self._nodes = list(nodes)
        for node in nodes:
            self._joining.send_nowait(node)

    def add(self, node: LocalNode) -> None:
        """Let a node join."""
        self._nodes.append(node)
        self._joining.send_nowait(node)

    async def connect(self) -> None:
        """Nothing is to be found."""

    async def run(self) -> None:
        """Keep the nodes' workers."""
        async with anyio.create_task_group() as tasks:
            n_started = 0
            while True:
                for node in self._nodes[n_started:]:
                    tasks.start_soon(node.verifier.serve)
                n_started = len(self._nodes)
                await anyio.sleep(0.01)

    async def next_node(self) -> Node:
        """The next one."""
        return await self._joined.receive()

    async def close(self) -> None:
        """Nothing runs elsewhere."""
        self._joining.close()
        self._joined.close()


def verdicts_of(
    cluster: Callable[[], LocalCluster], samples: list[tuple[BootcampRef, str, Any]]
) -> tuple[list[list[Verdict | None]], list[Event]]:
    """All that each sample was given as its verdict, and what was told."""
    given: list[list[Verdict | None]] = [[] for _ in samples]

    async def run() -> list[Event]:
        events: list[Event] = []
        with anyio.fail_after(60):
            async with ClusterExecutor(cluster(), batch=32, wait_s=60, emit=events.append) as executor:
                for sample, verdicts in zip(samples, given, strict=True):
                    executor.submit(*sample, verdicts.append)
                await until(lambda: all(given))
        return events

    return given, anyio.run(run)


def test_verdicts_are_those_of_the_local_pool(site: Path) -> None:
    """Scores, extracted values, failures and their texts come from a node as they come from a local worker."""
    odd = write_bootcamp(site, "odd", ODD)
    third_party = BootcampRef(data_source="third", origin="entry_point", target="odd")
    missing = BootcampRef(data_source="missing", origin="entry_point", target="nowhere:nothing")
    rescued = BootcampRef(data_source="rescued", origin="builtin", target="rescued", fallback=odd)
    (site / "rescued.py").write_text(ECHO + "def unscorable(ground_truth): return 'too hard'\n")
    outputs = ("plain", "nan", "lone", "big", "deep", "real", "hang", "die", "exhaust", "\ud800", "last")
    samples: list[tuple[BootcampRef, str, Any]] = [
        *((odd, output, 0.5) for output in outputs),
        *((third_party, output, {"nan": math.nan}) for output in ("plain", "die")),
        (odd, "truth is not JSON", object()),
        (missing, "a", 1),
        (rescued, "b", 0.25),
    ]
    local = verify_all(samples, timeout_s=1, memory_mib=512)
    given, events = verdicts_of(lambda: LocalCluster(LocalNode("one"), LocalNode("two")), samples)
    assert list(map(repr, given)) == [repr([verdict]) for verdict in local]  # NaN is not equal to itself
    assert Counter(verdict.failure for verdict in local)["verifier_timeout"] == 1
    assert events == []


def test_lost_nodes_lose_nothing(site: Path) -> None:
    """Nodes are lost with their answers, so that samples are verified twice: each gets its own verdict, once."""
    ref = write_bootcamp(site, "odd", ODD)
    samples: list[tuple[BootcampRef, str, Any]] = [(ref, str(number), number / 4) for number in range(4000)]
    nodes = []

    def cluster() -> LocalCluster:
        nodes.extend([LocalNode("one", n_answers=0), LocalNode("two", n_answers=1, workers=2), LocalNode("three")])
        return LocalCluster(*nodes)

    given, events = verdicts_of(cluster, samples)
    assert given == [[Verdict(score=number / 4, extracted=str(number))] for number in range(4000)]
    assert all(node.n_batches for node in nodes)
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert [warning.split(";")[0] for warning in sorted(warnings)] == [
        "verification: node one: unplugged", "verification: node two: unplugged"
    ]  # fmt: skip


def test_a_sample_that_nodes_die_of_is_given_up(site: Path) -> None:
    """What was on three nodes that were lost gets a verdict that `resume` verifies again; other samples get theirs."""
    ref = write_bootcamp(site, "echo", ECHO)
    given: list[list[Verdict | None]] = [[], []]

    async def run() -> None:
        cluster = LocalCluster(*(LocalNode(f"{number}", n_answers=0) for number in range(MAX_LOSSES)))
        with anyio.fail_after(60):
            async with ClusterExecutor(cluster, batch=32, wait_s=60) as executor:
                executor.submit(ref, "deadly", None, given[0].append)
                await until(lambda: bool(given[0]))
                cluster.add(LocalNode("sound"))
                executor.submit(ref, "other", None, given[1].append)
                await until(lambda: bool(given[1]))

    anyio.run(run)
    error = f"{MAX_LOSSES} nodes were lost while they had it"
    assert given == [
        [Verdict(score=None, failure="verifier_crash", error=error)], [Verdict(score=1.0, extracted="other")]
    ]  # fmt: skip


@pytest.mark.parametrize("digest", [b'["other"]', b"[null]"])
def test_a_node_with_other_code_verifies_nothing(site: Path, digest: bytes) -> None:
    """A node whose verifier has another digest, or none, is not used, and that is told; the others do the work."""
    ref = write_bootcamp(site, "echo", ECHO)
    nodes = []

    def cluster() -> LocalCluster:
        nodes.extend([LocalNode("other", digest=digest), LocalNode("same")])
        return LocalCluster(*nodes)

    third_party = BootcampRef(data_source="third", origin="entry_point", target=ref.target)
    given, events = verdicts_of(cluster, [(third_party, str(number), None) for number in range(60)])
    assert [[verdict.score for verdict in verdicts if verdict] for verdicts in given] == [[1.0]] * 60
    assert nodes[0].n_batches == 0
    assert nodes[1].n_batches > 0
    [warning] = [event.message for event in events if isinstance(event, Warned)]
    assert "version of the entry_point verifier of third; 1 node left" in warning


def test_no_node_with_the_same_code_ends_the_run(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no node has the verifiers, the run ends with an error that says so, and samples get no verdict."""
    monkeypatch.setattr(cluster_module, "_GRACE_S", 0.1)
    ref = BootcampRef(data_source="third", origin="entry_point", target=write_bootcamp(site, "echo", ECHO).target)
    given: list[Verdict | None] = []

    async def run() -> None:
        async with ClusterExecutor(LocalCluster(LocalNode("other", digest=b'["x"]')), batch=32, wait_s=60) as executor:
            executor.submit(ref, "a", None, given.append)
            await anyio.sleep(30)

    with pytest.raises(UsageError, match="node other: it has another version of the entry_point verifier of third"):
        anyio.run(run)
    assert given == [None]


def test_waiting_for_nodes_ends(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster without nodes is waited for, which is told, as long as the settings say; the run can be resumed."""
    monkeypatch.setattr(cluster_module, "_GRACE_S", 0.05)
    events: list[Event] = []

    async def run() -> None:
        async with ClusterExecutor(LocalCluster(), batch=32, wait_s=0.2, emit=events.append) as executor:
            with pytest.raises(anyio.ClosedResourceError):
                await executor.verify(write_bootcamp(site, "echo", ECHO), "a", None)

    with pytest.raises(ServerUnavailableError, match="no node to verify on for") as raised:
        anyio.run(run)
    assert "bootcamp resume" in str(raised.value.hint)
    assert events == [Noted(message="verification: waiting for a node of the cluster with free CPUs")]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"{}", b"{}\n", b'{"a": 1}\n', b"[]\n", b"nonsense\n", b'{}\n["ready"]\n', b"{}\n[]\n",
        b'{}\n["verdict",77,1.0,null,null,null,false]\n', b'{}\n["loaded",1,null,null,null,null]\n',
        b'{}\n["verdict",1,"1",null,null,null,false]\n', b'{}\n["verdict",1,1.0,null,null,null,false]\n' * 2,
    ],
)  # fmt: skip
def test_a_node_that_answers_out_of_order_is_lost(site: Path, answer: bytes) -> None:
    """No answer but one in the right form, to the samples that were asked, gives a verdict."""
    ref = write_bootcamp(site, "echo", ECHO)
    given, events = verdicts_of(
        lambda: LocalCluster(NonsenseNode(answer), LocalNode("sound")),
        [(ref, str(number), None) for number in range(3)],
    )
    assert [[verdict.score for verdict in verdicts if verdict] for verdicts in given] == [[1.0]] * 3
    [warning] = [event.message for event in events if isinstance(event, Warned)]
    assert "node nonsense: it answered out of order" in warning or "it left samples out" in warning


def test_bootcamps_are_loaded_on_a_node(site: Path) -> None:
    """`load` tells there whether a bootcamp can be imported, and which family it names."""
    named = "family = 'own'\ndef extract_output(output): return output\ndef verify_score(output, truth): return 1.0\n"
    (site / "named.py").write_text(named)
    loads = BootcampRef(data_source="named", origin="entry_point", target="named")
    missing = BootcampRef(data_source="missing", origin="entry_point", target="nowhere")
    found: list[Any] = []

    async def run() -> None:
        async with ClusterExecutor(LocalCluster(LocalNode("one")), batch=32, wait_s=60) as executor:
            with anyio.fail_after(60):
                found.extend([await executor.load(loads), await executor.load(missing), dict(executor.families)])

    anyio.run(run)
    assert found[0] is None
    assert "nowhere" in found[1].error
    assert found[2] == {"named": "own"}


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray, `--executor ray` is refused with the line that installs it."""
    monkeypatch.setattr(executor_module, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="the package ray is not installed") as raised:
        check_executor(Settings(executor="ray"))
    assert raised.value.hint == "pip install 'bootcamp-cli[ray]'"
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "nonsense", ":6379", "host:99999"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    """What is not HOST:PORT, as Ray Client's addresses, is refused before anything starts."""

    async def run() -> None:
        await ray_executor(Settings(executor="ray", ray_address=address), None)

    with pytest.raises(SettingsError, match=f"^ray_address: {re.escape(address)} is not HOST:PORT"):
        anyio.run(run)


def test_the_driver_gets_no_secrets() -> None:
    """Of the environment Ray's driver gets what Python and Ray need, and no key."""
    environ = {"PATH": "/bin", "RAY_ADDRESS": "10.0.0.1:6379", "OPENAI_API_KEY": "sk-1", "BOOTCAMP_API_KEY": "sk-2"}
    kept = driver_environment(environ)
    assert kept["RAY_ADDRESS"] == "10.0.0.1:6379"
    assert kept["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "sk-" not in "".join(kept.values())


def test_a_node_looks_for_the_package_itself() -> None:
    """Where the package is on the machine that asks says nothing about the node, which has none here."""
    ref = BootcampRef(data_source="x", origin="upstream", target="module:Class", path="/elsewhere")
    batch = join_batch([encode_sample(1, ref, "x", b"null")])
    node = NodeVerifier(workers=1, timeout_s=1, memory_mib=512)
    assert decode_digests(anyio.run(node.digests, batch), n=1) == [None]
