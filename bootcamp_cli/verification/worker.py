"""A worker process: takes samples, sends verdicts, or dies and is replaced.

`process` starts it with descriptor 2 as the message channel, so that whatever prevents the start can be read there as
text; from then on descriptors 1 and 2 lead nowhere and the channel has a descriptor of its own.
"""

import contextlib
import gc
import hashlib
import json
import math
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootcamp_cli.bootcamps import upstream
from bootcamp_cli.bootcamps.registry import load
from bootcamp_cli.bootcamps.scoring import ScoreVerifier, Verifier, described, score
from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.protocol import Loaded, Ready, Reply, Task, Verified, decode_batch, encode_reply

if TYPE_CHECKING:
    from bootcamp_cli.verification.process_state import ProcessState

_MAX_FILE_BYTES = 256 * 1024 * 1024
_GC_THRESHOLD = 50_000


_READ_BYTES = 256 * 1024

_SMALL_BYTES = 4096
"""What the channel of any system holds of the replies to a batch."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A bootcamp, or the verdict on all of its samples; the process state that its import left, if it may change it."""

    verifier: Verifier | Verdict
    state: "ProcessState | None" = None

    @property
    def time_limit_s(self) -> float | None:
        """The time limit of the bootcamp's own."""
        return self.verifier.time_limit_s if isinstance(self.verifier, ScoreVerifier) else None

    @property
    def family(self) -> str | None:
        """The family that the bootcamp says it belongs to."""
        return None if isinstance(self.verifier, Verdict) else self.verifier.family


class _Alarm:
    """Ends this process by SIGALRM, in case the pool is not there to end it in time."""

    def __init__(self) -> None:
        self._due_s = -math.inf

    def set(self, seconds: float) -> None:
        """Let it ring after so many seconds, whatever was done to it meanwhile."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        self._due_s = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Let it ring after so many seconds or one more, where nobody else touched it: that takes no time."""
        due_s = time.monotonic() + seconds
        if due_s > self._due_s:
            self.set(seconds + 1)

    def clear(self) -> None:
        """Let it not ring."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._due_s = -math.inf


class _Worker:
    """The loop, and the bootcamps that it has loaded."""

    def __init__(self, channel: int, *, sample_alarm_s: float, load_alarm_s: float) -> None:
        self._channel = channel
        self._sample_alarm_s = sample_alarm_s
        self._load_alarm_s = load_alarm_s
        self._alarm = _Alarm()
        self._n_sent = 0
        self._pid = os.getpid()
        self._directory = Path.cwd()
        self._met: dict[BootcampRef, _Loaded] = {}
        self._initial: ProcessState | None = None
        self._of_whole: ProcessState | None = None

    def serve(self) -> None:
        """Answer one batch after another; end after a sample that leaves the process unfit for the next ones."""
        self._send(Ready())
        with os.fdopen(self._channel, "rb", buffering=_READ_BYTES, closefd=False) as lines:
            for line in lines:
                self._n_sent = 0
                is_fit = all(map(self._serve_one, decode_batch(line)))
                self._alarm.clear()
                if not is_fit:
                    return

    def _serve_one(self, task: Task) -> bool:
        is_new, is_third_party = task.ref not in self._met, task.ref.origin != "builtin"
        if is_new:
            self._alarm.set(self._load_alarm_s)
            self._met[task.ref] = (
                self._load_third_party(task.ref) if is_third_party else _Loaded(verifier=_load(task.ref))
            )
            self._alarm.clear()
        loaded = self._met[task.ref]
        verifier = loaded.verifier
        failure = verifier if isinstance(verifier, Verdict) else None
        if is_new or task.output is None:
            self._send(Loaded(id=task.id, time_limit_s=loaded.time_limit_s, failure=failure, family=loaded.family))
        if isinstance(verifier, Verdict):
            retire = verifier.failure == "verifier_crash"  # no room for it here, but perhaps in a new process
            if task.output is not None:
                self._send(Verified(id=task.id, verdict=verifier, retire=retire))
            return not retire
        if task.output is None:
            return True
        if is_third_party:
            enter_directory(self._directory)
            _seed_with(task.ref.data_source, task.output)
        if (state := loaded.state or self._initial) is not None:
            state.set()
        if is_third_party:
            self._alarm.set(max(self._sample_alarm_s, 2 * (loaded.time_limit_s or 0)))
        else:
            self._alarm.extend(self._sample_alarm_s)
        verdict = _verify(verifier, task.output, task.ground_truth)
        if is_third_party:
            self._alarm.clear()
        retire = verdict.failure == "verifier_crash" or (is_third_party and has_stray_processes())
        self._send(Verified(id=task.id, verdict=verdict, retire=retire))
        return not retire

    def _load_third_party(self, ref: BootcampRef) -> _Loaded:
        """Import it in the state of a new process, and note the state that it leaves.

        What the import ran of the package may have changed the state for those who import the same modules later: these
        are imported anew then. Only of the whole package that cannot be done: its state is that of all its classes.
        """
        from bootcamp_cli.verification.process_state import ProcessState  # noqa: PLC0415 - 2 ms, for these only

        if self._initial is None:
            self._initial = ProcessState.now()
        before = self._of_whole if ref.origin == "upstream" and self._of_whole is not None else self._initial
        before.set()
        _seed_with(ref.target, "")
        verifier = _load(ref)
        after = ProcessState.now()
        if ref.origin == "upstream":
            if upstream.is_whole():
                self._of_whole = after
            elif after != before:
                upstream.start_afresh(ref.path)
        return _Loaded(verifier=verifier, state=after)

    def _send(self, reply: Reply) -> None:
        if os.getpid() != self._pid:  # a verifier forked, and the child returned to here
            os._exit(0)
        data = memoryview(encode_reply(reply))
        self._n_sent += len(data)
        if self._n_sent > _SMALL_BYTES:
            self._alarm.clear()  # the pool may take it only after a while
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


def _seed_with(name: str, text: str) -> None:
    """Seed what draws random numbers with a digest, so that the same is drawn for the same."""
    from bootcamp_cli.verification.process_state import seed_random  # noqa: PLC0415 - for third-party bootcamps only

    digest = hashlib.sha256(f"{len(name)} {name}".encode("utf-8", "surrogatepass"))
    digest.update(text.encode("utf-8", "surrogatepass"))
    seed_random(digest.digest())


def _verify(verifier: Verifier, output: str, ground_truth: Any) -> Verdict:
    try:
        return score(verifier, output, ground_truth)
    except BaseException as error:  # noqa: BLE001 - exit() and the like: the verifier wanted to end the process
        return Verdict(score=None, failure="verifier_crash", error=f"the verifier raised {described(error)}")


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
