"""Test dirs for the benchmarks: the public one where it is there, else generated ones, of any size."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from bootcamp_cli.demo.instances import make_test_dir
from tests.benchmarks.measure import SHARED

SLOW = ("KorOperationUnicode25a0", "KorOperationUnicode25c6")
"""The bootcamps that need sympy, whose cost of milliseconds a row is reported apart."""


@contextmanager
def public_test_dir(*, slow: bool = False) -> Iterator[Path]:
    """The public test dir, or generated rows where it is absent; without the slow bootcamps unless asked for."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        directory = Path(folder) / "tests"
        source = SHARED / "eval_data"
        if source.is_dir():
            directory.mkdir()
            for path in sorted(source.glob("*.jsonl")):
                if slow or _data_source(path) not in SLOW:
                    shutil.copy(path, directory)
        else:
            make_test_dir(directory, seed=0, rows=400)
        yield directory


@contextmanager
def repeated(source: Path, n_rows: int, *, n_files: int | None = None, n_distinct: int | None = None) -> Iterator[Path]:
    """A test dir with so many rows, those of `source` (about `n_distinct` of them) over and over.

    They are in the files in which they are there, or, mixed, in `n_files` of one size.
    """
    files = {path.name: path.read_bytes().splitlines() for path in sorted(source.glob("*.jsonl"))}
    if n_files is not None:
        mixed = [line for lines in files.values() for line in lines]
        files = {f"part{number:03}.jsonl": mixed for number in range(n_files)}
    if n_distinct is not None:
        step = sum(map(len, files.values())) // n_distinct
        files = {name: lines[::step] for name, lines in files.items()}
    n_all, n_before = sum(map(len, files.values())), 0
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        for name, lines in files.items():
            start, end = n_rows * n_before // n_all, n_rows * (n_before + len(lines)) // n_all
            n_before += len(lines)
            with (Path(folder) / name).open("wb") as file:
                file.writelines(line + b"\n" for line in islice(cycle(lines), start, end))
        yield Path(folder)


def n_rows(test_dir: Path) -> int:
    """How many rows a test dir has."""
    return sum(len(path.read_bytes().splitlines()) for path in test_dir.glob("*.jsonl"))


def _data_source(path: Path) -> str:
    with path.open("rb") as file:
        return str(json.loads(file.readline())["data_source"])
