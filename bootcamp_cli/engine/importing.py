"""Answers from elsewhere: results in files that enter a run as the replies of a server do.

All files are read through before anything is written, and only the place of each result is kept. A result that belongs
to no sample of the run, or to one that has a record, is counted and left alone.
"""

import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import anyio
from anyio import to_thread

from bootcamp_cli.dataset.scan import TestFile
from bootcamp_cli.engine.generate import Attempts
from bootcamp_cli.engine.session import Session
from bootcamp_cli.errors import DatasetError, ServerUnavailableError
from bootcamp_cli.server.client import endpoints_of, redacted_answer, redacted_failure
from bootcamp_cli.server.failures import AttemptFailed, bad_response
from bootcamp_cli.server.response import MAX_BODY_BYTES
from bootcamp_cli.store.journal import OWED
from bootcamp_cli.text import counted, visible
from bootcamp_cli.types import Answer, Sample

_MAX_LINE_BYTES = 2 * MAX_BODY_BYTES
_MAX_NAMED = 5
_GZIP_MAGIC = b"\x1f\x8b"


class Place(NamedTuple):
    """Of which sample a result is. `part` counts the results of one line.

    `stamp` is a digest of what was asked, in 64 bits, 0 where the result does not tell.
    """

    file: str
    row: int
    repeat: int
    part: int = 0
    stamp: int = 0


class ResultForm(Protocol):
    """How a kind of file tells its results."""

    def places(self, line: bytes) -> Iterable[Place]:
        """Of which samples the results in a line are; none where it is of another run.

        Raises:
            ValueError: the line cannot be read.
        """
        ...

    def stamp(self, sample: Sample) -> int:
        """The digest of what is asked of a sample."""
        ...

    def answer(self, sample: Sample, line: bytes, part: int) -> Answer:
        """The answer to a sample. Raises AttemptFailed where the result is none."""
        ...


@dataclass(slots=True, kw_only=True)
class Results:
    """The results in some files that are of samples without a record, and what became of the others.

    `n_known` are of samples that have a record, `n_surplus` further ones of the same sample, `n_other_stamp` of a
    sample of which something else was asked, `n_foreign` of none of the run's; `problems` says of the first lines that
    cannot be read why, `n_unreadable` is the number of these lines. `n_most` is how many answers to a question there
    are at most.
    """

    paths: Sequence[Path]
    read_as: list[tuple[int, int]] = field(default_factory=list)
    n_results: int = 0
    n_known: int = 0
    n_surplus: int = 0
    n_other_stamp: int = 0
    n_foreign: int = 0
    n_unreadable: int = 0
    n_most: int = 0
    problems: list[str] = field(default_factory=list)
    _latest: dict[str, dict[int, int]] = field(default_factory=dict)
    _path: "array[int]" = field(default_factory=lambda: array("L"))
    _offset: "array[int]" = field(default_factory=lambda: array("q"))
    _length: "array[int]" = field(default_factory=lambda: array("q"))
    _part: "array[int]" = field(default_factory=lambda: array("L"))
    _stamp: "array[int]" = field(default_factory=lambda: array("Q"))
    _earlier: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def notes(self) -> list[str]:
        """What became of the results that answer nothing."""
        told = {
            "of samples that have an answer: left as they are": self.n_known,
            "more than one for a sample: the first answer counts": self.n_surplus,
            "to other prompts or parameters than the run's: left out": self.n_other_stamp,
            "of no sample of this run: left out": self.n_foreign,
        }
        return [f"{counted(n, 'result')} {what}" for what, n in told.items() if n]

    @property
    def n_samples(self) -> int:
        """Samples that have a result."""
        return sum(map(len, self._latest.values()))

    def n_of(self, file: str) -> int:
        """Samples of a test file that have a result."""
        return len(self._latest.get(file, ()))

    def holds(self, file: str, place: int) -> bool:
        """Whether a sample has a result; its place is row times the number of repeats, plus repeat."""
        return place in self._latest.get(file, ())

    def add(self, file: str, place: int, *, path: int, offset: int, length: int, part: int, stamp: int) -> None:
        """Note where a result is."""
        latest = self._latest.setdefault(file, {})
        self._path.append(path)
        self._offset.append(offset)
        self._length.append(length)
        self._part.append(part)
        self._stamp.append(stamp)
        self._earlier.append(latest.get(place, -1))
        latest[place] = len(self._path) - 1

    def keep(self, file: str, stamps: Iterable[tuple[int, int]]) -> None:
        """Keep the results of these samples of a test file, each given with the stamp of what is asked of it."""
        found, kept = self._latest.get(file, {}), {}
        others = set(found)
        for place, stamp in stamps:
            others.remove(place)
            chain = self._chain(found[place])
            fitting = [i for i in chain if self._stamp[i] in (0, stamp)]
            self.n_other_stamp += len(chain) - len(fitting)
            if fitting:
                self.n_surplus += len(fitting) - 1
                kept[place] = fitting[-1]
                for i, earlier in zip(fitting, [-1, *fitting], strict=False):
                    self._earlier[i] = earlier
        self.n_foreign += sum(len(self._chain(found[place])) for place in others)
        self._latest[file] = kept

    def lines(self, file: str, place: int) -> Iterator[tuple[bytes, int]]:
        """The lines with results of a sample, in the order of the files, each with the part that is the sample's.

        Raises:
            DatasetError: a file cannot be read any more, or was changed.
        """
        for i in self._chain(self._latest[file][place]):
            path = self.paths[self._path[i]]
            try:
                with path.open("rb") as results:
                    if _state(results) != self.read_as[self._path[i]]:
                        raise DatasetError(f"{visible(str(path))} was changed while it was imported")
                    results.seek(self._offset[i])
                    yield results.read(self._length[i]), self._part[i]
            except OSError as error:
                raise _unreadable(path, error) from error

    def _chain(self, latest: int) -> list[int]:
        """The results of one sample, the first one first."""
        chain = []
        while latest >= 0:
            chain.append(latest)
            latest = self._earlier[latest]
        return chain[::-1]


