"""The answers of a run by the endpoint that gave them, and which endpoints differ."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bootcamp_cli.analysis.drift import MEASURES, Comparison, Finding, Measure, Strata, Sums
from bootcamp_cli.analysis.loads import EndpointLoad, loads_by_endpoint
from bootcamp_cli.analysis.statistics import Z95, Distribution, Interval, added_distributions, wilson_interval
from bootcamp_cli.store.endpoints import EndpointTraffic
from bootcamp_cli.types import LATENCY_UNIT_S

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCounts:
    """The answers of one endpoint in a row of the summary.

    `score_squares` is the sum of the squared scores, `is_bounded` says whether all scores are from 0 to 1. `n_len` and
    `len_sum` are over the answers that have a score and a length. `latency` and `timed` are in units of
    LATENCY_UNIT_S; `n_tokens_timed` tokens by the server's count came in `timed`. `sums` are what endpoints are
    compared by, None where no other one answered.
    """

    n: int
    n_truncated: int
    n_scored: int
    score_sum: float
    score_squares: float
    is_bounded: bool
    n_len: int
    len_sum: int
    latency: Distribution = field(default_factory=Distribution)
    n_tokens_timed: int = 0
    timed: int = 0
    sums: Sums | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """The answers of one endpoint in the whole run.

    `avg_score` is the mean of all its scores, with the interval for new questions; endpoints that took other bootcamps
    have other averages: `compared` has, by measure, the comparison within bootcamps. `traffic` is what the run counted
    beside the records, `load` what the server told of itself.
    """

    endpoint: str
    n: int
    n_truncated: int
    n_scored: int
    avg_score: float | None
    interval: Interval | None
    avg_len: float | None
    latency: Distribution
    tokens_per_second: float | None
    compared: Mapping[Measure, Comparison]
    traffic: EndpointTraffic | None
    load: EndpointLoad | None

    @property
    def truncated_share(self) -> float | None:
        """The share of its answers that ended at the token limit."""
        return self.n_truncated / self.n if self.n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The endpoints of a run in the order of their names, and the findings about them, the most certain first."""

    rows: tuple[EndpointSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def are_several(self) -> bool:
        """Whether there is something to compare."""
        return len(self.rows) > 1


def endpoints_of(run: "RunSummary") -> Endpoints:
    """What the rows of a summary tell of endpoints; nothing where no record names one."""
    counts: defaultdict[str, list[EndpointCounts]] = defaultdict(list)
    strata = Strata()
    for group in run.groups:
        for endpoint, each in group.endpoints.items():
            counts[endpoint].append(each)
        sums = {endpoint: each.sums for endpoint, each in group.endpoints.items() if each.sums is not None}
        if len(sums) > 1:
            strata.add_sums(f"{group.file}\0{group.bootcamp}", sums)
    findings = strata.findings()
    loads = loads_by_endpoint(run.loads)
    names = sorted({*counts, *run.traffic, *loads})
    rows = (
        _summary(name, counts.get(name, ()), strata, traffic=run.traffic.get(name), load=loads.get(name))
        for name in names
    )
    return Endpoints(rows=tuple(rows), findings=tuple(findings))


def _summary(
    endpoint: str,
    counts: Iterable[EndpointCounts],
    strata: Strata,
    *,
    traffic: EndpointTraffic | None,
    load: EndpointLoad | None,
) -> EndpointSummary:
    parts = tuple(counts)
    n_scored, n_len = sum(part.n_scored for part in parts), sum(part.n_len for part in parts)
    total, squares = math.fsum(part.score_sum for part in parts), math.fsum(part.score_squares for part in parts)
    mean = total / n_scored if n_scored else None
    timed = sum(part.timed for part in parts)
    compared = {measure: strata.compare(endpoint, measure) for measure in MEASURES}
    return EndpointSummary(
        endpoint=endpoint,
        n=sum(part.n for part in parts),
        n_truncated=sum(part.n_truncated for part in parts),
        n_scored=n_scored,
        avg_score=mean if mean is not None and math.isfinite(mean) else None,
        interval=_interval(n_scored, total, squares, is_bounded=all(part.is_bounded for part in parts)),
        avg_len=sum(part.len_sum for part in parts) / n_len if n_len else None,
        latency=added_distributions(part.latency for part in parts),
        tokens_per_second=sum(part.n_tokens_timed for part in parts) / (timed * LATENCY_UNIT_S) if timed else None,
        compared={measure: found for measure, found in compared.items() if found is not None},
        traffic=traffic,
        load=load,
    )


def _interval(n: int, total: float, squares: float, *, is_bounded: bool) -> Interval | None:
    """The 95 % interval of a mean: Wilson's for scores from 0 to 1, of as many 0/1 answers as they are worth."""
    if not n:
        return None
    mean = total / n
    if is_bounded:
        # the variance with two pseudo-answers, 0 and 1, as in `statistics.effective_size`
        pseudo = (total + 1) / (n + 2)
        variance = (squares + 1) / (n + 2) - pseudo * pseudo
        size = max(float(n), n * pseudo * (1 - pseudo) / variance) if variance > 0 else float(n)
        return wilson_interval(min(max(mean, 0.0), 1.0), size)
    variance = (squares - total * mean) / (n - 1) if n > 1 else math.nan
    half = Z95 * math.sqrt(variance / n) if variance >= 0 else math.nan
    return Interval(low=mean - half, high=mean + half) if math.isfinite(mean) and math.isfinite(half) else None
