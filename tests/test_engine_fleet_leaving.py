"""Servers that leave a run while something still hangs on them, and that are named again or replaced meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.engine import fleet
from bootcamp_cli.server import url_file
from tests.raw_server import http
from tests.replica import Replica
from tests.test_engine_fleet import Outcome, n_rows, outcome_of, take_ports, until, written


@dataclass(slots=True, kw_only=True)
class HeldReplica(Replica):
    """A replica that keeps its answers back, or its model list where a request was lost, until it is let go."""

    loses: bool = False
    is_held: bool = True
    n_lists: int = 0
    _lists_at_loss: int | None = field(default=None, repr=False)

    async def _reply(self, head: bytes, body: bytes) -> bytes:
        is_list = b" /v1/models" in head
        self.n_lists += is_list
        reply = await Replica._reply(self, head, body)
        is_neutral = is_list or not self.n_received
        if is_list and self._lists_at_loss is not None:
            await until(lambda: not self.is_held)
        if is_neutral:
            return reply
        if self.loses:
            self._lists_at_loss = self.n_lists
            raise OSError
        await until(lambda: not self.is_held)
        return reply


@dataclass(slots=True, kw_only=True)
class UnreadyReplica(Replica):
    """A replica that has no model list yet, and takes longer each time to say so."""

    n_looks: int = 0

    async def _reply(self, head: bytes, body: bytes) -> bytes:  # noqa: ARG002 - as the other one
        self.n_looks += 1
        await asyncio.sleep(0.1 * self.n_looks)
        return http(503, {})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the file of URLs again and again."""
    monkeypatch.setattr(url_file, "_POLL_S", 0.02)
    monkeypatch.setattr(fleet, "_DRAIN_POLL_S", 0.02)


def run_with(
    path: Path, *replicas: Replica, meanwhile: Callable[[], Awaitable[Any]], test_dir: Path, out: Path, **changed: Any
) -> Outcome:
    """Run with a file that names the servers."""
    return outcome_of(
        *replicas,
        test_dir=test_dir,
        output_dir=out,
        meanwhile=meanwhile,
        **{"url": "http://127.0.0.1:9/v1", "url_file": path, **changed},
    )


def test_what_keeps_a_server_away_is_told_once(demo_test_dir: Path, tmp_path: Path) -> None:
    """However often it is looked at, and however long a look takes."""
    good, away = Replica(latency_s=0.02), UnreadyReplica()
    outcome = outcome_of(
        *(good, away), test_dir=demo_test_dir, output_dir=tmp_path, repeats=8, poll_interval=0.01, max_retries=0
    )
    assert away.n_looks > 1
    assert outcome.told(f"{away.url} is not used: ") == 1
    assert outcome.told("waited") == 0


def test_the_file_changes_again_while_a_server_drains(demo_test_dir: Path, tmp_path: Path) -> None:
    """It is let go once, when what it works on has ended."""
    leaves, stays, joins = HeldReplica(), Replica(latency_s=0.01), Replica(latency_s=0.01)
    path = tmp_path / "urls"

    async def change() -> None:
        await until(lambda: leaves.n_received > 0)
        written(path, stays.url)
        await asyncio.sleep(0.1)
        written(path, stays.url, joins.url)
        await until(lambda: joins.n_answered > 0)
        leaves.is_held = False

    take_ports(leaves, stays, joins)
    written(path, leaves.url, stays.url)
    outcome = run_with(
        path, leaves, stays, joins, meanwhile=change, test_dir=demo_test_dir, out=tmp_path / "out", repeats=4
    )
    assert (outcome.error, len(outcome.records)) == (None, 4 * n_rows(demo_test_dir))
    assert outcome.told(f"{leaves.url} is not named any more") == 1


def test_a_server_that_is_named_again_while_it_drains(demo_test_dir: Path, tmp_path: Path) -> None:
    """It takes requests again once it has drained."""
    back, stays = HeldReplica(), Replica(latency_s=0.01)
    path = tmp_path / "urls"
    n_before: list[int] = []

    async def change() -> None:
        await until(lambda: back.n_received > 0)
        written(path, stays.url)
        await asyncio.sleep(0.1)
        written(path, stays.url, back.url)
        await asyncio.sleep(0.1)
        n_before.append(back.n_received)
        back.is_held = False

    take_ports(back, stays)
    written(path, back.url, stays.url)
    outcome = run_with(path, back, stays, meanwhile=change, test_dir=demo_test_dir, out=tmp_path / "out", repeats=8)
    assert (outcome.error, len(outcome.records)) == (None, 8 * n_rows(demo_test_dir))
    assert back.n_received > n_before[0]


def test_a_server_leaves_while_it_is_looked_into(demo_test_dir: Path, tmp_path: Path) -> None:
    """Its samples go to others, whatever the look finds and however late."""
    leaves, stays = HeldReplica(loses=True), Replica(latency_s=0.01)
    path = tmp_path / "urls"

    async def change() -> None:
        await until(lambda: leaves._lists_at_loss is not None)
        written(path, stays.url)
        await asyncio.sleep(0.3)
        leaves.is_held = False
        leaves.die()

    take_ports(leaves, stays)
    written(path, leaves.url, stays.url)
    outcome = run_with(path, leaves, stays, meanwhile=change, test_dir=demo_test_dir, out=tmp_path / "out")
    assert (outcome.error, outcome.failures) == (None, [])
    assert len(outcome.records) == n_rows(demo_test_dir)


def test_the_last_good_server_leaves(demo_test_dir: Path, tmp_path: Path) -> None:
    """The run ends where those that are left were given up before."""
    good, absent = Replica(latency_s=0.01), Replica()
    path = tmp_path / "urls"

    async def change() -> None:
        await until(lambda: good.n_answered > 20)
        await asyncio.sleep(0.2)
        written(path, absent.url)

    take_ports(good, absent)
    written(path, good.url, absent.url)
    outcome = run_with(
        path,
        *(good, absent),
        meanwhile=change,
        test_dir=demo_test_dir,
        out=tmp_path / "out",
        absent=(absent,),
        wait=0.05,
        repeats=100,
    )
    assert outcome.error is not None
    assert outcome.error.message.startswith(f"{absent.url}: ")


def test_a_server_that_forbids_a_sample_leaves(demo_test_dir: Path, tmp_path: Path) -> None:
    """What it was to be asked about the refusal stays unasked, and the sample goes to another one."""
    leaves, stays = HeldReplica(refusal=None), Replica(latency_s=0.01)
    path = tmp_path / "urls"

    def forbid(replica: Replica, _: str) -> None:
        replica.refusal = http(403, {"error": {"message": "no"}})

    async def change() -> None:
        await until(lambda: leaves.n_received > 0)
        written(path, stays.url)
        await asyncio.sleep(0.1)
        leaves.is_held = False

    leaves.before = forbid
    take_ports(leaves, stays)
    written(path, leaves.url, stays.url)
    outcome = run_with(path, leaves, stays, meanwhile=change, test_dir=demo_test_dir, out=tmp_path / "out")
    assert (outcome.error, outcome.failures) == (None, [])
    assert len(outcome.records) == n_rows(demo_test_dir)
