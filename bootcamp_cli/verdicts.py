"""Verdicts on outputs without a run: verified in the same isolated, killable worker processes.

The workers belong to an event loop in a thread of its own, so that a script, any thread, and code inside a running
event loop (a notebook) may call this. Nothing of the calling process is changed: no signal handler, no limit, no hook.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from functools import cache, partial
from typing import Any, TypeAlias

import anyio

from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.errors import BootcampError, UsageError
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import BootcampRef, Verdict, verified_text
from bootcamp_cli.verification.executor import VerificationExecutor, unscored, verification_executor

Item: TypeAlias = tuple[str, str, Any] | tuple[str, str, Any, str | None]
"""Data source, output, ground truth (a JSON value), and the reasoning where the server separates it."""

_MAX_AHEAD = 512
_MAX_CHARS_AHEAD = 4 * 1024 * 1024
_WATCH_S = 0.2


def score(
    data_source: str,
    output: str,
    ground_truth: Any,
    *,
    reasoning: str | None = None,
    settings: Settings | None = None,
) -> Verdict:
    """Verify one output: `score_many` of one item. It starts a worker each time: for several, use that.

    Raises:
        UsageError: data source, output or reasoning is not text.
        SettingsError: `bootcamps_path` holds no package.
    """
    [verdict] = score_many([(data_source, output, ground_truth, reasoning)], settings=settings)
    return verdict


def score_many(items: Iterable[Item], *, settings: Settings | None = None) -> Generator[Verdict, None, None]:
    """Verify any number of outputs, and give their verdicts in the order of the items.

    An item is (data_source, output, ground_truth) or (data_source, output, ground_truth, reasoning); the reasoning is
    part of what is verified, as in a run. Items are read as verdicts are taken, at most 512 items or 4 million
    characters ahead, so there may be infinitely many. `settings` says where bootcamps come from (`bootcamps`,
    `bootcamps_path`) and what workers may use (`verify_timeout` in seconds, `verify_memory` in MiB, `verify_workers`),
    and where they are (`executor`, `ray_address`).

    A failing verifier is a verdict with `failure`, never an exception; so is a data source without a bootcamp
    (`unscored`). The workers run from the first verdict that is asked for until the last, or until the generator is
    closed or dropped, or an exception ends it, be it one of `items` (whose verdicts ahead are lost) or
    KeyboardInterrupt.

    Raises:
        UsageError: an item is not of this form, or one of its texts is not text.
        SettingsError: `bootcamps_path` holds no package.
        ServerUnavailableError: the cluster that is to verify is not there.
    """
    settings = Settings() if settings is None else settings
    resolve = cache(Resolver(settings.bootcamps, settings.bootcamps_path).resolve)
    return _verdicts(items, settings, resolve)


def _verdicts(
    items: Iterable[Item], settings: Settings, resolve: Callable[[str], BootcampRef | None]
) -> Generator[Verdict, None, None]:
    ahead: deque[tuple[_Awaited, int]] = deque()
    n_chars = 0
    with _running_pool(settings) as pool:
        for number, item in enumerate(items, start=1):
            data_source, text, ground_truth = _checked(item, number)
            ahead.append((pool.submit(resolve(data_source), data_source, text, ground_truth), len(text)))
            n_chars += len(text)
            while ahead and (ahead[0][0].done() or len(ahead) >= _MAX_AHEAD or n_chars >= _MAX_CHARS_AHEAD):
                awaited, length = ahead.popleft()
                n_chars -= length
                yield pool.wait(awaited)
        while ahead:
            yield pool.wait(ahead.popleft()[0])


def _checked(item: Any, number: int) -> tuple[str, str, Any]:
    """The data source, the text that is verified and the ground truth of an item; `number` counts from 1."""
    if not isinstance(item, (tuple, list)) or len(item) not in (3, 4):
        raise UsageError(
            f"item {number} to score is not a tuple of 3 or 4",
            hint="give (data_source, output, ground_truth[, reasoning])",
        )
    data_source, output, ground_truth, reasoning = (*item, None)[:4]
    for name, value in (("data_source", data_source), ("output", output), ("reasoning", reasoning or "")):
        if not isinstance(value, str):
            raise UsageError(f"item {number} to score: {name} is of type {type(value).__name__}, not text")
    return data_source, verified_text(output, reasoning), ground_truth


_Awaited: TypeAlias = "Future[Verdict | None]"
"""The verdict, or None if there will be none because the pool was closed."""


@contextmanager
def _running_pool(settings: Settings) -> "Iterator[_PoolThread]":
    pool = _PoolThread(settings)
    try:
        pool.start()
        yield pool
    finally:
        pool.close()


class _PoolThread:
    """A verifier pool in an event loop in a thread of its own, for one other thread at a time.

    The interpreter waits for this thread when it exits. It ends by itself where nobody is left to close the pool: a
    generator that was not used up may live as long as the traceback of the exception that ended the main thread.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = threading.Thread(target=Context().run, args=(self._run,), name="bootcamp score", daemon=False)
        self._opened: Future[VerificationExecutor] = Future()
        self._error: BaseException | None = None
        self._is_closing = False
        self._user = threading.current_thread()
        self._loop: asyncio.AbstractEventLoop
        self._context: Context
        self._closing: anyio.Event

    def start(self) -> None:
        """Open the pool."""
        self._thread.start()
        self._opened.result()

    def submit(self, ref: BootcampRef | None, data_source: str, text: str, ground_truth: Any) -> _Awaited:
        """Have a text verified."""
        self._user = threading.current_thread()
        awaited: _Awaited = Future()
        if ref is None:
            awaited.set_result(unscored(data_source))
            return awaited
        self._call(self._submit, ref, text, ground_truth, awaited)
        return awaited

    def _submit(self, ref: BootcampRef, text: str, ground_truth: Any, awaited: _Awaited) -> None:
        try:
            self._opened.result().submit(ref, text, ground_truth, awaited.set_result)
        except Exception as error:  # noqa: BLE001 - it is raised in the other thread
            awaited.set_exception(error)

    def wait(self, awaited: _Awaited) -> Verdict:
        """The verdict, when it is there."""
        self._user = threading.current_thread()
        verdict = None
        while not awaited.done() and self._thread.is_alive():
            with suppress(TimeoutError):
                verdict = awaited.result(_WATCH_S)
        if awaited.done():
            verdict = awaited.result()
        if verdict is None:
            self._thread.join()  # the pool closes before its thread knows why
            if isinstance(self._error, BootcampError):
                raise self._error
            raise RuntimeError("the verifier pool has ended") from self._error
        return verdict

    def close(self) -> None:
        """End the workers and wait until they are gone."""
        self._is_closing = True
        if self._thread.ident is None:
            return
        if self._opened.done() and self._opened.exception() is None:
            self._call(self._closing.set)
        if threading.current_thread() is not self._thread:  # where the garbage collector closes a forgotten generator
            self._thread.join()

    def _call(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call a function soon; nothing where it has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(partial(function, *args), context=self._context)

    def _run(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            self._error = error
            if not self._opened.done():
                self._opened.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._context = asyncio.get_running_loop(), copy_context()
        self._closing = anyio.Event()
        async with await verification_executor(self._settings) as pool:
            self._opened.set_result(pool)
            while not (self._is_closing or self._closing.is_set() or self._is_forsaken()):
                with anyio.move_on_after(_WATCH_S):
                    await self._closing.wait()

    def _is_forsaken(self) -> bool:
        """Whether the interpreter is about to exit and no thread that it waits for uses the pool."""
        if threading.main_thread().is_alive():
            return False
        return self._user.daemon or not self._user.is_alive()
