"""The alarm of a run: samples are followed from endpoint to record, and an odd endpoint is warned about once."""

import random

from msgspec.structs import replace

from bootcamp_cli.engine.drift import DriftAlarm
from bootcamp_cli.engine.generate import Attempts
from bootcamp_cli.events import Event, Warned
from bootcamp_cli.types import Sample
from tests.test_store_journal import a_record


def an_attempt() -> Attempts:
    """A sample."""
    return Attempts(Sample(file="a.jsonl", row=0, id=0, data_source="Sudoku", prompt="?", ground_truth=None))


def test_an_odd_endpoint_is_warned_about_once() -> None:
    """Of two endpoints one loses 40 points: one warning names it with both scores and says what to look at."""
    told: list[Event] = []
    alarm, draw = DriftAlarm(told.append), random.Random(1)  # noqa: S311 - a simulation
    for _ in range(2000):
        attempts, is_odd = an_attempt(), draw.random() < 0.3
        alarm.sent(attempts, "http://odd/v1" if is_odd else "http://fine/v1")
        right = draw.random() < (0.4 if is_odd else 0.8)
        alarm.ended(attempts, replace(a_record(0), score=float(right), failure=None))
    [warning] = told
    assert isinstance(warning, Warned)
    assert warning.message.startswith(("endpoint http://odd/v1 differs: average", "endpoint http://fine/v1 differs"))
    assert "either may be the odd one" in warning.message
    assert warning.message.endswith("compare its model, weights, quantisation and chat template with theirs")


def test_a_sample_counts_where_it_was_answered() -> None:
    """One that is sent elsewhere, or fails, or has no token, holds back nobody."""
    alarm = DriftAlarm(lambda _: None)
    moved, lost, unwatched = an_attempt(), an_attempt(), an_attempt()
    alarm.sent(moved, "a")
    alarm.sent(lost, "a")
    alarm.sent(moved, "b")
    alarm.ended(moved, a_record(0))
    alarm.failed(lost)
    alarm.failed(lost)
    alarm.ended(unwatched, a_record(0))
    states = alarm._watch._endpoints
    assert {name: (state.n, len(state.waiting)) for name, state in states.items()} == {"a": (0, 0), "b": (1, 0)}
