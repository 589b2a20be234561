"""Requests that fail: what is sent again, what fails with which kind, and that nothing answered is lost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.fault_facts import BOTH, SAMPLE_FACTS, Form, SampleFact
from tests.chaos.fault_runs import (
    KEY,
    Ledger,
    Scene,
    ToolEnd,
    eval_args,
    json_lines,
    prompts_of,
    read_ledger,
    run_tool,
    sent,
    settled,
)
from tests.conftest import StartFaultServer, WriteRows
from tests.fault_server.faults import Arrival, choose, parse_fault
from tests.raw_server import TRANSPORTS

MAX_RETRIES = 2
MAX_PEAK_MIB = 400
API_MODES: Mapping[Form, tuple[str, str]] = {
    "whole": ("completion", "chat_completion"),
    "stream": ("chat_completion", "completion"),
}
"""For each form of request the mode of the quick share, and the one of the long form."""


@pytest.fixture(params=TRANSPORTS)
def scene(
    request: pytest.FixtureRequest,
    demo_test_dir: Path,
    fault_server: StartFaultServer,
    clean_environment: dict[str, str],
    tmp_path: Path,
    *,
    long_form: bool,
) -> Scene:
    """A scene with the generated test dir; through httpx in the long form only."""
    if request.param == "httpx" and not long_form:
        pytest.skip("in the long form only")
    environment = {**clean_environment, "BOOTCAMP_TRANSPORT": request.param}
    return Scene(test_dir=demo_test_dir, start=fault_server, environment=environment, cwd=tmp_path)


def facts_of(form: Form, *deadlines: str) -> list[SampleFact]:
    """The facts about a form of request whose attempts end by one of these deadlines, and about no other request."""
    return [fact for fact in SAMPLE_FACTS if form in fact.forms and fact.deadline in deadlines and not fact.hangs_up]


@pytest.mark.parametrize("form", BOTH)
def test_all_faults_at_once(scene: Scene, form: Form, *, long_form: bool) -> None:
    """Each fault meets one sample always and one at its first try; the others notice nothing, and resume completes.

    What limits requests meets both at their first try only.
    """
    facts = facts_of(form, "")
    if form == "stream" and not long_form:
        facts = [fact for fact in facts if "mib" not in fact.fault]
    prompts = list(prompts_of(scene.test_dir).values())
    expected = dict.fromkeys(prompts, _End(kind=None, attempts=1))
    faults = []
    for place, fact in enumerate(facts):
        always, once = 2 * place, 2 * place + 1
        if fact.is_limit:
            faults += [f"{fact.fault}:sample={place}:attempts=1" for place in (always, once)]
            expected[prompts[always]] = expected[prompts[once]] = _End(kind=None, attempts=1, n_free=1)
            continue
        faults += [f"{fact.fault}:sample={always}", f"{fact.fault}:sample={once}:attempts=1"]
        ends = _end_always(fact), _End(kind=None, attempts=2) if fact.retried else _end_always(fact)
        expected[prompts[always]], expected[prompts[once]] = (
            replace(end, may_repeat=fact.is_unanswered) for end in ends
        )
    assert 2 * len(facts) < len(prompts), "some samples are to meet no fault"
    ended = check_run(scene, form, faults, expected, api_mode=API_MODES[form][0])
    assert ended.stderr.count("warning: the server's replies name the model") <= 2, "each name once"
    assert max(len(line) for line in ended.stderr.splitlines()) < 1000
    print(f"\n{form}: {len(facts)} faults at once, 0 answers lost")


@pytest.mark.parametrize("form", BOTH)
def test_connections_that_end_behind_the_answer(scene: Scene, form: Form, *, long_form: bool) -> None:
    """Every answer arrives; a request that was on its way on such a connection is sent again, on a new one."""
    if form == "stream" and not long_form:
        pytest.skip("in the long form only")
    facts = [fact for fact in SAMPLE_FACTS if fact.hangs_up]
    for fact in facts if long_form else facts[-1:]:
        cwd = scene.cwd / fact.fault
        cwd.mkdir()
        server = scene.start(test_dir=scene.test_dir, faults=[fact.fault], skill=1.0, log_requests=True)
        flags = ("--max-retries", "16", "--max-concurrent-requests", "1", "--limit", "8" if long_form else "3")
        ended = run_tool(eval_args(server.url, scene.test_dir, *flags, form=form), scene.environment, cwd)
        assert ended.code == 0, ended.stderr
        records = read_ledger(cwd / "out", scene.test_dir).records
        counts = sent(settled(server))
        assert len(records) == (112 if long_form else 42)
        assert records.keys() == counts.keys()
        assert all(counts[prompt] <= record["attempts"] for prompt, record in records.items())
        if fact.fault == "close":
            assert set(counts.values()) == {1}, "no answer is asked for twice"
        print(f"\n{form}, {fact.fault}: {len(records)} connections lost, 0 answers lost")


DEADLINES: list[tuple[Form, str]] = [("whole", "timeout"), ("stream", "idle_timeout"), ("stream", "timeout")]


@pytest.mark.parametrize(("form", "deadline"), DEADLINES)
def test_silent_servers(scene: Scene, form: Form, deadline: str, write_rows: WriteRows, *, long_form: bool) -> None:
    """Every try ends by its time limit, the sample fails with that kind, no slot hangs, and resume completes."""
    if not long_form and (form, deadline) != DEADLINES[0]:
        pytest.skip("in the long form only")
    facts = facts_of(form, deadline)
    rows = [row for path in sorted(scene.test_dir.glob("*.jsonl")) for row in json_lines(path)]
    few = write_rows(scene.cwd / "few" / "rows.jsonl", rows[:: len(rows) // len(facts)][: len(facts)]).parent
    faults = [f"{fact.fault}:sample={place}" for place, fact in enumerate(facts)]
    expected = dict.fromkeys(prompts_of(few).values(), _End(kind=deadline, attempts=2))
    limits = ("--timeout", "1500ms") if deadline == "timeout" else ("--idle-timeout", "500ms")
    flags = (*limits, "--max-retries", "1", "--max-concurrent-requests", "16")
    few_scene = Scene(test_dir=few, start=scene.start, environment=scene.environment, cwd=scene.cwd)
    check_run(few_scene, form, faults, expected, flags=flags, again=("--timeout", "60s"))
    print(f"\n{form}: {len(facts)} ways to be silent, ended by {deadline}")


@pytest.mark.parametrize("form", BOTH)
def test_each_fault_alone(scene: Scene, form: Form, *, long_form: bool) -> None:
    """Half of all requests get the fault, drawn anew for each attempt: every sample ends as the draws predict."""
    if not long_form:
        pytest.skip("in the long form only")
    facts = [fact for fact in facts_of(form, "") if not (fact.is_limit or fact.is_unanswered)]
    n_requests = 0
    for number, fact in enumerate(facts):
        cwd = scene.cwd / str(number)
        cwd.mkdir()
        alone = Scene(test_dir=scene.test_dir, start=scene.start, environment=scene.environment, cwd=cwd)
        name, *options = fact.fault.split(":")
        spec = ":".join((name, "0.5", *options))
        limit = 1 if "mib" in fact.fault else 3
        expected = {
            prompt: _drawn(fact, spec, prompt, number)
            for (_, row), prompt in prompts_of(scene.test_dir).items()
            if row < limit
        }
        check_run(
            alone, form, [spec], expected, flags=("--limit", str(limit)), api_mode=API_MODES[form][1], seed=number
        )
        n_requests += sum(end.attempts for end in expected.values())
    print(f"\n{form}: {len(facts)} faults in runs of their own, {n_requests} requests, 0 answers lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a sample ends: the kind of its failure or None, the number of its attempts, and of those that are free.

    With `may_repeat` each attempt may be sent twice, so that what fails once may not fail at all.
    """

    kind: str | None
    attempts: int
    n_free: int = 0
    may_repeat: bool = False


