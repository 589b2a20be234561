"""Many servers of one model: who gets the requests, and what becomes of them where servers die, join or leave."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.engine.dispatcher import Dispatcher
from bootcamp_cli.engine.limiter import Start
from bootcamp_cli.engine.plan import make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.session import Session, new_session
from bootcamp_cli.errors import BootcampError, ServerUnavailableError, SettingsError
from bootcamp_cli.events import Event, Noted, RunPaused, RunResumed, Warned
from bootcamp_cli.server import url_file
from bootcamp_cli.server.replicas import open_replicas
from bootcamp_cli.server.url_file import read_url_file
from bootcamp_cli.settings.model import EndpointSettings, Settings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.raw_server import http
from tests.replica import Replica, serving


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run left behind, and the error that ended it."""

    records: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    events: list[Event] = field(repr=False)
    error: BootcampError | None

    @property
    def n_by_endpoint(self) -> Counter[str]:
        """How many answers each server gave."""
        return Counter(record["endpoint"] for record in self.records)

    def told(self, text: str) -> int:
        """How many notes and warnings hold a text."""
        return sum(isinstance(event, Noted | Warned) and text in event.message for event in self.events)


Meanwhile = Callable[[], Any]


def take_ports(*replicas: Replica) -> None:
    """Let replicas take ports of their own, as their URLs are needed before they serve."""

    async def main() -> None:
        async with serving(*replicas):
            pass

    anyio.run(main)


def outcome_of(
    *replicas: Replica,
    test_dir: Path,
    output_dir: Path,
    meanwhile: Meanwhile | None = None,
    model: dict[str, Any] | None = None,
    absent: tuple[Replica, ...] = (),
    on_event: Callable[[Event], None] = lambda _: None,
    **changed: Any,
) -> Outcome:
    """Run against replicas, of which those that are `absent` do not listen yet; `meanwhile` is awaited beside it."""
    events: list[Event] = []
    errors: list[BootcampError] = []
    take_ports(*replicas)
    settings = Settings(
        **{
            "url": tuple(replica.url for replica in replicas),
            "model_name": "demo",
            "test_dir": test_dir,
            "output_dir": output_dir,
            "max_concurrent_requests": 16,
            "poll_interval": 0.05,
            "max_retries": 0,
            "stream": False,
            **changed,
        }
    )
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)

    def emit(event: Event) -> None:
        events.append(event)
        on_event(event)

    async def main(session: Session) -> None:
        async with serving(*replicas), anyio.create_task_group() as tasks:
            for replica in absent:
                replica.die()
            if meanwhile is not None:
                tasks.start_soon(meanwhile)
            try:
                async with open_replicas(settings, plan.generation) as servers:
                    await run(session, servers, emit)
            except BootcampError as error:
                errors.append(error)
            tasks.cancel_scope.cancel()

    with new_session(plan, {"id": "demo", **(model or {})}, lambda _: None) as session:
        anyio.run(main, session)
    run_dir = session.run_dir.path
    details = [path.read_text(encoding="utf-8") for path in sorted((run_dir / "details").glob("*.jsonl"))]
    failures = run_dir / "failures.jsonl"
    return Outcome(
        records=[json.loads(line) for text in details for line in text.splitlines()],
        failures=[json.loads(line) for line in failures.read_text().splitlines()] if failures.exists() else [],
        events=events,
        error=errors[0] if errors else None,
    )


def n_rows(test_dir: Path) -> int:
    """How many questions a test dir has."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in test_dir.glob("*.jsonl"))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a replica has counted: it has no event for it."""
    while not condition():  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)


def coming_back(*replicas: Replica) -> Callable[[Event], None]:
    """Let each of these come back as soon as the run has noticed that it is away."""

    def on_event(event: Event) -> None:
        for replica in replicas:
            if isinstance(event, Warned) and event.message.startswith(f"{replica.url} is away"):
                asyncio.get_running_loop().call_soon(partial(asyncio.ensure_future, replica.start()))

    return on_event