def find_results(session: Session, paths: Sequence[Path], form: ResultForm) -> Results:
    """Read files of results through, and find those of samples that have no record. Blocks.

    Raises:
        DatasetError: a file cannot be read, or no line of them is a result of this run, or the run has fewer repeats.
    """
    results = Results(paths=paths)
    for number, path in enumerate(paths):
        for n, (offset, line) in enumerate(_lines(path, results.read_as), start=1):
            if not line.strip():
                continue
            try:
                places = list(form.places(line))
            except ValueError as error:
                results.n_unreadable += 1
                if len(results.problems) < _MAX_NAMED:
                    results.problems.append(f"{visible(str(path))}:{n}: {visible(str(error))}")
                continue
            if not places:
                results.n_foreign += 1
            for place in places:
                _note(session, results, place, path=number, offset=offset, length=len(line))
    for file in session.plan.test_set.files:
        samples = _with_results(session, results, file)
        results.keep(file.name, ((_place(session, s.row, s.repeat), form.stamp(s)) for s in samples))
    if results.n_most:
        n_repeats = session.plan.n_repeats
        asked = "once" if n_repeats == 1 else f"{n_repeats} times"
        raise DatasetError(
            f"up to {results.n_most} answers to a question, but the run asks each {asked}",
            hint=f"give --repeats {results.n_most}",
        )
    if not results.n_samples and not results.n_known:
        _refuse(session, results)
    return results


def _with_results(session: Session, results: Results, file: TestFile) -> Iterator[Sample]:
    """The samples of a test file that have no record, but a result."""
    return session.owed(file, lambda row, repeat: results.holds(file.name, _place(session, row, repeat)))


def _note(session: Session, results: Results, found: Place, *, path: int, offset: int, length: int) -> None:
    results.n_results += 1
    index = session.journal.details.get(found.file)
    if index is None:
        results.n_foreign += 1
    elif found.repeat >= session.plan.n_repeats:
        results.n_most = max(results.n_most, found.repeat + 1)
    elif index.state(found.row, found.repeat) != OWED:
        results.n_known += 1
    else:
        place = _place(session, found.row, found.repeat)
        results.add(found.file, place, path=path, offset=offset, length=length, part=found.part, stamp=found.stamp)


