"""The samples of a run directory to look at: found by what became of them, read one by one, searched, paired.

Nothing is loaded whole: a table of 60 bytes for each sample tells where it stands and what became of it, its texts are
read when it is shown. What is found is there while the index is still being made or the run still writes.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from bootcamp_cli.analysis.audit import Cause
from bootcamp_cli.analysis.compare import pair
from bootcamp_cli.analysis.questions import read_scores
from bootcamp_cli.analysis.summary import RIGHT_AT
from bootcamp_cli.bootcamps.registry import family_of
from bootcamp_cli.errors import BootcampError, RunDirectoryError, UsageError
from bootcamp_cli.store.details import RunDetails
from bootcamp_cli.store.journal import UNSCORED, UNVERIFIED
from bootcamp_cli.store.legacy import data_source_by_file, typed_record
from bootcamp_cli.store.records import ENDS, decode_record, foreign_parts
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.sample_index import Entries, FileIndex, Progress, SampleIndex, StoppedError, read_place
from bootcamp_cli.text import listed, visible
from bootcamp_cli.types import MAX_ROW, FailureRecord, Record, SampleKey, decode

Positions = npt.NDArray[np.intp]

_KEEP_S = 60
"""How often the index of a run that still writes is kept, and the data sources of one of run_eval.py are looked up."""


class Status(StrEnum):
    """What became of a sample, each counted once, as `summary.Account` counts them.

    `unscored` has no bootcamp, `unverified` waits for its verdict, `failed` has no answer.
    """

    RIGHT = "right"
    WRONG = "wrong"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    FILTERED = "filtered"
    UNSCORED = "unscored"
    UNVERIFIED = "unverified"
    FAILED = "failed"


def parsed_status(name: str) -> Status:
    """The status of a name.

    Raises:
        UsageError: there is none.
    """
    try:
        return Status(name)
    except ValueError:
        raise UsageError(f"status: no such status {name!r}", hint=f"it is one of {', '.join(Status)}") from None


STATUSES: tuple[Status, ...] = tuple(Status)


class PairKind(StrEnum):
    """How a question that two runs share came out: by whether most of its scored answers are right in each."""

    ONLY_A = "only_a"
    ONLY_B = "only_b"
    BOTH_WRONG = "both_wrong"
    BOTH_RIGHT = "both_right"


PAIR_KINDS: tuple[PairKind, ...] = tuple(PairKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which samples are wanted; what is None does not matter, the rest must all be so.

    `disagree`: the question has right and other answers among its scored ones. `pairs`: how its question came out in
    this run (A) and another.
    """

    status: Status | None = None
    file: str | None = None
    family: str | None = None
    data_source: str | None = None
    row: int | None = None
    repeat: int | None = None
    cause: Cause | None = None
    disagree: bool = False
    pairs: frozenset[PairKind] | None = None


