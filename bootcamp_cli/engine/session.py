"""A run directory in use: new or resumed, locked, replayed, described by its manifest."""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from bootcamp_cli import __version__
from bootcamp_cli.analysis.summary import RunSummary
from bootcamp_cli.dataset.scan import TestFile, digest_of_prefix
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.plan import Plan, identity_differences
from bootcamp_cli.errors import DatasetError, ResumeRefusedError, RunDirectoryError
from bootcamp_cli.server.provenance import Fingerprints, with_server
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.store.atomic import replace_json
from bootcamp_cli.store.journal import OWED, DetailIndex, Journal, RunRows, open_journal, rows_by_file
from bootcamp_cli.store.lock import RunLock, acquire
from bootcamp_cli.store.records import damaged
from bootcamp_cli.store.run_dir import RunDir, create_run_dir, run_dirs_newest_first
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import (
    PENDING_FAILURES,
    Manifest,
    ManifestFile,
    ManifestTemplate,
    ServerInfo,
    TokenTotals,
    ToolInfo,
)

SCHEMA = 1

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A locked run directory with its journal replayed."""

    plan: Plan
    run_dir: RunDir
    journal: Journal
    manifest: Manifest
    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    servers: list[ServerInfo] = field(default_factory=list)

    def n_unanswered(self, file: TestFile) -> int:
        """Samples of a test file that have no record."""
        return file.n_rows - self.journal.details[file.name].n_answered

    def n_pending(self, file: TestFile) -> int:
        """Samples of a test file whose kept output is to be verified."""
        return self.journal.details[file.name].n_pending

    @property
    def n_owed(self) -> int:
        """Samples that this run still has to send or to verify."""
        return sum(self.n_unanswered(file) + self.n_pending(file) for file in self.plan.test_set.files)

    def has_record(self, file: TestFile, row: int) -> bool:
        """Whether a row is answered; if so, it is never requested again."""
        return self.journal.details[file.name].state(row) != OWED

    def begin(self) -> None:
        """Write down what the run is made of: before its first request, but not before the server was reached."""
        replace_json(self.run_dir.eval_args, to_eval_args(self.plan.settings), self.journal.lock.check)
        self.run_dir.write_manifest(self.manifest, self.journal.lock.check)

    def settle(self) -> None:
        """Put the details in order, and keep only the failures of samples that still have no record."""
        for file in self.journal.details:
            self.journal.put_in_order(file)
        self.journal.settle_failures()

    def end(self, tokens: TokenTotals | None = None) -> None:
        """Write the end into the manifest, last of all: a complete run has left everything behind.

        `tokens` are those of all records; None where the run ends early and they are not known.
        """
        servers = self.manifest.servers
        for info in self.servers:
            servers = with_server(servers, info)
        manifest = replace(
            self.manifest,
            ended=_now(),
            complete=not self.n_owed,
            servers=servers,
            system_fingerprints=self.fingerprints.onto(self.manifest.system_fingerprints),
            tokens=tokens,
        )
        self.run_dir.write_manifest(manifest, self.journal.lock.check)


@contextmanager
def new_session(plan: Plan, model_entry: dict[str, Any] | None, notify: Notify) -> Iterator[Session]:
    """Make a run directory for a plan, lock it and write down what the run is made of."""
    settings = plan.settings
    run_dir = create_run_dir(
        settings.output_dir,
        model_name=settings.model_name or "model",
        test_dir=plan.test_set.directory,
        now=datetime.now().astimezone(),
    )
    with acquire(run_dir.path, notify=notify) as lock:
        journal = open_journal(run_dir, lock, [file.name for file in plan.test_set.files])
        session = Session(plan=plan, run_dir=run_dir, journal=journal, manifest=_manifest(plan, model_entry))
        session.begin()
        yield session


@contextmanager
def resumed_session(plan: Plan, run_dir: RunDir, notify: Notify) -> Iterator[Session]:
    """Lock a run directory and replay its journal; the plan's test set must be the run's, possibly with rows appended.

    Nothing is written down before `begin`.

    Raises:
        ResumeRefusedError: the test files or what decides the answers are not those of the run.
        RunDirectoryError: it holds records that do not belong to the run's rows; nothing was changed.
        RunLockedError: a live process writes to it.
    """
    with acquire(run_dir.path, notify=notify) as lock:
        manifest = run_dir.read_manifest()
        if manifest is None:
            raise RunDirectoryError(
                f"{run_dir.path} has no manifest.json and cannot be resumed", hint="start a new run"
            )
        _check_identity(plan, manifest, run_dir)
        _check_files(plan, manifest.files)
        manifest = replace(manifest, files=_files(plan), identity=plan.identity(), complete=False, tokens=None)
        rows = rows_by_file(manifest)
        _check_foreign(run_dir, rows)
        journal = open_journal(run_dir, lock, rows, rows)
        for file in plan.test_set.files:
            if rows[file.name].n_rows is None and journal.details[file.name].places:
                _check_rows(file, journal.details[file.name])
        yield Session(plan=plan, run_dir=run_dir, journal=journal, manifest=manifest)


def restate_completeness(run_dir: RunDir, summary: RunSummary, lock: RunLock) -> None:
    """Update whether the manifest says that anything is owed, after records were replaced outside a session."""
    manifest = run_dir.read_manifest()
    if manifest is None:
        return
    n_pending = sum(n for kind, n in summary.unverified.items() if kind in PENDING_FAILURES)
    complete = summary.n_answered == summary.n_samples and not n_pending
    if manifest.complete is not complete:
        run_dir.write_manifest(replace(manifest, complete=complete), lock.check)


def find_matching(plan: Plan) -> RunDir | None:
    """The newest run directory under output_dir whose answers this plan would give again, finished or not."""
    identity = plan.identity()
    for run_dir in run_dirs_newest_first(plan.settings.output_dir):
        manifest = run_dir.read_manifest()
        if manifest is not None and not identity_differences(manifest.identity, identity):
            return run_dir
    return None


def _manifest(plan: Plan, model_entry: dict[str, Any] | None) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        tool=ToolInfo(name="bootcamp", version=__version__),
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=platform.platform(),
        started=_now(),
        ended=None,
        complete=False,
        model=model_entry,
        template=ManifestTemplate(
            name=plan.template.name,
            text=plan.template.text,
            stop=plan.template.stop,
            system_prompt=plan.template.system_prompt,
            used=plan.prompt_template is not None,
        ),
        sys_prompt=plan.generation.sys_prompt,
        bootcamps={name: ref.origin if ref else None for name, ref in plan.refs.items()},
        files=_files(plan),
        identity=plan.identity(),
    )


def _files(plan: Plan) -> tuple[ManifestFile, ...]:
    return tuple(
        ManifestFile(
            name=file.name,
            digest=file.digest,
            size_bytes=file.size_bytes,
            n_rows=file.n_rows,
            n_invalid=file.n_invalid,
            id_rule=file.id_rule,
            data_sources=file.data_sources,
        )
        for file in plan.test_set.files
    )


def _check_identity(plan: Plan, manifest: Manifest, run_dir: RunDir) -> None:
    """Refuse to continue where something that decides the answers has changed since the start of the run."""
    before, after = manifest.identity, plan.identity()
    for name in identity_differences(before, after):
        if name != "files":
            place = run_dir.manifest if name in ("template_text", "sys_prompt") else run_dir.eval_args
            raise ResumeRefusedError(
                f"{place}: {name} is {_shown(after.get(name))}, the run has {_shown(before.get(name))}",
                hint="restore it, or start a new run with `bootcamp eval`",
            )


def _shown(value: Any) -> str:
    return "none" if value is None else shortened(json.dumps(value, ensure_ascii=False), MAX_VALUE_CHARS)


def _check_files(plan: Plan, files: Sequence[ManifestFile]) -> None:
    """Refuse test files that are not the run's; rows that were merely appended are owed as well."""
    current = {file.name: file for file in plan.test_set.files}
    known = {entry.name for entry in files}
    if extra := sorted(current.keys() - known):
        raise _other_data(f"{extra[0]} was not part of the run")
    for entry in files:
        file = current.get(entry.name)
        if file is None:
            raise _other_data(f"{entry.name} is missing")
        if file.digest == entry.digest:
            continue
        try:
            appended = digest_of_prefix(file.path, entry.size_bytes) == entry.digest
        except DatasetError:
            appended = False
        if not appended or file.id_rule != entry.id_rule:
            raise _other_data(f"{entry.name} changed since the run started")


def _check_foreign(run_dir: RunDir, rows: Mapping[str, RunRows]) -> None:
    """Refuse details files that belong to no test file of the run."""
    if foreign := [path.name for path in run_dir.detail_files() if path.name not in rows]:
        raise RunDirectoryError(
            f"details/{foreign[0]} does not belong to any test file of this run",
            hint="move it elsewhere; nothing was changed",
        )


def _check_rows(file: TestFile, index: DetailIndex) -> None:
    """Refuse records of rows that the run leaves out; only the test file tells which rows these are."""
    taken = {sample.row for sample in iter_samples(file, skip=lambda row: index.state(row) == OWED)}
    for position in range(len(index.places)):
        row, _ = index.sample(position)
        if row not in taken:
            raise damaged(file.path, position + 1, f"row {row} does not belong to this run, which leaves it out")


def _other_data(what: str) -> ResumeRefusedError:
    return ResumeRefusedError(
        f"test dir: {what}",
        hint="restore it, give the same data with --test-dir, or start a new run (appending rows is fine)",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
