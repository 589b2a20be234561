"""What the server allows: a limiter per endpoint that paces starts, and bounds requests in flight.

    unlimited --refused--> closed --hold over--> probing --accepted--> paced --refused--> closed ...
    (ramp only)            (no start)            (one request)         (a rate, growing)

A server that answers 429 has no quarrel with the sample: it says how many requests it takes. How many is learned from
the refusals alone, so that it works for windows, sliding or not, for token buckets, and for bounds on requests in
flight. A *cycle* lasts from one reopening to the next: what was accepted in it, over its length, is what the server
allows. Starts are paced a little below that, and the pace grows, quickly while it is far below the pace that was last
refused, slowly near it. A hold lasts as long as the server asks; where it does not say, until the next cycle is due by
what was learned, and then one request at a time asks whether it is over.

`Pace` is the arithmetic, without clock; `Limiter` tells it of replies. Waiting is the dispatcher's.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random

from bootcamp_cli.errors import ServerUnavailableError
from bootcamp_cli.events import Emit, ServerLimits
from bootcamp_cli.server.failures import AttemptFailed
from bootcamp_cli.text import shown_s

_RAMP = 16
"""Requests in flight at the very start; the number doubles every _RAMP_S, so that a first refusal comes in time."""
_RAMP_S = 0.02

_FIRST_PROBE_S = 0.2
_PROBE_GROWTH = 1.3
_PROBE_SHARE = 0.04
"""Probes around the time when a cycle is due are this share of its length apart."""

_N_TRUSTED = 2
"""Probes in a row that may be refused before the server's word about the time is doubted."""

_N_CYCLES = 4
_MIN_GRACE_S = 0.05
_BELOW = 0.98
_ABOVE = 1.01
"""Where the server does not say how long to wait, a refusal costs little time: the pace begins at what it allows."""
_NEAR = 0.97
_FAST_GROWTH = 0.1
_SLOW_GROWTH = 0.01
"""Growth of the pace over as many starts as a cycle has, far from and near the pace that was refused."""
_UNTOLD_GROWTH = 0.07
"""The same where the server does not say how long to wait."""
_MIN_GROWTH_STARTS = 20

_TOLD_EVERY_S = 60.0
_TOLD_CHANGE = 0.25
_MAX_REFUSALS = 16


@dataclass(slots=True, eq=False)
class Start:
    """A request that was started: when, in which cycle, and for which rank behind the server."""

    at_s: float
    cycle: int
    rank: int = 0


