"""Folding events into the state of a run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.events import (
    Draining,
    Event,
    FileFinished,
    FileTotal,
    RequestEnded,
    RequestStarted,
    RetryScheduled,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    SampleFailed,
    SampleRecorded,
    Warned,
)
from bootcamp_cli.progress.log import progress_text
from bootcamp_cli.progress.output import h_mm_ss, percent
from bootcamp_cli.progress.plain import status_line
from bootcamp_cli.progress.state import ProgressState, RateWindow


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Its time in seconds."""
        return self.now


def started(**sizes: int) -> RunStarted:
    """A run of files with these numbers of samples, none done before."""
    files = tuple(FileTotal(name=name, n_samples=n, n_done_before=0) for name, n in sizes.items())
    return RunStarted(run_dir="out", model_name="m", files=files, n_slots=4)


def recorded(file: str, score: float | None = 1.0) -> SampleRecorded:
    """A sample's record."""
    return SampleRecorded(file=file, score=score, failure=None, output_len=5)


def begun(clock: Clock, **sizes: int) -> ProgressState:
    """The state of such a run at its start."""
    state = ProgressState(clock)
    state.handle(started(**sizes))
    return state


names = st.sampled_from(["a", "b", "other"])
totals = st.builds(
    FileTotal,
    name=names,
    n_samples=st.integers(0, 5),
    n_done_before=st.integers(0, 6),
    score_sum_before=st.floats(0, 5),
    n_scored_before=st.integers(0, 5),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        RunStarted, run_dir=st.just(""), model_name=st.text(), files=st.tuples(totals, totals), n_slots=st.just(1)
    ),
    st.builds(RequestStarted, file=names),
    st.builds(RequestEnded, file=names, n_tokens=st.integers(0, 10**6)),
    st.builds(RetryScheduled, file=names, kind=st.text()),
    st.builds(SampleRecorded, file=names, score=st.none() | st.floats(0, 1), failure=st.none(), output_len=st.just(1)),
    st.builds(SampleFailed, file=names, kind=st.text()),
    st.builds(FileFinished, file=names),
    st.builds(RunPaused, reason=st.text()),
    st.builds(RunResumed, paused_s=st.floats(0, 60)),
    st.builds(Draining, grace_s=st.floats(0, 60)),
    st.builds(Warned, message=st.text()),
    st.just(RunEnded()),
)


@given(st.lists(st.tuples(events, st.sampled_from([0.0, 0.3, 10.0, 400.0])), max_size=60))
def test_counts_stay_consistent(steps: list[tuple[Event, float]]) -> None:
    """Whatever events come in whatever order, totals are the sums of the files and no count or time is absurd."""
    clock = Clock()
    state = ProgressState(clock)
    for event, seconds in steps:
        state.handle(event)
        clock.now += seconds
        files = state.files.values()
        for field in ("n_samples", "n_done", "n_failed", "n_in_flight", "n_scored", "n_left"):
            total = getattr(state.totals, field)
            assert total == sum(getattr(file, field) for file in files)
            assert total >= 0
        assert math.isclose(state.totals.score_sum, sum(file.score_sum for file in files), abs_tol=1e-9)
        assert 0 <= state.n_files_finished <= len(state.files)
        times = [state.elapsed_s(), state.remaining_s(), *(state.file_remaining_s(file) for file in files)]
        assert all(time is None or (0 <= time < math.inf) for time in times)
        assert state.samples_per_s() >= 0
        assert progress_text(state).count("\n") == 1 + len(state.files)
        assert status_line(state).isprintable()


def test_earlier_records_count() -> None:
    """A resumed run begins with the records that it has: their count, their mean score, their finished files."""
    state = ProgressState(Clock())
    files = (
        FileTotal(name="a", n_samples=4, n_done_before=4, score_sum_before=3.0, n_scored_before=4),
        FileTotal(name="b", n_samples=4, n_done_before=1, score_sum_before=0.0, n_scored_before=1),
    )
    state.handle(RunStarted(run_dir="", model_name="m", files=files, n_slots=1))
    assert (state.totals.n_done, state.totals.mean_score, state.n_files_finished) == (5, 0.6, 1)
    state.handle(recorded("b"))
    assert state.files["b"].mean_score == 0.5


def test_records_without_score_do_not_move_the_mean() -> None:
    """A verifier failure counts as done and leaves the mean score as it is."""
    state = begun(Clock(), a=3)
    state.handle(recorded("a", 1.0))
    state.handle(recorded("a", None))
    state.handle(SampleFailed(file="a", kind="timeout"))
    assert (state.totals.n_done, state.totals.n_failed, state.totals.mean_score) == (2, 1, 1.0)


def test_remaining_time_follows_the_rate() -> None:
    """The remaining time is unknown early, then what is left at the rate so far, and 0 at the end."""
    clock = Clock()
    state = begun(clock, a=100)
    assert state.remaining_s() is None
    for _ in range(10):
        clock.now += 2
        state.handle(recorded("a"))
    assert state.remaining_s() == pytest.approx(180)
    assert state.file_remaining_s(state.files["a"]) == pytest.approx(90 * 18 / 10)
    for _ in range(90):
        state.handle(recorded("a"))
    assert state.remaining_s() == 0


def test_remaining_time_of_slow_samples() -> None:
    """Samples that take longer than the window still give a remaining time: the mean of the whole run."""
    clock = Clock()
    state = begun(clock, a=30)
    for _ in range(25):
        clock.now += 1000
        state.handle(recorded("a"))
    clock.now += 1000
    assert state.remaining_s() == pytest.approx(5 * 26_000 / 25)


def test_pause_is_no_working_time() -> None:
    """During a pause the remaining time is unknown, and afterwards the pause does not slow the forecast."""
    clock = Clock()
    state = begun(clock, a=20)
    for _ in range(10):
        clock.now += 1
        state.handle(recorded("a"))
    state.handle(RunPaused(reason="connection refused"))
    state.handle(RunPaused(reason="still refused"))
    assert (state.paused_reason, state.remaining_s()) == ("still refused", None)
    clock.now += 500
    state.handle(RunResumed(paused_s=500))
    assert state.paused_reason is None
    assert state.remaining_s() == pytest.approx(10)
    assert state.elapsed_s() == 510


def test_times_stand_still_after_the_end() -> None:
    """After RunEnded the elapsed time no longer grows."""
    clock = Clock()
    state = begun(clock, a=1)
    clock.now += 5
    state.handle(RunEnded())
    clock.now += 5
    assert state.elapsed_s() == 5


def test_rate_window_forgets() -> None:
    """A rate counts the last window only, over at least a second, and is 0 when the window has passed."""
    window = RateWindow(10, now=0)
    window.add(5, now=0.1)
    assert window.per_s(now=0.2) == 5
    window.add(5, now=5)
    assert window.per_s(now=9) == pytest.approx(10 / 9)
    assert window.per_s(now=12) == 0.5
    assert window.per_s(now=100) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (3599, "0:59:59"), (360_000, "100:00:00"), (-1, "0:00:00"), (None, "-:--:--")],
)
def test_durations(seconds: float | None, text: str) -> None:
    """Durations are h:mm:ss with as many hours as it takes, never negative, dashes where unknown."""
    assert h_mm_ss(seconds) == text


def test_percent_is_cut() -> None:
    """100.0% stands for all and nothing less; no samples at all are all of them."""
    assert [percent(9999, 10_000), percent(1, 3), percent(3, 3), percent(0, 0)] == [
        "99.9%",
        "33.3%",
        "100.0%",
        "100.0%",
    ]
