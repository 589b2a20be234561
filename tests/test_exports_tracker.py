"""`--tracker`: configuration and figures reach the tracker, and whatever it does the run is kept."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bootcamp_cli import open_run
from bootcamp_cli.errors import UsageError
from bootcamp_cli.events import Event, Noted, Warned
from bootcamp_cli.exports.tracker import Tracker, figures, parse_tracker
from tests.conftest import RunBootcamp, StartFaultServer
from tests.run_directories import write_run

STUB = """
import json, os, pathlib
calls = []
def _call(name, /, **values):
    calls.append([name, values])
    pathlib.Path(os.environ["TRACKED"]).write_text(json.dumps(calls))
    print("* the tracker talks")
    if os.environ.get("TRACKER_FAILS") == name:
        raise SystemExit("no such\\x1b[2J project") if name == "init" else ConnectionError("gone")
def init(project, name, config, **values): _call("init", project=project, name=name, config=config)
def log(figures, step=None): _call("log", figures=figures, step=step)
def finish(): _call("finish")
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of two families with a name that acts on a terminal."""
    path = write_run(tmp_path / "run", {"Maze": [[1.0], [0.0]], "Sudoku": [[1.0], [1.0]], "Game24": [[0.0], [None]]})
    (path / "eval_args.json").write_text(json.dumps({"model_name": "demo", "api_key": "sk-x", "temperature": 0.6}))
    return path


@pytest.fixture
def stub(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which trackio is a module that writes down how it is called."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "trackio.py").write_text(STUB)
    return {"PYTHONPATH": str(tmp_path / "stub"), "TRACKED": str(tmp_path / "calls.json")}


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[Any]]:
    """How the stub was called."""
    return lambda: list(json.loads((tmp_path / "calls.json").read_text()))


def test_figures_are_named_by_what_they_are_of(run_dir: Path) -> None:
    """The run, families and bootcamps have scores and lengths; what is not known is left out."""
    found = figures(open_run(run_dir).summary)
    assert {name: value for name, value in found.items() if name.startswith("score/")} == {
        "score/overall": pytest.approx(0.5),
        "score/grids": 0.75,
        "score/arithmetic": 0.0,
        "score/Mazebootcamp": 0.5,
        "score/Sudokubootcamp": 1.0,
        "score/Game24bootcamp": 0.0,
    }
    assert (found["n/samples"], found["n/scored"], found["truncated"]) == (6, 5, 0.0)
    assert found["interval/low"] < 0.5 < found["interval/high"]
    assert {name.partition("/")[0] for name in found} == {"score", "length", "interval", "truncated", "n"}


def test_report_logs_a_run(run_dir: Path, stub: dict[str, str], calls: Any, run_bootcamp: RunBootcamp) -> None:
    """The tracker is called once each, with masked secrets; what it prints does not mix with the result."""
    done = run_bootcamp(
        "report", run_dir, "--tracker", "trackio:maths", "--tracker-step", "300", "--format", "json", env=stub
    )
    assert done.returncode == 3  # an answer has no score
    assert json.loads(done.stdout)["n"] == 6
    assert "* the tracker talks" in done.stderr
    assert "trackio: logged run run in project maths" in done.stderr
    (_, init), (_, log), (last, _) = calls()
    assert last == "finish"
    assert (init["project"], init["name"], log["step"]) == ("maths", "run", 300)
    assert init["config"]["temperature"] == 0.6
    assert init["config"]["api_key"] == "***"
    assert log["figures"]["score/grids"] == 0.75
    done = run_bootcamp("report", run_dir, "--tracker", "trackio", "--tracker-run", "r1", "--quiet", env=stub)
    assert done.stderr == ""
    (_, init), (_, log), _ = calls()
    assert (init["project"], init["name"], log["step"]) == ("bootcamp", "r1", None)


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_failing_tracker_is_a_warning(fails: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tracker raises, also to end the process, is one visible line that says how to try again."""

    def act(name: str) -> Callable[..., None]:
        def called(**_: Any) -> None:
            if name == fails:
                raise SystemExit("no such\x1b[2J\nproject")

        return called

    stub = SimpleNamespace(init=act("init"), log=lambda _, step: act("log")(step=step), finish=act("finish"))
    monkeypatch.setitem(sys.modules, "trackio", stub)
    events: list[Event] = []
    assert open_run(run_dir).track(Tracker(module="trackio"), on_event=events.append) is False
    (warning,) = events
    assert isinstance(warning, Warned)
    again = f"`bootcamp report {run_dir} --tracker trackio`"
    said = r"no such\x1b[2J\nproject"
    assert warning.message == f"trackio failed (SystemExit: {said}): the run is kept, and {again} logs it again"


def test_eval_and_resume_log_when_they_are_done(
    stub: dict[str, str],
    calls: Any,
    tmp_path: Path,
    demo_test_dir: Path,
    fault_server: StartFaultServer,
    run_bootcamp: RunBootcamp,
) -> None:
    """A failing tracker leaves eval's exit code alone; resume of the finished run logs it."""
    server = fault_server(test_dir=demo_test_dir)
    common = ("--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, "--limit", "1")
    done = run_bootcamp(
        "eval", *common, "--output-dir", "out", "--tracker", "trackio", env=stub | {"TRACKER_FAILS": "log"}
    )
    assert done.returncode == 0, done.stderr
    assert "warning: trackio failed (ConnectionError: gone): the run is kept, and `bootcamp report " in done.stderr
    (run_dir,) = (tmp_path / "out").iterdir()
    done = run_bootcamp("resume", run_dir, "--tracker", "trackio", "--tracker-step", "7", "--json", env=stub)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run_dir"] == str(run_dir)
    assert [name for name, _ in calls()] == ["init", "log", "finish"]
    assert calls()[1][1]["step"] == 7


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--tracker", "mlflow"), "must be one of trackio"),
        (("--tracker", "trackio:"), "no project behind the colon"),
        (("--tracker", "trackio", "--tracker-step", "-1"), "must be 0 or more"),
        (("--tracker-step", "1"), "there is no tracker"),
        (("--tracker-run", "x"), "there is no tracker"),
    ],
)
def test_wrong_use_is_exit_2_before_a_request(words: tuple[str, ...], what: str, call_bootcamp: RunBootcamp) -> None:
    """A tracker that cannot be is said before server and test dir are looked at."""
    done = call_bootcamp("eval", "--url", "http://127.0.0.1:9/v1", "--test-dir", "nowhere", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr


def test_a_missing_tracker_is_exit_2(call_bootcamp: RunBootcamp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error names what to install, before the run starts."""
    monkeypatch.setattr("bootcamp_cli.exports.tracker.find_spec", lambda _: None)
    done = call_bootcamp("eval", "--url", "http://127.0.0.1:9/v1", "--test-dir", "nowhere", "--tracker", "trackio")
    assert done.returncode == 2
    assert "pip install 'bootcamp-cli[trackio]'" in done.stderr


def test_the_library_tells_whether_it_logged(run_dir: Path) -> None:
    """`Run.track` gives False and a warning where the tracker cannot be imported, and refuses one that is unknown."""
    events: list[Event] = []
    run = open_run(run_dir)
    assert not run.track(Tracker(module="no_such_tracker"), on_event=events.append)
    assert [type(event) for event in events] == [Warned]
    with pytest.raises(UsageError):
        parse_tracker("no_such_tracker")
    assert not any(isinstance(event, Noted) for event in events)
