"""A disk that takes nothing: requests are kept in memory up to a bound, then refused; nothing accepted is lost.

The disk is made full by the limit on the size of files, which is set from outside while the server runs: every write
to a file fails then, in the middle of a line if need be, and it works again when the limit is lifted.
"""

import asyncio
import json

import psutil
import pytest
from fault_calls import ask, hold, rows
from played_provider import endpoint, keep_key
from stand import Stand

IN_MEMORY = 8000
"""Bytes; a request takes some 1500 of them."""


@pytest.fixture
async def stand(tmp_path, provider):
    made = Stand(
        tmp_path, PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES="true", PENSTOCK_LEDGER_UNWRITTEN_BYTES=str(IN_MEMORY)
    )
    await made.start()
    await keep_key(made)
    await endpoint(made, provider, "quick", "steady-1")
    await endpoint(made, provider, "slow", "slow-1")
    yield made
    await made.close()


def set_room(stand, size):
    """How long a file may be that the server writes; None for as long as it likes."""
    process = psutil.Process(stand.process.pid)
    _, most = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (most if size is None else size, most))


async def make_token(stand):
    async with stand.session.post(f"{stand.url}/api/2.0/token/create", json={}) as answer:
        return answer.status, await answer.json()


async def until_refused(stand):
    """Asks until nothing more is taken; what was taken before, and the refusal."""
    taken = []
    for _ in range(200):
        came = await ask(stand, "quick")
        if came.status != 200:
            return taken, came
        assert came.ended == "done"
        taken.append(came)
    raise AssertionError("never refused")


@pytest.mark.parametrize(("room", "end"), [("none", "kill"), ("half a line", "stop")])
async def test_what_was_accepted_while_the_disk_was_full_is_in_the_ledger_once(stand, room, end):
    before = await ask(stand, "quick")
    running = await hold(stand, "slow", 3, max_tokens=40)
    journal = max((stand.data / "requests").glob("*.journal"))
    set_room(stand, 0 if room == "none" else journal.stat().st_size + 100)
    taken, refused = await until_refused(stand)
    assert len(taken) >= 3
    assert (refused.status, int(refused.retry_after) >= 1) == (503, True)
    told = json.loads(refused.message)
    assert told["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "The request ledger cannot be written" in told["message"]
    others = await asyncio.gather(*(ask(stand, "quick", stream=stream) for stream in (True, False) * 10))
    assert {one.status for one in others} == {503}
    status, told = await make_token(stand)
    assert (status, told["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE"), told
    ended = await asyncio.gather(*running)
    assert [one.ended for one in ended] == ["done"] * 3, "what runs goes on"

    set_room(stand, None)
    after = await ask(stand, "quick")
    assert after.ended == "done"

    async def works():
        return (await make_token(stand))[0] == 200

    await stand.until(works, 60, "the control plane to work again")
    if end == "kill":
        await stand.kill()
        await stand.start()
    assert await stand.stop() == 0
    found = rows(stand, "outcome", "completion_tokens")
    assert [found[one.request_id] for one in [before, *taken, after]] == [("completed", 4)] * (len(taken) + 2)
    assert [found[one.request_id] for one in ended] == [("completed", 40)] * 3
    accepted = {one.request_id for one in [before, *taken, after, *ended]}
    refusals = found.keys() - accepted
    assert refusals <= {one.request_id for one in [refused, *others]}
    assert {found[one][0] for one in refusals} <= {"rejected"}
    log = stand.log.read_text()
    assert log.count("the request ledger is written again") == 1
