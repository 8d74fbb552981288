"""Serving endpoints on fakes, in virtual time."""

import pytest
from serving_wishes import GUIDE, OTHER

from penstock.testing.clock import FakeClock
from penstock.testing.serving import World, add_model
from penstock.testing.store import FakeStore


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def world(clock):
    made = World(FakeStore(), clock)
    await add_model(made.store, GUIDE)
    await add_model(made.store, OTHER)
    return made
