"""Which differences a comparison would find, and what a wished one needs: from a run, or from assumptions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bootcamp_cli.analysis.compare import OVERALL
from bootcamp_cli.analysis.paired import (
    PairedMoments,
    assumed_moments,
    questions_needed,
    repeats_needed,
    smallest_detectable,
)
from bootcamp_cli.analysis.questions import read_questions
from bootcamp_cli.analysis.statistics import group_mean
from bootcamp_cli.bootcamps.registry import CATALOG, family_of
from bootcamp_cli.errors import UsageError
from bootcamp_cli.store.run_dir import RunDir

DEFAULT_DISCORDANCE = 0.2
"""The share of questions whose answers differ between two runs, where nothing tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerEntry:
    """What is found in the run, a family or a bootcamp with 80 %, corrected for the tests of its level.

    `n_questions` counts different prompts: rows that share one tell no more than one.
    `smallest_detectable` is None where even a difference of 1 would not be found. `repeats_needed` and
    `questions_needed` are for the wished difference: repeats of the same questions (None where none are enough), or
    questions in all with the same repeats.
    """

    name: str
    n_questions: int
    smallest_detectable: float | None
    repeats_needed: int | None = None
    questions_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The power of comparing two runs of these questions, each asked `repeats` times.

    `discordance` is the share of questions whose 0/1 score is expected to differ between two single answers, where
    nothing changed; `is_measured`: it comes from the repeats of the run, bootcamp by bootcamp, and this is their mean.
    """

    repeats: int
    discordance: float
    is_measured: bool
    difference: float | None
    run: PowerEntry
    families: tuple[PowerEntry, ...]
    bootcamps: tuple[PowerEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    name: str
    family: str
    n: int
    discordance: float


def power_of(
    run_dir: RunDir | None,
    *,
    questions: int | None = None,
    repeats: int | None = None,
    discordance: float | None = None,
    difference: float | None = None,
) -> Power:
    """The power of a comparison with another run of the same questions.

    Without a run, of all built-in bootcamps with so many `questions` each. What is not given comes from the run: its
    questions, its repeats, and, where it has repeats, how often two answers to a question differ.

    Raises:
        UsageError: there is neither a run nor a number of questions, or a value is out of range.
        RunDirectoryError: the run cannot be read.
    """
    _check(questions, repeats, discordance, difference)
    measured: Mapping[str, float] = {}
    if run_dir is None:
        if questions is None:
            raise UsageError("there is neither a run nor --questions", hint="name a run, or add --questions N")
        sizes = [(name, family_of(name), questions) for name in sorted(CATALOG)]
        own_repeats = 1
    else:
        sizes, own_repeats, measured = _of_run(run_dir)
        if questions is not None:
            sizes = [(name, family, questions) for name, family, _ in sizes]
    if discordance is not None:
        measured = {}
    assumed = DEFAULT_DISCORDANCE if discordance is None else discordance
    groups = [
        _Group(name=name, family=family, n=n, discordance=measured.get(name, assumed)) for name, family, n in sizes
    ]
    asked = own_repeats if repeats is None else repeats
    by_family: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        by_family[group.family].append(group)

    def entry(name: str, members: Sequence[_Group], n_tests: int) -> PowerEntry:
        return _entry(name, members, repeats=asked, n_tests=n_tests, difference=difference)

    return Power(
        repeats=asked,
        discordance=sum(group.discordance for group in groups) / len(groups),
        is_measured=bool(measured),
        difference=difference,
        run=entry(OVERALL, groups, 1),
        families=tuple(entry(family, by_family[family], len(by_family)) for family in sorted(by_family)),
        bootcamps=tuple(entry(group.name, [group], len(groups)) for group in groups),
    )


def _check(questions: int | None, repeats: int | None, discordance: float | None, difference: float | None) -> None:
    for name, number in (("questions", questions), ("repeats", repeats)):
        if number is not None and number < 1:
            raise UsageError(f"--{name}: must be at least 1, got {number}")
    if discordance is not None and not 0 < discordance <= 1:
        raise UsageError(f"--discordance: must be above 0 and at most 1, got {discordance:g}")
    if difference is not None and not 0 < difference <= 1:
        raise UsageError(f"--difference: must be above 0 and at most 1 (100%), got {difference:g}")


def _of_run(run_dir: RunDir) -> tuple[list[tuple[str, str, int]], int, dict[str, float]]:
    """The groups of a run with their numbers of questions, its repeats, and the discordance that they show.

    Two answers to question i that is right with chance p_i differ in 2 p_i (1 - p_i) of cases: twice the variance
    within. A group whose answers never differ has half of one differing pair, as a rate of 0 cannot be known.
    """
    scores: defaultdict[tuple[str, str], list[list[float]]] = defaultdict(list)
    prompts: defaultdict[tuple[str, str], set[str | bytes]] = defaultdict(set)
    families: dict[str, str] = {}
    most: Counter[int] = Counter()
    for question in read_questions(run_dir):
        known = [score for score in question.scores if score is not None]
        scores[question.data_source, question.file].append(known)
        prompts[question.data_source, question.file].add(question.prompt)
        families[question.data_source] = question.family
        most[len(question.scores)] += 1
    if not scores:
        raise UsageError(f"{run_dir.path} has no answers", hint="use --questions N")
    n_files = Counter(source for source, _ in scores)
    sizes, measured = [], {}
    for source, file in sorted(scores):
        name = source if n_files[source] == 1 else f"{source} ({file})"
        questions = scores[source, file]
        sizes.append((name, families[source], len(prompts[source, file])))
        mean = group_mean(questions)
        if mean is not None and mean.within is not None:
            measured[name] = min(1.0, max(2 * mean.within, 0.5 / mean.n_repeated))
    if len(measured) < len(sizes):
        mean_discordance = sum(measured.values()) / len(measured) if measured else None
        measured = {} if mean_discordance is None else dict.fromkeys([s[0] for s in sizes], mean_discordance) | measured
    return sizes, max(most, key=lambda k: (most[k], k)), measured


def _entry(name: str, groups: Sequence[_Group], *, repeats: int, n_tests: int, difference: float | None) -> PowerEntry:
    moments: list[PairedMoments] = [
        assumed_moments(n=group.n, discordance=group.discordance, repeats=repeats) for group in groups
    ]
    found = smallest_detectable(moments, repeats=repeats, n_tests=n_tests)
    n_questions = sum(group.n for group in groups)
    if difference is None:
        return PowerEntry(name=name, n_questions=n_questions, smallest_detectable=found)
    return PowerEntry(
        name=name,
        n_questions=n_questions,
        smallest_detectable=found,
        repeats_needed=repeats_needed(moments, difference, repeats=repeats, n_tests=n_tests),
        questions_needed=questions_needed(moments, difference, repeats=repeats, n_tests=n_tests),
    )
