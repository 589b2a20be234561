"""What a fault server is asked to be, and the command line of `python -m tests.fault_server` that says so."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, get_args

from bootcamp_cli.demo.model import OTHER_BOOTCAMPS
from bootcamp_cli.errors import BootcampError, SettingsError
from tests.fault_server.faults import Fault, parse_fault
from tests.fault_server.menu import FAULTS, fault_kind

LatencyShape = Literal["exponential", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultServerConfig:
    """A fault server: what it serves, how well, how fast, and what goes wrong.

    `port` 0 takes a free one. `skills` are the shares of right answers by data source; without an entry they differ
    from bootcamp to bootcamp, as with a real model. `latency_s` is the mean over prompts. `max_model_len` is listed and
    enforced as by vLLM. `reasoning_parser` puts the thoughts into `reasoning_content` in chat mode. `log_requests`
    adds one entry per request to the statistics. `by_row` answers a prompt that several rows share, with different
    ground truths, for one of them after the other: right for requests in row order, one at a time. `metrics` shows at
    `/metrics` its load as vLLM does, that of a server for 4 requests at once.

    Raises:
        SettingsError: a value is out of range, or the host is not loopback: the server has no protection at all.
    """

    test_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = ("demo",)
    api_key: str | None = field(default=None, repr=False)
    max_model_len: int | None = None
    latency_s: float = 0.0
    latency_shape: LatencyShape = "exponential"
    faults: tuple[Fault, ...] = ()
    skills: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    reasoning_parser: bool = False
    log_requests: bool = False
    by_row: bool = False
    by_seed: bool = False
    metrics: bool = False

    def __post_init__(self) -> None:
        if not _is_loopback(self.host):
            raise SettingsError(f"host: must be a loopback address such as 127.0.0.1, got {self.host!r}")
        if not 0 <= self.port < 65536:
            raise SettingsError(f"port: must be between 0 and 65535, got {self.port}")
        if not self.models:
            raise SettingsError("model: at least one name is needed")
        if not 0 <= self.latency_s < float("inf"):
            raise SettingsError(f"latency: must be at least 0 seconds, got {self.latency_s}")
        for name, skill in self.skills.items():
            if not 0 <= skill <= 1:
                raise SettingsError(f"skill: {name}: must be between 0 and 1, got {skill}")


DEFAULT_LIFETIME_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """When the server process ends by itself; SIGINT and SIGTERM end it in any case."""

    max_s: float = DEFAULT_LIFETIME_S
    until_stdin_closes: bool = False
    until_parent_exits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What the command line asks for; `port_file` gets the port number once the server listens."""

    config: FaultServerConfig
    lifetime: Lifetime
    port_file: Path | None = None


def server_command(config: FaultServerConfig, *, port_file: Path | None = None) -> list[str]:
    """The command that runs this server as a process of its own, which ends when its stdin is closed.

    Its first line on stdout is the base URL. Start it with a pipe as stdin and keep the pipe open: however the starting
    process ends, the server then ends as well. The API key stands in the command line, so it must not be a real one.
    """
    argv = [sys.executable, "-m", "tests.fault_server", "--until-stdin-closes"]
    argv += [f"--host={config.host}", f"--port={config.port}", f"--seed={config.seed}"]
    argv += [f"--latency={config.latency_s!r}", f"--latency-shape={config.latency_shape}"]
    argv += [f"--model={name}" for name in config.models]
    argv += [f"--fault={fault}" for fault in config.faults]
    argv += [f"--skill={name}={skill!r}" for name, skill in config.skills.items()]
    for option, value in (
        ("--test-dir", config.test_dir),
        ("--api-key", config.api_key),
        ("--max-model-len", config.max_model_len),
        ("--port-file", port_file),
    ):
        if value is not None:
            argv.append(f"{option}={value}")
    if config.reasoning_parser:
        argv.append("--reasoning-parser")
    if config.log_requests:
        argv.append("--log-requests")
    if config.by_row:
        argv.append("--by-row")
    if config.by_seed:
        argv.append("--by-seed")
    if config.metrics:
        argv.append("--metrics")
    return argv


def parse_command(arguments: Sequence[str]) -> Invocation:
    """Read the command line; a wrong one ends the process with status 2, as argparse has it."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        config = FaultServerConfig(
            test_dir=given.test_dir,
            host=given.host,
            port=given.port,
            models=tuple(given.model) or ("demo",),
            api_key=given.api_key,
            max_model_len=given.max_model_len,
            latency_s=given.latency,
            latency_shape=given.latency_shape,
            faults=tuple(_fault(spec) for spec in given.fault),
            skills=dict(given.skill),
            seed=given.seed,
            reasoning_parser=given.reasoning_parser,
            log_requests=given.log_requests,
            by_row=given.by_row,
            by_seed=given.by_seed,
            metrics=given.metrics,
        )
    except BootcampError as error:
        parser.error(str(error))
    lifetime = Lifetime(
        max_s=given.lifetime,
        until_stdin_closes=given.until_stdin_closes,
        until_parent_exits=given.until_parent_exits,
    )
    return Invocation(config=config, lifetime=lifetime, port_file=given.port_file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fault_server",
        description="An OpenAI-compatible server on loopback that answers the built-in bootcamps.",
        epilog="Faults: a status of 400 to 599 (retry-after=SECONDS, retry-after-date=SECONDS), "
        + "; ".join(f"{name}: {kind.meaning}" for name, kind in FAULTS.items())
        + ". Every fault takes on=models|completions, first=N, after=N (requests), attempts=N (of each prompt), "
        + "sample=N (of the test dir, from 0).",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--test-dir", type=Path, help="the samples to answer: a directory of *.jsonl")
    add("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    add("--port", type=int, default=0, help="0 takes a free one (default)")
    add("--port-file", type=Path, help="write the port number to this file once the server listens")
    add("--model", action="append", default=[], help="a model name to serve; repeatable (default: demo)")
    add("--api-key", help="refuse requests that do not carry it")
    add("--max-model-len", type=int, help="the context length in tokens")
    add("--latency", type=float, default=0.0, help="mean seconds per answer (default: %(default)s)")
    add("--latency-shape", choices=get_args(LatencyShape), default="exponential", help="(default: %(default)s)")
    add(
        "--fault", action="append", default=[], help="NAME[:PROBABILITY][:KEY=NUMBER ...], such as 500:0.05; repeatable"
    )
    add("--skill", action="append", default=[], type=_skill, help="the share of right answers: 0.7 or Sudoku=0.7")
    add("--seed", type=int, default=0, help="of answers, latencies and faults (default: %(default)s)")
    add("--reasoning-parser", action="store_true", help="in chat mode, put the thoughts into reasoning_content")
    add("--log-requests", action="store_true", help="list every completion request in GET /stats")
    add(
        "--by-row",
        action="store_true",
        help="answer rows that share a prompt one after the other: for one request at a time",
    )
    add("--by-seed", action="store_true", help="another seed in a request gives another answer")
    add("--metrics", action="store_true", help="show at /metrics the load, as vLLM does")
    add("--lifetime", type=float, default=DEFAULT_LIFETIME_S, help="end after so many seconds (default: %(default)s)")
    add("--until-stdin-closes", action="store_true", help="end at the end of stdin, which must be a pipe or terminal")
    add("--until-parent-exits", action="store_true", help="end when the process that started it has ended")
    return parser


def _fault(spec: str) -> Fault:
    fault = parse_fault(spec)
    fault_kind(fault)
    return fault


def _skill(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    return name or OTHER_BOOTCAMPS, float(value)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
