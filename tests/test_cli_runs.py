"""`bootcamp runs`: what stands under an output directory, and how it is removed."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pexpect  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from rich.cells import cell_len

from bootcamp_cli import open_run
from bootcamp_cli.analysis import runs as runs_module
from bootcamp_cli.analysis.runs import RunEntry, list_runs
from bootcamp_cli.api import remove_run
from bootcamp_cli.errors import DiskError, RunLockedError
from bootcamp_cli.reports.forms import meta_lines
from bootcamp_cli.reports.runs import RUNS_FORMS, render_runs, size_text
from bootcamp_cli.store import removal
from bootcamp_cli.store.lock import STALE_S, Holder, acquire, boot_identity, live_holder
from tests.conftest import RunBootcamp
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_store_lock import ELSEWHERE, put_holder

SCORES = {"Maze": [[1.0], [0.0], [1.0], [1.0]], "Game24": [[0.0], [1.0]]}


def entry_of(path: Path) -> RunEntry:
    """The one entry of a run directory."""
    (entry,) = list_runs(path)
    return entry


def published(path: Path, **options: Any) -> Path:
    """A complete run with its reports."""
    run_dir = write_run(path, SCORES, **options)
    open_run(run_dir).write_reports()
    return run_dir


def without_details(path: Path) -> Path:
    """A run whose details cannot be read, so that whatever is known comes from elsewhere; as old as before."""
    for file in (path / "details").iterdir():
        times = file.stat()
        file.write_bytes(b"damaged\n")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return path


def test_a_complete_run_is_known_from_its_averages(tmp_path: Path) -> None:
    """Score, interval and counts are those of the report, without a look into the details."""
    run_dir = published(tmp_path / "run", ended="2026-01-01T00:00:00+00:00", started="2026-01-01T00:00:00+00:00")
    summary = open_run(run_dir).summary
    entry = entry_of(without_details(run_dir))
    assert (entry.state, entry.model_name, entry.problem) == ("complete", "demo", None)
    assert (entry.n_done, entry.n_samples, entry.avg_score) == (6, 6, summary.avg_score)
    assert summary.interval is not None
    assert entry.interval is not None
    assert (entry.interval.low, entry.interval.high) == pytest.approx((summary.interval.low, summary.interval.high))
    assert entry.size_bytes == sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file())


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=6), min_size=1, max_size=4))
def test_the_interval_from_the_averages_is_that_of_the_report(
    tmp_path_factory: pytest.TempPathFactory, scores: list[list[float]]
) -> None:
    """Whatever the scores, also outside 0 to 1, meta.jsonl tells the interval that the summary has."""
    questions = {f"t{at}": [[score] for score in row] for at, row in enumerate(scores)}
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "run", questions)
    summary = open_run(run_dir).summary
    (run_dir / "meta.jsonl").write_text(meta_lines(summary), encoding="utf-8")
    entry = entry_of(without_details(run_dir))
    assert entry.avg_score == pytest.approx(summary.avg_score)
    assert (entry.interval is None) == (summary.interval is None)
    if entry.interval is not None and summary.interval is not None:
        assert (entry.interval.low, entry.interval.high) == pytest.approx((summary.interval.low, summary.interval.high))


def test_details_that_are_newer_than_the_averages_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that went on since has the score of its details; of large ones only the lines are counted."""
    run_dir = write_run(tmp_path / "run", SCORES, complete=False, planned={"Maze": 10})
    (run_dir / "meta.jsonl").write_text('{"bootcamp": "Mazebootcamp", "avg_score": 0.9, "avg_len": 1.0}\n')
    os.utime(run_dir / "meta.jsonl", (0, 0))
    entry = entry_of(run_dir)
    assert (entry.state, entry.n_done, entry.n_samples, entry.avg_score) == ("interrupted", 6, 12, 0.625)
    monkeypatch.setattr(runs_module, "MAX_COUNTED_BYTES", 100)
    entry = entry_of(run_dir)
    assert (entry.n_done, entry.n_samples, entry.avg_score, entry.interval) == (6, 12, None, None)


def test_a_run_of_run_eval_is_listed_with_its_averages(tmp_path: Path) -> None:
    """It has a score without an interval, and how many samples it owes is not known."""
    write_run_of_run_eval(tmp_path / "theirs", SCORES, test_dir="/data/tests")
    entry = entry_of(tmp_path)
    assert (entry.state, entry.model_name, entry.test_dir) == ("foreign", "demo", "tests")
    assert (entry.n_done, entry.n_samples, entry.avg_score, entry.interval) == (6, None, 0.625, None)
    assert "run_eval.py" in render_runs([entry], tmp_path, "table")


