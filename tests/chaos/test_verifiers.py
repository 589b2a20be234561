"""Verifiers that hang, crash, lie and litter cost their own samples the verdict and nothing else."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.figure import tell
from tests.chaos.hostile_verifiers import HOSTILE, Outcome, install, sample_rows
from tests.conftest import RunBootcamp, StartFaultServer, WriteRows
from tests.test_eval_run_directory import records, run_dir_of

LIMITS = ("--verify-memory", "256", "--verify-workers", "4")


def outcome_of(record: dict[str, Any]) -> Outcome:
    """What became of a sample, by its record, which must hold what was sent and received whatever the verifier did."""
    token = record["ground_truth"]["token"]
    assert record["ground_truth"] == {"token": token}
    assert record["output"].startswith(f"token {token} ")
    assert len(record["output"]) == len(f"token {token} {HOSTILE[record['data_source']].filler}")
    if record["score"] is None:
        assert record["failure_message"]
        assert len(record["failure_message"]) < 1000
        failure: Outcome = record["failure"]
        return failure
    assert "failure" not in record
    assert record["extracted_output"] == token, "the verdict belongs to this sample"
    if record["score"] == 0:
        return "zero"
    assert record["score"] == token / 1000
    return "own"


def every(run_dir: Path) -> Iterable[dict[str, Any]]:
    """All records of a run directory."""
    return (record for lines in records(run_dir).values() for record in lines)


def test_every_bad_verifier_in_one_run(
    fault_server: StartFaultServer,
    run_bootcamp: RunBootcamp,
    write_rows: WriteRows,
    clean_environment: dict[str, str],
    tmp_path: Path,
    long_form: bool,
) -> None:
    """Beside good samples each bad verifier fails as documented; resume mixes in no other, rescore fixes it."""
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install(site)
    limit = "8" if long_form else "3"
    expected = {(name, case.outcome) for name, case in HOSTILE.items() if long_form or case.is_special}
    files = sample_rows([name for name, _ in sorted(expected)], 10 if long_form else 1)
    for name, rows in files.items():
        write_rows(tmp_path / "tests" / name, rows)
    server = fault_server(test_dir=tmp_path / "tests")
    environment = {"PYTHONPATH": os.pathsep.join([clean_environment["PYTHONPATH"], str(site)])}
    sources = ("--url", server.url, "--test-dir", tmp_path / "tests", "--output-dir", tmp_path / "out")

    def run(*words: str | Path) -> Any:
        return run_bootcamp(
            *words, *LIMITS, "--verify-timeout", limit, "--quiet", env=environment, cwd=work, timeout=900
        )

    done = run("eval", "--template", "r1", *sources)
    assert done.returncode == 3, done.stderr
    run_dir = run_dir_of(tmp_path / "out")
    found = Counter((record["data_source"], outcome_of(record)) for record in every(run_dir))
    assert set(found) == expected
    assert found.total() == sum(map(len, files.values()))
    assert list(work.iterdir()) == [], "nothing is written where the user stands"

    n_sent = server.stats()["by_path"]["/v1/completions"]
    rescored = tmp_path / "rescored"
    shutil.copytree(run_dir, rescored)
    install(site, healthy=True)
    assert run("rescore", rescored).returncode == 0
    assert {outcome_of(record) for record in every(rescored)} == {"own"}
    refused = run("resume", run_dir, "--url", server.url)
    assert refused.returncode == 2
    assert f"`bootcamp rescore {run_dir}`" in refused.stderr
    assert run("rescore", run_dir).returncode == 0
    assert run("resume", run_dir, "--url", server.url).returncode == 0
    assert {outcome_of(record) for record in every(run_dir)} == {"own"}
    assert server.stats()["by_path"]["/v1/completions"] == n_sent == found.total() + 1, "no answer twice, and bos once"
    n_bad = sum(n for (_, outcome), n in found.items() if outcome not in ("own", "zero"))
    tell(
        f"verifiers: {len(expected)} kinds of behaviour, {found.total()} samples, {n_bad} failed verdicts, all "
        "fixed by rescore, nothing lost, no request sent twice"
    )
