"""The run directory: its name, its files, its manifest, and how to find it again."""

import errno
import glob
import heapq
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict, fields

from bootcamp_cli.errors import DiskError, RunDirectoryError, SettingsError, disk_error
from bootcamp_cli.store.atomic import Check, replace_json
from bootcamp_cli.text import counted, listed, visible
from bootcamp_cli.types import Manifest, decode

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

MAX_EARLIER = 50
"""How many of the most recently changed directories are looked into where nobody asked for an earlier run."""

_MOST_NAMED = 10

_REDO = "_redo"
_MAX_REDO = 220
"""How many characters of a run directory's name stand in that of one that redoes its samples."""

_MAX_NAMES = 180
"""How many bytes of a run directory's name are for model and test dir; file systems take 255, some of them fewer."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """The paths of everything in a run directory; creating one reads and writes nothing."""

    path: Path

    @property
    def details(self) -> Path:
        """The folder of the journal: one file per test file."""
        return self.path / "details"

    @property
    def failures(self) -> Path:
        """Samples without an answer, one JSON line each."""
        return self.path / "failures.jsonl"

    @property
    def meta(self) -> Path:
        """Averages, one JSON line per test file and data source."""
        return self.path / "meta.jsonl"

    @property
    def eval_args(self) -> Path:
        """Every parameter of the run."""
        return self.path / "eval_args.json"

    @property
    def manifest(self) -> Path:
        """What the run was made of: versions, digests, template text, start and end."""
        return self.path / "manifest.json"

    @property
    def progress_log(self) -> Path:
        """Bars, one line per test file."""
        return self.path / "progress.log"

    @property
    def server_log(self) -> Path:
        """What the server wrote that was started for the run."""
        return self.path / "server.log"

    @property
    def timeline(self) -> Path:
        """When the answers came."""
        return self.path / "timeline.jsonl"

    @property
    def endpoints(self) -> Path:
        """What was sent to each endpoint."""
        return self.path / "endpoints.json"

    @property
    def server_metrics(self) -> Path:
        """The servers' own figures over time."""
        return self.path / "server_metrics.jsonl"

    @property
    def removing(self) -> Path:
        """Stands there from the moment on in which a removal begins."""
        return self.path / ".removing"

    @property
    def page(self) -> Path:
        """The page to look at in a browser."""
        return self.path / "report.html"

    @property
    def redone(self) -> Path:
        """The folder of records that were set aside, by test file."""
        return self.path / "redone"

    @property
    def batch(self) -> Path:
        """The folder of batch files: requests for what was owed when they were written."""
        return self.path / "batch"

    def scores(self, model_name: str) -> Path:
        """The workbook."""
        return self.path / f"{safe_name(model_name)}_scores.xlsx"

    def detail_files(self) -> list[Path]:
        """The files of the journal in name order."""
        try:
            return sorted(path for path in self.details.iterdir() if path.suffix == ".jsonl" and path.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error(error, f"list {self.details}") from error

    def read_eval_args(self) -> dict[str, Any] | None:
        """The parameters as they were written; None where there is no such file."""
        return _read_object(self.eval_args)

    def read_manifest(self) -> Manifest | None:
        """The manifest; None where there is none (run directories of the reference script).

        Raises:
            RunDirectoryError: it is not readable, or part of it is missing or has the wrong type.
        """
        parts = _read_object(self.manifest)
        return None if parts is None else _manifest_of(parts, self.manifest)

    def write_manifest(self, manifest: Manifest, check: Check) -> None:
        """Replace the manifest, keeping parts that only another version knows."""
        known = Manifest.__struct_fields__
        unknown = {key: value for key, value in (_read_object(self.manifest) or {}).items() if key not in known}
        replace_json(self.manifest, _parts(manifest) | unknown, check)


def safe_name(name: str) -> str:
    """A name as part of a path: everything but letters, digits, `.`, `_` and `-` becomes `_`; never `.` or `..`."""
    safe = _UNSAFE.sub("_", name)[:150]
    return safe if safe.strip(".") else "_" * max(len(safe), 1)


def create_run_dir(
    output_dir: Path, *, model_name: str, test_dir: Path, now: datetime, redo_of: str | None = None
) -> RunDir:
    """Make a new run directory `{model_name}_{test_dir}_{YYYYMMDD_HHMMSS}`; an existing one is never reused.

    `test_dir` is the first of the inputs; of a test file the name counts without its suffixes. Names that are too long
    are cut, each only as far as the other needs the room. One that redoes samples of the run directory `redo_of` is
    `{redo_of}_redo_{YYYYMMDD_HHMMSS}`.

    Raises:
        DiskError: it cannot be made.
    """
    model, data = safe_name(model_name), safe_name(input_name(test_dir))
    n_model = max(_MAX_NAMES // 2, _MAX_NAMES - len(data))
    model = model[:n_model]
    stem = f"{model}_{data[: _MAX_NAMES - len(model)]}" if redo_of is None else f"{redo_of[:_MAX_REDO]}{_REDO}"
    stem = f"{stem}_{now:%Y%m%d_%H%M%S}"
    suffix = ""
    n = 1
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise _no_place(output_dir, error) from error
    except OSError as error:
        raise disk_error(error, f"make {output_dir}") from error
    try:
        while True:
            path = output_dir / f"{stem}{suffix}"
            try:
                path.mkdir()
            except FileExistsError:
                n += 1
                suffix = f"_{n}"
                continue
            run_dir = RunDir(path)
            try:
                run_dir.details.mkdir()
            except OSError:
                remove_if_empty(run_dir)
                raise
            return run_dir
    except OSError as error:
        raise disk_error(error, f"make a run directory in {output_dir}") from error


def remove_if_empty(run_dir: RunDir) -> None:
    """Remove a run directory that holds nothing yet, so that none piles up where no run can be locked."""
    for folder in (run_dir.path / ".lock", run_dir.details, run_dir.path):
        with suppress(OSError):
            folder.rmdir()


def check_output_dir(output_dir: Path) -> None:
    """Check that run directories can be made below a directory that need not exist yet; nothing is made.

    Raises:
        SettingsError: a file stands in its place, or in that of a directory above it.
        DiskError: it may not be written to.
    """
    place = output_dir.absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            where = "" if place == output_dir.absolute() else f" ({place})"
            raise SettingsError(
                f"output_dir: {output_dir} is not a directory: there is a file{where}",
                hint="choose another with --output-dir",
            )
    except OSError as error:
        raise disk_error(error, f"look at {output_dir}") from error
    if not os.access(place, os.W_OK | os.X_OK):
        raise disk_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), f"write to {place}")


