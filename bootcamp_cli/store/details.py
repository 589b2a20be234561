"""The details of a run directory as every reader takes them: which files count, and how each of them is read."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from bootcamp_cli.store.journal import (
    RunRows,
    StoredHalf,
    StoredRecord,
    empty_index,
    read_failures,
    read_foreign_records,
    read_records,
    replay_lines,
    rows_by_file,
)
from bootcamp_cli.store.legacy import data_source_by_file, read_foreign_heads
from bootcamp_cli.store.records import HeadLine, OnHalf, RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import FailureRecord


class RunDetails:
    """The details of a run directory, which may still be written to; nothing of them is kept.

    `manifest`, and what it tells of the `rows` of each test file, are None where this tool did not make the directory.
    Records that do not name their data source then belong to the one that meta.jsonl or the file's name tells.
    """

    def __init__(self, run_dir: RunDir) -> None:
        self.run_dir = run_dir
        self.manifest = run_dir.read_manifest()
        self.rows: Mapping[str, RunRows] | None = None if self.manifest is None else rows_by_file(self.manifest)

    @cached_property
    def data_sources(self) -> Mapping[str, str]:
        """The data source by file of records that do not name theirs."""
        return data_source_by_file(self.run_dir) if self.rows is None else {}

    def files(self) -> tuple[list[Path], list[Path]]:
        """The details files that count, in name order, and those that belong to none of the run's test files."""
        paths, rows = self.run_dir.detail_files(), self.rows
        if rows is None:
            return paths, []
        return [path for path in paths if path.name in rows], [path for path in paths if path.name not in rows]

    def heads(
        self, path: Path, kind: type[RecordHead] = RecordHead, *, on_half: OnHalf = lambda _: None
    ) -> Iterator[HeadLine]:
        """The lines of one of these files, each checked, their heads of this kind.

        Raises:
            RunDirectoryError: a line is not a record, or does not belong to the run, or its sample already has a
                record; the message names it.
        """
        if self.rows is None:
            return read_foreign_heads(path, self.data_sources.get(path.name), kind, on_half=on_half)
        rows = self.rows[path.name]
        return replay_lines(path, empty_index(rows), rows, kind)

    def records(self, path: Path) -> Iterator[StoredRecord | StoredHalf]:
        """The whole records of one of these files; a torn last line is left out.

        Raises:
            RunDirectoryError: a line is not a record that can be verified; the message names it.
            UsageError: nothing tells the data source of a record.
        """
        if self.rows is None:
            return read_foreign_records(path, self.data_sources.get(path.name))
        return read_records(path)

    def failures(self) -> list[FailureRecord]:
        """The lines of failures.jsonl, a torn last one left out.

        Raises:
            RunDirectoryError: a line is not a failure, or does not belong to the run; the message names it.
        """
        return read_failures(self.run_dir, self.rows)
