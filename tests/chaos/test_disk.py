"""Real disks that are full, refuse, or lose the run directory while it is written."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.runs import (
    RESENT_PER_KILL,
    Evaluation,
    Finished,
    assert_undisturbed,
    ended_within,
    finish,
)
from tests.chaos.templates import interrupted

CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False
    ).returncode
    == 0
)

WITHOUT_PRIVILEGE = """
import ctypes, os, sys
for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs what follows such that permission bits bind, for root as well."""


def test_a_file_size_limit_stops_the_run_in_one_line(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """Where no file may grow beyond a size, the run says so and stops; without it it completes, asking few again."""
    evaluation = start_evaluation(rows=24 if long_form else 4, latency=0)
    expected = undisturbed(evaluation)  # also compiles every module: the interpreter does not notice half a .pyc
    sizes = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128) if long_form else (16,)
    n_stopped = 0
    for n_blocks in sizes:
        shutil.rmtree(evaluation.output, ignore_errors=True)
        before = evaluation.n_requests()
        limited = ["sh", "-c", f'ulimit -f {n_blocks}; exec "$0" "$@"', *evaluation.command()]
        done = finish(evaluation.start(limited, {"PYTHONDONTWRITEBYTECODE": "1"}))
        if done.code:
            assert_disk_error(done, "File too large")
            n_stopped += 1
        done = evaluation.finish()
        assert done.code == 0, done.stderr
        assert_undisturbed(evaluation.run_dir(), expected, evaluation.test_dir)
        assert evaluation.n_requests() - before <= evaluation.n_samples() + RESENT_PER_KILL
    assert n_stopped
    tell(f"disk: {n_stopped} of {len(sizes)} file-size limits met, each told in one line, nothing lost afterwards")


@pytest.mark.skipif(not CAN_MOUNT, reason="a tmpfs needs root and the right to mount")
def test_a_full_disk_stops_the_run_in_one_line(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """A full file system ends the run in one line; with space again the same command completes it, asking few again."""
    evaluation = start_evaluation(rows=24 if long_form else 4, latency=0)
    sizes = (16, 32, 64, 96, 128, 192, 256, 384, 512) if long_form else (64,)
    copy = tmp_path / "copy"
    script = (
        f'mkdir -p {evaluation.output} && mount -t tmpfs -o size="$1"k tmpfs {evaluation.output} || exit 99; shift; '
        f'"$@"; code=$?; mount -o remount,size=64m {evaluation.output}; "$@" || exit 98; '
        f"cp -r {evaluation.output} {copy}; exit $code"
    )
    n_stopped = 0
    for n_kib in sizes:
        before = evaluation.n_requests()
        words = ["unshare", "-m", "sh", "-c", script, "sh", str(n_kib), *evaluation.command()]
        done = finish(evaluation.start(words))
        if done.code:
            assert_disk_error(done, "No space left on device")
            n_stopped += 1
        [manifest] = copy.glob("*/manifest.json")
        assert_undisturbed(manifest.parent, undisturbed(evaluation), evaluation.test_dir)
        assert evaluation.n_requests() - before <= evaluation.n_samples() + RESENT_PER_KILL
        shutil.rmtree(copy)
    assert n_stopped
    tell(f"disk: {n_stopped} of {len(sizes)} full file systems met, each told in one line, nothing lost afterwards")


def test_what_may_not_be_written_or_read_is_told(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """A read-only place or an unreadable file ends in one line; reports are shown all the same, no line is lost."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    evaluation.output.mkdir()
    run_dir = evaluation.output / "run"
    interrupted(undisturbed(evaluation).run_dir, run_dir)
    resume = ["resume", str(run_dir), "--quiet", "--url", evaluation.server.url]
    cases: dict[str, tuple[Path, int, Sequence[str], int]] = {
        "resume in a read-only run directory": (run_dir, 0o555, resume, 1),
        "resume with read-only details": (run_dir / "details", 0o555, resume, 1),
        "eval in a read-only output directory": (evaluation.output, 0o555, evaluation.command()[3:], 1),
        "resume with an unreadable file": (min((run_dir / "details").glob("*.jsonl")), 0o000, resume, 1),
        "report with an unreadable file": (min((run_dir / "details").glob("*.jsonl")), 0, ["report", str(run_dir)], 1),
        "report in a read-only run directory": (run_dir, 0o555, ["report", str(run_dir)], 0),
    }
    n_told = 0
    for name, (path, mode, words, code) in list(cases.items())[: None if long_form else 1]:
        if name.startswith("eval"):
            run_dir.rename(evaluation.output.parent / "aside")
        before = lines_of(evaluation.output.parent / "aside" if name.startswith("eval") else run_dir)
        with permissions(path, mode):
            command = [sys.executable, "-c", WITHOUT_PRIVILEGE, "-m", "bootcamp_cli", *words]
            done = finish(evaluation.start(command))
        assert done.code in ((0, 3) if code == 0 else (code,)), (name, done)
        told = done.stderr.splitlines()
        assert sum("Permission denied" in line for line in told) == 1, (name, done)
        assert "Traceback" not in done.stderr, (name, done)
        if name.startswith("eval"):
            (evaluation.output.parent / "aside").rename(run_dir)
        after = lines_of(run_dir)
        assert all(before[file] <= after[file] for file in before), name
        n_told += 1
    done = evaluation.finish(*resume)
    assert done.code == 0, done.stderr
    assert_undisturbed(run_dir, undisturbed(evaluation), evaluation.test_dir)
    tell(f"disk: {n_told} refused permissions told in one line, no line lost")


