"""What is real in the tests of this folder: llama.cpp with a model made here, nginx in front of it, and a browser."""

import http.client
import json
import os
import queue
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from bootcamp_cli import Run, Settings, StopRequest, evaluate
from bootcamp_cli.events import Event
from tests.interop.llama_cpp import MODEL_NAME, SHOWS_SLOTS, LlamaConfig, llama_command
from tests.interop.tiny_model import CHATML_CHAT, DEEPSEEK_BOS, DEEPSEEK_CHAT, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]

_PATIENCE_S = 60

NGINX = """
daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
    server {{
        listen 127.0.0.1:{port}{listen};
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {location}
        }}
    }}
}}
"""


@dataclass(slots=True, kw_only=True)
class LlamaServer:
    """A llama.cpp server, which can be killed, started again at the same address, and stopped for a while."""

    config: LlamaConfig
    environment: dict[str, str]
    url: str = field(init=False)
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        self.start()

    def start(self) -> None:
        """Start the process; at the port that it had, if it ran before."""
        self.process = subprocess.Popen(
            llama_command(self.config),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _PATIENCE_S)
        self.url = self.process.stdout.readline().strip() if ready else ""
        if not self.url:
            self.kill()
            pytest.fail("llama.cpp did not start; its error stands above")
        self.config = replace(self.config, port=urlsplit(self.url).port or 0)

    def kill(self) -> None:
        """Kill the process, as the kernel does when memory runs out."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self.process.wait(_PATIENCE_S)

    def freeze(self) -> None:
        """Let the process do nothing any more; connections to it are still made, by the kernel."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        self.process.send_signal(signal.SIGCONT)

    def prompts(self) -> set[str]:
        """The last prompt of each slot, as its tokens say it: with all special tokens, also what the server added."""
        connection = http.client.HTTPConnection("127.0.0.1", self.config.port, timeout=_PATIENCE_S)
        try:
            connection.request("GET", "/slots")
            slots: list[dict[str, Any]] = json.load(connection.getresponse())
        finally:
            connection.close()
        return {slot["prompt"] for slot in slots if "prompt" in slot}


class StartLlama(Protocol):
    """Starts a llama.cpp server with the tiny model, to be ended with the test."""

    def __call__(self, *, deepseek: bool = False, **config: Any) -> LlamaServer:
        """Give the server when it listens; see `LlamaConfig` for the keywords.

        With `deepseek` the model has the chat template and the begin-of-sentence token of DeepSeek's, else ChatML.
        """


class StartNginx(Protocol):
    """Starts nginx in front of a server, to be ended with the test."""

    def __call__(self, upstream: str, *, http: str = "", location: str = "", listen: str = "") -> "Gateway":
        """Give the gateway when it listens; the keywords are directives for these places of its configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running nginx."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The base URL behind it, without TLS."""
        return f"http://127.0.0.1:{self.port}/v1"

    def statuses(self, path: str = "completions") -> list[int]:
        """The status of each request that it answered, in order, for paths that contain this."""
        lines = (self.folder / "access.log").read_text("utf-8").splitlines()
        return [int(line.split('"')[2].split()[0]) for line in lines if path in line]

    def wait_for(self, status: int, n: int) -> None:
        """Wait until it has answered with a status n times, whatever was asked."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.statuses("").count(status) < n:
            assert time.monotonic() < deadline, f"{n} replies with {status} were expected: {self.statuses('')}"
            time.sleep(0.02)


class Happened:
    """The events of a run, for another thread to wait for."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._events.put(event)

    def wait_for(self, kind: type[Event], n: int = 1) -> None:
        """Wait until n more events of a kind have happened."""
        while n:
            n -= isinstance(self._events.get(timeout=_PATIENCE_S), kind)


def evaluate_while(settings: Settings, act: Callable[[Happened], None]) -> Run:
    """Evaluate while another thread acts, with the events of the run to wait for; where it fails the run is ended."""
    happened = Happened()
    stop = StopRequest()

    def acting() -> None:
        try:
            act(happened)
        except BaseException:
            stop.request()
            stop.request()
            raise

    with ThreadPoolExecutor(1) as pool:
        acted = pool.submit(acting)
        run = evaluate(settings, happened, stop=stop)
        acted.result()
    return run


def settings_for(url: str, test_dir: Path, tmp_path: Path, **values: Any) -> Settings:
    """Settings of an evaluation of short answers, with short waits."""
    given: dict[str, Any] = {
        "url": url,
        "model_name": MODEL_NAME,
        "test_dir": test_dir,
        "max_tokens": 8,
        "poll_interval": 0.2,
        "wait": 60,
        "verify_workers": 1,
        "output_dir": tmp_path / "output",
    }
    return Settings(**(given | values))


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium that is installed; meanwhile an event loop runs in this thread. It reaches nothing by itself."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu", *quiet])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium that is installed, for all tests of a file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The tiny model as one of DeepSeek's (True) and with ChatML (False)."""
    folder = tmp_path_factory.mktemp("models")
    return {
        True: write_tiny_model(folder / "deepseek.gguf", chat_template=DEEPSEEK_CHAT, bos=DEEPSEEK_BOS),
        False: write_tiny_model(folder / "chatml.gguf", chat_template=CHATML_CHAT, bos=None),
    }


@pytest.fixture
def llama(clean_environment: dict[str, str], tiny_models: dict[bool, Path]) -> Iterator[StartLlama]:
    """Start llama.cpp servers."""
    path = os.pathsep.join([clean_environment["PYTHONPATH"], str(ROOT)])
    environment = clean_environment | SHOWS_SLOTS | {"PYTHONPATH": path}
    with ExitStack() as running:

        def start(*, deepseek: bool = False, **config: Any) -> LlamaServer:
            server = LlamaServer(config=LlamaConfig(model=tiny_models[deepseek], **config), environment=environment)
            running.callback(server.kill)
            return server

        yield start


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """Start nginx, where it is installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    with ExitStack() as running:

        def start(upstream: str, *, http: str = "", location: str = "", listen: str = "") -> Gateway:
            gateway = Gateway(port=_free_port(), folder=tmp_path / "nginx")
            gateway.folder.mkdir()
            configuration = gateway.folder / "nginx.conf"
            configuration.write_text(
                NGINX.format(
                    upstream=upstream.removesuffix("/v1"),
                    port=gateway.port,
                    http=http,
                    location=location,
                    listen=listen,
                )
            )
            # ends with stdin, however the tests end
            command = ["sh", "-c", '"$@" & cat; kill $!; wait', "sh", program]
            process = subprocess.Popen(
                [*command, "-p", str(gateway.folder), "-c", str(configuration), "-e", "stderr"], stdin=subprocess.PIPE
            )
            running.callback(process.communicate)
            _wait_for_port(gateway.port)
            return gateway

        yield start


def _free_port() -> int:
    """A port that nobody listens at, for a server that cannot tell which one it was given."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"nothing listens at port {port}; the error stands above")
