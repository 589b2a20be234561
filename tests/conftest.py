"""Shared fixtures: a real server, the tool as a process, test data, and no network beyond loopback."""

import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

import bootcamp_cli
from bootcamp_cli.__main__ import main
from bootcamp_cli.demo.instances import make_test_dir
from bootcamp_cli.demo.model import OTHER_BOOTCAMPS
from bootcamp_cli.server.transport import TransportName
from tests.fault_server.config import FaultServerConfig, server_command
from tests.fault_server.faults import parse_fault
from tests.network_guard.sitecustomize import LOG_VARIABLE, guarded_path, refuse
from tests.raw_server import TRANSPORTS, chosen_transport

# how long an example takes says nothing of its truth
settings.register_profile("short", deadline=None, max_examples=50)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("short")

SHARED = Path(__file__).resolve().parents[2] / "shared"

_START_S = 60
_STOP_S = 10


class StartFaultServer(Protocol):
    """Starts a fault server as a process of its own; see `FaultServerConfig` for the keywords."""

    def __call__(
        self,
        *,
        test_dir: Path | None = None,
        latency: float = 0,
        faults: Sequence[str] = (),
        model: str | Sequence[str] = "demo",
        skill: float | None = None,
        **config: Any,
    ) -> "FaultServerProcess":
        """Give the server when it listens."""