def check_run(
    scene: Scene,
    form: Form,
    faults: list[str],
    expected: Mapping[str, _End],
    *,
    flags: tuple[str, ...] = (),
    again: tuple[str, ...] = (),
    api_mode: str = "completion",
    **config: Any,
) -> ToolEnd:
    """Run against the faults, see that every sample ended as expected, then resume against a healed server.

    `expected` is by prompt; `again` are further flags of the resume.
    """
    server = scene.start(test_dir=scene.test_dir, faults=faults, skill=1.0, log_requests=True, **config)
    args = eval_args(server.url, scene.test_dir, *flags, form=form, api_mode=api_mode)
    ended = run_tool(args, scene.environment, scene.cwd)
    failing = {prompt: end for prompt, end in expected.items() if end.kind}
    assert ended.code == (3 if failing else 0), ended.stderr
    assert ended.peak_mib < MAX_PEAK_MIB
    ledger = read_ledger(scene.cwd / "out", scene.test_dir)
    ends = {prompt: _End(kind=None, attempts=record["attempts"]) for prompt, record in ledger.records.items()}
    ends |= {prompt: _End(kind=line["kind"], attempts=line["attempts"]) for prompt, line in ledger.failures.items()}
    counts = sent(settled(server))
    assert ends.keys() == counts.keys() == expected.keys()
    for prompt, end in expected.items():
        assert ends[prompt].kind == end.kind
        if end.may_repeat:
            assert ends[prompt].attempts in ({end.attempts} if end.kind else {1, end.attempts})
            assert end.attempts <= counts[prompt] <= 2 * end.attempts
        else:
            assert (ends[prompt].attempts, counts[prompt]) == (end.attempts, end.attempts + end.n_free)
    server.stop()
    check_resume(scene, ledger, expected, port=server.port, flags=again)
    return ended


def check_resume(
    scene: Scene, ledger: Ledger, expected: Mapping[str, _End], *, port: int, flags: tuple[str, ...]
) -> None:
    """Resume against a healed server: what failed is asked for once, what was answered stays as it was."""
    healed = scene.start(test_dir=scene.test_dir, skill=1.0, log_requests=True, port=port)
    [run_dir] = (scene.cwd / "out").iterdir()
    ended = run_tool(["resume", str(run_dir), *flags], scene.environment, scene.cwd)
    assert ended.code == 0, ended.stderr
    assert sent(settled(healed)) == dict.fromkeys(ledger.failures, 1)
    healed.stop()
    after = read_ledger(scene.cwd / "out", scene.test_dir)
    assert not after.failures
    assert after.records.keys() == expected.keys()
    assert {prompt: after.records[prompt] for prompt in ledger.records} == ledger.records
    assert not [path for path in (scene.cwd / "out").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def _end_always(fact: SampleFact) -> _End:
    """The end of a sample that meets the fault at each try."""
    return _End(kind=fact.kind, attempts=1 + MAX_RETRIES if fact.retried else 1)


def _drawn(fact: SampleFact, spec: str, prompt: str, seed: int) -> _End:
    """The end of a sample that meets the fault where the server's seeded draw says so."""
    for attempt in range(MAX_RETRIES + 1):
        arrival = Arrival(on="completions", prompt=prompt, n_earlier=0, n_attempts=attempt)
        if choose([parse_fault(spec)], arrival, seed=seed) is None or fact.kind is None:
            return _End(kind=None, attempts=attempt + 1)
        if not fact.retried:
            return _End(kind=fact.kind, attempts=attempt + 1)
    return _End(kind=fact.kind, attempts=MAX_RETRIES + 1)
