"""Shards -> one run: the directory that one process would have made, from those of all parts.

Records are not read, only copied: each part's lines are in the order of its samples or are put in it, and no two parts
have a row in common. The shards stay as they are.
"""

import heapq
import os
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from bootcamp_cli.analysis.summary import RunSummary
from bootcamp_cli.engine.identity import (
    VERIFIERS,
    Verifiers,
    answer_differences,
    as_written,
    described,
    identity_of,
    merged,
    verifier_changes,
    verifiers_of,
)
from bootcamp_cli.engine.session import origins
from bootcamp_cli.errors import DiskError, RunDirectoryError, UsageError, disk_error
from bootcamp_cli.server.provenance import Fingerprints, with_server
from bootcamp_cli.store.atomic import no_check, replace_json, replacing, sync_directory
from bootcamp_cli.store.endpoints import merge_endpoints
from bootcamp_cli.store.journal import OWED, DetailIndex, RunRows, read_failures, replay, rows_by_file
from bootcamp_cli.store.lock import RunLock, live_holder, locked_by
from bootcamp_cli.store.records import read_failure_lines
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.server_metrics import merge_loads
from bootcamp_cli.store.timeline import merge_timelines
from bootcamp_cli.text import counted, listed
from bootcamp_cli.types import (
    TO_BE_VERIFIED,
    Manifest,
    ManifestFile,
    SampleKey,
    Shard,
)

SHARD = "shard"
"""The key of identity and parameters in which the shards of a run differ."""

_MAX_NAMED = 10
_MAX_NAME = 200
_READ_AHEAD_BYTES = 32 * 1024 * 1024
"""How much of all shards together is in memory while they are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One shard of a run: its directory, and what its manifest says."""

    run_dir: RunDir
    manifest: Manifest
    shard: Shard
    rows: dict[str, RunRows]


def read_parts(runs: Sequence[RunDir]) -> list[Part]:
    """The shards in the order of their numbers: all parts of one run, each once.

    What is not finished in them is no gap: it is owed by the merged run as well.

    Raises:
        UsageError: one is no shard, one is missing or there twice, or they are not of the same run.
        RunDirectoryError: a shard cannot be read, or a live process writes to it.
    """
    parts = sorted(map(_part, runs), key=lambda part: part.shard.number)
    if not parts:
        raise UsageError("there is nothing to merge", hint="give the run directories of all shards")
    _check_numbers(parts)
    for part in parts[1:]:
        _check_same(parts[0], part)
    return parts


def _part(run_dir: RunDir) -> Part:
    path = run_dir.path
    if (holder := live_holder(path)) is not None:
        raise locked_by(path, holder)
    manifest = run_dir.read_manifest()
    if manifest is None or run_dir.read_eval_args() is None:
        missing = run_dir.manifest if manifest is None else run_dir.eval_args
        raise UsageError(f"{path} has no {missing.name} and cannot be merged", hint="give runs of `eval --shard`")
    if manifest.redo_of is not None:
        raise UsageError(f"{path} only redoes samples of {manifest.redo_of.run}", hint="leave it out")
    if manifest.rescoring:
        command = f"`bootcamp rescore {shlex.quote(str(path))}`"
        raise UsageError(f"{path}: a rescore was cut off, and its scores are of two kinds", hint=f"run {command} first")
    if manifest.shard is None:
        raise UsageError(f"{path} is a whole run, not a shard", hint="give runs of `eval --shard`")
    rows = rows_by_file(manifest)
    if foreign := [file.name for file in run_dir.detail_files() if file.name not in rows]:
        raise RunDirectoryError(
            f"{run_dir.details / foreign[0]} does not belong to any test file of this run", hint="move it elsewhere"
        )
    return Part(run_dir=run_dir, manifest=manifest, shard=manifest.shard, rows=rows)


def _check_numbers(parts: Sequence[Part]) -> None:
    """Refuse shards of another number of shards, overlaps and gaps."""
    first = parts[0]
    for part in parts[1:]:
        if part.shard.count != first.shard.count:
            raise UsageError(
                f"{first.run_dir.path} is shard {first.shard}, {part.run_dir.path} is shard {part.shard}",
                hint="only shards of one number of shards go together",
            )
    by_number: dict[int, Part] = {}
    for part in parts:
        if (other := by_number.setdefault(part.shard.number, part)) is not part:
            raise UsageError(
                f"{other.run_dir.path} and {part.run_dir.path} are both shard {part.shard}", hint="leave one out"
            )
    count = first.shard.count
    if missing := [str(Shard(number, count)) for number in range(1, count + 1) if number not in by_number]:
        raise UsageError(
            f"{counted(len(missing), 'shard')} of {count:,} {'is' if len(missing) == 1 else 'are'} missing: "
            f"{listed(missing, _MAX_NAMED)}",
            hint="give the run directories of all shards",
        )


