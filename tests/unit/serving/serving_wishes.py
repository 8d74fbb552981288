"""What tests of serving endpoints ask for, and how they wait."""

import asyncio
import contextlib

from penstock.control.endpoint_wishes import ConfigWish, EndpointWish, EntityWish
from penstock.domain.access import ADMINS, USERS, Caller, Principal, PrincipalKind, Scope

ANN = Caller(Principal("1", "ann", "Ann", PrincipalKind.USER, frozenset({ADMINS, USERS})), Scope.ALL_APIS, "t1")
BOB = Caller(Principal("2", "bob", "Bob", PrincipalKind.USER, frozenset({USERS})), Scope.ALL_APIS, "t2")
GUIDE = "main.default.guide"
OTHER = "main.default.other"


@contextlib.asynccontextmanager
async def running(world):
    """The reconciler and the profiler, as the server runs them."""
    tasks = [asyncio.create_task(world.reconciler.run()), asyncio.create_task(world.measuring.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def entity(model=GUIDE, minimum=10, maximum=100, **more):
    return EntityWish(model, "1", minimum=minimum, maximum=maximum, **more)


def config(*entities, routes=()):
    return ConfigWish(entities or (entity(),), tuple(routes))


async def create(world, name="one", wish=None):
    return await world.endpoints.create(ANN, EndpointWish(name, wish or config()))


async def state(world, name="one"):
    view = await world.endpoints.get(ANN, name)
    return view.endpoint.ready.value, view.endpoint.config_update.value


async def settled(world, name="one", limit=300):
    """Passes time until the update has ended; returns the view."""
    for _ in range(limit):
        view = await world.endpoints.get(ANN, name)
        if view.endpoint.pending is None:
            return view
        await world.clock.advance(1)
    raise AssertionError(f"still updating: {view.pending}")