class ShownSample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample with everything that is kept of it, as people look at it; None for what it lacks.

    `failure` is why there is no score, or no answer; `failure_message` what was said then. `is_half` marks a record
    that run_eval.py did not write to its end.
    """

    file: str
    row: int
    repeat: int
    id: Any
    data_source: str
    family: str
    status: str
    score: float | None = None
    failure: str | None = None
    failure_message: str | None = None
    cause: str | None = None
    finish_reason: str | None = None
    output_len: int | None = None
    output_len_estimated: bool = False
    attempts: int | None = None
    latency_s: float | None = None
    model: str | None = None
    prompt: str = ""
    reasoning_content: str | None = None
    output: str | None = None
    extracted_output: Any = None
    ground_truth: Any = None
    is_half: bool = False


class RunSamples:
    """The samples of a run directory, which may still be written to; `cache` is the folder where the index is kept.

    `refresh` reads, in a thread of its own if need be; `current` is what is known so far.
    """

    def __init__(self, run_dir: RunDir, cache: Path | None = None) -> None:
        self.run_dir = run_dir
        self._details = RunDetails(run_dir)
        self._manifest = self._details.manifest
        self._index = SampleIndex(run_dir.path.resolve(), foreign=self._manifest is None, cache=cache)
        self._failures: tuple[FailureRecord, ...] = ()
        self._data_sources: dict[str, str] = {}
        self._version = 0
        self._is_loaded = False
        self._is_kept, self._kept_at = True, 0.0
        self._made: tuple[tuple[int, int], float, Samples] | None = None
        self._refreshing, self._making = threading.Lock(), threading.Lock()
        self.is_complete = False

    def refresh(self, on_progress: Progress = lambda *_: None, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read what is new since the last time.

        Raises:
            RunDirectoryError: something cannot be read; the message names it.
            StoppedError: `stopped` said so.
        """
        with self._refreshing:
            if not self._is_loaded:
                self._index.load()
                self._is_loaded = True
            paths, _ = self._details.files()
            try:
                self._is_kept &= not self._index.refresh(paths, on_progress, stopped)
            except StoppedError:
                self._index.save()
                raise
            if not self.is_complete or (not self._is_kept and time.monotonic() - self._kept_at > _KEEP_S):
                if not self._is_kept:
                    self._index.save()
                if self._manifest is None:
                    self._data_sources = data_source_by_file(self.run_dir)
                    self._version += 1
                self._is_kept, self._kept_at = True, time.monotonic()
            failures = tuple({failure.key: failure for failure in self._details.failures()}.values())
            if failures != self._failures or not self.is_complete:
                self._failures = failures
                self._version += 1
            self.is_complete = True

    @property
    def current(self) -> "Samples":
        """The samples that are known so far; while they become more, once there are any at most once a second anew."""
        with self._making:
            version = (self._index.version, self._version)
            if self._made is not None:
                known, when, samples = self._made
                if known == version or (not self.is_complete and len(samples) and time.monotonic() - when < 1):
                    return samples
            samples = Samples(
                run_dir=self.run_dir,
                index=dict(self._index.files),
                names=list(self._index.names),
                failures=self._failures,
                data_sources=dict(self._data_sources),
                own_families={} if self._manifest is None else self._manifest.families,
                is_foreign=self._manifest is None,
            )
            self._made = version, time.monotonic(), samples
            return samples

    @property
    def n_planned(self) -> int | None:
        """The samples that the run owes; None where nothing tells."""
        if self._manifest is None or self._manifest.redo_of is not None:
            return None
        return sum(n for file in self._manifest.files for _, n in file.taken) * self._manifest.repeats


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What was known of the samples of a run at some time: never changed, in the order of file, row and repeat.

    A position is the place of a sample in that order. Failed samples stand among the others, where they would be.
    """

    run_dir: RunDir
    index: Mapping[str, FileIndex]
    names: Sequence[str]
    failures: Sequence[FailureRecord] = ()
    data_sources: Mapping[str, str] = field(default_factory=dict)
    own_families: Mapping[str, str] = field(default_factory=dict)
    is_foreign: bool = False

    def __len__(self) -> int:
        return len(self._table)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The names of the test files, sorted."""
        return tuple(sorted({*self.index, *(failure.file for failure in self.failures)}))

    @cached_property
    def _table(self) -> npt.NDArray[np.void]:
        """An entry for each sample, with its file; of a failed one the offset is its place among the failures."""
        parts = [self._of_file(code, name) for code, name in enumerate(self.files)]
        table = np.concatenate(parts) if parts else np.empty(0, _ROW)
        if self.failures:
            table = np.concatenate([table, self._failed(table)])
        is_ordered = (np.diff(_question_numbers(table)) > 0).all()
        if not is_ordered:
            table = table[np.lexsort((table["repeat"], table["row"], table["file"]))]
            table = table[~_superseded(table)]
        return table

    def _failed(self, answered: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """An entry for each sample without an answer."""
        codes = {name: code for code, name in enumerate(self.files)}
        near = answered[np.isin(answered["row"], [failure.row for failure in self.failures])]
        known = set(zip(*(near[name].tolist() for name in ("file", "row", "repeat")), strict=True))
        kept = [
            (i, failure)
            for i, failure in enumerate(self.failures)
            if (codes[failure.file], failure.row, failure.repeat) not in known
        ]
        failed = np.zeros(len(kept), _ROW)
        failed["offset"] = [i for i, _ in kept]
        failed["file"] = [codes[failure.file] for _, failure in kept]
        failed["row"] = [failure.row for _, failure in kept]
        failed["repeat"] = [failure.repeat for _, failure in kept]
        failed["source"] = [self._source_codes[self._source_of(failure)] for _, failure in kept]
        failed["score"], failed["output_len"], failed["kind"] = math.nan, -1, -1
        failed["status"] = STATUSES.index(Status.FAILED)
        return failed

    def _of_file(self, code: int, name: str) -> npt.NDArray[np.void]:
        chunks = self.index[name].chunks if name in self.index else ()
        entries: Entries = np.concatenate(chunks) if chunks else np.empty(0, _ROW)
        rows = np.zeros(len(entries), _ROW)
        for column in ("offset", "length", "row", "repeat", "score", "output_len", "kind"):
            if chunks:
                rows[column] = entries[column]
        if chunks:
            own = np.array(
                [self._source_codes[source] for source in self.names] + [self._source_codes[self._unnamed(name)]]
            )
            rows["source"] = own[entries["source"]]  # -1 is the last
            rows["status"] = _status(entries)
        rows["file"] = code
        return rows

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The data sources, in no order; also names of failure kinds, which no sample has."""
        unnamed = [self._unnamed(name) for name in self.files]
        return tuple(dict.fromkeys([*self.names, *unnamed, *map(self._source_of, self.failures)]))

    @cached_property
    def _source_codes(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.sources)}

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The family of each of `sources`."""
        return tuple(family_of(name, self.own_families.get(name)) for name in self.sources)

    def _unnamed(self, file: str) -> str:
        """The data source of records that do not name theirs."""
        return self.data_sources.get(file, file.removesuffix(".jsonl"))

    def _source_of(self, failure: FailureRecord) -> str:
        return self._unnamed(failure.file) if failure.data_source is None else failure.data_source

    def named_file(self, name: str) -> str:
        """The test file of a name, which may lack its ending.

        Raises:
            UsageError: there is none.
        """
        for found in (name, f"{name}.jsonl"):
            if found in self.files:
                return found
        close = get_close_matches(name, [*self.files, *(file.removesuffix(".jsonl") for file in self.files)], 1)
        hint = (
            f"did you mean {visible(close[0])}?" if close else f"there is {listed(list(map(visible, self.files)), 5)}"
        )
        raise UsageError(f"no test file {visible(name)!r} in {self.run_dir.path}", hint=hint if self.files else None)

    def key(self, position: int) -> SampleKey:
        """Which sample stands at a position."""
        row = self._table[position]
        return SampleKey(self.files[row["file"]], int(row["row"]), int(row["repeat"]))

    def position(self, key: SampleKey) -> int | None:
        """The first position of a sample; None where there is no such sample."""
        answers = self.repeats_of(key.file, key.row)
        same = np.flatnonzero(self._table["repeat"][answers.start : answers.stop] == key.repeat)
        return answers.start + int(same[0]) if len(same) else None

    def repeats_of(self, file: str, row: int) -> range:
        """The positions of the samples of a question."""
        if file not in self.files or not 0 <= row < MAX_ROW:
            return range(0)
        wanted = (self.files.index(file) << 32) | row
        start, end = (int(np.searchsorted(self._questions, wanted, side)) for side in ("left", "right"))
        return range(start, end)

    @cached_property
    def _questions(self) -> npt.NDArray[np.int64]:
        """The question of each sample as one number, ascending."""
        return _question_numbers(self._table)

    def listed(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """What a list shows of samples."""
        return [self._listed(position) for position in positions]

    def _listed(self, position: int) -> dict[str, Any]:
        row, key = self._table[position], self.key(position)
        return {
            "file": key.file,
            "row": key.row,
            "repeat": key.repeat,
            "data_source": self.sources[row["source"]],
            "status": STATUSES[row["status"]].value,
            "score": None if math.isnan(row["score"]) else float(row["score"]),
            "failure": self._failure_kind(row),
            "output_len": None if row["output_len"] < 0 else int(row["output_len"]),
        }

    def _failure_kind(self, row: Any) -> str | None:
        if STATUSES[row["status"]] is Status.FAILED:
            return self.failures[int(row["offset"])].kind
        return None if row["kind"] < 0 else self.names[row["kind"]]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many samples there are by status, by file and by family; without those of which there are none."""
        by_status = np.bincount(self._table["status"], minlength=len(STATUSES)).tolist()
        by_file = np.bincount(self._table["file"], minlength=len(self.files)).tolist()
        by_source = np.bincount(self._table["source"], minlength=len(self.sources)).tolist()
        by_family: dict[str, int] = {}
        for family, n in sorted(zip(self.families, by_source, strict=True)):
            if n:
                by_family[family] = by_family.get(family, 0) + n
        return {
            "status": {status.value: n for status, n in zip(STATUSES, by_status, strict=True) if n},
            "file": {name: n for name, n in zip(self.files, by_file, strict=True) if n},
            "family": by_family,
        }

    @property
    def n_scored(self) -> int:
        """How many answers have a score."""
        return int(np.count_nonzero(~np.isnan(self._table["score"])))

    @cached_property
    def is_repeated(self) -> bool:
        """Whether any question is asked several times."""
        return bool((self._table["repeat"] > 0).any())

    def select(
        self, wanted: Filter, *, causes: Mapping[SampleKey, Cause] | None = None, pairing: "Pairing | None" = None
    ) -> Positions:
        """The positions of the samples that fit, in order; `causes` and `pairing` are what is known of them."""
        table = self._table
        fits = np.ones(len(table), dtype=np.bool_)
        if wanted.status is not None:
            fits &= table["status"] == STATUSES.index(wanted.status)
        for name, number in (("row", wanted.row), ("repeat", wanted.repeat)):
            if number is not None:
                fits &= (table[name] == number) if 0 <= number < 2**32 else False
        if wanted.file is not None:
            fits &= table["file"] == (self.files.index(wanted.file) if wanted.file in self.files else -1)
        for chosen, names in ((wanted.family, self.families), (wanted.data_source, self.sources)):
            if chosen is not None:
                fits &= np.isin(table["source"], [code for code, name in enumerate(names) if name == chosen])
        if wanted.disagree:
            fits &= self._disagree
        if wanted.pairs is not None:
            kinds = [PAIR_KINDS.index(kind) for kind in wanted.pairs]
            fits &= np.isin(self.pair_kinds(pairing), kinds) if pairing else False
        found = np.flatnonzero(fits)
        if wanted.cause is None:
            return found
        known = causes or {}
        found = found[table["score"][found] == 0]
        return np.array([i for i in found.tolist() if known.get(self.key(i)) is wanted.cause], dtype=np.intp)

    @cached_property
    def _disagree(self) -> npt.NDArray[np.bool_]:
        """Of each sample whether its question has both right answers and others among those with a score."""
        table = self._table
        if not len(table):
            return np.zeros(0, dtype=np.bool_)
        starts = np.flatnonzero(np.append(True, np.diff(self._questions) != 0))
        is_scored = ~np.isnan(table["score"])
        is_right = is_scored & (table["score"] >= RIGHT_AT)
        both = np.logical_or.reduceat(is_right, starts) & np.logical_or.reduceat(is_scored & ~is_right, starts)
        return np.repeat(both, np.diff(np.append(starts, len(table))))

    def pair_kinds(self, pairing: "Pairing") -> npt.NDArray[np.int8]:
        """Of each sample the number of its question's kind in `PAIR_KINDS`, -1 where it has none."""
        places = self.pairs_of(pairing)
        return np.where(places >= 0, np.append(pairing.kinds, np.int8(-1))[places], np.int8(-1))

    def pairs_of(self, pairing: "Pairing") -> Positions:
        """Of each sample the place of its question in a pairing, -1 where it has none."""
        codes = {name: code for code, name in enumerate(self.files)}
        file = np.array([codes.get(name, -1) for name in pairing.files], dtype=np.int64)
        keys = (file[pairing.file] << 32) | pairing.row if len(pairing.row) else np.empty(0, np.int64)
        order = np.argsort(keys, kind="stable")
        if not len(keys):
            return np.full(len(self), -1, dtype=np.intp)
        at = np.minimum(np.searchsorted(keys[order], self._questions), len(keys) - 1)
        return np.where(keys[order][at] == self._questions, order[at], -1)

    def partner(self, position: int, pairing: "Pairing", other: "Samples") -> int | None:
        """The position in the other run of the sample to show beside one, if possible of the same repeat."""
        key = self.key(position)
        place = pairing.place(key.file, key.row)
        if place is None:
            return None
        file, row = pairing.other(place)
        same = other.position(SampleKey(file, row, key.repeat))
        answers = other.repeats_of(file, row)
        return same if same is not None else answers.start if answers else None

    def open(self, position: int, causes: Mapping[SampleKey, Cause] | None = None) -> ShownSample:
        """Everything that is kept of a sample.

        Raises:
            RunDirectoryError: it cannot be read, or is not where it was.
        """
        row, key = self._table[position], self.key(position)
        source = int(row["source"])
        cause = (causes or {}).get(key)
        common: dict[str, Any] = {
            "file": key.file,
            "row": key.row,
            "repeat": key.repeat,
            "data_source": self.sources[source],
            "family": self.families[source],
            "status": STATUSES[row["status"]].value,
            "cause": None if cause is None else cause.value,
        }
        if STATUSES[row["status"]] is Status.FAILED:
            failure = self.failures[int(row["offset"])]
            return ShownSample(
                **common,
                id=failure.id,
                failure=failure.kind,
                failure_message=failure.last_error,
                attempts=failure.attempts,
            )
        record, is_half = self._record(row, key, self.sources[source])
        return ShownSample(
            **common,
            id=record.id,
            score=None if math.isnan(row["score"]) else float(row["score"]),
            failure=self._failure_kind(row),
            failure_message=record.failure_message,
            finish_reason=record.finish_reason,
            output_len=None if row["output_len"] < 0 else int(row["output_len"]),
            output_len_estimated=record.output_len_estimated,
            attempts=record.attempts or None,
            latency_s=record.latency_s or None,
            model=record.model,
            prompt=record.prompt,
            reasoning_content=record.reasoning_content,
            output=record.output,
            extracted_output=record.extracted_output,
            ground_truth=record.ground_truth,
            is_half=is_half,
        )

    def _record(self, row: Any, key: SampleKey, data_source: str) -> tuple[Record, bool]:
        path = self.run_dir.details / key.file
        content = read_place(path, int(row["offset"]), int(row["length"]))
        if (record := decode_record(content)) is not None and not self.is_foreign:
            if (record.row, record.repeat) != (key.row, key.repeat):
                raise _moved(key)
            return record, False
        try:
            parts = foreign_parts(path, key.row + 1, content)
        except BootcampError:
            raise _moved(key) from None
        if not parts:
            raise _moved(key)
        return _lenient(parts[0].written, path, key.row + 1, data_source), not parts[0].is_whole

    def search(
        self,
        positions: Sequence[int],
        text: str,
        on_progress: Callable[[int], object] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[int]:
        """The positions of the samples that contain a text anywhere; letters a to z also as A to Z.

        `on_progress` is told after each thousand how many were looked at.
        """
        needle = _Needle.of(text)
        file, opened = -1, None
        try:
            for n, position in enumerate(positions):
                if n % 1000 == 0:
                    on_progress(n)
                    if stopped():
                        return
                row = self._table[position]
                if STATUSES[row["status"]] is Status.FAILED:
                    failure = self.failures[int(row["offset"])]
                    if needle.stands_in((failure.last_error, failure.kind, str(failure.id))):
                        yield position
                    continue
                if row["file"] != file:
                    if opened is not None:
                        opened.close()
                    file = int(row["file"])
                    opened = (self.run_dir.details / self.files[file]).open("rb")
                assert opened is not None  # noqa: S101 - opened with the file
                opened.seek(int(row["offset"]))
                if needle.stands_in_record(opened.read(int(row["length"]))):
                    yield position
            on_progress(len(positions))
        except OSError as error:
            raise RunDirectoryError(f"{self.run_dir.path}: cannot be searched: {error.strerror}") from error
        finally:
            if opened is not None:
                opened.close()


_ROW = np.dtype(
    [
        ("file", "<i4"),
        ("row", "<u4"),
        ("repeat", "<u4"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("score", "<f8"),
        ("output_len", "<i8"),
        ("source", "<i4"),
        ("kind", "<i4"),
        ("status", "u1"),
    ]
)


def _question_numbers(table: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = (table["file"].astype(np.int64) << 32) | table["row"]
    return numbers


def _status(entries: Entries) -> npt.NDArray[np.uint8]:
    """The status of each answered sample, as a number in `STATUSES`."""
    by_end = {"plain": Status.WRONG, "truncated": Status.TRUNCATED, "empty": Status.EMPTY, "filtered": Status.FILTERED}
    ended = np.array([STATUSES.index(by_end[end]) for end in ENDS], dtype=np.uint8)[entries["end"]]
    right, unscored, unverified = map(STATUSES.index, (Status.RIGHT, Status.UNSCORED, Status.UNVERIFIED))
    status = np.where(entries["score"] >= RIGHT_AT, np.uint8(right), ended)
    status[entries["state"] == UNSCORED] = unscored
    status[entries["state"] == UNVERIFIED] = unverified
    return status


def _superseded(table: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Of each entry whether it waited for its verdict and has a later line."""
    result = np.zeros(len(table), dtype=np.bool_)
    waits = table["status"][:-1] == STATUSES.index(Status.UNVERIFIED)
    result[:-1] = waits
    for name in ("file", "row", "repeat"):
        result[:-1] &= table[name][:-1] == table[name][1:]
    return result


def _moved(key: SampleKey) -> RunDirectoryError:
    return RunDirectoryError(
        f"details/{key.file}: the record of row {key.row} is not where it was: the file has changed",
        hint="try again",
    )


def _lenient(written: Mapping[str, Any], path: Path, number: int, data_source: str) -> Record:
    """The record of any JSON object of a details file, also of one that could not be verified."""
    known = {"output": "", "ground_truth": None, **written}
    if not isinstance(known["output"], str):
        known["output"] = json.dumps(known["output"])
    if not isinstance(known.get("reasoning_content"), (str, type(None))):
        known["reasoning_content"] = json.dumps(known["reasoning_content"])
    if not isinstance(known.get("prompt", ""), str):
        known["prompt"] = json.dumps(known["prompt"], ensure_ascii=False)
    if not isinstance(known.get("data_source"), str):
        known["data_source"] = data_source
    try:
        return typed_record(known, path, number, data_source)
    except BootcampError:
        texts: dict[str, Any] = {
            name: known[name] for name in ("output", "ground_truth", "data_source", "prompt") if name in known
        }
        return typed_record(texts, path, number, data_source)


@dataclass(frozen=True, slots=True)
class _Needle:
    """A text that is looked for: folded, and as it looks within JSON where that is beyond doubt."""

    text: str
    escaped: tuple[bytes, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """The needle of a text."""
        is_plain = not any(char in text for char in '"\\/') and text.isprintable()
        forms = {json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False)}
        escaped = tuple(form.encode("utf-8", "surrogatepass").lower() for form in forms) if is_plain else ()
        return cls(_folded(text), escaped)

    def stands_in(self, texts: Iterable[str]) -> bool:
        return any(self.text in _folded(text) for text in texts)

    def stands_in_record(self, content: bytes) -> bool:
        """Whether the line of a record holds it, in a text or a value."""
        if self.escaped:
            folded = content.lower()
            if not any(form in folded for form in self.escaped):
                return False
        try:
            written = decode(content)
        except (ValueError, RecursionError):
            return self.stands_in([content.decode("utf-8", "replace")])
        values = (written.get(name) for name in _SEARCHED) if isinstance(written, dict) else (written,)
        return self.stands_in(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for value in values
            if value is not None
        )


_SEARCHED = ("prompt", "output", "reasoning_content", "ground_truth", "extracted_output", "id", "failure_message")

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _folded(text: str) -> str:
    """The text with A to Z in lower case: what bytes.lower does to UTF-8."""
    return text.translate(_ASCII_LOWER) if not text.isascii() else text.lower()


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing:
    """The questions that two runs share, as `compare` pairs them, each with its `PAIR_KINDS` number or -1.

    `file` and `row` are those of run A (`file` numbers `files`), the others those of run B.
    """

    files: tuple[str, ...]
    file: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    other_files: tuple[str, ...]
    other_file: npt.NDArray[np.int64]
    other_row: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int8]

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {place: i for i, place in enumerate(zip(self.file.tolist(), self.row.tolist(), strict=True))}

    def place(self, file: str, row: int) -> int | None:
        """The place of a question of run A."""
        return self._places.get((self.files.index(file), row)) if file in self.files else None

    def other(self, place: int) -> tuple[str, int]:
        """File and row in run B of a question."""
        return self.other_files[self.other_file[place]], int(self.other_row[place])


def pair_runs(a: RunDir, b: RunDir) -> Pairing:
    """Pair the questions of two runs by bootcamp and prompt.

    Raises:
        RunDirectoryError: the details of a run cannot be read.
        UsageError: they have no question in common.
    """
    scores_a, scores_b = read_scores({"A": a, "B": b})
    in_a, in_b = pair(scores_a, scores_b)
    if not len(in_a):
        raise UsageError(f"{b.path} and {a.path} have no question in common", hint="choose runs of the same test dir")
    share_a, share_b = scores_a.right_shares[in_a], scores_b.right_shares[in_b]
    kinds = np.full(len(in_a), -1, dtype=np.int8)
    for kind, fits in (
        (PairKind.ONLY_A, (share_a > 0.5) & (share_b < 0.5)),
        (PairKind.ONLY_B, (share_a < 0.5) & (share_b > 0.5)),
        (PairKind.BOTH_WRONG, (share_a < 0.5) & (share_b < 0.5)),
        (PairKind.BOTH_RIGHT, (share_a > 0.5) & (share_b > 0.5)),
    ):
        kinds[fits] = PAIR_KINDS.index(kind)
    return Pairing(
        files=scores_a.files,
        file=scores_a.file[in_a],
        row=scores_a.row[in_a],
        other_files=scores_b.files,
        other_file=scores_b.file[in_b],
        other_row=scores_b.row[in_b],
        kinds=kinds,
    )
