"""The body of a request."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.settings.model import Settings, body_values
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
