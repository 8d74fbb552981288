"""The client of engines, against servers that speak HTTP byte by byte."""

import asyncio
import contextlib

import pytest

from penstock.adapters.engines import relay as module
from penstock.adapters.engines.relay import EngineRelay
from penstock.adapters.http_connection import HIGH_WATER
from penstock.domain.errors import EngineFailed
from penstock.domain.trace_context import TraceContext

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers each request with the next of `answers`; None closes the connection."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.connections = 0
        self.requests = []
        self.writers = []
        self.server = None

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                answer = self.answers.pop(0)
                for part in answer or ():
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                if answer is None or answer[-1] == b"":
                    break
        writer.close()

    def hang_up(self):
        for writer in self.writers:
            writer.close()


@pytest.fixture
async def serving():
    made, relay = [], EngineRelay()

    async def start(*answers):
        server = Server(answers)
        made.append(server)
        return server, await server.start()

    yield start, relay
    await relay.close()
    for server in made:
        server.hang_up()
        server.server.close()


async def ask(relay, address, body=b"{}", **how):
    answer = await relay.open(address, "/v1/x", body, "q1", namespace="e1", **how)
    try:
        return answer.status, await answer.whole()
    finally:
        answer.close()


async def test_what_an_interrupted_request_left_unread_is_not_the_next_ones_answer(serving):
    start, relay = serving
    server, address = await start([CHUNKED, b"3\r\nabc\r\n", b"4\r\nmine\r\n0\r\n\r\n"], [LENGTH])
    answer = await relay.open(address, "/v1/x", b"{}", "q1", namespace="e1")
    assert await answer.chunk() == b"abc"
    while not answer._connection.complete:  # noqa: ASYNC110 - the engine ends it while its client has gone
        await asyncio.sleep(0.01)
    answer.close()
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 2


async def test_requests_follow_each_other_on_one_connection(serving):
    start, relay = serving
    server, address = await start([LENGTH], [CHUNKED, b"3\r\nabc\r\n", b"0\r\n\r\n"], [LENGTH])
    assert await ask(relay, address, b"body") == (200, b"{}")
    assert await ask(relay, address) == (200, b"abc")
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-request-id: q1\r\nx-namespace: e1\r\n" in server.requests[0]
    assert server.requests[0].endswith(b"\r\n\r\nbody")


async def test_an_answer_without_a_length_ends_with_the_connection(serving):
    start, relay = serving
    server, address = await start([b"HTTP/1.1 200 OK\r\n\r\nab", b"c", b""], [LENGTH])
    assert await ask(relay, address) == (200, b"abc")
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 2


async def test_status_type_and_retry_after_are_told(serving):
    start, relay = serving
    _, address = await start(
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"]
    )
    answer = await relay.open(address, "/", b"", "q", namespace="e1")
    assert (answer.status, answer.retry_after, answer.content_type) == (429, b"7", b"application/json")
    assert await answer.whole() == b""
    answer.close()
    answer.close()


async def test_a_kept_connection_that_was_closed_is_replaced(serving):
    start, relay = serving
    server, address = await start([LENGTH], None, [LENGTH])
    await ask(relay, address)
    assert await ask(relay, address) == (200, b"{}"), "closed when it is used"
    assert server.connections == 2
    server.hang_up()
    await asyncio.sleep(0.01)
    server.answers.append([LENGTH])
    assert await ask(relay, address) == (200, b"{}"), "closed while idle"


async def test_a_connection_that_is_idle_for_long_is_not_used(serving, monkeypatch):
    start, relay = serving
    server, address = await start([LENGTH], [LENGTH])
    await ask(relay, address)
    monkeypatch.setattr(module, "KEEP_S", -1)
    await ask(relay, address)
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        [b""],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", b""],
        [CHUNKED, b"3\r\nabc\r\n", b""],
        [b"nonsense\r\n\r\n"],
    ],
)
async def test_what_breaks_off_is_a_failed_engine(serving, answer):
    start, relay = serving
    _, address = await start(answer)
    with pytest.raises(EngineFailed):
        await ask(relay, address)


async def test_nobody_at_the_address_is_a_failed_engine(serving, tmp_path):
    _, relay = serving
    for address in (f"unix:{tmp_path}/none", "http://127.0.0.1:1"):
        with pytest.raises(EngineFailed, match="cannot be reached"):
            await ask(relay, address)


async def test_chunks_come_as_they_arrive_and_a_closed_answer_breaks_the_connection(serving):
    start, relay = serving
    server, address = await start([CHUNKED, b"3\r\nabc\r\n"])
    answer = await relay.open(address, "/", b"", "q", namespace="e1")
    assert await answer.chunk() == b"abc"
    waiting = asyncio.ensure_future(answer.chunk())
    await asyncio.sleep(0)
    waiting.cancel()
    answer.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.answers.append([LENGTH])
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 2


async def test_a_client_that_reads_slowly_holds_the_engine_back(serving):
    start, relay = serving
    size = 64 * HIGH_WATER
    body = b"x" * size
    server, address = await start([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, body])
    answer = await relay.open(address, "/", b"", "q", namespace="e1")
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert server.writers[0].transport.get_write_buffer_size() > size // 2
    assert len(await answer.whole()) == size
    answer.close()


async def test_a_cancelled_request_breaks_its_connection(serving):
    start, relay = serving
    server, address = await start([b"HTTP/1.1 200 "])
    asking = asyncio.ensure_future(relay.open(address, "/", b"", "q", namespace="e1"))
    while not server.requests:  # noqa: ASYNC110 - the server is this test's own
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    server.answers.append([LENGTH])
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 2


async def test_bytes_that_nobody_asked_for_end_the_connection(serving):
    start, relay = serving
    server, address = await start([LENGTH], [LENGTH])
    await ask(relay, address)
    server.writers[0].write(b"HTTP/1.1 408 Too late\r\n\r\n")
    await asyncio.sleep(0.01)
    assert await ask(relay, address) == (200, b"{}")
    assert server.connections == 2


async def test_nothing_is_kept_of_engines_that_are_gone(serving):
    start, relay = serving
    gone, address = await start([LENGTH])
    await ask(relay, address)
    gone.hang_up()
    await asyncio.sleep(0.01)
    _, other = await start([LENGTH])
    await ask(relay, other)
    assert list(relay._pools) == [other]


async def test_a_trace_is_told_to_the_engine_and_nothing_without_one(serving):
    start, relay = serving
    server, address = await start([LENGTH], [LENGTH])
    await ask(relay, address, trace=TraceContext("a" * 32, "b" * 16, 1, "x=y"))
    await ask(relay, address)
    first, second = server.requests
    assert b"\r\ntraceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\ntracestate: x=y\r\n" in first
    assert b"trace" not in second
