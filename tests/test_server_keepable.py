"""What of a server's own objects may be kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.server.failures import MAX_DEPTH, MAX_KEPT_CHARS, is_keepable
from bootcamp_cli.types import MAX_LEN, Answer

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


def nested(levels: int) -> Any:
    """Lists within lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@given(values)
def test_what_is_keepable_is_read_back_as_it_was(value: Any) -> None:
    """A value that may be kept goes through JSON in UTF-8 and comes back the same."""
    if is_keepable(value):
        assert json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        nested(MAX_DEPTH + 1),
        nested(5000),
        "x" * (MAX_KEPT_CHARS + 1),
        [0] * (MAX_KEPT_CHARS + 1),
        {"\ud800": 1},
        [1e999],
    ],
    ids=["deep", "very deep", "long text", "long list", "no text", "infinite"],
)
def test_what_nobody_could_read_is_not_kept(value: Any) -> None:
    """Too deep, too large, or not to be written as UTF-8 JSON."""
    assert not is_keepable(value)


def test_usual_objects_are_kept() -> None:
    """Usage with details and a model entry are far within the limits."""
    assert is_keepable(nested(MAX_DEPTH))
    assert is_keepable({"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3, "audio": None}})


@pytest.mark.parametrize(
    ("count", "used"),
    [(0, 0), (MAX_LEN, MAX_LEN), (MAX_LEN + 1, None), (10**400, None), (-1, None), (True, None), (1.0, None)],
)
def test_token_counts_that_cannot_be_true_are_none(count: Any, used: int | None) -> None:
    """A count is a whole number that the sums of a report can take."""
    assert Answer(text="x", usage={"completion_tokens": count}).completion_tokens == used
