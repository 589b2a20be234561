"""A worker process: takes samples, sends verdicts, or dies and is replaced.

`process` starts it with descriptor 2 as the message channel, so that whatever prevents the start can be read there as
text; from then on descriptors 1 and 2 lead nowhere and the channel has a descriptor of its own.
"""

import contextlib
import gc
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from bootcamp_cli.bootcamps.registry import load
from bootcamp_cli.bootcamps.scoring import Verifier, described, score
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.protocol import Loaded, Ready, Reply, Task, Verified, decode_batch, encode_reply

_MAX_FILE_BYTES = 256 * 1024 * 1024
_GC_THRESHOLD = 50_000


_MAX_THREADS = 8
"""How many threads a library may keep besides the main one; more are a leak, and each costs address space."""


def main(options: str) -> None:
    """Serve until the channel is closed; `options` is JSON with memory_mib, sample_alarm_s and load_alarm_s."""
    limits = json.loads(options)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_resources(limits["memory_mib"] * 1024 * 1024)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)  # parsed samples hold no cycles, and the collector walks them again and again
    channel = _take_channel()
    with contextlib.suppress(ConnectionError):  # the pool is gone
        _Worker(channel, sample_alarm_s=limits["sample_alarm_s"], load_alarm_s=limits["load_alarm_s"]).serve()
    _end_group()


class _Worker:
    """The loop, and the bootcamps that it has loaded."""

    def __init__(self, channel: int, *, sample_alarm_s: float, load_alarm_s: float) -> None:
        self._channel = channel
        self._sample_alarm_s = sample_alarm_s
        self._load_alarm_s = load_alarm_s
        self._pid = os.getpid()
        self._directory = Path.cwd()
        self._met: dict[BootcampRef, Verifier | Verdict] = {}

    def serve(self) -> None:
        """Answer one batch after another; end after a sample that leaves the process unfit for the next ones."""
        self._send(Ready())
        with os.fdopen(self._channel, "rb", closefd=False) as lines:
            for line in lines:
                if not all(map(self._serve_one, decode_batch(line))):
                    return

    def _serve_one(self, task: Task) -> bool:
        if task.ref not in self._met:
            with _dying_after(self._load_alarm_s):
                self._met[task.ref] = _load(task.ref)
            self._send(Loaded(id=task.id))
        verifier = self._met[task.ref]
        if isinstance(verifier, Verdict):
            self._send(Verified(id=task.id, verdict=verifier, retire=False))
            return True
        is_third_party = task.ref.origin != "builtin"
        if is_third_party:
            enter_directory(self._directory)
        with _dying_after(self._sample_alarm_s):
            verdict = _verify(verifier, task)
        retire = verdict.failure == "verifier_crash" or (is_third_party and has_stray_processes())
        self._send(Verified(id=task.id, verdict=verdict, retire=retire))
        return not retire

    def _send(self, reply: Reply) -> None:
        if os.getpid() != self._pid:  # a verifier forked, and the child returned to here
            os._exit(0)
        data = memoryview(encode_reply(reply))
        while data:
            data = data[os.write(self._channel, data) :]


def _take_channel() -> int:
    """Move the channel from descriptor 2 to one that no child inherits, and lead 2 nowhere."""
    channel = os.dup(2)  # not inheritable over exec
    owner = os.getpid()

    def close_in_child() -> None:
        if os.getppid() == owner:  # in a grandchild the number may belong to another file
            os.close(channel)

    os.register_at_fork(after_in_child=close_in_child)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return channel


def _limit_resources(memory_bytes: int) -> None:
    """Set the limits that the system supports; macOS does not limit the address space."""
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
    ):
        _, hard = resource.getrlimit(kind)
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def _load(ref: BootcampRef) -> Verifier | Verdict:
    try:
        return load(ref)
    except MemoryError:
        error = f"importing {ref.name} ran out of memory"
        return Verdict(score=None, failure="verifier_crash", error=error)
    except BaseException as error:  # noqa: BLE001 - an import may do anything, even exit
        return Verdict(score=None, failure="verifier_error", error=f"cannot import {ref.target}: {described(error)}")


def _verify(verifier: Verifier, task: Task) -> Verdict:
    try:
        return score(verifier, task.output, task.ground_truth)
    except BaseException as error:  # noqa: BLE001 - exit() and the like: the verifier wanted to end the process
        return Verdict(score=None, failure="verifier_crash", error=f"the verifier raised {described(error)}")


@contextlib.contextmanager
def _dying_after(alarm_s: float) -> Iterator[None]:
    """End this process by SIGALRM, in case the pool is not there to end it in time."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, alarm_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_group() -> None:
    """End this process and the children that verifiers left behind."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


def enter_directory(directory: Path) -> None:
    """Make it the working directory again, wherever a verifier went; recreate it if it was removed."""
    try:
        os.chdir(directory)
    except OSError:
        directory.mkdir(parents=True, exist_ok=True)
        os.chdir(directory)


def has_stray_processes() -> bool:
    """Whether there are threads or child processes that would pile up over thousands of samples."""
    return threading.active_count() > 1 + _MAX_THREADS or _has_children()


def _has_children() -> bool:
    """Whether this process has children, including zombies; False on systems that cannot tell."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
