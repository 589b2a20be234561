"""The servers of a run: which of them take requests, and what becomes of those that go away, join or leave.

    joining --checked, one neutral completion--> in use --no longer named--> draining --> gone
                                                  |   ^
                                               its breaker

A run with one server uses it from the start, and ends where it is lost. One with several checks each before it is used,
goes on while one is left, pauses while none is, and ends where none came back in time.
"""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from math import inf
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup

from bootcamp_cli.engine.breaker import CircuitBreaker, Refusals
from bootcamp_cli.engine.dispatcher import Dispatcher
from bootcamp_cli.engine.limiter import Limiter, Pace, Patience, Start
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.errors import BootcampError, ServerUnavailableError, SettingsError, ungrouped
from bootcamp_cli.events import Emit, Noted, RunPaused, RunResumed, Warned
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.endpoint import Endpoint
from bootcamp_cli.server.failures import AttemptFailed, is_refusal
from bootcamp_cli.server.health import PROBE_PROMPT, difference, doubles, probe, wait_for_model
from bootcamp_cli.server.replicas import Replicas
from bootcamp_cli.store.endpoints import EndpointTraffic, added_traffic
from bootcamp_cli.text import counted, shown_s

_FIRST_LOOK_S = 30.0
"""Requests wait so long at most until every server was looked at once: the first ones are to go to all of them."""

_MAX_FAILED_IN_ROW = 4
_FIRST_REST_S = 1.0
_LONGEST_REST_S = 30.0
_TOLD_EVERY_S = 300.0

_FIRST_DELAY_S = 1.0
_DRAIN_POLL_S = 0.2
_OWN_START_POLL_S = 0.5


