"""Events that are worth a line of their own, as that line."""

from bootcamp_cli.engine.events import Draining, Event, RunPaused, RunResumed, RunStarted, Warned
from bootcamp_cli.progress.figures import h_mm_ss
from bootcamp_cli.visible import visible


def warning_line(event: Event) -> str | None:
    """`warning: ...` for a warning or a pause, which also a quiet run shows; None for every other event."""
    match event:
        case Warned():
            return f"warning: {visible(event.message)}"
        case RunPaused():
            return f"warning: paused, no new requests: {visible(event.reason)}"
        case _:
            return None


def notice_line(event: Event) -> str | None:
    """The line for the start, a warning, a pause or its end, an interruption; None for every other event."""
    match event:
        case RunStarted():
            return _started(event)
        case RunResumed():
            return f"going on after a pause of {h_mm_ss(event.paused_s)}"
        case Draining():
            return f"interrupted: no new requests, those in flight get up to {event.grace_s:g} s (again: stop at once)"
        case _:
            return warning_line(event)


def _started(event: RunStarted) -> str:
    """What begins: model, files, samples, what an earlier process has already done."""
    n_samples = sum(file.n_samples for file in event.files)
    n_before = sum(file.n_done_before for file in event.files)
    before = f", {n_before:,} of them done before" if n_before else ""
    files = "1 file" if len(event.files) == 1 else f"{len(event.files):,} files"
    return f"evaluating {visible(event.model_name)}: {n_samples:,} samples in {files}{before}"
