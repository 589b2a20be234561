"""`bootcamp config show`: every value and its source."""

import json
from pathlib import Path

import pytest

from bootcamp_cli.__main__ import main
from bootcamp_cli.settings.model import parameters


@pytest.fixture(autouse=True)
def _only_these_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory and home, and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY", *(p.env for p in parameters())):
        monkeypatch.delenv(variable, raising=False)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    """The JSON result of `config show`."""
    assert main(["config", "show", "--json", *words]) == 0
    data: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
    return data


def test_every_parameter_is_shown_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each parameter has a value and a source: flag, variable, file or default."""
    Path("bootcamp.toml").write_text("max_retries = 3\n")
    monkeypatch.setenv("BOOTCAMP_TEMPLATE", "qwen")
    data = shown(capsys, "--max_tokens", "5", "--resume")
    assert list(data) == [parameter.name for parameter in parameters()]
    assert data["max_tokens"] == {"value": 5, "source": "flag", "place": "--max-tokens"}
    assert data["resume"]["value"] is True
    assert (data["template"]["value"], data["template"]["source"]) == ("qwen", "environment")
    assert (data["max_retries"]["value"], data["max_retries"]["source"]) == (3, "file")
    assert data["temperature"]["source"] == "default"


def test_the_table_names_the_place_of_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json a line per parameter says the value and where it stands."""
    Path("mine.toml").write_text('[profile.fast]\ntimeout = "90s"\n')
    assert main(["config", "show", "--config", "mine.toml", "--profile", "fast"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["parameter", "value", "source"]
    [timeout] = [line for line in lines if line.startswith("timeout ")]
    assert "1m30s" in timeout
    assert "mine.toml" in timeout


@pytest.mark.parametrize("as_json", [["--json"], []])
def test_secrets_are_masked(as_json: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Key, header values and credentials in the URL are not shown, in either form."""
    words = ["--api-key", "sk-marked", "--headers", '{"X-Team": "marked-header"}', "--url", "http://me:marked-pw@h/v1"]
    assert main(["config", "show", *as_json, *words]) == 0
    captured = capsys.readouterr()
    assert "marked" not in captured.out + captured.err
    assert "X-Team" in captured.out


def test_a_wrong_value_names_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that cannot be is an error of one line with the flag, exit 2."""
    assert main(["config", "show", "--max-tokens", "0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "bootcamp: error: --max-tokens: must be at least 1, got 0\n"
