"""The questions of a run directory with the scores of their repeats, as they are compared and averaged.

Read in one pass over the details of a run, whoever wrote it; of texts only digests are kept.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from bootcamp_cli.analysis.compare import AskedOnce, Question, QuestionScores, collect_scores, halves
from bootcamp_cli.bootcamps.registry import family_of
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.journal import RunRows
from bootcamp_cli.store.records import HeadLine, RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import MAX_ROW, TO_BE_VERIFIED, decode


def read_scores(run_dirs: Mapping[str, RunDir], *, threshold: float = 1.0) -> list[QuestionScores]:
    """The questions of each of several runs, by the name to give it; a score is right from `threshold` on.

    Questions of which a run has no record yet are completed as far as the test files are known to be the same: from
    the records of the others, else without the prompt.

    Raises:
        RunDirectoryError: the details of a run cannot be read.
    """
    read = [_Reading(run_dir) for run_dir in run_dirs.values()]
    scores = [
        replace(
            collect_scores(name, reading.parts(), threshold=threshold),
            unverifiable=reading.unverifiable(),
        )
        for name, reading in zip(run_dirs, read, strict=True)
    ]
    return _completed(scores, [reading.plan() for reading in read])


def read_halves(run_dir: RunDir, names: tuple[str, str], *, threshold: float = 1.0) -> list[QuestionScores]:
    """The even and the odd repeats of a run, as two runs.

    Raises:
        RunDirectoryError: the details of the run cannot be read.
    """
    parts = []
    for half, name in enumerate(names):
        reading = _Reading(run_dir)
        questions = (pair[half] for pair in halves(reading.questions()))
        scores = collect_scores(name, questions, threshold=threshold)
        parts.append(replace(scores, unverifiable=reading.unverifiable()))
    return parts


def read_questions(run_dir: RunDir) -> Iterator[Question]:
    """The questions of which a run has a record, in the order of file and row.

    Raises:
        RunDirectoryError: the details of the run cannot be read.
    """
    return _Reading(run_dir).questions()


class _QuestionHead(RecordHead, frozen=True, kw_only=True, gc=False):
    prompt: Raw | UnsetType = UNSET


class _Reading:
    """One pass over the details of a run."""

    def __init__(self, run_dir: RunDir) -> None:
        self._details = RunDetails(run_dir)
        self._manifest = self._details.manifest
        self._n_by_source: Counter[str] = Counter()
        self._n_unscored: Counter[str] = Counter()

    def questions(self) -> Iterator[Question]:
        """The questions of which there is a record."""
        for part in self.parts():
            if isinstance(part, AskedOnce):
                yield from part.questions()
            else:
                yield part

    def parts(self) -> Iterator[Question | AskedOnce]:
        """The same, those of a file at once where each was asked once."""
        rows = self._details.rows
        for path in self._details.files()[0]:
            owed = None if rows is None else rows[path.name]
            yield from self._of_file(path.name, path.stem, self._details.heads(path, _QuestionHead), owed)

    def unverifiable(self) -> frozenset[str]:
        """The data sources none of whose answers had a bootcamp, once all questions were read."""
        return frozenset(name for name, n in self._n_by_source.items() if self._n_unscored[name] == n)

    def plan(self) -> "_Plan":
        """What the run owes."""
        if self._manifest is None or self._details.rows is None:
            return _Plan()
        selection = {key: self._manifest.identity.get(key) for key in ("include", "exclude", "limit")}
        return _Plan(
            repeats=self._manifest.repeats,
            families=self._manifest.families,
            selection=selection,
            files={
                file.name: _PlannedFile(
                    digest=file.digest,
                    n_rows=self._details.rows[file.name].n_rows,
                    counts=dict(file.taken),
                    shard_rows=self._details.rows[file.name].shard_rows,
                )
                for file in self._manifest.files
                if self._manifest.redo_of is None
            },
            failures=_last_failures(self._details),
        )

    def _of_file(
        self, file: str, stem: str, lines: Iterable[HeadLine], owed: RunRows | None
    ) -> Iterator[Question | AskedOnce]:
        """The questions of one details file, whose records may come in any order: some 50 bytes for each."""
        rows, repeats, scores, codes = array("q"), array("q"), array("d"), array("q")
        flags, digests = bytearray(), bytearray()
        names: dict[str, int] = {}
        last: tuple[int, str] | None = None
        digest = b""
        for number, _, head in lines:
            row = number - 1 if head.row is None or not 0 <= head.row < MAX_ROW else head.row
            name = stem if head.data_source is None else head.data_source
            if last != (row, name):
                digest, last = _digest_of(head), (row, name)
            rows.append(row)
            repeats.append(head.repeat)
            codes.append(names.setdefault(name, len(names)))
            digests += digest
            if isinstance(head.score, float):
                scores.append(head.score)
                flags.append(0)
            else:
                scores.append(math.nan)
                failure = head.failure or "unscored"
                flags.append(_UNSCORED if failure == "unscored" else _PENDING if failure in TO_BE_VERIFIED else 0)
        by_code = list(names)
        own = self._manifest.families if self._manifest is not None else {}
        families = [family_of(name, own.get(name)) for name in by_code]
        self._count(by_code, _view(codes), np.frombuffer(flags, np.uint8))
        order = np.lexsort((_view(repeats), _view(codes), _view(rows)))

        ordered_rows, ordered_codes = _view(rows)[order], _view(codes)[order]
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (np.diff(ordered_rows) != 0) | (np.diff(ordered_codes) != 0)
        if is_first.all() and (owed is None or (owed.n_repeats == 1 and owed.samples is None)):
            yield AskedOnce(
                file=file,
                names=by_code,
                families=families,
                source=ordered_codes,
                row=ordered_rows,
                digests=np.frombuffer(digests, np.uint64).reshape(-1, 3)[order],
                score=np.frombuffer(scores, np.float64)[order],
            )
            return
        starts = np.flatnonzero(is_first).tolist()
        places = order.tolist()
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            group = places[start:end]
            row = rows[group[0]]
            i = group[0]
            yield Question(
                data_source=by_code[codes[i]],
                family=families[codes[i]],
                prompt=bytes(digests[24 * i : 24 * i + 16]),
                ground_truth=bytes(digests[24 * i + 16 : 24 * i + 24]),
                file=file,
                row=row,
                scores=_scores(group, row, owed, repeats=repeats, scores=scores, flags=flags),
            )

    def _count(self, names: Sequence[str], codes: Any, flags: Any) -> None:
        """Count the records of each data source, and those that no bootcamp scored."""
        n, n_unscored = (np.bincount(part, minlength=len(names)) for part in (codes, codes[flags == _UNSCORED]))
        self._n_by_source.update(dict(zip(names, n.tolist(), strict=True)))
        self._n_unscored.update(dict(zip(names, n_unscored.tolist(), strict=True)))


_PENDING, _UNSCORED = 1, 2


def _view(values: "array[int]") -> Any:
    return np.frombuffer(values, np.int64)


def _scores(
    group: Sequence[int],
    row: int,
    owed: RunRows | None,
    *,
    repeats: "array[int]",
    scores: "array[float]",
    flags: bytearray,
) -> list[float | None]:
    """The scores of a question by repeat, None for what lacks one; a record that was pending gives way to a later one.

    Where nothing tells how many repeats are owed, there is one score for each record.
    """
    latest: dict[int, float] = {}
    further: list[float] = []
    pending = set[int]()
    for i in group:
        repeat = repeats[i]
        if repeat in latest and repeat not in pending:
            further.append(scores[i])
            continue
        latest[repeat] = scores[i]
        (pending.add if flags[i] == _PENDING else pending.discard)(repeat)
    if owed is not None:
        planned = range(owed.n_repeats)
        if owed.samples is not None:
            planned = [repeat for repeat in planned if (row, repeat) in owed.samples]  # type: ignore[assignment]
        found = [latest.get(repeat, math.nan) for repeat in planned]
    else:
        found = [*latest.values(), *further]
    return [None if score != score else score for score in found]  # noqa: PLR0124 - NaN


def _digest_of(head: Any) -> bytes:
    """16 bytes of the prompt's digest and 8 of the ground truth's, both as values, however they were written."""
    prompt = _canonical(head.prompt)
    return blake2b(prompt, digest_size=16).digest() + blake2b(_canonical(head.ground_truth), digest_size=8).digest()


_encoder = msgspec.json.Encoder(order="sorted")


def _canonical(raw: Raw | UnsetType) -> bytes:
    """A JSON value in one spelling; what cannot be read stands for itself."""
    if not isinstance(raw, Raw):
        return b""
    written = bytes(raw)
    if written.startswith(b'"') and b"\\u" not in written and b"\\/" not in written:
        return written  # no other text can be spelled in another way than the encoder's
    try:
        return _encoder.encode(decode(written))
    except (ValueError, TypeError, RecursionError):
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedFile:
    """A test file of which a run takes so many rows of each data source, the first `n_rows` where that is known.

    Of these, a shard takes only `shard_rows`.
    """

    digest: str
    n_rows: int | None
    counts: Mapping[str, int]
    shard_rows: range | None = None

    def may_take(self, row: int) -> bool:
        """Whether nothing is known by which the run leaves a row out."""
        return (self.n_rows is None or row < self.n_rows) and (self.shard_rows is None or row in self.shard_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a run owes; nothing is known of those that this tool did not make, or that redo samples of others."""

    repeats: int = 1
    families: Mapping[str, str] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, _PlannedFile] = field(default_factory=dict)
    failures: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def _last_failures(details: RunDetails) -> dict[str, dict[int, str]]:
    """The data source of each row that has a failure, by file."""
    found: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for failure in details.failures():
        if failure.data_source is not None:
            found[failure.file][failure.row] = failure.data_source
    return found


