"""The loop runner, in virtual time."""

import asyncio
import contextlib

import pytest

from penstock.control.loop import Loop
from penstock.domain.errors import Temporary
from penstock.testing.clock import FakeClock


class Steps:
    """A step that notes when it ran and fails as told."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.ran: list[float] = []
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.ran.append(self.clock.monotonic())
        if self.error is not None:
            raise self.error
        return f"cycle {len(self.ran)}"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def steps(clock):
    return Steps(clock)


@contextlib.asynccontextmanager
async def running(clock, steps):
    loop = Loop("tester", steps, clock, period_s=5)
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        await stopped(task)


async def stopped(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_runs_at_once_and_then_every_period(clock, steps):
    async with running(clock, steps) as loop:
        await clock.advance(11)
        assert steps.ran == [0, 5, 10]
        assert loop.last_sentence == "cycle 3"


async def test_a_hint_runs_it_sooner_and_many_hints_once(clock, steps):
    async with running(clock, steps) as loop:
        await clock.advance(1)
        loop.hint()
        loop.hint()
        await clock.advance(1)
        assert steps.ran == [0, 1]


async def test_a_failing_step_is_tried_again_with_growing_delays_and_then_recovers(clock, steps):
    steps.error = RuntimeError("broken")
    async with running(clock, steps) as loop:
        await clock.advance(16)
        assert steps.ran == [0, 1, 3, 7, 15]
        loop.hint()
        await clock.advance(1)
        assert len(steps.ran) == 5, "a hint does not shorten the delay"
        steps.error = None
        await clock.advance(15)
        assert steps.ran[5] == 31
        assert loop.failures == 0


async def test_a_temporary_error_names_its_own_delay(clock, steps):
    steps.error = Temporary("the database is away", retry_after_s=9)
    async with running(clock, steps):
        await clock.advance(9)
        assert steps.ran == [0, 9]


async def test_sentences_and_failures_are_logged(clock, steps, caplog):
    caplog.set_level("INFO")
    loop = Loop("tester", steps, clock, period_s=5)
    await loop.cycle()
    steps.error = RuntimeError("broken")
    await loop.cycle()
    assert [record.getMessage() for record in caplog.records] == [
        "tester: cycle 1",
        "tester failed (1 times in a row); again in 1 s",
    ]
