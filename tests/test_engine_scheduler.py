"""Samples read ahead and handed out."""

from collections.abc import Iterator
from functools import partial

import anyio
import anyio.lowlevel

from bootcamp_cli.engine.scheduler import Permits, Scheduler, WorkQueue
from bootcamp_cli.types import Sample


def samples(n: int) -> Iterator[Sample]:
    """Rows of a file."""
    for row in range(n):
        yield Sample(file="a", row=row, id=row, data_source="Sums", prompt="?", ground_truth=None)


def test_every_sample_is_handed_out_once_and_every_slot_ends() -> None:
    """Each sample goes to one slot, in order, and every slot gets None when the last one was handed out."""
    taken: list[int] = []

    async def slot(scheduler: Scheduler) -> None:
        while sample := await scheduler.next():
            taken.append(sample.row)
            await anyio.lowlevel.checkpoint()

    async def main() -> None:
        scheduler = Scheduler(WorkQueue({"a": samples(20)}), n_ahead=4)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(slot, scheduler)
                await scheduler.read_ahead(anyio.lowlevel.checkpoint)
            assert await scheduler.next() is None

    anyio.run(main)
    assert taken == list(range(20))


def test_no_more_is_read_ahead_than_told() -> None:
    """Where nobody takes samples, no more are admitted than wait, and one that waits to be put there."""
    admitted: list[int] = []
    five_admitted = anyio.Event()

    async def admit() -> None:
        admitted.append(1)
        if len(admitted) == 5:
            five_admitted.set()
        await anyio.lowlevel.checkpoint()

    async def main() -> None:
        scheduler = Scheduler(WorkQueue({"a": samples(20)}), n_ahead=4)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scheduler.read_ahead, admit)
            with anyio.fail_after(10):
                await five_admitted.wait()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert len(admitted) == 5


def test_retries_get_a_place_before_new_samples() -> None:
    """A freed place goes to a retry that waits, however many new samples waited before it."""
    order: list[str] = []

    async def main() -> None:
        limit = Permits(1)
        await limit.take()

        async def send(name: str, *, is_retry: bool) -> None:
            await limit.take(first=is_retry)
            order.append(name)
            limit.give_back()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(partial(send, f"new {number}", is_retry=False))
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(partial(send, "retry", is_retry=True))
                await anyio.wait_all_tasks_blocked()
                limit.give_back()

    anyio.run(main)
    assert order == ["retry", "new 0", "new 1", "new 2"]


def test_a_place_is_not_lost_with_who_waited_for_it() -> None:
    """Tasks that are cancelled while they wait, or just after they got a place, leave all places free."""

    async def main() -> None:
        limit = Permits(2)

        async def send(*, is_retry: bool) -> None:
            await limit.take(first=is_retry)
            limit.give_back()

        for _ in range(2):
            await limit.take()
        async with anyio.create_task_group() as tasks:
            for is_retry in (True, False, True):
                tasks.start_soon(partial(send, is_retry=is_retry))
            await anyio.wait_all_tasks_blocked()
            limit.give_back()
            tasks.cancel_scope.cancel()
        limit.give_back()
        with anyio.fail_after(10):
            for _ in range(2):
                await limit.take()

    anyio.run(main)
