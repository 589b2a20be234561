"""The engine in this process, against a real server."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.generate import tokens_at_least
from bootcamp_cli.engine.identity import answer_differences
from bootcamp_cli.engine.plan import Plan, make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import Session, new_session
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import (
    Event,
    FileFinished,
    RequestEnded,
    RequestStarted,
    RetryScheduled,
    SampleRecorded,
    Warned,
)
from bootcamp_cli.server.client import open_client
from bootcamp_cli.server.health import PROBE_PROMPT
from bootcamp_cli.settings.model import ApiMode, Settings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.conftest import StartFaultServer
from tests.raw_server import EVENT_STREAM, Answering, Reply, closing, completion, http, piece, resetting, serving


def a_plan(url: str, test_dir: Path, output_dir: Path, n_slots: int = 16) -> Plan:
    """The plan of an evaluation of the demo model."""
    settings = Settings(
        url=url, model_name="demo", test_dir=test_dir, output_dir=output_dir, max_concurrent_requests=n_slots
    )
    return make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)


def run_to_the_end(plan: Plan, around: Callable[[Session], None] = lambda _: None) -> list[Event]:
    """Run a plan in a new run directory; gives the events."""
    events: list[Event] = []

    async def main(session: Session) -> None:
        async with open_client(plan.settings, plan.generation) as client:
            await run(session, client, events.append)

    with new_session(plan, None, lambda _: None) as session:
        anyio.run(main, session)
        around(session)
    return events


def test_nothing_blocks_the_event_loop(fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path) -> None:
    """No call of the tool waits for disk, lock or child while the loop runs, also with retries and bad replies."""
    server = fault_server(test_dir=demo_test_dir, faults=["html:0.1", "drop:0.05"])
    plan = a_plan(server.url, demo_test_dir, tmp_path)
    events = run_to_the_end(plan)
    assert sum(isinstance(event, SampleRecorded) for event in events) == plan.test_set.n_rows


def test_events_add_up(fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path) -> None:
    """Every request that starts ends, every sample is recorded once, every file finishes once, after its samples."""
    plan = a_plan(fault_server(test_dir=demo_test_dir).url, demo_test_dir, tmp_path)
    events = run_to_the_end(plan)
    in_flight = 0
    for event in events:
        in_flight += isinstance(event, RequestStarted) - isinstance(event, RequestEnded)
        assert 0 <= in_flight <= 16
    assert in_flight == 0
    recorded = Counter(event.file for event in events if isinstance(event, SampleRecorded))
    assert recorded == {file.name: file.n_rows for file in plan.test_set.files}
    finished = [event.file for event in events if isinstance(event, FileFinished)]
    assert sorted(finished) == [file.name for file in plan.test_set.files]


@pytest.mark.parametrize("n_slots", [1, 200])
def test_slots_bound_what_is_in_flight(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, n_slots: int
) -> None:
    """The server never sees more requests at once than there are slots, and each slot keeps its connection."""
    server = fault_server(test_dir=demo_test_dir)
    run_to_the_end(a_plan(server.url, demo_test_dir, tmp_path, n_slots))
    stats = server.stats()
    assert stats["max_in_flight"] <= n_slots
    assert stats["max_connections"] <= n_slots + 1


def test_a_retry_goes_before_new_samples(demo_test_dir: Path, tmp_path: Path) -> None:
    """With one slot, a sample that failed is sent again before any sample that was not handed out by then."""
    plan = a_plan("http://127.0.0.1:1/v1", demo_test_dir, tmp_path, n_slots=1)
    settings = replace(plan.settings, max_retrying_delay=0.0, limit=1)
    plan = make_plan(settings, plan.template, sys_prompt=None)
    prompts: list[str] = []

    async def main(session: Session) -> None:
        async with (
            serving(http(500, {}), http(200, completion())) as server,
            open_client(replace(settings, url=server.url), plan.generation) as client,
        ):
            await run(session, client, lambda _: None)
            prompts.extend(json.loads(body)["prompt"] for body in server.bodies)

    with new_session(plan, None, lambda _: None) as session:
        anyio.run(main, session)
    assert len(prompts) == plan.test_set.n_rows + 1 > 4
    assert prompts[2] == prompts[0]


def run_at(
    *replies: Reply, test_dir: Path, output_dir: Path, **settings: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Event]]:
    """One question after the other to a server of these replies; gives records, bodies and events.

    Only the first row of sudoku.jsonl is asked, unless said otherwise.
    """
    given = Settings(
        **{
            "url": "http://127.0.0.1:1/v1",
            "model_name": "m",
            "test_dir": test_dir,
            "output_dir": output_dir,
            "max_concurrent_requests": 1,
            "max_retrying_delay": 0.0,
            "limit": 1,
            "include": ("sudoku.jsonl",),
            **settings,
        }
    )
    plan = make_plan(given, BUILTIN_TEMPLATES[0], sys_prompt=None)
    bodies: list[dict[str, Any]] = []
    events: list[Event] = []

    async def main(session: Session) -> None:
        async with (
            serving(*replies) as server,
            open_client(replace(given, url=server.url), plan.generation) as client,
        ):
            try:
                await run(session, client, events.append)
            finally:
                bodies.extend(map(json.loads, filter(None, server.bodies)))  # looks for the server have none

    with new_session(plan, None, lambda _: None) as session:
        anyio.run(main, session)
        records = [
            json.loads(line) for path in session.run_dir.detail_files() for line in path.read_bytes().splitlines()
        ]
    return records, bodies, events


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_the_server_cut_off_is_asked_for_again(
    demo_test_dir: Path, tmp_path: Path, *, stream: bool
) -> None:
    """Half a text with the finish_reason abort is never recorded: the next attempt's whole answer is."""
    halves: list[Reply] = [http(200, completion("half", "abort")), http(200, completion("whole [[1]]"))]
    if stream:
        streams = (piece("half") + piece("", "abort"), piece("whole", "stop"))
        halves = [closing(EVENT_STREAM + pieces) for pieces in streams]
    [record], bodies, events = run_at(*halves, test_dir=demo_test_dir, output_dir=tmp_path, stream=stream)
    assert (record["output"].split()[0], record["attempts"], len(bodies)) == ("whole", 2, 2)
    assert record["retries"] == ["cut_off"]
    assert [event.kind for event in events if isinstance(event, RetryScheduled)] == ["cut_off"]


