"""The check of the ledger finds what was changed in a real database, and names it."""

import re
import sqlite3

import pytest
from ledger_requests import HOUR, request

from penstock.adapters.store.reader import SqlReader
from penstock.adapters.store.store import SqlStore
from penstock.control import ledger_audit
from penstock.control.ledger_audit import verify
from penstock.domain.errors import Conflict, DoesNotExist, Temporary


def change(file, statement):
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


async def checked(file, noted=None):
    reader = SqlReader(f"sqlite:///{file}")
    try:
        async with reader.unit() as unit:
            return await verify(unit, noted)
    finally:
        await reader.close()


async def test_a_ledger_as_it_was_written_has_nothing_to_find(file):
    steps = []
    reader = SqlReader(f"sqlite:///{file}")
    async with reader.unit() as unit:
        verdict = await verify(unit, None, lambda done, total: steps.append((done, total)))
    await reader.close()
    assert verdict.findings == []
    assert (verdict.minutes, verdict.hours, verdict.requests) == (63, 1, 132)
    assert verdict.pending == 5
    assert steps[-1] == (196, 196)
    assert (await checked(file, verdict.head)).findings == []


CHANGES = [
    ("UPDATE requests SET principal = 'bob' WHERE request_id = 'a7'", "request a7 of .*: its row is not what was"),
    ("UPDATE requests SET reference_tokens = 99.999 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET reference_tokens = 99.999 WHERE request_id = 'a7'", "row 8 .*attained_milli is"),
    ("UPDATE requests SET digest = replace(digest, substr(digest, 1, 1), 'x') WHERE request_id = 'a7'", "request a7"),
    ("UPDATE requests SET outcome = 'lost' WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET duration_ms = 'x' WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET duration_ms = 1e300 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET duration_ms = 1e9 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET received_at = -1e18 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET open_from = 1e18 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET asked_tokens = 9e999 WHERE request_id = 'a7'", "request a7 of"),
    ("UPDATE requests SET status = 201 WHERE request_id = 'a64'", "request a64 of"),
    ("DELETE FROM requests WHERE request_id = 'a7'", "row 8 .*guide/guide-1.*written for 2 requests, 1 are there"),
    ("DELETE FROM requests WHERE request_id = 'no'", "row 4 .*rejected is 1, its requests add up to 0"),
    ("UPDATE requests SET minute = 0 WHERE request_id = 'a7'", "row 8 .*written for 2 requests, 1 are there"),
    ("UPDATE ledger_minutes SET attained_milli = attained_milli + 1 WHERE number = 9", "row 9 .*attained_milli is"),
    ("UPDATE ledger_minutes SET attained_milli = attained_milli + 1 WHERE number = 9", "row 9 .*not what was hashed"),
    ("UPDATE ledger_minutes SET attained_milli = attained_milli + 1 WHERE number = 63", "row 63 .*attained_milli is"),
    ("UPDATE ledger_minutes SET peak = 'x' WHERE number = 9", "row 9 .*not what was hashed"),
    ("UPDATE ledger_minutes SET minute = 1e17 WHERE number = 9", "row 9 .*not what was hashed"),
    ("UPDATE ledger_minutes SET promised_milli = 1 WHERE number = 9", "row 9 .*not what was hashed"),
    ("UPDATE ledger_minutes SET ttft_p99_ms = 1 WHERE number = 9", r"row 9 .*ttft is .*p99=1\.0"),
    ("UPDATE ledger_minutes SET refusals = 'x' WHERE number = 4", "row 4 .*refusals is"),
    ("UPDATE ledger_minutes SET hash = 'x' WHERE number = 9", "row 10 .*not chained"),
    ("UPDATE ledger_hours SET hash = 'x'", "hour .*: its content is not what was hashed"),
    ("UPDATE ledger_hours SET known_ms = 1", r"hour .*: known_ms is 1, its minutes add up to"),
    ("DELETE FROM ledger_minutes WHERE number = 9", "^row 9 is missing"),
    ("DELETE FROM ledger_minutes WHERE number = 9", "its requests are in no row"),
    ("DELETE FROM ledger_minutes WHERE number IN (9, 10)", "^rows 9 to 10 are missing"),
    ("UPDATE ledger_hours SET requests = requests + 1", "hour 2023-11-14T23:00Z of guide/guide-1: requests is"),
    ("UPDATE ledger_hours SET peak = 601", r"hour .*: peak is 601\.0, its minutes add up to 600\.0"),
    ("UPDATE ledger_hours SET endpoint_id = 'x'", "hour .*: it has no minutes"),
    ("UPDATE ledger_hours SET endpoint_id = 'x'", "hour .*: it is missing"),
]


@pytest.mark.parametrize(("statement", "named"), CHANGES)
async def test_a_change_is_found_and_named(file, statement, named):
    change(file, statement)
    findings = (await checked(file)).findings
    assert [finding for finding in findings if re.search(named, finding)], findings


async def test_an_end_that_is_cut_off_is_found_by_a_hash_that_was_noted(file):
    head = (await checked(file)).head
    change(file, "DELETE FROM ledger_minutes WHERE number > 62")
    assert (await checked(file)).findings == []
    assert any("row 63, which was noted, is missing" in finding for finding in (await checked(file, head)).findings)


async def test_a_flipped_byte_of_the_file_itself_is_found(file):
    content = bytearray(file.read_bytes())
    at = content.index(b"llm/v1/chat")
    content[at] ^= 1
    file.write_bytes(content)
    assert any(finding.startswith("request ") for finding in (await checked(file)).findings)


async def test_text_that_is_none_any_more_is_read_and_named(file):
    content = bytearray(file.read_bytes())
    content[content.index(b"llm/v1/chat")] = 0xFF
    file.write_bytes(content)
    assert any(finding.startswith("request ") for finding in (await checked(file)).findings)


async def test_a_row_that_was_altered_does_not_send_the_reading_far_ahead(file):
    change(file, "UPDATE ledger_minutes SET minute = 100000000000000 WHERE number = 9")
    findings = (await checked(file)).findings
    assert all("(" not in finding or "row 9" in finding for finding in findings if finding.startswith("row ")), findings


async def test_many_faults_are_counted_and_the_first_of_them_kept(file, monkeypatch):
    change(file, "UPDATE requests SET digest = 'x'")
    monkeypatch.setattr(ledger_audit, "MOST_FINDINGS", 50)
    verdict = await checked(file)
    assert len(verdict.findings) == 50
    assert verdict.faults > 132


async def test_a_server_may_write_meanwhile_and_nothing_is_written_by_the_reader(file):
    server = SqlStore(f"sqlite:///{file}")
    await server.open()
    reader = SqlReader(f"sqlite:///{file}")
    async with reader.unit() as seen:
        before = await seen.requests.count()
        async with server.unit() as unit:
            await unit.requests.add([request("new", minute=HOUR)])
        assert await seen.requests.count() == before
    with pytest.raises(Temporary, match="readonly"):
        async with reader.unit() as unit:
            await unit.requests.add([request("other")])
    await reader.close()
    await server.close()


async def test_what_is_no_database_of_ours_is_refused(tmp_path):
    with pytest.raises(DoesNotExist, match="There is no database"):
        SqlReader(f"sqlite:///{tmp_path}/none.db")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE a (b)").connection.close()
    reader = SqlReader(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(Conflict, match="not one of Penstock"):
        async with reader.unit():
            pass
    await reader.close()
