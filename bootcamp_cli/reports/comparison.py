"""The forms of a comparison of runs: text for a terminal, Markdown, CSV, JSON, workbook.

Differences are shown in points, of which a score of 1 has 100; CSV, JSON and workbook have them as scores.

The JSON object of two runs:

schema             "bootcamp.comparison"
schema_version     1; it grows when a key changes its meaning or is removed, not when one is added
baseline, name     str: the run directories' names; paths: {name: path}
aa                 bool: both are halves of the repeats of one run
n_pairs            int: questions that both have; n_unpaired, n_unpaired_baseline: that only one of them has
n_without_score    int: pairs that lack a score on one side
left_out           [str]: data sources without a bootcamp in both
repeats            number: the smaller mean number of scored repeats
threshold          number: a score is right from here on
differs            [object]: what besides the answers differs: what, before, after
run                object: name ("overall"), n_pairs, n_prompts (different prompts, which errors and tests rest on),
                   n_groups, difference, interval [low, high], p, p_adjusted, significant,
                   smallest_detectable (number | null), discordance, disagrees
families           [object]: the same
bootcamps          [object]: the same, and p_changed, by Benjamini & Hochberg
worse, better      [object]: questions that flipped: data_source, file, row, baseline_file, baseline_row,
                   baseline_score, score
gates              [object]: gate, outcome, difference, low, high, n_missing, if_unchanged {pass, fail, undecided},
                   repeats_needed, text

Of more runs it has schema, schema_version, baseline, paths, `comparisons` (an object like that for each run) and
`curve` (the runs in order: name, mean, step: as `run`, against the run before, null for the first).
"""

import csv
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import UsageError
from bootcamp_cli.reports.forms import escaped_markdown
from bootcamp_cli.reports.grid import Grid
from bootcamp_cli.reports.table import display_width
from bootcamp_cli.text import as_text, counted, listed, score_text, visible

if TYPE_CHECKING:
    from bootcamp_cli.analysis.compare import CurvePoint, Difference, Flip, GateResult, RunComparison
    from bootcamp_cli.engine.comparing import ComparedRuns

SCHEMA_VERSION = 1
_MAX_ROWS = 20
"""How many bootcamps the terminal shows, those with the smallest p."""
_MAX_FLIPS = 10
_MAX_NAMES = 10
_LEVEL = 0.05


def render_comparison(compared: "ComparedRuns", form: str, *, width: int | None = None) -> str:
    """The comparison in one of the text forms, in `width` columns where it is a terminal's.

    Raises:
        UsageError: there is no such form.
    """
    check_form(form)
    return COMPARISON_FORMS[form](compared, width)


def check_form(name: str) -> None:
    """Refuse what is no text form.

    Raises:
        UsageError: there is no such form.
    """
    if name not in COMPARISON_FORMS:
        raise UsageError(f"--format: must be one of {', '.join(COMPARISON_FORMS)}, got {name!r}")


def comparison_object(compared: "ComparedRuns") -> dict[str, Any]:
    """The comparison as JSON; see the head of this file."""
    comparison = compared.comparison
    head = {
        "schema": "bootcamp.comparison",
        "schema_version": SCHEMA_VERSION,
        "baseline": comparison.baseline,
        "paths": {name: str(path) for name, path in compared.paths.items()},
        "threshold": compared.threshold,
        "aa": compared.is_aa,
    }
    runs = [_run_object(compared, run) for run in comparison.runs]
    if len(runs) == 1:
        return head | runs[0]
    return head | {"comparisons": runs, "curve": [_point_object(point) for point in comparison.curve]}


