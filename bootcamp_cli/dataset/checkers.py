"""The check of large test data on all cores: this process reads and hashes, others tally the blocks that it read.

What they are sent is what was hashed, and whatever becomes of them, each block is tallied, and added in its order: the
outcome is that of a single process.
"""

import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from subprocess import DEVNULL, PIPE, Popen

from bootcamp_cli.dataset.rows import lines_of, n_lines_of
from bootcamp_cli.dataset.tally import Block, Tally
from bootcamp_cli.processes import python_command, usable_cpus, worker_environment

_MAX_PROCESSES = 4
"""More would wait for the one that reads and hashes."""

_BLOCKS_AT_ONCE = 4
"""How many blocks are sent together: for each alone, sending would take a fifth of the time."""

_BYTES_AT_ONCE = 4 * 2**20
"""Blocks that are as large as a line may be are sent alone."""

_PIPE_BYTES = 2**20
"""What a pipe holds, where the system lets it: more than a block."""


@contextmanager
def checkers() -> Iterator["Checkers | None"]:
    """What checks test data on all cores; None where there is one, or other processes cannot be started."""
    n_cpus = usable_cpus()
    processes = _started(min(n_cpus, _MAX_PROCESSES)) if n_cpus > 1 else []
    if not processes:
        yield None
        return
    with ThreadPoolExecutor(len(processes)) as threads:
        try:
            yield Checkers(processes, threads)
        finally:
            for process in processes:
                process.kill()
            threads.shutdown(cancel_futures=True)
            for process in processes:
                with suppress(OSError), process:  # what was not sent
                    pass


def _started(n: int) -> list[Popen[bytes]]:
    """So many processes that tally what they are sent, fewer where the system refuses."""
    command, environment = python_command(Tally.__module__), worker_environment(os.environ)
    processes: list[Popen[bytes]] = []
    for pipe_bytes in (_PIPE_BYTES, -1):  # a user may have used up what pipes may hold; then as much as there is
        with suppress(OSError):
            while len(processes) < n:
                processes.append(
                    Popen(  # noqa: S603 - this Python
                        command,
                        stdin=PIPE,
                        stdout=PIPE,
                        stderr=DEVNULL,
                        env=environment,
                        start_new_session=True,
                        pipesize=pipe_bytes,
                    )
                )
    return processes


class Checkers:
    """Processes that tally blocks of lines, and a thread for each that waits for it."""

    def __init__(self, processes: Iterable[Popen[bytes]], threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._idle: SimpleQueue[Popen[bytes] | None] = SimpleQueue()
        for process in processes:
            self._idle.put(process)
        self._n_ahead = 2 * self._idle.qsize()

    def add(self, tally: Tally, blocks: Iterable[Block]) -> None:
        """Add the lines of the blocks that follow in a file to its tally.

        Raises:
            OSError: from reading the blocks; those before are added.
        """
        ahead: deque[Future[Tally]] = deque()
        first = tally.first + tally.n_lines
        errors: list[OSError] = []
        for group in _groups(blocks, errors):
            ahead.append(self._threads.submit(self._tallied, tally.following(first), group))
            first += sum(n_lines_of(block) for block, _ in group)
            if len(ahead) > self._n_ahead:
                tally.add(ahead.popleft().result())
        for future in ahead:
            tally.add(future.result())
        if errors:
            raise errors[0]

    def _tallied(self, tally: Tally, blocks: list[Block]) -> Tally:
        """The tally with the lines of some blocks, by a process that is idle, or here where that one has ended."""
        process = self._idle.get()
        try:
            if process is not None and (answer := _answer(process, tally, blocks)):
                return answer
            process = None
            for block in blocks:
                tally.take(lines_of(*block))
            return tally
        finally:
            self._idle.put(process)


def _groups(blocks: Iterable[Block], errors: list[OSError]) -> Iterator[list[Block]]:
    """Blocks that are sent together; the error that ends the reading is for after them."""
    group: list[Block] = []
    n_bytes = 0
    try:
        for block in blocks:
            group.append(block)
            n_bytes += sum(map(len, block))
            if len(group) == _BLOCKS_AT_ONCE or n_bytes > _BYTES_AT_ONCE:
                yield group
                group, n_bytes = [], 0
    except OSError as error:
        errors.append(error)
    if group:
        yield group


def _answer(process: Popen[bytes], tally: Tally, blocks: list[Block]) -> Tally | None:
    """The tally with the lines of some blocks, by a process; None where that has ended."""
    requests, replies = process.stdin, process.stdout
    assert requests and replies  # noqa: S101, PT018 - they are pipes
    try:
        pickle.dump((tally, blocks), requests)
        requests.flush()
        answer: Tally = pickle.load(replies)  # noqa: S301 - of a process that this one started
    except Exception:  # noqa: BLE001 - it ended, or another program wrote where it should
        return None
    return answer
