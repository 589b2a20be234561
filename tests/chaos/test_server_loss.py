"""Servers that fail for all requests: what pauses the run, what stops it, and that nothing answered is lost."""

import time
from pathlib import Path

import pytest

from tests.chaos.fault_runs import (
    Scene,
    ToolRun,
    eval_args,
    prompts_of,
    read_ledger,
    run_tool,
    sent,
    settled,
    start_tool,
)
from tests.chaos.run_facts import LOSS_FACTS, N_RUN_SAMPLES, RUN_FACTS, LossFact, RunFact
from tests.conftest import FaultServerProcess, StartFaultServer

N_BEFORE = 10
"""Samples that are answered before the server dies."""

RESTART_S = 90
"""How long the server is away in the long form."""


@pytest.fixture
def scene(
    fault_server: StartFaultServer, demo_test_dir: Path, clean_environment: dict[str, str], tmp_path: Path
) -> Scene:
    """A scene with three samples of each generated test file."""
    few = tmp_path / "few"
    few.mkdir()
    for path in demo_test_dir.glob("*.jsonl"):
        (few / path.name).write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:3]), "utf-8")
    assert len(prompts_of(few)) == N_RUN_SAMPLES
    return Scene(test_dir=few, start=fault_server, environment=clean_environment, cwd=tmp_path)


@pytest.mark.parametrize("fact", RUN_FACTS, ids=lambda fact: fact.does)
def test_run_facts(scene: Scene, fact: RunFact, *, long_form: bool) -> None:
    """The run ends as the fact says, has sent no request too many, and is completed against a healed server."""
    if not (fact.quick or long_form):
        pytest.skip("in the long form only")
    server = scene.start(test_dir=scene.test_dir, faults=fact.faults, log_requests=True, **fact.config)
    if not fact.is_up:
        server.stop()
    slots = ("--max-concurrent-requests", "1")
    args = eval_args(server.url, scene.test_dir, *slots, *fact.flags)
    ended = run_tool(args, scene.environment, scene.cwd)
    assert ended.code == fact.exit_code, ended.stderr
    assert fact.said in ended.stderr
    assert ended.stderr.count("warning: the server's replies name") <= 1
    if fact.is_up:
        n_sent = settled(server)["by_path"].get("/v1/completions", 0)
        assert n_sent == fact.n_sent or (fact.or_more and n_sent > fact.n_sent)
        server.stop()
    answered = {}
    if fact.n_sent:
        answered = read_ledger(scene.cwd / "out", scene.test_dir).records
        assert all(record["attempts"] == 1 for record in answered.values()) or fact.again == "yes"
    assert len(answered) == fact.n_answered
    complete(scene, args, server.port, set(answered))
    print(f"\n{fact.does}: exit {fact.exit_code}, {len(answered)} answers kept, 0 lost")


@pytest.mark.parametrize("fact", LOSS_FACTS, ids=lambda fact: fact.does)
def test_a_server_that_dies(scene: Scene, fact: LossFact, *, long_form: bool) -> None:
    """The run pauses when the server is gone; what it had answered is never asked for again."""
    if not (fact.quick or long_form):
        pytest.skip("in the long form only")
    first = scene.start(test_dir=scene.test_dir, faults=[f"hang:after={N_BEFORE}"], log_requests=True)
    # a server that comes back at all has to be started within the wait
    wait = {"demo": "10m", None: "2s"}.get(fact.comes_back, "20s")
    args = eval_args(first.url, scene.test_dir, "--wait", wait, "--max-retries", "8")
    tool = start_tool(args, scene.environment, scene.cwd)
    try:
        once_in_flight(first, n=4)
        answered_before = {prompt for prompt, entry in answers(first).items() if entry == 200}
        assert len(answered_before) == N_BEFORE
        first.process.kill()
        first.stop()
        once_said(tool, "paused, no new requests: the server cannot be reached")
        if long_form and fact.comes_back == "demo":
            time.sleep(RESTART_S)
        port = first.port
        second = fact.comes_back and scene.start(
            test_dir=scene.test_dir, model=fact.comes_back, port=port, log_requests=True
        )
        ended = tool.end()
    finally:
        tool.kill()
    assert ended.code == fact.exit_code, ended.stderr
    assert fact.said in ended.stderr
    ledger = read_ledger(scene.cwd / "out", scene.test_dir)
    assert answered_before <= ledger.records.keys()
    if second:
        owed = set(prompts_of(scene.test_dir).values()) - answered_before
        assert sent(settled(second)) == (dict.fromkeys(owed, 1) if fact.exit_code == 0 else {})
        second.stop()
    complete(scene, args, port, set(ledger.records))
    away = f"{RESTART_S} s" if long_form and fact.comes_back == "demo" else "a moment"
    print(f"\n{fact.does}: away for {away}, exit {ended.code}, 0 answers lost")


def complete(scene: Scene, args: list[str], port: int, answered: set[str]) -> None:
    """Resume, or begin where no run had begun, against a healed server: it is asked for what is owed, once."""
    healed = scene.start(test_dir=scene.test_dir, port=port, log_requests=True)
    again = ["resume", *(str(path) for path in (scene.cwd / "out").glob("*"))] if (scene.cwd / "out").is_dir() else args
    ended = run_tool([*again, "--timeout", "60s"], scene.environment, scene.cwd)
    assert ended.code == 0, ended.stderr
    prompts = set(prompts_of(scene.test_dir).values())
    assert sent(settled(healed)) == dict.fromkeys(prompts - answered, 1)
    ledger = read_ledger(scene.cwd / "out", scene.test_dir)
    assert not ledger.failures
    assert ledger.records.keys() == prompts
    healed.stop()


def answers(server: FaultServerProcess) -> dict[str, int]:
    """The statuses of the requests that ended, by prompt."""
    return {entry["prompt"]: entry["status"] for entry in server.stats()["log"]}


def once_in_flight(server: FaultServerProcess, *, n: int) -> None:
    """Return when `n` requests hang and every other one is answered."""
    deadline = time.monotonic() + 60
    while server.stats()["in_flight"] < n or server.stats()["answered"] < N_BEFORE:
        assert time.monotonic() < deadline, server.stats()
        time.sleep(0.01)


def once_said(tool: ToolRun, text: str) -> None:
    """Return when the tool has said something."""
    deadline = time.monotonic() + 60
    while text not in tool.stderr():
        assert time.monotonic() < deadline, tool.stderr()
        assert tool.process.poll() is None, tool.stderr()
        time.sleep(0.01)
