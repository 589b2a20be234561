"""A small process between the tool and a server that it starts: however the tool ends, the server ends as well.

Run as a script, by `server.own_server`: `python -I -S supervisor.py GRACE_S TOLD_AT COMMAND...`. It knows nothing
of the package, so that it starts at once. Its stdin is a pipe whose other end only the tool has. At the end of that
pipe, which the kernel makes even where the tool is killed, the server's process group gets SIGTERM, and what is left of
it after `GRACE_S` seconds SIGKILL.

Where the server ends by itself, that is told at once by a byte on the descriptor `TOLD_AT`. Then what it started and
left behind is ended in the same way, as it may hold GPU memory or the port. Then this process ends as the server did:
with its exit code, or by the same signal.

On Linux nothing escapes: what left the process group is found as a child of this process, which adopts orphans, and the
server is killed if this process is. Elsewhere that is the process group alone.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.02
_KILLED_WITHIN_S = 10.0
NOT_STARTED = 127
"""The exit code where the command cannot be started; the reason is the last line of the output."""


def main(arguments: list[str]) -> None:
    """Run the command until it ends or the pipe does; never returns normally."""
    grace_s, told_at, command = float(arguments[0]), int(arguments[1]), arguments[2:]
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        server = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            restore_signals=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - there is one thread
        )
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{command[0]}: {getattr(error, 'strerror', None) or error}\n")
        sys.stderr.flush()
        os._exit(NOT_STARTED)
    _wait(server, woken)
    if server.returncode is not None:
        with contextlib.suppress(OSError):
            os.write(told_at, b".")
    _end_group(server, grace_s)
    _end_as(server.returncode)


def _wait(server: "subprocess.Popen[bytes]", woken: int) -> None:
    """Return when the server has ended, or is to be ended."""
    while server.poll() is None:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 1):
            return
        if woken in ready and any(number != signal.SIGCHLD for number in os.read(woken, 64)):
            return
        _reap(server)


def _end_group(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """End what is left of the server: gently until the grace is over, then by force."""
    _signal_group(server.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + grace_s
    while (server.poll() is None or _is_group_alive(server.pid)) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        _reap(server)
    deadline_s = time.monotonic() + _KILLED_WITHIN_S
    while time.monotonic() < deadline_s:
        _signal_group(server.pid, signal.SIGKILL)
        for orphan in _orphans(server.pid):
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
        _reap(server)
        if server.poll() is not None and not _is_group_alive(server.pid) and not any(_orphans(server.pid)):
            return
        time.sleep(_POLL_S)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


def _is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _reap(server: "subprocess.Popen[bytes]") -> None:
    """Take the exit status of adopted processes; the server's own is for `server` to take."""
    server.poll()
    for orphan in _orphans(server.pid):
        with contextlib.suppress(OSError):
            os.waitpid(orphan, os.WNOHANG)


def _orphans(server: int) -> Iterator[int]:
    """The children of this process but the server; none where the system does not tell."""
    own = os.getpid()
    with contextlib.suppress(OSError), open(f"/proc/{own}/task/{own}/children", encoding="ascii") as file:  # noqa: PTH123
        yield from (int(pid) for pid in file.read().split() if int(pid) != server)


def _end_with_parent() -> None:
    _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _control_process(option: int, value: int) -> None:
    """Call prctl where there is one."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_as(returncode: int | None) -> None:
    """End this process as the server ended."""
    if returncode is not None and returncode < 0:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the server has left its own
            signal.signal(-returncode, signal.SIG_DFL) if -returncode != signal.SIGKILL else None
            os.kill(os.getpid(), -returncode)
            time.sleep(_KILLED_WITHIN_S)
    os._exit(NOT_STARTED if returncode is None else returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
