"""Fixtures of the chaos tests: evaluations of generated samples, and what they leave when nothing disturbs them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from bootcamp_cli.demo.instances import make_test_dir
from tests.chaos.runs import REPOSITORY, Evaluation, Left, left_by
from tests.conftest import StartFaultServer


class StartEvaluation(Protocol):
    """Generates samples, starts a server for them; nothing is evaluated yet."""

    def __call__(self, *, rows: int, latency: float, name: str = "out", files: int | None = None) -> Evaluation:
        """Give an evaluation of `rows` rows for each of the first `files` bootcamps; answers take `latency` seconds."""


class Undisturbed(Protocol):
    """What an evaluation of the same test dir leaves when nothing disturbs it; evaluated once."""

    def __call__(self, evaluation: Evaluation) -> Left:
        """Give records and reports."""


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Print the figure of a test, for `pytest -rP`."""
    return print


@pytest.fixture(scope="session")
def known_results() -> dict[Path, Left]:
    """What undisturbed evaluations left, by test dir."""
    return {}


@pytest.fixture(scope="session")
def sample_dirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where generated test dirs are kept for all chaos tests."""
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture
def chaos_environment(clean_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of the tool, in which what it leaves in the temporary directory goes with the test."""
    temporary = tmp_path / ".tmp"
    temporary.mkdir()
    return {**clean_environment, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)}


@pytest.fixture
def start_evaluation(
    sample_dirs: Path, fault_server: StartFaultServer, chaos_environment: dict[str, str], tmp_path: Path
) -> Iterator[StartEvaluation]:
    """Prepare evaluations, each with a server of its own; what they started ends with the test."""
    evaluations: list[Evaluation] = []

    def start(*, rows: int, latency: float, name: str = "out", files: int | None = None) -> Evaluation:
        test_dir = sample_dirs / f"samples{rows}x{files or 'all'}"
        if not test_dir.exists():
            make_test_dir(test_dir, seed=0, rows=rows)
            for path in sorted(test_dir.glob("*.jsonl"))[files or 1000 :]:
                path.unlink()
        server = fault_server(test_dir=test_dir, latency=latency, latency_shape="fixed")
        evaluations.append(
            Evaluation(test_dir=test_dir, server=server, output=tmp_path / name, environment=chaos_environment)
        )
        return evaluations[-1]

    yield start
    for evaluation in evaluations:
        evaluation.end()


@pytest.fixture
def undisturbed(known_results: dict[Path, Left], sample_dirs: Path, start_evaluation: StartEvaluation) -> Undisturbed:
    """Evaluate a test dir without disturbance, or remember what that gave."""

    def result(evaluation: Evaluation) -> Left:
        if evaluation.test_dir not in known_results:
            rows, _, files = evaluation.test_dir.name.removeprefix("samples").partition("x")
            calm = start_evaluation(
                rows=int(rows), latency=0, name="undisturbed", files=None if files == "all" else int(files)
            )
            done = calm.finish()
            assert done.code == 0, done.stderr
            kept = sample_dirs / f"finished-{evaluation.test_dir.name}"
            known_results[evaluation.test_dir] = left_by(calm.run_dir().rename(kept))
            calm.server.stop()
        return known_results[evaluation.test_dir]

    return result
