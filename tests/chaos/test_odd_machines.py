"""Machines as clusters have them: no hard links, no home, no temporary directory, a clock at 1970, others' files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import StartEvaluation, Undisturbed
from tests.chaos.runs import Evaluation, assert_undisturbed, finish
from tests.chaos.templates import interrupted
from tests.chaos.test_disk import CAN_MOUNT, WITHOUT_PRIVILEGE
from tests.conftest import RunBootcamp, StartFaultServer

WITHOUT_LINKS = """
import ctypes, os, platform, struct, sys
numbers = {"x86_64": (86, 265), "aarch64": (37, 37)}[platform.machine()]  # link, linkat
steps = [(0x20, 0, 0, 0), (0x15, 2, 0, numbers[0]), (0x15, 1, 0, numbers[1]), (6, 0, 0, 0x7FFF0000), (6, 0, 0, 0x50001)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
refused = libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)
if refused:
    sys.exit(99)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs what follows such that the kernel refuses every hard link with EPERM, by a seccomp filter."""


def without_links(evaluation: Evaluation) -> list[str]:
    """The evaluation's command, on a system that makes no hard links."""
    return [sys.executable, "-c", WITHOUT_LINKS, "-m", "bootcamp_cli", *evaluation.command()[3:]]


@pytest.fixture(scope="session")
def can_refuse_links(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the system has no seccomp filters."""
    code = "import os, sys; open('a', 'w').close(); os.link('a', 'b')"
    place = tmp_path_factory.mktemp("links")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LINKS, "-c", code], cwd=place, capture_output=True, check=False
    )
    if b"Operation not permitted" not in done.stderr:
        pytest.skip("hard links cannot be refused here: needs Linux with seccomp")


def test_a_run_without_hard_links(
    start_evaluation: StartEvaluation, undisturbed: Undisturbed, can_refuse_links: None
) -> None:
    """Where the kernel refuses hard links a run is made, locked against a second process, killed and resumed."""
    evaluation = start_evaluation(rows=4, latency=0.3, files=4)
    first = evaluation.start(without_links(evaluation))
    while not [path for path in evaluation.output.glob("*/details/*.jsonl") if path.stat().st_size]:
        assert first.poll() is None, finish(first)
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # alive, and not done before the second has come to the lock
    second = finish(evaluation.start(without_links(evaluation)))
    assert second.code == 1, second
    assert "is in use by process" in second.stderr
    first.kill()
    first.communicate()
    third = finish(evaluation.start(without_links(evaluation)))
    assert third.code == 0, third.stderr
    assert_undisturbed(evaluation.run_dir(), undisturbed(evaluation), evaluation.test_dir)


def test_no_run_directories_pile_up_where_none_can_be_locked(
    call_bootcamp: RunBootcamp,
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With neither links nor exclusive creation a run ends in one line, exit code 1, and leaves nothing behind."""
    _refuse_links(monkeypatch)
    _share_creation(monkeypatch)
    server = fault_server(test_dir=demo_test_dir)
    for _ in range(2):
        done = call_bootcamp(
            "eval", "--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, "--quiet"
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "cannot be locked: its file system has neither hard links nor exclusive creation" in done.stderr
        assert "--output-dir" in done.stderr
    assert not list((tmp_path / "output").iterdir())


def _refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def _share_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let O_EXCL make files that exist, where a lock is."""
    open_file = os.open

    def shared(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if Path(os.fsdecode(path)).name.isdecimal():
            flags &= ~os.O_EXCL
        return open_file(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", shared)


def test_others_private_runs_are_passed_over(
    start_evaluation: StartEvaluation, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """In a shared place, runs that may not be read or written are no obstacle: one's own is found and continued."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    expected = undisturbed(evaluation)
    evaluation.output.mkdir()
    own = evaluation.output / "a-own"
    interrupted(expected.run_dir, own)
    others = {"b-private": 0o000, "c-readable": 0o555, "d-halfway": 0o755}
    for name in others:
        shutil.copytree(own, evaluation.output / name)
        manifest = evaluation.output / name / "manifest.json"
        content = json.loads(manifest.read_bytes())
        manifest.write_text(json.dumps({**content, "started": "2099-01-01T00:00:00+00:00"}))
    (evaluation.output / "d-halfway" / "eval_args.json").chmod(0)
    for name, mode in others.items():
        (evaluation.output / name).chmod(mode)
    as_user = [sys.executable, "-c", WITHOUT_PRIVILEGE, "-m", "bootcamp_cli"]
    words = ["resume", "--output-dir", str(evaluation.output), "--url", evaluation.server.url, "--quiet"]
    try:
        done = finish(evaluation.start([*as_user, *words]))
        assert done.code == 0, done.stderr
        (evaluation.output / "d-halfway").chmod(0)
        again = finish(evaluation.start([*as_user, *evaluation.command()[3:]]))
        assert again.code == 0, again.stderr
    finally:
        for name in others:
            (evaluation.output / name).chmod(0o755)
    assert_undisturbed(own, expected, evaluation.test_dir)
    assert len(list(evaluation.output.iterdir())) == 1 + len(others)


AS_NOBODY = ("unshare", "--user", "--map-user=54321")
"""Runs what follows as a user of whom the system knows nothing; files are as before."""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*AS_NOBODY, "true"], capture_output=True, check=False).returncode > 0,
    reason="a user without passwd entry takes user namespaces",
)
@pytest.mark.parametrize("home", [None, "unreadable"])
def test_no_home(home: str | None, clean_environment: dict[str, str], tmp_path: Path) -> None:
    """A user without HOME, or with one that may not be read, and without a passwd entry does without the user file."""
    env = {name: value for name, value in clean_environment.items() if not name.startswith(("HOME", "XDG_"))}
    if home:
        (tmp_path / "home").mkdir(mode=0o000)
        env["HOME"] = str(tmp_path / "home")
    words = [sys.executable, "-c", WITHOUT_PRIVILEGE, "-m", "bootcamp_cli", "config", "show", "--output-dir", "~/out"]
    done = subprocess.run([*AS_NOBODY, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "output_dir" in done.stdout
    dest = [sys.executable, "-m", "bootcamp_cli", "completion", "install", "--shell", "bash"]
    done = subprocess.run([*AS_NOBODY, *dest], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("bootcamp: error: ")
    assert "--dest" in done.stderr


@pytest.mark.skipif(not CAN_MOUNT, reason="a read-only root needs root and the right to mount")
def test_a_read_only_root_without_temporary_directory(
    start_evaluation: StartEvaluation, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Where nothing but the output directory can be written a run is made as ever, and its worker folders go again."""
    evaluation = start_evaluation(rows=4, latency=0, files=2)
    expected = undisturbed(evaluation)
    copy, out = tmp_path / "copy", evaluation.output
    out.mkdir()
    copy.mkdir()
    script = (
        'mount -t tmpfs tmpfs "$1" && mount -o bind "$2" "$2" && mount -o remount,bind,ro / || exit 99\n'
        'cd / && (: > "$3/x") 2>/dev/null && exit 98\n'
        'out=$1 copy=$2; shift 3; env -u TMPDIR PYTHONDONTWRITEBYTECODE=1 "$@"; code=$?\n'
        'env -u TMPDIR "$PYTHON" -m bootcamp_cli rescore "$out"/* --quiet >"$copy/rescored" || exit 97\n'
        'cp -r "$out"/* "$copy"; exit $code'
    )
    words = ["unshare", "-m", "sh", "-c", script, "sh", out, copy, tmp_path, *evaluation.command()]
    done = finish(evaluation.start([str(word) for word in words], {"PYTHON": sys.executable}))
    assert done.code == 0, done
    [manifest] = copy.glob("*/manifest.json")
    assert not list(manifest.parent.glob(".tmp*"))
    assert_undisturbed(manifest.parent, expected, evaluation.test_dir)


@pytest.mark.parametrize("path", ["/nonexistent/keys.log", ".", "keys.log"])
def test_a_key_log_that_cannot_be_opened(run_bootcamp: RunBootcamp, tmp_path: Path, path: str) -> None:
    """SSLKEYLOGFILE with a place that cannot be written to is ignored; another one is made."""
    url = "https://127.0.0.1:9/v1"
    done = run_bootcamp("check-model", "--url", url, "--wait", "0", env={"SSLKEYLOGFILE": path})
    assert done.returncode == 4, done.stderr
    assert f"cannot connect to {url}" in done.stderr
    assert (tmp_path / "keys.log").exists() == (path == "keys.log")


@pytest.fixture
def at_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was never set, as this process sees it: what is asked of `time` and `datetime`, and file times."""
    monkeypatch.setattr(time, "time", lambda: 60.0)
    monkeypatch.setattr(zipfile.time, "localtime", lambda *_: time.gmtime(60))  # type: ignore[attr-defined]
    named = zipfile.ZipInfo.from_file

    def from_file(filename: Any, *rest: Any, **more: Any) -> zipfile.ZipInfo:
        os.utime(filename, (60, 60))
        return named(filename, *rest, **more)

    monkeypatch.setattr(zipfile.ZipInfo, "from_file", from_file)


def test_a_clock_at_1970(finished: Path, call_bootcamp: RunBootcamp, at_1970: None) -> None:
    """The workbook is written whatever the clock says, to the same bytes."""
    workbook = finished / "demo_scores.xlsx"
    before = workbook.read_bytes()
    workbook.unlink()
    done = call_bootcamp("report", finished)
    assert done.returncode == 0, done.stderr
    assert workbook.read_bytes() == before