def like_openai(body: dict[str, Any]) -> bytes:
    """What OpenAI's reasoning models reply, as reported: they refuse the usual limit, and any temperature."""
    for key in ("max_tokens", "temperature"):
        if key in body:
            instead = " Use 'max_completion_tokens' instead." if key == "max_tokens" else ""
            error = {"message": f"Unsupported parameter: '{key}' is not supported with this model.{instead}"}
            return http(400, {"error": error | {"type": "invalid_request_error", "param": key}})
    return http(200, completion("text"))


def test_a_refused_parameter_leads_to_the_flag_that_helps(demo_test_dir: Path, tmp_path: Path) -> None:
    """The error names a flag for what the server does not take, flag by flag, until the run goes through."""
    given: dict[str, Any] = {}
    for flag, more in (
        ("--max-tokens-field max_completion_tokens", {"max_tokens_field": "max_completion_tokens"}),
        ("--omit temperature", {"omit": ("temperature",)}),
    ):
        with pytest.raises(ServerUnavailableError) as caught:
            run_at(Answering(like_openai), test_dir=demo_test_dir, output_dir=tmp_path / flag, **given)
        assert flag in str(caught.value.hint)
        given |= more
    [record], [body], _ = run_at(Answering(like_openai), test_dir=demo_test_dir, output_dir=tmp_path, **given)
    assert record["output"] == "text"
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 32768


