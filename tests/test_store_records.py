"""Lines of details read by their types: what is meant is taken, what is damaged is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import read_records
from bootcamp_cli.store.records import RecordHead, read_heads
from bootcamp_cli.types import encode, encode_exactly, encode_line, encode_record
from tests.test_store_journal import a_record


def written(path: Path, *records: dict[str, Any]) -> Path:
    """A details file with these records."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def heads(path: Path, *, foreign: bool) -> list[RecordHead]:
    """What counts of each record of a file."""
    return [head for _, _, head in read_heads(path, foreign=foreign)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", "1.0"),
        ("score", [1]),
        ("output_len", "12"),
        ("output_len", -1),
        ("output_len", True),
        ("output_len", 1.5),
        ("output_len", 2**60),
        ("data_source", 3),
        ("failure", {"kind": "x"}),
        ("row", "4"),
        ("row", 4.0),
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_ill_typed_fields_are_errors_with_their_place(tmp_path: Path, field: str, value: Any, *, foreign: bool) -> None:
    """A field of a wrong type is refused with file, line and value, wherever the file comes from."""
    good = {"row": 3, "score": None}
    path = written(tmp_path / "a.jsonl", good, good | {field: value})
    with pytest.raises(RunDirectoryError) as caught:
        heads(path, foreign=foreign)
    assert str(caught.value).startswith(f"details/a.jsonl:2: {field} is {value!r}, not ")


def test_a_repeat_that_is_none_is_an_error_in_a_run_and_somebody_elses_key_elsewhere(tmp_path: Path) -> None:
    """In a run of this tool `repeat` must be a count; in a foreign file a key of that name may mean anything."""
    path = written(tmp_path / "a.jsonl", {"row": 3, "score": None, "repeat": "a"})
    with pytest.raises(RunDirectoryError, match="repeat is 'a', not the number of a repeat"):
        heads(path, foreign=False)
    assert [head.repeat for head in heads(path, foreign=True)] == [0]


@pytest.mark.parametrize(
    ("score", "expected"),
    [(True, 1.0), (False, 0.0), (10**400, None), (float("nan"), None), (float("inf"), None), (7, 7.0), (None, None)],
)
def test_scores_of_foreign_files_are_taken_as_they_are_meant(
    tmp_path: Path, score: Any, expected: float | None
) -> None:
    """JSON's true and false are 1 and 0; what is no finite number is a failure of the verifier."""
    [head] = heads(written(tmp_path / "a.jsonl", {"score": score}), foreign=True)
    assert head.score == expected
    assert head.failure == ("verifier_error" if expected is None and score is not None else None)


counts = st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers(), max_size=2)
usages = st.none() | st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "reasoning_tokens", "completion_tokens_details", "other"]),
    counts,
)


@pytest.mark.parametrize("usage", [5, "12 tokens", [1], True])
def test_a_usage_that_is_no_object_is_none(tmp_path: Path, usage: Any) -> None:
    """A record whose usage is not an object is read like one without."""
    path = written(tmp_path / "a.jsonl", {"row": 3, "score": 1.0, "usage": usage}, {"row": 4, "score": 1.0})
    assert [head.usage for head in heads(path, foreign=False)] == [None, None]
    assert [head.usage for head in heads(path, foreign=True)] == [None, None]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"row": st.integers(0, 99), "score": st.none() | st.floats(allow_nan=False, allow_infinity=False)},
            optional={
                "id": st.integers() | st.text(),
                "data_source": st.text(),
                "failure": st.sampled_from(["verifier_crash", "unscored"]),
                "output_len": st.integers(0, 2**53),
                "output_len_estimated": st.booleans(),
                "finish_reason": st.none() | st.text(),
                "repeat": st.integers(0, 9),
                "note": st.text(),
                "usage": usages,
            },
        ),
        min_size=1,
    )
)
def test_both_ways_of_reading_agree(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> None:
    """A batch with one line that takes the slow way has the same heads as one without."""
    folder = tmp_path_factory.mktemp("ways")
    fast = heads(written(folder / "fast.jsonl", *records), foreign=False)
    slow = heads(written(folder / "slow.jsonl", *records, {"score": None, "prompt": "\ud800"}), foreign=False)
    assert len(slow) == len(fast) + 1
    for one, other in zip(fast, slow, strict=False):
        for name in ("id", "row", "repeat", "data_source", "score", "failure", "output_len", "finish_reason", "usage"):
            assert getattr(one, name) == getattr(other, name)
        assert (one.output_len_estimated is True) == (other.output_len_estimated is True)


TEXTS = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_written_exactly_is_read_by_pythons_json(value: Any) -> None:
    """Whatever the value, JSON that is written exactly reads like Python's own; without odd parts it is the usual."""
    written = encode_exactly(value)
    assert b"\n" not in written
    assert repr(json.loads(written)) == repr(json.loads(json.dumps(value)))
    text = json.dumps(value)
    if not any(odd in text for odd in ("NaN", "Infinity", "\\ud")):
        assert written == encode(value)


@given(truth=VALUES, extracted=VALUES)
def test_records_keep_any_value(tmp_path_factory: pytest.TempPathFactory, truth: Any, extracted: Any) -> None:
    """Ground truth and extracted value come back from the details as they were, also after rescoring."""
    record = replace(a_record(0), ground_truth=truth, extracted_output=extracted)
    path = tmp_path_factory.mktemp("values") / "a.jsonl"
    path.write_bytes(encode_record(record))
    same = [json.loads(json.dumps(value)) for value in (truth, extracted)]
    for _ in range(2):
        [stored] = read_records(path)
        assert repr([stored.record.ground_truth, stored.record.extracted_output]) == repr(same)
        assert replace(stored.record, ground_truth=None, extracted_output=None) == replace(
            record, ground_truth=None, extracted_output=None
        )
        [head] = heads(path, foreign=False)
        assert (head.row, head.score, head.output_len) == (0, record.score, record.output_len)
        path.write_bytes(stored.encode(stored.record))


def test_ordinary_records_are_written_as_ever() -> None:
    """A record without NaN and infinities has the bytes that msgspec gives it, nulls included."""
    for value in (None, "NaN", [None, 1.5], {"a": None}, 3, 1.5):
        record = replace(a_record(0), ground_truth=value, extracted_output=value)
        assert encode_record(record) == encode_line(record)
    odd = replace(a_record(0), ground_truth=[None, float("inf"), "\u00e9"], extracted_output=float("nan"))
    line = encode_record(odd).decode()
    assert '"ground_truth":[null,Infinity,"\u00e9"]' in line
    assert '"extracted_output":NaN' in line
    assert list(json.loads(line)) == list(json.loads(encode_line(odd)))
