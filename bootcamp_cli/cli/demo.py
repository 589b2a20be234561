"""`bootcamp demo`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootcamp_cli.cli.options import Call, Flags, command
from bootcamp_cli.errors import EXIT_OK, DiskError, UsageError
from bootcamp_cli.text import is_url, shown_url

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from bootcamp_cli.demo.config import DemoConfig
    from bootcamp_cli.settings.sources import Resolved

_FAULTS = ("429:0.02:retry-after=0.1", "500:0.02")
_ROWS = 8
_OPEN_FILES_TO_SERVE = 65_536
_OPEN_FILES_OF_SERVER = 256


@command(
    settings=("output_dir", "api_mode", "template", "stream", "max_concurrent_requests"),
    rest="defaults",
    example="bootcamp demo\n"
    "bootcamp demo --rows 50 --latency 0.2 --output-dir /tmp/demo\n"
    "bootcamp demo --serve --port 8000 --tokens 2000\n"
    "bootcamp demo --loss grids:0.15 --flaw other_format:0.1",
)
def demo_command(  # noqa: PLR0913 - the options of the command
    call: Call,
    *,
    serve: Annotated[
        bool,
        typer.Option("--serve/--no-serve", help="only run the server, until Ctrl-C or SIGTERM", rich_help_panel="Demo"),
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option(metavar="N", help="samples per generated bootcamp, by default 8", rich_help_panel="Demo"),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="seed of samples, answers and faults", rich_help_panel="Demo")
    ] = 0,
    latency: Annotated[
        float, typer.Option(metavar="SECONDS", help="mean time per answer", rich_help_panel="Demo")
    ] = 0.3,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="mean length of answers in tokens (here words)", rich_help_panel="Demo"),
    ] = None,
    test_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="answer this test dir or file instead of a generated one", rich_help_panel="Demo"
        ),
    ] = None,
    skill: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="share of right answers; by default it differs from bootcamp to bootcamp",
            rich_help_panel="Demo",
        ),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAMILY:SHARE",
            help="lower the share of right answers of a family's bootcamps (kor_logic:0.15), repeatable",
            rich_help_panel="Demo",
        ),
    ] = None,
    flaw: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:SHARE",
            help="let a share of all answers be truncated, empty, a repetition_loop or in other_format, repeatable; "
            "that is right, but in another block than asked",
            rich_help_panel="Demo",
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(metavar="N", help="port of the server on 127.0.0.1; 0 takes any free one", rich_help_panel="Demo"),
    ] = 0,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="key that the server requires", rich_help_panel="Demo")
    ] = None,
    max_model_len: Annotated[
        int | None,
        typer.Option(metavar="N", help="context length of the model in tokens", rich_help_panel="Demo"),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATUS:PROBABILITY",
            help=f"let requests fail with 429 or 500, repeatable; without --serve by default {' and '.join(_FAULTS)}",
            rich_help_panel="Demo",
        ),
    ] = None,
) -> int:
    """Evaluate an embedded, imperfect model on generated samples, through HTTP and with some faults.

    It needs no model, data or settings: environment and settings files are not read. It leaves an ordinary run
    directory.

    With --serve nothing is evaluated: the model answers your own commands at the URL that is printed. Prompts that are
    not in the test dir get a wrong answer.
    """
    from bootcamp_cli.demo.config import DemoConfig, parse_fault, parse_flaw, parse_loss
    from bootcamp_cli.demo.instances import make_test_dir

    if rows is not None and test_dir is not None:
        raise UsageError("--rows: the test dir that is given has its own", hint="leave out one of the two")
    if test_dir is not None and is_url(test_dir):
        raise UsageError(f"--test-dir: must be a path on this machine, got the URL {shown_url(test_dir)}")
    rows = _ROWS if rows is None else rows
    if rows < 1:
        raise UsageError(f"--rows: must be at least 1, got {rows}")
    if serve and (unused := sorted(call.flags)):
        raise UsageError(f"--{unused[0].replace('_', '-')}: --serve evaluates nothing", hint="leave out one of the two")
    if "template" in call.flags and call.flags.get("api_mode") == "chat_completion":
        raise UsageError("--template: chat_completion takes none", hint="leave out one of the two")
    if api_key is not None:
        call.console.redaction.add([api_key])
    faults = (() if serve else _FAULTS) if fault is None else tuple(fault)
    with _scratch() as scratch:
        directory = Path(test_dir) if test_dir is not None else Path(scratch) / "tests"
        config = DemoConfig(
            test_dir=directory,
            port=port,
            api_key=api_key,
            max_model_len=max_model_len,
            latency_s=latency,
            n_tokens=tokens,
            faults=tuple(parse_fault(spec) for spec in faults),
            seed=seed,
            skill=skill,
            losses=dict(map(parse_loss, loss or ())),
            flaws=dict(map(parse_flaw, flaw or ())),
        )
        if test_dir is None:
            make_test_dir(directory, seed=seed, rows=rows)
        return _serve(call, config, directory) if serve else _evaluate(call, config, directory, faults)


def _scratch() -> "TemporaryDirectory[str]":
    from tempfile import TemporaryDirectory

    try:
        return TemporaryDirectory(prefix="bootcamp-")
    except OSError as error:
        raise DiskError("there is no temporary directory", hint="set TMPDIR to one that can be written") from error


def _serve(call: Call, config: "DemoConfig", test_dir: Path) -> int:
    """Run the server until a signal arrives; SIGINT stays ignored where it is, as in the background of a shell."""
    import signal

    import anyio

    from bootcamp_cli.cli.process import raise_open_file_limit
    from bootcamp_cli.demo.server import serve

    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ending = (signal.SIGTERM,) if is_ignored else (signal.SIGTERM, signal.SIGINT)

    async def run() -> None:
        with anyio.open_signal_receiver(*ending) as signals:
            async with serve(config) as url:
                call.console.notify(f"the model demo answers the prompts of {test_dir} until Ctrl-C or SIGTERM")
                call.console.result({"url": url, "test_dir": test_dir}, text=url)
                await anext(signals)

    raise_open_file_limit(_OPEN_FILES_TO_SERVE)
    anyio.run(run)
    return EXIT_OK


def _evaluate(call: Call, config: "DemoConfig", test_dir: Path, faults: tuple[str, ...]) -> int:
    from bootcamp_cli import api
    from bootcamp_cli.cli.process import run_shown
    from bootcamp_cli.cli.results import print_run

    with _served(config) as url:
        shown = f", faults {', '.join(faults)}" if faults else ""
        for what, shares in (("losses", config.losses), ("flaws", config.flaws)):
            shown += f", {what} {', '.join(f'{name}:{share:g}' for name, share in shares.items())}" if shares else ""
        call.console.notify(f"demo server at {url}, mean latency {config.latency_s} s{shown}")
        resolved = _resolved(call, config, url, test_dir)
        # both ends of every connection belong to this process
        n_connections = 2 * resolved.settings.max_concurrent_requests + _OPEN_FILES_OF_SERVER
        run = run_shown(
            call.console,
            lambda on_event, stop: api.evaluate_async(resolved, on_event, stop=stop),
            n_connections=n_connections,
        )
        return print_run(run, call.console, allow_unscored=resolved.settings.allow_unscored)


def _resolved(call: Call, config: "DemoConfig", url: str, test_dir: Path) -> "Resolved":
    """The settings of the demo: the command line and nothing else."""
    import os

    from bootcamp_cli.settings.sources import Sources, load_settings

    flags: Flags = {
        "url": url,
        "model_name": "demo",
        "test_dir": str(test_dir),
        "max_retrying_delay": "1",
        "template": "chatml",
    }
    if config.api_key is not None:
        flags["api_key"] = config.api_key
    return load_settings(Sources(flags=flags | call.flags, env={}, cwd=Path.cwd(), config=Path(os.devnull)))


@contextmanager
def _served(config: "DemoConfig") -> Iterator[str]:
    """The demo server in a thread of its own; yields its URL."""
    from anyio.from_thread import start_blocking_portal

    from bootcamp_cli.demo.server import serve

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve(config)) as url:
        yield url
