"""Output that nobody reads: stopped terminals, full pipes, terminals that vanish. The run goes on and ends."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootcamp_cli.progress.streams import READ_WITHIN_S, UnblockedStream, _Channel
from tests.conftest import StartFaultServer

XOFF, XON = b"\x13", b"\x11"
"""What Ctrl-S and Ctrl-Q send."""

_END_S = 60


@dataclass(kw_only=True)
class Unread:
    """Evaluations whose stdout and stderr are the same terminal or pipe; `reader` is the other end of it."""

    url: str
    test_dir: Path
    directory: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def start(self, name: str, writer: int, *words: str) -> subprocess.Popen[bytes]:
        """`bootcamp eval` into the output directory `name`, or other words."""
        evaluation = ["eval", "--url", self.url, "--model-name", "demo", "--test-dir", str(self.test_dir)]
        evaluation += ["--output-dir", name, "--verify-workers", "1", "--max-concurrent-requests", "4"]
        process = subprocess.Popen(
            [sys.executable, "-m", "bootcamp_cli", *(words or evaluation)],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env={**self.environment, "TERM": "xterm"},
            cwd=self.directory,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def terminal(self) -> tuple[int, int]:
        """Both ends of a terminal, the user's first."""
        ends = pty.openpty()
        self.descriptors += ends
        return ends

    def full_pipe(self) -> tuple[int, int]:
        """Both ends of a pipe that takes nothing more."""
        reader, writer = os.pipe()
        self.descriptors += (reader, writer)
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x")
        os.set_blocking(writer, True)
        return reader, writer

    def run_dir(self, name: str) -> Path:
        """The only run directory in an output directory, once its first record is written."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            for details in (self.directory / name).glob("*/details/*.jsonl"):
                if details.stat().st_size:
                    return details.parents[1]
            time.sleep(0.02)
        pytest.fail("no record was written")


@pytest.fixture
def unread(
    fault_server: StartFaultServer, demo_test_dir: Path, clean_environment: dict[str, str], tmp_path: Path
) -> Iterator[Unread]:
    """Evaluations of a server that takes 50 ms for an answer."""
    server = fault_server(test_dir=demo_test_dir, latency=0.05, latency_shape="fixed")
    evaluations = Unread(url=server.url, test_dir=demo_test_dir, directory=tmp_path, environment=clean_environment)
    yield evaluations
    for process in evaluations.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for descriptor in evaluations.descriptors:
        with suppress(OSError):
            os.close(descriptor)


def assert_finished(run_dir: Path) -> None:
    """Every report is written, and the lock is free."""
    assert b'"complete": true' in (run_dir / "manifest.json").read_bytes()
    assert list(run_dir.glob("*_scores.xlsx"))
    [lock] = (run_dir / ".lock").iterdir()
    assert b'"released": true' in lock.read_bytes()


def test_a_run_ends_although_nobody_reads(unread: Unread) -> None:
    """Before a stopped terminal, an unread one and a full pipe a run ends with 0, its reports written."""
    stopped, unread_terminal, full = unread.terminal(), unread.terminal(), unread.full_pipe()
    os.write(stopped[0], XOFF)
    names = {"stopped": stopped[1], "unread": unread_terminal[1], "full": full[1]}
    processes = {name: unread.start(name, writer) for name, writer in names.items()}
    assert {name: process.wait(_END_S) for name, process in processes.items()} == dict.fromkeys(names, 0)
    for name in names:
        assert_finished(unread.run_dir(name))


def test_signals_work_although_nobody_reads(unread: Unread) -> None:
    """A run before a stopped terminal or a full pipe ends on a signal as ever: 130, the lock free, to be resumed."""
    stopped, full = unread.terminal(), unread.full_pipe()
    os.write(stopped[0], XOFF)
    cases = {"stopped": (stopped[1], signal.SIGTERM), "full": (full[1], signal.SIGINT)}
    processes = {name: unread.start(name, writer) for name, (writer, _) in cases.items()}
    for name, process in processes.items():
        run_dir = unread.run_dir(name)
        process.send_signal(cases[name][1])
        assert process.wait(_END_S) == 130
        [lock] = (run_dir / ".lock").iterdir()
        assert b'"released": true' in lock.read_bytes()


def test_a_vanished_terminal_is_no_failure(unread: Unread) -> None:
    """Where the terminal goes in mid-run and SIGHUP is ignored, as under nohup, the run ends with 0."""
    user, terminal = unread.terminal()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = unread.start("gone", terminal)
    finally:
        signal.signal(signal.SIGHUP, before)
    run_dir = unread.run_dir("gone")
    os.close(terminal)
    os.close(user)
    assert process.wait(_END_S) == 0
    assert_finished(run_dir)


def test_a_terminal_that_goes_on_shows_the_present(unread: Unread) -> None:
    """After Ctrl-Q the display goes on with a frame of now; what was drawn meanwhile is not played back."""
    user, terminal = unread.terminal()
    process = unread.start("again", terminal)
    unread.run_dir("again")
    os.write(user, XOFF)
    _drained(user)
    # what the kernel holds by now is shown first; it never grows beyond what a terminal buffers
    until = time.monotonic() + 1.5
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    os.write(user, XON)
    shown = _read_to_the_end(user, process)
    assert process.wait(_END_S) == 0
    assert b"complete: 112 of 112 samples scored" in shown
    assert b"run directory: " in shown


def _drained(descriptor: int) -> None:
    while select.select([descriptor], [], [], 0.3)[0]:
        os.read(descriptor, 65536)


def _read_to_the_end(descriptor: int, process: subprocess.Popen[bytes]) -> bytes:
    shown = b""
    while process.poll() is None or select.select([descriptor], [], [], 0)[0]:
        if select.select([descriptor], [], [], 0.05)[0]:
            shown += os.read(descriptor, 65536)
    return shown


def test_a_command_before_a_pager_waits_for_it(unread: Unread) -> None:
    """What only shows something waits for its reader and makes no more than it takes; a signal ends the wait."""
    reader, writer = unread.full_pipe()
    patient = unread.start("", writer, "config", "show")
    time.sleep(0.2)
    assert patient.poll() is None or patient.returncode == 0
    os.close(writer)
    shown = b""
    while data := os.read(reader, 65536):
        shown += data
    assert patient.wait(_END_S) == 0
    assert b"max_tokens" in shown
    _, writer = unread.full_pipe()
    stuck = unread.start("", writer, "config", "show")
    time.sleep(1)
    stuck.terminate()
    assert stuck.wait(_END_S) == 130


def test_a_reader_that_leaves_ends_what_only_shows(finished: Path, clean_environment: dict[str, str]) -> None:
    """Samples are not all read for a reader who took the first line: the pipe's end ends the command, with 0."""
    for words in (["show", finished, "--json"], ["export", finished, "--format", "jsonl", "--out", "-"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "bootcamp_cli", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(_END_S) == 0
        process.stderr.close()


@pytest.fixture
def channel_pipe() -> Iterator[tuple[int, Callable[..., UnblockedStream]]]:
    """The end to read of a small pipe, and what makes unblocked streams of the other."""
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    raw = os.fdopen(writer, "w", encoding="ascii", errors="backslashreplace")
    channel = _Channel()

    def stream(*, droppable: bool = False) -> UnblockedStream:
        return UnblockedStream(raw, channel, droppable=droppable)

    yield reader, stream
    with suppress(OSError):
        os.close(reader)
    raw.close()


def test_what_was_written_comes_whole_and_in_order(
    channel_pipe: tuple[int, Callable[..., UnblockedStream]],
) -> None:
    """A slow reader gets everything, in order, in the stream's encoding; only then the end is reached."""
    reader, stream = channel_pipe
    out = stream()
    expected = "".join(f"line {n} é\n" for n in range(3000))
    for line in expected.splitlines(keepends=True):
        out.write(line)
    assert out.is_behind
    data = b""
    n_bytes = len(expected.encode("ascii", "backslashreplace"))
    while len(data) < n_bytes:
        data += os.read(reader, 1000)
    assert data == expected.encode("ascii", "backslashreplace")
    assert out.finish(READ_WITHIN_S)
    assert not out.is_behind


def test_a_stalled_conversation_is_bounded_and_says_so(
    channel_pipe: tuple[int, Callable[..., UnblockedStream]],
) -> None:
    """Of what is droppable a mebibyte waits; when the reader goes on it learns how much was dropped."""
    reader, stream = channel_pipe
    err = stream(droppable=True)
    for n in range(3000):
        err.write(f"{n:<999}\n")
    assert not err.finish(0.01)
    data = b""
    while err.is_behind:
        data += os.read(reader, 65536)
    err.write("last\n")
    while not data.endswith(b"last\n"):
        data += os.read(reader, 65536)
    n_kept = data.count(b"\n") - 2
    assert 1000 < n_kept < 1100
    assert data.endswith(f"[{3000 - n_kept} messages were dropped while nobody read]\nlast\n".encode())


def test_a_large_result_drops_no_words_behind_it(
    channel_pipe: tuple[int, Callable[..., UnblockedStream]],
) -> None:
    """A result of any size that waits in the same pipe does not count against what is droppable."""
    reader, stream = channel_pipe
    out, err = stream(), stream(droppable=True)
    assert out._channel is err._channel
    out.write("x" * 3_000_000)
    err.write("done\n")
    data = b""
    while not data.endswith(b"done\n"):
        data += os.read(reader, 65536)
    assert len(data) == 3_000_005


def test_a_reader_that_is_gone_is_no_failure_but_a_full_disk_is(
    channel_pipe: tuple[int, Callable[..., UnblockedStream]],
) -> None:
    """A closed pipe takes no more, and that is all; what the disk refuses is told."""
    reader, stream = channel_pipe
    os.close(reader)
    out = stream()
    out.write("x" * 100_000)
    assert out.finish()
    assert out.failure() is None
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            out = UnblockedStream(full, _Channel(), droppable=False)
            out.write("x")
            assert out.finish()
            error = out.failure()
            assert error is not None
            assert error.strerror == "No space left on device"
