"""Whether the endpoints of a run answer alike: score, length and truncation of each against those of the others.

Only answers to the same bootcamp are compared: the order of work ties endpoints to bootcamps, and so to lengths. The
sum of an endpoint's values is held against what it would be if its samples had been drawn from all samples of each
bootcamp, without regard to the endpoint: the generalised Cochran-Mantel-Haenszel statistic (Landis, Heyman & Koch
1978). For 0/1 values it is the sum of hypergeometric counts.

The tail of that sum is Pearson's type III curve with its exact mean, variance and third moment (Mielke & Berry 2007),
for 0/1 values with a correction for continuity. A normal tail is far too small where events are rare: at a level of
1e-5 and a truncated share of 1 % it would be ten times too small or worse. This one is at least the exact tail of rare
0/1 events, takes graded scores and lengths as well, and needs sums only, so that no answer is kept.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from bootcamp_cli.analysis.statistics import Z95, Interval
from bootcamp_cli.text import shortened, visible

Measure = Literal["score", "length", "truncation"]
"""What is compared: the score, the logarithm of the length, whether an answer was truncated."""

MEASURES: tuple[Measure, ...] = get_args(Measure)
"""All that is compared."""

ALPHA = 0.05
"""The chance that equal endpoints get any finding, over all endpoints, measures and looks of a run."""

N_SUMS = 4 * len(MEASURES)

_FIRST_LOOK = 50
_GROWTH = 1.25
_FOUNDERS = 0.8
_LOOKS_OFFSET = 5
_MOST_ENDPOINTS = 1000
_MOST_WAITING = 65_536
_LEAST_WAITING = 1024
_LARGEST = 1e6


class Sums:
    """What is kept of the answers of one endpoint to one bootcamp: for each measure n, and the sums of x, x^2, x^3.

    Values are whole numbers of `UNIT` parts, so that sums are exact, in whatever order answers come.
    """

    __slots__ = ("values",)

    def __init__(self, values: Iterable[int] = (0,) * N_SUMS) -> None:
        self.values = list(values)

    def add(self, score: float | None, n_tokens: int | None, *, truncated: bool) -> None:
        """Count an answer; a score or length that is not known counts in the other measures only."""
        values = self.values
        if score is not None and not math.isnan(score):
            if score == 1:
                x, square, cube = _ONE
            else:
                x = round(min(max(score, -_LARGEST), _LARGEST) * UNIT)
                square = x * x
                cube = square * x
            values[0] += 1
            if x:
                values[1] += x
                values[2] += square
                values[3] += cube
        if n_tokens is not None:
            x = round(math.log1p(n_tokens) * UNIT)
            square = x * x
            values[4] += 1
            values[5] += x
            values[6] += square
            values[7] += square * x
        values[8] += 1
        if truncated:
            x, square, cube = _ONE
            values[9] += x
            values[10] += square
            values[11] += cube


UNIT = 1 << 20
"""Into how many parts the unit of a score, or of a logarithm, is divided."""

_ONE = UNIT, UNIT**2, UNIT**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An endpoint against others within bootcamps.

    `value` and `others` are means over bootcamps, of each the endpoint's and the others' with the same weight,
    n n'/(n + n'); of lengths they are geometric means. `n` and `n_others` count the answers to bootcamps that both
    answered. `p` is two-sided, of one look alone. `interval` is that of the difference of score or truncation, of
    lengths that of their ratio.
    """

    value: float
    others: float
    n: int
    n_others: int
    p: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """That the answers of an endpoint differ; `p` is adjusted for all that was tested, `n_compared` counts the others.

    Where that is one, either of them may be the odd one.
    """

    endpoint: str
    measure: Measure
    value: float
    others: float
    n: int
    n_others: int
    n_compared: int
    p: float

    @property
    def text(self) -> str:
        """The finding in a line, with what to look at."""
        return f"endpoint {shortened(visible(self.endpoint), _MAX_NAME_CHARS)} {self.what}: {_ADVICE[self.measure]}"

    @property
    def what(self) -> str:
        """How the endpoint differs: its value against the others'."""
        others = "the other one, either may be the odd one" if self.n_compared == 1 else f"{self.n_compared:,} others"
        name, form = _WORDS[self.measure]
        chance = f"p {max(self.p, 1e-12):.1g} after adjustment"
        return (
            f"differs: {name} {self.value:{form}} against {self.others:{form}} of {others}, in the same bootcamps "
            f"({self.n:,} answers, {chance})"
        )


