"""The entry point: every error ends in one line on stderr and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from bootcamp_cli.cli.app import root_group
from bootcamp_cli.cli.command import is_on
from bootcamp_cli.cli.console import write_line
from bootcamp_cli.cli.failure import failure_of, print_failure
from bootcamp_cli.text import Redaction


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bootcamp` with these words and return its exit code.

    By default the words are those of the process, which is about to exit with that code: signals no longer change it.
    """
    is_process = argv is None
    words = sys.argv[1:] if argv is None else list(argv)
    redaction = Redaction()
    if is_process:
        _open_missing_streams()
    try:
        with _terminated_as_interrupted(to_the_end=is_process):
            return _run(words, redaction)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the boundary
        failure = failure_of(error)
        if is_on("--debug", words):
            _print_traceback(error, redaction)
        print_failure(failure, as_json=is_on("--json", words), redaction=redaction)
        return failure.exit_code


def _run(words: list[str], redaction: Redaction) -> int:
    group = root_group()
    with group.make_context("bootcamp", words, obj=redaction) as context:
        code = group.invoke(context)
    return code if isinstance(code, int) else 0


def _open_missing_streams() -> None:
    """Reopen standard streams that cron or a daemon closed, so that no other file gets their descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


@contextmanager
def _terminated_as_interrupted(*, to_the_end: bool) -> Iterator[None]:
    """Handle SIGTERM as SIGINT is being handled; with `to_the_end` both are ignored afterwards."""
    try:
        before = signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if to_the_end else before)
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