@dataclass(slots=True, kw_only=True)
class _Owed:
    """Questions without a record, to be added to a run."""

    file: str
    row: int
    data_source: str
    key: Any
    truth: Any


def _completed(scores: Sequence[QuestionScores], plans: Sequence[_Plan]) -> list[QuestionScores]:
    """The runs with the questions that they owe and have no record of."""
    lacking = [_lacking(run, plan) for run, plan in zip(scores, plans, strict=True)]
    result = []
    for me, (run, plan) in enumerate(zip(scores, plans, strict=True)):
        added: list[_Owed] = []
        for file, n in lacking[me].items():
            others = [other for other in range(len(scores)) if other != me]
            found = _found_elsewhere(file, run, plan, [(scores[other], plans[other]) for other in others], n)
            added += found + _unknown(file, run, plan, plans, found)
        result.append(_with(run, added, plan) if added else run)
    return result


def _lacking(run: QuestionScores, plan: _Plan) -> dict[str, int]:
    """How many questions of each test file a run has no record of."""
    found = np.bincount(run.file, minlength=len(run.files)) if len(run) else np.zeros(len(run.files), np.int64)
    by_file = dict(zip(run.files, found.tolist(), strict=True))
    lacking = {name: sum(file.counts.values()) - by_file.get(name, 0) for name, file in plan.files.items()}
    return {name: n for name, n in lacking.items() if n > 0}