def test_one_dies_one_is_slow_and_one_comes_back(demo_test_dir: Path, tmp_path: Path) -> None:
    """Every sample is answered in one attempt; only what was in flight at a death is sent again."""
    dies, slow, returns = Replica(latency_s=0.01), Replica(latency_s=0.05), Replica(latency_s=0.01)

    async def trouble() -> None:
        await until(lambda: dies.n_answered >= 5)
        dies.die()
        await until(lambda: returns.n_answered >= 15)
        returns.die()

    outcome = outcome_of(
        *(dies, slow, returns),
        test_dir=demo_test_dir,
        output_dir=tmp_path,
        meanwhile=trouble,
        on_event=coming_back(returns),
        repeats=4,
    )
    assert (len(outcome.records), outcome.failures, outcome.error) == (4 * n_rows(demo_test_dir), [], None)
    assert {record["attempts"] for record in outcome.records} == {1}
    assert {kind for record in outcome.records for kind in record.get("retries", ())} <= {"connection"}
    assert dies.n_received + slow.n_received + returns.n_received <= len(outcome.records) + 2 * 16
    assert outcome.n_by_endpoint[slow.url] < outcome.n_by_endpoint[returns.url]
    assert (outcome.told(f"{dies.url} is away"), outcome.told(f"{returns.url} is back")) == (1, 1)
    assert not [event for event in outcome.events if isinstance(event, RunPaused)]


def test_the_first_requests_go_to_all(demo_test_dir: Path, tmp_path: Path) -> None:
    """Nothing is sent before every server was looked at; then each gets its share at once, and keeps it."""
    replicas = [Replica(latency_s=0.02) for _ in range(4)]
    outcome = outcome_of(*replicas, test_dir=demo_test_dir, output_dir=tmp_path)
    assert [replica.most_in_flight for replica in replicas] == [4] * 4
    assert [replica.n_neutral for replica in replicas] == [2] * 4  # one completion, one for its begin of sentence
    assert sum(outcome.n_by_endpoint.values()) == n_rows(demo_test_dir)


def test_a_bound_of_one_server_holds(demo_test_dir: Path, tmp_path: Path) -> None:
    """`max_concurrent_requests` of an endpoint is kept, and ranks are balanced and named in its requests only."""
    bound, ranked = Replica(latency_s=0.005), Replica(latency_s=0.005)
    take_ports(bound, ranked)
    endpoints = (
        EndpointSettings(url=bound.url, max_concurrent_requests=2),
        EndpointSettings(url=ranked.url, data_parallel_ranks=3),
    )
    outcome = outcome_of(bound, ranked, test_dir=demo_test_dir, output_dir=tmp_path, endpoints=endpoints)
    assert (bound.most_in_flight, len(outcome.records)) == (2, n_rows(demo_test_dir))
    assert (set(ranked.ranks), bound.ranks) == ({"0", "1", "2"}, Counter())
    assert max(ranked.ranks.values()) < 2 * min(ranked.ranks.values())


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"root": "/models/other"}, "its model is /models/other, not /models/ours"),
        ({"max_model_len": 2048}, "its context length is 2,048, not 4,096"),
        ({"meta": {"n_params": 7}}, "its number of parameters is 7, not 8"),
    ],
)
def test_another_model_is_not_used(entry: dict[str, Any], told: str, demo_test_dir: Path, tmp_path: Path) -> None:
    """A server that lists another model under the name gets no request, and is named once."""
    ours = {"root": "/models/ours", "max_model_len": 4096, "meta": {"n_params": 8}}
    same, other = Replica(entry=ours), Replica(entry=ours | entry)
    outcome = outcome_of(same, other, test_dir=demo_test_dir, output_dir=tmp_path, model=ours)
    assert (other.n_received, other.n_neutral, len(outcome.records)) == (0, 0, n_rows(demo_test_dir))
    assert outcome.told(f"{other.url} is not used: {told}") == 1


def test_a_server_that_is_late_joins(demo_test_dir: Path, tmp_path: Path) -> None:
    """One that does not listen at the start is used once it does."""
    there, late = Replica(latency_s=0.01), Replica(latency_s=0.01)

    async def come() -> None:
        await until(lambda: there.n_answered >= 5)
        await late.start()

    outcome = outcome_of(
        there, late, test_dir=demo_test_dir, output_dir=tmp_path, meanwhile=come, absent=(late,), repeats=3
    )
    assert outcome.n_by_endpoint[late.url] > 0
    assert outcome.told(f"{late.url} is not used") >= 1
    assert outcome.told(f"{late.url} joins") == 1


