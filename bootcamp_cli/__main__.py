"""The entry point: every error ends in one line on stderr and an exit code."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import typer

from bootcamp_cli.cli.app import root_group
from bootcamp_cli.cli.command import is_on
from bootcamp_cli.cli.console import silence, write_line
from bootcamp_cli.cli.failure import failure_of, print_failure
from bootcamp_cli.cli.process import ENDING_SIGNALS, slow_garbage_collection, spare_numpy
from bootcamp_cli.errors import InterruptedRunError
from bootcamp_cli.progress.streams import READ_WITHIN_S, UnblockedStream, read_within_a_moment, unblock
from bootcamp_cli.text import Redaction

_INTERRUPTED_S = 1.0
"""How long a command that was told to end waits for its last words to be read."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bootcamp` with these words and return its exit code.

    By default the words are those of the process, which is about to exit with that code: signals no longer change it,
    and nobody who does not read its output keeps it waiting.
    """
    if argv is not None:
        return _ended(list(argv), to_the_end=False)
    slow_garbage_collection()
    spare_numpy()
    _open_missing_streams()
    _forget_unusable_key_log()
    streams = unblock()
    code = _ended(sys.argv[1:], to_the_end=True, finish=partial(_finish, *streams))
    are_read = [stream.finish() for stream in streams]
    if not all(are_read) or code == InterruptedRunError.exit_code:
        silence(sys.stdout)  # the interpreter would write the rest at its end, and wait
    return code


def _ended(words: list[str], *, to_the_end: bool, finish: Callable[[], None] | None = None) -> int:
    """Run the command, and `finish` it; whatever that ends with is an exit code, and a line if it is an error."""
    redaction = Redaction()
    try:
        with _signals_as_interruption(to_the_end=to_the_end):
            code = _run(words, redaction)
            if finish is not None:
                finish()
            return code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the boundary
        failure = failure_of(error)
        if to_the_end:  # no signal would end a wait for a reader
            is_interrupted = failure.exit_code == InterruptedRunError.exit_code
            read_within_a_moment(_INTERRUPTED_S if is_interrupted else READ_WITHIN_S)
        if is_on("--debug", words):
            _print_traceback(error, redaction)
        print_failure(failure, as_json=is_on("--json", words), redaction=redaction)
        return failure.exit_code


def _finish(stdout: UnblockedStream, stderr: UnblockedStream) -> None:
    """Wait until the output is read, for as long as the command lets it take.

    A signal ends the wait; where the results are on disk, the command is done and its exit code stays as it is.
    """
    try:
        is_read = stdout.finish()
        if (error := stdout.failure()) is not None:
            raise error
        if not is_read:
            write_line(sys.stderr, "bootcamp: the output was not read to its end; everything is in the run directory")
        stderr.finish()
    except KeyboardInterrupt:
        if stdout.patience_s is None:
            raise
        for stream in (stdout, stderr):
            stream.finish(0)


def _run(words: list[str], redaction: Redaction) -> int:
    group = root_group()
    try:
        with group.make_context("bootcamp", words, obj=redaction) as context:
            code = group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else 0


def _open_missing_streams() -> None:
    """Reopen standard streams that cron or a daemon closed, so that no other file gets their descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def _forget_unusable_key_log() -> None:
    """Drop SSLKEYLOGFILE where it cannot be opened: it would keep every TLS context, and aiohttp, from being made."""
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return
    place = path if os.path.lexists(path) else os.path.dirname(path) or os.curdir  # noqa: PTH120 - never raises
    if os.path.isdir(path) or not os.access(place, os.W_OK):  # noqa: PTH112
        del os.environ["SSLKEYLOGFILE"]


@contextmanager
def _signals_as_interruption(*, to_the_end: bool) -> Iterator[None]:
    """Handle the signals that end a run as SIGINT is being handled; with `to_the_end` all are ignored afterwards."""
    others = [number for number in ENDING_SIGNALS if number != signal.SIGINT]
    try:
        before = {number: signal.signal(number, _interrupt) for number in others}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if to_the_end else handler)
        if to_the_end:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    """Act as SIGINT does, even where it is ignored, as it is in processes that shells start in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _print_traceback(error: BaseException, redaction: Redaction) -> None:
    import traceback  # noqa: PLC0415 - with --debug only

    write_line(sys.stderr, redaction.foreign("".join(traceback.format_exception(error))))


if __name__ == "__main__":
    sys.exit(main())
