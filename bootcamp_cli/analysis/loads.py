"""What the load of the servers says about the speed of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootcamp_cli.store.server_metrics import Load
from bootcamp_cli.text import counted

_OFTEN = 0.9
_FULL = 0.95
_ROOM = 0.5
_LEAST_TIMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLoad:
    """The load of an endpoint over the run, of `n` times that it was asked while it had requests; None is not known.

    Means of the requests that ran and waited, the share of these times at which some waited, the fullest that its cache
    was, and the requests that lost their place in it.
    """

    n: int
    running: float | None
    waiting: float | None
    share_waiting: float | None
    cache: float | None
    preemptions: float | None


def loads_by_endpoint(loads: Sequence[Load]) -> dict[str, EndpointLoad]:
    """The loads summed up by endpoint, sorted by name."""
    names = sorted({load.endpoint for load in loads})
    return {name: _summed([load for load in loads if load.endpoint == name]) for name in names}


def _summed(loads: Sequence[Load]) -> EndpointLoad:
    busy = [load for load in loads if load.running or load.waiting] or loads
    known = [load for load in busy if load.least_waiting is not None]
    preemptions = [load.preemptions for load in loads if load.preemptions is not None]
    return EndpointLoad(
        n=sum(load.n for load in busy),
        running=_mean([(load.running, load.n) for load in busy]),
        waiting=_mean([(load.waiting, load.n) for load in busy]),
        share_waiting=_mean([(float((load.least_waiting or 0) > 0), load.n) for load in known]),
        cache=max((load.cache for load in loads if load.cache is not None), default=None),
        preemptions=sum(preemptions) if preemptions else None,
    )


def _mean(weighted: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, n) for value, n in weighted if value is not None]
    n = sum(n for _, n in known)
    return sum(value * n for value, n in known) / n if n else None


def load_notes(loads: Sequence[Load]) -> Iterator[str]:
    """In a line what of the load explains how slow the run was; nothing where nothing does."""
    by_endpoint = loads_by_endpoint(loads)
    parts = []
    if n := round(sum(each.preemptions or 0 for each in by_endpoint.values())):
        parts.append(f"{counted(n, 'request')} lost {'its' if n == 1 else 'their'} place in the cache and began anew")
    full = [each.cache for each in by_endpoint.values() if each.cache is not None and each.cache > _FULL]
    if full:
        where = "" if len(by_endpoint) == 1 else f" at {len(full):,} of {len(by_endpoint):,} endpoints"
        parts.append(f"the cache was {max(full):.0%} full{where}")
    queued = [each for each in by_endpoint.values() if _waits(each)]
    if queued:
        mean = sum(each.waiting or 0 for each in queued)
        where = "" if len(by_endpoint) == 1 else f" at {len(queued):,} of {len(by_endpoint):,} endpoints"
        parts.append(f"requests always waited{where} ({mean:,.0f} at a time): more at once make nothing faster")
    elif by_endpoint and all(map(_has_room, by_endpoint.values())):
        running = sum(each.running or 0 for each in by_endpoint.values())
        parts.append(
            f"no request waited, with {running:,.0f} at work and the cache never more than half full: a larger "
            "max_concurrent_requests may be faster"
        )
    if parts:
        yield f"server: {'; '.join(parts)}"


def _waits(load: EndpointLoad) -> bool:
    return load.n >= _LEAST_TIMES and load.share_waiting is not None and load.share_waiting >= _OFTEN


def _has_room(load: EndpointLoad) -> bool:
    is_known = load.n >= _LEAST_TIMES and load.share_waiting is not None and load.cache is not None
    return is_known and not load.waiting and load.cache is not None and load.cache < _ROOM and bool(load.running)
