"""The share that the slots have of the event loop."""

from collections.abc import Iterator
from itertools import count, repeat

import anyio
import pytest

from bootcamp_cli.engine.loop_share import SHARE_S, LoopShare

pytestmark = pytest.mark.anyio


def clock(times: Iterator[float]) -> LoopShare:
    """A share by a clock that shows these times."""
    return LoopShare(lambda: next(times))


async def order_of_work(share: LoopShare, n_slots: int) -> list[str]:
    """In which order slots come to work that all begin at once, and something else that has to be done."""
    done: list[str] = []

    async def slot() -> None:
        await share.begin()
        done.append("slot")

    async def other() -> None:
        done.append("other")

    async with anyio.create_task_group() as tasks:
        for _ in range(n_slots):
            tasks.start_soon(slot)
        tasks.start_soon(other)
    return done


async def test_slots_within_their_share_go_on() -> None:
    """Slots that have hardly worked yet begin at once, before anything else."""
    assert await order_of_work(clock(repeat(0.0)), 3) == ["slot", "slot", "slot", "other"]


async def test_slots_over_their_share_let_others_go_first() -> None:
    """Slots that have worked for longer wait for a round in which all else has its turn, and then all begin."""
    times = iter([0.0, *repeat(SHARE_S, 50)])
    assert await order_of_work(clock(times), 3) == ["other", "slot", "slot", "slot"]


async def test_each_slot_begins_however_slow_the_work() -> None:
    """When the work of a single slot takes more than the share, each round has one slot."""
    done = await order_of_work(clock(count(0.0, 2 * SHARE_S)), 5)
    assert done.count("slot") == 5