def _place(session: Session, row: int, repeat: int) -> int:
    return row * session.plan.n_repeats + repeat


def _lines(path: Path, read_as: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with its offset; its state is added to `read_as`."""
    offset = 0
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would wait for a writer
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) and not path.is_dir():
                raise DatasetError(
                    f"{visible(str(path))} is no regular file", hint="put it into one: it is read more than once"
                )
            read_as.append(_state(file))
            while line := file.readline(_MAX_LINE_BYTES):
                if not offset and line.startswith(_GZIP_MAGIC):
                    raise DatasetError(f"{visible(str(path))} is compressed", hint="unpack it first")
                if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
                    raise DatasetError(f"{visible(str(path))}: a line of more than {_MAX_LINE_BYTES} bytes")
                yield offset, line
                offset += len(line)
    except OSError as error:
        raise _unreadable(path, error) from error


def _state(file: BinaryIO) -> tuple[int, int]:
    """Size and time of the last change."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"cannot read {visible(str(path))}: {error.strerror or error}")


def _refuse(session: Session, results: Results) -> None:
    """Raise that no line is a result of this run."""
    named = visible(str(results.paths[0])) if len(results.paths) == 1 else counted(len(results.paths), "file")
    run = visible(str(session.run_dir.path))
    what, hint = f"{named}: no result of {run}", "is it the right run directory?"
    if results.n_other_stamp:
        what += f": {counted(results.n_other_stamp, 'result')} to other prompts or parameters"
    elif results.n_unreadable and not results.n_foreign:
        what, hint = f"{named}: no line can be read as a result", "is it the right file?"
    elif not results.n_results and not results.n_foreign and not results.n_unreadable:
        what, hint = f"{named}: empty", "is it the right file?"
    raise DatasetError(what, problems=tuple(results.problems), hint=hint)


class ImportedAnswers:
    """Answers that stand in files.

    Each sample gets the first of its results that is an answer, an empty one only where there is no other; without any
    it gets the last failure.
    """

    def __init__(self, session: Session, results: Results, form: ResultForm) -> None:
        self._session = session
        self._results = results
        self._form = form
        targets = endpoints_of(replace(session.plan.settings, url_file=None))  # that file may be gone: nothing is sent
        secrets = reduce(or_, (target.secrets for target in targets))
        self._endpoint = replace(targets[0], secrets=secrets)

    def n_owed(self, file: TestFile) -> int:
        """Samples of a test file that have a result."""
        return self._results.n_of(file.name)

    def owed(self, file: TestFile) -> Iterator[Sample]:
        """These samples."""
        return _with_results(self._session, self._results, file)

    async def admit(self) -> None:
        """Every sample may start."""

    async def attempt(self, attempts: Attempts, scope: anyio.CancelScope) -> Answer:  # noqa: ARG002 - nothing to cancel
        """Read the answer to a sample. A failure is never retried: the files say the same each time."""
        attempts.n += 1
        try:
            answer = await to_thread.run_sync(self._read, attempts.sample)
        except AttemptFailed as failure:
            failure.retryable = False
            raise redacted_failure(failure, self._endpoint) from None
        self._session.fingerprints.add(answer.system_fingerprint)
        return redacted_answer(answer, self._endpoint, self._session.plan.generation.model)

    async def watch(self) -> None:
        """There is nothing to look after."""
        await anyio.sleep_forever()

    async def all_ended(self) -> ServerUnavailableError | None:
        """Whatever the files say, there is nothing wrong with the run."""
        return None

    def _read(self, sample: Sample) -> Answer:
        empty: Answer | None = None
        failure = bad_response("no result")
        for line, part in self._results.lines(sample.file, _place(self._session, sample.row, sample.repeat)):
            try:
                answer = self._form.answer(sample, line, part)
            except AttemptFailed as error:
                failure = error
                continue
            if not answer.is_empty:
                return answer
            empty = empty or answer
        if empty is None:
            raise failure
        return empty
