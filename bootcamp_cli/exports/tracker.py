"""Experiment trackers: configuration and figures of a run, logged by the calls that trackio and others have in common.

A tracker gets `init(project, name, config)`, `log(figures, step)` and `finish()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import UsageError
from bootcamp_cli.exports.source import Source
from bootcamp_cli.text import visible
from bootcamp_cli.types import decode, encode

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import GroupSummary, RunSummary

PROJECT = "bootcamp"
"""The project, where none is named."""

TRACKERS: Mapping[str, Mapping[str, Any]] = {
    # goes on with a run of the same name, opens no page, and leaves the machine alone
    "trackio": {"resume": "allow", "embed": False, "auto_log_gpu": False, "auto_log_cpu": False},
}
"""The trackers by the name of their module, and what `init` is told besides project, name and configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """A tracker, its project, and of the run there the name (by default that of the run directory) and the step."""

    module: str
    project: str = PROJECT
    run: str | None = None
    step: int | None = None


def parse_tracker(text: str, *, run: str | None = None, step: int | None = None) -> Tracker:
    """The tracker of `NAME` or `NAME:PROJECT`.

    Raises:
        UsageError: there is none of this name, it is not installed, or a value is wrong.
    """
    module, colon, project = text.partition(":")
    if module not in TRACKERS:
        raise UsageError(f"--tracker: must be one of {', '.join(TRACKERS)}, or NAME:PROJECT, got {text!r}")
    if colon and not project.strip():
        raise UsageError(f"--tracker: no project behind the colon in {text!r}")
    if step is not None and step < 0:
        raise UsageError(f"--tracker-step: must be 0 or more, got {step}")
    if find_spec(module) is None:
        raise UsageError(f"--tracker: {module} is not installed", hint=f"pip install 'bootcamp-cli[{module}]'")
    return Tracker(module=module, project=project.strip() or PROJECT, run=run, step=step)


def track(source: Source, tracker: Tracker) -> str:
    """Log a run; gives its name in the tracker. Whatever the tracker raises is raised."""
    module = import_module(tracker.module)
    name = visible(tracker.run or source.name)
    module.init(project=tracker.project, name=name, config=configuration(source), **TRACKERS[tracker.module])
    try:
        module.log(figures(source.contents.summary), step=tracker.step)
    finally:
        module.finish()
    return name


def configuration(source: Source) -> dict[str, Any]:
    """The parameters that are set, with secrets masked, and what the run was made with."""
    manifest = source.contents.manifest
    made: dict[str, Any] = {"run_dir": source.name, "model_name": source.contents.summary.model_name}
    if manifest is not None:
        made |= {
            "template_name": manifest.template.name,
            "tool_version": manifest.tool.version if manifest.tool else None,
            "server_versions": [server.version for server in manifest.servers if server.version],
            "started": manifest.started,
            "ended": manifest.ended,
        }
    config: dict[str, Any] = decode(encode({**source.parameters, **made}))
    return config


def figures(summary: "RunSummary") -> dict[str, float]:
    """The figures of a run by name: `score/overall`, `score/FAMILY`, `score/BOOTCAMP`, the same of `length`, ...

    Where several test files have the same bootcamp, the file stands behind its name. `truncated` is a share of the
    answers, `interval/low` and `interval/high` are the 95 % interval of `score/overall`; what is not known is left out.
    """
    names = [group.bootcamp for group in summary.groups]
    rows: dict[str, GroupSummary | RunSummary] = {
        group.bootcamp if names.count(group.bootcamp) == 1 else f"{group.bootcamp} ({group.file})": group
        for group in summary.groups
    }
    rows = rows | summary.families | {"overall": summary}
    interval = summary.interval
    found: dict[str, float | None] = {
        **{f"score/{name}": row.avg_score for name, row in rows.items()},
        **{f"length/{name}": row.avg_len for name, row in rows.items()},
        "interval/low": None if interval is None else interval.low,
        "interval/high": None if interval is None else interval.high,
        "truncated": summary.n_truncated / summary.n_answered if summary.n_answered else None,
        "n/samples": summary.n_samples,
        "n/answered": summary.n_answered,
        "n/scored": summary.n_scored,
    }
    return {visible(name): value for name, value in found.items() if value is not None}
