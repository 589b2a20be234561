"""A file with the base URL of a server per line, which is read again when it changes.

Whoever writes it decides where prompts and the key go: a file that others may write to is refused. One that is missing,
half-written or wrong changes nothing: a cluster's script may be in the middle of writing it.
"""

import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
from anyio import to_thread

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import WrongValueError, checked_url, refuse_repeated

_POLL_S = 2.0
_MAX_BYTES = 1024 * 1024
_MAX_URLS = 10_000


def read_url_file(path: Path) -> tuple[str, ...]:
    """The base URLs, in the order of the lines; empty lines and those that begin with `#` are left out.

    Raises:
        SettingsError: it cannot be read, others may write to it, a line is no base URL, none is there, or the last
            line does not end, as one that is still being written.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would wait for a writer
            _refuse_foreign(path, os.fstat(file.fileno()))
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"url_file: {path} cannot be read: {error.strerror or error}") from None
    if len(content) > _MAX_BYTES:
        raise SettingsError(f"url_file: {path} has more than {_MAX_BYTES:,} bytes")
    if not content.endswith(b"\n"):
        raise SettingsError(
            f"url_file: {path} does not end with a line break", hint="is it still being written? end its last line"
        )
    urls = [
        _url(path, number, line)
        for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not 0 < len(urls) <= _MAX_URLS:
        raise SettingsError(f"url_file: {path} has {len(urls):,} URLs", hint=f"write 1 to {_MAX_URLS:,}, one per line")
    try:
        refuse_repeated(urls)
    except WrongValueError as error:
        raise SettingsError(f"url_file: {path}: must {error}") from None
    return tuple(urls)


def _url(path: Path, number: int, line: str) -> str:
    try:
        return checked_url(line)
    except WrongValueError as error:
        raise SettingsError(f"url_file: {path}:{number}: must {error}", hint=error.hint) from None


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"url_file: {path} is no regular file")
    folder = path.resolve().parent.stat()
    is_open_folder = bool(folder.st_mode & stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (os.geteuid(), 0) or is_open_folder:
        raise SettingsError(
            f"url_file: others may write to {path}, and so decide where prompts and the key go",
            hint="it must be yours, in a folder that is not open to all, and `chmod go-w` it",
        )


async def changes(path: Path, urls: tuple[str, ...], warn: Callable[[str], None]) -> AsyncIterator[tuple[str, ...]]:
    """The URLs of a file each time that they are others than before, which `urls` are at first.

    A change counts once it has stood for two seconds. What is wrong with the file is told once.
    """
    seen, taken, told = await to_thread.run_sync(_signature, path), None, ""
    while True:
        await anyio.sleep(_POLL_S)
        before, seen = seen, await to_thread.run_sync(_signature, path)
        if seen == taken or seen != before:
            continue
        try:
            found = await to_thread.run_sync(read_url_file, path)
        except SettingsError as error:
            if error.message != told:
                told = error.message
                warn(f"{told}: the servers stay as they were")
            continue
        taken, told = seen, ""
        if found != urls:
            urls = found
            yield found


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