def _rows_of(run: QuestionScores, file: str) -> dict[int, int]:
    """The places of the questions of a test file, by row."""
    if file not in run.files:
        return {}
    places = np.flatnonzero(run.file == run.files.index(file))
    return dict(zip(run.row[places].tolist(), places.tolist(), strict=True))


def _found_elsewhere(
    file: str, run: QuestionScores, plan: _Plan, others: Sequence[tuple[QuestionScores, _Plan]], n: int
) -> list[_Owed]:
    """The questions that another run of the same test file has."""
    mine, planned = _rows_of(run, file), plan.files[file]
    found: dict[int, _Owed] = {}
    for other, its_plan in others:
        theirs = its_plan.files.get(file)
        if theirs is None or theirs.digest != planned.digest:
            continue
        if planned.n_rows is None and its_plan.selection != plan.selection:
            continue
        for row, place in _rows_of(other, file).items():
            if row not in mine and row not in found and planned.may_take(row):
                found[row] = _Owed(
                    file=file,
                    row=row,
                    data_source=other.names[other.source[place]],
                    key=other.key[place],
                    truth=other.truth[place],
                )
    return [found[row] for row in sorted(found)][:n]


def _unknown(
    file: str, run: QuestionScores, plan: _Plan, plans: Sequence[_Plan], found: Sequence[_Owed]
) -> list[_Owed]:
    """The questions that no run has a record of; rows whose data source nothing tells get one that lacks questions."""
    planned = plan.files[file]
    mine = _rows_of(run, file)
    taken = {*mine, *(owed.row for owed in found)}
    left = Counter(planned.counts)
    left.subtract(run.names[run.source[place]] for place in mine.values())
    left.subtract(owed.data_source for owed in found)
    failed: dict[int, str] = {}
    for its_plan in plans:
        if file in its_plan.files and its_plan.files[file].digest == planned.digest:
            failed |= its_plan.failures.get(file, {})
    chosen: dict[int, str] = {}
    for row in sorted(failed.keys() - taken):
        if left[failed[row]] > 0:
            chosen[row] = failed[row]
            left[failed[row]] -= 1
    row = 0
    for data_source in planned.counts:
        for _ in range(left[data_source]):
            while row in taken or row in chosen:
                row += 1
            chosen[row] = data_source
    return [
        _Owed(
            file=file,
            row=row,
            data_source=data_source,
            key=np.frombuffer(blake2b(f"{planned.digest} {row}".encode(), digest_size=16).digest(), np.uint64),
            truth=np.uint64(0),
        )
        for row, data_source in chosen.items()
    ]


