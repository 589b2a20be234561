"""Evaluations by several servers, through the command line: what is written and shown of each."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import RunBootcamp, StartFaultServer


def urls(*servers: Any) -> list[str]:
    """The options that name these servers."""
    return [word for server in servers for word in ("--url", server.url)]


def test_a_replica_that_is_wrong_is_named(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """During the run and in the report, which has requests, failures and scores of each server."""
    good = [fault_server(test_dir=demo_test_dir, skill=0.9, latency=0.02) for _ in range(2)]
    bad = fault_server(test_dir=demo_test_dir, skill=0.1, latency=0.02, faults=("500:0.05",), seed=1)
    done = call_bootcamp(
        "eval",
        *urls(*good, bad),
        *("--model-name", "demo", "--test-dir", str(demo_test_dir), "--output-dir", "out"),
        *("--repeats", "4", "--max-concurrent-requests", "12", "--max-retrying-delay", "0"),
    )
    assert done.returncode == 0, done.stderr
    named = [line for line in done.stderr.splitlines() if "differs: " in line]
    assert any("average score" in line for line in named)
    assert all(line.startswith(f"warning: endpoint {bad.url} differs: ") for line in named)
    [run_dir] = (tmp_path / "out").iterdir()
    report = json.loads(call_bootcamp("report", run_dir, "--json").stdout)
    by_name = {entry["endpoint"]: entry for entry in report["endpoints"]}
    assert set(by_name) == {server.url for server in (*good, bad)}
    assert {finding["endpoint"] for finding in report["drift"]} == {bad.url}
    traffic = json.loads((run_dir / "endpoints.json").read_text())
    assert traffic[bad.url]["failures"]["http_500"] > 0
    for url, counts in traffic.items():
        n_records = sum(
            json.loads(line)["endpoint"] == url
            for path in (run_dir / "details").iterdir()
            for line in path.read_text().splitlines()
        )
        assert counts["n_answered"] == n_records
        assert counts["n_requests"] >= n_records + sum(counts["failures"].values())
    table = call_bootcamp("report", run_dir).stdout
    assert all(server.url in table for server in (*good, bad))


def test_check_model_tells_of_each(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp
) -> None:
    """One line for each server; the exit code is that of the one that is not there."""
    server = fault_server(test_dir=demo_test_dir)
    done = call_bootcamp(
        *("check-model", *urls(server), "--url", "http://127.0.0.1:9/v1", "--model-name", "demo", "--wait", "0"),
    )
    assert done.returncode == 4
    first, second = done.stdout.splitlines()
    assert first == f"{server.url}: demo is available"
    assert second.startswith("http://127.0.0.1:9/v1: ")
    assert "Connection refused" in second


def test_a_key_of_one_server_stays_there(
    fault_server: StartFaultServer, demo_test_dir: Path, call_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """Each server gets its own key; none is written down, and at a resume it must be given again."""
    one = fault_server(test_dir=demo_test_dir, api_key="marked-key-1")
    two = fault_server(test_dir=demo_test_dir, api_key="marked-key-2")
    endpoints = "".join(
        f'[[endpoints]]\nurl = "{server.url}"\napi_key = "marked-key-{i}"\n' for i, server in enumerate((one, two), 1)
    )
    (tmp_path / "many.toml").write_text(endpoints)
    words = ("--model-name", "demo", "--test-dir", demo_test_dir, "--limit", "2", "--output-dir", "out")
    done = call_bootcamp("eval", "--config", "many.toml", *words)
    assert done.returncode == 0, done.stderr
    assert "is not used" not in done.stderr
    [run_dir] = (tmp_path / "out").iterdir()
    written = b"".join(path.read_bytes() for path in run_dir.rglob("*") if path.is_file())
    assert b"marked-key" not in written
    refused = call_bootcamp("resume", run_dir, "--repeats", "2")
    assert refused.returncode == 2
    assert "only masks are stored for endpoints: 1, endpoints: 2" in refused.stderr
    assert call_bootcamp("resume", run_dir, "--repeats", "2", "--config", "many.toml").returncode == 0


def test_servers_from_two_places_are_refused(call_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """One source may say in one way where they are; a stronger source replaces what a weaker one says."""
    (tmp_path / "many.toml").write_text('url = "http://h/v1"\n[[endpoints]]\nurl = "http://i/v1"\n')
    done = call_bootcamp("config", "show", "--config", "many.toml")
    assert done.returncode == 2
    assert "many.toml: url and many.toml: endpoints both say where the servers are" in done.stderr
    (tmp_path / "one.toml").write_text('[[endpoints]]\nurl = "http://i/v1"\n')
    shown = json.loads(call_bootcamp("config", "show", "--json", "--config", "one.toml", "--url", "http://j/v1").stdout)
    assert (shown["url"]["value"], shown["endpoints"]["value"]) == ("http://j/v1", [])