def _check_same(first: Part, part: Part) -> None:
    """Refuse a shard of another run: other settings, test files, repeats or verifiers."""
    other = f"{part.run_dir.path} is not of the same run as {first.run_dir.path}"
    before, after = identity_of(first.manifest), identity_of(part.manifest)
    if keys := [key for key in answer_differences(before, after) if key != SHARD]:
        raise UsageError(f"{other}: {described(keys, before, after)}", hint="leave it out, or evaluate it anew")
    if part.manifest.repeats != first.manifest.repeats:
        raise UsageError(
            f"{other}: it asks each question {counted(part.manifest.repeats, 'time')}, not {first.manifest.repeats}",
            hint="extend the one with fewer with `bootcamp resume RUN_DIR --repeats K`",
        )
    if [_whole(file) for file in part.manifest.files] != [_whole(file) for file in first.manifest.files]:
        raise UsageError(f"{other}: it takes other rows of the test files", hint="leave it out, or evaluate it anew")
    scored_by = verifiers_of(first.manifest, first.run_dir), verifiers_of(part.manifest, part.run_dir)
    if changes := verifier_changes(*scored_by):
        raise UsageError(
            f"{other}: it was scored by other verifiers: {listed([*map(str, changes)], _MAX_NAMED)}",
            hint="verify all shards by the same with `bootcamp rescore`, then merge",
        )


def _whole(file: ManifestFile) -> ManifestFile:
    return replace(file, in_shard=None)


@contextmanager
def merging(parts: Sequence[Part], out: Path, notify: Callable[[str], None]) -> Iterator[RunDir]:
    """A run directory of all parts, but for its reports; `out` is there once the block has ended without an error.

    Parameters that decide neither answers nor scores (url, limits) are those of the first shard. Where the block
    raises, nothing is left; a process that is killed leaves a hidden directory beside `out`.

    Raises:
        UsageError: `out` exists.
        RunDirectoryError: a shard has lines that do not belong to it, or `out` cannot be written.
    """
    if os.path.lexists(out):
        raise UsageError(f"--out: {out} exists", hint="give the name of a directory that does not, or remove it")
    for oddity in _oddities(parts):
        notify(oddity)
    unfinished = out.parent / f".{out.name[:_MAX_NAME]}.{secrets.token_hex(4)}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir()
        try:
            _fill(RunDir(unfinished), parts)
            yield RunDir(unfinished)
            unfinished.rename(out)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_directory(out.parent)
    except OSError as error:
        raise DiskError(f"cannot make {out}: {error.strerror or error}", hint=_AGAIN) from error
    except DiskError as error:
        raise DiskError(error.message, hint=_AGAIN) from error


_AGAIN = "nothing was made, and the shards are as they were: merge them again once that is put right"


def end_merging(run_dir: RunDir, summary: RunSummary, lock: RunLock) -> None:
    """Write down what came together, once the reports are there."""
    manifest = run_dir.read_manifest()
    assert manifest is not None  # noqa: S101 - `merging` wrote it
    n_pending = sum(n for kind, n in summary.unverified.items() if kind in TO_BE_VERIFIED)
    complete = summary.n_answered == summary.n_samples and not n_pending
    changed = replace(manifest, complete=complete, tokens=summary.tokens, effort=summary.effort)
    run_dir.write_manifest(changed, lock.check)


def _oddities(parts: Sequence[Part]) -> Iterator[str]:
    """What is no reason not to merge, but good to know."""
    roots = {str((part.manifest.model or {}).get("root")) for part in parts} - {"None"}
    if len(roots) > 1:
        yield f"the shards were answered by {len(roots)} models of one name: {listed(sorted(roots), _MAX_NAMED)}"
    versions = {part.manifest.tool.version for part in parts if part.manifest.tool}
    if len(versions) > 1:
        yield f"the shards are of several versions of this tool: {listed(sorted(versions), _MAX_NAMED)}"
    unfinished = [str(part.shard) for part in parts if not part.manifest.complete]
    if unfinished:
        named = listed(unfinished, _MAX_NAMED)
        yield f"not complete: {counted(len(unfinished), 'shard')} ({named}); what they owe, the merged run owes"


