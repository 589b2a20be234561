"""The entry point: every error ends in one line on stderr and an exit code."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from bootcamp_cli.cli.app import root_group
from bootcamp_cli.cli.console import hide, write_line
from bootcamp_cli.cli.failure import failure_of, print_failure
from bootcamp_cli.cli.spelling import is_on


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bootcamp` with these words, by default those of the process, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    masked: list[str] = []
    try:
        with _terminated_as_interrupted():
            return _run(words, masked)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the boundary
        failure = failure_of(error)
        if is_on("--debug", words):
            _print_traceback(error, masked)
        print_failure(failure, as_json=is_on("--json", words), masked=masked)
        return failure.exit_code


def _run(words: list[str], masked: list[str]) -> int:
    group = root_group()
    with group.make_context("bootcamp", words, obj=masked) as context:
        code = group.invoke(context)
    return code if isinstance(code, int) else 0


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM is answered as SIGINT is, whoever handles that at the moment."""
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_traceback(error: BaseException, masked: list[str]) -> None:
    import traceback  # noqa: PLC0415 - with --debug only

    write_line(sys.stderr, hide("".join(traceback.format_exception(error)), masked))


if __name__ == "__main__":
    sys.exit(main())
