"""Shards: which questions each takes, who continues it, and the run that `bootcamp merge` makes of them all."""

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli import BootcampError, Settings, compare, merge, open_run
from bootcamp_cli.dataset.draw import Draw
from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.demo.instances import make_test_dir
from bootcamp_cli.errors import RunLockedError, SettingsError, disk_error
from bootcamp_cli.settings.array_job import array_shard
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.timeline import read_timeline
from bootcamp_cli.types import Shard, parse_shard
from tests.chaos.runs import TOLD_APART, records_of
from tests.conftest import FaultServerProcess, RunBootcamp, StartBootcamp, StartFaultServer
from tests.test_eval_interrupted import wait_for_records
from tests.test_eval_time_limit import executable, readme_script

N = 8
Change = Callable[[dict[str, Any]], None]

# Which questions


@given(st.text(min_size=1), st.integers(1, 500), st.integers(0, 10_000))
def test_a_row_belongs_to_one_shard(file: str, count: int, row: int) -> None:
    """Every row is in exactly one shard, that which the documented formula gives."""
    digest = hashlib.sha256(file.encode("utf-8", "surrogatepass")).digest()
    owner = 1 + (row + int.from_bytes(digest[:8], "big")) % count
    assert [number for number in range(1, count + 1) if row in Shard(number, count).rows(file)] == [owner]


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_shard_is_read_as_it_is_written(number: int, count: int) -> None:
    """`str` and `parse_shard` are inverse; a number beyond the count is no shard."""
    if number <= count:
        assert parse_shard(str(Shard(number, count))) == Shard(number, count)
    else:
        with pytest.raises(ValueError, match="/"):
            parse_shard(f"{number}/{count}")


def test_a_compressed_file_is_shared_as_its_contents(tmp_path: Path) -> None:
    """`x.jsonl.gz` counts by the name of `x.jsonl`: packing a test file moves no question to another shard."""
    make_test_dir(tmp_path, rows=7)
    content = (tmp_path / "maze.jsonl").read_bytes()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "maze.jsonl.gz").write_bytes(gzip.compress(content))
    rows = []
    for path in (tmp_path / "maze.jsonl", tmp_path / "packed"):
        [file] = scan_test_dir(path, shard=Shard(2, 3)).files
        rows.append([sample.row for sample in iter_samples(file)])
    assert rows[0] == rows[1] == [row for row in range(7) if row in Shard(2, 3).rows("maze.jsonl")]


def test_a_shard_is_a_setting_like_others() -> None:
    """In Python a shard is given as text or as it is, shown as it was written, and refused where it is none."""

    def given_as(value: Any) -> Settings:
        return Settings(shard=value)

    assert given_as("2/8") == given_as(Shard(2, 8))
    assert "shard='2/8'" in repr(given_as("2/8"))
    assert given_as("auto").shard == "auto"
    for wrong in ("0/8", "9/8", "8", "1/2/3", "a/b", "1/1000000", ""):
        with pytest.raises(SettingsError, match="Settings: shard: must be I/N"):
            given_as(wrong)


def lines_of(test_dir: Path) -> Counter[str]:
    """How many rows each test file has."""
    return Counter({path.name: path.read_bytes().count(b"\n") for path in test_dir.iterdir()})


