"""The public functions: what the commands do, without a command line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import Settings, evaluate, open_run
from bootcamp_cli.events import Event, Noted, RunEnded, RunStarted, SampleRecorded, Warned
from tests.conftest import FaultServerProcess, StartFaultServer


def settings_for(server: FaultServerProcess, test_dir: Path, tmp_path: Path, **values: Any) -> Settings:
    """Settings of an evaluation against a server."""
    given: dict[str, Any] = {
        "url": server.url,
        "test_dir": test_dir,
        "max_tokens": 4000,
        "output_dir": tmp_path / "output",
    }
    return Settings(**(given | values))


def test_an_evaluation_prints_nothing_and_gives_its_run(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` tells what happens as events, returns the run, and prints not a word."""
    events: list[Event] = []
    run = evaluate(settings_for(fault_server(test_dir=demo_test_dir), demo_test_dir, tmp_path), events.append)
    assert run.summary.complete
    assert run.path.parent == tmp_path / "output"
    assert run.scores.is_file()
    assert (run.path / "meta.jsonl").is_file()
    assert (run.path / "progress.log").is_file()
    kinds = [type(event) for event in events]
    assert kinds.index(RunStarted) < kinds.index(RunEnded)
    assert kinds.count(SampleRecorded) == run.summary.n_samples == 112
    assert any("using model demo" in event.message for event in events if isinstance(event, Noted))
    assert not [event for event in events if isinstance(event, Warned)]
    again = open_run(run.path)
    again.write_reports()
    assert again.summary == run.summary
    assert capfd.readouterr() == ("", "")


def test_the_api_loads_no_more_than_is_asked_for() -> None:
    """To look up settings and templates neither the engine nor an event loop is loaded."""
    code = (
        "import sys; from pathlib import Path; from bootcamp_cli import api\n"
        "api.list_templates(api.read_settings(api.Sources(flags={}, env={}, cwd=Path.cwd())))\n"
        "print({'typer', 'rich', 'anyio', 'asyncio', 'bootcamp_cli.engine.run'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
