"""Run directories that earlier versions left behind are read, continued and rescored as they were then.

They lie in `tests/fixtures`, whose README tells how they were made, and are never made again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer

FIXTURES = Path(__file__).parent / "fixtures"

NEW_KEYS = b', "n_questions": '
"""Where the keys of meta.jsonl begin that came later."""

NO_SERVER = "http://127.0.0.1:9/v1"

GENEROUS = (
    *("--timeout", "2m", "--verify-timeout", "2m", "--max-retries", "16", "--max-retrying-delay", "1s"),
    *("--wait", "20s"),
)
"""What decides no answer may differ from the run before, and must not fail on a busy machine."""

PARTS_OF_A_VERDICT = {"score", "extracted_output", "failure", "failure_message"}

VERIFIER = """
def extract_output(output):
    return output.rpartition("token ")[2].strip()

def verify_score(output, ground_truth):
    return float(extract_output(output) == ground_truth["token"])
"""
VERIFIERS = ("FixtureFine", "FixtureHang", "FixtureCrash", "FixtureRaise", "FixtureChanged", "FixtureLate")
"""Data sources whose verifiers were broken, absent or of an older version when the runs were made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A run directory: what its answers were decided by, and what of it stands masked in its files.

    `limit` and `left_out` (data sources) repeat what `decided` says of the rows, `demo` is what the server must be.
    `report_exit` is the exit code of a report of it as it is.
    """

    decided: tuple[str, ...]
    masked: tuple[str, ...] = ()
    demo: Mapping[str, Any]
    limit: int | None = None
    left_out: tuple[str, ...] = ()
    report_exit: int = 0

    def rows(self, test_dir: Path) -> dict[str, list[int]]:
        """The rows that the run takes, by test file that has any."""
        taken = {}
        for path in sorted(test_dir.iterdir()):
            rows = [json.loads(line) for line in path.read_bytes().splitlines()][: self.limit]
            taken[path.name] = [number for number, row in enumerate(rows) if row["data_source"] not in self.left_out]
        return {file: numbers for file, numbers in taken.items() if numbers}


DEMO: Mapping[str, Any] = {"skill": 0.7, "seed": 0}

RUNS: Mapping[str, Fixture] = {
    "complete": Fixture(
        decided=("--model-name", "demo", "--template", "r1", "--max-tokens", "4096", "--temperature", "0"), demo=DEMO
    ),
    "killed": Fixture(
        decided=("--model-name", "demo", "--stop", "<END>", "--top-k", "20", "--min-p", "0.05"),
        demo=DEMO,
        report_exit=3,
    ),
    "failures": Fixture(
        decided=("--model-name", "demo", "--template", "qwen", "--temperature", "0.6", "--exclude", "Binairo"),
        demo=DEMO,
        left_out=("Binairo",),
        report_exit=3,
    ),
    "unverified": Fixture(decided=("--model-name", "demo", "--allow-unscored"), demo=DEMO, report_exit=3),
    "rescored": Fixture(decided=("--model-name", "demo", "--allow-unscored"), demo=DEMO),
    "appended": Fixture(decided=("--model-name", "demo", "--template", "internthinker"), demo=DEMO),
    "chat": Fixture(
        decided=(
            *("--model-name", "org/demo-7B", "--api-mode", "chat_completion", "--sys-prompt", "Think, then answer. 想"),
            *("--seed", "42", "--temperature", "0.8", "--top-p", "0.95", "--stop", "<END>", "--stop", "\n\n\n\n"),
            *("--limit", "5", "--include", "game24", "--include", "cip*"),
        ),
        masked=(
            *("--api-key", "fixture-key", "--headers", '{"X-Team": "fixture"}', "--extra-body"),
            '{"chat_template_kwargs": {"enable_thinking": true}, "session_token": "fixture"}',
        ),
        demo={**DEMO, "model": "org/demo-7B", "reasoning_parser": True, "api_key": "fixture-key"},
        limit=5,
        left_out=("Maze",),
        report_exit=3,
    ),
}
"""What can be resumed; `run_eval` is the one that cannot, made in the shape of the reference script's directories."""

EVERY = (*RUNS, "run_eval")
ALIKE = [name for name in RUNS if name != "appended"]
"""The runs whose test dir is still the one that they were started with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A fixture to be worked on: `run_dir`, the only directory in `output_dir`, and `test_dir`."""

    name: str
    run_dir: Path
    test_dir: Path

    @property
    def output_dir(self) -> Path:
        """Where run directories are made."""
        return self.run_dir.parent


