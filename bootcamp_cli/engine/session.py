"""A run directory in use: new or resumed, locked, replayed, described by its manifest."""

import math
import platform
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replace_settings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from msgspec.structs import replace

from bootcamp_cli import __version__
from bootcamp_cli.dataset.files import Fetched
from bootcamp_cli.dataset.scan import TestFile, digest_of_prefix
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.identity import (
    VERIFIERS,
    Verifiers,
    answer_differences,
    as_written,
    described,
    identity_of,
    merged,
    shown,
    unknown_versions,
    verifier_changes,
    verifiers_of,
)
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.engine.redo import Chosen, Selection, choose, redo_of
from bootcamp_cli.errors import DatasetError, ResumeRefusedError, RunDirectoryError, UsageError
from bootcamp_cli.server.provenance import Fingerprints, with_server
from bootcamp_cli.settings.model import AUTO, Settings, parameters
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.store.atomic import replace_json
from bootcamp_cli.store.journal import OWED, DetailIndex, Journal, RunRows, open_journal, rows_by_file
from bootcamp_cli.store.lock import RunLock, acquire
from bootcamp_cli.store.records import damaged
from bootcamp_cli.store.run_dir import (
    RunDir,
    age_key,
    create_run_dir,
    readable_runs,
    remove_if_empty,
    remove_if_unanswered,
)
from bootcamp_cli.text import counted, listed
from bootcamp_cli.types import (
    TO_BE_VERIFIED,
    Manifest,
    ManifestFile,
    ManifestTemplate,
    Sample,
    ServerInfo,
    ToolInfo,
)

if TYPE_CHECKING:
    from bootcamp_cli.analysis.summary import RunSummary

SCHEMA = 1

_T = TypeVar("_T")

_MAX_NAMED = 5

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
        return self.plan.n_samples_of(file) - self.journal.details[file.name].n_answered

    def n_unverified(self, file: TestFile) -> int:
        """Samples of a test file whose kept output is to be verified."""
        return self.journal.details[file.name].n_unverified

    @property
    def n_owed(self) -> int:
        """Samples that this run still has to send or to verify."""
        return sum(self.n_unanswered(file) + self.n_unverified(file) for file in self.plan.test_set.files)

    def owed(self, file: TestFile, among: Callable[[int, int], bool] | None = None) -> Iterator[Sample]:
        """The samples of a test file that have no record; the others are never requested again.

        `among` tells of a (row, repeat) whether it is wanted; by default all are.
        """
        index, redo = self.journal.details[file.name], self.plan.redo_of
        only = None if redo is None else frozenset(redo.samples.get(file.name, ()))

        def skip(row: int, repeat: int) -> bool:
            if index.state(row, repeat) != OWED or (among is not None and not among(row, repeat)):
                return True
            return only is not None and (row, repeat) not in only

        return iter_samples(file, n_repeats=self.plan.n_repeats, skip=skip)

    def choose(self, selection: Selection) -> Chosen:
        """The samples that a selection names; nothing is changed."""
        return choose(self.run_dir, rows_by_file(self.manifest), selection)

    def set_aside(self, chosen: Chosen) -> int:
        """Set the records of these samples aside, so that they are owed again; gives the number of samples with one."""
        rows, n_set_aside = rows_by_file(self.manifest), 0
        for file, samples in chosen.items():
            state = self.journal.details[file].state
            if n := sum(state(*sample) != OWED for sample in samples):
                self.journal.set_aside(file, samples, rows[file])
                n_set_aside += n
        return n_set_aside

    def begin(self) -> None:
        """Write down what the run is made of: before its first request, but not before the server was reached."""
        replace_json(self.run_dir.eval_args, to_eval_args(self.plan.settings), self.journal.lock.check)
        self.run_dir.write_manifest(self._described(), self.journal.lock.check)

    def _described(self) -> Manifest:
        """The manifest with the families that the bootcamps of this session name."""
        return replace(self.manifest, families={**self.manifest.families, **self.plan.families})

    def settle(self) -> None:
        """Put the details in order, and keep only the failures of samples that still have no record."""
        for file in self.journal.details:
            self.journal.put_in_order(file)
        self.journal.settle_failures()

    def end(self, summary: "RunSummary | None" = None) -> None:
        """Write the end into the manifest, last of all: a complete run has left everything behind.

        `summary` is that of all records; None where the run ends early, without reports: it is not complete then, even
        if nothing is owed.
        """
        servers = self.manifest.servers
        for info in self.servers:
            servers = with_server(servers, info)
        manifest = replace(
            self._described(),
            ended=_now(),
            complete=summary is not None and not self.n_owed,
            servers=servers,
            system_fingerprints=self.fingerprints.onto(self.manifest.system_fingerprints),
            tokens=summary and summary.tokens,
            effort=summary and summary.effort,
        )
        self.run_dir.write_manifest(manifest, self.journal.lock.check)


