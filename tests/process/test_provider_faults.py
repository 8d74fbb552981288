"""Providers that never answer, fall silent, or break off: what the client gets, the ledger, limits, connections."""

import asyncio

import pytest
from fault_calls import ask, rows
from played_provider import endpoint, keep_key
from stand import Stand

FAULTS = ("silent", "refuse", "hang", "cut")
LATE = {"silent", "hang"}
BEGINS = {"hang", "cut"}
"""An answer comes, and does not end."""
MOST = 300
LIMIT = 10_000


@pytest.fixture
async def stand(tmp_path, provider):
    made = Stand(
        tmp_path,
        PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES="true",
        PENSTOCK_EXTERNAL_SILENCE_S="2",
    )
    await made.start()
    await keep_key(made)
    for fault in FAULTS:
        await endpoint(made, provider, f"{fault}-alone", f"{fault}-1", limits=[{"calls": 100, "tokens": LIMIT}])
        await endpoint(made, provider, f"{fault}-backed", f"{fault}-2", f"steady-{fault}")
    yield made
    await made.close()


async def ask_all(stand, kind):
    """By fault and whether it streams."""
    cases = [(fault, stream) for fault in FAULTS for stream in (False, True)]
    asking = (ask(stand, f"{fault}-{kind}", stream=stream, max_tokens=MOST) for fault, stream in cases)
    return dict(zip(cases, await asyncio.gather(*asking), strict=True))


def check_alone(came, row, fault, *, stream):
    outcome, status, entity, completion, estimated = row
    assert (outcome, entity) == ("failed", f"{fault}-1")
    assert status == (504 if fault in LATE else 500)
    assert ("DEADLINE_EXCEEDED" if fault in LATE else "INTERNAL_ERROR") in came.message
    assert came.ended == "error", "never as if it were whole"
    if stream and fault in BEGINS:
        assert came.status == 200
        assert 0 < completion < MOST
        assert estimated
        assert came.usage["completion_tokens"] == completion
    else:
        assert (came.status, completion) == (status, 0)


def check_backed(came, row, fault, asked, *, stream):
    outcome, _, entity, completion, _ = row
    if stream and fault in BEGINS:
        assert (came.status, came.ended, outcome, entity) == (200, "error", "failed", f"{fault}-2")
    else:
        assert (came.status, came.ended, outcome, entity) == (200, "done", "completed", f"steady-{fault}")
        assert completion == MOST
    assert asked.count(f"steady-{fault}") == (1 if fault in BEGINS else 2), "only before the first byte"


async def left(stand, fault):
    """What is left of the endpoint's limits while nothing of it runs."""
    url = f"{stand.url}/serving-endpoints/{fault}-alone/invocations"
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    async with stand.session.post(url, json=body) as answer:
        return [int(answer.headers[f"x-ratelimit-remaining-{unit}"]) for unit in ("requests", "tokens")]


async def test_whatever_a_provider_does_the_client_the_ledger_and_the_limits_know(stand, provider):
    alone, backed = await asyncio.gather(ask_all(stand, "alone"), ask_all(stand, "backed"))

    async def released():
        return not provider.under_way

    await stand.until(released, 30, "connections to providers to be let go")
    for calls, tokens in await asyncio.gather(*(left(stand, fault) for fault in FAULTS)):
        assert calls == 100 - 3
        assert LIMIT - MOST < tokens < LIMIT, "what was reserved for the answers is free again"
    asked = list(provider.asked)
    assert await stand.stop() == 0
    found = rows(stand, "outcome", "status", "served_entity", "completion_tokens", "estimated")
    for (fault, stream), came in alone.items():
        check_alone(came, found[came.request_id], fault, stream=stream)
    for (fault, stream), came in backed.items():
        check_backed(came, found[came.request_id], fault, asked, stream=stream)
    assert len(found) == len(alone) + len(backed) + len(FAULTS)