class ServerLane:
    """One server of a run: its client, what it allows, whether it is there, and how its requests ended.

    `name` is its base URL without credentials. `error` is why nothing is to be had from it any more, as things are.

    One that fails whatever is sent to it has few requests outstanding, and would get most of them. After four failures
    in a row it gets one at a time, and these with growing rests in between, as long as another one answers.
    """

    def __init__(self, fleet: "Fleet", client: CompletionClient, n_in_work: Callable[[], int] | None) -> None:
        plan, settings = fleet.plan, fleet.plan.settings
        most = client.endpoint.max_concurrent_requests
        n_slots = min(settings.max_concurrent_requests, most or settings.max_concurrent_requests)
        self.client = client
        self.name = client.endpoint.base_url
        self.is_used = False
        self.error: ServerUnavailableError | None = None
        self._failures: Counter[str] = Counter()
        self._n_requests = self._n_answered = self._n_away = 0
        self._n_asking = 0
        self._n_failed_in_row = 0
        self._rest_s = 0.0
        self._rests_until_s = self._told_s = -inf
        self._away_s = 0.0
        self._fleet = fleet
        self._pace = Pace(n_slots, settings.max_retrying_delay, Random())  # noqa: S311 - jitter
        self._limiter = Limiter(self._pace, wait_s=settings.wait, max_retries=settings.max_retries, emit=fleet.emit)
        self._n_by_rank = [0] * client.n_ranks
        self._most = inf if most is None else most
        self._neutral_prompt = neutral_prompt(plan)
        self.breaker = CircuitBreaker(
            client,
            model_name=plan.generation.model,
            neutral_prompt=self._neutral_prompt,
            has_list=fleet.model is not None,
            n_in_work=n_in_work or (lambda: self._pace.n_in_flight + 1),
            wait_s=settings.wait,
            poll_interval_s=settings.poll_interval,
            owner=self,
            keep_going=settings.keep_going,
        )
        self.refusals = Refusals(n_slots, ask=self._ask_neutrally, emit=fleet.emit, keep_going=settings.keep_going)

    # What the dispatcher asks

    @property
    def load(self) -> int:
        """Requests in flight, where requests name ranks those to the rank with the fewest."""
        n_by_rank = self._n_by_rank
        return self._pace.n_in_flight if len(n_by_rank) == 1 else min(n_by_rank)

    @property
    def n_in_flight(self) -> int:
        """Requests in flight."""
        return self._pace.n_in_flight

    @property
    def is_idle(self) -> bool:
        """Whether nothing hangs on it: no request, and no sample that waits for what a failure means."""
        return not self._pace.n_in_flight and not self._n_asking

    @property
    def is_there(self) -> bool:
        """Whether requests are sent to it."""
        return self.is_used and self.breaker.is_closed

    def opens_at(self, now: float) -> float:
        """When the next request may start."""
        if not self.is_there or self._pace.n_in_flight >= self._most or self._fleet.is_looking:
            return inf
        if self.is_failing and self._fleet.has_better():
            return inf if self._pace.n_in_flight else max(self._rests_until_s, self._pace.opens_at(now))
        return self._pace.opens_at(now)

    @property
    def is_failing(self) -> bool:
        """Whether it has failed request after request."""
        return self._n_failed_in_row >= _MAX_FAILED_IN_ROW

    def started(self, now: float) -> Start:
        """A request starts now."""
        start = self._pace.started(now)
        self._n_requests += 1
        n_by_rank = self._n_by_rank
        if len(n_by_rank) > 1:
            start.rank = n_by_rank.index(min(n_by_rank))
        n_by_rank[start.rank] += 1
        return start

    @property
    def traffic(self) -> EndpointTraffic:
        """What was sent to it so far."""
        return EndpointTraffic(
            n_requests=self._n_requests,
            n_answered=self._n_answered,
            failures=dict(self._failures),
            n_away=self._n_away,
            away_s=round(self._away_s, 3),
        )

    # How a request ended

    def answered(self, start: Start) -> None:
        """It was answered."""
        self._n_answered += 1
        self._end_row()
        self._limiter.answered(start)
        self.breaker.answered()
        self.refusals.answered()
        self._over(start)

    def failed(self, start: Start, failure: AttemptFailed) -> None:
        """It was taken, but not answered."""
        self._failures[failure.kind] += 1
        if not is_refusal(failure):
            self._count_in_row(start, failure)
        self._pace.accepted(start)
        self._over(start)
        if self._n_failed_in_row == _MAX_FAILED_IN_ROW:
            self._fleet.serve()  # where none is better any more, those that rest are asked again

    def _count_in_row(self, start: Start, failure: AttemptFailed) -> None:
        """Let it rest where it fails again and again; what was sent before a rest makes that no longer."""
        self._n_failed_in_row += 1
        now = time.monotonic()
        if not self.is_failing or start.at_s < self._rests_until_s:
            return
        self._rest_s = min(2 * self._rest_s or _FIRST_REST_S, _LONGEST_REST_S)
        self._rests_until_s = now + self._rest_s
        if self._fleet.has_better() and now - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now
            what = f"{self._n_failed_in_row} requests in a row ({failure.message})"
            self._fleet.emit(Warned(message=f"{self.name} failed {what}: it gets one at a time until it answers"))

    def _end_row(self) -> None:
        self._n_failed_in_row, self._rest_s, self._rests_until_s = 0, 0.0, -inf

    def given_up(self, start: Start) -> None:
        """It was cancelled."""
        self._pace.given_up(start)
        self._over(start)

    def refused(self, start: Start, failure: AttemptFailed, patience: Patience) -> bool:
        """The server takes no more for now; True where this one is sent again without counting.

        Raises:
            ServerUnavailableError: it has answered nothing for too long, and there is no other server.
        """
        self._failures[failure.kind] += 1
        self.breaker.replied()
        try:
            return self._limiter.refused(start, failure, patience)
        except ServerUnavailableError as error:
            self._fleet.lose(self, error)
            return True
        finally:
            self._over(start)

    def _over(self, start: Start) -> None:
        self._n_by_rank[start.rank] -= 1
        self._fleet.serve(self)

    async def is_free(self, failure: AttemptFailed) -> bool:
        """Deal with what a failure says about all samples; True where this one is sent again without counting.

        So is what one of several servers refused that went before it could be asked whether it refuses everything.

        Raises:
            ServerUnavailableError: the run cannot go on.
        """
        self._n_asking += 1
        try:
            if await self.breaker.is_free(failure):
                return True
            if error := await self.refusals.failed(failure):
                raise error from failure
        except ServerUnavailableError as error:
            self._fleet.lose(self, error)
            return True
        finally:
            self._n_asking -= 1
        return self._is_gone and is_refusal(failure)

    @property
    def _is_gone(self) -> bool:
        """Whether others are asked in its place."""
        return self._fleet.are_several and not self.is_there

    async def _ask_neutrally(self) -> AttemptFailed | None:
        """Request a short, harmless completion with the run's own parameters; returns how it failed, None if not.

        Raises:
            ServerUnavailableError: nothing more can be had from this server.
        """
        patience = Patience()
        while True:
            start = await self._own_start()
            if start is None:
                return AttemptFailed(kind="connection", message=f"{self.name} is not there any more")
            try:
                await probe(self.client, self._neutral_prompt)
            except AttemptFailed as failure:
                if failure.is_limit:
                    if self.refused(start, failure, patience):
                        continue
                    return failure
                self.failed(start, failure)
                if not await self.breaker.is_free(failure):
                    return failure
            except BaseException:
                self.given_up(start)
                raise
            else:
                self._limiter.answered(start)
                self.breaker.replied()
                self._over(start)
                return None

    async def _own_start(self) -> Start | None:
        """Start a request to this very server; None where it goes meanwhile, and there are others."""
        while not self._is_gone:
            now = time.monotonic()
            at_s = self.opens_at(now)
            if at_s <= now:
                start = self.started(now)
                self._fleet.serve(self)
                return start
            await anyio.sleep(min(at_s - now, _OWN_START_POLL_S))
        return None

    # What its breaker tells

    def opened(self, reason: str) -> None:
        """It is away."""
        self._n_away += 1
        self._fleet.went(self, reason)

    def closed(self, away_s: float) -> None:
        """It is back."""
        self._away_s += away_s
        self.error = None
        self._end_row()
        self._fleet.came_back(self, away_s)

    def gave_up(self, error: ServerUnavailableError) -> None:
        """It did not come back in time. Raises the error where there is no other server."""
        self._fleet.gave_up(self, error)

    def objection(self, models: Sequence[Mapping[str, Any]]) -> str | None:
        """Why it is not what it was, as one of several."""
        return self._fleet.objection(models)