def _run_object(compared: "ComparedRuns", run: "RunComparison") -> dict[str, Any]:
    return {
        "name": run.name,
        "n_pairs": run.n_pairs,
        "n_unpaired": run.n_unpaired,
        "n_unpaired_baseline": run.n_unpaired_baseline,
        "n_without_score": run.n_without_score,
        "left_out": list(run.left_out),
        "repeats": run.repeats,
        "differs": [
            {"what": d.what, "before": d.before, "after": d.after} for d in compared.differences.get(run.name, ())
        ],
        "run": _entry_object(run.run),
        "families": [_entry_object(entry) for entry in run.families],
        "bootcamps": [_entry_object(entry) | {"p_changed": entry.p_changed} for entry in run.bootcamps],
        "worse": [_flip_object(flip) for flip in run.worse],
        "better": [_flip_object(flip) for flip in run.better],
        "gates": [gate_object(result, run) for result in run.gates],
    }


def _entry_object(entry: "Difference") -> dict[str, Any]:
    return {
        "name": entry.name,
        "n_pairs": entry.n_pairs,
        "n_prompts": entry.n_prompts,
        "n_groups": entry.n_groups,
        "difference": entry.difference,
        "interval": [entry.interval.low, entry.interval.high],
        "p": entry.p,
        "p_adjusted": entry.p_adjusted,
        "significant": entry.significant,
        "smallest_detectable": entry.smallest_detectable,
        "discordance": entry.discordance,
        "disagrees": entry.disagrees,
    }


def _flip_object(flip: "Flip") -> dict[str, Any]:
    return {
        "data_source": flip.data_source,
        "file": flip.file,
        "row": flip.row,
        "baseline_file": flip.baseline_file,
        "baseline_row": flip.baseline_row,
        "baseline_score": flip.baseline_score,
        "score": flip.score,
    }


def gate_object(result: "GateResult", run: "RunComparison") -> dict[str, Any]:
    """What became of a gate, as JSON."""
    shares = result.if_unchanged
    return {
        "gate": str(result.gate),
        "outcome": result.outcome,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "n_missing": result.n_missing,
        "if_unchanged": {"pass": shares.passed, "fail": shares.failed, "undecided": shares.undecided},
        "repeats_needed": result.repeats_needed,
        "text": gate_text(result, run),
    }


def _point_object(point: "CurvePoint") -> dict[str, Any]:
    return {"name": point.name, "mean": point.mean, "step": None if point.step is None else _entry_object(point.step)}


def gate_text(result: "GateResult", run: "RunComparison") -> str:
    """What became of a gate, what would decide it, and how often it is undecided where nothing changed."""
    found = f"{points_text(result.difference)} points"
    bounds = f"one-sided 95 % bounds {points_text(result.low)} to {points_text(result.high)}"
    parts = [f"gate {visible(str(result.gate))}: {result.outcome}: {found}, {bounds}"]
    if result.outcome == "undecided":
        parts.append(_what_decides(result, run))
    shares = result.if_unchanged
    parts.append(
        f"if nothing had changed, a gate of this margin would pass in {_percent(shares.passed)}, fail in "
        f"{_percent(shares.failed)} and be undecided in {_percent(shares.undecided)} of cases"
    )
    return "; ".join(parts)


def gate_lines(run: "RunComparison", *, width: int | None = None) -> list[str]:
    """What became of the gates of a run, in lines that fit a terminal."""
    return [line for result in run.gates for line in _wrapped(gate_text(result, run), width)]


def _what_decides(result: "GateResult", run: "RunComparison") -> str:
    if result.n_missing:
        return (
            f"{counted(result.n_missing, 'sample')} without a score can tip it: complete the runs with `bootcamp "
            "resume` and `bootcamp rescore`"
        )
    if result.repeats_needed is None:
        return "more repeats would not decide it at this difference, more questions would"
    more = max(1, result.repeats_needed - round(run.repeats))
    return (
        f"{counted(more, 'more repeat')} of each question in both runs ({result.repeats_needed:,} in all) would decide "
        "it if the difference stayed"
    )


