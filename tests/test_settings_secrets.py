"""Secrets are masked wherever settings are shown or stored."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.settings.convert import secret_texts, shown_value
from bootcamp_cli.settings.model import EvalSettings, parameters
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.text import (
    MASK,
    Secret,
    is_secret_key,
    mask_credentials,
    mask_mapping,
    redact,
    strip_credentials,
    url_credentials,
)

SECRET_KEYS = [
    "api_key",
    "X-Api-Key",
    "apikey",
    "openaiApiKey",
    "key",
    "token",
    "hf_token",
    "accessToken",
    "secret",
    "client_secret",
    "password",
    "db-passwd",
    "Authorization",
    "auth",
    "credentials",
    "Cookie",
]
OPEN_KEYS = [
    "max_tokens",
    "max_completion_tokens",
    "stop_token_ids",
    "add_special_tokens",
    "skip_special_tokens",
    "top_k",
    "eos_token",
    "token_healing",
    "thinking_token_budget",
    "prompt_cache_key",
    "return_tokens_as_token_ids",
    "chat_template_kwargs",
    "keyword",
    "monkey",
    "author",
    "n",
    "",
]


def settings_with_secrets() -> EvalSettings:
    """Settings with the mark MARK in every place that holds a secret."""
    return EvalSettings(
        url="https://user:MARK1@host/v1?sig=MARK2&v=1",
        api_key=Secret("MARK3"),
        headers={"X-One": "MARK4"},
        extra_body={"api_key": "MARK5", "nested": [{"token": "MARK6", "max_tokens": 7}], "auth": {"user": "MARK7"}},
    )


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secret_keys(key: str) -> None:
    """Keys that say secret are masked at any depth, in lists and tables alike."""
    masked = mask_mapping({"a": [{key: "MARK"}], key: {"b": ["MARK", 5, None, True]}})
    assert masked == {"a": [{key: MASK}], key: {"b": [MASK, MASK, None, True]}}


@pytest.mark.parametrize("key", OPEN_KEYS)
def test_open_keys(key: str) -> None:
    """Generation parameters with token or key in their names are not masked."""
    assert not is_secret_key(key)
    assert mask_mapping({key: "x"}) == {key: "x"}


def test_no_mark_is_shown() -> None:
    """Neither repr nor eval_args.json nor config show holds a secret."""
    settings = settings_with_secrets()
    shown = [shown_value(parameter, getattr(settings, parameter.name)) for parameter in parameters()]
    for text in (repr(settings), json.dumps(to_eval_args(settings)), "\n".join(shown)):
        assert "MARK" not in text
        assert text.count(MASK) >= 6


def test_every_mark_is_redacted() -> None:
    """A text that quotes all secrets, as they are, in JSON and as Basic authorization, holds none afterwards."""
    settings = settings_with_secrets()
    basic = base64.b64encode(b"user:MARK1").decode()
    quoted = f"{settings.url} {settings.api_key.reveal()} {settings.headers} {settings.extra_body} Basic {basic}"
    redacted = redact(quoted, secret_texts(settings))
    assert "MARK" not in redacted
    assert basic not in redacted


@given(st.text(min_size=4))
def test_redacted_text_holds_no_secret(secret: str) -> None:
    """A secret of any characters is found in plain text and in JSON."""
    if secret in MASK * 4 or secret in json.dumps({"a": MASK}):
        return
    assert redact(f"<{secret}>", [secret]) == f"<{MASK}>"
    assert redact(json.dumps({"a": secret}), [secret]) == json.dumps({"a": MASK})


def test_secret_shows_itself_masked() -> None:
    """A secret reveals its text on demand only, and compares by it."""
    secret = Secret("MARK")
    assert (str(secret), repr(secret), f"{secret}") == (MASK, MASK, MASK)
    assert secret.reveal() == "MARK"
    assert secret == Secret("MARK") != Secret("other")
    assert hash(secret) == hash(Secret("MARK"))


def test_empty_key_is_no_secret() -> None:
    """The key EMPTY is stored and shown as it is, and nothing is redacted for it."""
    assert to_eval_args(EvalSettings())["api_key"] == "EMPTY"
    assert secret_texts(EvalSettings()) == ()


def test_url_credentials() -> None:
    """Credentials of a URL are taken out, masked or read, percent-decoded."""
    url = "https://us%40er:p%2Fw@host:1/v1?a=b"
    assert strip_credentials(url) == "https://host:1/v1?a=b"
    assert mask_credentials(url) == "https://***@host:1/v1?a=b"
    assert url_credentials(url) == ("us@er", "p/w")
    assert url_credentials("https://host/v1") is None
    assert mask_credentials("https://host/v1") == "https://host/v1"


def test_secret_query_is_masked() -> None:
    """Values of a URL's query whose names say secret are masked, others stay."""
    assert mask_credentials("http://h/v1?api-version=1&api-key=k") == "http://h/v1?api-version=1&api-key=***"