@pytest.mark.parametrize(
    "selection",
    [
        {},
        {"limit": 5},
        {"draw": Draw(n=5, seed=3)},
        {"include": ("Maze", "Cipher"), "limit": 7},
        {"skip_invalid": True},
    ],
)
def test_shards_share_what_is_selected(selection: Mapping[str, Any], tmp_path: Path) -> None:
    """After limit, draw and patterns each question is in one shard, and each shard counts what it takes."""
    make_test_dir(tmp_path / "tests", rows=9)
    mixed = b"".join(path.read_bytes() for path in sorted((tmp_path / "tests").iterdir()))
    bad = b"no row\n" if "skip_invalid" in selection else b""
    (tmp_path / "tests" / "mixed.jsonl").write_bytes(bad + mixed)
    whole = scan_test_dir(tmp_path / "tests", **selection)
    found: Counter[tuple[str, int]] = Counter()
    for number in range(1, 5):
        part = scan_test_dir(tmp_path / "tests", shard=Shard(number, 4), **selection)
        assert [(file.name, file.digest, file.n_rows, file.data_sources) for file in part.files] == [
            (file.name, file.digest, file.n_rows, file.data_sources) for file in whole.files
        ]
        for file in part.files:
            samples = list(iter_samples(file))
            assert dict(file.taken) == Counter(sample.data_source for sample in samples)
            found.update((sample.file, sample.row) for sample in samples)
    assert found == Counter((sample.file, sample.row) for file in whole.files for sample in iter_samples(file))


# The array job


