"""The library in a notebook: cells run in a kernel whose event loop is running."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import StartFaultServer
from tests.test_fixtures import FIXTURES

SCORED = """
from bootcamp_cli import score_many

truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
outputs = ["so [[3]]", "so [[4]]", "so"]
verdicts = list(score_many(("KorPuzzleWordLadder", output, truth) for output in outputs))
"""

SHOWN = """
import pandas as pd

pd.DataFrame({"output": outputs, "score": [verdict.score for verdict in verdicts]})
"""

SAMPLES = f"""
from bootcamp_cli import open_run

open_run({str(FIXTURES / "runs" / "complete")!r}).samples(["file", "row", "score"])
"""

LOOP_RUNS = """
import asyncio

asyncio.get_running_loop().is_running()
"""

EVALUATED = """
from bootcamp_cli import Settings, evaluate, evaluate_async

settings = Settings(url={url!r}, model_name="demo", test_dir={test_dir!r}, output_dir="runs")
events = []
run = await evaluate_async(settings, events.append)
again = await run.resume_async(repeats=2)
again.summary.n_samples, run.summary.n_samples, len(events) > 3 * 112, again.path == run.path
"""

REFUSED = """
try:
    evaluate(settings)
except Exception as error:
    said = str(error)
said
"""

AWAITED = """
await asyncio.sleep(0, "the loop goes on")
"""


def run_cells(*sources: str, folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """What each cell of a notebook shows, by media type; nothing where a cell shows nothing."""
    made: Any = nbformat.v4  # its functions have no types where it is installed
    notebook = made.new_notebook(cells=[made.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    shown = []
    for cell in notebook.cells:
        assert [output.output_type for output in cell.outputs] in ([], ["execute_result"]), cell.outputs
        shown.append(cell.outputs[0].data if cell.outputs else {})
    return shown


@pytest.fixture
def kernel_environment(clean_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a kernel: that of the tool, with the kernel's own files below `tmp_path`."""
    return clean_environment | {"JUPYTER_RUNTIME_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}


def test_cells_score_and_show_a_frame(kernel_environment: dict[str, str], tmp_path: Path) -> None:
    """A cell scores in workers while the kernel's loop runs, prints nothing, and the next shows a DataFrame of it."""
    loop_runs, scored, shown, samples, awaited = run_cells(
        LOOP_RUNS, SCORED, SHOWN, SAMPLES, AWAITED, folder=tmp_path, environment=kernel_environment
    )
    assert loop_runs["text/plain"] == "True"
    assert scored == {}
    assert shown["text/html"].count("<tr") == 1 + 3
    assert [line.split()[-1] for line in shown["text/plain"].splitlines()] == ["score", "1.0", "0.0", "0.0"]
    assert samples["text/html"].count("<tr") == 1 + 14
    assert awaited["text/plain"] == "'the loop goes on'"


def test_a_cell_evaluates(
    kernel_environment: dict[str, str], fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """`await evaluate_async` runs in a cell, and in the kernel's loop `evaluate` says to use that."""
    url = fault_server(test_dir=demo_test_dir).url
    evaluated, refused = run_cells(
        EVALUATED.format(url=url, test_dir=str(demo_test_dir)),
        REFUSED,
        folder=tmp_path,
        environment=kernel_environment,
    )
    assert evaluated["text/plain"] == "(224, 112, True, True)"
    assert "use `await evaluate_async(...)` there" in refused["text/plain"]
