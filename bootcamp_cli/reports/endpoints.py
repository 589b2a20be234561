"""The endpoints of a run for every report: as rows of a table, as lines, and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from msgspec import structs

from bootcamp_cli.analysis.drift import Comparison, Measure
from bootcamp_cli.analysis.endpoints import Endpoints, EndpointSummary
from bootcamp_cli.reports.columns import digits_borne
from bootcamp_cli.reports.grid import Grid
from bootcamp_cli.text import counted, length_text, score_text, shortened, visible
from bootcamp_cli.types import LATENCY_UNIT_S

_MAX_ROWS = 50
_MAX_NAME_CHARS = 60
_NONE = "-"


def endpoint_grid(endpoints: Endpoints, *, most: int = _MAX_ROWS) -> Grid:
    """A row for each endpoint, those with findings first; at most so many rows."""
    found = {finding.endpoint for finding in endpoints.findings}
    rows = sorted(endpoints.rows, key=lambda row: (row.endpoint not in found, row.endpoint))[:most]
    has_traffic = any(row.traffic is not None for row in endpoints.rows)
    titles = ("endpoint", "answers", "score", "low95", "high95", "vs others", "truncated", "length", "p50 s", "p95 s")
    traffic = ("requests", "failed", "away s") if has_traffic else ()
    return Grid(
        (*titles, "tokens/s", *traffic),
        [(*_cells(row), *(_traffic_cells(row) if has_traffic else ())) for row in rows],
        spare=("low95", "high95", *traffic[2:], "p95 s", *traffic[:1], "length"),
    )


def _cells(row: EndpointSummary) -> tuple[str, ...]:
    digits = digits_borne(row.interval)
    ends = (row.interval.low, row.interval.high) if row.interval else (None, None)
    compared = row.compared.get("score")
    share = row.truncated_share
    return (
        shortened(visible(row.endpoint), _MAX_NAME_CHARS),
        f"{row.n:,}",
        *(_NONE if value is None else score_text(value, digits) for value in (row.avg_score, *ends)),
        _NONE if compared is None else f"{compared.value - compared.others:+.{digits}f}",
        _NONE if share is None else f"{share:.1%}",
        _NONE if row.avg_len is None else length_text(row.avg_len),
        *(_seconds(row, p) for p in (0.5, 0.95)),
        _NONE if row.tokens_per_second is None else f"{row.tokens_per_second:,.1f}",
    )


def _seconds(row: EndpointSummary, p: float) -> str:
    units = row.latency.quantile(p)
    return _NONE if units is None else f"{units * LATENCY_UNIT_S:,.2f}"


def _traffic_cells(row: EndpointSummary) -> tuple[str, str, str]:
    if (traffic := row.traffic) is None:
        return _NONE, _NONE, _NONE
    return f"{traffic.n_requests:,}", f"{sum(traffic.failures.values()):,}", f"{traffic.away_s:,.0f}"


def endpoint_notes(endpoints: Endpoints, *, most: int = _MAX_ROWS) -> Iterator[str]:
    """What belongs below the table: what the columns mean, and every endpoint that differs."""
    if (rest := len(endpoints.rows) - most) > 0:
        yield f"{counted(rest, 'more endpoint')} of {len(endpoints.rows):,}: `report --json` has all of them"
    kinds: dict[str, int] = {}
    for row in endpoints.rows:
        for kind, n in (row.traffic.failures if row.traffic else {}).items():
            kinds[kind] = kinds.get(kind, 0) + n
    if kinds:
        shown = ", ".join(f"{n:,} {shortened(visible(kind), 40)}" for kind, n in sorted(kinds.items()))
        yield f"failed requests at all endpoints: {shown}"
    yield (
        "vs others: the score against the others' within bootcamps; the plain averages differ also where endpoints "
        "took other bootcamps"
    )
    for finding in endpoints.findings[:most]:
        yield finding.text
    if not endpoints.findings:
        yield "no endpoint differs from the others in score, length or truncation (level 0.05, all tests together)"


def endpoints_json(endpoints: Endpoints) -> list[dict[str, Any]]:
    """Every endpoint as a JSON object."""
    return [
        {
            "endpoint": row.endpoint,
            "n_answered": row.n,
            "n_scored": row.n_scored,
            "avg_score": row.avg_score,
            "interval": None if row.interval is None else [row.interval.low, row.interval.high],
            "n_truncated": row.n_truncated,
            "avg_len": row.avg_len,
            "latency_s": {
                "n": row.latency.n,
                **{
                    name: None if units is None else round(units * LATENCY_UNIT_S, 6)
                    for name, units in (
                        ("mean", row.latency.mean),
                        ("p50", row.latency.quantile(0.5)),
                        ("p95", row.latency.quantile(0.95)),
                    )
                },
            },
            "tokens_per_second": row.tokens_per_second,
            "compared": {measure: _compared(measure, found) for measure, found in row.compared.items()},
            "server": None if row.load is None else asdict(row.load),
            "requests": None if row.traffic is None else structs.asdict(row.traffic),
        }
        for row in endpoints.rows
    ]


def _compared(measure: Measure, found: Comparison) -> dict[str, Any]:
    is_ratio = measure == "length"
    ratio = (1 + found.value) / (1 + found.others)  # of what its interval is that of
    return {
        "value": found.value,
        "others": found.others,
        **({"ratio": ratio} if is_ratio else {"difference": found.value - found.others}),
        "interval": [found.interval.low, found.interval.high],
        "n": found.n,
        "n_others": found.n_others,
        "p": found.p,
    }


def drift_json(endpoints: Endpoints) -> list[dict[str, Any]]:
    """Every endpoint that differs as a JSON object."""
    return [asdict(finding) for finding in endpoints.findings]
