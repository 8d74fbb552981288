"""The ledger over the real gate: what was promised and what was done of a served entity are in one row."""

from test_gate import asked, endpoint, finish, sale
from world import World, replica

from penstock.control.ledger import LedgerKeeper
from penstock.control.ledger_audit import verify
from penstock.control.ledger_minutes import LedgerMinutes
from penstock.domain.ledger_entry import MINUTE_MS, minute_of
from penstock.domain.ledger_minute import Key
from penstock.testing.store import FakeStore


async def test_a_promise_and_its_requests_meet_in_one_row_under_the_served_entitys_name():
    world, store = World(), FakeStore()
    await world.clock.advance(60 - world.clock.now_ms() % MINUTE_MS / 1000)
    minute = minute_of(world.clock.now_ms())
    keeper = LedgerKeeper(world.journal, store, LedgerMinutes(store, world.clock, world.gate.readings))
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    await keeper.step()
    served = await world.ask(name="n1", read=asked())
    await finish(world, served)
    refused = [await world.ask(name="n1", read=asked()) for _ in range(60)]
    refused = [one for one in refused if one.client.error is not None]
    assert refused
    for _ in range(240):
        await world.clock.advance(1)
        await keeper.step()
    rows = {row.key: row for row in store.rows.ledger.by_number.values()}
    row = rows[Key(minute, "e1", "it")]
    assert row.endpoint_name == "n1"
    assert abs(row.promised - 400) < 10
    assert row.totals.completed == 1
    assert abs(row.totals.attained_milli - world.record(served).reference_tokens * 1000) <= 1
    assert sum(count for _, count in row.refusals) == row.totals.rejected == len(refused)
    # refused, but by the gate, which knew what it was for: nothing is left without a served entity
    assert {key.entity for key in rows if key.endpoint_id == "e1"} == {"it"}
    async with store.unit() as unit:
        assert (await verify(unit)).findings == []
