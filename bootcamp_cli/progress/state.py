"""The state of a run, derived from its events: counts, rates over sliding windows, mean score, remaining time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bootcamp_cli.events import (
    Draining,
    Event,
    FileFinished,
    FileTotal,
    Noted,
    RequestEnded,
    RequestStarted,
    RetryScheduled,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    SampleFailed,
    SampleRecorded,
    ServerLimits,
    Warned,
)

_SHOWN_WINDOW_S = 60.0
_FORECAST_WINDOW_S = 300.0
_FORECAST_MIN_SAMPLES = 20
"""With fewer samples in the window, the mean of the whole run is the better forecast."""
_EARLY_SAMPLES = 5
"""Until this many samples have ended, the remaining time is unknown."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """Samples and how they ended. `score_sum` and `n_scored` are of the records that have a score."""

    n_samples: int = 0
    n_done: int = 0
    n_failed: int = 0
    n_scored: int = 0
    score_sum: float = 0.0
    n_in_flight: int = 0

    @property
    def n_left(self) -> int:
        """Samples that have not ended yet."""
        return self.n_samples - self.n_done - self.n_failed

    @property
    def mean_score(self) -> float | None:
        """The mean over all records with a score, or None before the first."""
        return self.score_sum / self.n_scored if self.n_scored else None


@dataclass(slots=True, kw_only=True)
class FileProgress(Counts):
    """One test file; `started_s` and `ended_s` are clock readings, None before that."""

    name: str
    started_s: float | None = None
    ended_s: float | None = None
    n_ended_now: int = 0
    has_pending: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether every sample has ended."""
        return self.ended_s is not None

    @property
    def is_in_work(self) -> bool:
        """Whether the first request was sent and samples are still owed."""
        return self.started_s is not None and self.ended_s is None