def input_name(test_dir: Path) -> str:
    """The name of a test dir, or of a test file without its suffixes."""
    name = test_dir.resolve().name
    return name.removesuffix(".gz").removesuffix(".jsonl") if test_dir.is_file() else name


def _no_place(output_dir: Path, error: OSError) -> DiskError:
    """A file stands where output_dir is to be, or on the way to it, or nothing can be made there."""
    return DiskError(
        f"output_dir: {output_dir} is not a directory and cannot be made one: {error.strerror}",
        hint="choose another with --output-dir",
    )


def remove_if_unanswered(run_dir: RunDir) -> None:
    """Remove a run directory that this process made and in which nothing was recorded; any other stays."""
    with suppress(OSError):
        results = [run_dir.failures, *run_dir.details.iterdir()]
        if not any(path.exists() and path.stat().st_size for path in results):
            shutil.rmtree(run_dir.path)


def redo_dirs(run_dir: RunDir) -> list[tuple[RunDir, Manifest]]:
    """The run directories beside a run that redo samples of it, in name order; unreadable ones are passed over."""
    name = run_dir.path.resolve().name
    found = []
    for path in sorted(run_dir.path.resolve().parent.glob(f"{glob.escape(name[:_MAX_REDO])}{_REDO}_*")):
        with suppress(RunDirectoryError):
            manifest = RunDir(path).read_manifest()
            if manifest is not None and manifest.redo_of is not None and manifest.redo_of.run == name:
                found.append((RunDir(path), manifest))
    return found


def open_run_dir(path: Path) -> RunDir:
    """An existing run directory.

    Raises:
        RunDirectoryError: there is none at `path`.
    """
    run_dir = RunDir(path)
    try:
        if path.is_file():
            raise RunDirectoryError(
                f"{path}: a file, not a run directory", hint="give the directory that `bootcamp eval` printed"
            )
        if not path.is_dir():
            raise RunDirectoryError(
                f"{path}: no such run directory", hint="give the directory that `bootcamp eval` printed"
            )
        if not run_dir.details.is_dir():
            raise _no_run(path)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be opened as a run directory: {error.strerror or error}") from error
    return run_dir


