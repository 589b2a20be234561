"""No command prints a secret of the settings, in its result, in its messages or in an error."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.invocation import invoke_decently, isolate
from tests.chaos.marks import leaks_in_text, marked
from tests.conftest import StartFaultServer, WriteRows

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
        ("audit", "RUN"): 0,
        ("eval", "--model-name", "demo", "--temperature", "0.5", *few): 0,
        ("compare", "RUN", "OTHER"): 0,
        ("power", "RUN"): 0,
        ("rescore", "RUN"): 0,
        ("resume", "RUN"): 0,
    }
    for words, code in ends.items():
        runs = [str(path) for path in Path("output").glob("demo_*")]
        places = {"RUN": runs[0], "OTHER": runs[-1]} if runs else {}
        said = invoke_decently(*(places.get(str(word), word) for word in words), *as_json)
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


NAME = "Qwen2.5-72B-Instruct"


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("test", "test_model"),
        ("output", "m"),
        ("resume", "m"),
        ("rows", "m"),
        (NAME, NAME),
        (f"{NAME}_test_rows", NAME),
    ],
)
def test_a_key_that_is_part_of_a_path_or_a_command_garbles_neither(
    key: str,
    model: str,
    fault_server: StartFaultServer,
    write_rows: WriteRows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command that continues a run works as it is printed, and every path is that of a file, whatever the key."""
    isolate(monkeypatch, tmp_path)
    row = {"data_source": "KorPuzzleWordLadder", "prompt": "?", "ground_truth": {"correct_steps": 3}}
    test_dir = write_rows(Path("test rows") / "test.jsonl", [row]).parent
    refusing = fault_server(test_dir=test_dir, model=model, faults=["422"])
    words = ("--model-name", model, "--test-dir", test_dir, "--api-key", key)
    said = invoke_decently("eval", "--url", refusing.url, *words)
    assert said.code == 4
    [run_dir] = Path("output").absolute().iterdir()
    assert f"run `bootcamp resume {run_dir}`" in said.err
    refusing.stop()
    server = fault_server(test_dir=test_dir, model=model, port=refusing.port)
    for more in ((), ("--json",)):
        said = invoke_decently("resume", run_dir, "--api-key", key, *more)
        assert said.code == 0
        assert f"run directory: {run_dir}\nscores: {next(run_dir.glob('*.xlsx'))}\n" in said.err
    assert json.loads(said.out)["run_dir"] == str(run_dir)
    (test_dir / "test.jsonl").write_text("test\n", encoding="utf-8")
    said = invoke_decently("eval", "--url", server.url, *words)
    assert said.code == 2
    assert f"{test_dir}" in said.err
    assert "test.jsonl:1: invalid JSON" in said.err


def test_a_short_key_that_the_server_repeats_is_masked(
    demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault_server: StartFaultServer
) -> None:
    """Even a common word, where a server names it as the key that it refuses, shows in no message and in no file."""
    isolate(monkeypatch, tmp_path)
    server = fault_server(test_dir=demo_test_dir, faults=["422"])
    words = ("--model-name", "demo", "--test-dir", demo_test_dir, "--limit", "1", "--include", "maze.jsonl")
    said = invoke_decently("eval", "--url", server.url, *words, "--api-key", "scripted")
    assert said.code == 4
    assert "HTTP 422: *** fault 422" in said.err
    [failures] = Path("output").glob("*/failures.jsonl")
    assert "scripted" not in failures.read_text(encoding="utf-8")


def test_the_demo_server_prints_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that the demo requires shows neither in its messages nor in its result."""
    isolate(monkeypatch, tmp_path)
    said = invoke_decently("demo", "--rows", "1", "--latency", "0", "--api-key", "sk-marked", "--json")
    assert said.code == 0
    assert "sk-marked" not in said.out + said.err
