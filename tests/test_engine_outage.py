"""Servers that are away behind a gateway, silent, or refuse everything for a while: what pauses a run, and what not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from bootcamp_cli.engine import breaker
from bootcamp_cli.engine.plan import make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import new_session
from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Event, RunPaused, RunResumed
from bootcamp_cli.server.client import open_client
from bootcamp_cli.server.health import PROBE_PROMPT
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.raw_server import EVENT_STREAM, Answering, Reply, completion, http, piece, serving_paths

N_SAMPLES = 112
"""Rows of the generated test dir."""

N_BEFORE = 20
"""Samples that are answered before the trouble begins."""

Handler = Callable[[ByteStream], Any]


@dataclass(slots=True, kw_only=True)
class Gateway:
    """A gateway whose server works, then is away until the gateway was looked at `n_looks` times, then works again.

    While the server is away, `away` is said to completions and `list_away` to requests for the model list; a `neutral`
    completion may get a reply of its own. `n_neutral` counts the neutral ones.
    """

    away: bytes
    list_away: bytes | None = None
    neutral: bytes | None = None
    n_looks: int = 3
    n_completions: int = 0
    n_looked: int = 0
    n_neutral: int = 0

    @property
    def is_away(self) -> bool:
        """Whether the server is away."""
        return self.n_completions >= N_BEFORE and self.n_looked < self.n_looks

    async def models(self, stream: ByteStream) -> None:
        """Reply to a request for the model list."""
        reply = self.list_away if self.is_away and self.list_away else http(200, {"data": [{"id": "demo"}]})
        self.n_looked += self.n_completions >= N_BEFORE
        await stream.send(reply)

    def complete(self, body: Any) -> bytes:
        """The reply to a request for a completion."""
        if PROBE_PROMPT in body["prompt"]:
            self.n_neutral += 1
            return self.neutral or (self.away if self.is_away else http(200, completion("4")))
        if self.is_away:
            return self.away
        self.n_completions += 1
        return http(200, completion("[[42]]"))


@dataclass(slots=True)
class Outcome:
    """What a run left: records, failures and events, and the error that ended it."""

    records: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    events: list[Event] = field(repr=False)
    error: ServerUnavailableError | None

    @property
    def n_pauses(self) -> int:
        """How often the run paused; each pause ended, unless the run did."""
        n_resumed = sum(isinstance(event, RunResumed) for event in self.events)
        n_paused = sum(isinstance(event, RunPaused) for event in self.events)
        assert n_resumed == n_paused - (self.error is not None)
        return n_paused

    @property
    def reasons(self) -> list[str]:
        """Why it paused."""
        return [event.reason for event in self.events if isinstance(event, RunPaused)]


def settings_for(test_dir: Path, output_dir: Path, **changed: Any) -> Settings:
    """Settings that look often and wait briefly between attempts."""
    given: dict[str, Any] = {
        "url": "http://127.0.0.1:1/v1",
        "model_name": "demo",
        "test_dir": test_dir,
        "output_dir": output_dir,
        "max_concurrent_requests": 16,
        "poll_interval": 0.02,
        "max_retrying_delay": 0.0,
        "max_retries": 1,
        **changed,
    }
    return Settings(**given)


def outcome_of(settings: Settings, gateway: Gateway, *, has_list: bool = True) -> Outcome:
    """Run against a gateway."""
    return outcome_at(settings, models=gateway.models, complete=Answering(gateway.complete), has_list=has_list)


def outcome_at(
    settings: Settings,
    *,
    models: Reply,
    complete: Reply,
    has_list: bool = True,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Run against a server that replies like this to requests for the model list and for completions."""
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)
    events: list[Event] = []
    error: ServerUnavailableError | None = None

    def emit(event: Event) -> None:
        events.append(event)
        on_event(event)

    async def main() -> None:
        async with (
            serving_paths({"/v1/models": models, "/v1/completions": complete}) as server,
            open_client(replace(settings, url=server.url), plan.generation) as client,
        ):
            await run(session, client, emit)

    with new_session(plan, {"id": "demo"} if has_list else None, lambda _: None) as session:
        try:
            anyio.run(main)
        except ServerUnavailableError as raised:
            error = raised
        details = session.run_dir.detail_files()
        records = [json.loads(line) for path in details for line in path.read_bytes().splitlines()]
        path = session.run_dir.failures
        failures = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return Outcome(records, failures, events, error)