_MAX_NAME_CHARS = 120
_WORDS: Mapping[Measure, tuple[str, str]] = {
    "score": ("average score", ".4f"),
    "length": ("typical length", ",.0f"),
    "truncation": ("truncated share", ".1%"),
}
_ADVICE: Mapping[Measure, str] = {
    "score": "compare its model, weights, quantisation and chat template with theirs",
    "length": "compare its model, template and sampling defaults with theirs",
    "truncation": "compare its limits on output and context with theirs, and its template",
}


class Strata:
    """The sums of the answers by bootcamp and endpoint, and comparisons of them."""

    def __init__(self) -> None:
        self._by_endpoint: dict[str, dict[str, Sums]] = {}
        self._totals: dict[str, Sums] = {}
        self._has_graded_scores = False

    def add(self, endpoint: str, bootcamp: str, score: float | None, n_tokens: int | None, *, truncated: bool) -> None:
        """Count an answer."""
        own, total = self._sums(endpoint, bootcamp)
        own.add(score, n_tokens, truncated=truncated)
        total.add(score, n_tokens, truncated=truncated)
        if score is not None and score not in (0, 1):
            self._has_graded_scores = True

    def add_sums(self, bootcamp: str, by_endpoint: Mapping[str, Sums]) -> None:
        """Count answers that are summed up already."""
        for endpoint, sums in by_endpoint.items():
            for known in self._sums(endpoint, bootcamp):
                known.values = list(map(int.__add__, known.values, sums.values))
            _, first, second, third = sums.values[:4]
            self._has_graded_scores |= not first * UNIT * UNIT == second * UNIT == third

    def _sums(self, endpoint: str, bootcamp: str) -> tuple[Sums, Sums]:
        """Those of an endpoint, and those of all endpoints, made where there are none."""
        total = self._totals.get(bootcamp)
        if total is None:
            total = self._totals[bootcamp] = Sums()
        by_bootcamp = self._by_endpoint.get(endpoint)
        if by_bootcamp is None:
            by_bootcamp = self._by_endpoint[endpoint] = {}
        own = by_bootcamp.get(bootcamp)
        if own is None:
            own = by_bootcamp[bootcamp] = Sums()
        return own, total

    @property
    def endpoints(self) -> list[str]:
        """Every endpoint, in order of its name."""
        return sorted(self._by_endpoint)

    def compare(self, endpoint: str, measure: Measure, without: Collection[str] = ()) -> Comparison | None:
        """An endpoint against all others but those `without`; None where there is nothing to compare."""
        weight = own_mean = others_mean = deviation = variance = third = 0.0
        n_own = n_others = 0
        at = 4 * MEASURES.index(measure)
        for bootcamp, sums in self._by_endpoint.get(endpoint, {}).items():
            values, totals = sums.values, self._totals[bootcamp].values
            n, size, total, squares, cubes = values[at], totals[at], totals[at + 1], totals[at + 2], totals[at + 3]
            for other in without:
                if (left_out := self._by_endpoint[other].get(bootcamp)) is not None:
                    out = left_out.values
                    size, total = size - out[at], total - out[at + 1]
                    squares, cubes = squares - out[at + 2], cubes - out[at + 3]
            rest = size - n
            if not n or not rest:
                continue
            n_own, n_others = n_own + n, n_others + rest
            share = n * rest / size
            weight += share
            if not squares:
                continue
            own = values[at + 1]
            own_mean += share * (own / n / UNIT)
            others_mean += share * ((total - own) / rest / UNIT)
            spread = squares * size - total * total
            if not spread:
                continue  # all alike: nothing is left to chance
            deviation += (own * size - n * total) / size / UNIT
            variance += share * (spread / size / (size - 1) / UNIT**2)
            if size > 2:
                cubed = (cubes * size - 3 * total * squares) * size + 2 * total**3
                third += share * (rest - n) / ((size - 1) * (size - 2)) * (cubed / size**2 / UNIT**3)
        if not weight:
            return None
        step = 0.0 if measure == "length" or (measure == "score" and self._has_graded_scores) else 1.0
        own_mean, others_mean = own_mean / weight, others_mean / weight
        half = Z95 * math.sqrt(max(variance, 0.0)) / weight
        interval = Interval(low=own_mean - others_mean - half, high=own_mean - others_mean + half)
        p = two_sided_p(deviation, variance, third, step=step)
        if measure == "length":
            own_mean, others_mean = math.expm1(own_mean), math.expm1(others_mean)
            interval = Interval(low=math.exp(interval.low), high=math.exp(interval.high))
        return Comparison(value=own_mean, others=others_mean, n=n_own, n_others=n_others, p=p, interval=interval)

    def findings(self) -> list[Finding]:
        """Every endpoint that differs over all answers, the most certain first.

        In each measure the endpoint that differs most is named and left out, and the rest compared anew: one that is
        bad does not make the others differ. Each p is multiplied by the number of endpoints and measures.
        """
        endpoints = self.endpoints
        found: list[Finding] = []
        for measure in MEASURES:
            out: list[str] = []
            while len(rest := [endpoint for endpoint in endpoints if endpoint not in out]) > 1:
                compared = [(e, self.compare(e, measure, out)) for e in rest]
                known = [(c.p, e, c) for e, c in compared if c is not None]
                if not known:
                    break
                p, endpoint, worst = min(known, key=lambda each: (each[0], each[2].n, each[1]))
                p = min(1.0, p * len(MEASURES) * len(endpoints))
                if p > ALPHA:
                    break
                found.append(_finding(endpoint, measure, worst, p, len(rest) - 1))
                out.append(endpoint)
        return sorted(found, key=lambda finding: (finding.p, finding.endpoint, MEASURES.index(finding.measure)))