@dataclass(slots=True, eq=False)
class Pace:
    """When the next request may start. Every method is told the time, in seconds of one clock.

    `max_hold_s` caps what the server may ask for; `random` jitters every wait, as other clients wait for the same.
    """

    n_slots: int
    max_hold_s: float
    random: Random
    rate: float | None = None
    """Starts per second; None while the server has refused none."""
    max_in_flight: float = inf
    n_in_flight: int = 0
    _began_s: float | None = None
    _is_ramping: bool = True
    _cycle: int = 0
    _cycle_s: float = 0.0
    _n_cycle: int = 0
    _cycles: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_N_CYCLES))
    _due_s: float = 0.0
    """When the next paced start is due."""
    _is_closed: bool = False
    _closed_s: float = 0.0
    _opens_s: float = 0.0
    _n_probes: int = 0
    _probe: Start | None = None
    _last_refused_s: float = 0.0
    _is_told: bool = False
    _told_within_s: float = 0.0
    """How much too long the server's wish may be: whole seconds are rounded up."""
    _refused_rate: float = inf
    _refusal_s: float = 0.0
    """The longest time that a refusal took."""

    def opens_at(self, now: float) -> float:
        """When the next request may start: now or earlier, later, or `inf` for not before one has ended."""
        if self._is_closed:
            return self._opens_at_closed(now)
        if self.n_in_flight >= self.max_in_flight:
            return inf
        if self.rate is not None:
            return self._due_s
        if self._is_ramping and self._began_s is not None:
            n_doublings = int((now - self._began_s) / _RAMP_S)
            if _RAMP << min(n_doublings, 40) >= self.n_slots:
                self._is_ramping = False
            elif self.n_in_flight >= _RAMP << n_doublings:
                return self._began_s + (n_doublings + 1.001) * _RAMP_S
        return now

    def _opens_at_closed(self, now: float) -> float:
        if self._probe is not None:
            accepted_s = self._probe.at_s + max(_MIN_GRACE_S, 3 * self._refusal_s)
            if now < accepted_s:
                return accepted_s
            self._reopen(self._probe)  # a refusal would have come by now
            return self.opens_at(now)
        return self._opens_s

    def started(self, now: float) -> Start:
        """A request starts now."""
        self.n_in_flight += 1
        if self._began_s is None:
            self._began_s = self._cycle_s = now
        start = Start(now, self._cycle)
        if self._is_closed:
            self._probe = start
            return start
        self._n_cycle += 1
        if self.rate is not None:
            # who was late catches up, but not for longer than the answer to a probe may have taken
            earliest = now - max(1 / self.rate, 2 * max(_MIN_GRACE_S, 3 * self._refusal_s))
            self._due_s = max(self._due_s, earliest) + self.random.uniform(0.95, 1.05) / self.rate
            self._grow()
        return start

    def accepted(self, start: Start) -> None:
        """The request ended in anything but a refusal."""
        self.n_in_flight -= 1
        if start is self._probe:
            self._reopen(start)
        if self.max_in_flight < self.n_slots:
            self.max_in_flight += 0.5 / max(1.0, self.max_in_flight)

    def given_up(self, start: Start) -> None:
        """The request was cancelled: nothing is known."""
        self.n_in_flight -= 1
        if start is self._probe:
            self._probe = None

    def refused(self, start: Start, now: float, wish_s: float | None) -> None:
        """The server took no request; `wish_s` is how long it asks to wait."""
        self.n_in_flight -= 1
        self._is_ramping = False
        self._refusal_s = max(self._refusal_s, min(now - start.at_s, 5.0))
        is_probe = start is self._probe
        if start.cycle == self._cycle and not is_probe:
            self._n_cycle -= 1
        if is_probe:
            self._probe = None
            self._n_probes += 1
            self._last_refused_s = start.at_s
        elif self._is_closed:
            if wish_s is not None:
                self._hold(now, wish_s)
            self.max_in_flight = min(self.max_in_flight, max(1, self.n_in_flight))
            return
        elif start.cycle != self._cycle:
            return  # it started before the last hold
        else:
            self._close(start, now)
        if wish_s is not None:
            self._hold(now, wish_s)
        if wish_s is None or self._n_probes > _N_TRUSTED:
            self._opens_s = max(self._opens_s, self._next_probe(now))

    def _close(self, start: Start, now: float) -> None:
        self._is_closed = True
        self._is_told = False
        self._closed_s, self._last_refused_s = now, start.at_s
        self._opens_s, self._n_probes = 0.0, 0
        self.max_in_flight = max(1, self.n_in_flight)
        if self.rate is not None:
            self._refused_rate = self.rate

    def _hold(self, now: float, wish_s: float) -> None:
        wish_s = min(wish_s, self.max_hold_s)
        self._is_told = True
        self._told_within_s = 1.0 if wish_s >= 1 and wish_s == int(wish_s) else 0.0
        self._opens_s = max(self._opens_s, now + wish_s + min(wish_s * 0.02, 0.5) * self.random.random())

    def _next_probe(self, now: float) -> float:
        jitter = self.random.uniform(0.9, 1.1)
        if self._cycles:
            length_s = max(1, self._n_cycle) / self._allowed()
            due_s = self._cycle_s + length_s
            step_s = length_s * _PROBE_SHARE * _PROBE_GROWTH ** max(0, self._n_probes - 4)
            if now + step_s < due_s:
                return due_s - step_s
            return now + min(step_s * jitter, self.max_hold_s)
        return now + min(_FIRST_PROBE_S * _PROBE_GROWTH**self._n_probes * jitter, self.max_hold_s)

    def _reopen(self, probe: Start) -> None:
        """The hold is over since this request started: the cycle is complete, the next one has begun."""
        self._probe, self._is_closed = None, False
        if self.n_in_flight > self.max_in_flight:  # it was not for these that a request was refused
            self.max_in_flight = 2 * self.n_in_flight
        now, n = probe.at_s, max(1, self._n_cycle)
        shortest_s = now - self._told_within_s if self._is_told else self._last_refused_s
        length_s = max(1e-3, (now + max(shortest_s, self._closed_s)) / 2 - self._cycle_s)
        if len(self._cycles) == 1 and self._cycle == 1:
            self._cycles.clear()  # the first one began with what was saved up, or in the middle of a window
        self._cycles.append((n, length_s))
        self._cycle += 1
        probe.cycle = self._cycle
        self._cycle_s, self._n_cycle = now, 1
        self.rate = self._allowed() * (_BELOW if self._is_told else _ABOVE)
        if self._is_told:
            self.rate = max(self.rate, min(0.93 * self._refused_rate, 1.2 * self.rate))
        self._due_s = now + 1 / self.rate

    def _allowed(self) -> float:
        return sum(n for n, _ in self._cycles) / sum(length_s for _, length_s in self._cycles)

    def _grow(self) -> None:
        if self.rate is not None and self._cycles:
            if not self._is_told:
                growth = _UNTOLD_GROWTH
            else:
                growth = _FAST_GROWTH if self.rate < _NEAR * self._refused_rate else _SLOW_GROWTH
            self.rate *= 1 + growth / max(_MIN_GROWTH_STARTS, self._cycles[-1][0])


