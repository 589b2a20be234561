"""When answers came: counts by stretches of time, whatever the clock, the length of the run and what is in the file."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bootcamp_cli.errors import LockLostError
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.timeline import Stretch, Timeline, read_timeline
from bootcamp_cli.types import FailureRecord, Record


def a_record(tokens: int = 7, latency_s: float = 0.5) -> Record:
    """An answer."""
    return Record(
        id=0,
        prompt="",
        output="",
        output_len=tokens,
        ground_truth=None,
        score=1.0,
        extracted_output=None,
        data_source="Sudoku",
        row=0,
        finish_reason="stop",
        reasoning_content=None,
        usage=None,
        model=None,
        attempts=1,
        latency_s=latency_s,
    )


A_FAILURE = FailureRecord(file="a.jsonl", row=0, id=0, data_source="Sudoku", kind="timeout", last_error="", attempts=1)


def test_what_ends_is_counted_by_its_time(tmp_path: Path) -> None:
    """Answers, failures, tokens and latencies stand in the ten seconds in which they came, and survive a resume."""
    now = [1_000_003.0]
    timeline = Timeline(RunDir(tmp_path), no_check, clock=lambda: now[0])
    timeline.add([a_record(), a_record(5)], [])
    now[0] += 4
    timeline.add([a_record()], [A_FAILURE])
    now[0] += 100
    timeline.add([], [A_FAILURE])
    timeline.save()
    resumed = Timeline(RunDir(tmp_path), no_check, clock=lambda: now[0])
    resumed.add([a_record(1, 0.25)], [])
    resumed.save()
    assert read_timeline(RunDir(tmp_path)) == [
        Stretch(start=1_000_000, seconds=10, answers=3, failures=1, tokens=19, latency_s=1.5),
        Stretch(start=1_000_100, seconds=10, answers=1, failures=1, tokens=1, latency_s=0.25),
    ]


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=3000))
def test_however_long_a_run_takes_the_file_stays_small(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    """Nothing is lost where stretches are put together, however far apart answers come, also with a clock set back."""
    run_dir, now = RunDir(tmp_path_factory.mktemp("run")), [0.0]
    timeline = Timeline(run_dir, no_check, clock=lambda: now[0])
    for step in steps:
        now[0] = float(step)
        timeline.add([a_record()], [])
    timeline.save()
    found = read_timeline(run_dir)
    assert len(found) <= 1000
    assert sum(stretch.answers for stretch in found) == len(steps)
    assert [each.start for each in found] == sorted({each.start for each in found})
    assert len({each.seconds for each in found}) == 1
    assert all(each.start % each.seconds == 0 for each in found)


@given(st.binary(max_size=200))
@example(b'{"a":' * 50_000)
def test_what_cannot_be_read_is_left_out(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    """Whatever stands in the file, what is a stretch is read, and the rest is nothing."""
    run_dir = RunDir(tmp_path_factory.mktemp("run"))
    whole = msgspec.json.encode(Stretch(start=20, seconds=10, answers=2))
    run_dir.timeline.write_bytes(whole + b"\n" + rubbish)
    assert sum(stretch.answers for stretch in read_timeline(run_dir)) >= 2


def test_nobody_waits_for_a_pipe_in_the_place_of_the_file(tmp_path: Path) -> None:
    """What is no file has no stretches."""
    os.mkfifo(RunDir(tmp_path).timeline)
    assert read_timeline(RunDir(tmp_path)) == []


def test_nothing_is_written_by_who_lost_the_lock(tmp_path: Path) -> None:
    """The check of the lock comes before the file is replaced."""

    def lost() -> None:
        raise LockLostError("taken over")

    with pytest.raises(LockLostError):
        Timeline(RunDir(tmp_path), lost).add([a_record()], [])
    assert not RunDir(tmp_path).timeline.exists()
