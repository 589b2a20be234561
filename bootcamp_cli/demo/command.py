"""The command line of `python -m bootcamp_cli.demo`: read into a configuration, and written from one."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bootcamp_cli.demo.config import OTHER_BOOTCAMPS, DemoConfig, LatencyShape
from bootcamp_cli.demo.fault_table import FAULTS, fault_kind
from bootcamp_cli.demo.faults import Fault, parse_fault
from bootcamp_cli.errors import BootcampError

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

    config: DemoConfig
    lifetime: Lifetime
    port_file: Path | None = None


def demo_command(config: DemoConfig, *, port_file: Path | None = None) -> list[str]:
    """The command that runs this server as a process of its own, which ends when its stdin is closed.

    Its first line on stdout is the base URL. Start it with a pipe as stdin and keep the pipe open: however the starting
    process ends, the server then ends as well. The API key stands in the command line, so it must not be a real one.
    """
    argv = [sys.executable, "-m", "bootcamp_cli.demo", "--until-stdin-closes"]
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
    if config.by_turns:
        argv.append("--by-turns")
    return argv


def parse_command(arguments: Sequence[str]) -> Invocation:
    """Read the command line; a wrong one ends the process with status 2, as argparse has it."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        config = DemoConfig(
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
            by_turns=given.by_turns,
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
        prog="python -m bootcamp_cli.demo",
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
    add("--by-turns", action="store_true", help="answer rows that share a prompt in turn: for one request at a time")
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
