"""Writes down beside a run what its servers tell of their load, once in 15 seconds."""

from collections.abc import Callable, Mapping

import anyio

from bootcamp_cli.errors import BootcampError
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.server.metrics import ServerFigures, server_figures
from bootcamp_cli.store.atomic import Check
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.server_metrics import LEAST_S, Load, LoadLog

_MOST_TRIES = 3
_SAVED_EVERY = 4
_AT_ONCE = 8
_VERY_OFTEN = 1_000_000
_AGAIN_S = 1.0
"""The time to the next round where no endpoint is known yet: several are looked at first."""


async def watch_metrics(
    clients: Callable[[], Mapping[str, CompletionClient]],
    run_dir: RunDir,
    check: Check,
    *,
    interval_s: float = LEAST_S,
) -> None:
    """Ask every endpoint for its load until cancelled, and keep it in the run directory; raises nothing.

    `clients` gives the endpoints of the moment by base URL. One that has told nothing at three tries is left alone.
    The file is written once in four rounds, and at the end.
    """
    log = await anyio.to_thread.run_sync(LoadLog, run_dir, check)
    watch = _Watch()
    n_rounds = 0
    try:
        while True:
            known = clients()
            loads = await watch.round(known)
            if loads:
                await anyio.to_thread.run_sync(log.add, loads)
                if n_rounds % _SAVED_EVERY == 0:
                    await anyio.to_thread.run_sync(log.save)
                n_rounds += 1
            await anyio.sleep(interval_s if known else min(_AGAIN_S, interval_s))
    except BootcampError:
        return  # the run directory is somebody else's: the run itself notices
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await _saved(log)
        raise


async def _saved(log: LoadLog) -> None:
    try:
        await anyio.to_thread.run_sync(log.save)
    except BootcampError:
        return


class _Watch:
    """What is known of the endpoints: who told nothing how often, and the last count of preemptions."""

    def __init__(self) -> None:
        self._n_tries: dict[str, int] = {}
        self._preemptions: dict[str, float] = {}

    async def round(self, clients: Mapping[str, CompletionClient]) -> list[Load]:
        """Ask everyone who may tell something, a few at a time."""
        loads: list[Load] = []
        limit = anyio.CapacityLimiter(_AT_ONCE)

        async def ask(name: str, client: CompletionClient) -> None:
            async with limit:
                try:
                    figures = await server_figures(client)
                except AttemptFailed:
                    figures = None
            if figures is None:
                self._n_tries[name] = self._n_tries.get(name, 0) + 1
            else:
                self._n_tries[name] = -_VERY_OFTEN  # it has them: it is asked again also when it was away
                loads.append(self._load(name, figures))

        async with anyio.create_task_group() as tasks:
            for name, client in clients.items():
                if self._n_tries.get(name, 0) < _MOST_TRIES:
                    tasks.start_soon(ask, name, client)
        return loads

    def _load(self, name: str, figures: ServerFigures) -> Load:
        """What was told, with the preemptions since the last time; of a server that started anew, all of them."""
        preemptions = None
        if (count := figures.preemptions) is not None:
            before = self._preemptions.get(name, count)
            preemptions = count - before if count >= before else count
            self._preemptions[name] = count
        return Load(
            start=0,
            seconds=LEAST_S,
            endpoint=name,
            running=figures.running,
            waiting=figures.waiting,
            least_waiting=figures.waiting,
            cache=figures.cache,
            preemptions=preemptions,
        )
