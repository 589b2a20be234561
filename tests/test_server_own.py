"""The parts of a server of one's own: its log, its port, its environment, the supervisor between it and the tool."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.server import supervisor
from bootcamp_cli.server.own_server import (
    environment_secrets,
    free_port,
    server_environment,
)
from bootcamp_cli.server.server_log import ServerLog
from bootcamp_cli.text import Secrets
from tests.own_server import wait_until_gone

KEY = "sk-marked-key-0123456789"
_PATIENCE_S = 20


def log_in(directory: Path, **more: int) -> ServerLog:
    """A log that hides a key."""
    log = ServerLog(directory / "begun.log", Secrets.of([KEY]), **more)
    log.open()
    return log


@given(pieces=st.lists(st.integers(1, 40), max_size=30), end=st.sampled_from(["", "\n", "\r\n"]))
def test_no_key_reaches_the_log(pieces: list[int], end: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """However the output is cut into pieces, the log has all of it but the key, and the last lines have no escapes."""
    text = f"loading {KEY}\r 10 %\r\x1b[32m100 %\x1b[0m\nnon-default args: {{'api_key': ['{KEY}']}}\nready{end}"
    log, data = log_in(tmp_path_factory.mktemp("log")), text.encode()
    for length in pieces:
        log.take(data[:length])
        data = data[length:]
    log.take(data)
    log.finish()
    log.close()
    assert log.path.read_bytes().decode().removesuffix("\n") == text.replace(KEY, "***").removesuffix("\n")
    assert log.last_lines() == ("loading ***", "10 %", "100 %", "non-default args: {'api_key': ['***']}", "ready")


def test_a_long_log_is_bounded(tmp_path: Path) -> None:
    """It begins anew and keeps the part before; a line without end is written, too."""
    log = log_in(tmp_path, max_bytes=1000)
    for number in range(1000):
        log.take(f"line {number}\n".encode())
    log.take(b"x" * 1100 + b"\n")
    log.take(b"the end")
    log.finish()
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun.log", "begun.log.1"]
    assert log.path.read_text().endswith("the end\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 1000 + 1200


def test_a_log_that_moves(tmp_path: Path) -> None:
    """It goes on behind what is at its new place, or stays where it is if it cannot get there."""
    log = log_in(tmp_path)
    log.take(b"one\n")
    log.move(tmp_path / "missing" / "server.log")
    log.take(b"two\n")
    assert log.path == tmp_path / "begun.log"
    (tmp_path / "server.log").write_bytes(b"earlier\n")
    log.move(tmp_path / "server.log")
    log.take(b"three\n")
    log.close()
    assert (tmp_path / "server.log").read_bytes() == b"earlier\none\ntwo\nthree\n"
    assert not (tmp_path / "begun.log").exists()


def test_what_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    """A full disk stops no server: its output is taken, and the last lines are known."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    log = ServerLog(tmp_path / "full.log", Secrets.of([]))
    log.path.symlink_to("/dev/full")
    log.open()
    log.take(b"one\ntwo\n")
    log.close()
    assert log.last_lines() == ("one", "two")


def test_a_port_no_connection_is_given() -> None:
    """Ports come from below the range of outgoing connections, and differ."""
    ports = {free_port(Random(seed)) for seed in range(20)}  # noqa: S311 - not for secrets
    assert len(ports) > 10
    assert all(1024 < port < 32768 for port in ports)


def test_environment() -> None:
    """Our own variables are not passed on; what is called like a secret is kept out of the log."""
    environ = {
        "PATH": "/bin",
        "HF_TOKEN": "hf_0123456789",
        "SSH_AUTH_SOCK": "/tmp/agent.1",  # noqa: S108 - a value
        "BOOTCAMP_API_KEY": KEY,
        "AWS_SECRET_ACCESS_KEY": "abc/def+0123456789",
    }
    assert set(server_environment(environ)) == {"PATH", "HF_TOKEN", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY"}
    assert environment_secrets(environ) == ["hf_0123456789", KEY, "abc/def+0123456789"]


@contextmanager
def supervised(code: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str], IO[str]]]:
    """The supervisor with a Python program as its server, the pipe that holds it, and the output."""
    command = [sys.executable, "-I", "-S", supervisor.__file__, "5", "2", sys.executable, "-c", code]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes, encoding="utf-8", start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process, process.stdin, process.stdout


CHILD = (
    "import os, signal, subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session={apart}); "
    "print(os.getpid(), child.pid, flush=True); "
)


@pytest.mark.parametrize(
    ("code", "ended"), [("import sys; sys.exit(7)", 7), ("import os; os.kill(os.getpid(), 11)", -11)]
)
def test_it_ends_as_the_server_did(code: str, ended: int) -> None:
    """With its exit code, or by the same signal."""
    with supervised(code) as (process, _, _):
        assert process.wait(_PATIENCE_S) == ended


@pytest.mark.skipif(sys.platform != "linux", reason="what left the process group is found on Linux only")
@pytest.mark.parametrize("how", ["pipe closed", "server ended", "SIGTERM", "supervisor killed"])
@pytest.mark.parametrize("apart", [False, True], ids=["group", "session"])
def test_nothing_is_left(how: str, apart: bool) -> None:  # noqa: FBT001 - pytest's
    """Whatever ends first: the server and its child are gone, also one in a session of its own."""
    rest = "sys.exit(3)" if how == "server ended" else "time.sleep(60)"
    with supervised(CHILD.format(apart=apart) + rest) as (process, pipe, output):
        pids = [int(pid) for pid in output.readline().split()]
        if how == "pipe closed":
            pipe.close()
        elif how == "SIGTERM":
            process.terminate()
        elif how == "supervisor killed":
            process.kill()
            os.kill(pids.pop(), signal.SIGKILL)  # nobody is left to look for it
        code = process.wait(_PATIENCE_S)
    wait_until_gone(pids)
    expected = {"server ended": 3, "supervisor killed": -signal.SIGKILL}
    assert code == expected.get(how, -signal.SIGTERM)


def test_a_signal_of_the_terminal_does_not_reach_it() -> None:
    """The server is in another session than the tool, and in a process group of its own."""
    with supervised(CHILD.format(apart=False) + "time.sleep(60)") as (process, pipe, output):
        pid = int(output.readline().split()[0])
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) not in (os.getpgid(0), os.getpgid(process.pid))
        pipe.close()
        process.wait(_PATIENCE_S)
