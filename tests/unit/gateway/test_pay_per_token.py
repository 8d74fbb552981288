"""Models that are paid by the token: behind what is reserved, alike for their users, and within what is allowed."""

import pytest
from test_gate import CHUNK, TERMS, asked, finish
from world import STRANGER, USER, World, replica

from penstock.domain.access import USERS, Caller, Principal, PrincipalKind, Scope
from penstock.domain.errors import EndpointNotFound, InvalidParameter, LimitExceeded, Overloaded
from penstock.domain.foundation import Signs
from penstock.domain.ledger_tally import Tally
from penstock.domain.model import Task
from penstock.domain.quota import Quota
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.tenancy import Sale
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome
from penstock.gateway.interrupt import Cut
from penstock.testing.acl import OPEN

NAME = "databricks-tiny"
CAT = Caller(Principal("3", "cat@x.org", "Cat", PrincipalKind.USER, frozenset({USERS})), Scope.ALL_APIS, "v")
SIGNS = Signs({"databricks-old-name": NAME, "system.ai.tiny": NAME}, {NAME: "Its weights are not here."})


def route(name, minimum, *replicas):
    sold = Sale("m", TERMS, minimum, minimum, CHUNK, 0.05)
    entity = EntityRoute(name, replicas, minimum == 0, sold)
    return EndpointRoute(f"id-{name}", name, "boss", Task.CHAT, (Route(name, 100),), (entity,), acl=OPEN)


def shared(**more):
    made = World(signs=SIGNS, **more)
    made.table.publish(route(NAME, 0.0, replica(1, running=32, queue=64)))
    return made


async def ask(world, *, caller=USER, name=NAME, size=1000, out=100, streaming=False):
    return await world.ask(name=name, caller=caller, read=asked(size, out, streaming=streaming))


def waits(world, requests):
    return [world.engines.waits(one.id) for one in requests]


async def test_it_is_the_shared_class_and_paid_in_the_ledger():
    world = shared()
    request = await ask(world)
    await finish(world, request)
    record = world.record(request)
    assert (record.priority, record.lane, record.within) == ("shared", "lent", False)
    assert record.decision == "pay-per-token, lent: at once"
    tally = Tally()
    tally.end(record)
    assert (tally.totals.metered_prompt_tokens, tally.totals.metered_completion_tokens) == (1000, 100)


async def test_users_take_turns_however_many_requests_one_of_them_has():
    world = shared()
    many = [await ask(world) for _ in range(12)]
    sent = [one for one, is_sent in zip(many, waits(world, many), strict=True) if is_sent]
    waiting = [one for one in many if one not in sent]
    assert sent
    assert len(waiting) > 4
    late = [await ask(world, caller=CAT) for _ in range(2)]
    assert waits(world, late) == [False, False]
    order = []
    running = list(sent)
    while len(order) < 4:
        await finish(world, running.pop(0))
        await world.settle()
        fresh = [one for one in (*waiting, *late) if one not in order and world.engines.waits(one.id)]
        order += fresh
        running += fresh
    assert sum(one in late for one in order[:4]) == 2


async def test_what_is_reserved_goes_first():
    world = shared()
    world.table.publish(route("guide", 400.0, replica(1, running=32, queue=64)))
    first = [await ask(world) for _ in range(12)]
    sent = [one for one, is_sent in zip(first, waits(world, first), strict=True) if is_sent]
    reserved = await ask(world, name="guide")
    if not world.engines.waits(reserved.id):
        await finish(world, sent[0])
        await world.settle()
    assert world.engines.waits(reserved.id)


async def test_one_user_may_not_fill_the_queue_of_all():
    world = shared()
    many = [await ask(world) for _ in range(300)]
    refused = [one for one in many if one.client.error is not None]
    assert refused
    error = refused[0].client.error
    assert isinstance(error, Overloaded)
    assert error.message.startswith("Exceeded max number of parallel requests of one user: 256 requests")
    other = await ask(world, caller=CAT)
    assert other.client.error is None
    for one in (*many, other):
        if not one.task.done():
            one.interrupt.cut(Cut.GONE)
            await one.task


async def test_calls_input_and_output_are_limited_in_the_platforms_words():
    quotas = {NAME: Quota(calls=3, input_tokens=2500, output_tokens=10_000)}
    world = shared(quotas=quotas)
    for _ in range(2):
        await finish(world, await ask(world))
    error = (await ask(world)).client.error
    assert isinstance(error, LimitExceeded)
    assert error.code == "REQUEST_LIMIT_EXCEEDED"
    assert error.message.startswith(
        f"REQUEST_LIMIT_EXCEEDED: Exceeded workspace input tokens per minute rate limit for {NAME}. The limit is 2500, "
        "of which 2000 are used or reserved, and 1000 more may be needed; there will be room in 61 s."
    )
    assert (error.retry_after_s, error.facts["unit"]) == (61, "input_tokens_per_minute")
    await finish(world, await ask(world, caller=CAT, size=500), prompt=500)
    error = (await ask(world, size=1)).client.error
    assert "Exceeded workspace queries per minute" in error.message
    await world.clock.advance(61)
    assert (await ask(world)).client.error is None


async def test_the_most_of_an_answer_is_reserved_and_what_is_left_given_back():
    world = shared(quotas={NAME: Quota(calls=100, input_tokens=100_000, output_tokens=250)})
    first, second = await ask(world, out=200), await ask(world, caller=CAT, out=200)
    assert "Exceeded workspace output tokens per minute" in second.client.error.message
    assert world.record(second).outcome is RequestOutcome.REJECTED
    await finish(world, first, completion=30)
    third = await ask(world, out=200)
    assert third.client.error is None
    assert (await ask(world, out=10_000)).client.error is not None
    await finish(world, third, completion=20)
    await world.clock.advance(61)
    assert (await ask(world, out=10_000)).client.error is None


async def test_what_was_never_sent_is_given_back_and_a_client_that_leaves_pays_for_what_came():
    world = shared(quotas={NAME: Quota(calls=2, input_tokens=1500, output_tokens=1000)})
    stranger = await ask(world, caller=STRANGER)
    assert stranger.client.error is not None
    world.engines.used = None
    gone = await ask(world, streaming=True)
    answer = world.begin(gone, events=True)
    answer.feed(b"data: {}\n\n" * 40)
    await world.settle()
    gone.interrupt.cut(Cut.GONE)
    await gone.task
    assert "Exceeded workspace input tokens" in (await ask(world)).client.error.message
    assert (await ask(world, size=400)).client.error is None


async def test_a_prompt_beyond_a_minutes_is_an_error():
    world = shared(quotas={NAME: Quota(calls=2, input_tokens=999, output_tokens=1000)})
    error = (await ask(world)).client.error
    assert isinstance(error, InvalidParameter)
    assert "takes 999 input tokens per minute" in error.message


@pytest.mark.parametrize("name", ["databricks-old-name", "system.ai.tiny"])
async def test_other_names_lead_to_it_and_its_account(name):
    world = shared()
    request = await ask(world, name=name)
    await finish(world, request)
    assert world.record(request).endpoint_name == NAME


async def test_one_that_is_not_there_says_why():
    world = World(signs=SIGNS)
    for name, text in (
        (NAME, "Its weights are not here."),
        ("system.ai.tiny", "not here"),
        ("guide", "does not exist"),
    ):
        error = (await ask(world, name=name)).client.error
        assert isinstance(error, EndpointNotFound)
        assert text in error.message