def test_what_is_omitted_is_not_in_the_identity(demo_test_dir: Path, tmp_path: Path) -> None:
    """A run that leaves keys out is another than one that sends them, and claims no value for them."""
    plan = a_plan("http://127.0.0.1:1/v1", demo_test_dir, tmp_path)
    omit = ("temperature", "stop")
    other = make_plan(replace(plan.settings, omit=omit), plan.template, sys_prompt=None)
    before, after = plan.identity(), other.identity()
    assert answer_differences(before, after) == ["temperature", "omit", "stop"]
    assert (after["temperature"], after["omit"], after["stop"]) == (None, list(omit), [])


@pytest.mark.parametrize(
    ("text", "n"), [("a b  c\n", 3), ("数" * 400, 100), ("x" * 9000, 1), ("", 0), ("\ud800" * 3, 1)]
)
def test_the_least_tokens_of_a_text(text: str, n: int) -> None:
    """Words, or every fourth wide character: what no tokenizer is far below, whatever it is."""
    assert tokens_at_least(text) == n


@pytest.mark.parametrize(("n_read", "n_told"), [(50, 1), (350, 0), (0, 0)])
def test_a_prompt_that_is_cut_is_told_once(tmp_path: Path, n_read: int, n_told: int) -> None:
    """A server that read far less than a prompt's words is told of with both figures; one that counts none is not."""
    row = {"data_source": "Sudoku", "prompt": "word " * 400, "ground_truth": {}}
    test_dir = tmp_path / "long"
    test_dir.mkdir()
    (test_dir / "sudoku.jsonl").write_text(f"{json.dumps(row)}\n" * 3)
    reply = http(200, completion("text", usage={"prompt_tokens": n_read, "completion_tokens": 1}))
    _, _, events = run_at(reply, test_dir=test_dir, output_dir=tmp_path, limit=3)
    told = [event.message for event in events if isinstance(event, Warned) and "cut prompts" in event.message]
    assert len(told) == n_told
    assert all(f"read {n_read} tokens of a prompt that has at least 40" in line for line in told)


NOTHING = http(200, completion("", usage={"completion_tokens": 0}))


@pytest.mark.parametrize("empty", [NOTHING, http(200, completion("")), http(200, completion(None, "content_filter"))])
def test_an_empty_answer_is_asked_for_once_more(demo_test_dir: Path, tmp_path: Path, empty: Reply) -> None:
    """Without text and with no tokens told of, an answer gets a second chance that counts as no attempt."""
    [record], bodies, events = run_at(
        empty, http(200, completion("text")), test_dir=demo_test_dir, output_dir=tmp_path, max_retries=0
    )
    assert (record["output"], record["attempts"], record["retries"], len(bodies)) == ("text", 1, ["empty"], 2)
    assert [event.kind for event in events if isinstance(event, RetryScheduled)] == ["empty"]


@pytest.mark.parametrize("second", [NOTHING, http(500, {}), http(400, {}), resetting()])
def test_an_empty_answer_stands_where_no_other_comes(demo_test_dir: Path, tmp_path: Path, second: Reply) -> None:
    """The second chance may fail in any way: what was answered first is recorded, and nothing is asked again."""
    replies = (http(200, completion("first")), NOTHING, second)
    records, bodies, _ = run_at(*replies, test_dir=demo_test_dir, output_dir=tmp_path, limit=2)
    assert [(record["output"], record.get("retries")) for record in records] == [("first", None), ("", ["empty"])]
    assert len(bodies) == (4 if callable(second) else 3)  # a kept connection that ends is replaced once


def test_an_empty_text_that_cost_tokens_is_an_answer(demo_test_dir: Path, tmp_path: Path) -> None:
    """A model that thought, or called a tool, without a word for us has answered."""
    reply = http(200, completion("", usage={"completion_tokens": 9}))
    [record], bodies, _ = run_at(reply, test_dir=demo_test_dir, output_dir=tmp_path)
    assert (record["output_len"], "retries" in record, len(bodies)) == (9, False, 1)


