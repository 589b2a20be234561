"""Records that this tool did not write in this form: from the reference script, other tools, or edited by hand.

They lack fields (the script's records do not even name their data source: its meta.jsonl does) or have additional ones.
They become typed here, and keep all of their keys when they are written again.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
from msgspec.structs import fields, replace

from bootcamp_cli.bootcamps.registry import Resolver
from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.store.records import (
    KEPT_FORMS,
    HalfRecord,
    HeadLine,
    OnHalf,
    RecordHead,
    damaged,
    n_words,
    read_heads,
    wrong_field,
)
from bootcamp_cli.store.run_dir import RunDir, content_of
from bootcamp_cli.types import Record, bootcamp_name, encode_exactly

_SUFFIX = bootcamp_name("")
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _MetaLine:
    """What a line of meta.jsonl tells: the data source, the averages, and in our own lines the file."""

    data_source: str
    file: str | None
    averages: tuple[float, float] | None


def data_source_by_file(run_dir: RunDir) -> dict[str, str]:
    """The data source of each details file whose records do not name it, where it is beyond doubt.

    The script writes the lines of meta.jsonl in the order in which files are finished, not by name: a line belongs to
    the one file with its averages. Where that is ambiguous, the file's name decides if it is that of one data source:
    of those that the averages allow, else of those in meta.jsonl, else of those that have a bootcamp here.

    Raises:
        RunDirectoryError: meta.jsonl cannot be read, or a line of details is not a record.
    """
    lines = _meta_lines(run_dir)
    known = {ref.data_source for ref in Resolver("builtin", None).known()}
    files = run_dir.detail_files()
    without_line = [path for path in files if not any(line.file == path.name for line in lines)]
    candidates = {path.name: _of_lines_naming(lines, path.name) for path in files} | _by_averages(lines, without_line)
    claims = [name for names in candidates.values() for name in names]
    found = {}
    for path in files:
        names = candidates[path.name]
        if len(names) == 1 and (path not in without_line or claims.count(*names) == 1):
            found[path.name] = names.pop()
        elif data_source := _by_file_name(path, (names, {line.data_source for line in lines}, known)):
            found[path.name] = data_source
    return found


def _of_lines_naming(lines: Sequence[_MetaLine], file: str) -> set[str]:
    """The data sources of the lines that name a file."""
    return {line.data_source for line in lines if line.file == file}


def _by_averages(lines: Sequence[_MetaLine], files: Sequence[Path]) -> dict[str, set[str]]:
    """The data sources of the lines that name no file and have the averages of one."""
    unnamed = [line for line in lines if line.file is None and line.averages]
    averages = {path.name: _averages(path) if unnamed else [] for path in files}
    return {
        file: {line.data_source for line in unnamed for own in means if line.averages and _same(own, line.averages)}
        for file, means in averages.items()
    }


def _averages(path: Path) -> list[tuple[float, float]]:
    """The plain means of score and length, as the script computes them; none where a record lacks one.

    Where there are half records there are two: with them, and without.
    """
    halves: list[HalfRecord] = []
    n, score_sum, len_sum = 0, 0.0, 0.0
    for _, _, head in read_heads(path, foreign=True, on_half=halves.append):
        if not isinstance(head.score, float) or head.output_len is None:
            return []
        n += 1
        score_sum += head.score
        len_sum += head.output_len
    means = [(score_sum / n, len_sum / n)] if n else []
    for half in halves:
        if half.score is not None:
            n -= 1
            score_sum -= half.score
            len_sum -= half.output_len or 0
    return [*means, (score_sum / n, len_sum / n)] if n and halves else means


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) for a, b in zip(one, other, strict=True))


def _by_file_name(path: Path, choices: Sequence[set[str]]) -> str | None:
    """The one data source that a file is named after, ignoring case, from the first of the choices that has one."""
    stem = path.stem.casefold()
    for names in choices:
        fitting = [name for name in names if stem in (name.casefold(), bootcamp_name(name).casefold())]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _meta_lines(run_dir: RunDir) -> list[_MetaLine]:
    """The lines that name a bootcamp; none if any of them is not readable."""
    try:
        lines = (content_of(run_dir.meta) or b"").decode().splitlines()
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


def read_foreign_heads(
    path: Path,
    data_source: str | None,
    kind: type[RecordHead] = RecordHead,
    *,
    on_half: OnHalf = lambda _: None,
) -> Iterator[HeadLine]:
    """Like `read_heads`, for a file that no run of this tool wrote.

    `data_source` is that of the records which do not tell theirs; those without a score count as unscored.
    """
    for number, n_bytes, head in read_heads(path, foreign=True, kind=kind, on_half=on_half):
        if head.data_source is None and data_source is not None:
            head = replace(head, data_source=data_source)  # noqa: PLW2901 - the line's head, completed
        yield number, n_bytes, head


def typed_record(written: Mapping[str, Any], path: Path, number: int, data_source: str | None) -> Record:
    """The record of a line of the details file at `path`; missing fields and those of the wrong type are filled in.

    `number` is the 1-based line: a record without a row gets that of its line. `data_source` is that of records that do
    not name theirs, None where nothing tells it.

    Raises:
        RunDirectoryError: it cannot be verified: output, ground truth or another field that counts is missing or of the
            wrong type.
        UsageError: nothing tells the data source.
    """
    place = f"details/{path.name}:{number}"
    known = {**written}
    if known.get("data_source") is None:
        known["data_source"] = data_source
    if known["data_source"] is None:
        raise UsageError(
            f"{place}: the record has no data_source, and neither meta.jsonl nor the file's name tells it",
            hint="add data_source to its records, or name the file after the data source; nothing was changed",
        )
    output, reasoning = known.get("output"), known.get("reasoning_content")
    for key, is_fine in (
        ("output", isinstance(output, str)),
        ("reasoning_content", reasoning is None or isinstance(reasoning, str)),
        ("ground_truth", "ground_truth" in known),
        ("data_source", isinstance(known["data_source"], str)),
    ):
        if not is_fine:
            raise RunDirectoryError(
                f"{place}: {key} is missing or of the wrong type",
                hint="a record needs id, prompt, output, ground_truth and data_source; nothing was changed",
            )
    if objection := wrong_field(known, KEPT_FORMS):
        raise damaged(path, number, objection)
    if isinstance(known.get("score"), bool):
        known["score"] = float(known["score"])
    if known.get("output_len") is None:
        known |= {"output_len": n_words(str(output), reasoning), "output_len_estimated": True}
    row = known.get("row")
    lacking = {**_LACKING, "id": row if type(row) is int else number - 1, "row": number - 1}
    own = {field.name: known[field.name] for field in _FIELDS if field.name in known}
    try:
        return msgspec.convert({**lacking, **own}, Record)
    except msgspec.ValidationError:
        return Record(**{field.name: _value(own, field, lacking) for field in _FIELDS})


_FIELDS = fields(Record)

_LACKING: Mapping[str, Any] = {
    "prompt": "",
    "output_len": 0,
    "score": None,
    "extracted_output": None,
    "finish_reason": None,
    "usage": None,
    "model": None,
    "attempts": 0,
    "latency_s": 0.0,
    "reasoning_content": None,
}
"""What a record gets in place of a field that it lacks."""


def _value(own: Mapping[str, Any], field: msgspec.structs.FieldInfo, lacking: Mapping[str, Any]) -> Any:
    """The value of a field, or its substitute where it is missing or of the wrong type."""
    try:
        return msgspec.convert(own[field.name], field.type)
    except (KeyError, msgspec.ValidationError):
        return lacking.get(field.name, field.default)


def encode_onto(written: Mapping[str, Any], record: Record) -> bytes:
    """The line of a record with a new verdict and every other key that it had.

    The reference's keys come first; a line that has them all keeps its order, which in run_eval.py's is another one.
    """
    known = {**written, "score": record.score, "extracted_output": record.extracted_output}
    for key, value in (("failure", record.failure), ("failure_message", record.failure_message)):
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
    if known.get("output_len") is None:
        known |= {"output_len": record.output_len, "output_len_estimated": record.output_len_estimated}
    if known.get("data_source") is None:
        known["data_source"] = record.data_source
    if not all(key in written for key in REFERENCE_FIELDS):
        known = {key: known[key] for key in REFERENCE_FIELDS if key in known} | known
    return encode_exactly(known) + b"\n"


REFERENCE_FIELDS = ("id", "prompt", "output", "output_len", "ground_truth", "score", "extracted_output")