def test_the_run_pauses_while_none_is_left(demo_test_dir: Path, tmp_path: Path) -> None:
    """It goes on when the first one is back, and nothing was spent on it."""
    replicas = [Replica(latency_s=0.01), Replica(latency_s=0.01)]

    async def trouble() -> None:
        await until(lambda: sum(replica.n_answered for replica in replicas) >= 10)
        for replica in replicas:
            replica.die()

    def come_back(event: Event) -> None:
        if isinstance(event, RunPaused):
            asyncio.get_running_loop().call_soon(partial(asyncio.ensure_future, replicas[1].start()))

    outcome = outcome_of(*replicas, test_dir=demo_test_dir, output_dir=tmp_path, meanwhile=trouble, on_event=come_back)
    assert (len(outcome.records), outcome.failures) == (n_rows(demo_test_dir), [])
    assert {record["attempts"] for record in outcome.records} == {1}
    kinds = [type(event) for event in outcome.events if isinstance(event, RunPaused | RunResumed)]
    assert kinds == [RunPaused, RunResumed]


def test_the_run_ends_where_none_comes_back(demo_test_dir: Path, tmp_path: Path) -> None:
    """After `wait` without any server the run stops, and what was answered is kept."""
    replicas = [Replica(latency_s=0.01), Replica(latency_s=0.01)]

    async def trouble() -> None:
        for replica in replicas:
            await until(lambda: replica.n_answered >= 5)  # noqa: B023 - awaited at once
            replica.die()

    outcome = outcome_of(*replicas, test_dir=demo_test_dir, output_dir=tmp_path, meanwhile=trouble, wait=0.2)
    assert isinstance(outcome.error, ServerUnavailableError)
    assert "waited 0.2 s" in outcome.error.message
    assert len(outcome.records) >= 10


@pytest.mark.parametrize("status", [401, 403, 400])
def test_one_that_refuses_everything_is_left_out(status: int, demo_test_dir: Path, tmp_path: Path) -> None:
    """A server that begins to refuse every request loses its samples to the others, and the run goes on."""
    turns, works = Replica(latency_s=0.01), Replica(latency_s=0.01)

    async def trouble() -> None:
        await until(lambda: turns.n_answered >= 20)
        turns.refusal = http(status, {"error": {"message": "not you"}})

    outcome = outcome_of(
        turns, works, test_dir=demo_test_dir, output_dir=tmp_path, meanwhile=trouble, max_concurrent_requests=4
    )
    n_own = 0 if status == 401 else 3  # refusals are taken for those of samples until a look tells otherwise
    assert (outcome.error, outcome.told(f"{turns.url} is away")) == (None, 1)
    assert len(outcome.records) >= n_rows(demo_test_dir) - n_own


def test_one_that_fails_at_once_does_not_get_all(demo_test_dir: Path, tmp_path: Path) -> None:
    """It always has the fewest requests in flight; it costs what it had before that was noticed, and little more."""

    def fail(_: Replica, __: str) -> None:
        raise OSError

    good, fails = [Replica(latency_s=0.02) for _ in range(2)], Replica(before=fail)
    outcome = outcome_of(*good, fails, test_dir=demo_test_dir, output_dir=tmp_path, repeats=4, max_retries=1)
    assert outcome.error is None
    assert fails.n_received <= 20
    assert len(outcome.records) >= 4 * n_rows(demo_test_dir) - 10
    assert outcome.told(f"{fails.url} failed 4 requests in a row") == 1


def test_rest_ends_where_no_other_answers(demo_test_dir: Path, tmp_path: Path) -> None:
    """One that rests is asked again as soon as the last one that answered begins to fail as well."""
    rests, turns = Replica(), Replica(latency_s=0.01)

    def fail(replica: Replica, _: str) -> None:
        if replica is rests or replica.n_answered >= 40:
            raise OSError

    rests.before = turns.before = fail
    outcome = outcome_of(rests, turns, test_dir=demo_test_dir, output_dir=tmp_path)
    assert len(outcome.records) + len(outcome.failures) == n_rows(demo_test_dir)
    assert rests.n_received > 20


def test_where_all_fail_none_rests(demo_test_dir: Path, tmp_path: Path) -> None:
    """The run ends as soon as it does with one server."""

    def fail(_: Replica, __: str) -> None:
        raise OSError

    replicas = [Replica(before=fail) for _ in range(2)]
    outcome = outcome_of(*replicas, test_dir=demo_test_dir, output_dir=tmp_path)
    assert (outcome.error, outcome.records, len(outcome.failures)) == (None, [], n_rows(demo_test_dir))


