"""Which records and failures can be of a run: what its manifest tells of the rows of its test files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootcamp_cli.store.manifest import files_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRows:
    """What is known of the rows of a test file that a run takes.

    `n_rows`: they are the first so many; None where rows in between are left out. `id_is_row`: the id of a record is
    its row.
    """

    data_sources: frozenset[str]
    n_rows: int | None = None
    id_is_row: bool = False

    def objection(self, row: int, data_source: Any, id_: Any) -> str | None:
        """Why a record or failure is of no row of this file; None where it may be."""
        if self.n_rows is not None and row >= self.n_rows:
            return f"row {row} is none of the run: it takes the rows 0 to {self.n_rows - 1}"
        if data_source is not None and not (isinstance(data_source, str) and data_source in self.data_sources):
            return f"data_source is {_shown(data_source)}, which the test file does not have"
        if self.id_is_row and id_ is not None and id_ != row:
            return f"id is {_shown(id_)} where the id is the row, {row}: a record of other data"
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def rows_by_file(manifest: Mapping[str, Any], path: Path) -> dict[str, FileRows]:
    """What the manifest at `path` tells of the rows of each test file.

    Raises:
        RunDirectoryError: it does not tell the test files.
    """
    identity = manifest.get("identity", {})
    all_selected = not identity.get("include") and not identity.get("exclude")
    return {
        file["name"]: FileRows(
            data_sources=frozenset(name for name, _ in file["data_sources"]),
            n_rows=file["n_rows"] if all_selected and file.get("n_invalid") == 0 else None,
            id_is_row=file["id_rule"] == "row",
        )
        for file in files_of(manifest, path)
    }