PAGE = "<html><head><title>Bad Gateway</title></head></html>"


@pytest.mark.parametrize("status", [502, 503, 504, 520, 522, 530])
@pytest.mark.parametrize("has_own_list", [False, True], ids=["all paths", "completions"])
def test_a_gateways_replies_in_an_outage_pause_the_run(
    demo_test_dir: Path, tmp_path: Path, status: int, *, has_own_list: bool
) -> None:
    """Nothing fails; only those that failed before the look, at most 16, have spent an attempt."""
    page = http(status, PAGE)
    gateway = Gateway(away=page, list_away=None if has_own_list else page)
    outcome = outcome_of(settings_for(demo_test_dir, tmp_path), gateway)
    assert (len(outcome.records), outcome.failures, outcome.n_pauses) == (N_SAMPLES, [], 1)
    assert f"HTTP {status}" in outcome.reasons[0]
    assert sum(record["attempts"] - 1 for record in outcome.records) <= 16


@pytest.mark.parametrize("has_list", [True, False])
def test_404_to_every_path_is_an_outage(demo_test_dir: Path, tmp_path: Path, *, has_list: bool) -> None:
    """A tunnel whose server is away answers 404 to everything: no attempt is spent once there were answers."""
    page = http(404, "<html><head><title>ERR_NGROK_3200</title></head></html>")
    gateway = Gateway(away=page, list_away=page)
    outcome = outcome_of(settings_for(demo_test_dir, tmp_path, max_retries=0), gateway, has_list=has_list)
    assert (len(outcome.records), outcome.failures, outcome.n_pauses) == (N_SAMPLES, [], 1)
    assert "HTTP 404: ERR_NGROK_3200" in outcome.reasons[0]
    assert {record["attempts"] for record in outcome.records} == {1}


def test_refusals_alike_after_answers_are_an_outage(demo_test_dir: Path, tmp_path: Path) -> None:
    """A model that is unloaded in mid-run costs at most 16 samples, not the rest of the run."""
    unloaded = http(400, {"error": {"message": "model is not loaded"}})
    outcome = outcome_of(settings_for(demo_test_dir, tmp_path), Gateway(away=unloaded))
    assert outcome.n_pauses == 1
    assert "model is not loaded" in outcome.reasons[0]
    assert len(outcome.failures) <= 16
    assert len(outcome.records) == N_SAMPLES - len(outcome.failures)


@pytest.mark.parametrize("away", [http(502, PAGE), http(400, {"error": {"message": "too long"}})])
@pytest.mark.parametrize("n_slots", [1, 2, 16])
def test_failures_are_the_samples_own_where_a_neutral_completion_is_answered(
    demo_test_dir: Path, tmp_path: Path, away: bytes, n_slots: int
) -> None:
    """The run does not pause, and it looks less and less often, also with few samples in work."""
    gateway = Gateway(away=away, neutral=http(200, completion("4")), n_looks=10**9)
    settings = settings_for(demo_test_dir, tmp_path, max_concurrent_requests=n_slots)
    outcome = outcome_of(settings, gateway)
    assert (outcome.n_pauses, len(outcome.records)) == (0, N_BEFORE)
    assert len(outcome.failures) == N_SAMPLES - N_BEFORE
    assert 1 <= gateway.n_neutral <= 16


def test_a_single_refusal_is_the_samples_own(demo_test_dir: Path, tmp_path: Path) -> None:
    """With one slot, a refusal after an answer is not yet a row."""
    replies = iter([http(200, completion("[[1]]")), http(400, {"error": {"message": "forbidden word"}})])

    class Once(Gateway):
        def complete(self, body: Any) -> bytes:
            assert PROBE_PROMPT not in body["prompt"]
            return next(replies, http(200, completion("[[42]]")))

    settings = settings_for(demo_test_dir, tmp_path, max_concurrent_requests=1, limit=3, include=("sudoku.jsonl",))
    outcome = outcome_of(settings, Once(away=b""))
    assert ([failure["kind"] for failure in outcome.failures], len(outcome.records)) == (["http_400"], 2)