@dataclass(slots=True, eq=False)
class Patience:
    """How often one sample was refused while others were answered: then the refusal is its own."""

    n_refused: int = 0
    n_answered_before: int = 0


class Limiter:
    """What one endpoint allows, as its replies tell.

    A refusal costs no retry, unless the server answered nothing for `wait_s`, which is an error, or refused one sample
    more than max(16, `max_retries`) times while it answered others.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        wait_s: float,
        max_retries: int,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._wait_s = wait_s
        self._max_refusals = max(_MAX_REFUSALS, max_retries)
        self._emit = emit
        self._clock = clock
        self._n_answered = 0
        self._answered_s: float | None = None
        self._told: tuple[float, float] | None = None

    def answered(self, start: Start) -> None:
        """The request was answered."""
        self._n_answered += 1
        self._answered_s = self._clock()
        self._pace.accepted(start)

    def refused(self, start: Start, failure: AttemptFailed, patience: Patience) -> bool:
        """The server takes no more requests for now; True where this one is sent again without counting.

        Raises:
            ServerUnavailableError: it has answered nothing for too long.
        """
        now = self._clock()
        if self._answered_s is None:
            self._answered_s = start.at_s
        self._pace.refused(start, now, failure.retry_after_s)
        if now - self._answered_s > self._wait_s and not self._pace.n_in_flight:
            raise ServerUnavailableError(
                f"the server limits requests and answered none for {shown_s(self._wait_s)}: {failure.message}",
                hint="wait until it takes requests again, then `bootcamp resume`: everything written so far is kept",
            ) from failure
        self._tell(now, failure)
        if patience.n_answered_before < self._n_answered:
            patience.n_answered_before = self._n_answered
            patience.n_refused += 1
        return patience.n_refused <= self._max_refusals

    def _tell(self, now: float, failure: AttemptFailed) -> None:
        """Tell of the limit: at first, and when it has become another one, at most once a minute."""
        rate = self._pace.rate
        if self._told is not None:
            told_s, told_rate = self._told
            is_news = rate is not None and abs(rate - told_rate) > _TOLD_CHANGE * told_rate
            if not is_news or (told_rate and now - told_s < _TOLD_EVERY_S):
                return
        self._told = now, rate or 0.0
        self._emit(
            ServerLimits(per_s=rate, max_in_flight=int(min(self._pace.max_in_flight, 1e9)), message=failure.message)
        )
