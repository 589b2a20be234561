"""Samples that are asked for again: which, what becomes of their records, and of the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import open_run
from bootcamp_cli.engine.redo import parse_selection
from bootcamp_cli.errors import DiskError, UsageError
from bootcamp_cli.store.journal import Journal
from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer, WriteRows

CHAT = ("--api-mode", "chat_completion")
ANSWERS = {0: "fine", 1: "so [[3]]", 2: "", 3: "[[9]]"}


@pytest.fixture
def test_dir(write_rows: WriteRows, tmp_path: Path) -> Path:
    """Four questions whose answers are a long text, a right one, nothing, and a wrong one."""
    truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
    rows = [
        {"data_source": "KorPuzzleWordLadder", "prompt": f"question {n}", "ground_truth": truth, "answer": text}
        for n, text in ANSWERS.items()
    ]
    rows[0]["answer"] = " ".join(["step"] * 60) + " [[3]]"
    write_rows(tmp_path / "rows" / "a.jsonl", rows)
    return tmp_path / "rows"


@pytest.fixture
def server(fault_server: StartFaultServer, test_dir: Path) -> FaultServerProcess:
    """A server that answers them, with nothing around the texts."""
    return fault_server(test_dir=test_dir, reasoning_parser=True)


@pytest.fixture
def run_dir(server: FaultServerProcess, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path) -> Path:
    """A run of at most 40 tokens per answer: the first one is cut off."""
    done = call_bootcamp(
        *("eval", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, "--max-tokens", "40"),
        *CHAT,
    )
    assert done.returncode == 0, done.stderr
    [made] = (tmp_path / "output").iterdir()
    return made


def records(run_dir: Path, folder: str = "details") -> list[dict[str, Any]]:
    """The records of the test file."""
    return [json.loads(line) for line in (run_dir / folder / "a.jsonl").read_text("utf-8").splitlines()]


def told_apart(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what tells how its answer came."""
    return {key: value for key, value in record.items() if key not in ("latency_s", "attempts")}


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["truncated"], [0]),
        (["empty"], [2]),
        (["truncated", "empty"], [0, 2]),
        (["a:3"], [3]),
        (["a.jsonl:3:0", "a:1"], [1, 3]),
        (["filtered"], []),
        (["unscored"], []),
        (["failed"], []),
    ],
)
def test_chosen_records_are_set_aside_and_asked_for_again(
    words: list[str], rows: list[int], run_dir: Path, server: FaultServerProcess, call_bootcamp: RunBootcamp
) -> None:
    """The chosen samples are requested once more, their records stand in `redone`, all others stay as they are."""
    before, n_before = records(run_dir), server.stats()["received"]
    done = call_bootcamp("resume", run_dir, *(part for word in words for part in ("--redo", word)))
    assert done.returncode == 0, done.stderr
    n_empty = rows.count(2)  # an empty answer is asked for once more
    assert server.stats()["received"] - n_before == len(rows) + n_empty
    after = records(run_dir)
    assert [record["row"] for record in after] == [0, 1, 2, 3]
    assert [record for record in after if record["row"] not in rows] == [r for r in before if r["row"] not in rows]
    assert list(map(told_apart, after)) == list(map(told_apart, before)), "the server answers the same"
    assert (run_dir / "redone").exists() == bool(rows)
    if rows:
        assert records(run_dir, "redone") == [record for record in before if record["row"] in rows]
        again = call_bootcamp("resume", run_dir, "--redo", words[0])
        assert again.returncode == 0
        assert len(records(run_dir, "redone")) > len(rows), "nothing that was set aside is ever deleted"