def test_keep_going_leaves_refusals_to_the_samples(demo_test_dir: Path, tmp_path: Path) -> None:
    """With keep_going no refusal pauses the run."""
    gateway = Gateway(away=http(400, {"error": {"message": "model is not loaded"}}), n_looks=10**9)
    outcome = outcome_of(settings_for(demo_test_dir, tmp_path, keep_going=True), gateway)
    assert (outcome.n_pauses, gateway.n_neutral) == (0, 0)
    assert len(outcome.failures) == N_SAMPLES - N_BEFORE


def test_an_outage_is_not_waited_for_for_ever(demo_test_dir: Path, tmp_path: Path) -> None:
    """After `wait` the run stops with the gateway's words; what was answered is kept."""
    gateway = Gateway(away=http(502, PAGE), list_away=http(502, PAGE), n_looks=10**9)
    outcome = outcome_of(settings_for(demo_test_dir, tmp_path, wait=0.2), gateway)
    assert outcome.n_pauses == 1
    assert "HTTP 502: Bad Gateway" in str(outcome.error)
    assert outcome.error is not None
    assert "`bootcamp resume`" in (outcome.error.hint or "")
    assert (len(outcome.records), outcome.failures) == (N_BEFORE, [])


def test_a_look_without_an_answer_is_no_outage_where_others_are_answered(
    demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server leaves the neutral completion waiting while a stream goes on: nothing pauses."""
    monkeypatch.setattr(breaker, "_LOOK_S", 0.1)
    is_over = anyio.Event()
    n_bad = 0

    async def complete(stream: ByteStream) -> None:
        nonlocal n_bad
        n_bad += 1
        if n_bad == 1:  # the first sample's answer goes on until all others have ended
            await stream.send(EVENT_STREAM)
            while not is_over.is_set():
                await stream.send(piece("x"))
                await anyio.sleep(0.01)
            await stream.send(piece("", "stop") + b"data: [DONE]\n\n")
            await stream.aclose()
        elif n_bad <= 3:
            await stream.send(http(502, PAGE))
        else:  # the neutral completion
            await anyio.sleep(0.3)
            is_over.set()
            await anyio.sleep_forever()

    async def models(stream: ByteStream) -> None:
        await stream.send(http(200, {"data": [{"id": "demo"}]}))

    settings = settings_for(
        demo_test_dir,
        tmp_path,
        max_concurrent_requests=3,
        limit=3,
        include=("sudoku.jsonl",),
        max_retries=0,
        stream=True,
    )
    outcome = outcome_at(settings, models=models, complete=complete)
    assert (outcome.n_pauses, outcome.error) == (0, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_gateway_that_waits_for_its_server_is_no_sign_of_it(
    demo_test_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Where a look takes too long and all others get the gateway's 504 meanwhile, the server is away."""
    monkeypatch.setattr(breaker, "_LOOK_S", 0.1)
    n_answered, n_late, is_back = 0, 0, False

    async def complete(stream_: ByteStream) -> None:
        nonlocal n_answered, n_late
        if n_answered < N_BEFORE or is_back:
            n_answered += 1
            await stream_.send(http(200, completion("[[42]]"), content_type="application/json"))
            return
        n_late += 1
        await anyio.sleep(0.15 + 0.01 * (n_late % 10))
        await stream_.send(http(504, PAGE))

    async def models(stream_: ByteStream) -> None:
        await anyio.sleep(0 if is_back else 0.2)
        await stream_.send(http(200, {"data": [{"id": "demo"}]}) if is_back else http(504, PAGE))

    def on_event(event: Event) -> None:
        nonlocal is_back
        is_back = is_back or isinstance(event, RunPaused)

    settings = settings_for(demo_test_dir, tmp_path, max_concurrent_requests=40, max_retries=3, stream=stream)
    outcome = outcome_at(settings, models=models, complete=complete, on_event=on_event)
    assert (outcome.n_pauses, outcome.failures, outcome.error) == (1, [], None)


@dataclass(slots=True)
class HalfDead:
    """A server that stops listening without closing its connections, and is replaced by one that answers.

    The first one answers two requests, is silent to `n_silent` further ones, and ends the connection of any other once
    it listens no more.
    """

    n_silent: int
    port: int = 0
    n_first: int = 0
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    connections: "set[asyncio.Task[Any]]" = field(default_factory=set)

    async def end(self) -> None:
        """Let all connections end, as the client is gone."""
        self.over.set()
        await asyncio.gather(*self.connections)

    async def start(self, handle: Callable[..., Any]) -> asyncio.Server:
        """Listen."""
        server = await asyncio.start_server(handle, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The one that dies."""
        async for _ in self._completions(reader, writer):
            self.n_first += 1
            if self.n_first == 6:
                self.silent.set()
            if self.n_first > 2 + self.n_silent:
                await self.gone.wait()
                return
            if self.n_first > 2:
                await self.over.wait()
                return
            writer.write(http(200, completion("[[1]]")))

    async def second(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The one that takes its place."""
        async for _ in self._completions(reader, writer):
            writer.write(http(200, completion("[[2]]")))

    async def _completions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Each request for a completion; those for the model list are answered."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                    yield
                else:
                    writer.write(http(200, {"data": [{"id": "demo"}]}))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("n_silent", [4, 3])
def test_a_silent_server_that_was_replaced_gets_its_requests_again(
    demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_silent: int
) -> None:
    """Where nobody listened in between, what the old server had is sent to the new one, uncounted.

    Whether all slots are silent and a look finds that out, or one of them meets a refused connection.
    """
    monkeypatch.setattr(breaker, "_SILENCE_S", 0.1)
    settings = settings_for(
        demo_test_dir, tmp_path, max_concurrent_requests=4, limit=8, include=("sudoku.jsonl",), max_retries=4
    )
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)
    paused = anyio.Event()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunPaused):
            paused.set()

    async def main() -> None:
        half_dead = HalfDead(n_silent=n_silent)
        old = await half_dead.start(half_dead.first)

        async def replace_it() -> None:
            await half_dead.silent.wait()
            old.close()
            half_dead.gone.set()
            await paused.wait()
            new.append(await half_dead.start(half_dead.second))

        new: list[asyncio.Server] = []
        url = f"http://127.0.0.1:{half_dead.port}/v1"
        async with (
            anyio.create_task_group() as tasks,
            open_client(replace(settings, url=url), plan.generation) as client,
        ):
            tasks.start_soon(replace_it)
            await run(session, client, emit)
        new[0].close()
        await half_dead.end()

    with new_session(plan, {"id": "demo"}, lambda _: None) as session:
        anyio.run(main)
        [path] = session.run_dir.detail_files()
        records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(records) == min(8, plan.test_set.n_rows)
    lost = [record for record in records if record.get("retries")]
    assert len(lost) >= 4
    assert {kind for record in lost for kind in record["retries"]} == {"connection"}
    assert {record["attempts"] for record in records} == {1}
    reasons = [event.reason for event in events if isinstance(event, RunPaused)]
    assert len(reasons) == 1
    assert reasons[0].startswith("the server is silent; " if n_silent == 4 else "the server cannot be reached")


def test_a_silent_server_that_listens_is_left_alone(
    demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long an answer takes, it is sent once where the server can be reached."""
    monkeypatch.setattr(breaker, "_SILENCE_S", 0.05)
    n_looks, n_sent = 0, 0
    looked = anyio.Event()

    async def models(stream: ByteStream) -> None:
        nonlocal n_looks
        n_looks += 1
        if n_looks == 3:
            looked.set()
        await stream.send(http(200, {"data": [{"id": "demo"}]}))

    async def complete(stream: ByteStream) -> None:
        nonlocal n_sent
        n_sent += 1
        await looked.wait()
        await stream.send(http(200, completion("[[1]]")))

    settings = settings_for(demo_test_dir, tmp_path, max_concurrent_requests=2, limit=2, include=("sudoku.jsonl",))
    outcome = outcome_at(settings, models=models, complete=complete)
    assert (n_sent, outcome.n_pauses, outcome.error) == (2, 0, None)
