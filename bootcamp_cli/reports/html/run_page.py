"""The page of a run: `report.html`. Every number on it is one of the summary's or the audit's.

The same contents of a run directory give the same bytes: nothing tells when the page was made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bootcamp_cli.analysis.endpoints import endpoints_of
from bootcamp_cli.reports.columns import Column, digits_borne
from bootcamp_cli.reports.endpoints import endpoint_grid, endpoint_notes
from bootcamp_cli.reports.html.document import (
    MAX_BARS,
    OUTCOMES,
    ROW_PX,
    Bar,
    Cell,
    Chart,
    HtmlTable,
    Trace,
    document,
    error_bars,
    fitting,
    label,
    name_axis,
    plain_table,
)
from bootcamp_cli.reports.loss import bound_notes, cause_rows, entry_rows, loss_note
from bootcamp_cli.reports.table import Table, build_page
from bootcamp_cli.settings.stored import masked_eval_args
from bootcamp_cli.text import (
    SCORE_DIGITS,
    counted,
    score_text,
    shortened,
    shown_s,
    visible,
)
from bootcamp_cli.types import LATENCY_UNIT_S

if TYPE_CHECKING:
    from bootcamp_cli.analysis.audit import Audit
    from bootcamp_cli.analysis.contents import RunContents
    from bootcamp_cli.analysis.endpoints import Endpoints
    from bootcamp_cli.analysis.excerpts import ExcerptChooser
    from bootcamp_cli.analysis.statistics import Distribution, Interval
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary
    from bootcamp_cli.store.server_metrics import Load
    from bootcamp_cli.store.timeline import Stretch
    from bootcamp_cli.types import Manifest

_N_BINS = 40
_MAX_VALUE_CHARS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPart:
    """The audit of a run, or why there is none."""

    audit: "Audit | None" = None
    why_not: str = ""


def run_page(
    contents: "RunContents",
    *,
    name: str,
    chooser: "ExcerptChooser",
    audited: AuditPart,
    parameters: Mapping[str, Any],
    timeline: "Sequence[Stretch]" = (),
    state: str = "",
) -> bytes:
    """The page of a run.

    `name` is that of its directory, `parameters` those that decide the answers, `timeline` tells when these came;
    `state` warns where the run is not at its end.

    Raises:
        UsageError: a package that it needs is not installed.
    """
    run = contents.shown
    page = build_page(run, n_all=len(run.groups))
    samples = fitting([chooser.of(group) for group in run.groups])
    targets = [f"samples-{at}" if found else "" for at, found in enumerate(samples, 1)]
    charts, missing = _charts(run, audited, timeline)
    *families, bootcamps = page.tables
    endpoints = endpoints_of(run)
    return document(
        "run.html.j2",
        charts=charts,
        missing=missing,
        run=run,
        name=name,
        state=state,
        facts=list(_facts(run)),
        notes=page.notes,
        families=_table("Families", families[0], list(run.families.values()), run) if families else None,
        bootcamps=_table("Bootcamps", bootcamps, run.groups, run, targets),
        endpoints=_endpoint_table(endpoints),
        endpoint_notes=list(endpoint_notes(endpoints)) if endpoints.are_several else [],
        failures=_failure_tables(contents),
        audit=_audit_tables(audited),
        samples=[
            {
                "target": target,
                "group": group,
                "title": visible(group.bootcamp),
                "score": _score_text(group),
                "of": found,
            }
            for group, target, found in zip(run.groups, targets, samples, strict=True)
            if found
        ],
        samples_cut=chooser.is_full,
        outcomes=OUTCOMES,
        parameters=_shown_parameters(parameters),
        eval_args=_shown_parameters(contents.eval_args),
        provenance=list(_provenance(contents.manifest)),
        template_text=contents.manifest.template.text if contents.manifest else "",
        times=_times(contents.manifest),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    name: str
    value: str
    more: str = ""


def _facts(run: "RunSummary") -> Iterator[_Fact]:
    """The headline."""
    digits = digits_borne(run.interval)
    interval = "" if run.interval is None else f"95 % interval {_between(run.interval)}, new questions"
    yield _Fact(name="Average score", value=_score(run.avg_score, digits), more=interval)
    lacking = "complete" if run.complete else f"{run.n_samples - run.n_scored:,} without a score"
    if not run.complete and run.bounds is not None:
        lacking += f"; average between {score_text(run.bounds.low, digits)} and {score_text(run.bounds.high, digits)}"
    yield _Fact(name="Scored", value=f"{run.n_scored:,} of {run.n_samples:,}", more=lacking)
    if run.n_answered:
        bound = run.score_if_truncated_right if run.n_truncated else None
        yield _Fact(
            name="Truncated",
            value=f"{run.n_truncated / run.n_answered:.1%}",
            more=f"{run.n_truncated:,} of {counted(run.n_answered, 'answer')}"
            + ("" if bound is None else f"; average {score_text(bound, digits)} if all were right"),
        )
    ceiling = "" if run.ceiling is not None else "known for the public test set only"
    yield _Fact(
        name="Ceiling",
        value=_score(run.ceiling, SCORE_DIGITS),
        more=ceiling or "highest average that any outputs can reach",
    )
    if run.length.n:
        quantiles = ", ".join(f"p{p} {run.length.quantile(p / 100):,}" for p in (50, 95))
        yield _Fact(name="Output length", value=f"{run.avg_len or 0:,.0f}", more=f"mean; of all samples {quantiles}")
    if run.weighted_score is not None:
        yield _Fact(name="Every sample alike", value=_score(run.weighted_score, digits), more="average score by sample")


def _score(score: float | None, digits: int) -> str:
    return "–" if score is None else score_text(score, digits)


def _between(interval: "Interval") -> str:
    digits = digits_borne(interval)
    return f"{score_text(interval.low, digits)} to {score_text(interval.high, digits)}"


def _score_text(group: "GroupSummary") -> str:
    if group.avg_score is None:
        return "no score"
    interval = "" if group.interval is None else f" ({_between(group.interval)})"
    return f"{_own_score(group)}{interval}, {counted(group.n_scored, 'scored sample')}"


def _own_score(group: "GroupSummary") -> str:
    return _score(group.avg_score, digits_borne(group.interval))


# Tables


def _table(
    caption: str,
    table: Table,
    rows: "Sequence[GroupSummary | RunSummary]",
    run: "RunSummary",
    targets: Sequence[str] = (),
) -> HtmlTable:
    """A table of the report with numbers to sort by, and a column of bars behind the first."""
    scale = _Scale(rows)
    columns = table.columns
    titles = [Cell(text=column.title, is_number=column.kind != "text") for column in columns]
    body = []
    for at, (row, texts) in enumerate(zip(rows, table.rows, strict=True)):
        cells = [
            Cell(text=text, is_number=column.kind != "text", value=_sort_value(column, row))
            for column, text in zip(columns, texts, strict=True)
        ]
        if targets and targets[at]:
            cells[0] = Cell(text=cells[0].text, target=targets[at])
        body.append([cells[0], Cell(text="", bar=scale.bar(row)), *cells[1:]])
    total = [
        Cell(text=text, is_number=column.kind != "text") for column, text in zip(columns, table.total, strict=True)
    ]
    return HtmlTable(
        caption=caption,
        titles=[titles[0], Cell(text=""), *titles[1:]],
        rows=body,
        total=[total[0], Cell(text="", bar=scale.bar(run)), *total[1:]],
        can_be_sorted=True,
    )


def _sort_value(column: Column, row: "GroupSummary | RunSummary") -> float | None:
    value: Any = column.of(row) if hasattr(row, "bootcamp") else column.total(row)  # type: ignore[arg-type]
    return None if value is None or isinstance(value, str) else float(value)


class _Scale:
    """Scores in percent of a bar's width: from 0 to 1, or as far as scores outside that reach."""

    def __init__(self, rows: "Sequence[GroupSummary | RunSummary]") -> None:
        found = [0.0, 1.0]
        for row in rows:
            ends = (row.interval.low, row.interval.high) if row.interval else ()
            found += [value for value in (row.avg_score, *ends) if value is not None]
        self.low, self.high = min(found), max(found)

    def bar(self, row: "GroupSummary | RunSummary") -> Bar | None:
        """A row's score with its interval."""
        if row.avg_score is None:
            return None
        low, high = (row.interval.low, row.interval.high) if row.interval else (None, None)
        return Bar(width=self._at(row.avg_score) or 0.0, low=self._at(low), high=self._at(high))

    def _at(self, score: float | None) -> float | None:
        return None if score is None else 100 * (score - self.low) / (self.high - self.low)


