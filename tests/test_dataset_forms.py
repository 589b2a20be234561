"""Rows as later packages write them: the same questions, under other names and in other forms."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.dataset.rows import ChatRow, InvalidRowError, parse_heads, parse_known_row, parse_row
from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.errors import DatasetError

SYSTEM = {"role": "system", "content": "be brief"}
USER = {"role": "user", "content": "1 + 1?"}
ASSISTANT = {"role": "assistant", "content": "2"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "2 + "}, {"type": "image_url"}, {"text": "2?"}]}


def line(**values: Any) -> bytes:
    """A row as it stands in a test file; None leaves a key out."""
    row = {"data_source": "Sums", "prompt": "p", "ground_truth": 1} | values
    return json.dumps({key: value for key, value in row.items() if value is not None}).encode() + b"\n"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([USER], "1 + 1?"),
        ([SYSTEM, USER, ASSISTANT, PARTS], "2 + 2?"),
        ([USER, ASSISTANT], "1 + 1?"),
        ([USER, {"role": "assistant", "content": None, "tool_calls": []}], "1 + 1?"),
        ([USER, {"role": "user", "content": ""}], ""),
        ([USER, {"role": "user", "content": []}], ""),
    ],
)
def test_a_list_of_messages_is_kept_beside_its_last_text_of_the_user(messages: list[Any], text: str) -> None:
    """The prompt of such a row is the text of the last user message; the list itself is kept as it is."""
    row = parse_row(line(prompt=messages))
    assert isinstance(row, ChatRow)
    assert (row.prompt, json.loads(row.messages)) == (text, messages)


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        (1, "`prompt` must be a string or a list of messages, got a number"),
        ({}, "`prompt` must be a string or a list of messages, got an object"),
        ([], "`prompt` has no message of the user"),
        ([SYSTEM, ASSISTANT], "`prompt` has no message of the user"),
        (["a"], "message 1 of `prompt` must be an object, got a string"),
        ([USER, {"content": "a"}], "message 2 of `prompt` has no `role`"),
        ([{"role": "user"}], "`content` of message 1 of `prompt` must be a string or a list of parts"),
        (
            [{"role": "user", "content": ["a"]}],
            "`content` of message 1 of `prompt` must be a string or a list of parts",
        ),
        ([USER | {"x": float("nan")}], "`prompt` holds NaN or an infinity, which no request can"),
        ([USER | {"x": "\ud800"}], "a lone surrogate escape (\\ud800 to \\udfff), which is not a character"),
        ([USER | {"x": json.loads("[" * 300 + "]" * 300)}], "`prompt` is nested deeper than 200 levels"),
    ],
)
def test_malformed_messages_are_errors_with_their_place(tmp_path: Path, prompt: Any, what: str) -> None:
    """What is wrong with a list of messages is told with file and line, as any other fault of a row."""
    (tmp_path / "t.jsonl").write_bytes(line() + line(prompt=prompt))
    with pytest.raises(DatasetError) as caught:
        scan_test_dir(tmp_path)
    assert caught.value.problems == (f"t.jsonl:2: {what}",)


def test_the_ground_truth_of_a_reward_model_stands_in_for_a_missing_one() -> None:
    """`reward_model.ground_truth` counts where the row has no `ground_truth`; where neither is there, that is told."""
    assert parse_row(line(ground_truth=None, reward_model={"style": "rule", "ground_truth": "{}"})).ground_truth == "{}"
    assert parse_row(line(reward_model={"ground_truth": 2})).ground_truth == 1
    without: tuple[Any, ...] = ({"style": "rule"}, [], "rule")
    for reward_model in without:
        with pytest.raises(InvalidRowError, match="missing key `ground_truth`"):
            parse_row(line(ground_truth=None, reward_model=reward_model))


def test_the_prefix_of_a_data_source_is_left_out(tmp_path: Path) -> None:
    """`bootcamp/Sums` is Sums, in whichever way the row is read; selections see the name alone."""
    prefixed = line(data_source="bootcamp/Sums")
    heads = parse_heads([prefixed, line()])
    assert heads is not None
    assert [head.data_source for head in heads] == ["Sums", "Sums"]
    assert parse_row(prefixed) == parse_known_row(prefixed) == parse_row(line())
    with pytest.raises(InvalidRowError, match="`data_source` is empty"):
        parse_row(line(data_source="bootcamp/"))
    (tmp_path / "t.jsonl").write_bytes(prefixed + line() + line(data_source="bootcamp/bootcamp/Sums"))
    [file] = scan_test_dir(tmp_path, include=("Sums",)).files
    assert file.data_sources == (("Sums", 2),)


messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"])},
        optional={"content": st.text() | st.lists(st.fixed_dictionaries({"type": st.text(), "text": st.text()}))},
    )
)
prompts = st.text() | messages | st.integers()


@given(prompts=st.lists(prompts, min_size=1), is_prefixed=st.booleans(), has_reward_model=st.booleans())
def test_rows_of_any_form_stream_as_they_were_counted(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[Any], *, is_prefixed: bool, has_reward_model: bool
) -> None:
    """Whatever the forms of the rows of a file, the stream yields those that the scan counted, with their messages."""
    source = "bootcamp/Sums" if is_prefixed else "Sums"
    truth: dict[str, Any] = {"ground_truth": None, "reward_model": {"ground_truth": 1}} if has_reward_model else {}
    folder = tmp_path_factory.mktemp("forms")
    (folder / "t.jsonl").write_bytes(b"".join(line(data_source=source, prompt=p, **truth) for p in [*prompts, "p"]))
    [file] = scan_test_dir(folder, skip_invalid=True).files
    samples = list(iter_samples(file))
    assert (len(samples), file.data_sources) == (file.n_rows, (("Sums", file.n_rows),))
    assert sum(sample.messages is not None for sample in samples) == file.n_chats
    for sample in samples:
        written = [*prompts, "p"][sample.row]
        assert sample.ground_truth == 1
        assert (sample.prompt if sample.messages is None else json.loads(sample.messages)) == written
