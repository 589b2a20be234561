"""The servers of a run, which may become others while it runs, and a client for each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from anyio import CancelScope, create_task_group, to_thread
from anyio.abc import TaskGroup

from bootcamp_cli.errors import BootcampError
from bootcamp_cli.server.client import CompletionClient, endpoints_of, make_client
from bootcamp_cli.server.endpoint import Endpoint
from bootcamp_cli.server.request import GenerationConfig
from bootcamp_cli.server.url_file import changes
from bootcamp_cli.settings.model import Settings

_T = TypeVar("_T")


class Replicas:
    """Where the replicas of a model are: `endpoints` at first, others as `changes` tells.

    Every client that is opened is closed by `close`, or with the block of `open_replicas`.
    """

    def __init__(self, settings: Settings, generation: GenerationConfig) -> None:
        self.endpoints = endpoints_of(settings)
        self._settings = settings
        self._generation = generation
        self.clients: dict[str, CompletionClient] = {}
        """Those that are open, by base URL."""

    @property
    def are_several(self) -> bool:
        """Whether there may be more than one; then each is checked before it is used."""
        return len(self.endpoints) > 1 or self._settings.url_file is not None

    async def open(self, target: Endpoint) -> CompletionClient:
        """A client for one of them.

        Raises:
            SettingsError: its certificates, proxy or host name cannot be used.
        """
        client = await make_client(self._settings, self._generation, target)
        self.clients[target.base_url] = client
        return client

    async def close(self, client: CompletionClient) -> None:
        """Close the connections of a client."""
        del self.clients[client.endpoint.base_url]
        await client.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        while self.clients:
            await self.clients.popitem()[1].aclose()

    async def changes(self, warn: Callable[[str], None]) -> AsyncIterator[tuple[Endpoint, ...]]:
        """All endpoints each time that they are others than before; `warn` is told what is wrong with their file."""
        path = self._settings.url_file
        if path is None:
            return
        urls = tuple(endpoint.base_url for endpoint in self.endpoints)
        async for found in changes(path, urls, warn):
            yield endpoints_of(replace(self._settings, url_file=None, url=found))


async def first_of(replicas: Replicas, ask: Callable[[CompletionClient], Awaitable[_T]]) -> tuple[_T, Endpoint]:
    """What the first server that is ready answers, and which one it is; all are asked at the same time.

    Raises:
        BootcampError: none is; the error of the first one that failed.
    """
    found: list[tuple[_T, Endpoint]] = []
    errors: list[BootcampError] = []

    async def ask_one(target: Endpoint, tasks: TaskGroup) -> None:
        client = await replicas.open(target)
        try:
            found.append((await ask(client), target))
            tasks.cancel_scope.cancel()
        except BootcampError as error:
            errors.append(error)
        finally:
            with CancelScope(shield=True):
                await replicas.close(client)

    async with create_task_group() as tasks:
        for target in replicas.endpoints:
            tasks.start_soon(ask_one, target, tasks)
    if not found:
        raise errors[0]
    return found[0]


@asynccontextmanager
async def open_replicas(settings: Settings, generation: GenerationConfig) -> AsyncIterator[Replicas]:
    """The servers of the settings; their connections are closed with the block.

    Raises:
        SettingsError: as `endpoints_of` does.
    """
    replicas = await to_thread.run_sync(Replicas, settings, generation)
    try:
        yield replicas
    finally:
        await replicas.aclose()