def two_sided_p(deviation: float, variance: float, third: float, *, step: float = 0.0) -> float:
    """Twice the tail of a sum beyond its deviation from its mean, from the sum's variance and third central moment.

    Values of the sum lie `step` apart, 0 where they lie close together. Pearson's type III curve is a shifted gamma
    distribution; its tail is that of the saddlepoint (Lugannani & Rice 1980), which for gamma distributions is right
    to a few percent however far out. Beyond the end of the curve, Cantelli's inequality holds for any sum.
    """
    size = abs(deviation) - step / 2
    if not variance > 0 or not size > 0:
        return 1.0
    sd = math.sqrt(variance)
    z, skew = size / sd, math.copysign(1.0, deviation) * third / (variance * sd)
    if not (math.isfinite(z) and math.isfinite(skew)):
        return 1.0
    y = z * skew / 2
    if y <= -0.999:
        return min(1.0, 2 / (1 + z * z))
    # 2 (y - log(1 + y)) / y^2, by its series where the difference would be lost
    ratio = 1 - y * (2 / 3 - y / 2 + 2 * y * y / 5) if abs(y) < 1e-3 else 2 * (y - math.log1p(y)) / (y * y)
    w = z * math.sqrt(ratio)
    r = w + math.log(z / w) / w if w > 1e-6 else w
    return min(1.0, math.erfc(r / math.sqrt(2)))


def _finding(endpoint: str, measure: Measure, compared: Comparison, p: float, n_compared: int) -> Finding:
    return Finding(
        endpoint=endpoint,
        measure=measure,
        value=compared.value,
        others=compared.others,
        n=compared.n,
        n_others=compared.n_others,
        n_compared=n_compared,
        p=p,
    )


class Token:
    """A sample that was sent to an endpoint."""

    __slots__ = ("endpoint", "has_ended", "is_kept", "outcome")

    def __init__(self, endpoint: str, *, is_kept: bool) -> None:
        self.endpoint = endpoint
        self.is_kept = is_kept
        self.has_ended = False
        self.outcome: tuple[str, float | None, int | None, bool] | None = None


class _Endpoint:
    """An endpoint while the run goes on: what has not ended, or waits behind that, in the order of the starts."""

    __slots__ = ("level", "n", "n_looks", "next_look", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Token] = deque()
        self.n = 0
        self.n_looks = 0
        self.next_look = _FIRST_LOOK
        self.level: float | None = None