@asynccontextmanager
async def in_thread(manager: AbstractContextManager[_T]) -> AsyncIterator[_T]:
    """Enter and leave a context manager that blocks in a thread; it is left even where the task is cancelled."""
    value = await anyio.to_thread.run_sync(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(manager.__exit__, type(error), error, error.__traceback__)
        raise
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(manager.__exit__, None, None, None)


@contextmanager
def new_session(
    plan: Plan,
    model_entry: dict[str, Any] | None,
    notify: Notify,
    *,
    came_to_nothing: tuple[type[BaseException], ...] = (),
) -> Iterator[Session]:
    """Make a run directory for a plan, lock it and write down what the run is made of.

    Where it ends by one of the errors `came_to_nothing` before anything was answered, it is removed again.
    """
    plan = plan.with_repeats(plan.n_repeats).with_bos("keep")
    settings, first = plan.settings, plan.test_set.inputs[0]
    run_dir = create_run_dir(
        settings.output_dir,
        model_name=settings.model_name or "model",
        test_dir=first.place if isinstance(first, Fetched) else first,
        now=datetime.now().astimezone(),
        redo_of=plan.redo_of.run if plan.redo_of else None,
    )
    try:
        lock = acquire(run_dir.path, notify=notify)
    except BaseException:
        remove_if_empty(run_dir)
        raise
    try:
        with lock:
            manifest = manifest_of(plan, model_entry)
            rows = rows_by_file(manifest)
            session = Session(
                plan=plan, run_dir=run_dir, journal=open_journal(run_dir, lock, rows, rows), manifest=manifest
            )
            session.begin()
            yield session
    except came_to_nothing:
        remove_if_unanswered(run_dir)
        raise


@contextmanager
def resumed_session(plan: Plan, run_dir: RunDir, notify: Notify) -> Iterator[Session]:
    """Lock a run directory and replay its journal; the plan's test set must be the run's, possibly with rows appended.

    A plan that asks each question more often than the run did extends it; one that does not say how often takes the
    run's number. Nothing is written down before `begin`.

    Raises:
        ResumeRefusedError: the test files, what decides the answers, or the verifiers are not those of the run.
        RunDirectoryError: it holds records that do not belong to the run's rows; nothing was changed.
        RunLockedError: a live process writes to it.
    """
    with acquire(run_dir.path, notify=notify) as lock:
        manifest = run_dir.read_manifest()
        if manifest is None:
            raise RunDirectoryError(
                f"{run_dir.path} has no manifest.json and cannot be resumed", hint="start a new run"
            )
        plan = plan.beside(identity_of(manifest))
        _check_answers(plan, manifest, run_dir)
        _check_files(plan, manifest.files)
        verifiers = _checked_verifiers(plan, manifest, run_dir, notify)
        plan = plan.with_repeats(_repeats(plan, manifest, run_dir))
        manifest = replace(
            manifest,
            files=_files(plan),
            identity={**plan.identity(), VERIFIERS: as_written(verifiers)},
            bootcamps=origins(verifiers),
            repeats=plan.n_repeats,
            complete=False,
            tokens=None,
            effort=None,
        )
        rows = rows_by_file(manifest)
        _check_foreign(run_dir, rows)
        journal = open_journal(run_dir, lock, rows, rows)
        for file in plan.test_set.files:
            if rows[file.name].n_rows is None and journal.details[file.name].places:
                _check_rows(file, journal.details[file.name])
        yield Session(plan=plan, run_dir=run_dir, journal=journal, manifest=manifest)


def _repeats(plan: Plan, manifest: Manifest, run_dir: RunDir) -> int:
    """How often the run asks each question from here on."""
    wanted = plan.settings.repeats
    if wanted is not None and wanted < manifest.repeats:
        raise ResumeRefusedError(
            f"--repeats: {run_dir.path} has {manifest.repeats}, which is more than {wanted}",
            hint="leave it out to continue the run, or start a new run with `bootcamp eval`",
        )
    if wanted is not None and wanted > manifest.repeats and manifest.redo_of is not None:
        raise ResumeRefusedError(
            f"--repeats: {run_dir.path} only redoes samples of {manifest.redo_of.run}",
            hint="extend that run, or leave it out to continue this one",
        )
    return wanted or manifest.repeats


def asks_for_more(plan: Plan, run_dir: RunDir) -> bool:
    """Whether a plan that continues a run wants longer answers than it.

    Raises:
        ResumeRefusedError: it wants shorter ones.
    """
    manifest = run_dir.read_manifest()
    wanted = plan.settings.max_tokens
    before = (manifest and identity_of(manifest)["max_tokens"]) or wanted
    if _most_tokens(wanted) < _most_tokens(before):
        raise ResumeRefusedError(
            f"--max-tokens: {wanted} is less than the run's {before}",
            hint="redo with the run's own, or with a larger one",
        )
    return _most_tokens(wanted) > _most_tokens(before)


def _most_tokens(max_tokens: Any) -> float:
    """A limit as a number: auto, which is all that the context leaves, is above all others."""
    return math.inf if max_tokens == AUTO else float(max_tokens)


def plan_redo(plan: Plan, run_dir: RunDir, selection: Selection) -> Plan:
    """The plan of a run beside another, of the samples of that which a selection names, with longer answers.

    Raises:
        ResumeRefusedError: the test files, or what else decides the answers, are not those of the run.
        UsageError: the selection names no sample.
    """
    manifest = run_dir.read_manifest()
    if manifest is None:
        raise ResumeRefusedError(f"{run_dir.path} has no manifest.json and cannot be redone", hint="start a new run")
    if _repeats(plan, manifest, run_dir) != manifest.repeats:
        raise ResumeRefusedError(
            f"--repeats: {run_dir.path} has {manifest.repeats}, fewer than {plan.settings.repeats}, "
            "and only what it has is redone",
            hint="leave it out, or extend the run first",
        )
    before = identity_of(manifest)
    plan = plan.beside(before)
    _check_answers(plan, replace(manifest, identity=before | {"max_tokens": plan.settings.max_tokens}), run_dir)
    _check_files(plan, manifest.files)
    chosen = choose(run_dir, rows_by_file(manifest), selection)
    if not chosen:
        raise UsageError(
            f"{run_dir.path}: no sample is {' or '.join(selection.words)}", hint="there is nothing to redo"
        )
    settings = replace_settings(plan.settings, repeats=manifest.repeats, output_dir=run_dir.path.resolve().parent)
    return replace_settings(plan, settings=settings, redo_of=redo_of(run_dir, selection, chosen))


def begin_rescoring(run_dir: RunDir, lock: RunLock) -> None:
    """Write down that the scores are about to be replaced, file by file: until the end they may be of two verifiers."""
    if (manifest := run_dir.read_manifest()) is not None:
        run_dir.write_manifest(replace(manifest, rescoring=True), lock.check)


def end_rescoring(
    run_dir: RunDir, settings: Settings, verifiers: Verifiers, summary: "RunSummary", lock: RunLock
) -> None:
    """Write down by what a run is scored from here on, and whether anything is still owed."""
    manifest = run_dir.read_manifest()
    if manifest is None:
        return
    if (args := run_dir.read_eval_args()) is not None:
        stored = to_eval_args(settings)
        args |= {
            parameter.name: stored[parameter.name] for parameter in parameters() if parameter.param.decides == "scores"
        }
        replace_json(run_dir.eval_args, args, lock.check)
    scored_by = {**verifiers_of(manifest, run_dir), **verifiers}
    n_unverified = sum(n for kind, n in summary.unverified.items() if kind in TO_BE_VERIFIED)
    changed = replace(
        manifest,
        complete=summary.n_answered == summary.n_samples and not n_unverified,
        rescoring=False,
        bootcamps=origins(scored_by),
        identity={**manifest.identity, VERIFIERS: as_written(scored_by)},
    )
    run_dir.write_manifest(changed, lock.check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier run under output_dir: what decides its answers otherwise than a plan says, by key and in words.

    `plan` is that plan as it would continue the run.
    """

    plan: Plan
    run_dir: RunDir
    manifest: Manifest
    differences: tuple[str, ...]
    described: str


def nearest_run(plan: Plan, *, most: int | None = None) -> Earlier | None:
    """The run under output_dir, finished or not, that is most alike, of equally alike ones the newest.

    `most` of the most recently changed directories are looked into, or all. Where a run is to be continued, one that
    drew its questions is the same although rows were appended to its test files since.
    """
    nearest: Earlier | None = None
    best: tuple[int, tuple[str, str]] | None = None
    for run_dir, manifest in readable_runs(plan.settings.output_dir, most=most, to_continue=True):
        before = identity_of(manifest)
        ours = plan
        after = plan.beside(before).identity()
        keys = tuple(answer_differences(before, after))
        if keys == ("files",) and plan.settings.resume and _has_grown(plan, manifest):
            ours = plan.as_started(manifest.files)
            after = ours.beside(before).identity()
            keys = tuple(answer_differences(before, after))
        rank = -len(keys), age_key(run_dir, manifest)
        if best is None or rank > best:
            words = described(keys, before, after)
            nearest = Earlier(plan=ours, run_dir=run_dir, manifest=manifest, differences=keys, described=words)
            best = rank
    return nearest


def _has_grown(plan: Plan, manifest: Manifest) -> bool:
    """Whether the test files are those of a run that drew its questions, some of them with rows appended since."""
    current = {file.name: file for file in plan.test_set.files}
    if plan.settings.sample is None or current.keys() != {entry.name for entry in manifest.files}:
        return False
    return all(_holds(current[entry.name], entry) for entry in manifest.files)


def _holds(file: TestFile, entry: ManifestFile) -> bool:
    """Whether a test file is as it was when a run started, or has only rows appended; a compressed one has none."""
    if file.digest == entry.digest:
        return True
    if file.is_compressed:
        return False
    try:
        return digest_of_prefix(file.path, entry.size_bytes) == entry.digest
    except DatasetError:
        return False


def manifest_of(plan: Plan, model_entry: dict[str, Any] | None = None) -> Manifest:
    """The manifest of a run that is about to begin; `model_entry` is the server's entry of the model."""
    machine = platform.uname()  # platform.platform() starts a process, which would inherit the key
    return Manifest(
        schema=SCHEMA,
        tool=ToolInfo(name="bootcamp", version=__version__),
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=f"{machine.system}-{machine.release}-{machine.machine}",
        started=_now(),
        ended=None,
        complete=False,
        repeats=plan.n_repeats,
        redo_of=plan.redo_of,
        model=model_entry,
        template=ManifestTemplate(
            name=plan.template.name,
            text=plan.template.text,
            stop=plan.template.stop,
            system_prompt=plan.template.system_prompt,
            bos=plan.template.bos,
            used=plan.prompt_template is not None,
        ),
        sys_prompt=plan.generation.sys_prompt,
        bootcamps=origins(plan.verifiers),
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
            n_drawn_from=file.n_drawn_from,
            in_shard=file.in_shard,
        )
        for file in plan.test_set.files
    )


def origins(verifiers: Verifiers) -> dict[str, str | None]:
    """Where the verifier of each data source comes from, as the manifest has it beside the identity."""
    return {name: version.origin if version else None for name, version in verifiers.items()}


def _check_answers(plan: Plan, manifest: Manifest, run_dir: RunDir) -> None:
    """Refuse to continue where something that decides the answers has changed since the start of the run."""
    before, after = identity_of(manifest), plan.identity()
    for name in answer_differences(before, after):
        if name != "files":
            place = run_dir.manifest if name in ("template_text", "sys_prompt") else run_dir.eval_args
            raise ResumeRefusedError(
                f"{place}: {name} is {shown(after.get(name))}, the run has {shown(before.get(name))}",
                hint="restore it, or start a new run with `bootcamp eval`",
            )


def _checked_verifiers(plan: Plan, manifest: Manifest, run_dir: RunDir, notify: Notify) -> Verifiers:
    """The verifiers of the run, as before and from here on; refuses others than those that scored it so far."""
    rescore = f"`bootcamp rescore {shlex.quote(str(run_dir.path))}`"
    if manifest.rescoring:
        raise ResumeRefusedError(
            f"{run_dir.path}: a rescore was cut off, and its scores are of two kinds",
            hint=f"run {rescore} to its end, then resume",
        )
    before = verifiers_of(manifest, run_dir)
    if changes := verifier_changes(before, plan.verifiers):
        raise ResumeRefusedError(
            f"{run_dir.path} was scored by other verifiers: {listed([*map(str, changes)], _MAX_NAMED)}",
            hint=f"continue with the run's own, or verify all of it by the present ones with {rescore}, then resume",
        )
    if unknown := unknown_versions(before, plan.verifiers):
        named = counted(len(unknown), "verifier")
        notify(f"{run_dir.path} does not tell the versions of {named}: the present ones are assumed")
    return merged(before, plan.verifiers)


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
        if file.digest != entry.digest and (not _holds(file, entry) or file.id_rule != entry.id_rule):
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
    held = {index.sample(position)[0] for position in range(len(index.places))}
    taken = {sample.row for sample in iter_samples(file, skip=lambda row, _: row not in held)}
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
