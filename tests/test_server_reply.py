"""Whole replies: what is an answer and what is not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.analysis.counting import TokenCounter
from bootcamp_cli.server.failures import CUT_OFF, AttemptFailed, server_words
from bootcamp_cli.server.response import parse_reply
from bootcamp_cli.settings.model import ApiMode
from bootcamp_cli.store.records import UsageHead
from bootcamp_cli.text import MAX_RAW_CHARS
from bootcamp_cli.types import Answer
from tests.raw_server import completion


def chat(message: Any, finish_reason: Any = "stop", **more: Any) -> dict[str, Any]:
    """A body of /chat/completions."""
    return {"choices": [{"message": message, "finish_reason": finish_reason}], **more}


def parsed(reply: Any, api_mode: ApiMode = "chat_completion") -> Answer:
    """The answer in a reply."""
    return parse_reply(json.dumps(reply).encode(), api_mode)


@pytest.mark.parametrize(
    ("message", "finish_reason", "answer"),
    [
        ({"content": "a"}, "stop", Answer(text="a", finish_reason="stop")),
        ({"content": "a"}, None, Answer(text="a")),
        ({"content": None}, "length", Answer(text="", finish_reason="length")),
        ({"content": ""}, "stop", Answer(text="", finish_reason="stop")),
        ({}, "stop", Answer(text="", finish_reason="stop")),
        (None, "tool_calls", Answer(text="", finish_reason="tool_calls")),
        ({"content": None, "reasoning_content": "r"}, None, Answer(text="", reasoning="r")),
        ({"content": "a", "reasoning": "r"}, "stop", Answer(text="a", reasoning="r", finish_reason="stop")),
        ({"content": "a", "reasoning_content": "", "reasoning": None}, "stop", Answer(text="a", finish_reason="stop")),
        ({"content": "a"}, 5, Answer(text="a")),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "image"}, "b", {"text": "c"}]},
            "stop",
            Answer(text="abc", finish_reason="stop"),
        ),
    ],
)
def test_answers(message: Any, finish_reason: Any, answer: Answer) -> None:
    """Text, or reasoning, or a finish_reason makes an answer; null is empty text; parts are joined."""
    assert parsed(chat(message, finish_reason)) == answer


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [],
        None,
        {"choices": None},
        {"choices": []},
        {"choices": "a"},
        {"choices": {"a": 1}},
        {"choices": ["a"]},
        chat({"content": None}, None),
        chat({"content": ""}, ""),
        chat("a"),
        chat({"content": 5}),
        chat({"content": {"text": "a"}}),
        chat({"content": [5]}),
        chat({"content": [{"text": 5}]}),
        chat({"content": "a", "reasoning": {"steps": []}}),
        chat({"content": "a"}, error={"message": "no"}),
        {"choices": [{"message": {"content": "a"}, "error": {"message": "no"}}]},
        {"error": "no"},
        {"detail": "no"},
    ],
)
def test_no_answers(reply: Any) -> None:
    """Replies without a usable choice, with wrong types or with an error are bad responses."""
    with pytest.raises(AttemptFailed) as caught:
        parsed(reply)
    assert (caught.value.kind, caught.value.retryable) == ("bad_response", True)


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "I think: "}, {"type": "text", "text": "[[1]]"}]}


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": [THOUGHT, {"type": "text", "text": "[[42]]"}]}, "[[42]]", "I think: [[1]]"),
        ({"content": [{"type": "thinking", "thinking": "r"}, "a"]}, "a", "r"),
        ({"content": [THOUGHT]}, "", "I think: [[1]]"),
        ({"content": [THOUGHT, "a"], "reasoning_content": "r"}, "a", "r"),
        ({"content": [{"type": "thinking"}, "a"]}, "a", None),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", None),
        ({"content": "a", "refusal": None}, "a", None),
        ({"content": "a", "refusal": "no"}, "a", None),
    ],
)
def test_text_in_parts(message: dict[str, Any], text: str, reasoning: str | None) -> None:
    """Thinking among the parts of the content is reasoning, never answer; a refusal is the text where there is none."""
    assert parsed(chat(message)) == Answer(text=text, reasoning=reasoning, finish_reason="stop")


@pytest.mark.parametrize(
    ("usage", "n"),
    [
        ({"completion_tokens": 5}, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, 5),
        ({"completion_tokens": 500, "completion_tokens_details": {"reasoning_tokens": 400}}, 500),
        ({"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6, "reasoning_tokens": 9}, 5),
        (
            {
                "prompt_tokens": 21,
                "completion_tokens": 4,
                "total_tokens": 4121,
                "completion_tokens_details": {"reasoning_tokens": 4096},
            },
            4100,
        ),
        ({"prompt_tokens": 21, "completion_tokens": 4, "total_tokens": 4121}, 4100),
        ({"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 4121}, 4100),
        ({"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 96}}, 100),
        ({"prompt_tokens": 21, "completion_tokens": 4, "total_tokens": 3}, 4),
        ({"completion_tokens": 4, "total_tokens": 1e308, "completion_tokens_details": [1]}, 4),
        ({"completion_tokens": True}, None),
        ({"completion_tokens": -1, "total_tokens": 9, "prompt_tokens": 1}, None),
        ({"total_tokens": 9, "prompt_tokens": 1}, None),
    ],
)
def test_the_length_counts_the_thinking(usage: dict[str, Any], n: int | None) -> None:
    """Where a server counts reasoning beside the completion, the length of the answer is both."""
    assert Answer(text="a", usage=usage).completion_tokens == n
    counter = TokenCounter()
    counter.add(msgspec.convert(usage, UsageHead))
    assert counter.totals().completion == n


@pytest.mark.parametrize("reason", sorted(CUT_OFF))
@pytest.mark.parametrize("mode", ["completion", "chat_completion"])
def test_what_the_server_cut_off_is_no_answer(reason: str, mode: ApiMode) -> None:
    """A finish_reason by which a server admits that it stopped is a failed attempt, however much text there is."""
    reply = completion("half", reason) if mode == "completion" else chat({"content": "half"}, reason)
    with pytest.raises(AttemptFailed, match=f"finish_reason {reason}") as caught:
        parsed(reply, mode)
    assert (caught.value.kind, caught.value.retryable, caught.value.scope) == ("cut_off", True, "sample")


def test_what_the_server_says_of_a_cut_is_kept() -> None:
    """An error beside such a finish_reason is the explanation, not another kind of failure."""
    with pytest.raises(AttemptFailed, match="provider is gone") as caught:
        parsed({"choices": [{"text": "", "finish_reason": "error", "error": {"message": "provider is gone"}}]})
    assert caught.value.kind == "cut_off"


@pytest.mark.parametrize("reason", ["Abort", "aborted", "content_filter", "tool_calls", "eos_token", "", None])
def test_any_other_finish_reason_is_an_answer(reason: str | None) -> None:
    """Only the names of the table, as they are written there, say that an answer was cut off."""
    assert parsed(chat({"content": "a"}, reason)) == Answer(text="a", finish_reason=reason or None)


def test_an_error_shows_the_servers_words() -> None:
    """The message of an error with status 200 is the server's."""
    with pytest.raises(AttemptFailed, match=r"an error with status 200: out of \\x07 memory"):
        parsed({"error": {"message": "out of \a\nmemory", "code": 500}})