class DriftWatch:
    """Looks at the endpoints of a run as their answers come, and finds each that differs, once for each measure.

    Samples count in the order of their start, up to the first of their endpoint that has not ended: when a slow
    endpoint has sent only its short answers, these say nothing yet. Failed samples are passed over.

    An endpoint is looked at when 50 of its samples count, and whenever there are a quarter more. Its k-th look (from 0)
    may spend 5 / ((k + 5)(k + 6)) of its level, which makes 1 in all. The endpoints there at the first look of all
    share four fifths of 0.05, the m-th that joins later gets 1 / (m(m + 1)) of the rest. One that is found is compared
    with nobody in that measure any more.

    A sample costs the same however many there are. Where more than some thousand wait behind one that does not end,
    those that start then are left out: it is their start that decides, so that nothing is biased.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._strata = Strata()
        self._endpoints: dict[str, _Endpoint] = {}
        self._found: dict[Measure, set[str]] = {measure: set() for measure in MEASURES}
        self._has_looked = False
        self._n_later = 0

    def started(self, endpoint: str) -> Token:
        """A sample was sent to an endpoint; its token is for `ended` or `failed`, one of them, once."""
        state = self._endpoints.get(endpoint)
        if state is None:
            if len(self._endpoints) >= _MOST_ENDPOINTS:
                return Token(endpoint, is_kept=False)
            state = self._endpoints[endpoint] = _Endpoint()
            if self._has_looked:
                self._n_later += 1
                state.level = ALPHA * (1 - _FOUNDERS) / (self._n_later * (self._n_later + 1))
        is_kept = len(state.waiting) < max(_LEAST_WAITING, _MOST_WAITING // len(self._endpoints))
        token = Token(endpoint, is_kept=is_kept)
        if is_kept:
            state.waiting.append(token)
        return token

    def ended(
        self, token: Token, data_source: str, score: float | None, n_tokens: int | None, *, truncated: bool
    ) -> list[Finding]:
        """A sample has its verdict. Returns what is found just now."""
        token.outcome = (data_source, score, n_tokens, truncated)
        return self._release(token)

    def failed(self, token: Token) -> list[Finding]:
        """A sample ended without an answer, or is sent to another endpoint. Returns what is found just now."""
        return self._release(token)

    def _release(self, token: Token) -> list[Finding]:
        """Count what waited for this sample; there is a look at just the samples that were up to it."""
        token.has_ended = True
        if not token.is_kept:
            return []
        found: list[Finding] = []
        state = self._endpoints[token.endpoint]
        waiting = state.waiting
        while waiting and waiting[0].has_ended:
            outcome = waiting.popleft().outcome
            if outcome is None:
                continue
            data_source, score, n_tokens, truncated = outcome
            self._strata.add(token.endpoint, data_source, score, n_tokens, truncated=truncated)
            state.n += 1
            if state.n >= state.next_look:
                found += self._look(token.endpoint, state)
        self.findings += found
        return found

    def _look(self, endpoint: str, state: _Endpoint) -> Iterator[Finding]:
        """Compare an endpoint now."""
        if not self._has_looked:
            self._has_looked = True
            for each in self._endpoints.values():
                each.level = ALPHA * _FOUNDERS / len(self._endpoints)
        at = state.n_looks + _LOOKS_OFFSET
        level = (state.level or 0.0) / len(MEASURES) * _LOOKS_OFFSET / (at * (at + 1))
        state.n_looks += 1
        state.next_look = math.ceil(state.next_look * _GROWTH)
        for measure in MEASURES:
            out = self._found[measure]
            if endpoint in out:
                continue
            compared = self._strata.compare(endpoint, measure, out)
            if (
                compared is not None
                and compared.p <= level
                and self._differs_itself(endpoint, measure, compared, level)
            ):
                n_compared = len(self._endpoints) - len(out) - 1
                out.add(endpoint)
                yield _finding(endpoint, measure, compared, compared.p * ALPHA / level, n_compared)

    def _differs_itself(self, endpoint: str, measure: Measure, compared: Comparison, level: float) -> bool:
        """Whether it is not another endpoint, one that differs even more, that makes this one differ from the rest."""
        out = self._found[measure]
        rest = [other for other in self._endpoints if other != endpoint and other not in out]
        if len(rest) < 2:
            return True
        known = ((other, self._strata.compare(other, measure, out)) for other in rest)
        p, worst = min(((each.p, other) for other, each in known if each is not None), default=(1.0, ""))
        if p >= compared.p:
            return True
        again = self._strata.compare(endpoint, measure, out | {worst})
        return again is not None and again.p <= level