LOSSES: dict[str, Callable[[Path], Path]] = {
    "the run directory moved": lambda run_dir: run_dir,
    "the details moved": lambda run_dir: run_dir / "details",
    "one file moved": lambda run_dir: next(path for path in (run_dir / "details").iterdir() if path.stat().st_size),
    "the lock moved": lambda run_dir: run_dir / ".lock",
}


def test_a_run_directory_that_vanishes_stops_the_run(
    start_evaluation: StartEvaluation,
    undisturbed: Undisturbed,
    tmp_path: Path,
    tell: Callable[[str], None],
    long_form: bool,
) -> None:
    """When the directory or a part is moved away in mid-run, one line says so and nothing is made anew in its place."""
    evaluation = start_evaluation(rows=24 if long_form else 4, latency=0.5 if long_form else 1)
    names = [name for name in LOSSES if long_form or name == "the run directory moved"]
    for name in names:
        shutil.rmtree(evaluation.output, ignore_errors=True)
        process = evaluation.start()
        wait_for_records(evaluation, process, 8)
        run_dir = evaluation.run_dir()
        lost, aside = LOSSES[name](run_dir), tmp_path / "aside"
        lost.rename(aside)
        done = finish(process)
        assert done.code == 1, (name, done)
        assert done.stderr.splitlines()[-1].startswith("bootcamp: error: "), (name, done)
        assert "removed or moved" in done.stderr.splitlines()[-1], (name, done)
        assert "Traceback" not in done.stderr, (name, done)
        assert not lost.exists(), name
        aside.rename(lost)
        done = evaluation.finish()
        assert done.code == 0, (name, done.stderr)
        assert_undisturbed(run_dir, undisturbed(evaluation), evaluation.test_dir)
    tell(f"disk: {len(names)} times parts of a running directory moved away, each told, put back and completed")


def wait_for_records(evaluation: Evaluation, process: subprocess.Popen[str], n: int) -> None:
    """Return when `n` records are on disk."""
    while sum(path.read_bytes().count(b"\n") for path in evaluation.output.glob("*/details/*.jsonl")) < n:
        assert not ended_within(process, 0.01), finish(process)


def assert_disk_error(done: Finished, words: str) -> None:
    """Exit code 1, one error line with the system's words and the next step; warnings only of progress.log."""
    *warnings, last = done.stderr.splitlines()
    assert done.code == 1, done
    assert last.startswith("bootcamp: error: cannot "), done.stderr
    assert words in last, done.stderr
    assert "bootcamp resume" in last, done.stderr
    assert all(line.startswith("warning: cannot write ") for line in warnings), done.stderr


def lines_of(run_dir: Path) -> dict[str, set[bytes]]:
    """The whole lines of details and failures: a torn last one may be cut off."""
    paths = [*(run_dir / "details").glob("*.jsonl"), run_dir / "failures.jsonl"]
    return {path.name: set(path.read_bytes().split(b"\n")[:-1]) for path in paths}


@contextmanager
def permissions(path: Path, mode: int) -> Iterator[None]:
    """Give a path other permissions for a while."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.chmod(before)
