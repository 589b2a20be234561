"""Run directories compared: their questions, what else differs between them, and gates.

The statistics are those of analysis/compare.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootcamp_cli.analysis.compare import OVERALL, Comparison, compare
from bootcamp_cli.analysis.excerpts import Excerpt, find_excerpts
from bootcamp_cli.analysis.paired import Gate, parse_gate
from bootcamp_cli.analysis.questions import read_halves, read_scores
from bootcamp_cli.engine.identity import RunDifference, run_differences
from bootcamp_cli.errors import UsageError
from bootcamp_cli.store.run_dir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRuns:
    """Runs compared with a baseline.

    `paths` and `differences`, what else than the answers differs from the baseline, are by the names that the
    comparison uses. A score is right from `threshold` on. `is_aa`: the two are halves of the repeats of one run.
    """

    comparison: Comparison
    paths: Mapping[str, Path]
    differences: Mapping[str, tuple[RunDifference, ...]] = field(default_factory=dict)
    threshold: float = 1.0
    is_aa: bool = False


def compare_runs(
    run_dirs: Sequence[RunDir], *, baseline: RunDir | None = None, gates: Sequence[Gate] = (), threshold: float = 1.0
) -> ComparedRuns:
    """Compare runs, by default with the first; a baseline that is not among them comes before them.

    Raises:
        UsageError: there is but one run, or one twice; no question pairs; a gate cannot be judged.
        RunDirectoryError: a run cannot be read.
    """
    ordered = list(run_dirs)
    places = [run_dir.path.resolve() for run_dir in ordered]
    if twice := next(
        (run_dir for run_dir, place in zip(ordered, places, strict=True) if places.count(place) > 1), None
    ):
        raise UsageError(
            f"{twice.path} is named twice", hint="compare two runs, or the halves of the repeats of one with --aa"
        )
    if baseline is not None and baseline.path.resolve() not in places:
        ordered.insert(0, baseline)
        places.insert(0, baseline.path.resolve())
    if len(ordered) < 2:
        raise UsageError(
            "there is but one run", hint="name two or more, or one with --aa for the halves of its repeats"
        )
    first = 0 if baseline is None else places.index(baseline.path.resolve())
    named = dict(zip(_names(ordered), ordered, strict=True))
    scores = read_scores(named, threshold=threshold)
    others = [run for run in scores if run is not scores[first]]
    return ComparedRuns(
        comparison=compare(scores[first], others, gates=gates, order=scores),
        paths={name: run_dir.path for name, run_dir in named.items()},
        differences={run.name: run_differences(ordered[first], named[run.name]) for run in others},
        threshold=threshold,
    )


def compare_halves(run_dir: RunDir, *, gates: Sequence[Gate] = (), threshold: float = 1.0) -> ComparedRuns:
    """Compare the odd repeats of a run (1, 3, ...) with the even ones (0, 2, ...).

    Raises:
        UsageError: the run asked each question once; a gate cannot be judged.
        RunDirectoryError: the run cannot be read.
    """
    run = run_dir.path.resolve().name
    names = f"{run} (even repeats)", f"{run} (odd repeats)"
    even, odd = read_halves(run_dir, names, threshold=threshold)
    if not odd.n_scored.any():
        raise UsageError(f"{run_dir.path} has no question with two scores", hint="ask more often: --repeats 2 or more")
    return ComparedRuns(
        comparison=compare(even, [odd], gates=gates),
        paths=dict.fromkeys(names, run_dir.path),
        threshold=threshold,
        is_aa=True,
    )


def flipped_answers(
    compared: ComparedRuns, name: str, questions: Sequence[tuple[str, int]]
) -> Mapping[tuple[str, int], Sequence[Excerpt]]:
    """The answers of one of the runs to some questions, given by file and row.

    Raises:
        RunDirectoryError: the run cannot be read.
    """
    names = [compared.comparison.baseline, *(run.name for run in compared.comparison.runs)]
    repeats = slice(names.index(name), None, 2) if compared.is_aa else slice(None)
    run_dir = RunDir(compared.paths[name])
    return find_excerpts(run_dir, questions, repeats=repeats, right_at=compared.threshold)


def check_gates(texts: Sequence[str], against: RunDir) -> tuple[Gate, ...]:
    """The gates that texts describe, checked before a run that is to pass them.

    Raises:
        UsageError: a text cannot be read, or the run to compare with has no family of that name, or no score.
        RunDirectoryError: it cannot be read.
    """
    gates = tuple(map(parse_gate, texts))
    [scores] = read_scores({str(against.path): against})
    if not scores.n_scored.any():
        raise UsageError(f"{against.path} has no score to compare with")
    families = sorted(set(scores.families))
    for gate in gates:
        if gate.name not in (OVERALL, *families):
            raise UsageError(f"no family is named {gate.name!r}", hint=f"use {OVERALL} or one of {', '.join(families)}")
    return gates


def _names(run_dirs: Sequence[RunDir]) -> list[str]:
    """The names of run directories; where two have the same one, their paths as they were given."""
    names = [run_dir.path.resolve().name for run_dir in run_dirs]
    return [name if names.count(name) == 1 else str(run.path) for name, run in zip(names, run_dirs, strict=True)]
