"""The fault server as a process: its command line, its end, and the network guard of the tests themselves."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import RunBootcamp, StartFaultServer
from tests.fault_server.config import FaultServerConfig, parse_command, server_command
from tests.fault_server.faults import parse_fault

words = st.text(st.characters(categories=["L", "N"], include_characters="-_/ ."), min_size=1)
configs = st.builds(
    FaultServerConfig,
    test_dir=st.none() | st.just(Path("some") / "tests"),
    port=st.integers(min_value=0, max_value=65535),
    models=st.lists(words, min_size=1).map(tuple),
    api_key=st.none() | words,
    max_model_len=st.none() | st.integers(min_value=1, max_value=10**6),
    latency_s=st.floats(min_value=0, max_value=1e6),
    latency_shape=st.sampled_from(["exponential", "fixed"]),
    faults=st.lists(st.sampled_from(["500:0.05", "drop:0.1:first=3", "slow:seconds=2"]).map(parse_fault)).map(tuple),
    skills=st.dictionaries(words | st.just("*"), st.floats(min_value=0, max_value=1)),
    seed=st.integers(),
    reasoning_parser=st.booleans(),
    log_requests=st.booleans(),
    by_row=st.booleans(),
)


@given(configs)
def test_a_configuration_survives_the_command_line(config: FaultServerConfig) -> None:
    """What `server_command` writes, the server reads as the same configuration."""
    _, _, module, *arguments = server_command(config)
    invocation = parse_command(arguments)
    assert module == "tests.fault_server"
    assert invocation.config == config
    assert invocation.lifetime.until_stdin_closes


@pytest.mark.parametrize("wrong", ["--fault=dorp", "--host=0.0.0.0", "--skill=Sudoku", "--skill=2", "--port=x"])
def test_a_wrong_command_line_ends_with_2(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong value ends the process with status 2 and one line that names it."""
    with pytest.raises(SystemExit) as ended:
        parse_command([wrong])
    assert ended.value.code == 2
    assert wrong.removeprefix("--").partition("=")[0] in capsys.readouterr().err


def started(*arguments: str, environment: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    """A server process that listens already."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fault_server", "--lifetime=60", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
        **options,
    )
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 30)[0]
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_quietly(number: signal.Signals, clean_environment: dict[str, str]) -> None:
    """SIGINT and SIGTERM end the server with exit code 0 and without a word."""
    process = started(environment=clean_environment)
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_it_ends_with_stdin_and_writes_its_port(clean_environment: dict[str, str], tmp_path: Path) -> None:
    """With --until-stdin-closes the end of stdin is the server's end; the port file is whole once the URL is out."""
    port_file = tmp_path / "port"
    process = started("--until-stdin-closes", f"--port-file={port_file}", environment=clean_environment)
    with socket.create_connection(("127.0.0.1", int(port_file.read_text(encoding="ascii")))):
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_it_ends_with_its_parent(clean_environment: dict[str, str]) -> None:
    """With --until-parent-exits the server ends when the process that started it does, however that ends."""
    reading, writing = os.pipe()
    code = (
        "import subprocess, sys;"
        "command = [sys.executable, '-m', 'tests.fault_server', '--until-parent-exits', '--lifetime=60'];"
        f"server = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[{writing}]);"
        "server.stdout.readline()"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=clean_environment, pass_fds=[writing], timeout=30, check=True
    )
    os.close(writing)
    try:
        assert select.select([reading], [], [], 10)[0], "the server is still there"
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)


def test_it_ends_after_its_lifetime(clean_environment: dict[str, str]) -> None:
    """The lifetime ends a server that nobody else ends."""
    process = started("--lifetime=0.5", environment=clean_environment)
    assert process.wait(10) == 0
    process.communicate()


def test_a_taken_port_and_a_missing_test_dir_are_said_in_one_line(
    fault_server: StartFaultServer, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """A server that cannot start ends with 1 and a line on stderr."""
    port = fault_server().port
    for arguments in ([f"--port={port}"], [f"--test-dir={tmp_path / 'missing'}"]):
        done = subprocess.run(
            [sys.executable, "-m", "tests.fault_server", *arguments],
            env=clean_environment,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


def test_a_server_can_take_the_place_of_another(fault_server: StartFaultServer, demo_test_dir: Path) -> None:
    """A stopped server ends with 0 and frees its port at once."""
    first = fault_server(test_dir=demo_test_dir, faults=["500:0.5"])
    assert first.stats()["requests"] == 0
    assert first.stop() == 0
    second = fault_server(port=first.port)
    assert second.url == first.url
    assert second.stats()["connections"] == 1


def test_the_tool_runs_in_a_clean_environment(
    clean_environment: dict[str, str], run_bootcamp: RunBootcamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and proxies of the developer's own environment do not reach the tool under test."""
    monkeypatch.setenv("BOOTCAMP_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert not {"BOOTCAMP_URL", "https_proxy", "OPENAI_API_KEY"} & set(clean_environment)
    assert run_bootcamp("--version").returncode == 0


def test_tests_cannot_leave_loopback() -> None:
    """A connection beyond loopback fails in this process, and not as a connection error that a client would retry."""
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family) as sock, pytest.raises(RuntimeError, match="loopback only"):
            sock.connect((address, 80))