def _endpoint_table(endpoints: "Endpoints") -> HtmlTable | None:
    """The endpoints, where there are several."""
    if not endpoints.are_several:
        return None
    grid = endpoint_grid(endpoints)
    return plain_table("Endpoints", (grid.titles, *grid.rows), numbers=range(1, len(grid.titles)))


def _failure_tables(contents: "RunContents") -> list[HtmlTable]:
    """What went wrong, by kind: without an answer, without a verdict, attempts that were repeated."""
    run = contents.shown
    failed = [(kind, n, contents.failed.get(kind)) for kind, n in _ranked(run.failures)]
    tables = [
        _counts(
            "Samples without an answer",
            ("kind", "samples", "for example"),
            [(visible(kind), f"{n:,}", shortened(first.last_error) if first else "") for kind, n, first in failed],
        ),
        _counts(
            "Answers without a verdict",
            ("kind", "answers"),
            [(visible(kind), f"{n:,}") for kind, n in _ranked(run.unverified)],
        ),
        _counts(
            "Attempts that were repeated",
            ("kind", "attempts"),
            [(visible(kind), f"{n:,}") for kind, n in _ranked(run.retries)],
        ),
    ]
    return [table for table in tables if table.rows]


def _counts(caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> HtmlTable:
    return plain_table(caption, (titles, *rows), numbers=range(1, 2))


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _audit_tables(part: AuditPart) -> dict[str, Any]:
    if part.audit is None:
        return {"note": part.why_not, "tables": [], "notes": []}
    result = part.audit
    tables = []
    if result.n_zero:
        tables.append(plain_table("Answers that scored 0, by cause", cause_rows(result), numbers=range(1, 4)))
    if len(entries := entry_rows(result)) > 1:
        tables.append(plain_table("Bootcamps with a cause", entries, numbers=range(1, 3)))
    return {"note": loss_note(result), "tables": tables, "notes": list(bound_notes(result))}


# Charts


def _charts(run: "RunSummary", audited: AuditPart, timeline: "Sequence[Stretch]") -> tuple[list[Chart], list[str]]:
    """The charts for which there is something to show, and why the others are not there."""
    missing = []
    if not timeline:
        missing.append("latency and throughput over time: nothing in the run directory tells when answers came")
    if not run.latency.n:
        missing.append("latency: no record holds how long its answer took")
    found: list[Chart | None] = [
        _scores_chart(run),
        _length_and_score_chart(run),
        _lengths_chart(run),
        _passes_chart(run),
        _latency_chart(run),
        _latencies_chart(run),
        *_charts_over_time(timeline),
        *_load_charts(run.loads),
        _kinds_chart(run),
        _causes_chart(audited.audit),
    ]
    if run.repeats == 1:
        missing.append("pass@k: each question was asked once; it takes --repeats")
    if not (run.failures or run.retries or run.unverified):
        missing.append("failures and retries: none")
    return [chart for chart in found if chart is not None], missing


def _scores_chart(run: "RunSummary") -> Chart | None:
    scored = sorted((group for group in run.groups if group.avg_score is not None), key=_by_score)
    if not scored:
        return None
    shown = scored if len(scored) <= MAX_BARS else scored[:MAX_BARS]
    shown = shown[::-1]  # plotly's first place is at the bottom
    places = list(range(len(shown)))
    scores = [group.avg_score or 0.0 for group in shown]
    traces: list[Trace] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": "score",
            "x": scores,
            "y": places,
            "marker": {"color": "accent"},
            "error_x": _errors(scores, [group.interval for group in shown]),
            "hoverinfo": "text",
            "hovertext": [f"{label(group.bootcamp, 60)}<br>{label(_score_text(group), 80)}" for group in shown],
        }
    ]
    ceilings = [(at, group.ceiling) for at, group in zip(places, shown, strict=True) if (group.ceiling or 1.0) < 1]
    if ceilings:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "ceiling below 1",
                "x": [ceiling for _, ceiling in ceilings],
                "y": [at for at, _ in ceilings],
                "marker": {"color": "wrong", "symbol": "line-ns-open", "size": 13, "line": {"width": 2}},
                "hoverinfo": "text",
                "hovertext": [f"ceiling {_score(ceiling, SCORE_DIGITS)}" for _, ceiling in ceilings],
            }
        )
    rest = f"; the {MAX_BARS} best of {len(scored):,}" if len(scored) > MAX_BARS else ""
    return Chart(
        name="scores",
        title="Score by bootcamp",
        about=f"mean of question means, with its 95 % interval for new questions; sorted{rest}",
        height=70 + ROW_PX * len(shown),
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "score"}, "side": "top", "zeroline": True},
            "yaxis": name_axis([group.bootcamp for group in shown]),
            "narrow": [label(group.bootcamp, 20) for group in shown],
            "showlegend": bool(ceilings),
            "margin": {"t": 48, "b": 8},
            "legend": {"y": 0, "yanchor": "top"},
            "bargap": 0.3,
        },
    )


