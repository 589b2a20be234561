"""Verification on a real Ray cluster of several nodes: the verdicts are those of this machine, also as nodes die."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import Settings, evaluate, open_run
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Event, Warned
from bootcamp_cli.verdicts import score_many
from tests.bootcamps_upstream_package import build_package
from tests.conftest import StartFaultServer, WriteRows
from tests.interop.ray_nodes import RayNodes, ray_nodes

N_ROWS = 150
_PATIENCE_S = 120

WITNESS = """
@classmethod
def verify_score(cls, model_output, identity, format_score=0, **kwargs):
    import time
    if identity["note"]:
        with open(identity["note"], "ab") as note:
            note.write(b"x")
    time.sleep(0.05)
    return (len(model_output) + identity["number"] + {shift}) % 5 / 4
"""
"""Leaves a trace and takes its time, so that a node can be killed while it verifies."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A cluster of three nodes; the tests that kill one leave the head alive."""
    with ray_nodes(3) as nodes, pytest.MonkeyPatch.context() as patch:
        for name, value in nodes.environment.items():
            patch.setenv(name, value)
        yield nodes


def kill_when(note: Path, size: int, pid: int) -> threading.Thread:
    """Kill a process, as a machine that loses its power, when so many verifications have begun."""

    def act() -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and (not note.exists() or note.stat().st_size < size):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def details_of(run_dir: Path) -> bytes:
    """The details of a run, which has one test file."""
    [path] = (run_dir / "details").iterdir()
    return path.read_bytes()


def untimed(details: bytes) -> list[dict[str, Any]]:
    """The records without what the clock decides."""
    return [
        {key: value for key, value in json.loads(line).items() if key != "latency_s"} for line in details.splitlines()
    ]


def lost(events: list[Event]) -> list[str]:
    """What was told of nodes that are used no longer."""
    return [event.message for event in events if isinstance(event, Warned) and "verification: node" in event.message]


def test_score_many_on_a_cluster(nodes: RayNodes, tmp_path: Path) -> None:
    """Verdicts without a run come from the cluster as they come from this machine, in the order of the items."""
    package = build_package(tmp_path / "package", {"Witness": WITNESS.format(shift=0)})
    items: list[Any] = [("Witness", "x" * number, {"number": number, "note": None}) for number in range(40)]
    items += [("KorPuzzleWordLadder", f"[[{number}]]", {"start_word": "cat", "end_word": "dog", "correct_steps": 3})
              for number in range(1000)]  # fmt: skip
    items += [("Nobodys", "x", 1)]
    local = Settings(bootcamps_path=package)
    on_ray = Settings(bootcamps_path=package, executor="ray", ray_address=nodes.address, wait=60)
    assert list(score_many(items, settings=on_ray)) == list(score_many(items, settings=local))


def test_a_node_killed_during_a_run(
    nodes: RayNodes, fault_server: StartFaultServer, demo_test_dir: Path, write_rows: WriteRows, tmp_path: Path
) -> None:
    """A run whose cluster loses a node records every verdict once, as a run that verifies on this machine."""
    package = build_package(tmp_path / "package", {"Witness": WITNESS.format(shift=0)})
    note = tmp_path / "note"
    rows = (
        {
            "id": str(number),
            "data_source": "Witness",
            "prompt": f"{number}",
            "ground_truth": {"number": number, "note": str(note)},
        }
        for number in range(N_ROWS)
    )
    write_rows(tmp_path / "tests" / "witness.jsonl", rows)
    server = fault_server(test_dir=demo_test_dir)
    given: dict[str, Any] = {
        "url": server.url, "model_name": "demo", "test_dir": tmp_path / "tests", "bootcamps_path": package,
        "output_dir": tmp_path / "output", "wait": 60,
    }  # fmt: skip
    local = evaluate(Settings(**given))
    note.unlink()
    events: list[Event] = []
    killing = kill_when(note, 30, nodes.raylets[2])
    on_ray = evaluate(Settings(**given, executor="ray", ray_address=nodes.address), events.append)
    killing.join()
    assert len(lost(events)) == 1
    assert untimed(details_of(on_ray.path)) == untimed(details_of(local.path))
    assert on_ray.summary.complete
    assert N_ROWS <= note.stat().st_size <= N_ROWS + 4  # what the lost node had begun was verified again, nothing else
    assert (on_ray.path / "meta.jsonl").read_bytes() == (local.path / "meta.jsonl").read_bytes()

    shutil.copytree(local.path, tmp_path / "copy")
    shutil.rmtree(package / "internbootcamp")
    build_package(tmp_path / "package", {"Witness": WITNESS.format(shift=1)})
    note.unlink()
    rescored = local.rescore(Settings(bootcamps_path=package))
    note.unlink()
    killing = kill_when(note, 30, nodes.raylets[1])
    events.clear()
    again = open_run(tmp_path / "copy").rescore(
        Settings(bootcamps_path=package, executor="ray", ray_address=nodes.address, wait=60), events.append
    )
    killing.join()
    assert len(lost(events)) == 1
    assert again == rescored
    assert len(again.changes) == N_ROWS
    assert details_of(tmp_path / "copy") == details_of(local.path)


def test_no_cluster_is_told(nodes: RayNodes) -> None:
    """Where no cluster answers at the address, one line says so and how to start one."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        settings = Settings(executor="ray", ray_address=address)
        with pytest.raises(ServerUnavailableError, match=f"no Ray cluster at {address}: Connection refused;") as raised:
            list(score_many([("Sudoku", "x", {})], settings=settings))
    assert "ray start --head" in str(raised.value.hint)
    assert "\n" not in raised.value.message
