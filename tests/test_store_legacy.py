"""Records that this tool did not write as they stand: typed for the verification, and kept as they are beside it."""

import contextlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.store.journal import StoredRecord, read_foreign_records
from bootcamp_cli.store.legacy import REFERENCE_FIELDS, data_source_by_file, read_foreign_heads
from bootcamp_cli.store.records import HalfRecord, with_verdict
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import Record, Verdict
from tests.test_store_journal import a_record, as_written

ENOUGH: dict[str, Any] = {"id": 7, "prompt": "?", "output": "the 4", "ground_truth": [4], "data_source": "Sums"}
RIGHT = Verdict(score=1.0, extracted="4")


def stored(tmp_path: Path, written: dict[str, Any], data_source: str | None = None) -> StoredRecord:
    """The only record of a details file."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(written) + "\n", encoding="utf-8")
    [found] = read_foreign_records(path, data_source)
    assert isinstance(found, StoredRecord)
    return found


def a_line_of_run_eval(number: int, extracted: Any = None, **fields: Any) -> dict[str, Any]:
    """A record with the fields of run_eval.py in its order; the score of a wrong answer is the integer 0."""
    line = {"id": number, "prompt": "?", "output_len": 2, "score": 0, "extracted_output": extracted}
    return line | {"ground_truth": {"id": 1, "prompt": '{"id": 1, "prompt": "'}, "output": "the {1}"} | fields


def as_run_eval_writes(records: Iterable[dict[str, Any]]) -> str:
    """A details file as run_eval.py writes it: what JSON cannot hold stops it within the record, before the newline."""
    file = io.StringIO()
    for record in records:
        with contextlib.suppress(TypeError):
            json.dump(record, file, ensure_ascii=False)
            file.write("\n")
    return file.getvalue()


def test_a_record_with_five_fields_is_typed(tmp_path: Path) -> None:
    """What a record from elsewhere lacks is filled in: its row is its line, its length the number of words."""
    record = stored(tmp_path, ENOUGH).record
    assert (record.id, record.row, record.output_len, record.output_len_estimated) == (7, 0, 2, True)
    assert (record.score, record.failure, record.usage, record.attempts) == (None, None, None, 0)


def test_a_new_verdict_adds_no_more_than_it_must(tmp_path: Path) -> None:
    """A record from elsewhere gets score, extracted output and length, and no field that somebody would have to know.

    The reference's fields come first and in its order, the others stay in theirs.
    """
    found = stored(tmp_path, {"note": "mine", "failure": "broken", **ENOUGH})
    line = json.loads(found.encode(with_verdict(found.record, RIGHT)))
    verdict = {"score": 1.0, "extracted_output": "4", "output_len": 2, "output_len_estimated": True}
    assert line == ENOUGH | verdict | {"note": "mine"}
    assert tuple(line) == (*REFERENCE_FIELDS, "note", "data_source", "output_len_estimated")


def test_a_record_without_a_data_source_has_that_of_its_file(tmp_path: Path) -> None:
    """The data source that is known of the file is written into the record; where none is known, that is an error."""
    written = {key: value for key, value in ENOUGH.items() if key != "data_source"}
    found = stored(tmp_path, written, "Sums")
    assert json.loads(found.encode(with_verdict(found.record, RIGHT)))["data_source"] == "Sums"
    with pytest.raises(UsageError, match=r"details/a\.jsonl:1: the record has no data_source"):
        stored(tmp_path, written)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"output": None}, "output is missing or of the wrong type"),
        ({"reasoning_content": 1}, "reasoning_content is missing or of the wrong type"),
        ({"data_source": 1}, "data_source is missing or of the wrong type"),
        ({"output_len": "many"}, "output_len is 'many', not a count"),
        ({"row": 1.5}, r"row is 1\.5, not a row number"),
    ],
)
def test_what_no_verdict_can_put_right_is_refused(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    """A record that cannot be verified or counted is named before anything is written."""
    with pytest.raises(RunDirectoryError, match=rf"details/a\.jsonl:1: {what}"):
        stored(tmp_path, ENOUGH | change)


@given(
    change=st.dictionaries(
        st.sampled_from(["prompt", "score", "extracted_output", "usage", "model", "finish_reason", "id", "failure"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
    ),
    extra=st.dictionaries(st.text().filter(lambda key: key not in Record.__struct_fields__), st.integers()),
)
def test_every_other_value_stays_whatever_its_type(
    tmp_path_factory: pytest.TempPathFactory, change: dict[str, Any], extra: dict[str, Any]
) -> None:
    """Values of other types and other keys stand in the line with the new verdict as they stood before."""
    written = as_written(a_record(3)) | change | extra
    found = stored(tmp_path_factory.mktemp("other"), written)
    line = json.loads(found.encode(with_verdict(found.record, RIGHT)))
    written.pop("failure", None)
    assert line == written | {"score": 1.0, "extracted_output": "4"}


ONE_HALF = [a_line_of_run_eval(0), a_line_of_run_eval(1, {1}, score=1.0), a_line_of_run_eval(2)]


def test_half_a_record_counts_with_its_score_and_the_next_one_whole(tmp_path: Path) -> None:
    """Where an extraction is a set, the half record and the one behind it in the same line are both read."""
    path = tmp_path / "Sums.jsonl"
    path.write_text(as_run_eval_writes(ONE_HALF), encoding="utf-8")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    halves: list[HalfRecord] = []
    heads = [head for _, _, head in read_foreign_heads(path, "Sums", on_half=halves.append)]
    assert [(head.id, head.score, head.output_len) for head in heads] == [(0, 0.0, 2), (1, 1.0, 2), (2, 0.0, 2)]
    assert halves == [HalfRecord(file="Sums.jsonl", line=2, id=1, score=1.0, output_len=2)]


def test_half_a_record_is_written_again_as_it_stands(tmp_path: Path) -> None:
    """The bytes of half a record are kept; whole ones keep the order of their fields and their changed truths."""
    path = tmp_path / "a.jsonl"
    path.write_text(as_run_eval_writes(ONE_HALF), encoding="utf-8")
    found = list(read_foreign_records(path, "Sums"))
    lines = [
        stored.encode(with_verdict(stored.record, RIGHT)) if isinstance(stored, StoredRecord) else stored.content
        for stored in found
    ]
    half = path.read_bytes().splitlines()[1].partition(b'{"id": 2')[0]
    assert lines[1] == half
    path.write_bytes(b"".join(lines))
    again = list(read_foreign_records(path, None))
    assert [type(stored) for stored in again] == [type(stored) for stored in found]
    verdict = {"score": 1.0, "extracted_output": "4", "data_source": "Sums"}
    for stored, record in ((again[0], ONE_HALF[0]), (again[2], ONE_HALF[2])):
        assert isinstance(stored, StoredRecord)
        assert stored.written == record | verdict
        assert list(stored.written) == [*record, "data_source"]


@pytest.mark.parametrize(
    ("text", "n_heads", "n_halves"),
    [
        ('{"id": 1, "prompt": "a", "output_len": 1, "score": 1.0, "extracted_output": ', 1, 1),
        ('{"id": 1, "prompt": "a", "output_len": 1, "score": 1', 0, 0),
        ('{"id": 1, "prompt": "a', 0, 0),
        ('{"id": 1, "prompt": "a{"id": "b", "prompt": "c", "output_len": 1, "score": 0}\n', 1, 1),
        ('{"id": 1, "prompt": "a", "score": NaN, "extracted_output": {"id": 2, "prompt": "c", "score": 0}\n', 1, 1),
        ('{"id": 1, "prompt": "a", "score": 1}{"id": 2, "prompt": "c", "score": 0}\n', 2, 0),
        ('{"id": 1, "prompt": "a", "output": "b", "score": 1.0, "extracted_output": ', 0, 0),
    ],
    ids=range(7),
)
def test_lines_of_several_records_and_torn_ones(tmp_path: Path, text: str, n_heads: int, n_halves: int) -> None:
    """A half record counts where its score is whole; what else a file ends with was cut off and is no sample yet."""
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    halves: list[HalfRecord] = []
    assert len(list(read_foreign_heads(path, "Sums", on_half=halves.append))) == n_heads
    assert len(halves) == n_halves


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"",
        b'{"id": 1, "prompt": "a", "score": 1} x',
        b'x{"id": 1, "prompt": "a", "score": 1}',
        b'{"id": 1, "prompt": "\xff", "score": 1}',
        b'{"id": 1, "prompt": "a", "output_len": "many", "score": 1, "extracted_output": ',
    ],
)
def test_what_run_eval_does_not_leave_is_refused(tmp_path: Path, line: bytes) -> None:
    """A line that is not made of records, or whose half record is of the wrong types, is named with file and line."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(ENOUGH).encode() + b"\n" + line + b"\n")
    with pytest.raises(RunDirectoryError, match=r"details/a\.jsonl:2: "):
        list(read_foreign_heads(path, "Sums"))


