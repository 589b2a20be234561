"""How the results of a run are printed, and its exit code."""

import contextlib
import math
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootcamp_cli.errors import EXIT_INCOMPLETE, EXIT_OK, BootcampError, UsageError
from bootcamp_cli.settings.convert import shown_servers
from bootcamp_cli.text import (
    OWN_URL,
    PORT,
    counted,
    duration_words,
    listed,
    mask_command,
    score_text,
    visible,
)

if TYPE_CHECKING:
    from bootcamp_cli.analysis.compare import RunComparison
    from bootcamp_cli.analysis.min_score import MinScore
    from bootcamp_cli.analysis.summary import RunSummary
    from bootcamp_cli.api import Run
    from bootcamp_cli.cli.console import Console
    from bootcamp_cli.engine.comparing import ComparedRuns
    from bootcamp_cli.engine.forecast import Forecast
    from bootcamp_cli.exports.tracker import Tracker
    from bootcamp_cli.settings.model import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedGates:
    """What an evaluation has to pass when it is done, and the run that it is compared with."""

    texts: Sequence[str] = ()
    against: str | None = None

    def check(self) -> "AskedGates":
        """The same, checked before the evaluation.

        Raises:
            UsageError: a gate cannot be read, or there is nothing to compare with.
            RunDirectoryError: the run to compare with cannot be read.
        """
        from bootcamp_cli import api

        if self.texts and self.against is None:
            raise UsageError("--gate: needs a run to compare with", hint="name it with --gate-against RUN_DIR")
        if self.against is not None:
            if not self.texts:
                raise UsageError("--gate-against: there is no gate", hint="add one, like --gate 'overall > -1%'")
            api.check_gates(self.texts, self.against)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedEnding:
    """What an evaluation does with its run when it is done, besides printing it; `html` is "" for the usual page."""

    gates: AskedGates
    tracker: "Tracker | None"
    html: str | None

    def finish(self, run: "Run", console: "Console", *, allow_unscored: bool) -> int:
        """Do it, print the run, and give the exit code.

        Raises:
            UsageError: a gate cannot be judged, as the runs do not ask the same questions.
        """
        log_run(run, self.tracker, console)
        write_page(run, self.html, console)
        return print_run(run, console, allow_unscored=allow_unscored, gates=self.gates)


def asked_ending(
    *,
    gate: Sequence[str] | None,
    gate_against: str | None,
    tracker: str | None,
    tracker_step: int | None,
    tracker_run: str | None,
    html: str | None,
) -> AskedEnding:
    """What these options ask for, checked before the evaluation.

    Raises:
        UsageError: a gate, the tracker or the page cannot be as it was asked for.
        RunDirectoryError: the run to compare with cannot be read.
    """
    ending = AskedEnding(
        gates=AskedGates(texts=gate or (), against=gate_against).check(),
        tracker=asked_tracker(tracker, step=tracker_step, run=tracker_run),
        html=html,
    )
    check_html(html)
    return ending


def check_html(html: str | None) -> None:
    """Check where a page is to be written, if one is asked for.

    Raises:
        UsageError: it is not the name of a page, or there is no such directory; or what pages need is not installed.
    """
    from bootcamp_cli import api

    if html is not None:
        api.check_page(html or None)


def forecast_object(forecast: "Forecast", settings: "Settings") -> dict[str, Any]:
    """What an evaluation would send and take, as JSON."""
    import json

    example, urls = forecast.example, _urls_of(forecast, settings)
    return {
        "url": urls[0] if len(urls) == 1 else urls,
        "serve": settings.serve and mask_command(settings.serve),
        "example": {"file": example.file, "row": example.row, "data_source": example.data_source},
        "prompt": forecast.prompt,
        "body": json.loads(forecast.body),
        "n_files": forecast.n_files,
        "n_questions": forecast.n_questions,
        "n_samples": forecast.n_samples,
        "data_sources": forecast.data_sources,
        "prompt_tokens": forecast.n_prompt_tokens,
        "answer_tokens": forecast.n_answer_tokens,
        "most_answer_tokens": forecast.most_answer_tokens,
        "tokens_per_second": forecast.tokens_per_s,
        "seconds": round(forecast.seconds, 1),
        "cost": forecast.cost,
        "most_cost": forecast.most_cost,
        "based_on": forecast.based_on,
    }


def _urls_of(forecast: "Forecast", settings: "Settings") -> list[str]:
    """Where the requests would go; a server of one's own gets its port when it is started."""
    own = settings.serve is not None and PORT in settings.serve
    return [f"{base}{forecast.url_path}" for base in ([OWN_URL] if own else shown_servers(settings))]