@pytest.mark.parametrize("usage", [5, "x", [], None, {"total_tokens": "\ud800"}])
def test_ill_formed_usage_is_left_out(usage: Any) -> None:
    """A usage that is no object or cannot be written does not cost the answer."""
    assert parsed(completion(usage=usage), "completion").usage is None


def test_numbers_that_are_no_json_become_null() -> None:
    """NaN and infinite numbers of a sloppy server do not get into the record."""
    body = b'{"choices": [{"text": "a", "logprobs": [-Infinity]}], "usage": {"cost": NaN, "n": 1e999, "m": 1.5}}'
    assert parse_reply(body, "completion").usage == {"cost": None, "n": None, "m": 1.5}


def test_text_can_be_written_as_utf8() -> None:
    """Lone surrogates in a reply are replaced, and escaped pairs are their character."""
    answer = parse_reply(rb'{"choices": [{"text": "\ud83d\ude00 \ud83d"}]}', "completion")
    assert answer.text == "\U0001f600 \ufffd"


def test_the_choice_of_index_0_is_the_answer() -> None:
    """Of several choices that of index 0 counts, wherever it stands, and the first where there is none."""
    body = b'{"choices": [{"index": %d, "text": "a"}, {"index": %d, "text": "b"}]}'
    texts = [parse_reply(body % indices, "completion").text for indices in ((0, 1), (1, 0), (1, 2))]
    assert texts == ["a", "b", "a"]


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"choices":' * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_hostile_json(body: bytes) -> None:
    """Nesting and numbers beyond what Python reads are bad responses."""
    with pytest.raises(AttemptFailed):
        parse_reply(body, "completion")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "text", "content", "reasoning", "error", "usage", "finish_reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()), chats=st.booleans())
def test_any_body_is_an_answer_or_a_bad_response(body: bytes, chats: bool) -> None:  # noqa: FBT001 - drawn
    """No body raises anything but AttemptFailed, and every answer's text can be written."""
    try:
        answer = parse_reply(body, "chat_completion" if chats else "completion")
    except AttemptFailed as failure:
        assert failure.kind == "bad_response"  # noqa: PT017 - an answer is right as well
    else:
        assert answer.text.encode() or answer.reasoning or answer.finish_reason


@pytest.mark.parametrize("value", [b"[],", b'{"a":1},', b'1,"\\\\",', b'"[,\\"{",'])
def test_millions_of_values_are_not_read(value: bytes) -> None:
    """A reply of a few MB that would take hundreds of MB as lists, and the interpreter for a second, is refused."""
    many = value * 1_000_001
    with pytest.raises(AttemptFailed, match="more than 1000000 values"):
        parse_reply(b'{"choices": [{"text": "a"}], "x": [%b0]}' % many, "completion")


@pytest.mark.parametrize("value", [",", '[,"{\\', '\\",', '\\\\",[', '"'])
def test_millions_of_separators_in_a_text_are_read(value: str) -> None:
    """What stands in a text counts for nothing, however it is escaped and wherever the reply is cut to be counted."""
    text = "x" + value * 1_500_000
    assert parse_reply(json.dumps(completion(text)).encode(), "completion").text == text


def test_the_words_of_a_large_reply() -> None:
    """Of a reply that is no answer and large the beginning is shown, and of its place nothing."""
    assert server_words({"odd": list(range(100_000))}).startswith('{"odd":[0,1,2,')
    assert len(server_words({"odd": list(range(100_000))})) == MAX_RAW_CHARS
    assert server_words({"detail": [{"msg": "no", "loc": [1] * 100_000}]}) == "no"


@given(st.text(min_size=1, max_size=50))
def test_a_text_is_handed_on_unchanged(text: str) -> None:
    """The text of an answer is the text that the server sent."""
    assert parsed(completion(text), "completion").text == text