class RunBootcamp(Protocol):
    """Runs `bootcamp ARGS` to its end in a clean environment with `tmp_path` as working directory and home."""

    def __call__(
        self,
        *args: str | Path,
        env: Mapping[str, str] = {},
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Give exit code, stdout and stderr."""


class StartBootcamp(Protocol):
    """Starts `bootcamp ARGS` as `RunBootcamp` does, in a session of its own, killed when the test ends."""

    def __call__(
        self, *args: str | Path, env: Mapping[str, str] = {}, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """Give the running process; its stdout and stderr are pipes."""


WriteRows = Callable[[Path, Iterable[Mapping[str, Any]]], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultServerProcess:
    """A running fault server: its base URL, and what it has counted."""

    url: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The port, for a server that takes this one's place."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def stats(self) -> dict[str, Any]:
        """The server's counts; see `tests.fault_server.traffic`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_STOP_S)
        try:
            connection.request("GET", "/stats")
            counts: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        return counts

    def stop(self) -> int:
        """End the server, once; gives its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return _reap(self.process, _STOP_S)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that turns the quick share of the chaos tests into their long form."""
    parser.addoption("--long", action="store_true", help="run tests in their long form, with more seeds and examples")


def pytest_configure(config: pytest.Config) -> None:
    """Try more examples in the long form."""
    if config.getoption("--long"):
        settings.load_profile("long")


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether the chaos tests run in their long form."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """SIGINT works in what tests start, even where a shell started the tests in the background and ignores it there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Whatever a test runs of the tool in this process: no call waits for disk, lock or child in an event loop."""
    with blockbuster_ctx("bootcamp_cli"):
        yield


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of tests marked `anyio`."""
    return "asyncio"


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Iterator[TransportName]:
    """Each transport, one after the other, for `tests.raw_server.client_of`."""
    name: TransportName = request.param
    token = chosen_transport.set(name)
    yield name
    chosen_transport.reset(token)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED


@pytest.fixture(scope="session")
def eval_data(shared: Path) -> Path:
    """The public test dir: 80 files, 5,488 rows."""
    if not (shared / "eval_data").is_dir():
        pytest.skip("../shared/eval_data is not there")
    return shared / "eval_data"


@pytest.fixture(scope="session")
def demo_test_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated test dir, eight rows for each of the built-in bootcamps; not to be written to."""
    directory = tmp_path_factory.mktemp("data") / "demo_tests"
    make_test_dir(directory, seed=0, rows=8)
    return directory


@pytest.fixture
def write_rows() -> WriteRows:
    """Write rows as a JSONL file, its directory made if need be; gives its path."""

    def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def clean_environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment without settings, keys and proxies, whose home and user directories lie in `tmp_path`.

    Processes that get it, and those that they start, reach no network but loopback; one that tries fails the test.
    """
    kept = ("PATH", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
    home = tmp_path / ".home"
    home.mkdir(exist_ok=True)
    refused = tmp_path / ".network-refused"
    yield {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")},
        "LANG": "C.UTF-8",
        # the package that these tests import, installed or not
        "PYTHONPATH": guarded_path(str(Path(bootcamp_cli.__file__).parents[1])),
        LOG_VARIABLE: str(refused),
    }
    if refused.exists():
        pytest.fail(f"a process of this test turned to the network:\n{refused.read_text()}")


@pytest.fixture
def fault_server(clean_environment: dict[str, str]) -> Iterator[StartFaultServer]:
    """Start fault servers, whose regular answers are those of the demo's model; each is ended with the test."""
    root = str(Path(__file__).resolve().parents[1])
    environment = clean_environment | {"PYTHONPATH": os.pathsep.join([clean_environment["PYTHONPATH"], root])}
    with ExitStack() as running:

        def start(
            *,
            test_dir: Path | None = None,
            latency: float = 0,
            faults: Sequence[str] = (),
            model: str | Sequence[str] = "demo",
            skill: float | None = None,
            **config: Any,
        ) -> FaultServerProcess:
            command = server_command(
                FaultServerConfig(
                    test_dir=test_dir,
                    latency_s=latency,
                    faults=tuple(parse_fault(fault) for fault in faults),
                    models=(model,) if isinstance(model, str) else tuple(model),
                    skills={} if skill is None else {OTHER_BOOTCAMPS: skill},
                    **config,
                )
            )
            server = _started(command, environment)
            running.callback(server.stop)
            return server

        yield start


@pytest.fixture
def run_bootcamp(clean_environment: dict[str, str], tmp_path: Path) -> RunBootcamp:
    """Run the tool to its end."""

    def run(
        *args: str | Path,
        env: Mapping[str, str] = {},
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _bootcamp(args),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            env=clean_environment | dict(env),
            cwd=cwd or tmp_path,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def call_bootcamp(clean_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunBootcamp:
    """Run the tool in this process, which takes half a second less; what it sets for its own process stays unset."""
    for name in os.environ:
        if name.startswith(("BOOTCAMP_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("HOME", *(name for name in clean_environment if name.startswith("XDG_"))):
        monkeypatch.setenv(name, clean_environment[name])
    monkeypatch.setattr("bootcamp_cli.cli.process.slow_garbage_collection", lambda: None)
    monkeypatch.setattr("stamina.instrumentation.set_on_retry_hooks", lambda _: None)

    def run(
        *args: str | Path,
        env: Mapping[str, str] = {},
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        assert stdin is None
        words = [str(arg) for arg in args]
        out, err = StringIO(), StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd or tmp_path)
            for name, value in env.items():
                patch.setenv(name, value)
            code = main(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def start_bootcamp(clean_environment: dict[str, str], tmp_path: Path) -> Iterator[StartBootcamp]:
    """Start the tool, to be signalled or killed by the test."""
    with ExitStack() as running:

        def start(*args: str | Path, env: Mapping[str, str] = {}, cwd: Path | None = None) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                _bootcamp(args),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                env=clean_environment | dict(env),
                cwd=cwd or tmp_path,
                start_new_session=True,
            )
            running.callback(_kill_session, process)
            return process

        yield start


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> None:
    """Let no test of this process, nor a process that it starts, reach anything but loopback and Unix sockets."""
    sys.addaudithook(refuse)


def _bootcamp(args: Iterable[str | Path]) -> list[str]:
    return [sys.executable, "-m", "bootcamp_cli", *(str(arg) for arg in args)]


def _started(command: list[str], environment: Mapping[str, str]) -> FaultServerProcess:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_S)
    url = process.stdout.readline().strip() if ready else ""
    if not url:
        process.kill()
        _reap(process, _STOP_S)
        pytest.fail("the fault server did not start; its error stands above")
    return FaultServerProcess(url=url, process=process)


def _kill_session(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    _reap(process, _STOP_S)


def _reap(process: subprocess.Popen[str], timeout: float) -> int:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(timeout)


@pytest.fixture(scope="session")
def finished_runs() -> list[Path]:
    """Where the run directory is kept that `finished` copies, once there is one."""
    return []


@pytest.fixture
def finished(
    finished_runs: list[Path],
    demo_test_dir: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Path:
    """The run directory of a finished evaluation, its server gone; evaluated once, and copied for each test."""
    if not finished_runs:
        server = request.getfixturevalue("fault_server")(test_dir=demo_test_dir)
        words = ("eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir), "--quiet")
        done = request.getfixturevalue("run_bootcamp")(*words)
        assert done.returncode == 0, done.stderr
        server.stop()
        (made,) = (tmp_path / "output").iterdir()
        kept = tmp_path_factory.mktemp("finished") / made.name
        made.rename(kept)
        finished_runs.append(kept)
    return Path(shutil.copytree(finished_runs[0], tmp_path / "output" / finished_runs[0].name))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "-",
        "-subj",
        "/CN=test",
        "-days",
        "2",
    ]
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    path.write_bytes(subprocess.run([*command, *extension], capture_output=True, check=True).stdout)
    return path
