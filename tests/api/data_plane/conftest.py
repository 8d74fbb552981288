"""The data plane behind a real HTTP server, before an engine on a real socket."""

import asyncio
from dataclasses import dataclass, field

import aiohttp
import pytest

from penstock.adapters.engines.clients import EngineClients
from penstock.adapters.engines.relay import EngineRelay
from penstock.control.authenticator import Authenticator
from penstock.domain.foundation import Notice
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute, ReadyReplica
from penstock.domain.traffic import Route
from penstock.gateway.abroad import Abroad
from penstock.gateway.gate import Gate
from penstock.gateway.interrupt import Running
from penstock.gateway.ledger import Ledger
from penstock.gateway.limits import Limits
from penstock.gateway.observer import Observer
from penstock.gateway.quotas import Quotas
from penstock.gateway.relay import Carrier, Waits
from penstock.gateway.rooms import Rooms
from penstock.gateway.serve import Gateway
from penstock.gateway.table import Table
from penstock.testing.acl import OPEN
from penstock.testing.engine import SocketEngine
from penstock.testing.journal import FakeJournal
from penstock.testing.provider import FakeProvider, FakeSecrets
from penstock.web.dialects import DIALECTS
from penstock.web.openai.app import DataPlane
from penstock.web.server import HttpServer, address_of, listen

TOKEN = "dapi-user-token"
MAX_BODY = 100_000
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Demands:
    asked: list = field(default_factory=list)
    gone: list = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, endpoint_id, entity):
        self.asked.append((endpoint_id, entity))
        self.heard.set()

    def lost(self, replica_id):
        self.gone.append(replica_id)


class NotingJournal(FakeJournal):
    """Says when something ended."""

    def __init__(self):
        super().__init__()
        self.noted = asyncio.Event()

    def ended(self, record):
        super().ended(record)
        self.noted.set()


class Plane:
    """The parts that tests look at, and requests to it."""

    def __init__(self, store, clock, *, strict=False, notices=None):
        self.clock = clock
        gate = Gate(clock)
        limits = Limits(clock)
        self.observer = Observer()
        self.table = Table(clock, gate, limits, self.observer)
        self.journal = NotingJournal()
        self.demand = Demands()
        self.provider, self.secrets = FakeProvider(), FakeSecrets()
        self.running = Running(clock, 597.0)
        self.relay = EngineRelay()
        carrier = Carrier(
            self.table, gate, self.relay, self.demand, rooms=Rooms(clock), waits=Waits(), pick=lambda: 0.5
        )
        ledger = Ledger(self.journal, clock)
        abroad = Abroad(self.provider, self.secrets)
        client, quotas = EngineClients(), Quotas(clock)
        gateway = Gateway(self.table, carrier, ledger, client, self.running, abroad, limits, quotas, self.observer)
        self.app = DataPlane(
            gateway,
            Authenticator(store, clock),
            "42",
            strict=strict,
            max_body_bytes=MAX_BODY,
            dialects=DIALECTS,
            notices=notices,
        )

    def publish(self, *engines, name="guide", task=Task.CHAT, to_zero=False, entity="guide-1"):
        replicas = tuple(ReadyReplica(f"r{place}", one.address, 2, 2) for place, one in enumerate(engines))
        entities = (EntityRoute(entity, replicas, to_zero),)
        self.table.publish(EndpointRoute(f"id-{name}", name, "boss", task, (Route(entity, 100),), entities, acl=OPEN))

    async def record(self):
        """The only record, when it is there."""
        await asyncio.wait_for(self.journal.noted.wait(), 10)
        (record,) = self.journal.records
        return record


class Served:
    """A client of a plane that is served over HTTP."""

    def __init__(self, plane, url):
        self.url = url
        self.plane = plane
        self.session = aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"})

    async def post(self, path, json=None, **how):
        async with self.session.post(path, json=json, **how) as answer:
            await answer.read()
            return answer

    async def error(self, path, json=None, **how):
        """Status, code and message of an error."""
        async with self.session.post(path, json=json, **how) as answer:
            body = await answer.json()
            assert answer.headers["x-request-id"]
            return answer.status, body["error_code"], body["message"]

    def asking(self, path, json):
        """A request that is left to wait."""
        return asyncio.ensure_future(self.post(path, json))

    async def streaming(self, engine, path, json, *pieces):
        """A stream whose engine has written these pieces: the engine's turn, the answer, and the first event of it."""
        asking = asyncio.ensure_future(self.session.post(path, json=json))
        turn = await engine.turn()
        await turn.write(*pieces)
        answer = await asking
        return turn, answer, await answer.content.readuntil(b"\n\n")


async def serve(plane):
    """A server for the plane until it is closed."""
    listener = listen("127.0.0.1", 0)
    server = HttpServer(plane.app, listener, drain_s=1, drain=plane.running.drain)
    started = asyncio.Event()
    task = asyncio.ensure_future(server.run_until_stopped(started.set))
    await started.wait()
    served = Served(plane, address_of(listener))
    try:
        yield served
    finally:
        await served.session.close()
        server.stop()
        await plane.clock.advance(2)
        await task
        await plane.relay.close()
        listener.close()


@pytest.fixture
async def engine():
    made = SocketEngine()
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def second_engine():
    made = SocketEngine()
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def plane(store, clock):
    return Plane(store, clock)


@pytest.fixture
async def served(plane):
    async for one in serve(plane):
        yield one


@pytest.fixture
async def strictly_served(store, clock):
    async for one in serve(Plane(store, clock, strict=True)):
        yield one


@pytest.fixture
async def noting(store, clock):
    """With a model that is deprecated: `guide`."""
    notice = Notice('Guide is deprecated. Use "Guíde 2" instead.', "2027-01-02")
    async for one in serve(Plane(store, clock, notices={"guide": notice})):
        yield one
