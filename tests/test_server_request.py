"""The body of a request."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.server.request import way_around
from bootcamp_cli.settings.model import Settings, body_values
from bootcamp_cli.types import encode
from tests.raw_server import config


def payload(prompt: str = "p", **changes: Any) -> dict[str, Any]:
    """The body as the server reads it."""
    body = json.loads(config(**changes).body(prompt))
    assert isinstance(body, dict)
    return body


def test_only_what_is_set_is_sent() -> None:
    """Without optional parameters the body holds the four necessary ones alone."""
    assert payload() == {"model": "m", "prompt": "p", "max_tokens": 100, "temperature": 0.0}


def test_every_value_is_sent_when_set() -> None:
    """Sampling parameters, zero included, and stop words are sent under the names of the API."""
    settings = Settings(model_name="m", max_tokens=100, top_p=0.5, top_k=0, min_p=0.0, seed=0, stop=("a", "b"))
    chosen = {"top_p": 0.5, "top_k": 0, "min_p": 0.0, "seed": 0, "stop": ["a", "b"]}
    assert payload(**body_values(settings)) == payload() | chosen


def test_penalties_are_sent_when_set() -> None:
    """The three penalties go into the body under the names of vLLM and of OpenAI, zero included."""
    sent = body_values(Settings(repetition_penalty=1.1, presence_penalty=0.0, frequency_penalty=-2.0))
    assert sent.items() >= {"repetition_penalty": 1.1, "presence_penalty": 0.0, "frequency_penalty": -2.0}.items()


def test_keys_stand_in_one_order() -> None:
    """The bytes of a body are always the same: model, prompt, parameters, stop words, stream, then extra_body."""
    settings = Settings(model_name="m", max_tokens=5, top_p=0.5, seed=0, stop=("a",), stream=True)
    assert config(**body_values(settings), extra_body={"x": 1}).body("p") == (
        b'{"model":"m","prompt":"p","max_tokens":5,"temperature":0.0,"top_p":0.5,"seed":0,"stop":["a"],'
        b'"stream":true,"stream_options":{"include_usage":true},"x":1}'
    )


def test_other_values_leave_the_rest() -> None:
    """A configuration with other values is the same in everything else, the order of the keys included."""
    before = config(seed=1)
    after = before.sending(max_tokens=7)
    assert after.body("p") == before.body("p").replace(b'"max_tokens":100', b'"max_tokens":7')


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.none() | st.text(max_size=9))
def test_a_list_of_messages_is_sent_as_it_is(messages: list[dict[str, Any]], sys_prompt: str | None) -> None:
    """Messages stand in the place of those of chat mode, system prompt included; everything else is the same."""
    chat = config(api_mode="chat_completion", sys_prompt=sys_prompt, seed=1)
    body = json.loads(chat.body("p", 2, max_tokens=7, messages=encode(messages)))
    assert body == json.loads(chat.body("p", 2, max_tokens=7)) | {"messages": messages}


@pytest.mark.parametrize(
    ("sys_prompt", "roles"), [(None, ["user"]), ("be brief", ["system", "user"]), ("", ["system", "user"])]
)
def test_chat_mode_sends_messages(sys_prompt: str | None, roles: list[str]) -> None:
    """In chat mode the prompt is the user's message, after the system prompt if there is one."""
    body = payload(api_mode="chat_completion", sys_prompt=sys_prompt)
    assert "prompt" not in body
    assert [message["role"] for message in body["messages"]] == roles
    assert body["messages"][-1]["content"] == "p"


def test_completion_mode_sends_no_system_prompt() -> None:
    """In completion mode the system prompt has no effect."""
    assert payload(sys_prompt="be brief") == payload()


def test_extra_body_goes_last() -> None:
    """Keys of extra_body stand at the top level and win."""
    body = payload(extra_body={"add_special_tokens": False, "max_tokens": 5})
    assert (body["add_special_tokens"], body["max_tokens"]) == (False, 5)


