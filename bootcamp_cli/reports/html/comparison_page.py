"""The page of a comparison of runs: differences as a forest plot, flips with both answers, the curve of several runs.

Every number on it is one of the comparison's; the same runs give the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from bootcamp_cli.reports.comparison import (
    curve_grid,
    gate_text,
    headline,
    level_grid,
    notes_after,
    notes_before,
    points_text,
    result_word,
)
from bootcamp_cli.reports.grid import Grid
from bootcamp_cli.reports.html.document import (
    MAX_BARS,
    MAX_TEXT_BYTES,
    OUTCOMES,
    ROW_PX,
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
from bootcamp_cli.text import counted, score_text, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.compare import CurvePoint, Difference, Flip, RunComparison
    from bootcamp_cli.analysis.excerpts import Excerpt
    from bootcamp_cli.engine.comparing import ComparedRuns

_MAX_FLIPS = 20
"""How many questions that got worse, and how many that got better, are shown with both answers."""

Place = tuple[str, int]
"""A question: file and row."""

FindAnswers = Callable[[str, Sequence[Place]], "Mapping[Place, Sequence[Excerpt]]"]
"""The answers of a run, by the name that the comparison uses, to some questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShownFlip:
    """A question that flipped, with an answer of each run where they were found."""

    bootcamp: str
    place: str
    before: "Excerpt | None"
    after: "Excerpt | None"
    scores: tuple[str, str]


