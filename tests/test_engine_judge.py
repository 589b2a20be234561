"""Answers on their way through the verifiers."""

from pathlib import Path

import anyio
import pytest

from bootcamp_cli.engine.run import Judge
from bootcamp_cli.types import Verdict
from bootcamp_cli.verification.pool import VerifierPool
from tests.bootcamps_builder import ECHO, in_pool, write_bootcamp


def test_verdicts_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a run that was stopped waits no longer, open answers go without a verdict, once, and others keep theirs."""
    monkeypatch.syspath_prepend(tmp_path)
    refs = {
        "quick": write_bootcamp(tmp_path, "quick", ECHO),
        "endless": write_bootcamp(tmp_path, "endless", ECHO.replace("return output", "exec('while True: pass')")),
    }
    verdicts: list[tuple[str, Verdict | None]] = []

    async def work(pool: VerifierPool) -> None:
        judge = Judge(pool, refs)
        judge.judge("quick", "a", 1, lambda verdict: verdicts.append(("quick", verdict)))
        await judge.drained()
        for _ in range(3):
            judge.judge("endless", "b", 2, lambda verdict: verdicts.append(("endless", verdict)))
        judge.give_up("stopped")
        with anyio.fail_after(5):
            await judge.drained()

    in_pool(work, timeout_s=60)
    stopped = Verdict(score=None, failure="verifier_timeout", error="stopped")
    assert verdicts == [("quick", Verdict(score=1.0, extracted="a")), *[("endless", stopped)] * 3]
