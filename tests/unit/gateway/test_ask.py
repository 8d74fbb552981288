"""Requests from inside the server: collected whole, charged like others, ended when they are cancelled."""

import asyncio

import pytest
from world import USER, endpoint, replica

from penstock.domain.errors import Temporary
from penstock.domain.model import Task
from penstock.domain.usage import RequestOutcome
from penstock.gateway.ask import InProcess
from penstock.gateway.call import Asked
from penstock.web.errors import STATUS


@pytest.fixture
def inside(world):
    return InProcess(
        world.gateway,
        lambda _task, _body: Asked(False, ""),
        lambda error: (STATUS[error.code], error.message.encode()),
        lambda: "q1",
    )


async def test_an_answer_is_collected_and_charged(world, inside):
    world.table.publish(endpoint(replica(1)))
    asking = asyncio.ensure_future(inside.ask(USER, "guide", Task.CHAT, b"{}"))
    await world.settle()
    answer = world.engines.begin("q1")
    answer.feed(b'{"usage":{"prompt_tokens":3,"completion_tokens":2}}')
    answer.finish()
    told = await asking
    assert (told.status, told.request_id, told.retry_after_s) == (200, "q1", None)
    assert b"prompt_tokens" in told.body
    (record,) = world.journal.records
    assert (record.outcome, record.usage.prompt_tokens) == (RequestOutcome.COMPLETED, 3)


async def test_an_error_is_an_answer(inside):
    told = await inside.ask(USER, "nothing", Task.CHAT, b"{}")
    assert (told.status, told.retry_after_s) == (404, None)


async def test_a_server_that_stops_takes_none(world, inside):
    world.running.draining = True
    with pytest.raises(Temporary):
        await inside.ask(USER, "guide", Task.CHAT, b"{}")


async def test_who_is_cancelled_is_a_client_that_left(world, inside):
    world.table.publish(endpoint(replica(1)))
    asking = asyncio.ensure_future(inside.ask(USER, "guide", Task.CHAT, b"{}"))
    await world.settle()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (record,) = world.journal.records
    assert record.outcome is RequestOutcome.CANCELLED
    assert [request_id for _, request_id in world.engines.cancelled] == ["q1"]
