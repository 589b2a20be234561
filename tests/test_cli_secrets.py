"""No command prints a secret of the settings, in its result, in its messages or in an error."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.invocation import invoke_decently, isolate
from tests.chaos.marks import leaks_in_text, marked
from tests.conftest import StartFaultServer

SHORT = "u:p"
"""Credentials that are too short to be looked for in messages."""


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_no_command_prints_a_secret_of_the_settings(
    as_json: tuple[str, ...],
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every command that reads settings prints what it is asked for, as text and as JSON, without any of the marks."""
    isolate(monkeypatch, tmp_path)
    call = marked("url", fault_server(test_dir=demo_test_dir).url)
    for name, value in call.environment.items():
        monkeypatch.setenv(name, value)
    Path("bootcamp.toml").write_text(f"url = {json.dumps(call.url)}\n{call.toml}", encoding="utf-8")
    few = ("--test-dir", str(demo_test_dir), "--limit", "1", "--include", "sudoku.jsonl")
    ends = {
        ("check-model",): 0,
        ("check-model", "--probe"): 0,
        ("check-model", "--model-name", "other", "--wait", "0"): 4,
        ("config", "show"): 0,
        ("templates", "list"): 0,
        ("templates", "show", "r1"): 0,
        ("bootcamps", "list"): 0,
        ("eval", "--model-name", "demo", *few): 0,
        ("report", "RUN"): 0,
        ("rescore", "RUN"): 0,
        ("resume", "RUN"): 0,
    }
    for words, code in ends.items():
        runs = [str(path) for path in Path("output").glob("demo_*")]
        said = invoke_decently(*(runs[0] if word == "RUN" else word for word in words), *as_json)
        assert said.code == code, said
        assert said.out or not as_json, said
        assert leaks_in_text(said.out + said.err) == [], words


@pytest.mark.parametrize("words", [("check-model",), ("check-model", "--probe"), ("config", "show")])
def test_the_urls_credentials_are_masked_however_short(
    words: tuple[str, ...],
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a result the URL stands as in eval_args.json: with a mask in place of user and password."""
    isolate(monkeypatch, tmp_path)
    url = fault_server(test_dir=demo_test_dir).url
    said = invoke_decently(*words, "--url", url.replace("//", f"//{SHORT}@"), "--json")
    assert said.code == 0
    shown = json.loads(said.out)["url"]
    assert (shown if isinstance(shown, str) else shown["value"]) == url.replace("//", "//***@")
    assert SHORT not in said.out + said.err


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_probe_that_fails_shows_no_credentials(
    as_json: tuple[str, ...],
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error of a probe names the server without the credentials of the URL, however short they are."""
    isolate(monkeypatch, tmp_path)
    url = fault_server(test_dir=demo_test_dir, faults=["500"]).url
    said = invoke_decently("check-model", "--probe", "--url", url.replace("//", f"//{SHORT}@"), *as_json)
    assert said.code == 4
    assert f"{urlsplit(url).netloc}/v1: the probe failed" in said.err
    assert SHORT not in said.out + said.err


def test_the_demo_server_prints_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that the demo requires shows neither in its messages nor in its result."""
    isolate(monkeypatch, tmp_path)
    said = invoke_decently("demo", "--rows", "1", "--latency", "0", "--api-key", "sk-marked", "--json")
    assert said.code == 0
    assert "sk-marked" not in said.out + said.err
