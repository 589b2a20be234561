"""What the manifest of a run says about the server and the tokens, over all sessions of the run."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import Manifest, ServerInfo, TokenTotals
from tests.raw_server import Reply, completion, http, serving_paths, stalling
from tests.test_eval_run_directory import run_dir_of

USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 3}}
N_ROWS = 8


@pytest.fixture
def replies() -> dict[str, Reply]:
    """What the server of the test replies by path; may be changed while it runs."""
    return {
        "/v1/models": http(200, {"data": [{"id": "m"}]}),
        "/v1/completions": http(200, completion("[[1]]", usage=USAGE, system_fingerprint="fp_1")),
        "/version": http(200, {"version": "0.11.0"}),
    }


@pytest.fixture
def url(replies: dict[str, Reply]) -> Iterator[str]:
    """The address of a server with these replies."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving_paths(replies)) as server:
        yield server.url


@pytest.fixture
def evaluate(url: str, call_bootcamp: Callable[..., Any], demo_test_dir: Path, tmp_path: Path) -> Callable[..., Any]:
    """Evaluate one file of 8 rows."""
    shutil.copy(demo_test_dir / "maze.jsonl", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "maze.jsonl").rename(tmp_path / "tests" / "maze.jsonl")
    return lambda *more: call_bootcamp(
        "eval", "--url", url, "--model-name", "m", "--test-dir", "tests", "--quiet", *more
    )


def manifest_of(tmp_path: Path) -> Manifest:
    """The manifest of the only run."""
    manifest = RunDir(run_dir_of(tmp_path / "output")).read_manifest()
    assert manifest is not None
    return manifest


def totals(n: int) -> TokenTotals:
    """The tokens of n answers."""
    return TokenTotals(n_counted=n, prompt=10 * n, completion=4 * n, reasoning=3 * n)


def test_a_run_and_its_resumes(
    evaluate: Callable[..., Any], call_bootcamp: Callable[..., Any], replies: dict[str, Reply], tmp_path: Path
) -> None:
    """Server, fingerprints and tokens of all sessions stand in the manifest, with nothing counted twice."""
    done = evaluate()
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(tmp_path)
    old = ServerInfo(version="0.11.0", told_at="/version")
    assert (manifest.servers, manifest.system_fingerprints, manifest.tokens) == ((old,), {"fp_1": 8}, totals(N_ROWS))

    path = run_dir_of(tmp_path / "output") / "details" / "maze.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:50])  # as a kill leaves it
    replies["/version"] = http(200, {"version": "0.12.0"})
    replies["/v1/completions"] = http(200, completion("[[1]]", usage=USAGE, system_fingerprint="fp_2"))
    done = call_bootcamp("resume", str(path.parents[1]))
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(tmp_path)
    assert manifest.servers == (old, ServerInfo(version="0.12.0", told_at="/version"))
    assert manifest.system_fingerprints == {"fp_1": 8, "fp_2": 3}
    assert manifest.tokens == totals(N_ROWS)


def test_a_finished_run_asks_nothing(
    evaluate: Callable[..., Any], call_bootcamp: Callable[..., Any], replies: dict[str, Reply], tmp_path: Path
) -> None:
    """A resume that owes nothing asks no server and leaves the provenance as it was."""
    evaluate()
    before = manifest_of(tmp_path)
    replies.clear()
    assert call_bootcamp("resume", str(run_dir_of(tmp_path / "output"))).returncode == 0
    after = manifest_of(tmp_path)
    assert (after.servers, after.system_fingerprints, after.tokens, after.effort) == (
        before.servers,
        before.system_fingerprints,
        before.tokens,
        before.effort,
    )


def test_what_the_answers_took_stands_in_the_manifest_alone(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    """Latencies, speed and retries are those of all records; they are in neither meta.jsonl nor the workbook."""
    evaluate()
    effort = manifest_of(tmp_path).effort
    assert effort is not None
    assert effort.n == N_ROWS
    assert effort.latency_mean_s is not None
    assert effort.latency_p50_s is not None
    assert effort.latency_p95_s is not None
    assert 0 < effort.latency_p50_s <= effort.latency_p95_s
    assert effort.tokens_per_second == pytest.approx(4 / effort.latency_mean_s, rel=1e-3)
    meta = (run_dir_of(tmp_path / "output") / "meta.jsonl").read_text()
    assert not any(word in meta for word in ("latency", "retries", "second"))


@pytest.mark.parametrize("told", [http(404, {}), stalling(), http(200, {"version": "v" * 10_000_000})])
def test_a_server_that_tells_nothing_of_use(
    evaluate: Callable[..., Any], replies: dict[str, Reply], tmp_path: Path, told: Reply
) -> None:
    """A server without a version, one that never says it, and one that sends 10 MB: the run is as any other."""
    replies["/version"] = told
    replies["/v1/completions"] = http(200, completion("[[1]]"))
    done = evaluate()
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(tmp_path)
    assert (manifest.servers, manifest.system_fingerprints, manifest.tokens) == ((), {}, TokenTotals())


def test_the_key_reaches_no_file(evaluate: Callable[..., Any], replies: dict[str, Reply], tmp_path: Path) -> None:
    """A key that the server puts into its version and fingerprints is in no file of the run."""
    key = "sk-marked-0123456789"
    replies["/version"] = http(200, {"version": f"1.0-{key}"})
    replies["/v1/completions"] = http(200, completion("[[1]]", system_fingerprint=f"fp-{key}"))
    done = evaluate("--api-key", key)
    assert done.returncode == 0, done.stderr
    text = json.dumps(json.loads(RunDir(run_dir_of(tmp_path / "output")).manifest.read_bytes()))
    assert '"version": "1.0-***"' in text
    assert '"fp-***": 8' in text
    for path in run_dir_of(tmp_path / "output").rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes()


def test_a_server_that_is_not_to_be_asked(
    evaluate: Callable[..., Any], replies: dict[str, Reply], tmp_path: Path
) -> None:
    """Where the check of the model is off, the server is asked for completions only."""
    evaluate("--no-check-model-url")
    manifest = manifest_of(tmp_path)
    assert (manifest.servers, manifest.system_fingerprints) == ((), {"fp_1": 8})
