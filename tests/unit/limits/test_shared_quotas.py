"""Models that are paid by the token, on several gateways: their sum stays within what a workspace may use."""

import asyncio

import pytest

from penstock.domain.errors import LimitExceeded
from penstock.domain.quota import Quota
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.leasing import Leasing
from penstock.gateway.limits import Terms
from penstock.gateway.quotas import Quotas, Taken
from penstock.testing.clock import FakeClock
from penstock.testing.lease import FakeBudgets, FakeLeases

NAME = "databricks-tiny"
LEASE_S = 30.0


class Shared:
    """Gateways on one clock, trading as their loops would."""

    def __init__(self, quota, count=2):
        self.clock = FakeClock()
        self.common = FakeBudgets(self.clock)
        self.leases, self.leasings, self.quotas = [], [], []
        for number in range(count):
            leases = FakeLeases(self.common, f"g{number}")
            leasing = Leasing(leases, self.clock, LEASE_S)
            self.leases.append(leases)
            self.leasings.append(leasing)
            self.quotas.append(Quotas(self.clock, {NAME: quota}, Terms(), leasing))

    async def pass_time(self, seconds):
        for _ in range(round(seconds * 10)):
            for leasing in self.leasings:
                await leasing.step()
            await self.clock.advance(0.1)

    def enter(self, number, prompt=10, most=20):
        asked = Asked(False, "", prompt, True, most)
        return asyncio.ensure_future(self.quotas[number].enter(NAME, asked, Size(prompt, most)))

    async def all_of(self, number, count, **how):
        """What became of so many requests at once."""
        entering = [self.enter(number, **how) for _ in range(count)]
        await self.pass_time(3)
        return await asyncio.gather(*entering, return_exceptions=True)

    def leave(self, number, taken, prompt=10, completion=20):
        self.quotas[number].leave(taken, Usage(prompt, completion), sent=True, whole=True)


def let_in(results):
    assert all(isinstance(one, (Taken, LimitExceeded)) for one in results), results
    return [one for one in results if isinstance(one, Taken)]


async def test_the_first_request_waits_for_a_lease_of_calls_input_and_output_and_no_longer():
    shared = Shared(Quota(100, 10_000, 10_000))
    first = shared.enter(0)
    await shared.clock.settle()
    assert not first.done()
    await shared.pass_time(0.3)
    assert first.done()
    for _ in range(10):
        shared.leave(0, first.result())
        first = shared.enter(0)
        await shared.pass_time(0.1)
        assert first.done()


@pytest.mark.parametrize(
    ("quota", "what"),
    [
        (Quota(10, 10_000, 10_000), "queries"),
        (Quota(100, 100, 10_000), "input tokens"),
        (Quota(100, 10_000, 200), "output tokens"),
    ],
)
async def test_together_they_let_in_as_much_as_a_workspace_may_and_no_more(quota, what):
    shared = Shared(quota)
    results = [one for number in (0, 1) for one in await shared.all_of(number, 8)]
    assert len(let_in(results)) == 10
    refused = next(one for one in results if isinstance(one, LimitExceeded))
    assert f"Exceeded workspace {what} per minute rate limit for {NAME}" in refused.message
    assert refused.facts["unit"] == f"{what.replace(' ', '_')}_per_minute"


async def test_what_one_does_not_use_the_other_gets():
    shared = Shared(Quota(100, 1000, 1000))
    held = let_in(await shared.all_of(0, 1, most=1000))
    assert not let_in(await shared.all_of(1, 1, most=500))
    shared.leave(0, held[0], completion=100)
    await shared.pass_time(0.3)
    assert let_in(await shared.all_of(1, 1, most=900))
    assert not let_in(await shared.all_of(1, 1, most=900))


async def test_without_the_common_budget_what_was_leased_is_spent_and_nothing_else():
    shared = Shared(Quota(100, 1000, 1000))
    let_in(await shared.all_of(0, 1))
    for leases in shared.leases:
        leases.down = True
    assert not let_in(await shared.all_of(0, 1, most=900))
    assert not let_in(await shared.all_of(1, 1))


async def test_who_goes_away_while_waiting_holds_nothing():
    shared = Shared(Quota(10, 100, 100))
    gone = shared.enter(0, prompt=100, most=100)
    await shared.clock.settle()
    gone.cancel()
    await shared.pass_time(0.5)
    assert gone.cancelled()
    assert let_in(await shared.all_of(1, 1, prompt=100, most=100))


async def test_alone_nothing_is_waited_for():
    clock = FakeClock()
    quotas = Quotas(clock, {NAME: Quota(1, 100, 100)}, Terms())
    asked, size = Asked(False, "", 10, True, 20), Size(10, 20)
    assert await quotas.enter(NAME, asked, size)
    with pytest.raises(LimitExceeded, match="queries"):
        await quotas.enter(NAME, asked, size)
    assert await quotas.enter("another", asked, size) is None
