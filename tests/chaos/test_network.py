"""No process of the tests reaches a network beyond loopback."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunBootcamp, WriteRows
from tests.network_guard.sitecustomize import LOG_VARIABLE, NetworkRefusedError

OUTSIDE = "192.0.2.1"
"""An address for documentation that no network has."""

ATTEMPTS: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.create_connection((OUTSIDE, 80), timeout=1),
    "connect_ex": lambda: _udp().connect_ex((OUTSIDE, 80)),
    "sendto": lambda: _udp().sendto(b"x", (OUTSIDE, 80)),
    "sendmsg": lambda: _udp().sendmsg([b"x"], [], 0, (OUTSIDE, 80)),
    "bind": lambda: _udp().bind(("0.0.0.0", 0)),  # noqa: S104 - refused
    "name": lambda: socket.getaddrinfo("example.org", 80),
    "old name": lambda: socket.gethostbyname("example.org"),
}
PROBE = f"import socket; socket.socket().connect(({OUTSIDE!r}, 80))"
VERIFIER = f"def extract_output(output): return output\ndef verify_score(output, ground_truth): {PROBE}\n"


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def take_notes(environment: dict[str, str]) -> list[str]:
    """What the processes of this test tried, taken away so that it does not fail the test."""
    log = Path(environment[LOG_VARIABLE])
    notes = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return notes


@pytest.mark.filterwarnings("ignore:unclosed")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_this_process_is_guarded(attempt: str) -> None:
    """A test that connects, sends, listens or looks up a name beyond loopback gets an exception."""
    with pytest.raises(NetworkRefusedError):
        ATTEMPTS[attempt]()


@pytest.mark.parametrize(
    "isolation",
    [
        pytest.param({}, id="inherits"),
        pytest.param({"env": {"PATH": os.defpath}}, id="gets nothing of the environment"),
    ],
)
def test_processes_of_processes_are_guarded(
    clean_environment: dict[str, str], tmp_path: Path, isolation: dict[str, Any]
) -> None:
    """The guard reaches the grandchild, also where its parent gives it an environment made from nothing."""
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROBE!r}], **{isolation!r})"
    done = subprocess.run(
        [sys.executable, "-c", start], env=clean_environment, capture_output=True, text=True, check=False
    )
    assert "NetworkRefusedError" in done.stderr
    assert [note.split()[:2] for note in take_notes(clean_environment)] == [["socket.connect", f"'{OUTSIDE}'"]]


def test_tool_and_verifiers_are_guarded(
    clean_environment: dict[str, str], run_bootcamp: RunBootcamp, write_rows: WriteRows, tmp_path: Path
) -> None:
    """The tool cannot ask a server elsewhere, and a verifier that uses the network in its worker is refused."""
    done = run_bootcamp("check-model", "--url", f"http://{OUTSIDE}/v1", "--wait", "0")
    assert done.returncode != 0
    assert any(OUTSIDE in note for note in take_notes(clean_environment))
    site = tmp_path / "site"
    info = site / "probe-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bootcamp_cli.bootcamps]\nProbe = probe_bootcamp\n")
    (site / "probe_bootcamp.py").write_text(VERIFIER)
    row = {"id": 1, "prompt": "p", "output": "o", "ground_truth": None, "data_source": "Probe"}
    write_rows(tmp_path / "run" / "details" / "probe.jsonl", [row])
    environment = {"PYTHONPATH": os.pathsep.join([str(site), clean_environment["PYTHONPATH"]])}
    done = run_bootcamp("rescore", "run", "--json", env=environment)
    assert "NetworkRefusedError" in (tmp_path / "run" / "details" / "probe.jsonl").read_text(), done.stderr
    assert [note.split()[:2] for note in take_notes(clean_environment)] == [["socket.connect", f"'{OUTSIDE}'"]]