_MOST_SHOWN = 4000
"""Characters of a prompt or a body that people are shown; JSON has all."""


def forecast_text(forecast: "Forecast", settings: "Settings") -> str:
    """What an evaluation would send and take, for people."""
    example, n_each = forecast.example, forecast.n_samples / max(1, forecast.n_questions)
    mode = f"as template {settings.template} renders it" if settings.api_mode == "completion" else "as it is sent"
    url, *others = _urls_of(forecast, settings)
    url += f" and {counted(len(others), 'other server')}" if others else ""
    asked = "" if n_each <= 1 else f", each asked {n_each:g} times"
    basis = (
        f"lengths and speed as in {visible(forecast.based_on)}"
        if forecast.based_on
        else "an assumption, as no earlier run of these files under output_dir tells lengths and speed"
    )
    most = "" if forecast.most_answer_tokens is None else f"; at most {forecast.most_answer_tokens:,}"
    questions = f"{counted(forecast.n_questions, 'question')} in {counted(forecast.n_files, 'test file')}"
    at_once = min(settings.max_concurrent_requests, forecast.n_samples)
    speed = f"{at_once:,} at once, {forecast.tokens_per_s:.3g} tokens/s each"
    server = [] if settings.serve is None else [f"server: started by {visible(mask_command(settings.serve))}"]
    lines = [
        *server,
        f"prompt of {visible(example.file)}, row {example.row} ({visible(example.data_source)}), {mode}:",
        *(f"  | {visible(line)}" for line in _cut(forecast.prompt).split("\n")),
        f"request body of POST {url}:",
        f"  {visible(_cut(forecast.body))}",
        f"samples: {forecast.n_samples:,} ({questions}{asked})",
        f"prompt tokens: about {forecast.n_prompt_tokens:,} (a token to 4 bytes)",
        f"answer tokens: about {forecast.n_answer_tokens:,} ({basis}){most}",
        f"time: about {duration_words(forecast.seconds)} ({speed})",
    ]
    if forecast.cost is not None:
        bound = "" if forecast.most_cost is None else f"; at most {forecast.most_cost:,.2f}"
        lines.append(f"cost: about {forecast.cost:,.2f}{bound}")
    return "\n".join([*lines, "nothing was sent or written"])


def _cut(text: str) -> str:
    more = len(text) - _MOST_SHOWN
    return text if more <= 0 else f"{text[:_MOST_SHOWN]}… ({counted(more, 'more character')}; --json has all)"


_NO_GATES = AskedGates()


def asked_tracker(text: str | None, *, step: int | None, run: str | None) -> "Tracker | None":
    """The tracker that is to get the results, checked before the evaluation.

    Raises:
        UsageError: there is no such tracker, it is not installed, or there is a step or a name for none.
    """
    from bootcamp_cli.exports.tracker import parse_tracker

    if text is not None:
        return parse_tracker(text, run=run, step=step)
    for flag, value in (("--tracker-step", step), ("--tracker-run", run)):
        if value is not None:
            raise UsageError(f"{flag}: there is no tracker", hint="name one, like --tracker trackio")
    return None


def log_run(run: "Run", tracker: "Tracker | None", console: "Console") -> None:
    """Log a run in the tracker that was asked for, if any; what that prints goes to stderr, or nowhere if asked so."""
    if tracker is None:
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123 - no path of the user's
        contextlib.redirect_stdout(nowhere if console.quiet or sys.stderr is None else sys.stderr),
    ):
        run.track(tracker, on_event=console.on_event)