def slurm(index: int | str, first: int | str, last: int, count: int) -> dict[str, str]:
    """The variables of a task of a Slurm array."""
    values = {"ID": index, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (slurm(1, 1, 8, 8), "1/8"),
        (slurm(8, 1, 8, 8), "8/8"),
        (slurm(0, 0, 7, 8), "1/8"),
        (slurm(7, 0, 7, 8), "8/8"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "3"}, "1/3"),
        ({"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"}, "3/3"),
    ],
)
def test_auto_is_the_index_of_the_array(env: dict[str, str], expected: str) -> None:
    """A complete array of Slurm, from 0 or from 1, and an Indexed Job of Kubernetes tell the shard."""
    assert str(array_shard(env)) == expected


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "this is no array job"),
        (slurm(3, 1, 15, 8), "the array has 8 indices from 1 to 15, so that some are missing"),
        (slurm(3, 3, 8, 6), "the array begins with 3, so that indices before it are missing"),
        (slurm("", 1, 8, 8), "SLURM_ARRAY_TASK_ID is not set"),
        (slurm(3, "x", 8, 8), "SLURM_ARRAY_TASK_MIN is 'x', not a number"),
        (slurm(9, 1, 8, 8), "number 9 of 8"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN is not set"),
        ({"JOB_COMPLETION_INDEX": "0"}, "set the variable JOB_COMPLETIONS in the pod template"),
        ({"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "3"}, "number 4 of 3"),
        ({**slurm(1, 1, 8, 8), "JOB_COMPLETION_INDEX": "0"}, "both SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX"),
    ],
)
def test_auto_is_refused_with_the_reason(env: dict[str, str], why: str) -> None:
    """Where nothing tells the shard, or an index is missing whose questions nobody would ask, auto is refused."""
    with pytest.raises(SettingsError, match=re.escape(why)) as caught:
        array_shard(env)
    assert str(caught.value).startswith("shard: auto is not possible: ")


# Evaluations


@pytest.fixture(scope="module")
def test_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows for each generator."""
    directory = tmp_path_factory.mktemp("data") / "tests"
    make_test_dir(directory, rows=3)
    return directory


@pytest.fixture
def server(fault_server: StartFaultServer, test_dir: Path) -> FaultServerProcess:
    """A server that answers every prompt, by prompt and seed alone."""
    return fault_server(test_dir=test_dir)


def words_for(server: FaultServerProcess, test_dir: Path, *options: str | Path) -> list[str | Path]:
    """`bootcamp eval` on the tests."""
    few = ("--quiet", "--verify-workers", "1", "--max-concurrent-requests", "4", "--output-dir", "shards")
    return ["eval", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, *few, *options]


def run_of(output: Path, shard: str | None) -> Path:
    """The run directory of a shard."""
    found = [path.parent for path in output.glob("*/eval_args.json") if json.loads(path.read_text())["shard"] == shard]
    [run_dir] = found
    return run_dir


def change_json(path: Path, change: Change) -> None:
    """Change a JSON file of a run directory as no run would."""
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")


def n_timed(run_dir: Path) -> int:
    """How many answers the timeline of a run counts."""
    return sum(stretch.answers for stretch in read_timeline(RunDir(run_dir)))


def test_eight_shards_are_one_run(
    server: FaultServerProcess,
    fault_server: StartFaultServer,
    test_dir: Path,
    call_bootcamp: RunBootcamp,
    start_bootcamp: StartBootcamp,
    tmp_path: Path,
) -> None:
    """Eight shards, one killed and resumed, merge into what one process makes but for how the answers came."""
    options = ("--repeats", "2", "--seed", "5", "--temperature", "0.7")
    slow = fault_server(test_dir=test_dir, latency=0.3, latency_shape="fixed")
    killed = start_bootcamp(*words_for(slow, test_dir, *options, "--shard", f"4/{N}", "--max-concurrent-requests", "2"))
    wait_for_records(tmp_path / "shards", 2, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(20)
    assert call_bootcamp("resume", run_of(tmp_path / "shards", f"4/{N}"), "--url", server.url).returncode == 0
    for number in range(1, N + 1):
        done = call_bootcamp(*words_for(server, test_dir, *options, "--shard", f"{number}/{N}", "--resume"))
        assert done.returncode == 0, done.stderr
    shards = sorted((tmp_path / "shards").iterdir())
    assert len(shards) == N
    n_before = server.stats()["received"]
    whole = call_bootcamp(*words_for(server, test_dir, *options, "--output-dir", "whole"))
    merged = call_bootcamp("merge", *shards, "--out", "merged")
    assert (merged.returncode, merged.stdout.split("\nlatency:")[0]) == (0, whole.stdout.split("\nlatency:")[0])
    [one] = (tmp_path / "whole").iterdir()
    assert records_of(tmp_path / "merged") == records_of(one)
    for name in ("meta.jsonl", "demo_scores.xlsx"):
        assert (tmp_path / "merged" / name).read_bytes() == (one / name).read_bytes()
    args = [json.loads((run_dir / "eval_args.json").read_text()) for run_dir in (tmp_path / "merged", one)]
    assert {key for key in args[0] if args[0][key] != args[1][key]} <= {"output_dir", "url", "resume", *TOLD_APART}
    manifests = [json.loads((run_dir / "manifest.json").read_text()) for run_dir in (tmp_path / "merged", one)]
    assert {key for key in manifests[0] | manifests[1] if manifests[0].get(key) != manifests[1].get(key)} <= {
        *("started", "ended", "effort", "model")
    }
    assert manifests[0]["complete"]
    assert n_timed(tmp_path / "merged") == sum(map(n_timed, shards))
    assert call_bootcamp("resume", "merged", "--url", server.url).returncode == 0
    assert server.stats()["received"] - n_before == sum(lines_of(test_dir).values()) * 2


def test_a_shard_is_continued_by_itself_alone(
    server: FaultServerProcess, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """`resume` and `eval --resume` go on with the same shard, also where auto names it, and with no other."""
    words = words_for(server, test_dir, "--include", "sudoku.jsonl", "--resume")
    assert call_bootcamp(*words, "--shard", "1/2").returncode == 0
    first = run_of(tmp_path / "shards", "1/2")
    refused = call_bootcamp("resume", first, "--shard", "2/2")
    assert (refused.returncode, "--shard: the run has 1/2, not 2/2" in refused.stderr) == (2, True)
    for options in (("--shard", "auto"), ("--shard", "1/2")):
        assert call_bootcamp("resume", first, *options, env=slurm(0, 0, 1, 2)).returncode == 0
    refused = call_bootcamp("resume", first, "--shard", "auto", env=slurm(2, 1, 2, 2))
    assert (refused.returncode, "--shard: the run has 1/2, not 2/2" in refused.stderr) == (2, True)
    words.remove("--quiet")
    other = call_bootcamp(*words, env={"BOOTCAMP_SHARD": "auto", **slurm(2, 1, 2, 2)})
    assert other.returncode == 0, other.stderr
    assert "shard 2/2, by the array job that this is" in other.stderr
    assert 'differs in shard ("1/2", here "2/2")' in other.stderr
    assert "is finished: nothing is owed" in call_bootcamp(*words, "--shard", "2/2").stderr
    assert len(list((tmp_path / "shards").iterdir())) == 2
    assert call_bootcamp(*words, "--shard", "auto").returncode == 2


def test_an_empty_shard_is_done(
    server: FaultServerProcess, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """A shard without a question ends with 0, says so in its report, and is a part as any other."""
    words = words_for(server, test_dir, "--include", "sudoku.jsonl")
    words.remove("--quiet")
    outputs = [call_bootcamp(*words, "--shard", f"{number}/{4}") for number in range(1, 5)]
    assert [done.returncode for done in outputs] == [0] * 4
    [empty] = [done for done in outputs if "is empty: nothing is owed" in done.stderr]
    assert re.search(r"shard [1-4]/4 has no question", empty.stdout)
    assert call_bootcamp("eval", "--dry-run", *words[1:], "--shard", "1/100").returncode == 0
    merged = call_bootcamp("merge", *(tmp_path / "shards").iterdir(), "--out", "merged", "--json")
    assert json.loads(merged.stdout)["n_scored"] == 3


def test_rows_are_appended_and_samples_redone_within_a_shard(
    server: FaultServerProcess, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """What is appended is dealt out as the rest was, and `--redo` takes nothing of other shards."""
    data = tmp_path / "tests"
    shutil.copytree(test_dir, data)
    words = words_for(server, data, "--include", "maze.jsonl", "--shard", "1/2")
    assert call_bootcamp(*words).returncode == 0
    run_dir = run_of(tmp_path / "shards", "1/2")
    lines = (data / "maze.jsonl").read_bytes()
    (data / "maze.jsonl").write_bytes(lines + lines)
    mine = [row for row in range(6) if row in Shard(1, 2).rows("maze.jsonl")]
    done = call_bootcamp("resume", run_dir, "--redo", f"maze:{mine[0]}")
    assert done.returncode == 0, done.stderr
    assert [record["row"] for record in records_of(run_dir)["maze.jsonl"]] == mine
    assert open_run(run_dir).summary.n_samples == 3
    refused = call_bootcamp("resume", run_dir, "--redo", f"maze:{1 - mine[0]}")
    assert (refused.returncode, "the run has no sample" in refused.stderr) == (2, True)


def test_the_batch_script_evaluates_an_array(
    fault_server: StartFaultServer,
    test_dir: Path,
    clean_environment: dict[str, str],
    call_bootcamp: RunBootcamp,
    tmp_path: Path,
) -> None:
    """A task of the README's array that gets SIGUSR1 has itself requeued, not the array, and goes on from there."""
    script = tmp_path / "job.sh"
    script.write_text(readme_script(of_array=True))
    programs = tmp_path / "programs"
    executable(programs / "srun", 'echo $$ > step; exec "$@"')
    executable(programs / "bootcamp", f'exec {sys.executable} -m bootcamp_cli "$@" --quiet --max-concurrent-requests 4')
    executable(programs / "scontrol", 'echo "$@" >> requeued')
    server = fault_server(test_dir=test_dir, latency=0.1, latency_shape="fixed")
    names = {"URL": server.url, "MODEL": "demo", "TEST_DIR": str(test_dir), "TEMPLATE": "chatml"}
    path = {"PATH": f"{programs}{os.pathsep}{clean_environment['PATH']}", "SLURM_ARRAY_JOB_ID": "47"}

    def task(index: int) -> "subprocess.Popen[bytes]":
        env = {**clean_environment, **path, **names, **slurm(index, 1, 2, 2), "SLURM_JOB_ID": "47"}
        return subprocess.Popen(
            ["bash", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    stopped = task(2)
    try:
        wait_for_records(tmp_path / "shards" / "47", 2, stopped)
        os.kill(int((tmp_path / "step").read_text()), signal.SIGUSR1)
        assert stopped.wait(60) == 130
    finally:
        stopped.kill()
        stopped.wait()
    assert (tmp_path / "requeued").read_text() == "requeue 47_2\n"
    assert [done.wait(60) for done in [task(2), task(1)]] == [0, 0]
    assert (tmp_path / "requeued").read_text() == "requeue 47_2\n"
    shards = list((tmp_path / "shards" / "47").iterdir())
    assert len(shards) == 2
    assert call_bootcamp("merge", *shards, "--out", "merged").returncode == 0
    assert len(records_of(tmp_path / "merged")) == len(lines_of(test_dir))


# Merging, on a run that is taken apart


def split(run_dir: Path, count: int, into: Path) -> list[Path]:
    """The directories that shards would have left which got the same answers as this run, torn and in any order."""
    shards = []
    for number in range(1, count + 1):
        shard, path = Shard(number, count), into / f"shard{number}"
        (path / "details").mkdir(parents=True)
        taken: dict[str, Counter[str]] = {}
        for details in (run_dir / "details").iterdir():
            lines = details.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["row"] in shard.rows(details.name)]
            taken[details.name] = Counter(json.loads(line)["data_source"] for line in kept)
            if kept:
                (path / "details" / details.name).write_bytes(b"".join(kept))
        for name in ("eval_args.json", "manifest.json"):
            shutil.copyfile(run_dir / name, path / name)
        failures = (run_dir / "failures.jsonl").read_bytes() if (run_dir / "failures.jsonl").exists() else b""
        for line in failures.splitlines(keepends=True):
            failure = json.loads(line)
            if failure["row"] in shard.rows(failure["file"]):
                taken[failure["file"]][failure["data_source"]] += 1
                with (path / "failures.jsonl").open("ab") as file:
                    file.write(line)
        change_json(path / "eval_args.json", lambda args, shard=shard: args.update(shard=str(shard)))  # type: ignore[misc]

        def as_shard(manifest: dict[str, Any], shard: Shard = shard, taken: Mapping[str, Any] = taken) -> None:
            manifest["identity"]["shard"] = str(shard)
            for file in manifest["files"]:
                file["in_shard"] = [list(item) for item in taken[file["name"]].items()]

        change_json(path / "manifest.json", as_shard)
        shards.append(path)
    shutil.copyfile(run_dir / "timeline.jsonl", shards[-1] / "timeline.jsonl")
    return shards


def content_of(run_dir: Path) -> dict[str, bytes]:
    """All files of a run directory but the lock and progress.log."""
    paths = [path for path in run_dir.rglob("*") if path.is_file() and ".lock" not in path.parts]
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in paths if path.name != "progress.log"}


def test_the_same_records_give_the_same_directory(finished: Path, tmp_path: Path) -> None:
    """A run that is taken apart, and merged in any order, is there again to the byte; the shards stay as they are."""
    shards = split(finished, N, tmp_path)
    details = next((shards[2] / "details").iterdir())
    lines = details.read_bytes().splitlines(keepends=True)
    pending = json.loads(lines[0]) | {"score": None, "failure": "pending"}
    details.write_bytes(json.dumps(pending).encode() + b"\n" + b"".join(reversed(lines)) + b'{"id":1,"pro')
    last = next((shards[5] / "details").iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    before = [content_of(shard) for shard in shards]
    run = merge(*reversed(shards), out=tmp_path / "merged")
    assert run.summary.complete
    assert content_of(tmp_path / "merged") == content_of(finished)
    assert [content_of(shard) for shard in shards] == before
    bars = (tmp_path / "merged" / "progress.log").read_text("utf-8").splitlines()
    assert len(bars) == len(list((finished / "details").iterdir())) + 1
    assert all("100.0%" in bar for bar in bars)


def test_what_is_owed_stays_owed(
    finished: Path, fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Failures and records set aside come along; exit code 3, and `resume` asks for what is missing and no more."""
    failed = finished / "details" / "sudoku.jsonl"
    lines = failed.read_bytes().splitlines(keepends=True)
    failed.write_bytes(b"".join(lines[2:]))
    rows = [json.loads(line) for line in lines[:2]]
    failures = [
        {key: row[key] for key in ("row", "id", "data_source", "repeat")}
        | {"file": "sudoku.jsonl", "kind": "http_500", "last_error": "no", "attempts": 3}
        for row in rows
    ]
    (finished / "failures.jsonl").write_text("".join(json.dumps(failure) + "\n" for failure in failures))
    shards = split(finished, 3, tmp_path)
    for number, shard in enumerate(shards):
        (shard / "redone").mkdir()
        (shard / "redone" / "sudoku.jsonl").write_bytes(lines[number] + b"torn")
        change_json(shard / "manifest.json", lambda manifest: manifest.update(complete=False))
    done = call_bootcamp("merge", *shards, "--out", "merged")
    assert done.returncode == 3
    assert "not complete: 3 shards (1/3, 2/3, 3/3); what they owe, the merged run owes" in done.stderr
    assert "without an answer: http_500 2" in done.stdout
    assert (tmp_path / "merged" / "redone" / "sudoku.jsonl").read_bytes() == b"".join(lines[:3])
    kept = (tmp_path / "merged" / "failures.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["row"] for line in kept] == [0, 1]
    server = fault_server(test_dir=demo_test_dir)
    resumed = call_bootcamp("resume", "merged", "--url", server.url)
    assert resumed.returncode == 0, resumed.stderr
    assert server.stats()["received"] == 2


def test_a_shard_is_told_and_compared_as_a_part(finished: Path, call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """A report says that it is of a shard and counts its samples, and a comparison pairs what both runs have."""
    shards = split(finished, 2, tmp_path / "output")
    report = call_bootcamp("report", shards[0])
    assert "only shard 1/2 of the questions" in report.stdout
    data = json.loads(call_bootcamp("report", shards[0], "--json").stdout)
    n = sum(len(records) for records in records_of(shards[0]).values())
    assert (data["shard"], data["n"], data["complete"]) == ("1/2", n, True)
    listed = json.loads(call_bootcamp("runs", tmp_path / "output", "--json").stdout)
    assert ("1/2", n) in {(run["shard"], run["n_samples"]) for run in listed["runs"]}
    assert " demo_tests 1/2 " in call_bootcamp("runs", tmp_path / "output").stdout
    [comparison] = compare(finished, shards[0]).comparison.runs
    assert comparison.run.n_pairs == n
    assert comparison.run.difference == 0


def renamed(manifest: dict[str, Any], key: str, value: Any) -> None:
    """Let a run have been made with another value."""
    manifest["identity"][key] = value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: renamed(m, "temperature", 0.5), "is not of the same run as {0}: temperature (0.0, here 0.5)"),
        (lambda m: renamed(m, "shard", "1/3"), "{0} and {1} are both shard 1/3"),
        (lambda m: renamed(m, "shard", "2/4"), "{0} is shard 1/3, {1} is shard 2/4"),
        (lambda m: renamed(m, "shard", None), "{1} is a whole run, not a shard"),
        (lambda m: renamed(m, "shard", "x"), "the shard is not what was written"),
        (lambda m: renamed(m, "shard", 7), "the shard is not what was written"),
        (lambda m: m["files"][0].pop("in_shard"), "missing: in_shard of the files"),
        (lambda m: m.update(repeats=2), "it asks each question 2 times, not 1"),
        (lambda m: m.update(rescoring=True), "a rescore was cut off"),
        (lambda m: m["files"][0].update(n_rows=5), "it takes other rows of the test files"),
        (lambda m: m["identity"]["files"].update({"maze.jsonl": "0"}), "test files (1 changed)"),
        (lambda m: m["identity"]["verifiers"]["Maze"].update(digest="0"), "by other verifiers: Maze (other code)"),
        (lambda m: m.update(redo_of={"run": "r", "samples": {}, "data_sources": {}}), "only redoes samples of r"),
    ],
)
def test_parts_of_different_runs_are_refused(
    change: Change, said: str, finished: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """What is no shard of the same run is refused with its name and the reason, and nothing is made."""
    shards = split(finished, 3, tmp_path)
    change_json(shards[1] / "manifest.json", change)
    refused = call_bootcamp("merge", *shards, "--out", tmp_path / "made" / "merged")
    assert refused.returncode in (1, 2)
    assert said.format(*shards) in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_gaps_are_refused(finished: Path, call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """A missing shard is named; so is a place that is taken, and a directory that is no run."""
    shards = split(finished, 4, tmp_path)
    for words, said in (
        (shards[1:3], "2 shards of 4 are missing: 1/4, 4/4"),
        (shards[:3], "1 shard of 4 is missing: 4/4"),
        ([*shards, shards[0]], "are both shard 1/4"),
        ([], "there is nothing to merge"),
        ([*shards, tmp_path / "nowhere"], "no such run directory"),
    ):
        refused = call_bootcamp("merge", *words, "--out", "merged")
        assert (refused.returncode != 0, said in refused.stderr) == (True, True), refused.stderr
    assert not (tmp_path / "merged").exists()
    refused = call_bootcamp("merge", *shards, "--out", shards[0])
    assert (refused.returncode, "exists; give the name" in refused.stderr) == (2, True)
    assert call_bootcamp("merge", *shards).returncode == 2


def test_records_of_other_shards_are_refused(finished: Path, tmp_path: Path) -> None:
    """A record that does not belong to its shard stops the merge with its place, and leaves nothing behind."""
    shards = split(finished, 2, tmp_path / "parts")
    details = shards[0] / "details" / "maze.jsonl"
    other = (shards[1] / "details" / "maze.jsonl").read_bytes().splitlines(keepends=True)[0]
    details.write_bytes(details.read_bytes() + other)
    row = json.loads(other)["row"]
    with pytest.raises(BootcampError, match=f"row {row} does not belong to this run, which is shard 1/2"):
        merge(*shards, out=tmp_path / "out" / "merged")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_merge_that_fails_leaves_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """A full disk, at whichever file, or a place where nothing can be made, is told in one line; nothing is there."""
    shards = split(finished, 2, tmp_path / "parts")
    (tmp_path / "file").touch()
    refused = call_bootcamp("merge", *shards, "--out", tmp_path / "file" / "merged")
    assert (refused.returncode, "cannot make" in refused.stderr) == (1, True)

    def full(*_: object, **__: object) -> None:
        raise disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "write it")

    for place in ("bootcamp_cli.engine.merge._gather_redone", "bootcamp_cli.reports.forms.write_report"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            refused = call_bootcamp("merge", *shards, "--out", tmp_path / "out" / "merged")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "No space left on device; nothing was made, and the shards are as they were" in refused.stderr
        assert list((tmp_path / "out").iterdir()) == []


def test_a_shard_in_use_is_not_merged(finished: Path, tmp_path: Path) -> None:
    """While a live process holds a shard nothing is made of it."""
    shards = split(finished, 2, tmp_path)
    with acquire(shards[1]), pytest.raises(RunLockedError, match="in use by process"):
        merge(*shards, out=tmp_path / "merged")
    merge(*shards, out=tmp_path / "merged")
