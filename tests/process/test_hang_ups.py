"""Clients of the control plane that hang up in the middle of a transaction: the server goes on answering."""

import asyncio
import json
import random

import pytest
from stand import TOKEN, Stand

from penstock.testing.postgresql import PostgresServer

HANG_UPS, AT_ONCE = 200, 8
LONGEST_S = 0.03
"""About as long as a request takes, so that they end before, in and after it."""


@pytest.fixture
def database(request):
    if request.param == "sqlite":
        yield {}
        return
    server = PostgresServer()
    server.start()
    yield {"PENSTOCK_DATABASE": server.make_template()}
    server.stop()


@pytest.fixture
async def stand(tmp_path, database):
    made = Stand(tmp_path / "server", **database)
    await made.start()
    yield made
    await made.close()


def calls(number):
    """Routes that write, one after the other."""
    return (
        ("/api/2.0/secrets/put", {"scope": "s", "key": f"k{number}", "string_value": "v"}),
        ("/api/2.0/token/create", {"comment": f"{number}"}),
        ("/api/2.0/preview/scim/v2/Users", {"userName": f"u{number}@x.org"}),
        ("/api/2.0/serving-endpoints", {"name": f"e{number}"}),
    )[number % 4]


async def hang_up(stand, number, seconds):
    path, body = calls(number)
    content = json.dumps(body).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def answers(stand):
    """Whether it writes and reads, and is well."""
    for method, path, body in (
        ("POST", "/api/2.0/secrets/put", {"scope": "s", "key": "last", "string_value": "v"}),
        ("GET", "/api/2.0/secrets/list?scope=s", None),
        ("GET", "/health/ready", None),
    ):
        async with stand.session.request(method, stand.url + path, json=body) as answer:
            if answer.status != 200:
                return False
    return True


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
async def test_two_hundred_hang_ups_leave_a_server_that_answers(stand):
    async with stand.session.post(f"{stand.url}/api/2.0/secrets/scopes/create", json={"scope": "s"}) as answer:
        assert answer.status == 200
    chance = random.Random(7)
    for start in range(0, HANG_UPS, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        await asyncio.gather(*(hang_up(stand, number, chance.uniform(0, LONGEST_S)) for number in numbers))
    await stand.until(lambda: answers(stand), 60, "the server to answer")
    assert await stand.stop() == 0
    log = stand.log.read_text()
    assert "Traceback" not in log, log[-3000:]