def _fill(run_dir: RunDir, parts: Sequence[Part]) -> None:
    """Write everything that no report can be made of."""
    run_dir.details.mkdir()
    first = parts[0]
    failed = [_failures_of(part) for part in parts]
    owed: dict[SampleKey, bytes] = {}
    for file in first.manifest.files:
        indexes = [replay(part.run_dir.details / file.name, part.rows[file.name]) for part in parts]
        for failures, index in zip(failed, indexes, strict=True):
            lines = failures.get(file.name, {})
            owed |= {key: line for key, line in lines.items() if index.state(key.row, key.repeat) == OWED}
        _merge_lines(run_dir.details / file.name, parts, indexes)
    if owed:
        with replacing(run_dir.failures) as target:
            target.writelines(owed[key] + b"\n" for key in sorted(owed))
    _gather_redone(run_dir, parts)
    merge_timelines((part.run_dir for part in parts), run_dir)
    merge_endpoints((part.run_dir for part in parts), run_dir)
    merge_loads((part.run_dir for part in parts), run_dir)
    replace_json(run_dir.eval_args, (first.run_dir.read_eval_args() or {}) | {SHARD: None})
    run_dir.write_manifest(_manifest(parts), no_check)


def _failures_of(part: Part) -> dict[str, dict[SampleKey, bytes]]:
    """The last line about each sample that failed at some time, without its line feed, by test file."""
    read_failures(part.run_dir, part.rows)
    found: dict[str, dict[SampleKey, bytes]] = {}
    for line in read_failure_lines(part.run_dir.failures):
        found.setdefault(line.failure.file, {})[line.failure.key] = line.content
    return found


def _merge_lines(target: Path, parts: Sequence[Part], indexes: Sequence[DetailIndex]) -> None:
    """Write the latest line of each sample of a test file, in the order of row, then repeat; no file without one."""
    n_ahead_bytes = max(4096, _READ_AHEAD_BYTES // len(parts))
    sources = [
        _lines(part.run_dir.details / target.name, index, n_ahead_bytes)
        for part, index in zip(parts, indexes, strict=True)
        if index.places
    ]
    if sources:
        with replacing(target) as file:
            file.writelines(line for _, line in heapq.merge(*sources))


def _lines(path: Path, index: DetailIndex, n_ahead_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The latest line of each sample with its place in their order, a few in memory and no file open in between.

    There may be more shards than a process may open files.
    """
    order = index.latest_in_order()
    at = 0
    while at < len(order):
        ahead: list[tuple[int, bytes]] = []
        n_bytes = 0
        try:
            with path.open("rb", buffering=0) as source:
                while at < len(order) and n_bytes < n_ahead_bytes:
                    i = order[at]
                    line = os.pread(source.fileno(), index.lengths[i], index.offsets[i])
                    ahead.append((index.places[i], _whole_line(path, line, index.lengths[i])))
                    n_bytes += len(line)
                    at += 1
        except OSError as error:
            raise disk_error(error, f"read {path}") from error
        yield from ahead


def _whole_line(path: Path, line: bytes, length: int) -> bytes:
    """A line with its line feed, which the last one of a killed process may lack."""
    end = line.find(b"\n")
    if len(line) != length or end not in (-1, length - 1):
        raise RunDirectoryError(f"{path} changed while it was read", hint="wait until nothing writes to it any more")
    return line if end >= 0 else line + b"\n"


def _gather_redone(run_dir: RunDir, parts: Sequence[Part]) -> None:
    """Put together what was set aside, in the order of the shards."""
    for file in parts[0].manifest.files:
        sources = [part.run_dir.redone / file.name for part in parts]
        if not any(source.exists() for source in sources):
            continue
        run_dir.redone.mkdir(exist_ok=True)
        with replacing(run_dir.redone / file.name) as target:
            for source in sources:
                if source.exists():
                    with source.open("rb") as lines:
                        target.writelines(line for line in lines if line.endswith(b"\n"))


def _manifest(parts: Sequence[Part]) -> Manifest:
    """What the run was made of, and when: from the first start of a shard to the last end, if all came to theirs."""
    manifests = [part.manifest for part in parts]
    first, servers, fingerprints, families = manifests[0], manifests[0].servers, Fingerprints(), dict[str, str]()
    verifiers: Verifiers = {}
    for part in parts:
        verifiers = merged(verifiers, verifiers_of(part.manifest, part.run_dir))
        families |= part.manifest.families
        for info in part.manifest.servers:
            servers = with_server(servers, info)
        for fingerprint, n in part.manifest.system_fingerprints.items():
            fingerprints.add(fingerprint, n)
    ends = [manifest.ended for manifest in manifests if manifest.ended]
    return replace(
        first,
        started=min(manifest.started for manifest in manifests),
        ended=max(ends) if len(ends) == len(manifests) else None,
        complete=False,
        servers=servers,
        system_fingerprints=fingerprints.onto({}),
        families=families,
        files=tuple(_whole(file) for file in first.files),
        bootcamps=origins(verifiers),
        identity={**first.identity, SHARD: None, VERIFIERS: as_written(verifiers)},
    )
