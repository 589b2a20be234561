"""Runs against servers that refuse some samples, or all of them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.fault_runs import json_lines
from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer, WriteRows
from tests.test_eval_run_directory import records, run_dir_of

TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
N_LONG, N_SHORT = 40, 60
MODES = ("completion", "chat_completion")


def word_ladder(prompt: str) -> dict[str, Any]:
    """A row with this prompt."""
    return {"data_source": "KorPuzzleWordLadder", "prompt": prompt, "ground_truth": TRUTH}


@pytest.fixture
def long_first(write_rows: WriteRows, tmp_path: Path) -> Path:
    """A test dir whose first rows, more than stop a run that is refused alike, have prompts that are too long."""
    rows = [word_ladder(f"{n} " + "long " * 3000) for n in range(N_LONG)]
    rows += [word_ladder(f"{n} short") for n in range(N_SHORT)]
    return write_rows(tmp_path / "tests" / "ladder.jsonl", rows).parent


def command(server: FaultServerProcess, test_dir: Path, *more: str) -> tuple[str, ...]:
    """The command line of an evaluation with eight slots."""
    words = ("eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(test_dir), "--output-dir", "out")
    return (*words, "--max-concurrent-requests", "8", "--max-tokens", "100", *more)


def failures(run_dir: Path) -> Counter[str]:
    """The kinds of the failures of a run directory."""
    return Counter(line["kind"] for line in json_lines(run_dir / "failures.jsonl"))


def n_records(run_dir: Path) -> int:
    """The number of records of a run directory."""
    return sum(map(len, records(run_dir).values()))


def n_sent(server: FaultServerProcess, mode: str = "completion") -> int:
    """How many completions the server was asked for."""
    n: int = server.stats()["by_path"].get("/v1/completions" if mode == "completion" else "/v1/chat/completions", 0)
    return n


@pytest.mark.parametrize("mode", MODES)
def test_prompts_that_are_too_long_do_not_stop_the_others(
    mode: str, fault_server: StartFaultServer, call_bootcamp: RunBootcamp, long_first: Path, tmp_path: Path
) -> None:
    """However many of the first rows are refused alike, the others are answered, at once and at every resume."""
    server = fault_server(test_dir=long_first, max_model_len=1000)
    done = call_bootcamp(*command(server, long_first, "--api-mode", mode))
    assert done.returncode == 3, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    assert failures(run_dir) == {"http_400": N_LONG}
    assert n_records(run_dir) == N_SHORT
    assert n_sent(server, mode) == N_LONG + N_SHORT + 1
    assert "but a short neutral one was answered: the run continues: HTTP 400" in done.stderr
    done = call_bootcamp("resume", str(run_dir))
    assert done.returncode == 3, done.stderr
    assert n_sent(server, mode) == 2 * (N_LONG + 1) + N_SHORT


def test_a_run_that_was_stopped_for_refusals_goes_on_when_resumed(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, long_first: Path, tmp_path: Path
) -> None:
    """A run without any answer, stopped by a server that refused everything, is completed as far as it can be."""
    refusing = fault_server(test_dir=long_first, faults=["400"])
    done = call_bootcamp(*command(refusing, long_first))
    assert done.returncode == 4
    assert n_sent(refusing) == 33
    run_dir = run_dir_of(tmp_path / "out")
    assert f"`bootcamp resume {run_dir}`" in done.stderr
    server = fault_server(test_dir=long_first, max_model_len=1000)
    done = call_bootcamp("resume", str(run_dir), "--url", server.url)
    assert done.returncode == 3, done.stderr
    assert (failures(run_dir), n_records(run_dir)) == ({"http_400": N_LONG}, N_SHORT)


def test_a_resume_whose_every_sample_is_refused_ends_by_what_a_neutral_request_gets(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, long_first: Path, tmp_path: Path
) -> None:
    """Where only refused rows are owed, the resume reports; where nothing is accepted any more, it stops."""
    server = fault_server(test_dir=long_first, max_model_len=1000)
    few = ("--limit", str(N_LONG + 2))
    assert call_bootcamp(*command(server, long_first, *few)).returncode == 3
    run_dir = run_dir_of(tmp_path / "out")
    for faults, flags, code in (((), (), 3), (("400",), (), 4), (("400",), ("--keep-going",), 3)):
        again = fault_server(test_dir=long_first, max_model_len=1000, faults=faults)
        done = call_bootcamp("resume", str(run_dir), "--url", again.url, *flags)
        assert done.returncode == code, done.stderr
        assert n_records(run_dir) == 2


def test_keep_going_sends_every_sample(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, long_first: Path, tmp_path: Path
) -> None:
    """With --keep-going a server that refuses everything stops nothing, and no other request is sent."""
    server = fault_server(test_dir=long_first, faults=["422"])
    done = call_bootcamp(*command(server, long_first, "--keep-going"))
    assert done.returncode == 3, done.stderr
    assert failures(run_dir_of(tmp_path / "out")) == {"http_422": N_LONG + N_SHORT}
    assert n_sent(server) == N_LONG + N_SHORT


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_a_gateway_forbids_fails_alone(
    mode: str, fault_server: StartFaultServer, call_bootcamp: RunBootcamp, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A 403 to one prompt is that sample's failure; so it is at a resume where only this sample is owed."""
    server = fault_server(test_dir=demo_test_dir, faults=["403:sample=5"])
    done = call_bootcamp(*command(server, demo_test_dir, "--api-mode", mode))
    assert done.returncode == 3, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    assert (failures(run_dir), n_records(run_dir)) == ({"http_403": 1}, 111)
    assert n_sent(server, mode) == 113
    assert "a request was forbidden, but a short neutral one was answered: the run continues: HTTP 403" in done.stderr
    for _ in range(2):
        done = call_bootcamp("resume", str(run_dir))
        assert done.returncode == 3, done.stderr
    assert n_sent(server, mode) == 113 + 2 * 2
    assert failures(run_dir) == {"http_403": 1}


def test_a_key_that_is_forbidden_everything_stops_the_run(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, demo_test_dir: Path, tmp_path: Path
) -> None:
    """Where a neutral request gets 403 as well, the run stops as for 401, no sample fails, and resume completes it."""
    server = fault_server(test_dir=demo_test_dir, faults=["403:after=20"])
    done = call_bootcamp(*command(server, demo_test_dir))
    assert done.returncode == 4
    assert "a request was forbidden, and so was a short neutral one: HTTP 403" in done.stderr.splitlines()[-1]
    run_dir = run_dir_of(tmp_path / "out")
    assert 20 - 8 <= n_records(run_dir) <= 20, "answers that were on their way are given up"
    assert failures(run_dir) == {}
    assert n_sent(server) <= 20 + 8 + 1
    assert server.stats()["max_in_flight"] <= 8
    healthy = fault_server(test_dir=demo_test_dir)
    assert call_bootcamp("resume", str(run_dir), "--url", healthy.url).returncode == 0


def test_a_moderated_test_dir_asks_once_for_as_many_as_slots(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, long_first: Path, tmp_path: Path
) -> None:
    """Where a gateway forbids every prompt of a test dir, all fail by themselves, at a few neutral requests."""
    faults = [f"403:sample={n}" for n in range(N_LONG + N_SHORT)]
    server = fault_server(test_dir=long_first, faults=faults)
    done = call_bootcamp(*command(server, long_first))
    assert done.returncode == 3, done.stderr
    assert failures(run_dir_of(tmp_path / "out")) == {"http_403": N_LONG + N_SHORT}
    assert N_LONG + N_SHORT + 3 <= n_sent(server) <= N_LONG + N_SHORT + 4