def comparison_page(compared: "ComparedRuns", find_answers: FindAnswers) -> bytes:
    """The page of a comparison.

    Raises:
        UsageError: a package that it needs is not installed.
    """
    comparison = compared.comparison
    charts: list[Chart] = []
    runs = []
    for at, run in enumerate(comparison.runs, 1):
        own = [chart for chart in _forests(run, at) if chart is not None]
        charts += own
        title, *lines = headline(run).split("\n")
        runs.append(
            {
                "title": title,
                "lines": lines,
                "notes": "\n".join(notes_before(compared, run)).split("\n"),
                "more": "\n".join(notes_after(compared, run, n_shown=len(run.bootcamps))).split("\n"),
                "tables": [
                    _table("The run", level_grid("run", [run.run]), [run.run]),
                    _table("Families", level_grid("family", run.families), run.families),
                    _table("Bootcamps", level_grid("bootcamp", run.bootcamps), run.bootcamps),
                ],
                "name": f"run-{at}",
                "charts": own,
                "gates": [(result.outcome, gate_text(result, run)) for result in run.gates],
                "flips": _shown_flips(run, find_answers, max_bytes=MAX_TEXT_BYTES // len(comparison.runs)),
            }
        )
    curve = comparison.curve
    curve_charts = list(_curve_charts(curve))
    return document(
        "comparison.html.j2",
        charts=[*curve_charts, *charts],
        baseline=comparison.baseline,
        runs=runs,
        curve=_plain(curve_grid(curve), "Curve: each run against the one before it") if curve else None,
        curve_charts=curve_charts,
        outcomes=OUTCOMES,
    )


# Tables


def _plain(grid: Grid, caption: str) -> HtmlTable:
    return plain_table(caption, (grid.titles, *grid.rows), numbers=range(1, len(grid.titles)))


def _table(caption: str, grid: Grid, entries: "Sequence[Difference]") -> HtmlTable:
    """A level with the numbers to sort by, in the order of the grid's columns."""
    rows = []
    for entry, texts in zip(entries, grid.rows, strict=True):
        values = (
            None,
            entry.n_pairs,
            entry.difference,
            entry.interval.low,
            entry.p,
            entry.p_adjusted,
            entry.smallest_detectable,
            None,
        )
        cells = [
            Cell(text=text, is_number=0 < at < len(texts) - 1, value=None if value is None else float(value))
            for at, (text, value) in enumerate(zip(texts, values, strict=True))
        ]
        mood = ("worse" if entry.difference < 0 else "better") if entry.significant else ""
        rows.append([*cells[:-1], Cell(text=cells[-1].text, mood=mood)])
    last = len(grid.titles) - 1
    titles = [Cell(text=title, is_number=0 < at < last) for at, title in enumerate(grid.titles)]
    return HtmlTable(caption=caption, titles=titles, rows=rows, can_be_sorted=len(rows) > 1)


# Charts


def _forests(run: "RunComparison", at: int) -> "Iterator[Chart | None]":
    """The forest plots of a run: the run and its families, and its bootcamps sorted by their difference."""
    levels = [*sorted(run.families, key=_by_difference), run.run]
    bootcamps = sorted(run.bootcamps, key=_by_difference)
    by_size = sorted(run.bootcamps, key=lambda entry: (entry.p, entry.name))
    if len(bootcamps) > MAX_BARS:
        kept = {entry.name for entry in by_size[:MAX_BARS]}
        bootcamps = [entry for entry in bootcamps if entry.name in kept]
    rest = f"; those {MAX_BARS} of {len(run.bootcamps):,} with the smallest p" if len(by_size) > MAX_BARS else ""
    about = "difference in points with its 95 % interval; filled where it is real by Holm"
    yield _forest(f"families-{at}", "Run and families", about, levels)
    yield _forest(f"bootcamps-{at}", "Bootcamps", f"{about}; sorted{rest}", bootcamps)


def _by_difference(entry: "Difference") -> tuple[float, str]:
    return entry.difference, entry.name


def _forest(name: str, title: str, about: str, entries: "Sequence[Difference]") -> Chart | None:
    if not entries:
        return None
    groups = {
        "worse": [at for at, entry in enumerate(entries) if entry.significant and entry.difference < 0],
        "better": [at for at, entry in enumerate(entries) if entry.significant and entry.difference >= 0],
        "none found": [at for at, entry in enumerate(entries) if not entry.significant],
    }
    colors = {"worse": "wrong", "better": "correct", "none found": "empty"}
    traces: list[Trace] = []
    for what, places in groups.items():
        if not places:
            continue
        chosen = [entries[at] for at in places]
        symbol = "circle-open" if what == "none found" else "circle"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": what,
                "x": [100 * entry.difference for entry in chosen],
                "y": places,
                "marker": {"color": colors[what], "symbol": symbol, "size": 8},
                "error_x": _errors(chosen, colors[what]),
                "hoverinfo": "text",
                "hovertext": [
                    f"{label(entry.name, 60)}<br>{points_text(entry.difference)} points, "
                    f"{points_text(entry.interval.low)} to {points_text(entry.interval.high)}: {result_word(entry)}"
                    for entry in chosen
                ],
            }
        )
    return Chart(
        name=name,
        title=title,
        about=about,
        height=110 + ROW_PX * len(entries),
        traces=traces,
        layout={
            "xaxis": {"title": {"text": "points"}, "side": "top", "zeroline": True, "zerolinewidth": 2},
            "yaxis": name_axis([entry.name for entry in entries], room=0.8),
            "narrow": [label(entry.name, 20) for entry in entries],
            "showlegend": True,
            "legend": {"y": 0, "yanchor": "top"},
            "margin": {"t": 48, "b": 8},
        },
    )


def _errors(entries: "Sequence[Difference]", color: str) -> dict[str, Any]:
    above = [100 * (entry.interval.high - entry.difference) for entry in entries]
    below = [100 * (entry.difference - entry.interval.low) for entry in entries]
    return error_bars(above, below, color=color, thickness=1.4)


