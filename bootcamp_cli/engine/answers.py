"""Where the answers of a run come from: `AnswerSource`, and the one that asks a server."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import anyio
import anyio.to_thread

from bootcamp_cli.dataset.scan import TestFile
from bootcamp_cli.engine.fleet import Fleet
from bootcamp_cli.engine.generate import Attempts, Generator
from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.errors import BootcampError, ServerUnavailableError, ungrouped
from bootcamp_cli.events import Emit
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.provenance import server_info
from bootcamp_cli.server.replicas import Replicas
from bootcamp_cli.store.endpoints import added_traffic, read_endpoints, write_endpoints
from bootcamp_cli.types import Answer, Sample

_TRAFFIC_EVERY_S = 10.0


class AnswerSource(Protocol):
    """Gives the answers of a run: a server that is asked, or the results of requests that were made elsewhere."""

    def n_owed(self, file: TestFile) -> int:
        """Samples of a test file that it is to answer."""
        ...

    def owed(self, file: TestFile) -> Iterator[Sample]:
        """These samples, read one after the other."""
        ...

    async def admit(self) -> None:
        """Wait until one more sample may start."""
        ...

    async def attempt(self, attempts: Attempts, scope: anyio.CancelScope) -> Answer:
        """One attempt that counts; `scope` is the calling task's.

        Raises:
            AttemptFailed: there is no answer.
            ServerUnavailableError: the run cannot go on.
        """
        ...

    async def watch(self) -> None:
        """Look after the source until cancelled.

        Raises:
            ServerUnavailableError: the run cannot go on.
        """
        ...

    async def all_ended(self) -> ServerUnavailableError | None:
        """Every sample has ended. Returns the error of a run that came to nothing."""
        ...


class ServerAnswers:
    """Asks servers for every sample that has no record; what they say about all of them pauses or stops the run.

    `n_in_work` tells how many samples are under way; `sent` is told which of several servers a sample is sent to.
    """

    def __init__(
        self,
        session: Session,
        servers: CompletionClient | Replicas,
        shutdown: Shutdown,
        emit: Emit,
        *,
        n_in_work: Callable[[], int],
        sent: Callable[[Attempts, str], None] | None = None,
    ) -> None:
        plan = session.plan
        self._session = session
        self._fleet = fleet = Fleet(
            servers, plan, model=session.manifest.model, n_in_work=n_in_work, emit=emit, joined=self._ask_about_itself
        )
        self.n_owed = session.n_unanswered
        self.owed = session.owed
        self.admit = fleet.admit
        self.all_ended = fleet.all_ended
        self.attempt = Generator(
            fleet,
            template=plan.prompt_template,
            shutdown=shutdown,
            emit=emit,
            sent=sent,
            fingerprints=session.fingerprints,
        ).attempt

    async def watch(self) -> None:
        """Look after the servers until cancelled, and write down what is sent to each of several.

        Raises:
            ServerUnavailableError: the run cannot go on.
        """
        if not self._fleet.are_several:
            await self._fleet.watch()
            return
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_traffic)
                await self._fleet.watch()

    async def _keep_traffic(self) -> None:
        """Keep `endpoints.json`, which counts what no record tells; where it cannot be written the run goes on."""
        run_dir, check = self._session.run_dir, self._session.journal.lock.check
        before = await anyio.to_thread.run_sync(read_endpoints, run_dir)

        def write() -> None:
            with suppress(BootcampError):
                write_endpoints(run_dir, added_traffic(before, self._fleet.traffic()), check)

        try:
            while True:
                await anyio.sleep(_TRAFFIC_EVERY_S)
                await anyio.to_thread.run_sync(write)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(write)

    async def _ask_about_itself(self, client: CompletionClient) -> None:
        """Ask one of several servers what it tells about itself; a single one is asked beside the run."""
        settings = self._session.plan.settings
        if settings.check_model_url:
            info = await server_info(client, chat=settings.api_mode == "chat_completion")
            if info is not None:
                self._session.servers.append(info)
