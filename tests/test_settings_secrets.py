"""Secrets are masked wherever settings are shown or stored."""

import base64
import json
from pathlib import Path

import pytest

from bootcamp_cli.settings.convert import secrets_of, shown_names, shown_value
from bootcamp_cli.settings.model import Settings, parameters
from bootcamp_cli.settings.stored import to_eval_args
from bootcamp_cli.text import MASK, Secret, Secrets


def settings_with_secrets() -> Settings:
    """Settings with the mark MARK in every place that holds a secret."""
    return Settings(
        url="https://user:MARK1@host/v1?sig=MARK2&v=1",
        api_key=Secret("MARK3"),
        serve="""env TOKEN=MARK8 vllm serve M --api-key 'MARK9' --config '{"api_key": "MARK10"}' http://u:MARK11@h/""",
        headers={"X-One": "MARK4"},
        extra_body={"api_key": "MARK5", "nested": [{"token": "MARK6", "max_tokens": 7}], "auth": {"user": "MARK7"}},
    )


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
    redacted = Secrets.of(secrets_of(settings)).redact(f"{quoted} {settings.serve}")
    assert "MARK" not in redacted
    assert basic not in redacted


def test_empty_key_is_no_secret() -> None:
    """The key EMPTY is stored and shown as it is, and nothing is redacted for it."""
    assert to_eval_args(Settings())["api_key"] == "EMPTY"
    assert secrets_of(Settings()) == ()


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5000, "loop/loop"])
def test_names_that_are_shown_are_not_looked_up(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that no file can have is shown like any other, as it was given and from the root."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    shown = shown_names(Settings(model_name="m", test_dir=Path(path), output_dir=Path("out")))
    assert set(shown) == {"m", path, str(tmp_path / path), "out", str(tmp_path / "out")}
