"""What happens in an evaluation, as data: the engine emits these, displays, progress.log and users' code fold them."""

from collections.abc import Callable
from typing import Any

import msgspec

from bootcamp_cli.types import VerifierFailure


class FileTotal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One test file of the run: its samples, and how many of them had a record before this process started."""

    name: str
    n_samples: int
    n_done_before: int
    score_sum_before: float = 0.0
    n_scored_before: int = 0


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The run directory is ready and the first request is about to be sent. `files` are in name order.

    `progress` sums up the events of this run as they come: counts, rates, mean score and remaining time, as
    `bootcamp_cli.progress.state.ProgressState` documents them.
    """

    run_dir: str
    model_name: str
    files: tuple[FileTotal, ...]
    n_slots: int
    progress: Any = None


class RequestStarted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A slot took a sample: one more request is in flight."""

    file: str


class RequestEnded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt ended: one request fewer is in flight. `n_tokens` is 0 where it brought no answer."""

    file: str
    n_tokens: int


class RetryScheduled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt failed with `kind`, or brought an empty answer (`empty`); another one follows."""

    file: str
    kind: str


class SampleRecorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A sample's record is on disk. `score` is None where the verifier failed (`failure` says how)."""

    file: str
    score: float | None
    failure: VerifierFailure | None
    output_len: int


class SampleFailed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A sample ended without an answer and is owed at the next resume."""

    file: str
    kind: str


class FileFinished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Every sample of the file ended."""

    file: str


class RunPaused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No new requests until the server or the model is back; `reason` says what is missing."""

    reason: str


class RunResumed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The pause is over after `paused_s` seconds."""

    paused_s: float


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The server refused a request because there are too many: it is sent again, and requests are paced.

    `per_s` is the rate that is kept to from here on, None where that is not known yet; `max_in_flight` the number of
    requests at once; `message` the server's words.
    """

    per_s: float | None
    max_in_flight: int
    message: str


class Draining(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A signal came: no new requests; those in flight get up to `grace_s` seconds."""

    grace_s: float


class Noted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something good to know, in one line."""

    message: str


class Warned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that is probably unintended, in one line."""

    message: str


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No request is in flight any more; the reports follow."""


Event = (
    RunStarted
    | RequestStarted
    | RequestEnded
    | RetryScheduled
    | SampleRecorded
    | SampleFailed
    | FileFinished
    | RunPaused
    | RunResumed
    | ServerLimits
    | Draining
    | Noted
    | Warned
    | RunEnded
)

Emit = Callable[[Event], None]
"""Takes an event and returns at once; never raises, never blocks. Only the thread of the event loop calls it."""
