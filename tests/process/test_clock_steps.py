"""A wall clock that is set forward by an hour, and back, under a running server."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from fault_calls import ask, hold, rows
from played_provider import endpoint, keep_key
from stand import Stand

HOUR_S = 3600
SCRIPT = Path(__file__).with_name("stepping_server.py")


@pytest.fixture
async def stand(tmp_path, provider):
    clock = tmp_path / "ahead"
    clock.write_text("0")
    made = Stand(tmp_path, PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES="true", CLOCK_FILE=str(clock))
    made.program = [sys.executable, SCRIPT]
    await made.start()
    await keep_key(made)
    await endpoint(made, provider, "open", "steady-1")
    await endpoint(made, provider, "narrow", "steady-2", limits=[{"calls": 3}])
    await endpoint(made, provider, "slow", "slow-1")
    yield made
    await made.close()


async def set_clock(stand, seconds, told):
    """Sets the clock; returns when the server has noticed."""
    (stand.folder / "ahead").write_text(str(seconds))

    async def noticed():
        return told in stand.log.read_text()

    await stand.until(noticed, 30, "the server to notice")


async def token_for(stand, seconds):
    body = {"lifetime_seconds": seconds}
    async with stand.session.post(f"{stand.url}/api/2.0/token/create", json=body) as answer:
        assert answer.status == 200
        return (await answer.json())["token_value"]


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_nothing_expires_opens_locks_or_is_reordered(stand, seconds):
    began_ms = time.time_ns() // 1_000_000
    used, unused = [await token_for(stand, HOUR_S // 2) for _ in range(2)]
    came = [await ask(stand, "open", token=used), await ask(stand, "narrow"), await ask(stand, "narrow")]
    running = await hold(stand, "slow", 1, max_tokens=60)
    await set_clock(stand, seconds, f"the system's clock was set by {seconds:+,.0f} s")
    came += [await ask(stand, "open", token=token) for token in (used, unused, await token_for(stand, HOUR_S // 2))]
    came.append(await ask(stand, "narrow"))
    assert {one.status for one in came} == {200}
    assert (await ask(stand, "narrow")).status == 429, "a minute has not passed"
    await set_clock(stand, 0, "the system's clock is right again")
    assert (await ask(stand, "narrow")).status == 429
    came += [await ask(stand, "open", token=token) for token in (used, unused)]
    came += await asyncio.gather(*running)
    assert {(one.status, one.ended) for one in came} == {(200, "done")}
    assert await stand.stop() == 0
    found = rows(stand, "received_at", "duration_ms", "minute")
    ended_ms = time.time_ns() // 1_000_000
    one_by_one = [found[one.request_id] for one in came[:-1]]
    assert [row[0] for row in one_by_one] == sorted(row[0] for row in one_by_one)
    for received_at, duration_ms, minute in found.values():
        assert began_ms - 1000 <= received_at <= ended_ms + 1000
        assert 0 <= duration_ms <= ended_ms - began_ms
        assert minute <= received_at + duration_ms < minute + 60_000
