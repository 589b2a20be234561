"""Samples that are to be asked for again: how they are chosen, and what they are in a run.

In the run itself their records are set aside, never deleted, and owed again. With a larger max_tokens the answers would
be others: then a run directory of its own holds only these samples, and the run stays as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bootcamp_cli.errors import UsageError
from bootcamp_cli.store.journal import RunRows, empty_index, read_failures, replay_lines
from bootcamp_cli.store.records import RecordHead
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import RedoCount, RedoOf

KINDS = ("failed", "truncated", "empty", "filtered", "unscored")
"""What a word of the selection names: what has no answer, was cut at the token limit, has no text, was filtered by the
server, has no bootcamp."""

_FORM = f"one of {', '.join(KINDS)}, or FILE:ROW or FILE:ROW:REPEAT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Samples by what became of them, and by name.

    `named` has file, row and repeat of single samples; a repeat of None means all repeats of the row.
    """

    words: tuple[str, ...]
    kinds: frozenset[str]
    named: frozenset[tuple[str, int, int | None]]

    def chooses(self, file: str, head: RecordHead) -> bool:
        """Whether a recorded sample is to be asked for again."""
        row = head.row or 0
        return (
            (file, row, None) in self.named
            or (file, row, head.repeat) in self.named
            or any(kind in self.kinds for kind in _kinds_of(head))
        )


def parse_selection(words: Iterable[str]) -> Selection:
    """The selection that `--redo` names.

    Raises:
        UsageError: a word is neither a kind nor the name of a sample.
    """
    words = tuple(words)
    named = [_named(word) for word in words if word not in KINDS]
    return Selection(words=words, kinds=frozenset(word for word in words if word in KINDS), named=frozenset(named))


def _named(word: str) -> tuple[str, int, int | None]:
    """A sample by its name; a file may have colons in its own."""
    for n in (2, 1):
        file, *numbers = word.rsplit(":", n)
        if file and len(numbers) == n and all(number.isascii() and number.isdecimal() for number in numbers):
            file = file if file.endswith(".jsonl") else f"{file}.jsonl"
            row, *repeats = (int(number[:12]) for number in numbers)
            return file, row, repeats[0] if repeats else None
    raise UsageError(f"--redo: must be {_FORM}, got {word!r}")


def _kinds_of(head: RecordHead) -> Iterable[str]:
    if head.finish_reason == "length":
        yield "truncated"
    if head.finish_reason == "content_filter":
        yield "filtered"
    if head.failure == "unscored":
        yield "unscored"
    if head.is_empty:
        yield "empty"


Chosen = Mapping[str, Mapping[tuple[int, int], str]]
"""The data source of each chosen sample, a (row, repeat), by test file."""


def choose(run_dir: RunDir, rows: Mapping[str, RunRows], selection: Selection) -> Chosen:
    """The samples of a run that a selection names; those that failed have no record.

    Raises:
        RunDirectoryError: a line of details or failures does not belong to the run.
        UsageError: a named sample has neither a record nor a failure.
    """
    found: dict[str, dict[tuple[int, int], str]] = {}
    answered: dict[str, dict[tuple[int, int], str]] = {}
    for file, known in rows.items():
        path = run_dir.details / file
        if not path.exists():
            continue
        latest: dict[tuple[int, int], str] = {}
        for _, _, head in replay_lines(path, empty_index(known), known):
            sample = head.row or 0, head.repeat
            answered.setdefault(file, {})[sample] = head.data_source or ""
            if selection.chooses(file, head):
                latest[sample] = head.data_source or ""
            else:
                latest.pop(sample, None)
        found[file] = latest
    for failure in read_failures(run_dir, rows):
        sample = failure.row, failure.repeat
        names = {(failure.file, failure.row, None), (failure.file, *sample)}
        if sample not in answered.get(failure.file, {}) and ("failed" in selection.kinds or names & selection.named):
            found.setdefault(failure.file, {})[sample] = failure.data_source or ""
    _require_named(selection, found)
    return {file: dict(sorted(samples.items())) for file, samples in found.items() if samples}


def _require_named(selection: Selection, found: Chosen) -> None:
    for file, row, repeat in sorted(selection.named, key=str):
        samples = found.get(file, {})
        if not any(sample[0] == row and repeat in (None, sample[1]) for sample in samples):
            name = f"{file}:{row}" if repeat is None else f"{file}:{row}:{repeat}"
            raise UsageError(f"--redo: the run has no sample {name}", hint="rows and repeats count from 0")


def redo_of(run_dir: RunDir, selection: Selection, chosen: Chosen) -> RedoOf:
    """What the manifest of a run says that holds only these samples."""
    return RedoOf(
        run=run_dir.path.resolve().name,
        selection=selection.words,
        samples={file: tuple(samples) for file, samples in chosen.items()},
        data_sources={file: _counts(samples) for file, samples in chosen.items()},
    )


def _counts(samples: Mapping[tuple[int, int], str]) -> dict[str, RedoCount]:
    rows: dict[str, list[int]] = {}
    for (row, _), data_source in samples.items():
        rows.setdefault(data_source, []).append(row)
    return {name: RedoCount(n=len(found), n_questions=len(set(found))) for name, found in rows.items()}
