"""NaN, infinities, keys that are numbers and deep lists, through a whole run and everything that reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from bootcamp_cli import Settings, evaluate_async, open_run
from bootcamp_cli.analysis.frames import samples_frame
from bootcamp_cli.store.run_dir import RunDir
from tests.raw_server import Reply, http, serving_paths
from tests.test_fixtures import install

SUMS = """
import json, math

def extract_output(output):
    return {1: math.nan, 2.5: [-math.inf, None], "deep": json.loads("[" * 150 + "]" * 150)}

def verify_score(output, ground_truth):
    low, high, nothing = ground_truth["bounds"]
    return float(type(low) is float and math.isinf(low) and math.isnan(high) and nothing is None)
"""
"""Scores 1.0 where the ground truth came as it stands in the row, and extracts what strict JSON cannot hold."""

ROW = '{"data_source": "Sums", "prompt": "p%d", "ground_truth": {"bounds": [-Infinity, NaN, null]}}\n'
TRUTH = {"bounds": [-float("inf"), float("nan"), None]}
EXTRACTED = {"1": float("nan"), "2.5": [-float("inf"), None], "deep": json.loads("[" * 150 + "]" * 150)}


def replies() -> dict[str, Reply]:
    """A server with an answer."""
    text = {"choices": [{"index": 0, "finish_reason": "stop", "text": "x"}], "usage": {"completion_tokens": 1}}
    return {"/v1/models": http(200, {"data": [{"id": "m"}]}), "/v1/completions": http(200, text)}


def held(run_dir: RunDir) -> list[tuple[str, str, float | None]]:
    """Ground truth, extracted value and score of each record, as Python's json reads them."""
    lines = (run_dir.details / "a.jsonl").read_text(encoding="utf-8").splitlines()
    found = map(json.loads, lines)
    return [(repr(record["ground_truth"]), repr(record["extracted_output"]), record["score"]) for record in found]


def check_reports(run_dir: RunDir) -> None:
    """Summary and frame have the three records, and their values as JSON."""
    summary = open_run(run_dir.path).summary
    assert (summary.n_scored, summary.avg_score) == (3, 1.0)
    frame = samples_frame(run_dir, ["ground_truth", "extracted_output"])
    assert [repr(json.loads(text)) for text in frame.extracted_output] == [repr(EXTRACTED)] * 3
    assert [repr(json.loads(text)) for text in frame.ground_truth] == [repr(TRUTH)] * 3


@pytest.mark.anyio
async def test_values_that_strict_json_cannot_hold_go_through_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They reach the verifier and the record as they are, and reports, frames, rescore and resume read them there."""
    install(tmp_path / "site", {"Sums": SUMS})
    monkeypatch.syspath_prepend(tmp_path / "site")
    test_dir = tmp_path / "tests"
    test_dir.mkdir()
    (test_dir / "a.jsonl").write_text("".join(ROW % row for row in range(3)), encoding="utf-8")
    values: dict[str, Any] = {"model_name": "m", "test_dir": test_dir, "output_dir": tmp_path / "out", "bos": "keep"}
    expected = [(repr(TRUTH), repr(EXTRACTED), 1.0)] * 3
    async with serving_paths(replies()) as server:
        run = await evaluate_async(Settings(url=server.url, **values))
        run_dir = RunDir(run.path)
        assert held(run_dir) == expected
        before = (run_dir.meta.read_bytes(), (run_dir.details / "a.jsonl").read_bytes())
        await to_thread.run_sync(check_reports, run_dir)
        rescored = await run.rescore_async(Settings(verify_workers=1))
        assert (rescored.n_verified, rescored.changes) == (3, [])
        assert (run_dir.meta.read_bytes(), (run_dir.details / "a.jsonl").read_bytes()) == before
        first, second, third = before[1].splitlines(keepends=True)
        pending = json.loads(second) | {"score": None, "extracted_output": None, "failure": "pending"}
        owed = third[: len(third) // 2]
        (run_dir.details / "a.jsonl").write_bytes(first + json.dumps(pending).encode() + b"\n" + owed)
        n_sent = len(server.bodies)
        resumed = await evaluate_async(Settings(url=server.url, resume=True, **values))
        assert resumed.path == run.path
        assert sum(b"prompt" in body for body in server.bodies[n_sent:]) == 1
    assert held(run_dir) == expected
    assert run_dir.meta.read_bytes() == before[0]
