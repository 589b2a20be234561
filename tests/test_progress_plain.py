"""The plain display, the quiet one, and which display a run gets."""

import io
import subprocess
import sys

import anyio
import anyio.lowlevel
import pytest

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
    Warned,
)
from bootcamp_cli.progress.display import Display, choose_display
from bootcamp_cli.progress.plain import PlainDisplay, status_line
from bootcamp_cli.progress.state import ProgressState

STARTED = RunStarted(
    run_dir="out",
    model_name="m\x1b",
    files=(
        FileTotal(name="a.jsonl", n_samples=2, n_done_before=1, score_sum_before=1.0, n_scored_before=1),
        FileTotal(name="b.jsonl", n_samples=1200, n_done_before=0),
    ),
    n_slots=4,
)
RECORDED = SampleRecorded(file="a.jsonl", score=0.0, failure=None, output_len=5)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def shown(state: ProgressState, display: Display, *events: Event) -> None:
    """Run the display's task and hand it these events."""

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(display.run)
                for event in (*events, RunEnded()):
                    state.handle(event)
                    display.handle(event)
                    await anyio.lowlevel.checkpoint()

    anyio.run(main)


def test_plain_lines() -> None:
    """Start, messages, warnings, pauses, interruption and each finished file have one line, and nothing else has."""
    stream, state = io.StringIO(), ProgressState(lambda: 0.0)
    shown(
        state,
        PlainDisplay(stream, state),
        STARTED,
        RequestStarted(file="a.jsonl"),
        RequestEnded(file="a.jsonl", n_tokens=5),
        RetryScheduled(file="a.jsonl", kind="http_500"),
        RECORDED,
        FileFinished(file="a.jsonl"),
        SampleFailed(file="b.jsonl", kind="timeout"),
        FileFinished(file="b.jsonl"),
        Warned(message="two\nlines"),
        Noted(message="back\x1b"),
        RunPaused(reason="connection refused"),
        RunResumed(paused_s=75.0),
        Draining(grace_s=10.0),
    )
    assert stream.getvalue().splitlines() == [
        r"evaluating m\x1b: 1,202 samples in 2 files, 1 of them already done",
        "a.jsonl: 2 of 2 done, mean score 0.500 (1 of 2 files finished)",
        "b.jsonl: 0 of 1,200 done, 1 failed, mean score - (2 of 2 files finished)",
        r"warning: two\nlines",
        r"back\x1b",
        "warning: paused, no new requests: connection refused",
        "continuing after a pause of 0:01:15",
        "interrupted: no new requests, those in flight get up to 10 s (again: stop at once)",
    ]


def test_a_stopped_run_leaves_its_pending_answers_undone() -> None:
    """An answer whose verdict is still to come is not counted as done, and its file is not finished."""
    state, stream = ProgressState(lambda: 0.0), io.StringIO()
    pending = SampleRecorded(file="a.jsonl", score=None, failure="pending", output_len=1)
    shown(state, PlainDisplay(stream, state), STARTED, pending, FileFinished(file="a.jsonl"))
    assert stream.getvalue().count("\n") == 1
    assert (state.totals.n_done, state.n_files_finished) == (1, 0)


def test_status_line() -> None:
    """The line that comes every 30 s has counts, rates, failures, mean score and times."""
    now = 0.0
    state = ProgressState(lambda: now)
    for event in (STARTED, RequestStarted(file="a.jsonl"), RetryScheduled(file="a.jsonl", kind="timeout")):
        state.handle(event)
    state.handle(RECORDED)
    state.handle(RequestEnded(file="a.jsonl", n_tokens=45_000))
    now = 30.0
    assert status_line(state) == (
        "2 of 1,202 samples done (0.1%), 2.0 samples/min, 1,500 tok/s, 0 in flight, 1 retry, 0 failed, "
        "mean score 0.500, elapsed 0:00:30, remaining -:--:--"
    )


def test_status_line_comes_every_30_seconds() -> None:
    """A status line comes when 30 s of the run's clock have passed, and not before."""
    now = 0.0
    stream = io.StringIO()
    state = ProgressState(lambda: now)
    display = PlainDisplay(stream, state)

    def see(event: Event) -> None:
        state.handle(event)
        display.handle(event)

    async def main() -> None:
        nonlocal now
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(display.run)
            await anyio.wait_all_tasks_blocked()
            see(STARTED)
            for now in (29.0, 31.0, 59.0, 62.0):
                see(Warned(message=f"at {now:g}"))
                with anyio.fail_after(10):
                    while f"at {now:g}\n" not in stream.getvalue():  # noqa: ASYNC110 - another thread writes
                        await anyio.sleep(0.001)
            see(RunEnded())

    anyio.run(main)
    assert [line.split(", elapsed")[1][:8] for line in stream.getvalue().splitlines() if "elapsed" in line] == [
        " 0:00:31",
        " 0:01:02",
    ]


def test_quiet_shows_warnings_only() -> None:
    """A quiet run shows warnings and pauses and nothing else, also in a terminal."""
    stream, state = Terminal(), ProgressState(lambda: 0.0)
    display = choose_display(state, stream=stream, quiet=True, env={"TERM": "xterm"})
    shown(
        state,
        display,
        STARTED,
        RECORDED,
        FileFinished(file="a.jsonl"),
        Warned(message="careful"),
        Noted(message="back"),
        RunPaused(reason="gone"),
    )
    assert stream.getvalue().splitlines() == ["warning: careful", "warning: paused, no new requests: gone"]


@pytest.mark.parametrize(
    ("stream", "env", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, "LiveDisplay"),
        (Terminal(), {"TERM": "dumb"}, "PlainDisplay"),
        (Terminal(), {}, "PlainDisplay"),
        (io.StringIO(), {"TERM": "xterm"}, "PlainDisplay"),
    ],
)
def test_live_bars_need_a_terminal(stream: io.StringIO, env: dict[str, str], kind: str) -> None:
    """Live bars come in a terminal that can move the cursor, plain lines everywhere else."""
    display = choose_display(ProgressState(lambda: 0.0), stream=stream, quiet=False, env=env)
    assert type(display).__name__ == kind


def test_plain_display_imports_no_rich() -> None:
    """Without a terminal rich is not even imported."""
    code = (
        "import sys; from bootcamp_cli.progress.display import choose_display;"
        "from bootcamp_cli.progress.state import ProgressState;"
        "choose_display(ProgressState(float), stream=sys.stderr, quiet=False, env={});"
        "import bootcamp_cli.progress.log; print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert done.stdout == "False\n"


def test_closed_pipe_does_not_stop_the_run() -> None:
    """A reader that went away takes no more lines, and that is all."""
    stream = io.StringIO()
    stream.close()
    state = ProgressState(lambda: 0.0)
    shown(state, PlainDisplay(stream, state), STARTED, Warned(message="careful"))


def test_lines_survive_cancellation() -> None:
    """What was to be shown is shown even where the run fails before its end."""
    stream = io.StringIO()
    display = PlainDisplay(stream, ProgressState(lambda: 0.0))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(display.run)
            await anyio.wait_all_tasks_blocked()
            display.handle(Warned(message="the lock is gone"))
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert stream.getvalue() == "warning: the lock is gone\n"