def test_a_failure_tells_every_repeated_attempt(demo_test_dir: Path, tmp_path: Path) -> None:
    """failures.jsonl has the kinds of the attempts before the last one, in order."""
    replies = (http(200, completion("first")), http(500, {}), http(200, completion("half", "abort")), http(408, {}))
    run_at(*replies, test_dir=demo_test_dir, output_dir=tmp_path, limit=2, max_retries=2)
    [line] = [json.loads(line) for line in next(tmp_path.glob("*/failures.jsonl")).read_text().splitlines()]
    assert (line["kind"], line["attempts"], line["retries"]) == ("http_408", 3, ["http_500", "cut_off"])


@pytest.mark.parametrize("reason", ["a_new_reason", None])
def test_an_unknown_end_is_told_once(demo_test_dir: Path, tmp_path: Path, reason: str | None) -> None:
    """Answers whose finish_reason nobody documents, or that have none, are recorded, and one warning says so."""
    reply = http(200, completion("text", reason))
    records, _, events = run_at(reply, test_dir=demo_test_dir, output_dir=tmp_path, limit=3)
    assert [record["finish_reason"] for record in records] == [reason] * 3
    assert sum(isinstance(event, Warned) and "finish_reason" in event.message for event in events) == 1


@pytest.mark.parametrize("mode", ["completion", "chat_completion"])
@pytest.mark.parametrize(("max_tokens", "asked"), [(3, 3), (5000, 16)])
def test_a_neutral_request_has_the_parameters_of_the_run(
    demo_test_dir: Path, tmp_path: Path, mode: ApiMode, max_tokens: int, asked: int
) -> None:
    """It differs from a sample's request in the prompt, within the same template, and asks for at most 16 tokens."""
    settings = Settings(
        url="http://127.0.0.1:1/v1",
        model_name="demo",
        test_dir=demo_test_dir,
        output_dir=tmp_path,
        api_mode=mode,
        max_tokens=max_tokens,
        temperature=0.5,
        top_k=7,
        seed=1,
        stop=("END",),
        extra_body={"add_special_tokens": False},
        limit=1,
        include=("sudoku.jsonl",),
    )
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt="Be brief.")
    bodies: list[dict[str, Any]] = []

    async def main(session: Session) -> None:
        async with (
            serving(http(400, {})) as server,
            open_client(replace(settings, url=server.url), plan.generation) as client,
        ):
            with pytest.raises(ServerUnavailableError, match="the only request was refused"):
                await run(session, client, lambda _: None)
            bodies.extend(map(json.loads, server.bodies))

    with new_session(plan, None, lambda _: None) as session:
        anyio.run(main, session)
    [sample] = iter_samples(plan.test_set.files[0])
    own, neutral = bodies
    as_neutral = json.dumps(own).replace(json.dumps(sample.prompt)[1:-1], PROBE_PROMPT)
    assert neutral == json.loads(as_neutral) | {"max_tokens": asked}
    assert own["max_tokens"] == max_tokens


def test_a_swapped_model_is_told(fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path) -> None:
    """When replies name another model than before, one warning says so."""
    server = fault_server(test_dir=demo_test_dir, faults=["other-model:1:after=20:on=completions"])
    events = run_to_the_end(a_plan(server.url, demo_test_dir, tmp_path, n_slots=1))
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "earlier ones demo" in warnings[0]


def test_identity_is_what_decides_the_answers(demo_test_dir: Path, tmp_path: Path) -> None:
    """Url, concurrency, timeouts and time are no part of a plan's identity; sampling, data and template text are."""
    plan = a_plan("http://127.0.0.1:1/v1", demo_test_dir, tmp_path)
    same = a_plan("http://127.0.0.1:2/v1", demo_test_dir, tmp_path / "other", n_slots=3)
    assert plan.identity() == same.identity()
    warmer = make_plan(
        Settings(model_name="demo", test_dir=demo_test_dir, temperature=0.5), BUILTIN_TEMPLATES[0], sys_prompt=None
    )
    other_template = make_plan(plan.settings, BUILTIN_TEMPLATES[1], sys_prompt=None)
    assert plan.identity() != warmer.identity()
    assert plan.identity() != other_template.identity()
