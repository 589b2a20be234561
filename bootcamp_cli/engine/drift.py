"""Names an endpoint whose answers differ from those of the others while the run goes on."""

from bootcamp_cli.analysis.drift import DriftWatch
from bootcamp_cli.engine.generate import Attempts
from bootcamp_cli.events import Emit, Warned
from bootcamp_cli.types import Record


class DriftAlarm:
    """Follows each sample from the endpoint that it is sent to, to its record; warns of an endpoint that differs, once.

    Nothing is stopped for it: the answers stay in the run, and the report names the endpoint again.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._watch = DriftWatch()

    def sent(self, attempts: Attempts, endpoint: str) -> None:
        """The sample is sent to an endpoint; wherever it was sent before, it will have no answer from there."""
        self.failed(attempts)
        attempts.watched = self._watch.started(endpoint)

    def ended(self, attempts: Attempts, record: Record) -> None:
        """The sample has its record."""
        if (token := attempts.watched) is None:
            return
        attempts.watched = None
        for finding in self._watch.ended(
            token,
            record.data_source,
            record.score,
            None if record.output_len_estimated else record.output_len,
            truncated=record.finish_reason == "length",
        ):
            self._emit(Warned(message=finding.text))

    def failed(self, attempts: Attempts) -> None:
        """The sample ended without an answer, or goes to another endpoint."""
        if (token := attempts.watched) is None:
            return
        attempts.watched = None
        for finding in self._watch.failed(token):
            self._emit(Warned(message=finding.text))