def _by_score(group: "GroupSummary") -> tuple[float, str, str]:
    return (-(group.avg_score or 0.0), group.bootcamp, group.file)


def _score_axis(scores: Sequence[float | None]) -> dict[str, Any]:
    """From 0 to 1 where all scores are there."""
    is_bounded = all(0 <= score <= 1 for score in scores if score is not None)
    return {"title": {"text": "score"}} | ({"range": [-0.03, 1.05]} if is_bounded else {})


def _count_axis(title: str, counts: Sequence[int]) -> dict[str, Any]:
    """Whole numbers, also where there are few."""
    axis = {"title": {"text": title}, "rangemode": "tozero"}
    return axis | ({"dtick": 1} if max(counts, default=0) < 10 else {})


def _errors(values: Sequence[float], intervals: "Sequence[Interval | None]", color: str = "ink") -> dict[str, Any]:
    ends = [(each.low, each.high) if each else (value, value) for value, each in zip(values, intervals, strict=True)]
    above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
    below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
    return error_bars(above, below, color=color)


_FAMILY_COLORS = ("accent", "wrong", "series", "filtered", "truncated", "sixth", "empty")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")


def _length_and_score_chart(run: "RunSummary") -> Chart | None:
    traces: list[Trace] = []
    for at, (name, family) in enumerate(run.families.items()):
        points = [group for group in family.groups if group.avg_score is not None and group.avg_len is not None]
        if points:
            marker = {"color": _FAMILY_COLORS[at % 7], "symbol": _SYMBOLS[at % 8], "size": 9, "opacity": 0.85}
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": label(name, 24),
                    "x": [group.avg_len for group in points],
                    "y": [group.avg_score for group in points],
                    "marker": marker,
                    "hoverinfo": "text",
                    "hovertext": [
                        f"{label(group.bootcamp, 60)}<br>score {_own_score(group)}, length {group.avg_len:,.1f}"
                        for group in points
                    ],
                }
            )
    if not traces:
        return None
    return Chart(
        name="length-and-score",
        title="Length against score",
        about="a point for each bootcamp: mean output length and average score",
        height=420,
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "mean output length"}, "rangemode": "tozero"},
            "yaxis": _score_axis([group.avg_score for group in run.groups]),
            "showlegend": True,
        },
    )


