"""The formats of `export` in one table, `EXPORTS`; a new one is a file and a line in the table.

Nothing appears under its name before it is whole, and nothing is written into the run directory itself.
"""

import errno
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from bootcamp_cli.errors import BootcampError, DiskError, UsageError
from bootcamp_cli.exports.csv_file import write_csv
from bootcamp_cli.exports.inspect_log import log_name, write_inspect_log
from bootcamp_cli.exports.jsonl import write_jsonl
from bootcamp_cli.exports.lm_eval import write_lm_eval
from bootcamp_cli.exports.parquet import write_parquet
from bootcamp_cli.exports.source import Source
from bootcamp_cli.store.atomic import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class FileExport:
    """A format that is one file: its name where none is given, and what writes it.

    `is_text` says whether it may go to a terminal; `extra` names the module that an extra of the same name as the
    format brings.
    """

    name: Callable[[Source], str]
    write: Callable[[Source, BinaryIO], None]
    is_text: bool = False
    extra: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderExport:
    """A format of several files, which `write` puts below an empty folder."""

    write: Callable[[Source, Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files that were written (none for a stream), and how many samples the run has, failed ones included."""

    files: tuple[Path, ...]
    n_samples: int


EXPORTS: Mapping[str, FileExport | FolderExport] = {
    "csv": FileExport(name=lambda source: f"{source.name}.csv", write=write_csv, is_text=True),
    "jsonl": FileExport(name=lambda source: f"{source.name}.jsonl", write=write_jsonl, is_text=True),
    "parquet": FileExport(name=lambda source: f"{source.name}.parquet", write=write_parquet, extra="pyarrow"),
    "inspect": FileExport(name=log_name, write=write_inspect_log),
    "lm-eval": FolderExport(write=write_lm_eval),
}


def export_format(name: str) -> FileExport | FolderExport:
    """The format of this name, with all that it needs.

    Raises:
        UsageError: there is none, or its extra is not installed.
    """
    form = EXPORTS.get(name)
    if form is None:
        raise UsageError(f"--format: must be one of {', '.join(EXPORTS)}, got {name!r}")
    if isinstance(form, FileExport) and form.extra and find_spec(form.extra) is None:
        raise UsageError(f"{name} needs {form.extra}", hint=f"pip install 'bootcamp-cli[{name}]'")
    return form


def export(source: Source, form: FileExport | FolderExport, out: Path | BinaryIO) -> Exported:
    """Write a run in a format: to a stream, a file, or into a directory.

    A file that is there is replaced; an existing directory gets a file of the usual name.

    Raises:
        UsageError: `out` cannot be written, is within the run directory, or the format does not go there.
        RunDirectoryError: the run directory cannot be read.
    """
    if not isinstance(out, Path):
        if isinstance(form, FolderExport):
            raise UsageError("--out: this format is several files", hint="name a directory")
        form.write(source, out)
        return Exported(files=(), n_samples=source.n_samples)
    with _told_of(out):
        if isinstance(form, FolderExport):
            files = tuple(_write_folder(source, form, _outside(source, out)))
        else:
            path = _outside(source, out / form.name(source) if out.is_dir() else out)
            if path.exists() and not stat.S_ISREG(path.stat().st_mode):
                raise UsageError(f"{path}: not a file that can be replaced", hint="name another one, or `-` for stdout")
            with replacing(path, durable=False) as file:
                form.write(source, file)
            files = (path,)
    return Exported(files=files, n_samples=source.n_samples)


def _write_folder(source: Source, form: FolderExport, out: Path) -> Iterator[Path]:
    """Write files beside their places first; gives their paths as they are put there."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=out) as name:
        folder = Path(name)
        form.write(source, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = out / path.relative_to(folder)
            _outside(source, target)  # a model may be named like the run directory beside it
            target.parent.mkdir(exist_ok=True)
            yield path.replace(target)


def _outside(source: Source, path: Path) -> Path:
    """The path without links, which must not lead into the run directory.

    Raises:
        UsageError: it does.
    """
    resolved = path.resolve()
    run_dir = source.run_dir.path.resolve()
    if resolved == run_dir or run_dir in resolved.parents:
        raise UsageError(
            f"{path}: within the run directory, which an export leaves as it is", hint="name another place"
        )
    return resolved


@contextmanager
def _told_of(out: Path) -> Iterator[None]:
    """Say of an export that cannot be written what is wrong.

    Raises:
        UsageError: the place cannot be written to.
        BootcampError: the disk is full or fails.
    """
    try:
        yield
    except (DiskError, OSError) as error:
        cause = error.__cause__ if isinstance(error, DiskError) else error
        if not isinstance(cause, OSError) or str(error).startswith("cannot read"):  # the run directory
            raise
        text = f"{out}: cannot be written: {cause.strerror or cause}"
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise BootcampError(text, hint="free some space, or name another place") from error
        raise UsageError(text, hint="name another place with --out") from error
