"""Who sends next."""

import anyio
import anyio.lowlevel

from bootcamp_cli.engine.scheduler import LaneLoan, Turns
from bootcamp_cli.types import Sample


def a_sample(row: int) -> Sample:
    """A sample."""
    return Sample(file="a", row=row, id=row, data_source="Sums", prompt="?", ground_truth=None)


def test_every_slot_ends_when_all_is_answered() -> None:
    """Each sample is taken once, and every slot gets None as soon as the last one is answered, not before."""
    taken: list[int] = []

    async def slot(turns: Turns) -> None:
        while (turn := await turns.take()) is not None:
            assert isinstance(turn, Sample)
            taken.append(turn.row)
            await anyio.lowlevel.checkpoint()
            turns.answered()

    async def main() -> None:
        turns = Turns(4)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(slot, turns)
                for row in range(20):
                    await turns.put(a_sample(row))
                turns.put_last()

    anyio.run(main)
    assert taken == list(range(20))


def test_a_borrowed_lane_goes_before_new_samples_and_comes_back() -> None:
    """The next free slot lends its lane to who asks for one, and goes on once it is returned."""
    order: list[str] = []

    async def main() -> None:
        turns = Turns(4)
        await turns.put(a_sample(0))

        async def borrow() -> None:
            async with turns.lane() as lane:
                order.append(f"lane {lane}")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(borrow)
                await anyio.wait_all_tasks_blocked()
                loan = await turns.take()
                assert isinstance(loan, LaneLoan)
                await loan.lend(7)
                sample = await turns.take()
                assert isinstance(sample, Sample)
                order.append(f"row {sample.row}")

    anyio.run(main)
    assert order == ["lane 7", "row 0"]


def test_a_cancelled_loan_takes_no_lane() -> None:
    """Who no longer waits for a lane gets none, and no slot waits for its return."""

    async def main() -> None:
        turns = Turns(4)

        async def borrow() -> None:
            async with turns.lane():
                raise AssertionError("nobody lends")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(borrow)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await turns.put(a_sample(3))
        with anyio.fail_after(10):
            sample = await turns.take()
        assert isinstance(sample, Sample)

    anyio.run(main)