def _lengths_chart(run: "RunSummary") -> Chart | None:
    lengths = run.lengths
    if not lengths:
        return None
    bins = _Bins(lengths.values())
    return Chart(
        name="lengths",
        title="Output lengths by what became of the answer",
        about=f"answers with a score; a bar covers {bins.width:,} {'token' if bins.width == 1 else 'tokens'}"
        + (", some lengths are estimates" if run.n_len_estimated else "")
        + bins.beyond,
        height=380,
        traces=[
            _bar_of_bins(bins, distribution, name=OUTCOMES[outcome], color=outcome, unit="long")
            for outcome, distribution in lengths.items()
        ],
        layout={
            "barmode": "stack",
            "bargap": 0.05,
            "xaxis": {"title": {"text": "output length"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "answers"}},
            "showlegend": True,
        },
    )


class _Bins:
    """Equal bins from 0 for distributions, up to what 99.5 % do not exceed; the last one takes the rest."""

    def __init__(self, distributions: "Sequence[Distribution] | Any") -> None:
        from bootcamp_cli.analysis.statistics import added_distributions  # noqa: PLC0415 - as in the types

        whole = added_distributions(list(distributions))
        largest = max(whole.counts, default=0)
        top = whole.quantile(0.995) or 0
        if largest <= 1.5 * top:
            top = largest
        self.width = max(1, -(-(top + 1) // _N_BINS))
        self.n = top // self.width + 1
        self.beyond = (
            f"; the last bar also has what is longer, up to {largest:,}" if largest >= self.n * self.width else ""
        )

    def counts(self, distribution: "Distribution") -> list[int]:
        """How many fall into each bin."""
        counts = [0] * self.n
        for number, times in distribution.counts.items():
            counts[min(number // self.width, self.n - 1)] += times
        return counts


def _bar_of_bins(
    bins: _Bins, distribution: "Distribution", *, name: str, color: str, unit: str, scale: float = 1
) -> Trace:
    counts = bins.counts(distribution)
    starts = [at * bins.width * scale for at in range(bins.n)]
    digits = ",.0f" if scale == 1 else ",.4g"
    return {
        "type": "bar",
        "name": name,
        "x": [round(start + bins.width * scale / 2, 6) for start in starts],
        "y": counts,
        "width": bins.width * scale * 0.96,
        "marker": {"color": color},
        "hoverinfo": "text",
        "hovertext": [
            f"{n:,} {name}, {start:{digits}} to {start + bins.width * scale:{digits}} {unit}"
            for n, start in zip(counts, starts, strict=True)
        ],
    }


def _passes_chart(run: "RunSummary") -> Chart | None:
    curves = (
        ("pass@k: any of k answers is right", "accent", [(each.k, each.pass_at) for each in run.passes]),
        ("pass^k: all k are right", "wrong", [(each.k, each.pass_hat) for each in run.passes]),
    )
    traces: list[Trace] = []
    for name, color, means in curves:
        known = [(k, mean) for k, mean in means if mean is not None]
        values = [mean.mean for _, mean in known]
        if known:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name,
                    "x": [k for k, _ in known],
                    "y": values,
                    "marker": {"color": color},
                    "line": {"color": color},
                    "error_y": _errors(values, [mean.interval for _, mean in known], color),
                    "hoverinfo": "text",
                    "hovertext": [f"k={k}: {score_text(mean.mean)}" for k, mean in known],
                }
            )
    if not traces:
        return None
    ks = [each.k for each in run.passes]
    return Chart(
        name="passes",
        title="pass@k and pass^k",
        about=f"unweighted means of the bootcamps with 95 % intervals; right is a score of {run.right_at:g} or more",
        height=360,
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "k"}, "type": "log", "tickvals": ks, "ticktext": [str(k) for k in ks]},
            "yaxis": _score_axis([value for trace in traces for value in trace["y"]]),
            "showlegend": True,
        },
    )


