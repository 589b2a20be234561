"""Retry-After: how long the server's wish holds back what is sent again, and everything else."""

from pathlib import Path

import pytest

from tests.chaos.fault_runs import eval_args, run_tool, settled
from tests.conftest import StartFaultServer

WISHES = {"429:first=1:retry-after=0.5": 0.5, "429:first=1:retry-after-date=3": 2.0, "503:first=1:retry-after=0.5": 0.5}
"""Seconds that no request at all is seen for; a date has whole seconds."""


@pytest.mark.parametrize("fault", WISHES)
def test_a_limit_holds_back_all_requests(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    clean_environment: dict[str, str],
    tmp_path: Path,
    fault: str,
    *,
    long_form: bool,
) -> None:
    """By the server's clock no request comes before the time that it asked for; then all are answered."""
    if not long_form and fault != next(iter(WISHES)):
        pytest.skip("in the long form only")
    server = fault_server(test_dir=demo_test_dir, faults=[fault], log_requests=True)
    flags = ("--max-concurrent-requests", "1", "--max-retrying-delay", "10s", "--limit", "1")
    ended = run_tool(eval_args(server.url, demo_test_dir, *flags), clean_environment, tmp_path)
    assert ended.code == 0, ended.stderr
    refused, *later = settled(server)["log"]
    assert str(refused["status"]) == fault[:3]
    assert min(entry["start"] for entry in later) - refused["end"] >= WISHES[fault]
    again = [entry["start"] for entry in later if entry["prompt"] == refused["prompt"]]
    assert len(again) == 1
    assert again[0] - refused["end"] >= 0.5
    print(f"\n{fault}: {len(later)} requests, none too early")
