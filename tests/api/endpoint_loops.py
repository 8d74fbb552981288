"""Endpoints come and go while a test of the API runs: the loops that see to it, and waiting for them."""

import asyncio
from contextlib import asynccontextmanager

ROOT = "/api/2.0/serving-endpoints"


@asynccontextmanager
async def running(world):
    """The loops of the control plane, until the test has ended."""
    tasks = [asyncio.create_task(world.reconciler.run()), asyncio.create_task(world.measuring.run())]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def settle(client, clock, name="one"):
    """The endpoint when no update of it is under way any more."""
    for _ in range(300):
        answer = (await client.get(f"{ROOT}/{name}")).json()
        if answer["state"]["config_update"] != "IN_PROGRESS":
            return answer
        await clock.advance(1)
    raise AssertionError(answer)
