"""Test dir -> test set: everything is read and checked before the first request."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bootcamp_cli.dataset.filescan import MAX_PROBLEMS_KEPT, FileScan, scan_file
from bootcamp_cli.dataset.selection import FileSelection, idle_patterns
from bootcamp_cli.dataset.testset import Problem, TestFile, TestSet
from bootcamp_cli.errors import DatasetError
from bootcamp_cli.visible import visible


def scan_test_dir(
    directory: Path,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
    skip_invalid: bool = False,
) -> TestSet:
    """Read every `*.jsonl` directly in the directory, in name order, and check every row.

    `include` and `exclude` are shell globs on test file name (with or without `.jsonl`) or data source; `limit` lets in
    the first selected rows of each file; `skip_invalid` leaves bad rows out instead of refusing them. A file that is
    excluded by name is not read, and problems of a file that `include` does not want are of no concern.

    Raises:
        DatasetError: where anything cannot be used; `problems` has the first 20 as `file:line: what`.
    """
    paths, skipped = _list_directory(directory)
    scans: list[FileScan] = []
    data_sources: set[str] = set()
    for path in paths:
        selection = FileSelection(path.name, include=include, exclude=exclude)
        if selection.is_excluded:
            continue
        scan = scan_file(path, selection, limit=limit)
        data_sources.update(selection.data_sources_seen)
        scans.append(scan if scan.test_file or selection.is_included else _without_problems(scan))
    n_problems = sum(scan.n_problems for scan in scans)
    if n_problems and not (skip_invalid and all(scan.is_readable for scan in scans)):
        raise _refusal(directory, scans, skip_invalid=skip_invalid)
    files = tuple(scan.test_file for scan in scans if scan.test_file)
    if not files:
        raise _nothing_selected(directory, include, exclude, limit=limit, n_problems=n_problems)
    names = [path.name for path in paths]
    return TestSet(
        directory=directory,
        files=files,
        skipped=tuple(skipped),
        n_rows=sum(file.n_rows for file in files),
        problems=_first_problems(scans),
        n_problems=n_problems,
        warnings=(
            *_idle_warnings("--include", include, names, data_sources),
            *_idle_warnings("--exclude", exclude, names, data_sources),
            *(_invalid_warning(scan) for scan in scans if scan.problems),
        ),
    )


def _list_directory(directory: Path) -> tuple[list[Path], list[str]]:
    """The test files in name order, and the names of the other entries. A hidden file is none, as in the shell."""
    shown = visible(str(directory))
    try:
        with os.scandir(directory) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        raise DatasetError(f"test dir {shown} does not exist") from None
    except NotADirectoryError:
        hint = "give the directory that holds it; --include NAME selects one file"
        raise DatasetError(f"test dir {shown} is not a directory", hint=hint) from None
    except OSError as error:
        raise DatasetError(f"test dir {shown} cannot be read: {error.strerror or error}") from error
    found = {entry.name: _is_test_file(entry) for entry in ordered}
    paths = [directory / name for name, is_test_file in found.items() if is_test_file]
    skipped = [name for name, is_test_file in found.items() if not is_test_file]
    if not paths:
        others = f": only {_enumeration(skipped)}" if skipped else ", it is empty"
        hint = "test files end in .jsonl and stand directly in the directory"
        raise DatasetError(f"test dir {shown} holds no test file{others}", hint=hint)
    return paths, skipped


def _is_test_file(entry: os.DirEntry[str]) -> bool:
    if not entry.name.endswith(".jsonl") or entry.name.startswith("."):
        return False
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True  # unreadable: the scan says so


def _enumeration(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(visible(name) for name in names[:3]) + rest


def _without_problems(scan: FileScan) -> FileScan:
    return replace(scan, problems=(), n_problems=0, is_readable=True)


def _first_problems(scans: Iterable[FileScan]) -> tuple[Problem, ...]:
    return tuple(problem for scan in scans for problem in scan.problems)[:MAX_PROBLEMS_KEPT]


def _refusal(directory: Path, scans: Sequence[FileScan], *, skip_invalid: bool) -> DatasetError:
    if skip_invalid:
        scans = [scan for scan in scans if not scan.is_readable]
    n_problems = sum(scan.n_problems for scan in scans)
    count = "1 problem" if n_problems == 1 else f"{n_problems} problems"
    if n_problems > MAX_PROBLEMS_KEPT:
        count += f" (the first {MAX_PROBLEMS_KEPT} shown)"
    return DatasetError(
        f"test dir {visible(str(directory))} has {count}, nothing was started",
        problems=tuple(str(problem) for problem in _first_problems(scans)),
        hint="mend or --exclude the files" if skip_invalid else "mend the rows, or leave them out with --skip-invalid",
    )


def _nothing_selected(
    directory: Path, include: Sequence[str], exclude: Sequence[str], *, limit: int | None, n_problems: int
) -> DatasetError:
    options = [f"--include {visible(repr(pattern))}" for pattern in include]
    options += [f"--exclude {visible(repr(pattern))}" for pattern in exclude]
    options += [f"--limit {limit}"] if limit is not None and limit < 1 else []
    because = f" with {' '.join(options)}" if options else ""
    because += f": {n_problems} invalid rows left out" if n_problems else ""
    hint = "patterns are matched with test file names and data sources" if include or exclude else None
    return DatasetError(f"no row of test dir {visible(str(directory))} is selected{because}", hint=hint)


def _idle_warnings(
    option: str, patterns: Sequence[str], file_names: Iterable[str], data_sources: Iterable[str]
) -> list[str]:
    idle = idle_patterns(patterns, file_names=file_names, data_sources=data_sources)
    return [f"{option} {visible(repr(pattern))} matches no test file name and no data source read" for pattern in idle]


def _invalid_warning(scan: FileScan) -> str:
    first = scan.problems[0]
    if scan.test_file is None:
        return f"{visible(first.file)} is skipped, no row of it is left: {first}"
    n_invalid = scan.test_file.n_invalid
    rows = "1 invalid row" if n_invalid == 1 else f"{n_invalid} invalid rows, the first"
    return f"{visible(first.file)}: left out {rows}: {first}"


__all__ = ["TestFile", "TestSet", "scan_test_dir"]