def _latency_chart(run: "RunSummary") -> Chart | None:
    if not run.latency.n:
        return None
    bins = _Bins([run.latency])
    speed = run.tokens_per_second
    width = shown_s(bins.width * LATENCY_UNIT_S)
    return Chart(
        name="latency",
        title="Latency",
        about=f"seconds from the last attempt's start to the end of its reply; a bar covers {width}"
        + ("" if speed is None else f"; {speed:,.1f} tokens/s of an answer")
        + ("; the last bar also has what took longer" if bins.beyond else ""),
        height=300,
        traces=[_bar_of_bins(bins, run.latency, name="answers", color="accent", unit="s", scale=LATENCY_UNIT_S)],
        layout={
            "bargap": 0.05,
            "xaxis": {"title": {"text": "seconds"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "answers"}},
            "showlegend": False,
        },
    )


def _charts_over_time(timeline: "Sequence[Stretch]") -> Iterator[Chart]:
    """Tokens a second, and the mean latency, by stretches of time; between two without answers the line breaks."""
    if not timeline:
        return
    seconds = timeline[0].seconds
    places = {stretch.start: stretch for stretch in timeline}
    starts: list[int] = []
    for start in sorted(places):
        if starts and start > starts[-1] + seconds:
            starts.append(starts[-1] + seconds)
        starts.append(start)
    shown = [places.get(start) for start in starts]
    width = shown_s(float(seconds))
    for name, title, unit, about, values in (
        (
            "throughput",
            "Throughput over time",
            "tokens/s",
            f"tokens of the answers that came in {width}, by the second; a pause breaks the line",
            [None if each is None else each.tokens / seconds for each in shown],
        ),
        (
            "latency_over_time",
            "Latency over time",
            "seconds",
            f"mean latency of the answers that came in {width}",
            [each.latency_s / each.answers if each is not None and each.answers else None for each in shown],
        ),
    ):
        lines = {"": list(zip(starts, values, strict=True))}
        yield _chart_over_time(lines, name=name, title=title, unit=unit, about=f"{about} (times in UTC)")