def test_a_null_in_extra_body_leaves_the_key_out() -> None:
    """Null takes a parameter, or what comes with a stream, out of the body; a null further down is sent."""
    body = payload(stream=True, extra_body={"temperature": None, "stream_options": None, "nested": {"x": None}})
    assert body == {"model": "m", "prompt": "p", "max_tokens": 100, "stream": True, "nested": {"x": None}}


def test_the_limit_has_the_key_that_is_wanted() -> None:
    """max_tokens is sent under max_tokens_field alone, also where another value replaces it."""
    renamed = replace(config(), max_tokens_field="max_completion_tokens").sending(max_tokens=7)
    assert json.loads(renamed.body("p")) == {"model": "m", "prompt": "p", "max_completion_tokens": 7, "temperature": 0}


@pytest.mark.parametrize("name", ["max_tokens", "temperature", "stop", "stream_options", "stream", "seed"])
def test_what_is_omitted_is_not_sent(name: str) -> None:
    """A key is left out of every body, of whatever repeat and with whatever other values; all others stay."""
    whole = config(stop=["a"], stream=True, seed=1)
    lacking = replace(whole, omit=(name,))
    gone = {name, "stream_options"} if name == "stream" else {name}
    for one, other in ((whole, lacking), (whole.sending(**{name: 1}), lacking.sending(**{name: 1}))):
        before, after = json.loads(one.body("p", 1)), json.loads(other.body("p", 1))
        assert after == {key: value for key, value in before.items() if key not in gone}
    assert lacking.stream is (name != "stream")


def test_a_renamed_limit_can_be_omitted_by_either_name() -> None:
    """What is left out is the limit, whichever of its two names was given."""
    for name in ("max_tokens", "max_completion_tokens"):
        body = replace(config(), max_tokens_field="max_completion_tokens", omit=(name,)).body("p")
        assert sorted(json.loads(body)) == ["model", "prompt", "temperature"]


UNSUPPORTED = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (UNSUPPORTED, "--max-tokens-field max_completion_tokens"),
        ("max_tokens: Extra inputs are not permitted", "--omit max_tokens"),
        ("'max_tokens' or 'max_completion_tokens' is too large: 32768", "another --max-tokens"),
        ("'temperature' does not support 0 with this model", "another --temperature, or --omit temperature"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "another --stop, or --omit stop"),
        ("Extra inputs are not permitted (['body', 'stream_options'])", "--omit stream_options"),
        ("Unrecognized request argument supplied: top_k", "another --top-k, or --omit top_k"),
        ("please stop, the model streams no seed", None),
        ("This model's maximum context length is 4096 tokens", None),
        ("xmax_tokens, max_tokens_per_day", None),
    ],
)
def test_a_refusal_names_its_flag(words: str, way: str | None) -> None:
    """What a server says of a key that the tool sends leads to the flag that changes it; common words do not."""
    assert way_around(words) == way


def test_text_is_sent_as_it_is() -> None:
    """Non-ASCII text is UTF-8 in the body, not escaped."""
    assert "｜täglich" in config().body("｜täglich").decode()


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from("\ud83d\ude00")))
def test_any_prompt_arrives(prompt: str) -> None:
    """Every string, lone surrogates included, has the same UTF-16 at the server."""
    arrived = json.loads(config().body(prompt))["prompt"]
    assert arrived.encode("utf-16", "surrogatepass") == prompt.encode("utf-16", "surrogatepass")


def test_room_is_what_the_context_leaves() -> None:
    """With max_tokens auto the same prompt always gets the same number, and the system prompt counts."""
    auto = replace(config(max_tokens="auto"), context_length=1000)
    assert (auto.room("p" * 300), auto.room("ü" * 150)) == (836, 836)
    assert replace(auto, api_mode="chat_completion", sys_prompt="s" * 30).room("p" * 300) == 826
    assert auto.room("p" * 10_000) == 1
    assert json.loads(auto.body("p", 1, max_tokens=836))["max_tokens"] == 836
    assert config().room("p") is None
    assert replace(auto, extra_body={"max_tokens": 5}).room("p") is None
