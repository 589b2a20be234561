"""Answers on their way through verification."""

from pathlib import Path

import anyio
import pytest

from bootcamp_cli.types import Verdict
from bootcamp_cli.verification.executor import Verification
from bootcamp_cli.verification.pool import VerifierPool
from tests.bootcamps_builder import ECHO, in_pool, write_bootcamp


def test_verdicts_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a stopped run waits no longer, pending answers go without a verdict, once, and others keep theirs."""
    monkeypatch.syspath_prepend(tmp_path)
    refs = {
        "quick": write_bootcamp(tmp_path, "quick", ECHO),
        "endless": write_bootcamp(tmp_path, "endless", ECHO.replace("return output", "exec('while True: pass')")),
    }
    verdicts: list[tuple[str, Verdict]] = []

    async def work(pool: VerifierPool) -> None:
        verification: Verification[str] = Verification(pool, refs)

        async def collect() -> None:
            async for batch in verification.verdicts():
                verdicts.extend(batch)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collect)
                verification.submit("quick", "a", 1, "the quick one")
                await verification.wait_until_drained()
                for number in range(3):
                    verification.submit("endless", "b", 2, f"endless {number}")
                verification.give_up("stopped")
                await verification.wait_until_drained()
                verification.close()

    in_pool(work, timeout_s=60)
    stopped = Verdict(score=None, failure="pending", error="stopped")
    expected = [(f"endless {number}", stopped) for number in range(3)]
    assert verdicts == [("the quick one", Verdict(score=1.0, extracted="a")), *expected]


def test_a_data_source_without_a_bootcamp_is_unscored(tmp_path: Path) -> None:
    """Its answers come back without a score at once, and no executor is asked."""
    verdicts: list[tuple[str, Verdict]] = []

    async def work(pool: VerifierPool) -> None:
        verification: Verification[str] = Verification(pool, {"Nobody": None})
        verification.submit("Nobody", "a", 1, "context")
        verification.close()
        async for batch in verification.verdicts():
            verdicts.extend(batch)

    in_pool(work)
    assert [(context, verdict.score, verdict.failure) for context, verdict in verdicts] == [
        ("context", None, "unscored")
    ]
