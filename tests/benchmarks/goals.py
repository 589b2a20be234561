"""What the figures are to be, judged beside what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound of a figure, given by the name that its measurement gives it."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether a figure is within its bound."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"


GOALS = (
    Goal(figure="128 slots, no latency: bootcamp / aiohttp", at_most=1.8),
    *(
        Goal(figure=f"{n_slots:,} slots, {latency}: bootcamp / aiohttp", at_most=1.9)
        for latency in ("no latency", "exponential 300 ms", "Pareto 300 ms")
        for n_slots in (128, 512, 2048)
        if (n_slots, latency) != (128, "no latency")
    ),
    Goal(figure="repeats: bootcamp, 16 repeats / bootcamp", at_most=1.1),
    Goal(figure="servers: bootcamp, 8 servers / bootcamp", at_most=1.1),
    Goal(figure="launch to first request, s", at_most=0.35),
    Goal(figure="launch to first request, starts of python -c pass", at_most=10),
    Goal(figure="package of 1,070 bootcamps, launch to first request, s", at_most=20),
    Goal(figure="package of 1,070 bootcamps, MB of a worker", at_most=200),
    Goal(figure="check, 20 files, one core, MB/s of CPU time", at_least=300),
    Goal(figure="check, 1 file, one core, MB/s of CPU time", at_least=300),
    Goal(figure="rescore, cores used", at_least=1.9),
    Goal(figure="replay of 1 GB, records of 1000 bytes, MB/s", at_least=800),
    Goal(figure="report --html of 1,000,000 records, s", at_most=30),
    Goal(figure="report --html, MB", at_most=1024),
    Goal(figure="compare of two runs of 1,000,000 records, s", at_most=30),
    Goal(figure="compare, MB", at_most=1024),
    Goal(figure="export to parquet of 1,000,000 records, s", at_most=30),
    Goal(figure="export to parquet, MB", at_most=1024),
    Goal(figure="first page of the viewer, s", at_most=1),
    Goal(figure="first page of the viewer with a kept index, s", at_most=1),
    Goal(figure="viewer, MB", at_most=1024),
    Goal(figure="main process at 1,000,000 samples, MB", at_most=111),
    Goal(figure="main process with 10,000 slots, MB", at_most=292),
    Goal(figure="per endpoint, MB", at_most=1),
    Goal(figure="answers of 2 MB: most CPU between two, ms", at_most=30),
    Goal(figure="answers of 2 MB: latest beat, ms", at_most=30),
    Goal(figure="bootcamp --help, starts of python -c pass", at_most=7),
    Goal(figure="bootcamp eval --help, starts of python -c pass", at_most=7),
    Goal(figure="bootcamp eval --help, newest typer, ms more than oldest", at_most=100),
    Goal(figure="bootcamp config show, newest typer, ms more than oldest", at_most=100),
)


def judged(figures: Mapping[str, Any]) -> Iterator[tuple[Goal, float, bool]]:
    """Each goal whose figure was measured, with that and whether it is met."""
    for goal in GOALS:
        value = figures.get(goal.figure)
        if value is not None:
            yield goal, value, goal.is_met(value)


def table(figures: Mapping[str, Any], *, is_all: bool) -> str:
    """The goals as lines of text; where all was to be measured, with those that were not."""
    lines = [f"{'figure':66} {'measured':>9}  goal"]
    for goal, value, met in judged(figures):
        lines.append(f"{goal.figure:66} {value:9.4g}  {goal.bound}: {'met' if met else 'MISSED'}")
    if is_all:
        missing = [goal for goal in GOALS if goal.figure not in figures]
        lines += [f"{goal.figure:66} {'-':>9}  {goal.bound}: not measured" for goal in missing]
    return "\n".join(lines)
