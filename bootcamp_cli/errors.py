"""User-facing errors: each knows its exit code; the text says what, where and what to do next.

BootcampError                    1
├── RunDirectoryError            1   run directory unusable
│   ├── RunLockedError           1   another live process writes to it
│   ├── LockLostError            1   another process took the run directory over
│   └── DiskError                1   disk full, read-only, input/output error
├── UsageError                   2   wrong use of a command
│   ├── SettingsError            2   a parameter: flag, variable or TOML key
│   ├── DatasetError             2   the test dir or its rows
│   ├── UnknownBootcampError     2   a data_source without a verifier
│   └── ResumeRefusedError       2   what would change the answers of a started run
├── ServerUnavailableError       4   server or model not available, all refused alike
│   ├── KeyRefusedError          4   the key is refused, or there is none
│   ├── ServerEndedError         4   the server that was started for the run ended, or never answered
│   └── WrongModeError           4   the server has no path for requests of this api_mode
├── DataUnavailableError         4   where the test data is cannot be reached
└── InterruptedRunError        130   a signal, --stop-after or a request to stop; the run can be resumed
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

EXIT_OK = 0
EXIT_INCOMPLETE = 3


class BootcampError(Exception):
    """An error that ends the command in one line on stderr.

    `hint` is the next step, printed after the message, `problems` are lines printed below it.
    """

    exit_code: ClassVar[int] = 1
    problems: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class RunDirectoryError(BootcampError):
    """The run directory is missing, damaged or not writable."""


class RunLockedError(RunDirectoryError):
    """Another live process holds the run directory."""


class LockLostError(RunDirectoryError):
    """The run directory was taken over by another process: this one stops writing."""


class DiskError(RunDirectoryError):
    """The disk is full, read-only or failing."""


class UsageError(BootcampError):
    """The command was used incorrectly."""

    exit_code = 2


class SettingsError(UsageError):
    """A parameter is unknown or has a wrong value; the message names flag, variable or TOML file and key."""


class DatasetError(UsageError):
    """The test dir cannot be evaluated as it is.

    `problems` are lines of the form `file:line: what`, printed below the message.
    """

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class UnknownBootcampError(DatasetError):
    """Rows name data sources for which no bootcamp is installed, or none that can be loaded."""


class ResumeRefusedError(UsageError):
    """Continuing would mix answers of different settings or data."""


class ServerUnavailableError(BootcampError):
    """The server or the model is not available, the key is refused, or every request is refused alike."""

    exit_code = 4


class KeyRefusedError(ServerUnavailableError):
    """The server refuses the key, or wants one."""


class ServerEndedError(ServerUnavailableError):
    """The server of one's own ended, or did not answer in time; `problems` are the last lines of its log."""

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class WrongModeError(ServerUnavailableError):
    """The server takes requests of the other api_mode only: nothing of the run can be answered."""


class DataUnavailableError(BootcampError):
    """The place of the test data cannot be reached, or fails whatever it is asked, after several attempts."""

    exit_code = 4


class InterruptedRunError(BootcampError):
    """The run was stopped by a signal or on request, and can be resumed."""

    exit_code = 130


@contextmanager
def ungrouped() -> Iterator[None]:
    """Around a task group: raise the first user-facing error of its group, however nested, or the only one in it."""
    try:
        yield
    except ExceptionGroup as group:
        raise _first_error(group) from group


def _first_error(group: ExceptionGroup[Exception]) -> BaseException:
    """The first user-facing error in a group, however nested; else the only error in it, else the group itself."""
    error: BaseException = group.subgroup(BootcampError) or group
    is_known = error is not group
    while isinstance(error, ExceptionGroup) and (is_known or len(error.exceptions) == 1):
        error = error.exceptions[0]
    return group if isinstance(error, ExceptionGroup) else error


def disk_error(error: OSError, doing: str) -> RunDirectoryError:
    """Translate an OSError below the run directory into one line that says what to do.

    `doing` completes "cannot ..."; the errno decides the advice, and for what is only looked at whose it may be.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "free some space and run `bootcamp resume`: everything written so far is kept"
    elif error.errno in (errno.EACCES, errno.EPERM) and doing.startswith(("read ", "list ", "look at ")):
        hint = "make it readable, or ask whose it is"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        hint = "make the directory writable and run `bootcamp resume`"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        hint = "it was removed or moved while in use: put it back and run `bootcamp resume`, or start a new run"
    else:
        hint = "fix that and run `bootcamp resume`: everything written so far is kept"
    return DiskError(f"cannot {doing}: {error.strerror or error}", hint=hint)
