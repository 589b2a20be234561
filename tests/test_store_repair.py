"""What counts as the start of a record, and what is someone else's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.journal import repair_tail
from bootcamp_cli.store.records import is_torn
from bootcamp_cli.types import encode

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), st.data())
def test_every_start_of_a_record_is_torn(record: dict[str, Any], data: st.DataObject) -> None:
    """A record that was cut off at any byte is recognised, also where a power cut left NULs behind it."""
    line = encode(record)
    cut = line[: data.draw(st.integers(min_value=0, max_value=len(line) - 1))]
    assert is_torn(cut)
    assert is_torn(cut + bytes(data.draw(st.integers(min_value=0, max_value=9))))


@pytest.mark.parametrize(
    "tail",
    [
        b"a note",
        b"[1, 2",
        b'{"id": 1}',
        b'{"id": 1} {',
        b'{"id": x',
        b'{"id": "caf\xe9", ',
        b'{"id": "a\tb',
        b'{"id": 1,\n',
        '{"id": 1'.encode("utf-16-le"),
    ],
)
def test_what_is_no_start_of_a_record_is_never_cut(tail: bytes, tmp_path: Any) -> None:
    """Other text, other encodings, whole records and whole lines are not torn, and no byte of them is removed."""
    assert not is_torn(tail)
    if tail.endswith(b"\n") or tail == b'{"id": 1}':
        return
    path = tmp_path / "a.jsonl"
    content = json.dumps({"id": 0}).encode() + b"\n" + tail
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="nothing was changed"):
        repair_tail(path)
    assert path.read_bytes() == content