def print_run(
    run: "Run",
    console: "Console",
    *,
    allow_unscored: bool,
    gates: AskedGates = _NO_GATES,
    goes_on_by: str | None = None,
) -> int:
    """Print the summary table and the paths, or as JSON the summary with the run directory; returns the exit code.

    Where something is missing, the command that goes on stands last: `resume`, or `goes_on_by` where only answers are
    missing. Gates are judged, and shown below the table.

    Raises:
        UsageError: a gate cannot be judged, as the runs do not ask the same questions.
    """
    from bootcamp_cli import api
    from bootcamp_cli.types import TO_BE_VERIFIED

    own = exit_code(run.summary, allow_unscored=allow_unscored)
    judged: RunComparison | None = None
    problem: BootcampError | None = None
    if gates.against is not None:
        try:
            judged = api.compare(gates.against, run, gates=gates.texts).comparison.runs[0]
        except BootcampError as error:
            problem = error
    if problem is None or not console.json:  # else the error is the one object of the output
        console.result(
            results_object(run) | gates_object(judged),
            text="" if console.json else table_text(run.summary) + gates_text(judged),
            styled=True,
        )
    console.notify(f"run directory: {run.path}")
    console.notify(f"scores: {run.scores}")
    n_unverified = sum(n for kind, n in run.summary.unverified.items() if kind in TO_BE_VERIFIED)
    if (run.summary.n_failed or run.summary.n_missing) and goes_on_by is not None:
        command = f"{goes_on_by} {shlex.quote(str(run.path))}"
        console.notify(f"`{command}` writes the requests for what has no answer")
    elif run.summary.n_failed or run.summary.n_missing or n_unverified:
        command = f"bootcamp resume {shlex.quote(str(run.path))}"
        console.notify(f"`{command}` asks again for what has no answer, and verifies what has no verdict")
    if problem is not None:
        raise problem
    return api.gate_exit_code([result.outcome for result in judged.gates], own) if judged else own


def write_page(run: "Run", html: str | None, console: "Console") -> None:
    """Write the page of an evaluation that is done, where one is asked for: a warning where that cannot be."""
    if html is None:
        return
    try:
        page = run.write_page(html or None, console.on_event)
    except BootcampError as error:
        console.warn(f"no page: {error.message}")
    else:
        console.notify(f"page: {page}")


def gates_object(judged: "RunComparison | None") -> dict[str, Any]:
    """What became of the gates, as a part of the run's JSON; nothing without gates."""
    if judged is None:
        return {}
    from bootcamp_cli.reports.comparison import gate_object

    return {"gates": [gate_object(result, judged) for result in judged.gates]}


def gates_text(judged: "RunComparison | None") -> str:
    """What became of the gates, for people."""
    if judged is None:
        return ""
    from bootcamp_cli.reports.comparison import gate_lines

    return "\n" + "\n".join(gate_lines(judged, width=terminal_width()))


def min_score_text(found: "MinScore") -> str:
    """What became of `--min-score`, for people."""
    head = f"min-score {found.floor:g}: {found.outcome}"
    if found.mean is None or found.interval is None:
        return f"{head}: the average score has no interval"
    low, high = found.interval.low, found.interval.high
    parts = [f"{head}: average score {score_text(found.mean)}, 95 % interval {score_text(low)} to {score_text(high)}"]
    if found.n_missing and found.low is not None and found.high is not None:
        parts.append(
            f"{score_text(found.low)} to {score_text(found.high)} with the {counted(found.n_missing, 'sample')} "
            "without a score wrong or right"
        )
    if found.left_out:
        parts.append(f"left out, no bootcamp: {listed([visible(name) for name in found.left_out], 10)}")
    distance = abs(found.mean - found.floor)
    if found.outcome == "undecided" and not found.n_missing and distance:
        times = math.ceil(10 * ((high - low) / 2 / distance) ** 2) / 10
        parts.append(f"about {max(times, 1.1):,.1f} times as many questions would decide it if the average stayed")
    return "; ".join(parts)


def results_object(run: "Run", **options: Any) -> dict[str, Any]:
    """The chosen rows of a run and its directory, as JSON."""
    from bootcamp_cli.reports.forms import chosen, json_object

    shown = chosen(run.summary, **options)
    return json_object(shown, n_all=len(run.summary.groups)) | {"run_dir": str(run.path)}


def table_text(summary: "RunSummary", **options: Any) -> str:
    """The table for stdout: styled in a terminal, plain text elsewhere."""
    from bootcamp_cli.reports.forms import render

    width = terminal_width()
    return render(summary, "table", width=width, color=width is not None and not os.environ.get("NO_COLOR"), **options)


def comparison_text(compared: "ComparedRuns") -> str:
    """A comparison for stdout, in the width of the terminal."""
    from bootcamp_cli.reports.comparison import render_comparison

    return render_comparison(compared, "table", width=terminal_width())


def terminal_width() -> int | None:
    """The width of the terminal in columns; None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def exit_code(summary: "RunSummary", *, allow_unscored: bool) -> int:
    """0 if every sample has a score or is allowed to have none; else 3."""
    n_lacking = summary.n_samples - summary.n_scored
    if allow_unscored:
        n_lacking -= summary.unverified.get("unscored", 0)
    return EXIT_INCOMPLETE if n_lacking else EXIT_OK