_MAX_LINES = len(_FAMILY_COLORS)


def _load_charts(loads: "Sequence[Load]") -> Iterator[Chart]:
    """What the servers told of their load, a line for each endpoint."""
    for name, title, unit, about, key in (
        ("running", "Requests at work on the server", "requests", "mean of those at work", "running"),
        ("waiting", "Requests that wait on the server", "requests", "mean of those that wait", "waiting"),
        ("cache", "Cache of the server", "share", "the fullest that the cache for keys and values was", "cache"),
        ("preemptions", "Preemptions", "requests", "requests that lost their place in the cache", "preemptions"),
    ):
        lines: dict[str, list[tuple[int, float]]] = {}
        for load in loads:
            if (value := getattr(load, key)) is not None:
                lines.setdefault(load.endpoint, []).append((load.start, value))
        if not lines or (key == "preemptions" and not any(value for points in lines.values() for _, value in points)):
            continue
        shown = sorted(lines, key=lambda endpoint: (-max(value for _, value in lines[endpoint]), endpoint))
        drawn = sorted(shown[:_MAX_LINES])  # in all charts with the same colours, where there are no more
        rest = f"; the {_MAX_LINES} highest of {len(shown):,} endpoints" if len(shown) > _MAX_LINES else ""
        yield _chart_over_time(
            {endpoint: lines[endpoint] for endpoint in drawn},
            name=f"server_{name}",
            title=title,
            unit=unit,
            about=f"{about} in {shown_s(float(loads[0].seconds))}, as the server's /metrics tell (times in UTC){rest}",
            top=1.05 if key == "cache" else None,
            is_named=len(shown) > 1,
        )


