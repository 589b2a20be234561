"""Any exception as the user sees it: one line, the lines below it, and the exit code."""

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bootcamp_cli.cli.console import json_text, write_line
from bootcamp_cli.errors import BootcampError, InterruptedRunError, disk_error
from bootcamp_cli.text import Redaction, visible

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_PATH_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP})
"""What can be wrong with any path that a user gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The end of a command that failed: `hint` is the next step, `problems` are lines below the first.

    `is_foreign` says that the words are not this tool's.
    """

    message: str
    exit_code: int
    hint: str | None = None
    problems: tuple[str, ...] = ()
    label: str = "error: "
    is_foreign: bool = False

    @property
    def line(self) -> str:
        """`bootcamp: error: what is wrong; what to do`."""
        return visible(f"bootcamp: {self.label}{self.message}{f'; {self.hint}' if self.hint else ''}")


def failure_of(error: BaseException) -> Failure:
    """What the user is told about an exception that nothing else handled."""
    single = _single(error)
    if isinstance(single, OSError) and single.errno in _DISK_ERRORS:
        single = (
            disk_error(single, f"write {single.filename}")
            if single.filename
            else BootcampError(f"cannot write: {single.strerror}", hint="free some space, or write to another place")
        )
    if isinstance(single, OSError) and single.errno in _PATH_ERRORS and isinstance(single.filename, str | bytes):
        return Failure(message=f"{os.fsdecode(single.filename)}: {single.strerror}", exit_code=1)
    if isinstance(single, FileNotFoundError) and _working_dir_is_gone():
        return Failure(message="the working directory is gone", hint="change to one that exists", exit_code=1)
    match single:
        case BootcampError():
            return _known(single)
        case KeyboardInterrupt():
            return Failure(message="interrupted", exit_code=InterruptedRunError.exit_code, label="")
        case _:
            return _unexpected(single)


def print_failure(failure: Failure, *, as_json: bool, redaction: Redaction) -> None:
    """Print the line and those below it to stderr; with `--json` the same as an object to stdout."""
    redacted = redaction.foreign if failure.is_foreign else redaction.own
    for line in (failure.line, *(f"  {visible(problem)}" for problem in failure.problems)):
        write_line(sys.stderr, redacted(line))
    if as_json:
        error: dict[str, object] = {"message": failure.message, "hint": failure.hint, "exit_code": failure.exit_code}
        if failure.problems:
            error["problems"] = failure.problems
        write_line(sys.stdout, redacted(json_text({"error": error})))


def _single(error: BaseException) -> BaseException:
    """The error that represents a group: an interruption, or the first if all are user-facing, or the group itself."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, KeyboardInterrupt):
            return leaf
    if len(leaves) == 1 or all(isinstance(leaf, BootcampError) for leaf in leaves):
        return leaves[0]
    return error


def _working_dir_is_gone() -> bool:
    """Whether the working directory of this process was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for child in error.exceptions for leaf in _leaves(child)]
    return [error]


def _known(error: BootcampError) -> Failure:
    return Failure(
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
        problems=error.problems,
        label="" if isinstance(error, InterruptedRunError) else "error: ",
    )


def _unexpected(error: BaseException) -> Failure:
    return Failure(
        message=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        hint="run again with --debug for the traceback",
        exit_code=1,
        label="unexpected error: ",
        is_foreign=True,
    )