def _with(run: QuestionScores, added: Sequence[_Owed], plan: _Plan) -> QuestionScores:
    """The run with questions that have no score."""
    names = [*dict.fromkeys([*run.names, *(owed.data_source for owed in added)])]
    files = [*dict.fromkeys([*run.files, *(owed.file for owed in added)])]
    n, name_codes, file_codes = len(added), {x: i for i, x in enumerate(names)}, {x: i for i, x in enumerate(files)}
    source = np.concatenate([run.source, [name_codes[owed.data_source] for owed in added]])
    file = np.concatenate([run.file, [file_codes[owed.file] for owed in added]])
    row = np.concatenate([run.row, [owed.row for owed in added]])
    ranks = np.argsort(np.argsort(np.array(files, dtype=object)))
    order = np.lexsort((row, ranks[file]))
    none, zeros = np.zeros(n), np.zeros(n, dtype=np.int64)
    fine = np.ones(n, dtype=np.bool_)
    return replace(
        run,
        names=tuple(names),
        families=(*run.families, *(family_of(name, plan.families.get(name)) for name in names[len(run.names) :])),
        files=tuple(files),
        source=source[order],
        file=file[order],
        row=row[order],
        key=np.concatenate([run.key, np.array([owed.key for owed in added], dtype=np.uint64)])[order],
        truth=np.concatenate([run.truth, np.array([owed.truth for owed in added], dtype=np.uint64)])[order],
        total=np.concatenate([run.total, none])[order],
        n_scored=np.concatenate([run.n_scored, zeros])[order],
        n_missing=np.concatenate([run.n_missing, zeros + plan.repeats])[order],
        n_right=np.concatenate([run.n_right, zeros])[order],
        noise=np.concatenate([run.noise, np.full(n, np.nan)])[order],
        is_binary=np.concatenate([run.is_binary, fine])[order],
        is_bounded=np.concatenate([run.is_bounded, fine])[order],
    )
