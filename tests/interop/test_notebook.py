"""The library in a notebook: cells run in a kernel whose event loop is running."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.test_fixtures import FIXTURES

SCORED = """
from bootcamp_cli.scoring import score_many

truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
outputs = ["so [[3]]", "so [[4]]", "so"]
verdicts = list(score_many(("KorPuzzleWordLadder", output, truth) for output in outputs))
"""

SHOWN = """
import pandas as pd

pd.DataFrame({"output": outputs, "score": [verdict.score for verdict in verdicts]})
"""

SAMPLES = f"""
from pathlib import Path

from bootcamp_cli.analysis.frames import samples_frame
from bootcamp_cli.store.run_dir import open_run_dir

samples_frame(open_run_dir(Path({str(FIXTURES / "runs" / "complete")!r})), ["file", "row", "score"])
"""

LOOP_RUNS = """
import asyncio

asyncio.get_running_loop().is_running()
"""

AWAITED = """
await asyncio.sleep(0, "the loop goes on")
"""


def run_cells(*sources: str, folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """What each cell of a notebook shows, by media type; nothing where a cell shows nothing."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
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
