"""Where the answers of a run come from: `AnswerSource`, and the one that asks a server."""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Protocol

import anyio

from bootcamp_cli.dataset.scan import TestFile
from bootcamp_cli.engine.breaker import CircuitBreaker, Refusals
from bootcamp_cli.engine.generate import Attempts, Generator, ask_neutrally, neutral_prompt
from bootcamp_cli.engine.limiter import Limiter, Pace
from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.shutdown import Shutdown
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Emit
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.types import Answer, Sample


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
    """Asks a server for every sample that has no record; what it says about all of them pauses or stops the run.

    `n_in_work` tells how many samples are under way.
    """

    def __init__(
        self,
        session: Session,
        client: CompletionClient,
        shutdown: Shutdown,
        emit: Emit,
        n_in_work: Callable[[], int],
    ) -> None:
        plan, settings = session.plan, session.plan.settings
        n_slots = settings.max_concurrent_requests
        self._session = session
        self._breaker = breaker = CircuitBreaker(
            client,
            model_name=plan.generation.model,
            neutral_prompt=neutral_prompt(plan.prompt_template),
            has_list=session.manifest.model is not None,
            n_in_work=n_in_work,
            wait_s=settings.wait,
            poll_interval_s=settings.poll_interval,
            emit=emit,
            keep_going=settings.keep_going,
        )
        limiter = Limiter(
            Pace(n_slots, settings.max_retrying_delay, Random()),  # noqa: S311 - jitter
            wait_s=settings.wait,
            max_retries=settings.max_retries,
            emit=emit,
        )
        self._refusals = Refusals(
            n_slots,
            ask=partial(ask_neutrally, client, plan.prompt_template, breaker, limiter),
            emit=emit,
            keep_going=settings.keep_going,
        )
        self.n_owed = session.n_unanswered
        self.owed = session.owed
        self.admit = self._refusals.admit
        self.watch = breaker.watch
        self.all_ended = self._refusals.all_ended
        self.attempt = Generator(
            client,
            template=plan.prompt_template,
            breaker=breaker,
            limiter=limiter,
            refusals=self._refusals,
            shutdown=shutdown,
            emit=emit,
            fingerprints=session.fingerprints,
        ).attempt
