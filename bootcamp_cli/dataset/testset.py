"""What a test dir holds, as data: its test files, what was left out, what is wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootcamp_cli.visible import visible

IdRule = Literal["own", "row"]
"""Where a sample's id comes from: the row's own `id`, or its 0-based line number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a test file: `line` is 1-based, `str()` is `file:line: what`."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{visible(self.file)}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """One test file with at least one selected row.

    `digest` is the SHA-256 (hex) of the whole file of `size_bytes`; `span_digest` that of its first `span_bytes`, which
    hold all selected rows (the whole file, or up to the last row that `limit` lets in). `n_rows` counts the selected
    rows, `data_sources` holds their data sources with row counts in order of first appearance, `n_invalid` counts
    the rows that `skip_invalid` leaves out.
    """

    __test__ = False  # not a pytest class, whatever its name

    name: str
    path: Path
    digest: str
    size_bytes: int
    span_digest: str
    span_bytes: int
    n_rows: int
    data_sources: tuple[tuple[str, int], ...]
    id_rule: IdRule
    n_invalid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """The selected part of a test dir.

    `files` in name order; `skipped` names the entries of the directory that are no test files; `problems` are the first
    of the `n_problems` that `skip_invalid` went past. `warnings` are one line each, ready to print.
    """

    __test__ = False  # not a pytest class, whatever its name

    directory: Path
    files: tuple[TestFile, ...]
    skipped: tuple[str, ...]
    n_rows: int
    problems: tuple[Problem, ...]
    n_problems: int
    warnings: tuple[str, ...]
