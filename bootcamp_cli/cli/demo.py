"""`bootcamp demo`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, Flags, command
from bootcamp_cli.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from bootcamp_cli.demo.config import DemoConfig
    from bootcamp_cli.settings.sources import Resolved

_FAULTS = ("429:0.02:retry-after=0.1", "500:0.02")
_START_S = 30.0


@command(
    settings=("output_dir", "api_mode", "template", "stream", "max_concurrent_requests"),
    example="bootcamp demo\nbootcamp demo --rows 50 --latency 0.2 --output-dir /tmp/demo",
)
def demo_command(
    call: Call,
    rows: Annotated[int, typer.Option(metavar="N", help="samples per bootcamp", rich_help_panel="Demo")] = 8,
    seed: Annotated[int, typer.Option(metavar="N", help="of samples, answers and faults", rich_help_panel="Demo")] = 0,
    latency: Annotated[
        float, typer.Option(metavar="SECONDS", help="mean time per answer", rich_help_panel="Demo")
    ] = 0.3,
    test_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="answer this test dir instead of a generated one", rich_help_panel="Demo"),
    ] = None,
) -> int:
    """Evaluate an embedded, imperfect model on generated samples, through HTTP and with some faults.

    It needs neither a model nor data nor settings: environment and settings files are not read. The run directory that
    it leaves is that of any evaluation.
    """
    from tempfile import TemporaryDirectory

    from bootcamp_cli.cli.evaluation import evaluate
    from bootcamp_cli.cli.preparation import plan_of
    from bootcamp_cli.demo.config import DemoConfig
    from bootcamp_cli.demo.faults import parse_fault
    from bootcamp_cli.demo.instances import make_test_dir

    if rows < 1:
        raise UsageError(f"--rows: must be at least 1, got {rows}")
    with TemporaryDirectory(prefix="bootcamp-") as scratch:
        directory = Path(test_dir) if test_dir is not None else Path(scratch) / "tests"
        if test_dir is None:
            make_test_dir(directory, seed=seed, rows=rows)
        faults = tuple(parse_fault(fault) for fault in _FAULTS)
        config = DemoConfig(test_dir=directory, latency_s=latency, seed=seed, faults=faults)
        with _server(config) as url:
            call.console.notice(f"demo server at {url}, mean latency {latency} s, faults {', '.join(_FAULTS)}")
            return evaluate(plan_of(_resolved(call, url, directory), call.console), call.console)


def _resolved(call: Call, url: str, test_dir: Path) -> "Resolved":
    """The settings of the demo: the command line and nothing else."""
    import os

    from bootcamp_cli.settings.sources import load_settings

    flags: Flags = {
        "url": url,
        "model_name": "demo",
        "test_dir": str(test_dir),
        "max_retrying_delay": "1",
        "template": "chatml",
    }
    return load_settings(
        flags=flags | call.flags, env={}, cwd=Path.cwd(), config=Path(os.devnull), profile=None, user_file=None
    )


@contextmanager
def _server(config: "DemoConfig") -> Iterator[str]:
    """The demo server as a process of its own, which ends with the block, or with this process; gives its URL."""
    import select
    import subprocess

    from bootcamp_cli.demo.command import demo_command as server_command

    process = subprocess.Popen(  # noqa: S603 - our own module
        server_command(config), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    assert process.stdout is not None  # noqa: S101 - as above
    try:
        ready, _, _ = select.select([process.stdout], [], [], _START_S)
        url = process.stdout.readline().strip() if ready else ""
        if not url:
            raise SettingsError("the demo server did not start", hint="see its error above")
        yield url
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()