def _chart_over_time(
    lines: Mapping[str, Sequence[tuple[int, float | None]]],
    *,
    name: str,
    title: str,
    unit: str,
    about: str,
    top: float | None = None,
    is_named: bool = False,
) -> Chart:
    """Lines by name, of values at seconds since 1970; a line breaks where there is no value."""
    return Chart(
        name=name,
        title=title,
        about=about,
        height=280,
        traces=[
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label(line),
                "x": [_utc(start) for start, _ in points],
                "y": [value for _, value in points],
                "connectgaps": False,
                "line": {"color": color, "width": 1.5},
                "marker": {"color": color, "size": 4},
            }
            for color, (line, points) in zip(_FAMILY_COLORS, lines.items(), strict=False)
        ],
        layout={
            "xaxis": {"type": "date"},
            "yaxis": {"title": {"text": unit}, "rangemode": "tozero"} | ({} if top is None else {"range": [0, top]}),
            "showlegend": is_named,
        },
    )


def _utc(seconds: int) -> str:
    """A time since 1970 for plotly; one that no calendar has becomes the first."""
    return datetime.fromtimestamp(seconds if seconds < 1 << 36 else 0, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _latencies_chart(run: "RunSummary") -> Chart | None:
    timed = [group for group in run.groups if group.latency.n]
    if len(timed) < 2:
        return None
    timed.sort(key=lambda group: (-_quantile_s(group.latency, 0.5), group.bootcamp, group.file))
    shown = timed[:MAX_BARS][::-1]
    ends = {
        name: [_quantile_s(group.latency, p) for group in shown]
        for name, p in (("lowerfence", 0.05), ("q1", 0.25), ("median", 0.5), ("q3", 0.75), ("upperfence", 0.95))
    }
    rest = f"; the {MAX_BARS} slowest of {len(timed):,}" if len(timed) > MAX_BARS else ""
    return Chart(
        name="latencies",
        title="Latency by bootcamp",
        about=f"median and quartiles, whiskers from the 5th to the 95th percentile; sorted{rest}",
        height=60 + ROW_PX * len(shown),
        traces=[
            {
                "type": "box",
                "orientation": "h",
                "y": list(range(len(shown))),
                **ends,
                "line": {"width": 1.2, "color": "accent"},
                "marker": {"color": "accent"},
                "hoverinfo": "x",
                "name": "",
            }
        ],
        layout={
            "xaxis": {"title": {"text": "seconds"}, "side": "top", "rangemode": "tozero"},
            "yaxis": name_axis([group.bootcamp for group in shown]),
            "narrow": [label(group.bootcamp, 20) for group in shown],
            "showlegend": False,
            "margin": {"t": 48, "b": 8},
        },
    )


def _quantile_s(distribution: "Distribution", p: float) -> float:
    return round((distribution.quantile(p) or 0) * LATENCY_UNIT_S, 4)


def _kinds_chart(run: "RunSummary") -> Chart | None:
    parts = [
        ("samples without an answer", "wrong", run.failures),
        ("answers without a verdict", "without_verdict", run.unverified),
        ("attempts repeated", "truncated", run.retries),
    ]
    kinds = sorted({kind for _, _, counts in parts for kind in counts}, reverse=True)
    if not kinds:
        return None
    return _stacked_chart(
        name="kinds",
        title="Failures and retries by kind",
        about="what ended without an answer or a verdict, and attempts that were repeated",
        height=110 + 34 * len(kinds),
        labels=[label(kind) for kind in kinds],
        parts=[(name, color, [counts.get(kind, 0) for kind in kinds]) for name, color, counts in parts],
        unit="number",
        layout={"yaxis": name_axis(kinds)},
    )


def _causes_chart(audit: "Audit | None") -> Chart | None:
    if audit is None or not audit.n_zero:
        return None
    counts = [(count.cause.meaning, count.n, count.n_right) for count in audit.causes]
    counts = [*counts, ("none: wrong in the right format", audit.n_unexplained, 0)][::-1]
    meanings = [meaning for meaning, _, _ in counts]
    return _stacked_chart(
        name="causes",
        title="Answers that scored 0, by cause",
        about="the first cause that fits counts; see the audit for what each means",
        height=110 + 30 * len(counts),
        labels=[label(meaning, 60) for meaning in meanings],
        parts=[
            ("found to be right in substance", "accent", [n_right for _, _, n_right in counts]),
            ("other", "empty", [n - n_right for _, n, n_right in counts]),
        ],
        unit="answers",
        layout={"yaxis": name_axis(meanings), "narrow": [label(meaning, 22) for meaning in meanings]},
    )


def _stacked_chart(
    *,
    name: str,
    title: str,
    about: str,
    height: int,
    labels: Sequence[str],
    parts: Sequence[tuple[str, str, Sequence[int]]],
    unit: str,
    layout: Mapping[str, Any],
) -> Chart:
    """Bars that lie, each of several parts: of a part its name, its color, and the number for each label."""
    totals = [sum(numbers) for numbers in zip(*(numbers for _, _, numbers in parts), strict=True)]
    return Chart(
        name=name,
        title=title,
        about=about,
        height=height,
        traces=[
            {
                "type": "bar",
                "orientation": "h",
                "name": part,
                "x": numbers,
                "y": list(range(len(labels))),
                "marker": {"color": color},
                "hoverinfo": "text",
                "hovertext": [f"{text}: {n:,} {part}" for text, n in zip(labels, numbers, strict=True)],
            }
            for part, color, numbers in parts
            if any(numbers)
        ],
        layout={"barmode": "stack", "xaxis": _count_axis(unit, totals), **layout, "showlegend": True},
    )


# Parameters and provenance


def _shown_parameters(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters without secrets, whoever wrote them."""
    return [(visible(name), _shown_value(value)) for name, value in masked_eval_args(values).items()]


def _shown_value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    rest = len(text) - _MAX_VALUE_CHARS
    return text if rest <= 0 else f"{text[:_MAX_VALUE_CHARS]} … {counted(rest, 'character')} left out"


def _provenance(manifest: "Manifest | None") -> Iterator[tuple[str, str]]:
    """What the run was made of, as far as the manifest tells."""
    if manifest is None:
        yield "made by", "another program: there is no manifest.json"
        return
    if manifest.tool is not None:
        yield "made by", f"{manifest.tool.name} {manifest.tool.version}"
    yield "Python", " ".join(part for part in (manifest.implementation, manifest.python) if part)
    yield "platform", manifest.platform or ""
    yield "model, as the server lists it", _shown_value(manifest.model) if manifest.model else ""
    yield "template", manifest.template.name + ("" if manifest.template.used else " (not used: chat mode)")
    yield "system prompt", manifest.sys_prompt or ""
    for server in manifest.servers:
        parts = [server.version or "", f"chat template {server.template_digest}" if server.template_digest else ""]
        yield "server", ", ".join(part for part in parts if part)
    if manifest.system_fingerprints:
        yield "fingerprints of replies", ", ".join(f"{name}: {n:,}" for name, n in manifest.system_fingerprints.items())
    origins = sorted({origin or "none" for origin in (manifest.bootcamps or {}).values()})
    yield "verifiers from", ", ".join(origins)
    n_rows = sum(n for file in manifest.files for _, n in file.taken)
    yield "test files", f"{len(manifest.files):,}, with {counted(n_rows, 'row')} taken"
    for file in manifest.files:
        yield f"sha256 of {file.name}", file.digest


def _times(manifest: "Manifest | None") -> str:
    if manifest is None or not manifest.started:
        return ""
    started, ended = (None if at is None else _time(at) for at in (manifest.started, manifest.ended))
    return f"{started} to {ended}" if ended else f"started {started}"


def _time(at: str) -> str:
    """A time as people write it: `2026-01-01 12:00:00 UTC`."""
    return f"{at[:10]} {at[11:19]} UTC" if at.endswith("+00:00") and at[10:11] == "T" else at
