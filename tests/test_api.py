"""What the commands do, without a command line."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from bootcamp_cli import api
from bootcamp_cli.engine.events import Event, RunEnded, RunStarted
from bootcamp_cli.settings.sources import Sources
from tests.conftest import StartFaultServer


@dataclass
class Heard:
    """A listener that keeps what it is told."""

    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def notify(self, text: str) -> None:
        """Keep a notice."""
        self.notices.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


class Watching:
    """A display that keeps the events and shows nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._ended = anyio.Event()

    def handle(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
        if isinstance(event, RunEnded):
            self._ended.set()

    async def run(self) -> None:
        """Wait for the end."""
        await self._ended.wait()


def test_an_evaluation_prints_nothing_and_gives_its_run(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Plan and evaluation tell a listener and a display what happens, return the run, and print not a word."""
    flags = {"url": fault_server(test_dir=demo_test_dir).url, "test_dir": str(demo_test_dir), "max_tokens": "4000"}
    resolved = api.read_settings(Sources(flags=flags, env={}, cwd=tmp_path))
    heard, watching = Heard(), Watching()
    run = api.evaluate(api.plan_evaluation(resolved, heard), heard, lambda _: watching)
    assert run.summary.complete
    assert run.run_dir.path.parent == tmp_path / "output"
    assert run.scores.is_file()
    assert run.run_dir.meta.is_file()
    assert any("using model demo" in notice for notice in heard.notices)
    assert heard.warnings == []
    assert isinstance(watching.events[0], RunStarted)
    assert api.report(api.open_run_dir(run.run_dir.path), heard) == run.summary
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
