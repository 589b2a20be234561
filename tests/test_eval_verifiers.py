"""By what a run is scored: what `resume` refuses to mix, and how `rescore` makes it one again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import open_run
from tests.bootcamps_upstream_package import build_package
from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer, WriteRows

CLASSES = {"Alpha": "first = 1", "Beta": "first = 1"}
CHANGED = {"Alpha": "second = 2", "Beta": "second = 2"}


@pytest.fixture
def test_dir(write_rows: WriteRows, tmp_path: Path) -> Path:
    """Four questions for each of two bootcamps of a package."""
    for name in CLASSES:
        rows = [
            {"data_source": name, "prompt": f"{name} {n}", "ground_truth": "yes", "answer": "</think><yes>"}
            for n in range(4)
        ]
        write_rows(tmp_path / "rows" / f"{name.lower()}.jsonl", rows)
    return tmp_path / "rows"


def built(tmp_path: Path, classes: dict[str, str]) -> Path:
    """The package with these classes, in place of what was there."""
    package = tmp_path / "package"
    shutil.rmtree(package, ignore_errors=True)
    return build_package(package, classes)


def evaluated(run: RunBootcamp, server: FaultServerProcess, test_dir: Path, *options: str | Path) -> Path:
    """Run `eval` on the test dir; gives the run directory."""
    done = run("eval", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, "--json", *options)
    return Path(json.loads(done.stdout)["run_dir"])


def verifiers(run_dir: Path) -> dict[str, Any]:
    """The verifiers in the manifest."""
    found: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())["identity"]["verifiers"]
    return found


def test_a_rescored_run_goes_on_where_a_data_source_has_no_record_yet(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """After a package was upgraded, `rescore` opens the way for `resume`, also for what nothing was scored of."""
    package = built(tmp_path, CLASSES)
    failing = fault_server(test_dir=test_dir, faults=[f"400:sample={n}" for n in range(4, 8)])
    options = ("--bootcamps-path", package, "--max-retries", "0")
    run_dir = evaluated(call_bootcamp, failing, test_dir, *options)
    assert (open_run(run_dir).summary.n_answered, open_run(run_dir).summary.n_failed) == (4, 4)
    built(tmp_path, CHANGED)
    server = fault_server(test_dir=test_dir)
    refused = call_bootcamp("resume", run_dir, "--url", server.url)
    assert (refused.returncode, "scored by other verifiers: Alpha (other code)" in refused.stderr) == (2, True)
    assert call_bootcamp("rescore", run_dir, "--bootcamps-path", package).returncode == 3
    done = call_bootcamp("resume", run_dir, "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert open_run(run_dir).summary.complete


def test_a_version_is_remembered_over_a_session_that_does_not_know_it(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path, write_rows: WriteRows
) -> None:
    """Where the package that decides some rows is away for a session, another version of it is still told apart."""
    rows = [{"data_source": "Arc", "prompt": f"grid {n}", "ground_truth": "yes", "answer": "<yes>"} for n in range(4)]
    rows_dir = write_rows(tmp_path / "grids" / "grid.jsonl", rows).parent
    package = built(tmp_path, {"Arc": "first = 1"})
    failing = fault_server(test_dir=rows_dir, faults=["400:sample=1", "400:sample=2"])
    run_dir = evaluated(call_bootcamp, failing, rows_dir, "--bootcamps-path", package)
    before = verifiers(run_dir)["Arc"]
    assert before["fallback"] is not None
    shutil.rmtree(package / "internbootcamp")
    empty = tmp_path / "empty"
    build_package(empty, {"Other": "pass"})
    failing = fault_server(test_dir=rows_dir, faults=["400:sample=1"])
    call_bootcamp("resume", run_dir, "--url", failing.url, "--bootcamps-path", empty)
    assert open_run(run_dir).summary.n_answered == 3
    assert verifiers(run_dir)["Arc"] == before
    built(tmp_path, {"Arc": "second = 2"})
    server = fault_server(test_dir=rows_dir)
    refused = call_bootcamp("resume", run_dir, "--url", server.url, "--bootcamps-path", package)
    assert (refused.returncode, "(other code)" in refused.stderr) == (2, True), refused.stderr


def test_a_rescored_run_goes_on_with_the_verifiers_that_rescored_it(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """After `rescore` with another version, `resume` takes that one, and the older is refused wherever it is named."""
    first, second = built(tmp_path / "first", CLASSES), built(tmp_path / "second", CHANGED)
    failing = fault_server(test_dir=test_dir, faults=["400:sample=1"])
    run_dir = evaluated(call_bootcamp, failing, test_dir, "--bootcamps-path", first)
    before = verifiers(run_dir)
    assert call_bootcamp("rescore", run_dir, "--bootcamps-path", second).returncode == 3
    after = verifiers(run_dir)
    assert all(before[name]["digest"] != after[name]["digest"] for name in CLASSES)
    server = fault_server(test_dir=test_dir)
    words = ("--url", server.url, "--bootcamps-path", first)
    for refused in (
        call_bootcamp("resume", run_dir, *words),
        call_bootcamp("eval", "--resume", "--model-name", "demo", "--test-dir", test_dir, *words),
    ):
        assert (refused.returncode, "was scored by other verifiers" in refused.stderr) == (2, True), refused.stderr
    assert server.stats()["received"] == 0
    assert call_bootcamp("resume", run_dir, "--url", server.url).returncode == 0
    assert verifiers(run_dir) == after


def test_a_rescore_that_was_cut_off_is_finished_first(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """While the scores may be of two kinds, `report` says so and `resume` refuses, until `rescore` opens the way."""
    package = built(tmp_path, CLASSES)
    failing = fault_server(test_dir=test_dir, faults=["400:sample=1"])
    run_dir = evaluated(call_bootcamp, failing, test_dir, "--bootcamps-path", package)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    (run_dir / "manifest.json").write_text(json.dumps(manifest | {"rescoring": True}))
    server = fault_server(test_dir=test_dir)
    refused = call_bootcamp("resume", run_dir, "--url", server.url)
    assert (refused.returncode, "a rescore was cut off" in refused.stderr) == (2, True), refused.stderr
    assert "a rescore has not come to its end" in call_bootcamp("report", run_dir).stderr
    assert call_bootcamp("rescore", run_dir, "--bootcamps-path", package).returncode == 3
    assert call_bootcamp("report", run_dir).stderr == ""
    assert call_bootcamp("resume", run_dir, "--url", server.url).returncode == 0


def test_a_package_installed_later_scores_what_comes_later(
    fault_server: StartFaultServer, test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Answers kept without a bootcamp stay unscored until `rescore`; what is answered afterwards is scored."""
    failing = fault_server(test_dir=test_dir, faults=["400:sample=1"])
    run_dir = evaluated(call_bootcamp, failing, test_dir, "--allow-unscored")
    assert open_run(run_dir).summary.unverified == {"unscored": 7}
    package = built(tmp_path, CLASSES)
    server = fault_server(test_dir=test_dir)
    done = call_bootcamp("resume", run_dir, "--url", server.url, "--bootcamps-path", package)
    assert done.returncode == 0, done.stderr
    assert (open_run(run_dir).summary.n_scored, server.stats()["received"]) == (1, 1)
    assert call_bootcamp("rescore", run_dir, "--bootcamps-path", package).returncode == 0
    assert open_run(run_dir).summary.complete