def neutral_prompt(plan: Plan) -> str:
    """The prompt of a request that no server has a reason to refuse, as the run would send it."""
    template = plan.prompt_template
    return template.render(PROBE_PROMPT) if template else PROBE_PROMPT


class Fleet:
    """All servers of a run behind one queue. `watch` looks after them as long as requests are made.

    `model` is the entry of the model in the list of the server that was checked first, with which all others are
    compared. `n_in_work` tells how many samples are under way. `joined` is called with each server of several that is
    about to be used, and may take its time.
    """

    def __init__(
        self,
        servers: CompletionClient | Replicas,
        plan: Plan,
        *,
        model: Mapping[str, Any] | None,
        n_in_work: Callable[[], int],
        emit: Emit,
        joined: Callable[[CompletionClient], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.emit = emit
        self.lanes: list[ServerLane] = []
        """All that are named, in the order in which they came."""
        self._joined = joined
        self._replicas = servers if isinstance(servers, Replicas) else None
        self._dispatcher: Dispatcher[ServerLane] = Dispatcher()
        self.start = self._dispatcher.start
        self.serve = self._dispatcher.serve
        self._tasks: TaskGroup | None = None
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._named: dict[str, Endpoint] = {}
        self._draining: set[str] = set()
        self._unusable: dict[str, ServerUnavailableError] = {}
        self._left: dict[str, EndpointTraffic] = {}
        self._doubles: bool | None = None
        self.is_looking = self._replicas is not None
        """Whether the first look at all servers goes on, before which nothing is sent."""
        self._not_looked_at: set[str] = set()
        self._looked = anyio.Event()
        self._paused_at: float | None = None
        if isinstance(servers, CompletionClient):
            lane = ServerLane(self, servers, n_in_work)
            lane.is_used = True
            self.lanes.append(lane)
            self._dispatcher.add(lane)

    @property
    def are_several(self) -> bool:
        """Whether the run has, or may have, more than one server."""
        return self._replicas is not None

    def traffic(self) -> dict[str, EndpointTraffic]:
        """What was sent to each server so far, by name, those that have left included."""
        return added_traffic(self._left, {lane.name: lane.traffic for lane in self.lanes})

    async def admit(self) -> None:
        """Wait until one more sample may start; servers that were checked by a completion hold none back."""
        if self._replicas is None:
            await self.lanes[0].refusals.admit()

    async def all_ended(self) -> ServerUnavailableError | None:
        """Every sample has ended. Returns the error of a short run, all of whose samples were refused alike."""
        return await self.lanes[0].refusals.all_ended() if self._replicas is None else None

    async def watch(self) -> None:
        """Look after the servers until cancelled.

        Raises:
            ServerUnavailableError: the run cannot go on.
        """
        if self._replicas is None:
            await self.lanes[0].breaker.watch()
            return
        with ungrouped():
            async with anyio.create_task_group() as self._tasks:
                self._not_looked_at = {endpoint.base_url for endpoint in self._replicas.endpoints}
                self._rename(self._replicas, self._replicas.endpoints)
                with anyio.move_on_after(_FIRST_LOOK_S):
                    await self._looked.wait()
                self.is_looking = False
                self._changed("no server is ready")
                async for endpoints in self._replicas.changes(self._warn):
                    self._rename(self._replicas, endpoints)
                await anyio.sleep_forever()

    def has_better(self) -> bool:
        """Whether there is a server that does not fail again and again."""
        return any(lane.is_there and not lane.is_failing for lane in self.lanes)

    # What lanes tell

    def went(self, lane: ServerLane, reason: str) -> None:
        """A server is away."""
        if self._replicas is not None:
            self._warn(f"{lane.name} is away: {reason}; {self._n_left()}")
        self._changed(reason)

    def came_back(self, lane: ServerLane, away_s: float) -> None:
        """A server is back."""
        if self._replicas is not None:
            self.emit(Noted(message=f"{lane.name} is back after {shown_s(away_s)}; {self._n_left()}"))
        self._changed("")

    def lose(self, lane: ServerLane, error: ServerUnavailableError) -> None:
        """Nothing more is to be had from a server as it is. Raises the error where there is no other one."""
        self.gave_up(lane, error)
        lane.breaker.lose(error)

    def gave_up(self, lane: ServerLane, error: ServerUnavailableError) -> None:
        """A server did not come back, or is not ready, in time. Raises the error where that is true of all."""
        lane.error = error
        if self._replicas is None or self._errors_of_all():
            raise error

    def _errors_of_all(self) -> list[ServerUnavailableError]:
        """Why nothing is to be had from any server; empty where something may be."""
        errors = [*self._unusable.values(), *(lane.error for lane in self.lanes if lane.error is not None)]
        return errors if len(errors) == len(self._scopes) else []

    def objection(self, models: Sequence[Mapping[str, Any]]) -> str | None:
        """Why a server with this model list is not one of this run."""
        if self._replicas is None or self.model is None:
            return None
        entry = next((entry for entry in models if entry.get("id") == self.model.get("id")), None)
        return None if entry is None else difference(self.model, entry)

    def _warn(self, text: str) -> None:
        self.emit(Warned(message=text))

    def _n_left(self) -> str:
        n = sum(lane.is_there for lane in self.lanes)
        return f"{n} of {counted(len(self.lanes), 'server')} {'takes' if n == 1 else 'take'} requests"

    def _changed(self, reason: str) -> None:
        """Servers came or went: the run pauses while there is none."""
        is_there = any(lane.is_there for lane in self.lanes)
        if not is_there and self._paused_at is None and not self.is_looking:
            self._paused_at = anyio.current_time()
            self.emit(RunPaused(reason=reason))
        elif is_there and self._paused_at is not None:
            self.emit(RunResumed(paused_s=anyio.current_time() - self._paused_at))
            self._paused_at = None
        self.serve()

    # Servers that join and leave

    def _rename(self, replicas: Replicas, endpoints: Sequence[Endpoint]) -> None:
        """Take up the servers that are new, and let those go that are not named any more."""
        assert self._tasks is not None  # noqa: S101 - only `watch` calls it
        self._named = {endpoint.base_url: endpoint for endpoint in endpoints}
        for endpoint in endpoints:
            if endpoint.base_url not in self._scopes:
                self._scopes[endpoint.base_url] = anyio.CancelScope()
                self._tasks.start_soon(self._tend, replicas, endpoint)
        for lane in self.lanes:
            if lane.name not in self._named and lane.name not in self._draining:
                self._draining.add(lane.name)
                self._tasks.start_soon(self._drain, lane)
        for name in self._unusable.keys() - self._named.keys():
            self._scopes[name].cancel()

    async def _tend(self, replicas: Replicas, endpoint: Endpoint) -> None:
        """Take a server up and look after it until it is not named any more; one that is named again joins anew."""
        assert self._tasks is not None  # noqa: S101 - as above
        name = endpoint.base_url
        try:
            with self._scopes[name] as scope:
                client = await self._opened(replicas, endpoint)
                lane = ServerLane(self, client, None)
                self.lanes.append(lane)
                try:
                    if name not in self._named:
                        scope.cancel()
                    await self._join(lane)
                    await self._use(lane)
                finally:
                    self._left = added_traffic(self._left, {name: lane.traffic})
                    self.lanes.remove(lane)
                    self._dispatcher.remove(lane)
                    with anyio.CancelScope(shield=True):
                        await replicas.close(client)
        finally:
            del self._scopes[name]
            self._draining.discard(name)
            self._unusable.pop(name, None)
        self._look_is_over(name)
        if name in self._named:
            self._scopes[name] = anyio.CancelScope()
            self._tasks.start_soon(self._tend, replicas, self._named[name])
        elif errors := self._errors_of_all():
            raise errors[0]

    async def _opened(self, replicas: Replicas, endpoint: Endpoint) -> CompletionClient:
        """A client for a server, as soon as there can be one: its certificates or the proxy may be wrong for now."""
        while True:
            try:
                client = await replicas.open(endpoint)
            except SettingsError as error:
                if endpoint.base_url not in self._unusable:
                    self._warn(f"{endpoint.base_url} is not used: {error.message}")
                    self._look_is_over(endpoint.base_url)
                self._unusable[endpoint.base_url] = ServerUnavailableError(error.message, hint=error.hint)
                if errors := self._errors_of_all():
                    raise errors[0] from error
                await anyio.sleep(self.plan.settings.poll_interval)
            else:
                self._unusable.pop(endpoint.base_url, None)
                return client

    async def _use(self, lane: ServerLane) -> None:
        lane.error = None
        lane.breaker.answered()
        lane.refusals.answered()
        self._dispatcher.add(lane)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lane.breaker.watch)
            if self._joined is not None:
                tasks.start_soon(self._joined, lane.client)
            lane.is_used = lane.name not in self._draining
            self._changed("")

    async def _drain(self, lane: ServerLane) -> None:
        """Send nothing more to a server, and let go of it when nothing hangs on it any more."""
        if lane.is_used:
            lane.is_used = False
            n_left = counted(lane.n_in_flight, "request")
            self.emit(Noted(message=f"{lane.name} is not named any more: {n_left} to end"))
            self._changed("no server is named that is there")
        while not lane.is_idle:  # noqa: ASYNC110 - rare, and every request would have to look for it
            await anyio.sleep(_DRAIN_POLL_S)
        self._scopes[lane.name].cancel()

    async def _join(self, lane: ServerLane) -> None:
        """Return when a server can be used: it has the run's model and answers a neutral completion."""
        began, delay_s, told = anyio.current_time(), _FIRST_DELAY_S, ""
        settings = self.plan.settings
        while (problem := await self._problem_of(lane.client)) is not None:
            self._look_is_over(lane.name)
            if problem != told:
                self._warn(f"{lane.name} is not used: {problem}")
                told = problem
            if lane.error is None and anyio.current_time() - began >= settings.wait:
                what = f"{lane.name}: {problem}; waited {shown_s(settings.wait)}"
                self.gave_up(lane, ServerUnavailableError(what, hint="start or fix it, then `bootcamp resume`"))
            await anyio.sleep(min(delay_s, settings.poll_interval))
            delay_s *= 2
        self._look_is_over(lane.name)
        if told:
            self.emit(Noted(message=f"{lane.name} joins"))

    def _look_is_over(self, name: str) -> None:
        self._not_looked_at.discard(name)
        if not self._not_looked_at:
            self._looked.set()

    async def _problem_of(self, client: CompletionClient) -> str | None:
        """What keeps a server from being used."""
        settings = self.plan.settings
        if settings.check_model_url:
            try:
                entry = await wait_for_model(
                    client, settings.model_name, wait_s=0.0, poll_interval_s=1.0, notify=lambda _: None
                )
            except BootcampError as error:
                return error.message.partition("; waited ")[0]  # how long one look took is no news
            if other := difference(self.model or {}, entry.raw or {}):
                return other
        try:
            await probe(client, neutral_prompt(self.plan))
        except AttemptFailed as failure:
            return f"it gives no short neutral completion ({failure.message})"
        if (bos := self.plan.template.bos) and self.plan.prompt_template is not None:
            doubled = await doubles(client, bos)
            if self._doubles is None:
                self._doubles = doubled
            elif doubled != self._doubles:
                adds = "adds" if doubled else "does not add"
                return f"it {adds} a begin-of-sentence token of its own, unlike the first server"
        return None