@pytest.fixture
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    """The run directory that the test names, with its test dir."""
    name: str = request.param
    copied = Copy(name=name, run_dir=tmp_path / "out" / name, test_dir=tmp_path / "rows")
    shutil.copytree(FIXTURES / "runs" / name, copied.run_dir)
    if name in RUNS:
        shutil.copytree(FIXTURES / "test_dirs" / name, copied.test_dir)
    return copied


@pytest.fixture
def installed(clean_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which VERIFIERS are installed, each of them sound."""
    site = tmp_path / "site"
    install(site, dict.fromkeys(VERIFIERS, VERIFIER))
    return {"PYTHONPATH": os.pathsep.join([clean_environment["PYTHONPATH"], str(site)])}


def install(site: Path, sources: Mapping[str, str]) -> None:
    """Write a package that has a module for each data source, named by an entry point."""
    info = site / "fixture_bootcamps-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fixture-bootcamps\nVersion: 1.0\n")
    lines = [f"{name} = {name.lower()}" for name in sources]
    (info / "entry_points.txt").write_text("\n".join(["[bootcamp_cli.bootcamps]", *lines, ""]))
    for name, source in sources.items():
        (site / f"{name.lower()}.py").write_text(source)


def kept(run_dir: Path) -> dict[str, bytes]:
    """What no report may change: every file but meta.jsonl, the workbook, and the lock."""
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in run_dir.rglob("*")
        if path.is_file() and path.parent.name != ".lock" and path.name != "meta.jsonl" and path.suffix != ".xlsx"
    }


def records(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """The records by details file, without a last line that has no end."""
    return {
        path.name: [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        for path in sorted((run_dir / "details").iterdir())
    }


def is_owed_a_verdict(record: Mapping[str, Any]) -> bool:
    """Whether the verifier of a record failed, so that `resume` verifies it again."""
    return str(record.get("failure")).startswith("verifier_")


def row_of(record: Mapping[str, Any]) -> Any:
    """What names a record in its file: the reference script's have an id alone."""
    return record.get("row", record["id"])


def unchanged(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether every record of `before` is in `after` with all it had; one that was owed a verdict may have another."""
    found = {(file, row_of(record)): record for file, lines in after.items() for record in lines}
    for file, lines in before.items():
        for record in lines:
            free = PARTS_OF_A_VERDICT if is_owed_a_verdict(record) else set()
            other = found[file, row_of(record)]
            if any(
                key not in other or json.dumps(other[key]) != json.dumps(value)
                for key, value in record.items()
                if key not in free
            ):
                return False
    return True


def expected_meta(name: str) -> bytes:
    """The meta.jsonl that a file of `expected` holds."""
    return (FIXTURES / "expected" / f"{name}.jsonl").read_bytes()


def meta_of_then(run_dir: Path) -> bytes:
    """The meta.jsonl of a run directory, each line cut off where the keys begin that version 0.1.0 did not have."""
    lines = (run_dir / "meta.jsonl").read_bytes().splitlines()
    cut = [line.partition(NEW_KEYS) for line in lines]
    assert all(new for _, new, _ in cut)
    return b"".join(old + b"}\n" for old, _, _ in cut)


def n_completions(server: FaultServerProcess) -> int:
    """How many prompts were sent."""
    by_path: dict[str, int] = server.stats()["by_path"]
    return sum(n for path, n in by_path.items() if path.endswith("/completions"))


def check_completion(
    copy: Copy, fault_server: StartFaultServer, run_bootcamp: RunBootcamp, env: Mapping[str, str], *command: str | Path
) -> None:
    """Run a command that continues the copy, and hold what it did to what the run had before."""
    fixture = RUNS[copy.name]
    before = records(copy.run_dir)
    rows = fixture.rows(copy.test_dir)
    n_missing = sum(map(len, rows.values())) - sum(map(len, before.values()))
    server = fault_server(test_dir=copy.test_dir, **fixture.demo) if n_missing else None
    sources = ("--test-dir", copy.test_dir, "--url", server.url if server else NO_SERVER)
    done = run_bootcamp(*command, *sources, *fixture.masked, *GENEROUS, env=env)
    assert done.returncode == 0, done.stderr
    after = records(copy.run_dir)
    assert {file: [record["row"] for record in lines] for file, lines in after.items()} == rows
    assert unchanged(before, after)
    assert not any(is_owed_a_verdict(record) for lines in after.values() for record in lines)
    assert not (copy.run_dir / "failures.jsonl").exists()
    assert meta_of_then(copy.run_dir) == expected_meta(f"{copy.name}.after")
    if server:
        assert n_completions(server) == n_missing, "what is answered is never requested again"


@pytest.mark.parametrize("copy", EVERY, indirect=True)
def test_a_report_is_the_one_of_then(copy: Copy, run_bootcamp: RunBootcamp) -> None:
    """`report` gives the keys and values of meta.jsonl as ever, changing nothing but that and the workbook."""
    before = kept(copy.run_dir)
    done = run_bootcamp("report", copy.run_dir)
    assert done.returncode == (RUNS[copy.name].report_exit if copy.name in RUNS else 0), done.stderr
    assert meta_of_then(copy.run_dir) == expected_meta(copy.name)
    assert len(list(copy.run_dir.glob("*.xlsx"))) == 1
    assert kept(copy.run_dir) == before


@pytest.mark.parametrize("copy", RUNS, indirect=True)
def test_resume_completes_it(
    copy: Copy, fault_server: StartFaultServer, run_bootcamp: RunBootcamp, installed: dict[str, str]
) -> None:
    """`resume` asks for what is missing alone, keeps every record, and the averages are those of then."""
    check_completion(copy, fault_server, run_bootcamp, installed, "resume", copy.run_dir)


@pytest.mark.parametrize("copy", ALIKE, indirect=True)
def test_eval_finds_it_by_its_parameters(
    copy: Copy, fault_server: StartFaultServer, run_bootcamp: RunBootcamp, installed: dict[str, str]
) -> None:
    """`eval --resume` with the parameters of then continues that very directory and makes none."""
    words = ("eval", "--resume", "--output-dir", copy.output_dir)
    check_completion(copy, fault_server, run_bootcamp, installed, *words, *RUNS[copy.name].decided)
    assert list(copy.output_dir.iterdir()) == [copy.run_dir]


@pytest.mark.parametrize("copy", EVERY, indirect=True)
def test_rescore_gives_the_verdicts_of_then(copy: Copy, run_bootcamp: RunBootcamp, installed: dict[str, str]) -> None:
    """`rescore` changes no verdict but where a verifier had failed, and no record loses anything."""
    before = records(copy.run_dir)
    done = run_bootcamp("rescore", copy.run_dir, "--allow-unscored", "--verify-timeout", "2m", "--json", env=installed)
    is_whole = copy.name not in RUNS or not RUNS[copy.name].report_exit or copy.name == "unverified"
    assert done.returncode == (0 if is_whole else 3), done.stderr
    after = records(copy.run_dir)
    n_owed = sum(is_owed_a_verdict(record) for lines in before.values() for record in lines)
    assert len(json.loads(done.stdout)["changes"]) == n_owed
    assert n_owed == (5 if copy.name == "unverified" else 0)
    assert {file: [record["id"] for record in lines] for file, lines in after.items()} == {
        file: [record["id"] for record in lines] for file, lines in before.items()
    }
    assert unchanged(before, after)
    after_meta = f"{copy.name}.after" if n_owed else copy.name
    assert meta_of_then(copy.run_dir) == expected_meta(after_meta)


@pytest.mark.parametrize("copy", ["run_eval"], indirect=True)
def test_a_directory_of_the_reference_script_is_not_resumed(copy: Copy, run_bootcamp: RunBootcamp) -> None:
    """`resume` refuses a directory without manifest.json and leaves it as it is."""
    before = kept(copy.run_dir), (copy.run_dir / "meta.jsonl").read_bytes()
    done = run_bootcamp("resume", copy.run_dir, "--test-dir", FIXTURES / "test_dirs" / "complete", "--url", NO_SERVER)
    assert done.returncode == 2, done.stderr
    assert "manifest.json" in done.stderr
    assert (kept(copy.run_dir), (copy.run_dir / "meta.jsonl").read_bytes()) == before


def test_the_fixtures_are_those_that_were_made() -> None:
    """Every file has the digest that it was committed with: what an old version left cannot be made again."""
    lines = (FIXTURES / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    digests = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = {name: hashlib.sha256((FIXTURES / name).read_bytes()).hexdigest() for name in digests}
    assert found == digests
