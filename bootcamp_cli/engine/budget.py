"""How many tokens a run may use: where they are used up, it is asked to stop as SIGTERM asks it."""

from bootcamp_cli.engine.session import Session
from bootcamp_cli.engine.shutdown import StopRequest
from bootcamp_cli.errors import InterruptedRunError
from bootcamp_cli.server.request import estimated_tokens
from bootcamp_cli.store.records import output_length
from bootcamp_cli.types import Answer, Sample


class TokenBudget:
    """Counts the tokens of prompts and answers, those of earlier starts of the run included.

    They are the server's counts, where it sends some, else estimates. What failed attempts cost is not known, and
    neither is what answers cost that come after the stop. `stop` is asked once when `limit` is reached; None is none.
    """

    def __init__(self, limit: int | None, n_used: int = 0) -> None:
        self.stop = StopRequest()
        self._limit = limit
        self._n_used = n_used

    @property
    def is_used_up(self) -> bool:
        """Whether no further request may be sent."""
        return self._limit is not None and self._n_used >= self._limit

    @property
    def error(self) -> InterruptedRunError:
        """What ends the run then."""
        return InterruptedRunError(
            f"max_total_tokens: {self._n_used:,} of {self._limit:,} tokens are used",
            hint="give a larger --max-total-tokens to `bootcamp resume`",
        )

    def spend(self, sample: Sample, answer: Answer) -> None:
        """Count what an answer cost."""
        if self._limit is None:
            return
        was_used_up = self.is_used_up
        self._n_used += answer.prompt_tokens or estimated_tokens(sample.messages or sample.prompt)
        self._n_used += output_length(answer)
        if self.is_used_up and not was_used_up:
            self.stop.request()


def token_budget(session: Session) -> TokenBudget:
    """The budget that a run has left. Reads the details of what was answered before: call it in a thread."""
    limit, details = session.plan.settings.max_total_tokens, session.journal.details.values()
    n_answered = sum(index.n_answered for index in details)
    if limit is None or not n_answered:
        return TokenBudget(limit)
    from bootcamp_cli.analysis.contents import read_run  # noqa: PLC0415 - where it is needed

    tokens = read_run(session.run_dir).summary.tokens
    n_prompt = (tokens.prompt or 0) * n_answered // max(tokens.n_counted, 1)
    return TokenBudget(limit, n_prompt + sum(index.len_sum for index in details))
