"""A run that is refused from its first request on stops early: one clear error instead of a run full of failures."""

import anyio

from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.records import RequestFailure


class Probation:
    """Holds the run to its first max(32, slots) samples until one ends otherwise than refused with the same 4xx."""

    def __init__(self, n_slots: int) -> None:
        self.limit = max(32, n_slots)
        self._over = anyio.Event()
        self._n_admitted = 0
        self._n_refused = 0
        self._first: RequestFailure | None = None

    async def admit(self) -> None:
        """Wait until one more sample may start."""
        if self._n_admitted >= self.limit and not self._over.is_set():
            await self._over.wait()
        self._n_admitted += 1

    def passed(self) -> None:
        """Some try ended otherwise than refused: the server works for somebody."""
        self._over.set()

    def refused(self, failure: RequestFailure) -> ServerUnavailableError | None:
        """A sample ended refused. Returns the error that stops the run when all of the first samples were, alike."""
        if self._over.is_set():
            return None
        if self._first is None:
            self._first = failure
        elif self._first.status != failure.status:
            self._over.set()
            return None
        self._n_refused += 1
        return self.verdict() if self._n_refused >= self.limit else None

    def verdict(self) -> ServerUnavailableError | None:
        """The error of a run of which every sample so far was refused alike; None where one was not, or none ended."""
        if self._over.is_set() or self._first is None:
            return None
        n = self._n_refused
        what = "the only request was refused" if n == 1 else f"all of the first {n} requests were refused alike"
        return ServerUnavailableError(
            f"{what}: {self._first.message}",
            hint="mend the server and `bootcamp resume`, or start a new run with other parameters",
        )


def is_refusal(failure: RequestFailure) -> bool:
    """Whether the server refused the request itself: a 4xx that is not retried, or a redirect."""
    return failure.status is not None and 300 <= failure.status < 500 and failure.kind.startswith("http_")
