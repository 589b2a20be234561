"""What a coverage-guided fuzzer feeds: functions of bytes that raise where the tool breaks a promise."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bootcamp_cli.dataset.rows import InvalidRowError, parse_row
from bootcamp_cli.settings.model import parameters
from tests.chaos.invocation import NOWHERE, invoke_decently
from tests.chaos.raw_replies import REPLY, outcome_of

Feed = Callable[[bytes], None]

ROW = {"id": 0, "data_source": "Cipher", "prompt": "p", "ground_truth": {"a": [1, None]}}
RECORD = {
    "id": 0,
    "prompt": "p",
    "output": "o",
    "output_len": 1,
    "ground_truth": 1,
    "score": 1.0,
    "extracted_output": "x",
    "data_source": "Cipher",
    "row": 0,
    "finish_reason": "stop",
}
FAILURE = {"file": "a.jsonl", "row": 1, "id": 1, "data_source": "Cipher", "kind": "timeout", "last_error": "e"}
FILE = {
    "name": "a.jsonl",
    "digest": "d",
    "size_bytes": 9,
    "n_rows": 2,
    "id_rule": "row",
    "data_sources": [["Cipher", 2]],
}
TEMPLATE: dict[str, object] = {"name": "t", "text": "{input}", "stop": [], "system_prompt": None}
MANIFEST = {"files": [FILE], "template": TEMPLATE, "sys_prompt": None, "identity": {"model_name": "m"}}
META = {"bootcamp": "Cipherbootcamp", "avg_score": 1.0, "avg_len": 1.0}
TOML = b"""url = "http://127.0.0.1:1/v1"
stop = ["a"]
timeout = "10m"
[profile.p]
limit = 8
[templates.t]
text = "{input}"
"""
EVAL_ARGS = {"url": NOWHERE, "model_name": "m", "test_dir": "tests", "stop": ["a"], "timeout": 6000, "extra_body": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of input: what is done with it, and a valid one to start from."""

    feed: Feed
    seed: bytes


def targets(directory: Path) -> Mapping[str, Target]:
    """The targets by name; each works in the directory, which must be the working directory."""
    tests, run = directory / "tests", directory / "run"
    tests.mkdir(exist_ok=True)
    (run / "details").mkdir(parents=True, exist_ok=True)
    test_file, config = tests / "a.jsonl", directory / "given.toml"
    seeds = {
        "details/a.jsonl": _line(RECORD),
        "failures.jsonl": _line(FAILURE),
        "meta.jsonl": _line(META),
        "manifest.json": _line(MANIFEST),
        "eval_args.json": _line(EVAL_ARGS),
    }

    def of_run(name: str, *words: str) -> Target:
        def feed(data: bytes) -> None:
            for other, seed in seeds.items():
                (run / other).write_bytes(data if other == name else seed)
            invoke_decently(words[0], run, *words[1:])

        return Target(feed=feed, seed=seeds[name])

    def feed_test_file(data: bytes) -> None:
        test_file.write_bytes(data)
        invoke_decently("eval", "--test-dir", tests, "--url", NOWHERE, "--wait", "0", "--model-name", "m")

    def feed_toml(data: bytes) -> None:
        config.write_bytes(data)
        invoke_decently("config", "show", "--config", config)
        invoke_decently("templates", "list", "--config", config)

    return {
        "rows": Target(feed=_parse_row, seed=_line(ROW)),
        "reply": Target(feed=_feed_reply, seed=REPLY),
        "test_file": Target(feed=feed_test_file, seed=_line(ROW) * 2),
        "toml": Target(feed=feed_toml, seed=TOML),
        "environment": Target(feed=_feed_environment, seed=b"\x02m\x00\x05true"),
        "details": of_run("details/a.jsonl", "report", "--format", "csv"),
        "failures": of_run("failures.jsonl", "report", "--json"),
        "meta": of_run("meta.jsonl", "report"),
        "manifest": of_run("manifest.json", "report", "--format", "markdown"),
        "eval_args": of_run("eval_args.json", "resume", "--url", NOWHERE, "--wait", "0"),
    }


def _parse_row(data: bytes) -> None:
    """Parse a row: what is taken comes back from JSON as it is."""
    with suppress(InvalidRowError):
        row = parse_row(data)
        assert repr(json.loads(json.dumps(row.ground_truth))) == repr(row.ground_truth)


def _feed_reply(data: bytes) -> None:
    """Get a reply; whether a stream was asked for is told by its length."""
    outcome_of(data, "aiohttp", stream=len(data) % 2 == 1)


def _feed_environment(data: bytes) -> None:
    """Set variables: NUL separates them, the first byte of each says which."""
    names = [parameter.env for parameter in parameters()]
    given = {names[part[0] % len(names)]: os.fsdecode(part[1:]) for part in data.split(b"\0") if part}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        invoke_decently("config", "show")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
