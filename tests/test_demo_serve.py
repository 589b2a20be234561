"""`bootcamp demo --serve`: the demo server in the foreground."""

import json
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import RunBootcamp, StartBootcamp


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line on stdout, which comes when the server listens."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 30)[0]
    return process.stdout.readline()


def records_of(run_dir: Path) -> list[dict[str, Any]]:
    """The records of a run directory."""
    texts = [path.read_text(encoding="utf-8") for path in (run_dir / "details").iterdir()]
    return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_an_evaluation_until_a_signal(
    number: signal.Signals, start_bootcamp: StartBootcamp, run_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """The URL is on stdout; an evaluation of its test dir completes; then the signal ends it with exit code 0."""
    process = start_bootcamp("demo", "--serve", "--rows", "2", "--latency", "0", "--tokens", "60")
    url = first_line(process).strip()
    assert process.stderr is not None
    said = process.stderr.readline()
    test_dir = Path(said.partition("answers the prompts of ")[2].partition(" until ")[0])
    words = ("--model-name", "demo", "--test-dir", test_dir, "--output-dir", tmp_path / "out")
    done = run_bootcamp("eval", "--url", url, *words, "--json")
    assert done.returncode == 0, done.stderr
    [run_dir] = (tmp_path / "out").iterdir()
    records = records_of(run_dir)
    assert len(records) == 28
    assert 0 < sum(record["score"] == 1 for record in records) < 28
    assert abs(sum(record["output_len"] for record in records) / 28 - 60) < 15
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0
    assert not test_dir.exists(), "what was generated is removed"


def test_faults_key_and_context_length_are_those_asked_for(
    start_bootcamp: StartBootcamp, run_bootcamp: RunBootcamp, demo_test_dir: Path, tmp_path: Path
) -> None:
    """With --json the URL is in an object; the key is required, the length listed, and the share of requests fails."""
    words = ("--api-key", "sk-marked", "--max-model-len", "50000", "--latency", "0", "--test-dir", demo_test_dir)
    process = start_bootcamp(
        "demo", "--serve", "--json", "--quiet", *words, "--fault", "500:0.3", "--fault", "429:0.05"
    )
    assert process.stdout is not None
    lines = [first_line(process)]
    while lines[-1] != "}\n":
        lines.append(process.stdout.readline())
    printed: dict[str, Any] = json.loads("".join(lines))
    assert printed["test_dir"] == str(demo_test_dir)
    asked = ("eval", "--url", printed["url"], "--test-dir", demo_test_dir, "--output-dir", tmp_path / "out")
    refused = run_bootcamp(*asked, "--api-key", "sk-other")
    assert refused.returncode == 4, refused.stderr
    done = run_bootcamp(*asked, "--api-key", "sk-marked", "--max-retrying-delay", "10ms")
    assert done.returncode == 0, done.stderr
    [run_dir] = (tmp_path / "out").iterdir()
    records = records_of(run_dir)
    assert len(records) == 112
    assert max(record["attempts"] for record in records) > 2
    assert "max_model_len" in (run_dir / "manifest.json").read_text(encoding="utf-8")
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert "sk-marked" not in out + err


def test_two_servers_cannot_share_a_port(start_bootcamp: StartBootcamp, run_bootcamp: RunBootcamp) -> None:
    """A port that is taken ends the command with exit code 2 and a line that names it."""
    port = first_line(start_bootcamp("demo", "--serve", "--rows", "1")).strip().removesuffix("/v1").rpartition(":")[2]
    done = run_bootcamp("demo", "--serve", "--rows", "1", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port: {port}: " in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rows", "0"), "--rows"),
        (("--port", "70000"), "port: "),
        (("--latency", "-1"), "latency: "),
        (("--tokens", "0"), "tokens: "),
        (("--max-model-len", "0"), "max_model_len: "),
        (("--fault", "503:0.1"), "one of 429, 500"),
        (("--test-dir", "missing"), "test_dir: missing is not a directory"),
        (("--output-dir", "out"), "--output-dir: --serve evaluates nothing"),
    ],
)
def test_wrong_use_is_told_in_one_line(words: tuple[str, ...], said: str, run_bootcamp: RunBootcamp) -> None:
    """What cannot be served ends with exit code 2 and a line that names the option."""
    done = run_bootcamp("demo", "--serve", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_ignored_sigint_stays_ignored(clean_environment: dict[str, str], tmp_path: Path) -> None:
    """A server in the background of a script survives the Ctrl-C of what the script runs, and ends by SIGTERM."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-m", "bootcamp_cli", "demo", "--serve", "--rows", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=clean_environment,
        cwd=tmp_path,
    )
    try:
        url = first_line(process).strip()
        process.send_signal(signal.SIGINT)
        with urlopen(f"{url}/models", timeout=10) as reply:  # noqa: S310 - our own server
            assert reply.status == 200
        process.terminate()
        process.communicate(timeout=10)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_the_help_loads_no_http_library(run_bootcamp: RunBootcamp) -> None:
    """`bootcamp demo --help` imports neither aiohttp nor the demo itself."""
    code = (
        "import sys; from bootcamp_cli.__main__ import main; main(['demo', '--help']);"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'aiohttp', 'anyio', 'httpx'}),"
        "'bootcamp_cli.demo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[] False"


@pytest.mark.parametrize(
    "words", [("--rows", "2", "--test-dir", "x"), ("--api-mode", "chat_completion", "--template", "r1")]
)
def test_options_without_effect_are_refused(call_bootcamp: RunBootcamp, words: tuple[str, ...]) -> None:
    """What the demo would not obey beside another option is refused, with both ways out."""
    done = call_bootcamp("demo", *words)
    assert (done.returncode, "leave out one of the two" in done.stderr) == (2, True)


def test_the_help_lists_only_what_is_obeyed(call_bootcamp: RunBootcamp) -> None:
    """Settings files and variables, which the demo does not read, are not in its help."""
    text = call_bootcamp("demo", "--help").stdout
    assert not [word for word in ("--config", "--profile", "BOOTCAMP_", "--url", "--model-name") if word in text]