def points_text(score: float, *, signed: bool = True) -> str:
    """A difference of scores in points, of which a score of 1 has 100."""
    text = f"{100 * score:+.1f}" if signed else f"{100 * score:.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0") if text in ("-0.0", "+0.0") else text


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _p(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


_TITLES = ("pairs", "points", "95 % interval", "p", "adjusted", "finds from", "result")
_SPARE = ("p", "pairs", "adjusted")


def level_grid(title: str, entries: Sequence["Difference"]) -> Grid:
    """The entries of a level below their titles."""
    rows = [
        (
            visible(entry.name),
            f"{entry.n_pairs:,}",
            points_text(entry.difference),
            f"{points_text(entry.interval.low)} to {points_text(entry.interval.high)}",
            _p(entry.p),
            _p(entry.p_adjusted),
            "-" if entry.smallest_detectable is None else points_text(entry.smallest_detectable, signed=False),
            result_word(entry),
        )
        for entry in entries
    ]
    return Grid((title, *_TITLES), rows, _SPARE)


def result_word(entry: "Difference") -> str:
    """`worse` or `better` where the difference is real by Holm; `~` where only Benjamini & Hochberg count it."""
    word = "worse" if entry.difference < 0 else "better"
    if entry.significant:
        return word
    return f"~{word}" if entry.p_changed is not None and entry.p_changed < _LEVEL else "-"


def curve_grid(points: Sequence["CurvePoint"]) -> Grid:
    """The runs in order, each with its difference from the one before it."""
    titles = ("curve, in order", "score", "points", "95 % interval", "p", "adjusted", "finds from", "result")
    rows = []
    for point in points:
        mean = "-" if point.mean is None else score_text(point.mean)
        step = ("",) * 6 if point.step is None else level_grid("", [point.step]).rows[0][2:]
        rows.append((visible(point.name), mean, *step))
    return Grid(titles, rows, ("p", "adjusted", "95 % interval"))


def _flips(title: str, flips: Sequence["Flip"], most: int | None) -> Grid:
    rows = []
    for flip in flips[:most]:
        place = f"{visible(flip.file)}:{flip.row}"
        before = f"{visible(flip.baseline_file)}:{flip.baseline_row}"
        shown = place if place == before else f"{place} (there {before})"
        rows.append((shown, visible(flip.data_source), f"{flip.baseline_score:.2f}", f"{flip.score:.2f}"))
    return Grid((title, "bootcamp", "before", "after"), rows, ("bootcamp",))


Block = str | Grid
"""A paragraph, or a table."""


def _blocks(compared: "ComparedRuns", *, is_whole: bool) -> Iterator[Block]:
    """A comparison as people read it; what is not `is_whole` has the bootcamps with the smallest p, and some flips."""
    for run in compared.comparison.runs:
        yield headline(run)
        yield "\n".join(notes_before(compared, run))
        yield level_grid("run", [run.run])
        yield level_grid("family", run.families)
        bootcamps = run.bootcamps if is_whole else sorted(run.bootcamps, key=lambda entry: entry.p)[:_MAX_ROWS]
        yield level_grid("bootcamp", bootcamps)
        yield "\n".join(notes_after(compared, run, n_shown=len(bootcamps)))
        for what, flips in (("worse", run.worse), ("better", run.better)):
            if flips:
                most = None if is_whole else _MAX_FLIPS
                yield _flips(f"flipped: {what}", flips, most)
                if most is not None and len(flips) > most:
                    yield f"and {len(flips) - most:,} more that got {what}: --format json has all"
        if run.gates:
            yield "\n".join(gate_text(result, run) for result in run.gates)
    if compared.comparison.curve:
        yield curve_grid(compared.comparison.curve)
        yield "each run against the one before it"


def headline(run: "RunComparison") -> str:
    """Which runs, and below that the difference between them."""
    entry = run.run
    low, high = points_text(entry.interval.low), points_text(entry.interval.high)
    size = f"{points_text(entry.difference)} points (95 % interval {low} to {high}, p {_p(entry.p_adjusted)})"
    verdict = ("worse: " if entry.difference < 0 else "better: ") if entry.significant else "no difference found: "
    if not entry.significant:
        found = entry.smallest_detectable
        size += (
            "; no difference would have been found with 80 %"
            if found is None
            else f"; one of {points_text(found, signed=False)} points would have been found with 80 %"
        )
    return f"{visible(run.name)} against {visible(run.baseline)}\n{verdict}{size}"


def notes_before(compared: "ComparedRuns", run: "RunComparison") -> Iterator[str]:
    """What pairs, and what else differs between the runs."""
    pairs = f"{counted(run.n_pairs, 'question')} in both"
    unpaired = [
        f"{n:,} only in {visible(name)}"
        for n, name in ((run.n_unpaired_baseline, run.baseline), (run.n_unpaired, run.name))
        if n
    ]
    yield "; ".join([pairs, *unpaired])
    if repeating := [entry.name for entry in run.bootcamps if entry.n_prompts < entry.n_pairs]:
        names = listed([visible(name) for name in repeating], _MAX_NAMES)
        yield (
            f"prompts that stand in several rows count once in errors and tests: {run.run.n_prompts:,} prompts in "
            f"{counted(run.run.n_pairs, 'question')}; they repeat in {names}"
        )
    if run.n_without_score:
        yield f"without a score in one of the runs, not compared: {counted(run.n_without_score, 'question')}"
    if run.left_out:
        yield f"left out, no bootcamp in both runs: {listed([visible(name) for name in run.left_out], _MAX_NAMES)}"
    if compared.is_aa:
        yield "both are halves of the repeats of one run: a difference here is chance, or the server drifts"
        return
    differs = compared.differences.get(run.name, ())
    for difference in differs[:_MAX_ROWS]:
        before = f"{visible(difference.before)} -> " if difference.before else ""
        yield f"differs: {visible(difference.what)}: {before}{visible(difference.after)}"
    if len(differs) > _MAX_ROWS:
        yield f"and {len(differs) - _MAX_ROWS:,} more that differ: --format json has all"
    if not differs:
        yield "settings, verifiers, model and versions: the same as far as known"


def notes_after(compared: "ComparedRuns", run: "RunComparison", *, n_shown: int) -> Iterator[str]:
    """How to read the levels, and how many questions flipped."""
    if n_shown < len(run.bootcamps):
        yield f"{n_shown} of {len(run.bootcamps)} bootcamps, smallest p first: --format markdown has all"
    yield (
        "a score of 1 is 100 points; adjusted: by Holm over the level; finds from: a difference of so many points is "
        "found with 80 %; result: - none found"
    )
    if any(result_word(entry).startswith("~") for entry in run.bootcamps):
        yield "~ changed by Benjamini-Hochberg: about one in twenty of these is chance"
    odd = [entry for entry in (run.run, *run.families, *run.bootcamps) if entry.disagrees]
    if odd:
        names = listed([visible(entry.name) for entry in odd], _MAX_NAMES)
        yield (
            f"p (unadjusted) and interval disagree about 0: {names}; where few answers differ that happens about once "
            "in twenty; the result goes by p"
        )
    counts = f"{len(run.worse):,} got worse, {len(run.better):,} better"
    yield f"questions that flipped: {counts} (most repeats right, which is a score of {compared.threshold:g} or more)"


def _text(compared: "ComparedRuns", width: int | None) -> str:
    parts = []
    for block in _blocks(compared, is_whole=False):
        if isinstance(block, str):
            parts.append("\n".join(line for text in block.splitlines() for line in _wrapped(text, width)))
        elif block.rows:
            parts.append("\n".join(block.fitted(width).plain()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _wrapped(text: str, width: int | None) -> list[str]:
    """A line of text in the lines of a terminal, all but the first set in."""
    if width is None or display_width(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _markdown_text(compared: "ComparedRuns", _width: int | None) -> str:
    parts = []
    for block in _blocks(compared, is_whole=True):
        if isinstance(block, str):
            parts.append("\n".join(f"- {escaped_markdown(line)}" for line in block.splitlines()))
        elif block.rows:
            parts.append("\n".join(block.markdown()))
    return "\n\n".join(part for part in parts if part) + "\n"


ENTRY_KEYS = (
    "name",
    "n_pairs",
    "n_prompts",
    "n_groups",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "p_changed",
    "significant",
    "smallest_detectable",
    "discordance",
    "disagrees",
)


def _lines(compared: "ComparedRuns") -> Iterator[tuple[Any, ...]]:
    """Every entry of every level of every run."""
    for run in compared.comparison.runs:
        for level, entries in (("run", (run.run,)), ("family", run.families), ("bootcamp", run.bootcamps)):
            for entry in entries:
                values: Mapping[str, Any] = _entry_object(entry) | {
                    "low": entry.interval.low,
                    "high": entry.interval.high,
                    "p_changed": entry.p_changed,
                    "significant": "yes" if entry.significant else "no",
                    "disagrees": "yes" if entry.disagrees else "no",
                }
                yield run.baseline, run.name, level, *(values[key] for key in ENTRY_KEYS)


def _csv_text(compared: "ComparedRuns", delimiter: str = ",") -> str:
    stream = StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["baseline", "run", "level", *ENTRY_KEYS])
    writer.writerows(
        [as_text(visible(cell)) if isinstance(cell, str) else cell for cell in line] for line in _lines(compared)
    )
    return stream.getvalue()


def _json_text(compared: "ComparedRuns", _width: int | None) -> str:
    import json  # noqa: PLC0415 - the other forms need none of it

    return json.dumps(comparison_object(compared), indent=2) + "\n"


COMPARISON_FORMS: Mapping[str, Callable[["ComparedRuns", int | None], str]] = {
    "table": _text,
    "markdown": _markdown_text,
    "csv": lambda compared, _: _csv_text(compared),
    "tsv": lambda compared, _: _csv_text(compared, "\t"),
    "json": _json_text,
}
"""The forms that are printed, by name: as for `bootcamp report`."""


def comparison_workbook(compared: "ComparedRuns") -> bytes:
    """The comparison as a workbook: differences, flips, what differs, gates, and of three or more runs the curve."""
    from bootcamp_cli.reports.xlsx import (  # noqa: PLC0415 - openpyxl takes 120 ms
        StyledWorkbook,
        fill_sheet,
        workbook_file,
    )

    workbook = StyledWorkbook()
    workbook.remove(workbook.worksheets[0])
    runs = compared.comparison.runs
    titles = ("Baseline", "Run", "Level", *(key.replace("_", " ").title() for key in ENTRY_KEYS))
    fill_sheet(workbook.create_sheet("Differences"), titles, list(_lines(compared)))
    flip_titles = ("Run", "Change", "Data Source", "File", "Row", "Baseline File", "Baseline Row", "Before", "After")
    flips = [
        (run.name, what, f.data_source, f.file, f.row, f.baseline_file, f.baseline_row, f.baseline_score, f.score)
        for run in runs
        for what, found in (("worse", run.worse), ("better", run.better))
        for f in found[:_MAX_FLIP_ROWS]
    ]
    fill_sheet(workbook.create_sheet("Flips"), flip_titles, flips)
    differs = [(run.name, d.what, d.before, d.after) for run in runs for d in compared.differences.get(run.name, ())]
    fill_sheet(workbook.create_sheet("Differs"), ("Run", "What", "Before", "After"), differs)
    gates = [(run.name, str(g.gate), g.outcome, g.difference, g.low, g.high) for run in runs for g in run.gates]
    fill_sheet(workbook.create_sheet("Gates"), ("Run", "Gate", "Outcome", "Difference", "Low", "High"), gates)
    if compared.comparison.curve:
        points = [
            (p.name, p.mean, *((p.step.difference, p.step.p_adjusted) if p.step else (None, None)))
            for p in compared.comparison.curve
        ]
        fill_sheet(workbook.create_sheet("Curve"), ("Run", "Average Score", "Step", "P Adjusted"), points)
    return workbook_file(workbook)


_MAX_FLIP_ROWS = 100_000
"""How many flips of each kind a workbook gets: a sheet holds a million rows, and takes a second for 20,000."""