def _no_run(path: Path) -> RunDirectoryError:
    """A directory that is none of a run; where it holds some, as output_dir does, they are named, newest first."""
    runs = []
    for run in recently_changed(path):
        with suppress(OSError):  # others' private ones
            if run.details.is_dir():
                runs.append(run.path)
    if not runs:
        return RunDirectoryError(f"{path} is not a run directory: it has no folder details")
    names = listed([visible(shlex.quote(str(run))) for run in runs], _MOST_NAMED)
    return RunDirectoryError(
        f"{path} is not a run directory, but holds {counted(len(runs), 'run')}",
        hint=f"give {'it' if len(runs) == 1 else 'one of them'}: {names} (`bootcamp runs` shows them)",
    )


def readable_runs(
    output_dir: Path, *, most: int | None = None, to_continue: bool = False
) -> Iterator[tuple[RunDir, Manifest]]:
    """The run directories with a readable manifest under `output_dir`, in no order, one manifest in memory at a time.

    `most` of the most recently changed directories are looked into, or all. Others may keep theirs in the same place:
    what is private is passed over and, `to_continue` runs, what this process may not write.
    """
    for run_dir in recently_changed(output_dir, most=most):
        if to_continue and not os.access(run_dir.path, os.W_OK | os.X_OK):
            continue
        with suppress(RunDirectoryError):
            manifest = run_dir.read_manifest()
            if manifest is not None:
                yield run_dir, manifest


def age_key(run_dir: RunDir, manifest: Manifest) -> tuple[str, str]:
    """What orders runs by their start: the newest has the largest."""
    return manifest.started, run_dir.path.name


def recently_changed(output_dir: Path, *, most: int | None = None) -> list[RunDir]:
    """The directories under `output_dir`, the most recently changed first, at most `most` of them."""
    dated = []
    try:
        with os.scandir(output_dir) as entries:
            for entry in entries:
                with suppress(OSError):  # a link to itself, or gone in the meantime
                    if entry.is_dir():
                        dated.append((entry.stat().st_mtime_ns, entry.path))
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise _no_place(output_dir, error) from error
    except OSError as error:
        raise disk_error(error, f"list {output_dir}") from error
    return [RunDir(Path(path)) for _, path in heapq.nlargest(len(dated) if most is None else most, dated)]


def content_of(path: Path) -> bytes | None:
    """What a file of a run directory holds; None where there is none.

    Raises:
        RunDirectoryError: it cannot be read, or is something else: a pipe, in a place that others write to, would be
            waited for without end.
    """
    try:
        if path.exists() and not path.is_file():
            raise RunDirectoryError(f"{path}: not a file", hint=_HINT)
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, f"read {path}") from error


def _read_object(path: Path) -> dict[str, Any] | None:
    content = content_of(path)
    if content is None:
        return None
    try:
        value = decode(content)
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: not readable as JSON: {error}", hint=_HINT) from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path}: not a JSON object", hint=_HINT)
    return value


_DECIDING = frozenset({"repeats", "rescoring", "redo_of"})
"""Fields with a default that decide what a run holds."""


def _manifest_of(parts: Mapping[str, Any], path: Path) -> Manifest:
    """The manifest of a JSON object; what is odd about parts that decide nothing is passed over."""
    values = {}
    for field in fields(Manifest):
        if field.name in parts:
            try:
                values[field.name] = msgspec.convert(parts[field.name], field.type)
            except (ValueError, RecursionError) as error:
                if field.required or field.name in _DECIDING:
                    raise RunDirectoryError(f"{path}: {field.name} is not what was written", hint=_HINT) from error
    if missing := [field.name for field in fields(Manifest) if field.required and field.name not in values]:
        raise RunDirectoryError(f"{path}: missing: {', '.join(missing)}", hint=_HINT)
    manifest = Manifest(**values)
    try:
        is_whole = manifest.shard is None or all(file.in_shard is not None for file in manifest.files)
    except (ValueError, AttributeError) as error:
        raise RunDirectoryError(f"{path}: the shard is not what was written", hint=_HINT) from error
    if manifest.shard is not None and not is_whole:
        raise RunDirectoryError(f"{path}: missing: in_shard of the files", hint=_HINT)
    return manifest


def _parts(manifest: Manifest) -> dict[str, Any]:
    """The JSON object of a manifest; what is already JSON, however deep, is not traversed."""
    return {
        name: value if isinstance(value, dict) else msgspec.to_builtins(value)
        for name, value in asdict(manifest).items()
    }


_HINT = "restore it from a copy"