def test_a_sample_that_kills_servers_fails(demo_test_dir: Path, tmp_path: Path) -> None:
    """In flight when three servers died, it is not sent again; those beside it are answered."""
    poison: list[str] = []

    def die(replica: Replica, prompt: str) -> None:
        poison[:] = poison or [prompt]
        if prompt == poison[0]:
            replica.die()

    replicas = [Replica(before=die, latency_s=0.01) for _ in range(3)]
    outcome = outcome_of(
        *replicas,
        test_dir=demo_test_dir,
        output_dir=tmp_path,
        on_event=coming_back(*replicas),
        max_concurrent_requests=3,
    )
    [failure] = outcome.failures
    assert (failure["kind"], failure["attempts"], failure["retries"]) == ("server_died", 1, ["connection"] * 2)
    assert "went away 3 times" in failure["last_error"]
    assert len(outcome.records) == n_rows(demo_test_dir) - 1


# The file of URLs


def written(path: Path, *urls: str) -> Path:
    """A file with a URL per line, put into place at once."""
    beside = path.with_suffix(".new")
    beside.write_text("".join(f"{url}\n" for url in urls))
    beside.chmod(0o600)
    return beside.rename(path)


def test_servers_join_and_leave_by_the_file(
    demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the file names from some time on is used, one that it names no more ends what it works on."""
    monkeypatch.setattr(url_file, "_POLL_S", 0.02)
    leaves, stays, joins = (Replica(latency_s=0.02) for _ in range(3))
    path = tmp_path / "urls"
    n_at_leaving: list[int] = []

    async def change() -> None:
        await until(lambda: leaves.n_answered >= 5)
        written(path, stays.url, joins.url)
        await until(lambda: joins.n_answered >= 5)
        path.write_text("http://127.0.0.1:1/v1\nhttp://half")
        n_at_leaving.append(leaves.n_received)

    take_ports(leaves, stays, joins)
    written(path, leaves.url, stays.url)
    outcome = outcome_of(
        *(leaves, stays, joins),
        test_dir=demo_test_dir,
        output_dir=tmp_path / "out",
        meanwhile=change,
        repeats=4,
        url="http://127.0.0.1:9/v1",
        url_file=path,
    )
    assert (len(outcome.records), outcome.failures) == (4 * n_rows(demo_test_dir), [])
    assert leaves.n_received == leaves.n_answered == n_at_leaving[0]
    assert outcome.n_by_endpoint[joins.url] > 0
    assert outcome.told("does not end with a line break: the servers stay as they were") == 1


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"http://h:1/v1\n", 0o664, "others may write to"),
        (b"http://h:1/v1\n", 0o602, "others may write to"),
        (b"http://h:1/v1", 0o600, "does not end with a line break"),
        (b"# none\n\n", 0o600, "has 0 URLs"),
        (b"http://h:1/v1\nftp://h\n", 0o600, ":2: must be an http or https URL"),
        (b"http://h:1/v1\nhttp://k@h:1/v1\n", 0o600, "name each server once"),
        (b"http://h/v1\nhttp://H.:80/v1/\n", 0o600, "name each server once"),
        (b"https://h:443/v1\nhttps://h/v1\n", 0o600, "name each server once"),
        (b"\xff\n", 0o600, ":1: must"),
    ],
)
def test_a_file_of_urls_that_is_refused(content: bytes, mode: int, said: str, tmp_path: Path) -> None:
    """One that others may write to, that is half-written, or that holds anything but base URLs."""
    path = tmp_path / "urls"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=said):
        read_url_file(path)


def test_a_file_of_urls_in_an_open_folder_is_refused(tmp_path: Path) -> None:
    """Anybody could put another one into its place."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="others may write to"):
        read_url_file(written(folder / "urls", "http://h:1/v1"))


def test_a_pipe_of_urls_is_refused(tmp_path: Path) -> None:
    """It is not waited for: nobody may ever write to it."""
    path = tmp_path / "urls"
    os.mkfifo(path, 0o600)
    with pytest.raises(SettingsError, match="is no regular file"):
        read_url_file(path)


def test_a_file_of_urls_may_have_comments(tmp_path: Path) -> None:
    """Lines that begin with # and empty ones are left out, so is the mark of an editor; secrets stay in the URL."""
    path = tmp_path / "urls"
    path.write_text("\ufeff# ours\n\n http://u:p@h:1/v1/ \nhttps://h/v1\n")
    path.chmod(0o600)
    assert read_url_file(path) == ("http://u:p@h:1/v1", "https://h/v1")


# Who gets the next request


@dataclass(slots=True, eq=False)
class FakeLane:
    """A lane that opens at a set time, and takes at most so many requests; counts how often it is asked."""

    opens_s: float = 0.0
    load: int = 0
    most: float = inf
    n_asked: int = 0

    def opens_at(self, now: float) -> float:
        """When the next request may start."""
        self.n_asked += 1
        return inf if self.load >= self.most else max(now, self.opens_s)

    def started(self, now: float) -> Start:
        """A request starts."""
        self.load += 1
        return Start(now, 0)

    def given_up(self, start: Start) -> None:  # noqa: ARG002 - as a lane is called
        """A request was cancelled."""
        self.load -= 1


@given(st.lists(st.tuples(st.sampled_from([0.0, 5.0]), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_least_loaded_of_those_that_may(lanes: list[tuple[float, int]]) -> None:
    """The next request goes to a lane that may start one now and has the fewest in flight."""

    async def main() -> None:
        dispatcher = Dispatcher[FakeLane](lambda: 1.0)
        for opens_s, load in lanes:
            dispatcher.add(FakeLane(opens_s, load))
        open_loads = [load for opens_s, load in lanes if opens_s <= 1.0]
        if open_loads:
            lane, _ = await dispatcher.start(first=False)
            assert (lane.opens_s, lane.load - 1) == (0.0, min(open_loads))
        else:
            with anyio.move_on_after(0) as scope:
                await dispatcher.start(first=False)
            assert scope.cancelled_caught

    anyio.run(main)


@given(
    st.lists(st.tuples(st.sampled_from(["start", "end", "open", "shut", "add", "remove", "later"]), st.integers(0, 40)))
)
def test_whatever_changes_the_least_loaded_is_next(changes: list[tuple[str, int]]) -> None:
    """While lanes open, close, join and leave, a request goes at once to one of the least loaded that may take it."""

    async def main() -> None:
        now = 0.0
        dispatcher = Dispatcher[FakeLane](lambda: now)
        lanes = [FakeLane(most=2) for _ in range(3)]
        for lane in lanes:
            dispatcher.add(lane)
        in_flight: list[tuple[FakeLane, Start]] = []
        for change, at in changes:
            lane = lanes[at % len(lanes)] if lanes else FakeLane()
            match change:
                case "start":
                    least = min((each.load for each in lanes if each.opens_at(now) <= now), default=None)
                    with anyio.move_on_after(0) as scope:
                        in_flight.append(await dispatcher.start(first=at % 2 == 0))
                    assert scope.cancelled_caught == (least is None)
                    assert least is None or (in_flight[-1][0].load - 1 == least and in_flight[-1][0] in lanes)
                case "end" if in_flight:
                    ended, start = in_flight.pop(at % len(in_flight))
                    ended.given_up(start)
                    dispatcher.serve(ended)
                case "open" | "shut":
                    lane.opens_s = inf if change == "shut" else now + at % 3
                    dispatcher.serve(*[lane] * (at % 2))
                case "add":
                    lanes.append(FakeLane(most=1 + at % 3))
                    dispatcher.add(lanes[-1])
                case "remove" if lanes:
                    lanes.remove(lane)
                    dispatcher.remove(lane)
                case _:
                    now += 1.0

    anyio.run(main)


@pytest.mark.parametrize("most", [1, inf])
def test_a_request_costs_the_same_at_many_lanes(most: float) -> None:
    """At 200 lanes, full or not, hardly more than one is looked at for a request."""

    async def main() -> None:
        dispatcher = Dispatcher[FakeLane](lambda: 1.0)
        lanes = [FakeLane(most=most) for _ in range(200)]
        for lane in lanes:
            dispatcher.add(lane)
        started = [await dispatcher.start(first=False) for _ in range(200)]
        waiting = [asyncio.ensure_future(dispatcher.start(first=False)) for _ in range(200 if most == 1 else 0)]
        await asyncio.sleep(0)
        for lane in lanes:
            lane.n_asked = 0
        for lane, start in started:
            lane.given_up(start)
            dispatcher.serve(lane)
            if not waiting:
                await dispatcher.start(first=False)
        await asyncio.gather(*waiting)
        assert [lane.load for lane in lanes] == [1] * 200
        assert sum(lane.n_asked for lane in lanes) <= 2 * 200

    anyio.run(main)


def test_equal_lanes_take_turns() -> None:
    """Where each request ends before the next one starts, all lanes get the same number."""

    async def main() -> None:
        dispatcher = Dispatcher[FakeLane](lambda: 1.0)
        for _ in range(3):
            dispatcher.add(FakeLane())
        order = []
        for _ in range(6):
            lane, start = await dispatcher.start(first=False)
            order.append(list(dispatcher.lanes).index(lane))
            lane.given_up(start)
            dispatcher.serve(lane)
        assert order == [0, 1, 2] * 2

    anyio.run(main)
