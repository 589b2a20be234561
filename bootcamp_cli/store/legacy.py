"""Which bootcamp judged the details files of the reference script: their records do not say, its meta.jsonl does."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.errors import RunDirectoryError, disk_error
from bootcamp_cli.store.journal import read_heads
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import bootcamp_name

_SUFFIX = bootcamp_name("")
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _MetaLine:
    """What a line of meta.jsonl tells: the data source, the averages, and in our own lines the file."""

    data_source: str
    file: str | None
    averages: tuple[float, float] | None


def data_source_by_file(run_dir: RunDir) -> dict[str, str]:
    """For records that do not say theirs: the data source of each details file, where it is beyond doubt.

    The script writes the lines of meta.jsonl in the order in which files end, not by name: a line belongs to the one
    file with its averages. What that leaves open is told by the file's name where it is that of one data source: of
    those that the averages allow, else of meta.jsonl, else of those that have a bootcamp here.

    Raises:
        RunDirectoryError: meta.jsonl cannot be read, or a line of details is no record.
    """
    lines = _meta_lines(run_dir)
    known = {ref.data_source for ref in Resolver("builtin", None).known()}
    files = run_dir.detail_files()
    without_line = [path for path in files if not any(line.file == path.name for line in lines)]
    candidates = {path.name: _named(lines, path.name) for path in files} | _by_averages(lines, without_line)
    claims = [name for names in candidates.values() for name in names]
    found = {}
    for path in files:
        names = candidates[path.name]
        if len(names) == 1 and (path not in without_line or claims.count(*names) == 1):
            found[path.name] = names.pop()
        elif data_source := _by_stem(path, (names, {line.data_source for line in lines}, known)):
            found[path.name] = data_source
    return found


def _named(lines: Sequence[_MetaLine], file: str) -> set[str]:
    """The data sources of the lines that name a file."""
    return {line.data_source for line in lines if line.file == file}


def _by_averages(lines: Sequence[_MetaLine], files: Sequence[Path]) -> dict[str, set[str]]:
    """The data sources of the lines that name no file and have the averages of one."""
    unnamed = [line for line in lines if line.file is None and line.averages]
    averages = {path.name: _averages(path) if unnamed else None for path in files}
    return {
        file: {line.data_source for line in unnamed if own and line.averages and _same(own, line.averages)}
        for file, own in averages.items()
    }


def _averages(path: Path) -> tuple[float, float] | None:
    """The plain means of score and length, as the script has them; None where a record lacks one."""
    n, score_sum, len_sum = 0, 0.0, 0.0
    for _, _, head in read_heads(path):
        if not _is_number(head.score) or not _is_number(head.output_len):
            return None
        n += 1
        score_sum += head.score
        len_sum += head.output_len
    return (score_sum / n, len_sum / n) if n else None


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) for a, b in zip(one, other, strict=True))


def _by_stem(path: Path, choices: Sequence[set[str]]) -> str | None:
    """The one data source that a file is named after, whatever the case, of the first choice that has such."""
    stem = path.stem.casefold()
    for names in choices:
        fitting = [name for name in names if stem in (name.casefold(), bootcamp_name(name).casefold())]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _meta_lines(run_dir: RunDir) -> list[_MetaLine]:
    """The lines that name a bootcamp; none where any of them is not readable."""
    try:
        lines = run_dir.meta.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise disk_error(error, f"read {run_dir.meta}") from error
    except UnicodeDecodeError as error:
        raise RunDirectoryError(f"{run_dir.meta}: not UTF-8 ({error})", hint="restore or remove it") from error
    try:
        entries = [_meta_line(json.loads(line)) for line in lines if line.strip()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
    return [entry for entry in entries if entry]


def _meta_line(entry: Mapping[str, Any]) -> _MetaLine | None:
    name, file = entry.get("bootcamp"), entry.get("file")
    if not isinstance(name, str) or not name.endswith(_SUFFIX):
        return None
    score, length = entry.get("avg_score"), entry.get("avg_len")
    return _MetaLine(
        data_source=name.removesuffix(_SUFFIX),
        file=file if isinstance(file, str) else None,
        averages=(float(score), float(length)) if _is_number(score) and _is_number(length) else None,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) < 2**1000