def test_a_run_whose_records_are_set_aside_is_unfinished(
    run_dir: Path,
    server: FaultServerProcess,
    call_bootcamp: RunBootcamp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where setting aside breaks off half-way, nothing is lost, and a bare `resume` finds the run and completes it."""
    shutil.copy(run_dir / "details" / "a.jsonl", tmp_path / "before.jsonl")

    def breaking_off(*_: Any) -> None:
        raise DiskError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "set_aside", breaking_off)
        with pytest.raises(DiskError):
            open_run(run_dir).resume(redo="empty")
    assert (run_dir / "details" / "a.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    assert call_bootcamp("resume").returncode == 0
    assert call_bootcamp("resume").returncode == 1, "it is finished"


def test_an_answer_without_a_verdict_is_set_aside_as_well(run_dir: Path, call_bootcamp: RunBootcamp) -> None:
    """An answer that waits for its verdict counts among what is set aside."""
    details = run_dir / "details" / "a.jsonl"
    lines = [json.loads(line) for line in details.read_text("utf-8").splitlines()]
    lines[2] |= {"score": None, "failure": "pending"}
    details.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    done = call_bootcamp("resume", run_dir, "--redo", "empty")
    assert (done.returncode, "1 record set aside" in done.stderr) == (0, True), done.stderr


def test_directories_that_claim_to_redo_each_other_are_shown(run_dir: Path, call_bootcamp: RunBootcamp) -> None:
    """A run directory that names itself as what it redoes ends no report."""
    long = run_dir.with_name(f"{'r' * 220}_redo_x")
    run_dir.rename(long)
    manifest = json.loads((long / "manifest.json").read_text())
    counts = {"a.jsonl": {"KorPuzzleWordLadder": {"n": 4, "n_questions": 4}}}
    samples = {"a.jsonl": [[row, 0] for row in range(4)]}
    redo = {"run": long.name, "selection": ["empty"], "samples": samples, "data_sources": counts}
    (long / "manifest.json").write_text(json.dumps(manifest | {"redo_of": redo}))
    done = call_bootcamp("report", long)
    assert done.returncode == 0, done.stderr


def test_longer_answers_get_a_run_of_their_own(
    run_dir: Path, server: FaultServerProcess, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """With a larger max_tokens the run stays as it is; the redone samples, no others, get a directory beside it."""
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file() and ".lock" not in path.parts}
    n_before = server.stats()["received"]
    done = call_bootcamp("resume", run_dir, "--redo", "truncated", "--max-tokens", "400", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["n"], report["avg_score"], report["redo_of"]) == (1, 1.0, run_dir.name)
    assert server.stats()["received"] - n_before == 1
    assert before == {path: path.read_bytes() for path in before}
    [redone] = [path for path in (tmp_path / "output").iterdir() if path != run_dir]
    assert [record["row"] for record in records(redone)] == [0]
    manifest = json.loads((redone / "manifest.json").read_text())
    assert manifest["redo_of"]["run"] == run_dir.name
    assert manifest["redo_of"]["samples"] == {"a.jsonl": [[0, 0]]}
    shown = call_bootcamp("report", run_dir)
    assert f"redone with max_tokens 400 in {redone.name}: 1 sample (truncated), average score 1.0000" in shown.stdout
    [entry] = json.loads(call_bootcamp("report", run_dir, "--json").stdout)["redone"]
    assert (entry["run_dir"], entry["n"], entry["score"], entry["n_truncated"]) == (redone.name, 1, 1.0, 0)
    assert f"redoing 1 sample (truncated) of {run_dir} in a run directory of their own" in done.stderr
    shown = call_bootcamp("report", redone)
    assert f"only what is redone from {run_dir.name}: 1 sample of 1 question" in shown.stdout


def test_a_run_of_redone_samples_is_resumed_as_such(
    run_dir: Path, fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """What it owes are its own samples; no other `eval --resume` takes it for its run; it asks for no more repeats."""
    failing = fault_server(test_dir=test_dir, faults=["400"])
    options = ("--redo", "truncated", "--redo", "empty", "--max-tokens", "400", "--keep-going")
    assert call_bootcamp("resume", run_dir, *options, "--url", failing.url).returncode == 3
    [redone] = [path for path in (tmp_path / "output").iterdir() if path != run_dir]
    assert open_run(redone).summary.n_failed == 2
    server = fault_server(test_dir=test_dir)
    done = call_bootcamp("resume", redone, "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert [record["row"] for record in records(redone)] == [0, 2]
    assert server.stats()["received"] == 3  # the empty answer is empty again, so it is asked for once more
    refused = call_bootcamp("resume", redone, "--repeats", "2")
    assert (refused.returncode, "only redoes samples" in refused.stderr) == (2, True)
    words = ("eval", "--resume", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, *CHAT)
    assert call_bootcamp(*words, "--max-tokens", "400").returncode == 0
    assert len(list((tmp_path / "output").iterdir())) == 3


def test_failed_samples_are_asked_for_with_more_tokens(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Samples without an answer are chosen by `failed`, by their name, and by nothing else."""
    failing = fault_server(test_dir=test_dir, faults=["400:sample=3"])
    options = ("--model-name", "demo", "--test-dir", test_dir, "--max-tokens", "40")
    assert call_bootcamp("eval", "--url", failing.url, *options).returncode == 3
    [run_dir] = (tmp_path / "output").iterdir()
    server = fault_server(test_dir=test_dir)
    for word in ("failed", "a:3"):
        done = call_bootcamp("resume", run_dir, "--redo", word, "--max-tokens", "50", "--url", server.url, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n"] == 1
    nothing = call_bootcamp("resume", run_dir, "--redo", "filtered", "--max-tokens", "50", "--url", server.url)
    assert (nothing.returncode, "no sample is filtered" in nothing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--redo", "wrong"), "--redo: must be one of failed, truncated, empty, filtered, unscored, or FILE:ROW"),
        (("--redo", "a:17"), "--redo: the run has no sample a.jsonl:17"),
        (("--redo", "a:1:1"), "--redo: the run has no sample a.jsonl:1:1"),
        (("--redo", "truncated", "--max-tokens", "30"), "--max-tokens: 30 is less than the run's 40"),
        (
            ("--redo", "truncated", "--max-tokens", "400", "--repeats", "2"),
            "fewer than 2, and only what it",
        ),
        (("--redo", "truncated", "--temperature", "1"), "--temperature: the run has 0.0, not 1.0"),
        (("--max-tokens", "400"), "--max-tokens: the run has 40, not 400"),
    ],
)
def test_what_cannot_be_redone_changes_nothing(
    options: tuple[str, ...], said: str, run_dir: Path, call_bootcamp: RunBootcamp
) -> None:
    """A word that names nothing, and what would change other answers, are refused in one line; the run stays whole."""
    before = records(run_dir)
    done = call_bootcamp("resume", run_dir, *options)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert records(run_dir) == before
    assert not (run_dir / "redone").exists()


def test_a_name_may_hold_colons() -> None:
    """Row and repeat are the last numbers of a word, whatever stands before them."""
    assert parse_selection(["a:b:1"]).named == {("a:b.jsonl", 1, None)}
    assert parse_selection(["x.jsonl:1:2"]).named == {("x.jsonl", 1, 2)}
    for word in ("", ":1", "a", "a:", "a:-1", "a:1:", "a:\u0661"):
        with pytest.raises(UsageError):
            parse_selection([word])
