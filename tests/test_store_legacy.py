"""Records that this tool did not write as they stand: typed for the verification, and kept as they are beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.store.journal import StoredRecord, read_records
from bootcamp_cli.store.legacy import REFERENCE_FIELDS
from bootcamp_cli.store.records import with_verdict
from bootcamp_cli.types import Record, Verdict
from tests.test_store_journal import a_record, as_written

ENOUGH: dict[str, Any] = {"id": 7, "prompt": "?", "output": "the 4", "ground_truth": [4], "data_source": "Sums"}
RIGHT = Verdict(score=1.0, extracted="4")


def stored(tmp_path: Path, written: dict[str, Any], data_source: str | None = None) -> StoredRecord:
    """The only record of a details file."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(written) + "\n", encoding="utf-8")
    [found] = read_records(path, data_source)
    return found


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
