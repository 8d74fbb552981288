"""A database that is stopped or hangs under load: requests go on from memory, and the ledger misses none of them.

OUTAGE_S sets for how long, 3 seconds if nothing is said.
"""

import asyncio
import contextlib
import os

import asyncpg
import pytest
from fault_calls import ask
from played_provider import endpoint, keep_key
from stand import Stand
from storm import serve_tiny

from penstock.testing.postgresql import PostgresServer

OUTAGE_S = float(os.environ.get("OUTAGE_S", "3"))
VARIABLES = {"PENSTOCK_SERVING_PROFILE_BUDGET_S": "1", "PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES": "true"}
PLENTY = {"calls": 1_000_000, "tokens": 1_000_000_000}


@pytest.fixture
def database():
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def stand(tmp_path, database):
    made = Stand(tmp_path / "server", **VARIABLES, PENSTOCK_DATABASE=await asyncio.to_thread(database.make_template))
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def away(database, how):
    """Within it the database does not answer."""
    leave, come = {"stopped": (database.halt, database.resume), "frozen": (database.freeze, database.thaw)}[how]
    await asyncio.to_thread(leave)
    try:
        yield
    finally:
        await asyncio.to_thread(come)


class Load:
    """Clients that ask on and on; `came` is what came of it, by endpoint."""

    def __init__(self, stand, *endpoints):
        self.stand = stand
        self.stopping = asyncio.Event()
        self.came = {name: [] for name in endpoints}
        self.clients = [asyncio.create_task(self._ask(name, stream)) for name in endpoints for stream in (True, False)]

    async def _ask(self, name, stream):
        while not self.stopping.is_set():
            self.came[name].append(await ask(self.stand, name, stream=stream))
            await asyncio.sleep(0.02)

    async def more(self, count=4):
        """Returns when so many more requests to each endpoint have ended."""
        wanted = {name: len(came) + count for name, came in self.came.items()}

        async def enough():
            for client in self.clients:
                if client.done():
                    client.result()
            return all(len(self.came[name]) >= number for name, number in wanted.items())

        await self.stand.until(enough, 60, "requests to end")

    async def stop(self):
        self.stopping.set()
        await asyncio.gather(*self.clients)
        return [one for came in self.came.values() for one in came]


async def new_token(stand):
    async with stand.session.post(f"{stand.url}/api/2.0/token/create", json={}) as answer:
        return (await answer.json())["token_value"]


async def health(stand, which):
    async with stand.session.get(f"{stand.url}/health/{which}") as answer:
        return answer.status, await answer.json()


async def ledger(stand):
    """Outcome and tokens by request id, as the database has them."""
    connection = await asyncpg.connect(stand.variables["PENSTOCK_DATABASE"])
    try:
        found = await connection.fetch("SELECT request_id, outcome, completion_tokens FROM requests")
    finally:
        await connection.close()
    return {row[0]: (row[1], row[2]) for row in found}


async def stored(stand, came):
    """Returns the ledger when all of that is in it, while the server runs."""
    wanted = {one.request_id for one in came}

    async def there():
        return wanted <= (await ledger(stand)).keys()

    await stand.until(there, 90, "usage to be written")
    return await ledger(stand)


@pytest.mark.timeout(300 + 2 * OUTAGE_S)
@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_requests_go_on_and_none_is_lost_or_counted_twice(stand, database, provider, how):
    await serve_tiny(stand, "steady")
    await keep_key(stand)
    await endpoint(stand, provider, "abroad", "steady-1", limits=[PLENTY])
    await endpoint(stand, provider, "narrow", "steady-2", limits=[{"calls": 2}])
    unknown = await new_token(stand)
    load = Load(stand, "steady", "abroad")
    await load.more()
    async with away(database, how):
        await asyncio.sleep(OUTAGE_S)
        await load.more()
        narrow = [await ask(stand, "narrow") for _ in range(3)]
        assert (await health(stand, "live"))[0] == 200
        status, told = await health(stand, "ready")
        assert (status, told["services"]["database"] != "ok") == (503, True)
        stranger = asyncio.create_task(ask(stand, "abroad", token=unknown))
        if how == "stopped":
            assert (await stranger).status == 503
            assert int(stranger.result().retry_after) >= 1
    await load.more()
    strangers = [await stranger]
    assert strangers[0].status in {200, 503}, "neither 401 nor 403"
    came = await load.stop()
    assert {(one.status, one.ended) for one in came} == {(200, "done")}
    assert [one.status for one in narrow] == [200, 200, 429]
    assert provider.keys == {"Bearer sk-played"}

    async def known():
        strangers.append(await ask(stand, "abroad", token=unknown))
        return strangers[-1].status == 200

    await stand.until(known, 60, "the stranger to be known")
    rows = await stored(stand, [*came, *narrow])
    assert {rows[one.request_id] for one in load.came["abroad"]} == {("completed", 4)}
    assert [rows[one.request_id][0] for one in narrow] == ["completed", "completed", "rejected"]
    assert {rows[one.request_id][0] for one in came} == {"completed"}
    assert await stand.stop() == 0
    # Who is not known is nobody's account.
    let_in = [one for one in strangers if one.status != 503]
    assert (await ledger(stand)).keys() == {one.request_id for one in [*came, *narrow, *let_in]}


async def test_a_server_that_stops_while_its_database_is_away_leaves_nothing_out(stand, database, provider):
    await stand.start()
    await keep_key(stand)
    await endpoint(stand, provider, "abroad", "steady-1")
    came = [await ask(stand, "abroad")]
    async with away(database, "stopped"):
        came += [await ask(stand, "abroad", stream=stream) for stream in (True, False)]
        assert await stand.stop() == 0
    await stand.start()
    came.append(await ask(stand, "abroad"))
    assert [one.ended for one in came] == ["done"] * 4
    rows = await stored(stand, came)
    assert rows == {one.request_id: ("completed", 4) for one in came}
    assert await stand.stop() == 0
