"""Whatever stands in a run directory, the commands that read it say what is wrong and destroy nothing."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.figure import tell
from tests.chaos.invocation import NOWHERE, invoke_decently, isolate
from tests.chaos.strategies import damaged, tuned
from tests.conftest import RunBootcamp, StartFaultServer
from tests.test_eval_run_directory import run_dir_of

FILES = (
    "details/sudoku.jsonl",
    "details/game24.jsonl",
    "failures.jsonl",
    "meta.jsonl",
    "manifest.json",
    "eval_args.json",
)
COMMANDS = (
    ("report",),
    ("report", "--json"),
    ("report", "--format", "markdown"),
    ("report", "--format", "csv"),
    ("resume", "--url", NOWHERE, "--wait", "0"),
)


@pytest.fixture
def run_dir(fault_server: StartFaultServer, demo_test_dir: Path, run_bootcamp: RunBootcamp, tmp_path: Path) -> Path:
    """A small finished run directory with a failed request."""
    server = fault_server(test_dir=demo_test_dir, faults=["500:first=1"])
    words = ("--limit", "3", "--include", "Sudoku", "--include", "Game24", "--max-retries", "0", "--quiet")
    done = run_bootcamp("eval", "--url", server.url, "--test-dir", demo_test_dir, *words)
    assert done.returncode == 3, done.stderr
    found = run_dir_of(tmp_path / "output")
    assert all((found / name).is_file() for name in FILES)
    return found


def is_kept(before: bytes, after: bytes) -> bool:
    """Whether a file is what it was, but for a torn last line that was ended or cut."""
    return after in (before, before + b"\n", before[: before.rfind(b"\n") + 1])


def test_damaged_run_directories(
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    long_form: bool,
) -> None:
    """Any damage of any of the files: report, resume and rescore end as documented, and a refusal changes nothing."""
    isolate(monkeypatch, tmp_path)
    contents = {name: (run_dir / name).read_bytes() for name in FILES}
    codes: Counter[int] = Counter()
    copy = tmp_path / "copy"

    @tuned(quick=25, long=4_000, is_long=long_form)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run_dir, copy)
        name = data.draw(st.sampled_from(FILES))
        content = data.draw(damaged(contents[name]))
        (copy / name).write_bytes(content)
        command, *options = data.draw(st.sampled_from(COMMANDS))
        before = {path: (copy / path).read_bytes() for path in FILES if path != "meta.jsonl"}
        said = invoke_decently(command, copy, *options)
        codes[said.code] += 1
        if said.code in (1, 2):
            assert all(is_kept(content, (copy / path).read_bytes()) for path, content in before.items())

    check()
    assert json.loads(contents["eval_args.json"])["limit"] == 3
    tell(f"run directories: {codes.total()} damages tried, exit codes {dict(sorted(codes.items()))}, nothing destroyed")
