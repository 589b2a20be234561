"""Verifiers that are not built in are loaded before the first request: nothing is paid for that cannot be verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli import Settings, StopRequest, evaluate, open_run
from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.engine.plan import unloadable_lines
from bootcamp_cli.errors import InterruptedRunError, ServerUnavailableError, UnknownBootcampError
from bootcamp_cli.events import Event, Warned
from bootcamp_cli.reports.forms import render
from bootcamp_cli.verification.loading import Loading, load_ahead
from tests.bootcamps_upstream_package import TOP_LEVEL, build_package
from tests.conftest import RunBootcamp, StartFaultServer, WriteRows
from tests.test_eval_run_directory import records

NOWHERE = "http://127.0.0.1:9/v1"
HEADS = {
    "Lacking": f"{TOP_LEVEL}import no_such_requirement.part\n",
    "Lacking2": f"{TOP_LEVEL}from no_such_requirement import part\n",
    "Failing": f"{TOP_LEVEL}raise ValueError('not today')\n",
}
MISSING = "ModuleNotFoundError: No module named 'no_such_requirement'"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of classes that cannot be loaded, and one that can."""
    return build_package(tmp_path / "package", dict.fromkeys((*HEADS, "Fine"), "pass"), heads=HEADS)


@pytest.fixture
def mixed(write_rows: WriteRows, tmp_path: Path) -> Path:
    """A test dir with a class that can be loaded and one that lacks a requirement, in files of their own."""
    return rows_of(write_rows, tmp_path, "Fine", "Lacking")


def rows_of(write_rows: WriteRows, tmp_path: Path, *names: str) -> Path:
    """A test dir with two rows of each of these data sources."""
    for name in names:
        rows = [{"data_source": name, "prompt": f"{name} {number}?", "ground_truth": "1"} for number in range(2)]
        write_rows(tmp_path / "tests" / f"{name}.jsonl", rows)
    return tmp_path / "tests"


def settings_of(url: str, test_dir: Path, package: Path | None, **values: Any) -> Settings:
    """The settings of a run with the verifiers of a package."""
    given = {"url": url, "test_dir": test_dir, "bootcamps_path": package, "model_name": "demo", "max_tokens": 100}
    return Settings(**{**given, "output_dir": test_dir.parent / "output", **values})


def reasons_in(package: Path, *names: str, **values: Any) -> Mapping[str, str]:
    """Why these classes of a package cannot be loaded."""
    return loading_of(package, *names, **values).reasons


def loading_of(package: Path, *names: str, **values: Any) -> Loading:
    """What comes of loading these classes of a package."""
    refs = [ref for name in names if (ref := Resolver("auto", package).resolve(name))]
    assert len(refs) == len(names)
    return anyio.run(load_ahead, refs, Settings(**values))


def test_reasons_are_those_of_the_import(package: Path) -> None:
    """What cannot be loaded is told with the reason, the missing requirement by name; what can be is not mentioned."""
    not_today = f"not today; with the whole package: {MISSING}"
    reasons = reasons_in(package, "Fine", *HEADS)
    assert list(reasons) == list(HEADS)
    assert unloadable_lines(reasons) == (
        f"Lacking, Lacking2: {MISSING}",
        f"Failing: ImportError: cannot import Failingbootcamp: ValueError: {not_today}",
    )


def test_a_bootcamp_may_name_its_family(
    fault_server: StartFaultServer, demo_test_dir: Path, write_rows: WriteRows, tmp_path: Path
) -> None:
    """The attribute `family` of a class comes from the worker, stands in the manifest and groups the report."""
    bodies = {
        "Mine": "family = 'my\\x1bfamily'",
        "Long": f"family = '{'x' * 101}'",
        "Fine": "pass",
        "Number": "family = 7",
    }
    package = build_package(tmp_path / "package", bodies)
    assert loading_of(package, *bodies) == Loading(families={"Mine": "my\x1bfamily"})
    server = fault_server(test_dir=demo_test_dir)
    run = evaluate(settings_of(server.url, rows_of(write_rows, tmp_path, "Mine", "Fine"), package))
    assert list(run.summary.families) == list(open_run(run.path).summary.families) == ["my\x1bfamily", "other"]
    assert "my\\x1bfamily" in render(run.summary, "table", by="family")


def test_an_import_that_ends_its_worker_is_told(tmp_path: Path) -> None:
    """A class whose import kills the worker is named with that; those after it load in another."""
    heads = {"Exiting": f"{TOP_LEVEL}import os\nos._exit(3)\n"}
    build_package(tmp_path, {"Exiting": "pass", "Fine": "pass"}, heads=heads)
    reasons = reasons_in(tmp_path, "Exiting", "Fine")
    assert reasons == {"Exiting": "importing Exitingbootcamp: the worker exited with code 3"}


def test_no_bootcamp_pays_for_the_memory_of_another(tmp_path: Path) -> None:
    """Two that leave no room for each other in one worker both load: the second in a worker of its own."""
    large = f"{TOP_LEVEL}BALLAST = bytearray(600 * 2**20)\n"
    build_package(tmp_path, {"One": "pass", "Other": "pass"}, heads={"One": large, "Other": large})
    assert reasons_in(tmp_path, "One", "Other", verify_memory=1024, verify_workers=1) == {}
    assert list(reasons_in(tmp_path, "One", "Other", verify_memory=512, verify_workers=1)) == ["One", "Other"]


