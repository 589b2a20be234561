"""`python -m tests.chaos.strike WORDS`: the tool, in which one file operation below a directory ends otherwise.

The environment says which and how. STRIKE_BELOW is the directory. STRIKE_AT is the number of the operation, from 1 on
(0: none), where STRIKE_ON is given among those of that kind. STRIKE_HOW is `kill`, `stop` (SIGSTOP just before the
operation), `EIO` (this operation fails) or `ENOSPC` (from this operation on nothing can be made or grow). STRIKE_LOG is
a file that gets a line per operation.

An operation is what changes the directory: opening for writing, write, fsync, truncation, rename, link, removal, making
a directory. A write that is struck has written half.
"""

import errno
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bootcamp_cli.__main__ import main

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_GROWING = frozenset({"open", "os.write", "os.link", "os.mkdir"})
_EVENTS = frozenset({"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What to strike, and the count of operations so far."""

    below: str
    at: int
    how: str
    on: str | None
    log: str | None
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def before(self, event: str, path: str) -> None:
        """Count an operation; raise, or end or suspend this process, where it is struck."""
        if self.is_struck(event, path):
            self.act(path)

    def is_struck(self, event: str, path: str) -> bool:
        """Count an operation below the directory; whether it is to end otherwise."""
        if not path.startswith(self.below) or self.on not in (None, event):
            return False
        number = next(self.numbers)
        if self.log is not None:
            with open(self.log, "a", encoding="utf-8") as log:  # noqa: PTH123 - as early as can be
                log.write(f"{number} {event} {path.removeprefix(self.below)}\n")
        if self.how == "ENOSPC":
            return 0 < self.at <= number and event in _GROWING
        return number == self.at

    def act(self, path: str) -> None:
        """End or suspend this process, or fail."""
        match self.how:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case name:
                number = getattr(errno, name)
                raise OSError(number, os.strerror(number), path)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """The hook for the operations of which the interpreter tells."""
        if event not in _EVENTS or (event == "open" and not args[2] & _WRITING):
            return
        path = _path_of(args[0]) if isinstance(args[0], int) else os.fsdecode(args[0])
        self.before(event, path)

    def write(self, write: Callable[[int, Any], int], descriptor: int, content: Any) -> int:
        """`os.write`."""
        path = _path_of(descriptor)
        if self.is_struck("os.write", path):
            if self.how != "stop":
                write(descriptor, bytes(content)[: len(content) // 2])
            self.act(path)
        return write(descriptor, content)

    def sync(self, sync: Callable[[int], None], descriptor: int) -> None:
        """`os.fsync`."""
        self.before("os.fsync", _path_of(descriptor))
        sync(descriptor)


def strike_of(environment: Mapping[str, str]) -> Strike:
    """The strike that an environment asks for."""
    return Strike(
        below=f"{environment['STRIKE_BELOW']}/",
        at=int(environment["STRIKE_AT"]),
        how=environment["STRIKE_HOW"],
        on=environment.get("STRIKE_ON"),
        log=environment.get("STRIKE_LOG"),
    )


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - called before every write
    except OSError:
        return ""


def _arm(strike: Strike) -> None:
    write, sync = os.write, os.fsync
    os.write = lambda descriptor, content, /: strike.write(write, descriptor, content)
    os.fsync = lambda fd: strike.sync(sync, fd)  # type: ignore[arg-type] # never given a file object here
    sys.addaudithook(strike.audit)


if __name__ == "__main__":
    _arm(strike_of(os.environ))
    sys.exit(main())
