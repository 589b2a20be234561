"""Runs of the tool against a server that fails: the command line, the end of the process, what is on disk."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootcamp_cli.demo.model import digest
from bootcamp_cli.server.health import PROBE_PROMPT
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.chaos.fault_facts import Form
from tests.conftest import FaultServerProcess, StartFaultServer

KEY = "sk-marked-key-of-the-faults"

NEUTRAL = {digest(PROBE_PROMPT), *(digest(template.render(PROBE_PROMPT)) for template in BUILTIN_TEMPLATES)}
"""The prompts by which a look at a server, or a refused run, asks for a completion."""

_MAX_S = 300
"""A run that takes longer hangs: the test kills it and fails."""

_FORMS: Mapping[Form, tuple[str, ...]] = {"whole": (), "stream": ("--stream",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A process of the tool, whose output goes to files so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    log: Path

    def stderr(self) -> str:
        """What it has said so far."""
        return self.log.read_text("utf-8")

    def end(self) -> "ToolEnd":
        """Wait for its end; one that does not come is a failure of the test."""
        deadline, peak_mib = time.monotonic() + _MAX_S, 0
        while time.monotonic() < deadline:
            peak_mib = max(peak_mib, peak_mib_of(self.process.pid))
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                if sys.platform == "darwin":
                    peak_mib = usage.ru_maxrss // (1024 * 1024)
                return ToolEnd(code=self.process.returncode, stderr=self.stderr(), peak_mib=peak_mib)
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"the run does not end; it said: {self.stderr()[-2000:]}")

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def peak_mib_of(pid: int) -> int:
    """The most memory that a running process has had; 0 where the system does not tell, or it has ended.

    The usage that `wait4` gives would count what the process had before it became another program: this one's memory.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0) // 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnd:
    """How a process of the tool ended: exit code, stderr, and the most memory that it had, in MiB."""

    code: int
    stderr: str
    peak_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A test dir that the tool evaluates, and what it takes to start servers and the tool."""

    test_dir: Path
    start: StartFaultServer
    environment: dict[str, str]
    cwd: Path


def eval_args(url: str, test_dir: Path, *flags: str, form: Form = "whole", api_mode: str = "completion") -> list[str]:
    """The command line of an evaluation, the one place where it is made: short waits, two retries, four slots."""
    return [
        *["eval", "--url", url, "--model-name", "demo", "--test-dir", str(test_dir), "--output-dir", "out"],
        *["--max-concurrent-requests", "4", "--max-retries", "2", "--max-retrying-delay", "50ms"],
        *["--wait", "1s", "--poll-interval", "200ms", "--api-mode", api_mode, *_FORMS[form], *flags],
    ]


def start_tool(args: Sequence[str], environment: Mapping[str, str], cwd: Path) -> ToolRun:
    """Start the tool; the caller waits for its end or kills it. The key is given by the environment."""
    log = cwd / f"stderr-{time.monotonic_ns()}"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "bootcamp_cli", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**environment, "BOOTCAMP_API_KEY": KEY},
            cwd=cwd,
            start_new_session=True,
        )
    return ToolRun(process=process, log=log)


def run_tool(args: Sequence[str], environment: Mapping[str, str], cwd: Path) -> ToolEnd:
    """Run the tool to its end."""
    return start_tool(args, environment, cwd).end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a run directory holds, by the digest of the prompt: the records and the failures."""

    records: dict[str, dict[str, Any]]
    failures: dict[str, dict[str, Any]]


def read_ledger(output: Path, test_dir: Path) -> Ledger:
    """Read the only run directory below `output`; every sample is in it at most once."""
    directories = [path for path in output.iterdir() if path.is_dir()] if output.is_dir() else []
    assert len(directories) == 1, directories
    prompts = prompts_of(test_dir)
    records: dict[str, dict[str, Any]] = {}
    for path in (directories[0] / "details").iterdir():
        for record in json_lines(path):
            prompt = prompts[path.name, record["row"]]
            assert prompt not in records, f"{path.name}: row {record['row']} has two records"
            records[prompt] = record
    failures: dict[str, dict[str, Any]] = {}
    for failure in json_lines(directories[0] / "failures.jsonl"):
        prompt = prompts[failure["file"], failure["row"]]
        assert prompt not in failures
        failures[prompt] = failure
    assert not records.keys() & failures.keys()
    return Ledger(records=records, failures=failures)


def prompts_of(test_dir: Path) -> dict[tuple[str, int], str]:
    """The digests of the prompts of a test dir by file and row, in the order in which the server numbers them."""
    return {
        (path.name, row): digest(sample["prompt"])
        for path in sorted(test_dir.glob("*.jsonl"))
        for row, sample in enumerate(json_lines(path))
    }


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; none where there is no such file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def sent(stats: Mapping[str, Any]) -> dict[str, int]:
    """How often the server was asked for each prompt, by its log; the neutral one of a look at the server left out."""
    counts: dict[str, int] = {}
    for entry in stats["log"]:
        if entry["prompt"] not in NEUTRAL:
            counts[entry["prompt"]] = counts.get(entry["prompt"], 0) + 1
    return counts


def settled(server: FaultServerProcess) -> dict[str, Any]:
    """The server's counts once it has noticed the end of every request."""
    while (stats := server.stats())["in_flight"]:
        time.sleep(0.01)
    return stats
