"""The targets of the coverage-guided fuzzer take what is valid and what is damaged."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from tests.chaos.fuzz_targets import targets
from tests.chaos.invocation import isolate


def test_targets_take_seeds_and_damages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target takes its seed, nothing at all, and a few damages of the seed."""
    isolate(monkeypatch, tmp_path)
    seeded = Random(3)  # noqa: S311 - no secret
    for target in targets(Path.cwd()).values():
        for data in (target.seed, b"", *(_damaged(target.seed, seeded) for _ in range(3))):
            target.feed(data)


@pytest.mark.skipif(find_spec("atheris") is not None, reason="atheris is installed")
def test_fuzzer_says_what_it_lacks() -> None:
    """Without atheris the fuzzer says so and does nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.fuzz_atheris", "rows"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.startswith("skipped: atheris is not installed")


def _damaged(data: bytes, seeded: Random) -> bytes:
    place = seeded.randrange(len(data))
    return data[:place] + seeded.randbytes(2) + data[place + seeded.randrange(5) :]
