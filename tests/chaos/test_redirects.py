"""Redirects: never followed, so that the key goes nowhere else."""

from pathlib import Path

import pytest

from tests.chaos.fault_facts import BOTH, Form
from tests.chaos.fault_runs import KEY, eval_args, read_ledger, run_tool
from tests.conftest import StartFaultServer

STATUSES = (300, 301, 302, 303, 307, 308)


@pytest.mark.parametrize("form", BOTH)
def test_no_redirect_is_followed(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    clean_environment: dict[str, str],
    tmp_path: Path,
    form: Form,
    *,
    long_form: bool,
) -> None:
    """Nothing arrives at the port that the replies point to, for the list of models as for completions."""
    if form == "stream" and not long_form:
        pytest.skip("in the long form only")
    n_tried = 0
    other = fault_server(test_dir=demo_test_dir)
    faults = [f"redirect:port={other.port}:status={status}:sample={n}" for n, status in enumerate(STATUSES)]
    server = fault_server(test_dir=demo_test_dir, faults=faults, api_key=KEY)
    ended = run_tool(eval_args(server.url, demo_test_dir, form=form), clean_environment, tmp_path)
    assert ended.code == 3, ended.stderr
    failures = read_ledger(tmp_path / "out", demo_test_dir).failures.values()
    assert {failure["kind"] for failure in failures} == {f"http_{status}" for status in STATUSES}
    assert all(f"http://127.0.0.1:{other.port}/v1/" in failure["last_error"] for failure in failures)
    assert server.stats()["by_status"].items() >= {str(status): 1 for status in STATUSES}.items()
    n_tried += len(STATUSES)
    for status in STATUSES if long_form else ():
        moved = fault_server(faults=[f"redirect:on=models:port={other.port}:status={status}"], api_key=KEY)
        ended = run_tool(eval_args(moved.url, demo_test_dir, form=form), clean_environment, tmp_path)
        assert ended.code == 4, ended.stderr
        assert moved.stats()["requests"] == 1
        n_tried += 1
    stats = other.stats()
    assert (stats["requests"], stats["max_connections"]) == (0, 1), "the one connection is that of this question"
    print(f"\n{form}: {n_tried} redirects, none followed")