class ProgressState:
    """Sums up events; nothing else changes it. `clock` gives seconds and does not run backwards.

    `totals` is the sum over `files`, which holds the test files in name order; `started` holds those that have begun,
    in that order. `paused_reason` is None while the run is not paused, `limits` until the server limits requests.
    Events that name an unknown file, or exceed a file's number of samples, are not counted; nor are answers without a
    verdict that a stopped run leaves, which are still to be verified.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._ended_s: float | None = None
        self.limits: ServerLimits | None = None
        self._begin(())

    def handle(self, event: Event) -> None:  # noqa: PLR0912 - one case for each event
        """Take the next event."""
        match event:
            case RequestStarted():
                self._start_request(event.file)
            case RequestEnded():
                self._end_request(event.file, event.n_tokens)
            case SampleRecorded():
                self._end_sample(event.file, is_failed=False, score=event.score, is_pending=event.failure == "pending")
            case RunStarted():
                self._begin(event.files)
            case RetryScheduled():
                self.n_retries += 1
            case SampleFailed():
                self._end_sample(event.file, is_failed=True, score=None)
            case FileFinished():
                self._finish(event.file)
            case RunPaused():
                self._pause(event.reason)
            case RunResumed():
                self._resume()
            case ServerLimits():
                self.limits = event
            case Draining():
                self.is_draining = True
            case Noted() | Warned():
                pass
            case RunEnded():
                self._ended_s = self.clock()

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended, early or not."""
        return self._ended_s is not None

    def elapsed_s(self) -> float:
        """Seconds since the run started; the count stops when the run ends."""
        return max(0.0, self._now() - self._started_s)

    def samples_per_s(self) -> float:
        """Samples that ended, per second of the last minute."""
        return self._samples.per_s(now=self._now())

    def tokens_per_s(self) -> float:
        """Generated tokens of the requests that ended, per second of the last minute."""
        return self._tokens.per_s(now=self._now())

    def remaining_s(self) -> float | None:
        """Seconds until all samples have ended; None where that is unknown: early, paused, interrupted."""
        if self.totals.n_left == 0:
            return 0.0
        if self._n_ended_now < _EARLY_SAMPLES or self.paused_reason is not None or self.is_draining:
            return None
        rate = self._forecast.per_s(now=self._now())
        if self._forecast.total < _FORECAST_MIN_SAMPLES:
            rate = self._n_ended_now / max(1.0, self.elapsed_s() - self._paused_s)
        return self.totals.n_left / rate

    def file_elapsed_s(self, file: FileProgress) -> float:
        """Seconds from the file's first request to its last sample, or until now."""
        if file.started_s is None:
            return 0.0
        return max(0.0, (self._now() if file.ended_s is None else file.ended_s) - file.started_s)

    def file_remaining_s(self, file: FileProgress) -> float | None:
        """Seconds until the file's samples have ended, at its own rate so far and not beyond the end of the run."""
        if file.n_left == 0:
            return 0.0
        run_s = self.remaining_s()
        if run_s is None or not file.n_ended_now:
            return None
        return min(run_s, file.n_left * self.file_elapsed_s(file) / file.n_ended_now)

    def _now(self) -> float:
        return self.clock() if self._ended_s is None else self._ended_s

    def _begin(self, files: tuple[FileTotal, ...]) -> None:
        now = self.clock()
        self.files = {total.name: _resumed(total, now) for total in files}
        self.started: list[FileProgress] = []
        self.totals = Counts(
            n_samples=sum(file.n_samples for file in self.files.values()),
            n_done=sum(file.n_done for file in self.files.values()),
            n_scored=sum(file.n_scored for file in self.files.values()),
            score_sum=sum(file.score_sum for file in self.files.values()),
        )
        self.n_retries = 0
        self.n_files_finished = sum(file.is_finished for file in self.files.values())
        self.paused_reason: str | None = None
        self.limits = None
        self.is_draining = False
        self._n_ended_now = 0
        self._started_s = now
        self._ended_s = None
        self._paused_since = 0.0
        self._paused_s = 0.0
        self._restart_rates(now)

    def _restart_rates(self, now: float) -> None:
        self._samples = RateWindow(_SHOWN_WINDOW_S, now=now)
        self._tokens = RateWindow(_SHOWN_WINDOW_S, now=now)
        self._forecast = RateWindow(_FORECAST_WINDOW_S, now=now)

    def _start_request(self, name: str) -> None:
        file = self.files.get(name)
        if file is None:
            return
        self._mark_started(file)
        file.n_in_flight += 1
        self.totals.n_in_flight += 1

    def _end_request(self, name: str, n_tokens: int) -> None:
        file = self.files.get(name)
        if file is None:
            return
        if file.n_in_flight:
            file.n_in_flight -= 1
            self.totals.n_in_flight -= 1
        self._tokens.add(n_tokens, now=self._now())

    def _end_sample(self, name: str, *, is_failed: bool, score: float | None, is_pending: bool = False) -> None:
        file = self.files.get(name)
        if file is None or file.n_left == 0:
            return
        if is_pending:
            file.has_pending = True
            return
        self._mark_started(file)
        now = self._now()
        file.n_ended_now += 1
        self._n_ended_now += 1
        self._samples.add(1, now=now)
        self._forecast.add(1, now=now)
        for counts in (file, self.totals):
            counts.n_failed += is_failed
            counts.n_done += not is_failed
            if score is not None:
                counts.n_scored += 1
                counts.score_sum += score

    def _mark_started(self, file: FileProgress) -> None:
        if file.started_s is None:
            file.started_s = self._now()
            self.started.append(file)

    def _finish(self, name: str) -> None:
        file = self.files.get(name)
        if file is not None and not file.is_finished and not file.has_pending:
            file.ended_s = self._now()
            self.n_files_finished += 1

    def _pause(self, reason: str) -> None:
        if self.paused_reason is None:
            self._paused_since = self._now()
        self.paused_reason = reason

    def _resume(self) -> None:
        if self.paused_reason is not None:
            now = self._now()
            self._paused_s += now - self._paused_since
            self.paused_reason = None
            self._restart_rates(now)


def _resumed(total: FileTotal, now: float) -> FileProgress:
    n_done = min(total.n_done_before, total.n_samples)
    return FileProgress(
        name=total.name,
        n_samples=total.n_samples,
        n_done=n_done,
        n_scored=total.n_scored_before,
        score_sum=total.score_sum_before,
        ended_s=now if n_done == total.n_samples else None,
    )


class RateWindow:
    """Counts of the last `window_s` seconds, kept per second: its memory does not grow with the counts.

    Times are seconds of any clock that does not run backwards.
    """

    def __init__(self, window_s: float, *, now: float) -> None:
        self.total = 0
        self._window_s = window_s
        self._since = now
        self._seconds: deque[list[int]] = deque()
        """Each with its count."""

    def add(self, n: int, *, now: float) -> None:
        """Count `n` more."""
        second = int(now)
        self.total += n
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += n
        else:
            self._seconds.append([second, n])
            self._forget(now)

    def per_s(self, *, now: float) -> float:
        """The mean rate over the window, or over the time since the start where that is shorter (but at least 1 s)."""
        self._forget(now)
        return self.total / max(1.0, min(self._window_s, now - self._since))

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - self._window_s:
            self.total -= self._seconds.popleft()[1]