NOT_JSON = st.sets(st.integers()) | st.complex_numbers() | st.just(...)
EXTRACTED = st.recursive(
    st.none() | st.text() | st.integers() | NOT_JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
TEXTS = st.text() | st.sampled_from(['{"id": 1, "prompt": "', '", "score": 1.0, "extracted_output": ', "\\", "}{"])


@given(st.lists(st.tuples(TEXTS, TEXTS, EXTRACTED, st.sampled_from([0, 1.0, 0.5])), max_size=6))
def test_whatever_run_eval_writes_is_counted(
    tmp_path_factory: pytest.TempPathFactory, samples: list[tuple[str, str, Any, float]]
) -> None:
    """Whatever the texts and the extracted values, every record counts with its id and its score."""
    records = [
        a_line_of_run_eval(number, extracted, prompt=prompt, output=output, score=score)
        for number, (prompt, output, extracted, score) in enumerate(samples)
    ]
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_text(as_run_eval_writes(records), encoding="utf-8")
    heads = [head for _, _, head in read_foreign_heads(path, "Sums")]
    assert [(head.id, head.score) for head in heads] == [(record["id"], record["score"]) for record in records]
    whole = [stored.record for stored in read_foreign_records(path, "Sums") if isinstance(stored, StoredRecord)]
    written = {record["id"]: record for record in records}
    assert all(
        (record.prompt, record.output) == (written[int(record.id)]["prompt"], written[int(record.id)]["output"])
        for record in whole
    )


@pytest.mark.parametrize("counted", [[0, 1, 2], [0, 2]], ids=["with", "without"])
def test_a_line_of_meta_has_the_averages_with_or_without_half_records(tmp_path: Path, counted: list[int]) -> None:
    """A file with a half record is found by its averages, whether or not the half record is part of them."""
    (tmp_path / "details").mkdir()
    (tmp_path / "details" / "a.jsonl").write_text(as_run_eval_writes(ONE_HALF), encoding="utf-8")
    score = sum(ONE_HALF[number]["score"] for number in counted) / len(counted)
    line = {"bootcamp": "Sumsbootcamp", "avg_score": score, "avg_len": 2.0}
    (tmp_path / "meta.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert data_source_by_file(RunDir(tmp_path)) == {"a.jsonl": "Sums"}
