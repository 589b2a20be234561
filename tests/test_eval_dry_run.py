"""`eval --dry-run` and the limit of tokens: what an evaluation would take, and what it may take."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import Settings, dry_run
from bootcamp_cli.engine.forecast import Price, parse_price
from bootcamp_cli.errors import UsageError
from bootcamp_cli.text import duration_words, shown_s
from tests.conftest import RunBootcamp, StartFaultServer, WriteRows

NOBODY = "http://127.0.0.1:9/v1"
TRUTH = {"puzzle": "1 2 4 8", "target": 24}


def rows(n: int) -> list[dict[str, Any]]:
    """Rows with prompts of 40 bytes."""
    return [{"data_source": "Game24", "prompt": f"{number:040}", "ground_truth": TRUTH} for number in range(n)]


def test_a_dry_run_tells_all_and_leaves_nothing(
    call_bootcamp: RunBootcamp, tmp_path: Path, write_rows: WriteRows
) -> None:
    """Without a server it shows the first request and the numbers, secrets masked, and writes nothing."""
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows(10)).parent
    words = ("eval", "--dry-run", "--url", NOBODY, "--model-name", "m", "--test-dir", test_dir, "--repeats", "3")
    more = ("--max-tokens", "100", "--price", "2,10", "--extra-body", '{"api_key": "hidden-value-1"}')
    before = sorted(tmp_path.rglob("*"))
    done = call_bootcamp(*words, *more, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["body"]["prompt"] == told["prompt"] == f"<|im_start|>user\n{0:040}<|im_end|>\n<|im_start|>assistant\n"
    assert (told["body"]["max_tokens"], told["body"]["api_key"]) == (100, "***")
    assert (told["url"], told["n_samples"], told["n_questions"]) == (f"{NOBODY}/completions", 30, 10)
    n_prompt = 30 * -(-len(told["prompt"]) // 4)
    assert (told["prompt_tokens"], told["answer_tokens"], told["most_answer_tokens"]) == (n_prompt, 3000, 3000)
    assert told["cost"] == told["most_cost"] == pytest.approx((n_prompt * 2 + 3000 * 10) / 1e6)
    text = call_bootcamp(*words, *more)
    assert "samples: 30 (10 questions in 1 test file, each asked 3 times)" in text.stdout
    assert "hidden-value-1" not in text.stdout + done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_in_python(tmp_path: Path, write_rows: WriteRows) -> None:
    """The library tells the same, and what is wrong is an error of it."""
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows(2)).parent
    told = dry_run(Settings(test_dir=test_dir, model_name="m", output_dir=tmp_path / "out"), price="1,1")
    assert (told.n_samples, told.url_path, told.cost is not None) == (2, "/completions", True)
    with pytest.raises(UsageError, match="no test dir"):
        dry_run(Settings())


def test_a_dry_run_rests_on_an_earlier_run(
    call_bootcamp: RunBootcamp, fault_server: StartFaultServer, tmp_path: Path, write_rows: WriteRows
) -> None:
    """Lengths and speed are those of an earlier run of the same files, where there is one."""
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows(4)).parent
    words = ("eval", "--url", fault_server(latency=0.01).url, "--model-name", "demo", "--test-dir", test_dir)
    assert call_bootcamp(*words).returncode == 0
    [run_dir] = (tmp_path / "output").iterdir()
    told = json.loads(call_bootcamp(*words, "--dry-run", "--json", "--repeats", "2").stdout)
    length = json.loads((run_dir / "meta.jsonl").read_text())["avg_len"]
    assert told["based_on"] == str(run_dir)
    assert told["answer_tokens"] == pytest.approx(8 * length, abs=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--price", "1,2"), "--price: no effect without --dry-run"),
        (("--dry-run", "--price", "1"), "--price: must be two numbers IN,OUT, got '1'"),
        (("--dry-run", "--test-dir", "absent"), "absent does not exist"),
        (("--dry-run", "--output-dir", "file"), "output_dir: file is not a directory: there is a file; choose another"),
        (("--dry-run", "--output-dir", "file/below"), "is not a directory: there is a file ("),
        (("--dry-run", "--template", "chatlm"), "did you mean chatml?"),
        (("--dry-run", "--url", "https://h/v1", "--ca-bundle", "absent.pem"), "ca_bundle: "),
    ],
)
def test_a_dry_run_finds_what_an_evaluation_would(
    call_bootcamp: RunBootcamp, tmp_path: Path, write_rows: WriteRows, words: tuple[str, ...], said: str
) -> None:
    """Settings, test data, places and certificates are checked, each with exit code 2."""
    write_rows(tmp_path / "set" / "a.jsonl", rows(1))
    (tmp_path / "file").touch()
    done = call_bootcamp("eval", "--url", NOBODY, "--test-dir", "set", *words)
    assert (done.returncode, said in done.stderr.replace(f"{tmp_path}/", "")) == (2, True), done.stderr


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "-1,2", "nan,1", "inf,1"])
def test_wrong_prices(text: str) -> None:
    """A price is two finite numbers of at least 0."""
    assert parse_price("0.5, 1e1") == Price(prompt=0.5, answer=10.0)
    with pytest.raises(UsageError, match="two numbers IN,OUT"):
        parse_price(text)


def test_a_run_stops_at_its_limit_of_tokens(
    call_bootcamp: RunBootcamp, fault_server: StartFaultServer, tmp_path: Path, write_rows: WriteRows
) -> None:
    """The run ends with 130 when the tokens are used, asks nothing with the same limit, and goes on with a larger."""
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows(30)).parent
    server = fault_server()
    limits = ("--max-total-tokens", "1000", "--max-concurrent-requests", "1")
    stopped = call_bootcamp("eval", "--url", server.url, "--model-name", "demo", "--test-dir", test_dir, *limits)
    assert stopped.returncode == 130
    found = re.search(r"max_total_tokens: ([0-9,]+) of 1,000 tokens are used; give a larger", stopped.stderr)
    assert found is not None, stopped.stderr
    [run_dir] = (tmp_path / "output").iterdir()
    assert f"`bootcamp resume {run_dir}`" in stopped.stderr
    records = [json.loads(line) for line in (run_dir / "details" / "a.jsonl").read_text().splitlines()]
    n_used = sum(record["usage"]["total_tokens"] for record in records)
    assert 1000 <= n_used == int(found[1].replace(",", ""))
    assert n_used - records[-1]["usage"]["total_tokens"] < 1000 or len(records) == 1
    n_asked = server.stats()["requests"]
    again = call_bootcamp("resume", run_dir, "--no-check-model-url")
    assert (again.returncode, server.stats()["requests"]) == (130, n_asked)
    assert f"max_total_tokens: {n_used:,} of 1,000 tokens are used" in again.stderr
    assert call_bootcamp("resume", run_dir, "--max-total-tokens", "1000000").returncode == 0
    assert json.loads((run_dir / "eval_args.json").read_text())["max_total_tokens"] == 1000000


def test_a_run_that_ends_with_its_last_tokens_is_complete(
    call_bootcamp: RunBootcamp, fault_server: StartFaultServer, tmp_path: Path, write_rows: WriteRows
) -> None:
    """Where the last answer takes the last tokens nothing is owed, and the run is done."""
    test_dir = write_rows(tmp_path / "set" / "a.jsonl", rows(1)).parent
    words = ("eval", "--url", fault_server().url, "--model-name", "demo", "--test-dir", test_dir)
    assert call_bootcamp(*words, "--max-total-tokens", "1").returncode == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.000721, "0 s"), (0.5, "0.5 s"), (45, "45 s"), (119.6, "120 s"), (720, "12 min"), (13_800, "3 h 50 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """A wait is told as people say it, to two units at most and without digits that mean nothing."""
    assert shown_s(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.1, "1 s"), (67, "1 min 7 s"), (187_200, "2 d 4 h"), (3599.9, "1 h")])
def test_long_durations_in_words(seconds: float, words: str) -> None:
    """Estimates are rounded to their second unit."""
    assert duration_words(seconds) == words
