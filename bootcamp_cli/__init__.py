"""Evaluation runner for the verifiable reasoning tasks of InternBootcamp.

    from bootcamp_cli import Settings, compare, evaluate, open_run, score

    run = evaluate(Settings(url="http://127.0.0.1:8000/v1", model_name="r1_32B", test_dir="tests", template="r1"))
    run.summary.avg_score
    run.samples()[["file", "row", "score"]]        # pandas
    run.resume(repeats=4)
    open_run("output/r1_32B_tests_20260101_120000").rescore()
    compare("output/r1_32B_tests_20260101_120000", run).comparison.runs[0].run.difference
    score("Sudoku", output, ground_truth).score

`Settings` holds the parameters of the command line under the same names. In a notebook, or wherever an event loop runs,
it is `await evaluate_async(...)`; `on_event` tells what happens, and a `StopRequest` ends a run early. Errors that a
user can cause are `BootcampError`s, whose text says what is wrong and what to do.

Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bootcamp_cli.api import (
        Run,
        compare,
        dry_run,
        evaluate,
        evaluate_async,
        import_outputs,
        merge,
        open_run,
        power,
        start_batch,
    )
    from bootcamp_cli.engine.shutdown import StopRequest
    from bootcamp_cli.errors import BootcampError
    from bootcamp_cli.settings.model import Settings
    from bootcamp_cli.types import Verdict
    from bootcamp_cli.verdicts import score, score_many

__version__ = "0.1.0"

__all__ = [
    "BootcampError",
    "Run",
    "Settings",
    "StopRequest",
    "Verdict",
    "__version__",
    "compare",
    "dry_run",
    "evaluate",
    "evaluate_async",
    "import_outputs",
    "merge",
    "open_run",
    "power",
    "score",
    "score_many",
    "start_batch",
]

_PLACES = {
    "BootcampError": "errors",
    "Run": "api",
    "Settings": "settings.model",
    "StopRequest": "engine.shutdown",
    "Verdict": "types",
    "compare": "api",
    "dry_run": "api",
    "evaluate": "api",
    "evaluate_async": "api",
    "import_outputs": "api",
    "merge": "api",
    "open_run": "api",
    "power": "api",
    "score": "verdicts",
    "score_many": "verdicts",
    "start_batch": "api",
}


def __getattr__(name: str) -> Any:
    """A name of the front page, its module loaded when it is first used."""
    from importlib import import_module  # noqa: PLC0415 - `bootcamp --version` needs none of it

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