@pytest.mark.parametrize(
    "name", ["manifest.json", "eval_args.json", "meta.jsonl", "failures.jsonl", "details/Maze.jsonl"]
)
def test_pipes_in_a_place_that_others_write_to_are_not_waited_for(tmp_path: Path, name: str) -> None:
    """A pipe instead of a file of a run directory is an entry like another, and the others are listed."""
    published(tmp_path / "fine")
    odd = published(tmp_path / "odd")
    (odd / name).unlink(missing_ok=True)
    os.mkfifo(odd / name)
    assert {entry.path.name for entry in list_runs(tmp_path)} == {"fine", "odd"}


def test_states(tmp_path: Path) -> None:
    """Interrupted, incomplete, complete and rescoring runs, those that are used, and what is left of a removal."""
    ended = "2026-01-01T00:00:00+00:00"
    cases: dict[str, dict[str, Any]] = {
        "interrupted": {"complete": False, "planned": {"Maze": 10}},
        "complete": {"complete": True},
        "incomplete": {"complete": False, "ended": ended},
        "rescoring": {"complete": True, "rescoring": True},
    }
    for name, manifest in cases.items():
        write_run(tmp_path / name, SCORES, **manifest)
    found = {entry.path.name: entry.state for entry in list_runs(tmp_path)}
    assert found == {
        "interrupted": "interrupted",
        "complete": "complete",
        "incomplete": "incomplete",
        "rescoring": "interrupted",
    }
    with acquire(tmp_path / "interrupted"), acquire(tmp_path / "complete"):
        entries = {entry.path.name: entry for entry in list_runs(tmp_path)}
        assert (entries["interrupted"].state, entries["complete"].state) == ("running", "in use")
        holder = entries["interrupted"].holder
        assert holder is not None
        assert holder.pid == os.getpid()
        assert f"running ({os.getpid()} on " in render_runs(list(entries.values()), tmp_path, "table")
    (tmp_path / "complete" / ".removing").touch()
    assert entry_of(tmp_path / "complete").state == "partly removed"


def test_who_holds_a_lock_is_seen_without_waiting(tmp_path: Path) -> None:
    """A dead process of this boot holds nothing, one elsewhere does while its file is young."""
    assert live_holder(tmp_path) is None
    file = put_holder(tmp_path, ELSEWHERE)
    written = file.stat().st_mtime
    assert live_holder(tmp_path, now=lambda: written + STALE_S - 1) == ELSEWHERE
    assert live_holder(tmp_path, now=lambda: written + STALE_S + 1) is None
    put_holder(tmp_path, replace(ELSEWHERE, released=True))
    assert live_holder(tmp_path) is None
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    put_holder(tmp_path, replace(ELSEWHERE, boot=boot_identity(), pid=int(done.stdout)))
    assert live_holder(tmp_path) is None
    file.write_text("nonsense")
    assert live_holder(tmp_path) is None


