"""Requests begin in rounds, between which all else is served."""

import anyio
import anyio.lowlevel
import pytest

from bootcamp_cli.engine.scheduler import PER_ROUND, StartRounds

pytestmark = pytest.mark.anyio


async def order_of_work(n_slots: int, n_others: int) -> str:
    """In which order slots (s) come to work that all begin at once, and others (o) that need one pass each."""
    rounds = StartRounds()
    done: list[str] = []

    async def slot() -> None:
        await rounds.begin()
        done.append("s")

    async def others() -> None:
        for _ in range(n_others):
            done.append("o")
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(n_slots):
            tasks.start_soon(slot)
        tasks.start_soon(others)
    return "".join(done)


async def test_a_few_slots_begin_at_once() -> None:
    """As many slots as make a round wait for nobody."""
    assert await order_of_work(PER_ROUND, 1) == "s" * PER_ROUND + "o"


async def test_many_slots_begin_in_rounds() -> None:
    """All else is served after each round, and every slot begins."""
    done = await order_of_work(3 * PER_ROUND + 1, 20)
    lengths = [len(word) for word in done.split("o") if word]
    assert lengths == [PER_ROUND, PER_ROUND, PER_ROUND, 1]


async def test_a_slot_that_is_cancelled_keeps_nobody() -> None:
    """Slots behind those that are cancelled while they wait begin all the same."""
    rounds = StartRounds()
    begun = []

    async def slot(number: int) -> None:
        await rounds.begin()
        begun.append(number)

    async with anyio.create_task_group() as tasks, anyio.create_task_group() as cancelled:
        for number in range(3 * PER_ROUND):
            cancelled.start_soon(slot, number)
        tasks.start_soon(slot, 1000)
        cancelled.cancel_scope.cancel()
    assert 1000 in begun
