"""What was sent to each endpoint of a run: `endpoints.json`, requests and failures by base URL.

No result rests on it. It counts what no record tells: failed attempts, and how long an endpoint was away.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bootcamp_cli.store.atomic import Check, no_check, replace_json
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import mask_credentials

_MAX_BYTES = 16 << 20
_MAX_ENDPOINTS = 10_000
_MAX_KINDS = 100
_MAX_URL_CHARS = 2048

_Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class EndpointTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to an endpoint, those that were answered, and failed ones by kind; how often and long it was away."""

    n_requests: _Count = 0
    n_answered: _Count = 0
    failures: dict[str, _Count] = msgspec.field(default_factory=dict)
    n_away: _Count = 0
    away_s: Annotated[float, Meta(ge=0, le=1e12)] = 0.0


def read_endpoints(run_dir: RunDir) -> dict[str, EndpointTraffic]:
    """The traffic by base URL, without credentials, in the order of the URLs; empty where nothing tells.

    What cannot be read of it is left out.
    """
    try:
        if not run_dir.endpoints.is_file():
            return {}
        with run_dir.endpoints.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        value: Any = msgspec.json.decode(content) if len(content) <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    found: dict[str, EndpointTraffic] = {}
    for url, parts in sorted(value.items())[:_MAX_ENDPOINTS]:
        try:
            traffic = msgspec.convert(parts, EndpointTraffic)
        except msgspec.ValidationError:
            continue
        name = endpoint_name(url)
        if name is not None and len(traffic.failures) <= _MAX_KINDS:
            found[name] = _added(found[name], traffic) if name in found else traffic
    return found


def endpoint_name(url: str) -> str | None:
    """The name of an endpoint that a file has, whoever wrote it: without credentials; None where it cannot be one."""
    if not url or len(url) > _MAX_URL_CHARS:
        return None
    try:
        return mask_credentials(url)
    except ValueError:
        return None


def merge_endpoints(sources: Iterable[RunDir], target: RunDir, check: Check = no_check) -> None:
    """Write the traffic of several runs added up; no file where none has one."""
    total: dict[str, EndpointTraffic] = {}
    for source in sources:
        total = added_traffic(total, read_endpoints(source))
    if total:
        write_endpoints(target, total, check)


def added_traffic(
    one: Mapping[str, EndpointTraffic], other: Mapping[str, EndpointTraffic]
) -> dict[str, EndpointTraffic]:
    """The traffic of two runs, or of two parts of one, added up."""
    return {**one, **{url: _added(one[url], traffic) if url in one else traffic for url, traffic in other.items()}}


def write_endpoints(run_dir: RunDir, traffic: Mapping[str, EndpointTraffic], check: Check) -> None:
    """Replace the file.

    Raises:
        DiskError: it cannot be written.
    """
    replace_json(run_dir.endpoints, {url: msgspec.to_builtins(traffic[url]) for url in sorted(traffic)}, check)


def _added(one: EndpointTraffic, other: EndpointTraffic) -> EndpointTraffic:
    kinds = sorted({*one.failures, *other.failures})
    return EndpointTraffic(
        n_requests=one.n_requests + other.n_requests,
        n_answered=one.n_answered + other.n_answered,
        failures={kind: one.failures.get(kind, 0) + other.failures.get(kind, 0) for kind in kinds},
        n_away=one.n_away + other.n_away,
        away_s=one.away_s + other.away_s,
    )
