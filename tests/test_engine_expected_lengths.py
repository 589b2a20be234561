"""What an earlier run tells about the lengths of answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli.engine.plan import make_plan
from bootcamp_cli.engine.scheduler import expected_lengths
from bootcamp_cli.engine.session import new_session
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from tests.conftest import WriteRows


@pytest.fixture
def test_dir(tmp_path: Path, write_rows: WriteRows) -> Path:
    """Two test files."""
    for name in ("a", "b"):
        write_rows(tmp_path / "tests" / f"{name}.jsonl", [{"data_source": "Cipher", "prompt": name, "ground_truth": 1}])
    return tmp_path / "tests"


def expected(test_dir: Path, output_dir: Path, model: str = "m") -> dict[str, float]:
    """What a new run expects."""
    settings = Settings(model_name=model, test_dir=test_dir, output_dir=output_dir)
    plan = make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)
    with new_session(plan, None, lambda _: None) as session:
        return expected_lengths(session)


def earlier_run(test_dir: Path, output_dir: Path, model: str, rows: list[dict[str, Any]]) -> None:
    """A run directory of a model, as far as it matters, with these lines of meta.jsonl."""
    before = set(output_dir.iterdir()) if output_dir.is_dir() else set()
    expected(test_dir, output_dir, model)
    [path] = set(output_dir.iterdir()) - before
    path.joinpath("meta.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def row(file: str, avg_len: float | None, n: int = 1) -> dict[str, Any]:
    """A line of meta.jsonl."""
    return {"bootcamp": "x", "avg_score": 1.0, "avg_len": avg_len, "file": file, "n_scored": n}


def test_without_an_earlier_run_nothing_is_expected(test_dir: Path, tmp_path: Path) -> None:
    """The first run of a test dir knows nothing, and a missing output_dir is no trouble."""
    assert expected(test_dir, tmp_path / "output") == {}


def test_the_same_files_of_an_earlier_run_count(test_dir: Path, tmp_path: Path) -> None:
    """Mean lengths are those of the earlier run, over all data sources of a file; the own model goes before others."""
    output = tmp_path / "output"
    earlier_run(test_dir, output, "m", [row("a.jsonl", 10.0, 3), row("a.jsonl", 50.0, 1), row("c.jsonl", 1.0)])
    earlier_run(test_dir, output, "other", [row("a.jsonl", 900.0)])
    assert expected(test_dir, output) == {"a.jsonl": 20.0}


def test_a_changed_file_is_unknown(test_dir: Path, tmp_path: Path, write_rows: WriteRows) -> None:
    """A test file with another content has no earlier lengths."""
    output = tmp_path / "output"
    earlier_run(test_dir, output, "m", [row("a.jsonl", 10.0), row("b.jsonl", 20.0)])
    write_rows(test_dir / "a.jsonl", [{"data_source": "Cipher", "prompt": "other", "ground_truth": 1}])
    assert expected(test_dir, output) == {"b.jsonl": 20.0}


def test_an_unfinished_run_tells_what_it_has(test_dir: Path, tmp_path: Path) -> None:
    """A file of which nothing was scored is unknown, the others of that run are not."""
    output = tmp_path / "output"
    earlier_run(test_dir, output, "m", [row("a.jsonl", None, 0), row("b.jsonl", 20.0)])
    assert expected(test_dir, output) == {"b.jsonl": 20.0}


@pytest.mark.parametrize("content", ["", "{", '{"file": "a.jsonl"}', '{"file": [], "avg_len": 1, "n_scored": 1}', "[]"])
def test_an_unreadable_earlier_run_is_passed_over(test_dir: Path, tmp_path: Path, content: str) -> None:
    """What cannot be read is no reason not to start."""
    output = tmp_path / "output"
    earlier_run(test_dir, output, "m", [])
    for path in output.iterdir():
        path.joinpath("meta.jsonl").write_text(content)
    assert expected(test_dir, output) == {}