def _curve_charts(curve: "Sequence[CurvePoint]") -> Iterator[Chart]:
    """The scores of several runs in order, and the steps between them."""
    if not curve:
        return
    names = {
        "tickmode": "array",
        "tickvals": list(range(len(curve))),
        "ticktext": [label(point.name, 28) for point in curve],
        "range": [-0.4, len(curve) - 0.6],
        "zeroline": False,
    }
    scored = [(at, point.mean, point.name) for at, point in enumerate(curve) if point.mean is not None]
    yield Chart(
        name="curve",
        title="Curve",
        about="the runs in order: average score, a mean over bootcamps",
        height=380,
        traces=[
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [at for at, _, _ in scored],
                "y": [mean for _, mean, _ in scored],
                "marker": {"color": "accent", "size": 9},
                "line": {"color": "accent"},
                "hoverinfo": "text",
                "hovertext": [f"{label(name, 60)}<br>{score_text(mean)}" for _, mean, name in scored],
            }
        ],
        layout={"xaxis": names, "yaxis": {"title": {"text": "score"}}, "showlegend": False},
    )
    steps = [(at, point.name, point.step) for at, point in enumerate(curve) if point.step is not None]
    yield Chart(
        name="steps",
        title="Steps",
        about="difference of each run from the one before it, in points, with its 95 % interval",
        height=340,
        traces=[
            {
                "type": "scatter",
                "mode": "markers",
                "x": [at for at, _, _ in steps],
                "y": [100 * step.difference for _, _, step in steps],
                "marker": {"color": "accent", "size": 9},
                "error_y": _errors([step for _, _, step in steps], "accent"),
                "hoverinfo": "text",
                "hovertext": [
                    f"{label(name, 60)}<br>{points_text(step.difference)} points, {result_word(step)}"
                    for _, name, step in steps
                ],
            }
        ],
        layout={
            "xaxis": names,
            "yaxis": {"title": {"text": "points"}, "zeroline": True, "zerolinewidth": 2},
            "showlegend": False,
        },
    )


# Flips


def _shown_flips(
    run: "RunComparison", find_answers: FindAnswers, *, max_bytes: int
) -> list[tuple[str, list[_ShownFlip]]]:
    """Below a title some of the questions that got worse, and of those that got better, with an answer of each run.

    Where a question has several answers, one that shows the change.
    """
    parts = [("Got worse", run.worse, True), ("Got better", run.better, False)]
    chosen = [(flip, was_right) for _, flips, was_right in parts for flip in _spread(flips)]
    if not chosen:
        return []
    before = find_answers(run.baseline, [(flip.baseline_file, flip.baseline_row) for flip, _ in chosen])
    after = find_answers(run.name, [(flip.file, flip.row) for flip, _ in chosen])
    pairs = [
        (
            _telling(before.get((flip.baseline_file, flip.baseline_row), ()), is_right=was_right),
            _telling(after.get((flip.file, flip.row), ()), is_right=not was_right),
        )
        for flip, was_right in chosen
    ]
    cut = fitting([[excerpt for excerpt in pair if excerpt] for pair in pairs], max_bytes)
    shown: dict[bool, list[_ShownFlip]] = {True: [], False: []}
    for (flip, was_right), pair, found in zip(chosen, pairs, cut, strict=True):
        left = iter(found)
        first, second = (None if excerpt is None else next(left) for excerpt in pair)
        shown[was_right].append(
            _ShownFlip(
                bootcamp=visible(flip.data_source),
                place=f"{visible(flip.file)}:{flip.row}",
                before=first,
                after=second,
                scores=(f"{flip.baseline_score:.4g}", f"{flip.score:.4g}"),
            )
        )
    return [
        (f"{title}: {counted(len(flips), 'question')}{_how_many(len(flips))}", shown[was_right])
        for title, flips, was_right in parts
        if flips
    ]


def _how_many(n: int) -> str:
    return f", {_MAX_FLIPS} of them here, from each bootcamp in turn" if n > _MAX_FLIPS else ""


def _spread(flips: "Sequence[Flip]") -> "list[Flip]":
    """The first flips of each bootcamp, then the second ones, and so on."""
    by_source: dict[str, list[Flip]] = {}
    for flip in flips:
        by_source.setdefault(flip.data_source, []).append(flip)
    turns = zip_longest(*by_source.values())
    return [flip for turn in turns for flip in turn if flip is not None][:_MAX_FLIPS]


def _telling(answers: "Sequence[Excerpt]", *, is_right: bool) -> "Excerpt | None":
    """The first answer that is right, or the first that is not; else the first."""
    fitting_ones = [answer for answer in answers if (answer.outcome == "correct") == is_right]
    return next(iter([*fitting_ones, *answers]), None)