def test_what_cannot_be_read_is_a_line_and_no_failure(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Damaged manifests, parameters and details are named, other runs are shown, other directories passed over."""
    published(tmp_path / "good")
    (published(tmp_path / "manifest") / "manifest.json").write_bytes(b"{")
    (published(tmp_path / "args") / "eval_args.json").write_bytes(b"[]")
    details = published(tmp_path / "details")
    (details / "details" / "Maze.jsonl").write_bytes(b'{"id": 1}\n')
    (tmp_path / "photos" / "details").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    done = call_bootcamp("runs", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = {run["name"]: run for run in json.loads(done.stdout)["runs"]}
    assert {name: run["state"] for name, run in found.items()} == {
        "good": "complete",
        "manifest": "unreadable",
        "args": "unreadable",
        "details": "unreadable",
    }
    assert "not readable as JSON" in found["manifest"]["problem"]
    assert "Maze.jsonl" in found["details"]["problem"]
    assert "details: " in call_bootcamp("runs", tmp_path).stdout


def test_runs_are_listed_by_their_start(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """The newest stands first, whatever its name; by default those of the settings' output_dir are listed."""
    for name, started in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        published(tmp_path / "mine" / name, started=f"{started}T00:00:00+00:00")
    (tmp_path / "bootcamp.toml").write_text('output_dir = "mine"\n')
    for words in (("runs",), ("runs", "list"), ("runs", "mine"), ("runs", "list", "mine")):
        done = call_bootcamp(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == ["a", "b", "c"]
        assert done.stdout.splitlines()[-1].startswith("3 runs, ")


def test_every_form_has_every_run(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Table, Markdown, CSV, TSV and JSON name the runs; an unknown form is refused before anything is read."""
    published(tmp_path / "one")
    write_run_of_run_eval(tmp_path / "two", SCORES)
    for form in RUNS_FORMS:
        done = call_bootcamp("runs", tmp_path, "--format", form)
        assert (done.returncode, done.stderr) == (0, "")
        assert "one" in done.stdout
        assert "two" in done.stdout
    rows = list(csv.DictReader(io.StringIO(call_bootcamp("runs", tmp_path, "--format", "csv").stdout)))
    by_state = {row["state"]: row for row in rows}
    assert float(by_state["complete"]["low95"]) < float(by_state["complete"]["avg_score"]) == 0.625
    assert json.loads(call_bootcamp("runs", tmp_path, "--format", "json").stdout)["schema"] == "bootcamp.runs"
    done = call_bootcamp("runs", "nowhere", "--format", "xml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--format: must be one of table, markdown, csv, tsv, json" in done.stderr


def test_a_directory_that_is_not_there(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """One that was named is an error, the default one just has no runs yet."""
    done = call_bootcamp("runs", "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = call_bootcamp("runs")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no runs in ")


HOSTILE = ("=HYPERLINK(1)", "<script>", "\x1b[2J", "a|b", "\u202ex", "\ud800", "数" * 100)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", RUNS_FORMS)
def test_names_stay_text(name: str, form: str, tmp_path: Path) -> None:
    """No name of a directory, model, host or problem acts on terminal, Markdown or spreadsheet."""
    holder = Holder(host=name, boot="", pid=1, started="")
    run = RunEntry(
        path=Path(f"out/{name}"), state="running", model_name=name, test_dir=name, holder=holder, problem=name
    )
    text = render_runs([run], tmp_path, form)
    assert text.replace("\n", "").replace("\t", "").isprintable()
    if form == "markdown":
        assert "<" not in text.replace("\\<", "")
        assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1
    if form in ("csv", "tsv"):
        cells = list(csv.reader(io.StringIO(text), delimiter="," if form == "csv" else "\t"))[1]
        assert not [cell for cell in cells if cell.startswith("=")]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_keeps_to_its_width(width: int, tmp_path: Path) -> None:
    """In a narrow terminal columns are left out, then names cut; state, samples and score stay."""
    run = RunEntry(path=tmp_path / ("r1_32B_" * 9), state="complete", n_done=6, n_samples=12, avg_score=0.5)
    head, row, *_ = render_runs([run], tmp_path, "table", width=width).splitlines()
    assert max(map(cell_len, (head, row))) <= width
    assert {"run", "state", "done", "score"} <= set(head.split())


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (123_456_789, "123 MB"), (5 * 10**15, "5,000 TB")],
)
def test_sizes_are_shown_as_people_write_them(n_bytes: int, shown: str) -> None:
    """Three digits and a unit."""
    assert size_text(n_bytes) == shown


# Removal


def test_a_removed_run_is_gone_and_nothing_else(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """With --yes the named directories are removed whole; their neighbours, and what links lead to, stay."""
    gone, stays, elsewhere = published(tmp_path / "gone"), published(tmp_path / "stays"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (gone / "details" / "link").symlink_to(elsewhere)
    (gone / "link").symlink_to(elsewhere)
    (gone / "redone").symlink_to(stays / "details")
    done = call_bootcamp("runs", "rm", gone, "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"removed {gone} (complete, 6/6 samples")
    assert not gone.exists()
    assert (elsewhere / "precious").exists()
    assert open_run(stays).summary.n_scored == 6
    assert json.loads(call_bootcamp("runs", "rm", stays, "--yes", "--json").stdout) == {"removed": [str(stays)]}


@pytest.mark.parametrize("below", ["", "details/.."])
def test_a_run_is_removed_by_any_name_that_it_has(below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` and `details/..` are the run directory as well, and all of it goes."""
    run_dir = published(tmp_path / "run")
    monkeypatch.chdir(run_dir)
    remove_run(Path(below))
    assert not run_dir.exists()


def test_a_live_run_is_not_removed(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """What a process holds stays as it is, and so does whatever else was named."""
    held, other = published(tmp_path / "held"), published(tmp_path / "other")
    with acquire(held):
        done = call_bootcamp("runs", "rm", "--yes", other, held)
        assert done.returncode == 1
        assert f"is in use by process {os.getpid()}" in done.stderr
        with pytest.raises(RunLockedError):
            remove_run(held)
    assert {entry.path.name: entry.state for entry in list_runs(tmp_path)} == {"held": "complete", "other": "complete"}


def test_only_run_directories_are_removed(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Other directories, files, links to runs and what is not there are refused; nothing is touched."""
    run_dir = published(tmp_path / "out" / "run")
    (tmp_path / "photos" / "details").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(run_dir)
    for name, code, why in (
        ("photos", 2, "is not a run directory"),
        ("out", 2, "is not a run directory"),
        ("file", 2, "a file, not a run directory"),
        ("link", 2, "a symbolic link, which is not followed"),
        ("link/", 2, "a symbolic link, which is not followed"),
        ("nowhere", 1, "No such file or directory"),
    ):
        done = call_bootcamp("runs", "rm", "--yes", run_dir, name)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), name
        assert why in done.stderr
    assert (tmp_path / "photos" / "details").exists()
    assert open_run(run_dir).summary.n_scored == 6


@pytest.mark.parametrize("at", range(1, 7))
def test_what_is_left_of_a_removal_can_be_removed(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before any of its steps, a removal leaves no run that could go on, and can be done again."""
    run_dir = published(tmp_path / "run")
    n_calls = 0
    remove: Callable[[Path], None] = removal._remove

    def cut_off(path: Path) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == at:
            raise OSError(5, "Input/output error", str(path))
        remove(path)

    monkeypatch.setattr(removal, "_remove", cut_off)
    with pytest.raises(DiskError, match=r"cannot remove .*: Input/output error; .*`bootcamp runs rm` again"):
        remove_run(run_dir)
    assert entry_of(run_dir).state == "partly removed"
    assert at == 1 or not (run_dir / "manifest.json").exists()
    monkeypatch.undo()
    remove_run(run_dir)
    assert not run_dir.exists()


def test_without_a_terminal_nothing_is_asked_and_nothing_removed(tmp_path: Path, run_bootcamp: RunBootcamp) -> None:
    """Where there is nobody to ask, the command ends with exit code 2 and names --yes."""
    run_dir = published(tmp_path / "run")
    done = run_bootcamp("runs", "rm", run_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert entry_of(run_dir).state == "complete"


@pytest.mark.parametrize("answer", ["y", "YES", "", "no"])
def test_in_a_terminal_it_asks_first(answer: str, tmp_path: Path, clean_environment: dict[str, str]) -> None:
    """It shows what would go, foreign files too, and takes only a yes for one."""
    run_dir = published(tmp_path / "run")
    (run_dir / "notes.txt").touch()
    command = ["-m", "bootcamp_cli", "runs", "rm", "run"]
    child = pexpect.spawn(sys.executable, command, env=clean_environment, cwd=tmp_path, encoding="utf-8", timeout=30)
    child.expect(r"run \(complete, 6/6 samples.*also holds notes\.txt")
    child.expect(r"remove this run directory\? \[y/N\] ")
    child.sendline(answer)
    is_removed = answer in ("y", "YES")
    child.expect("removed run" if is_removed else "nothing was removed")
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, run_dir.exists()) == (0, not is_removed)


def test_the_end_of_input_is_no_yes(tmp_path: Path, clean_environment: dict[str, str]) -> None:
    """Ctrl-D at the question removes nothing."""
    run_dir = published(tmp_path / "run")
    command = ["-m", "bootcamp_cli", "runs", "rm", "run"]
    child = pexpect.spawn(sys.executable, command, env=clean_environment, cwd=tmp_path, encoding="utf-8", timeout=30)
    child.expect(r"\[y/N\] ")
    child.sendeof()
    child.expect("nothing was removed")
    child.expect(pexpect.EOF)
    child.close()
    assert run_dir.exists()


def test_an_audit_gets_its_sheet(tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """`report --audit` puts the causes into the workbook, and a report without it the word that there are none."""
    run_dir = write_run(tmp_path / "run", SCORES)
    for words, cause in ((("--audit",), "Cause"), ((), "not audited")):
        assert call_bootcamp("report", run_dir, *words).returncode == 0
        sheet = load_workbook(run_dir / "demo_scores.xlsx")["Audit"]
        texts = [cell for row in sheet.iter_rows(values_only=True) for cell in row if isinstance(cell, str)]
        assert any(text.startswith(cause) for text in texts)


def test_the_workbook_names_tool_and_server(tmp_path: Path) -> None:
    """The first parameters are the version that made the run and the address, without secrets and passing ports."""
    run_dir = write_run(tmp_path / "run", SCORES)
    args = {"model_name": "demo", "url": "http://user:secret@127.0.0.1:8000/v1"}
    (run_dir / "eval_args.json").write_bytes(msgspec.json.encode(args))
    open_run(run_dir).write_reports()
    rows = list(load_workbook(run_dir / "demo_scores.xlsx")["Parameters"].iter_rows(values_only=True))
    assert rows[1:3] == [("tool", "bootcamp 0.1.0"), ("url", "http://127.0.0.1:*/v1")]