def test_many_are_told_in_one_line() -> None:
    """Twenty data sources with the same reason are named, the others counted."""
    reasons = {f"S{n}": f"cannot import m.s{n}:S{n}bootcamp: {MISSING}" for n in range(23)}
    [line] = unloadable_lines(reasons)
    assert line == f"{', '.join(f'S{n}' for n in range(20))} and 3 more: {MISSING}"


def test_nothing_is_sent_where_a_verifier_cannot_be_loaded(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    package: Path,
    mixed: Path,
    run_bootcamp: RunBootcamp,
    tmp_path: Path,
) -> None:
    """A missing requirement is exit 2 before the first completion, with its name and the way out; no run is begun."""
    server = fault_server(test_dir=demo_test_dir)
    words = ("--url", server.url, "--model-name", "demo", "--test-dir", mixed, "--bootcamps-path", package)
    done = run_bootcamp("eval", *words)
    assert done.returncode == 2, done.stderr
    assert f"Lacking: {MISSING}" in done.stderr
    assert "install no_such_requirement" in done.stderr
    assert "--allow-unscored" in done.stderr
    assert "/v1/completions" not in server.stats()["by_path"]
    assert not (tmp_path / "output").exists()


def test_outputs_of_what_cannot_be_loaded_wait_for_rescore(
    fault_server: StartFaultServer, demo_test_dir: Path, package: Path, mixed: Path
) -> None:
    """With allow_unscored its outputs are kept as unscored, with the reason; rescore scores them once it loads."""
    server = fault_server(test_dir=demo_test_dir)
    events: list[Event] = []
    run = evaluate(settings_of(server.url, mixed, package, allow_unscored=True), events.append)
    [warning] = [event.message for event in events if isinstance(event, Warned)]
    assert f"Lacking: {MISSING}" in warning
    found = records(run.path)
    assert [(line["score"], line["failure"]) for line in found["Lacking.jsonl"]] == [(None, "unscored")] * 2
    assert all(line["score"] is not None for line in found["Fine.jsonl"])
    n_requests = server.stats()["requests"]
    open_run(run.path).resume()
    assert server.stats()["requests"] == n_requests

    module = package / "internbootcamp" / "bootcamp" / "lacking" / "lacking.py"
    module.write_text(module.read_text().replace("import no_such_requirement.part\n", ""))
    open_run(run.path).rescore(Settings(bootcamps_path=package))
    assert [line["score"] for line in records(run.path)["Lacking.jsonl"]] == [0.0, 0.0]


def test_a_verifier_that_cannot_be_loaded_ends_the_wait_for_the_model(package: Path, mixed: Path) -> None:
    """While a server is waited for, verifiers are loaded: what they lack is told at once, not after the wait."""
    settings = settings_of(NOWHERE, mixed, package, wait=3600.0)
    with pytest.raises(UnknownBootcampError, match="1 data source cannot be loaded"):
        evaluate(settings, stop=StopRequest())


def test_a_server_that_is_away_is_told_as_ever(package: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    """Where all verifiers load, a server that is not there is what ends the run, also for those who may stop it."""
    test_dir = rows_of(write_rows, tmp_path, "Fine")
    settings = settings_of(NOWHERE, test_dir, package, wait=0.0)
    for stop in (None, StopRequest()):
        with pytest.raises(ServerUnavailableError):
            evaluate(settings, stop=stop)


def test_loading_can_be_stopped(write_rows: WriteRows, tmp_path: Path) -> None:
    """A request to stop ends the loading of a verifier that takes long."""
    heads = {"Slow": f"{TOP_LEVEL}import time\ntime.sleep(1000)\n"}
    package = build_package(tmp_path / "package", {"Slow": "pass"}, heads=heads)
    stop = StopRequest()
    stop.request()
    with pytest.raises(InterruptedRunError):
        evaluate(settings_of(NOWHERE, rows_of(write_rows, tmp_path, "Slow"), package), stop=stop)


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a verifier is loaded ahead."""

    async def refuse(*args: object) -> Loading:
        raise AssertionError(args)

    monkeypatch.setattr("bootcamp_cli.verification.loading.load_ahead", refuse)


@pytest.mark.usefixtures("no_loading")
def test_built_in_verifiers_are_not_loaded_ahead(
    fault_server: StartFaultServer, demo_test_dir: Path, package: Path, tmp_path: Path
) -> None:
    """A run of built-in bootcamps starts no worker before its answers, even with a package beside them."""
    server = fault_server(test_dir=demo_test_dir)
    settings = settings_of(server.url, demo_test_dir, package, output_dir=tmp_path / "output", max_tokens=4000)
    assert evaluate(settings).summary.complete


def test_only_what_is_owed_is_loaded(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    package: Path,
    mixed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A continued run loads the verifiers of the files that still lack answers; a finished one loads none."""
    loaded: list[list[str]] = []

    async def note(refs: Any, *_: object) -> Loading:
        loaded.append([ref.data_source for ref in refs])
        return Loading()

    monkeypatch.setattr("bootcamp_cli.verification.loading.load_ahead", note)
    server = fault_server(test_dir=demo_test_dir)
    settings = settings_of(server.url, mixed, package, output_dir=tmp_path / "output")
    run = evaluate(settings)
    details = run.path / "details" / "Lacking.jsonl"
    details.write_bytes(b"".join(details.read_bytes().splitlines(keepends=True)[:1]))
    open_run(run.path).resume()
    open_run(run.path).resume()
    assert loaded == [["Fine", "Lacking"], ["Lacking"]]
